import { parentPort, workerData } from "node:worker_threads";
import {
  type DistillContext,
  type Distilled,
  type DistillJob,
  type DistillState,
  distill,
} from "../distillation/distill.ts";
import { type Failure, failureOf } from "../environment/lane-call.ts";
import { importModules } from "../environment/module.ts";
import { EnvironmentError, NumericError, UsageError } from "../errors.ts";
import type { Acting } from "../network/action.ts";
import type { Architecture } from "../network/architecture.ts";
import type { Bits } from "../quantization/fixed-point.ts";
import { printOnStderr } from "../thread.ts";
import { type Ground, openGround, type Source } from "./ground.ts";

/** What every worker gets once. Environments are made by id, since functions don't cross threads. */
export interface WorkerContext extends Omit<DistillContext, "examination" | "signal"> {
  readonly source: Source;
  /** Of agreement on logged observations. */
  readonly tolerance: number;
  readonly acting: Acting;
  readonly bits: Bits | null;
  /** [1] shared; a job of an earlier generation than this is no longer wanted. */
  readonly generation: Int32Array;
}

/** A batch of a proof's set: `episodes` of them (or of logged episodes or blocks), from number `first` on, in `lanes` lanes. */
export interface PlayJob {
  readonly architecture: Architecture;
  readonly parameters: Float32Array;
  readonly set: string;
  readonly first: number;
  readonly episodes: number;
  readonly lanes: number;
  readonly acting: Acting;
}

/** A student to be taught, or a part of a proof. */
export type WorkerTask = { readonly job: DistillJob; readonly resume?: DistillState } | { readonly play: PlayJob };

export type WorkerRequest = WorkerTask & { readonly generation: number };

export type WorkerReply =
  | { readonly kind: "progress"; readonly state: DistillState }
  /** `Distilled` for a student, the returns (or agreements) for a part of a proof. */
  | { readonly kind: "done"; readonly result: Distilled | Float64Array }
  /** Errors lose their class between threads: `environment` is set when it was the environment's. */
  | {
      readonly kind: "failed";
      readonly error: unknown;
      readonly numeric: boolean;
      readonly environment: Failure | undefined;
    };

async function work(
  context: WorkerContext,
  { examination }: Ground,
  request: WorkerRequest,
  reply: (message: WorkerReply) => void,
): Promise<void> {
  const signal = {
    get aborted(): boolean {
      return Atomics.load(context.generation, 0) !== request.generation;
    },
  };
  if ("play" in request) {
    const { architecture, parameters, set, first, episodes, lanes, acting } = request.play;
    const examiner = await examination.examiner(architecture, "proof", lanes);
    reply({ kind: "done", result: await examiner.measure(parameters, set, episodes, acting, first) });
    await examiner.dispose();
    return;
  }
  const rounds = distill({ ...context, examination, signal }, request.job, request.resume);
  for (let next = await rounds.next(); ; next = await rounds.next()) {
    if (next.done) {
      reply({ kind: "done", result: next.value });
      return;
    }
    reply({ kind: "progress", state: next.value });
  }
}

if (parentPort) {
  printOnStderr();
  const port = parentPort;
  const context = workerData as WorkerContext;
  const environment = "environment" in context.source ? context.source : undefined;
  const imported = importModules(environment?.modules ?? []);
  // Whoever asks for something first is told.
  imported.catch(() => undefined);
  let ground: Ground | undefined;
  let last: Promise<void> = Promise.resolve();
  const serve = async (request: WorkerRequest): Promise<void> => {
    try {
      await imported;
      ground ??= await openGround(context.source, context);
      await work(context, ground, request, (message) => {
        port.postMessage(message);
      });
    } catch (error) {
      const own = error instanceof EnvironmentError || error instanceof UsageError;
      const failure = own && environment ? failureOf(environment.environment, error) : undefined;
      port.postMessage({
        kind: "failed",
        // What an environment's error was caused by may be nothing that crosses threads.
        error: failure ? undefined : error,
        numeric: error instanceof NumericError,
        environment: failure,
      } satisfies WorkerReply);
    }
  };
  // `null` ends the thread once its last job is done.
  port.on("message", (request: WorkerRequest | null) => {
    if (request === null) {
      port.close();
      void last
        .then(() => ground?.close())
        .finally(() => {
          // What a module has left open, a timer or a socket, would keep the thread alive.
          process.exit();
        });
      return;
    }
    last = serve(request);
  });
}

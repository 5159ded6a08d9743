import { parentPort, workerData } from "node:worker_threads";
import {
  type DistillContext,
  type Distilled,
  type DistillJob,
  type DistillState,
  distill,
} from "../distillation/distill.ts";
import type { GymnasiumReference } from "../environment/gymnasium-protocol.ts";
import { type Failure, failureOf } from "../environment/lane-call.ts";
import { importModules } from "../environment/module.ts";
import { type OpenEnvironment, openEnvironment } from "../environment/open.ts";
import { EnvironmentError, NumericError, UsageError } from "../errors.ts";
import { type Acting, Evaluator } from "../evaluation/evaluate.ts";
import type { Architecture } from "../network/architecture.ts";

/** What every worker gets once. Environments are made by id, since functions don't cross threads. */
export interface WorkerContext extends Omit<DistillContext, "makeLanes" | "signal"> {
  readonly environment: string;
  /** URLs of modules that export or register environments. */
  readonly modules: readonly string[];
  /** How an environment of Python's Gymnasium is made. */
  readonly gymnasium: GymnasiumReference | undefined;
  /** [1] shared; a job of an earlier generation than this is no longer wanted. */
  readonly generation: Int32Array;
}

/** A batch of a set of episodes: `episodes` of them, from number `first` on, in `lanes` lanes. */
export interface PlayJob {
  readonly architecture: Architecture;
  readonly parameters: Float32Array;
  readonly set: string;
  readonly first: number;
  readonly episodes: number;
  readonly lanes: number;
  readonly acting: Acting;
}

/** A student to be taught, or episodes to be played. */
export type WorkerTask = { readonly job: DistillJob; readonly resume?: DistillState } | { readonly play: PlayJob };

export type WorkerRequest = WorkerTask & { readonly generation: number };

export type WorkerReply =
  | { readonly kind: "progress"; readonly state: DistillState }
  /** `Distilled` for a student, the returns for episodes. */
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
  opened: OpenEnvironment,
  request: WorkerRequest,
  reply: (message: WorkerReply) => void,
): Promise<void> {
  const signal = {
    get aborted(): boolean {
      return Atomics.load(context.generation, 0) !== request.generation;
    },
  };
  const makeLanes = (size: number) => opened.vector(size);
  if ("play" in request) {
    const { architecture, parameters, set, first, episodes, lanes, acting } = request.play;
    const evaluator = await Evaluator.create(architecture, makeLanes(lanes));
    reply({ kind: "done", result: await evaluator.returns(parameters, context.seed, set, episodes, acting, first) });
    await evaluator.dispose();
    return;
  }
  const rounds = distill({ ...context, makeLanes, signal }, request.job, request.resume);
  for (let next = await rounds.next(); ; next = await rounds.next()) {
    if (next.done) {
      reply({ kind: "done", result: next.value });
      return;
    }
    reply({ kind: "progress", state: next.value });
  }
}

if (parentPort) {
  const port = parentPort;
  const context = workerData as WorkerContext;
  await importModules(context.modules);
  const { environment, gymnasium } = context;
  let opened: OpenEnvironment | undefined;
  let last: Promise<void> = Promise.resolve();
  const serve = async (request: WorkerRequest): Promise<void> => {
    try {
      opened ??= await openEnvironment(environment, { workers: 1, gymnasium: { ...gymnasium, processes: 1 } });
      await work(context, opened, request, (message) => {
        port.postMessage(message);
      });
    } catch (error) {
      const own = error instanceof EnvironmentError || error instanceof UsageError;
      port.postMessage({
        kind: "failed",
        error,
        numeric: error instanceof NumericError,
        environment: own ? failureOf(environment, error) : undefined,
      } satisfies WorkerReply);
    }
  };
  // `null` ends the thread once its last job is done: a closed port keeps no thread alive.
  port.on("message", (request: WorkerRequest | null) => {
    if (request === null) {
      port.close();
      void last.then(() => opened?.close());
      return;
    }
    last = serve(request);
  });
}

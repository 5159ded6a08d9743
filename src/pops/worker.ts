import { parentPort, workerData } from "node:worker_threads";
import {
  type DistillContext,
  type Distilled,
  type DistillJob,
  type DistillState,
  distill,
} from "../distillation/distill.ts";
import { makeVector } from "../environment/vector.ts";
import { NumericError } from "../errors.ts";

/** What every worker gets once. Environments are made by id, since functions don't cross threads. */
export interface WorkerContext extends Omit<DistillContext, "makeLanes" | "signal"> {
  readonly environment: string;
  /** URLs of modules that register environments. */
  readonly modules: readonly string[];
  /** [1] shared; a job of an earlier generation than this is no longer wanted. */
  readonly generation: Int32Array;
}

export interface WorkerRequest {
  readonly generation: number;
  readonly job: DistillJob;
  readonly resume?: DistillState;
}

export type WorkerReply =
  | { readonly kind: "progress"; readonly state: DistillState }
  | { readonly kind: "done"; readonly result: Distilled }
  | { readonly kind: "failed"; readonly error: unknown; readonly numeric: boolean };

async function work(
  context: WorkerContext,
  request: WorkerRequest,
  reply: (message: WorkerReply) => void,
): Promise<void> {
  const signal = {
    get aborted(): boolean {
      return Atomics.load(context.generation, 0) !== request.generation;
    },
  };
  const makeLanes = (size: number) => makeVector(context.environment, size);
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
  for (const url of context.modules) await import(url);
  // `null` ends the thread once its last job is done: a closed port keeps no thread alive.
  port.on("message", (request: WorkerRequest | null) => {
    if (request === null) {
      port.close();
      return;
    }
    work(context, request, (message) => {
      port.postMessage(message);
    }).catch((error: unknown) => {
      port.postMessage({ kind: "failed", error, numeric: error instanceof NumericError } satisfies WorkerReply);
    });
  });
}

import type { Worker } from "node:worker_threads";
import type { Distilled, DistillJob, DistillState } from "../distillation/distill.ts";
import { errorOf } from "../environment/lane-call.ts";
import { isStray, strayReasonOf } from "../environment/vector.ts";
import { EnvironmentError, NumericError, reasonOf } from "../errors.ts";
import { startThread } from "../thread.ts";
import type { PlayJob, WorkerContext, WorkerReply, WorkerRequest, WorkerTask } from "./worker.ts";

interface Task {
  readonly task: WorkerTask;
  readonly onProgress: (state: DistillState) => void;
  readonly resolve: (result: Distilled | Float64Array) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Worker threads that distil students and play episodes side by side, each with ONNX Runtime sessions of its own. A job's
 * result depends on the job alone, so any number of workers gives the same bits.
 */
export class Pool {
  readonly #context: WorkerContext;
  readonly #size: number;
  readonly #idle: Worker[] = [];
  readonly #busy = new Map<Worker, Task>();
  readonly #queue: Task[] = [];
  /** Raised to make the jobs of earlier generations stop at their next update. */
  readonly #generation: Int32Array;
  /** What ended a thread that had nothing to do. */
  #failed: Error | undefined;

  constructor(context: Omit<WorkerContext, "generation">, size: number) {
    const generation = new Int32Array(new SharedArrayBuffer(4));
    this.#context = { ...context, generation };
    this.#generation = generation;
    this.#size = size;
  }

  /** Queues a job. `onProgress` gets its state after every round, from which another call can go on. */
  submit(
    job: DistillJob,
    resume: DistillState | undefined,
    onProgress: (state: DistillState) => void,
  ): Promise<Distilled> {
    // What a worker gives back is decided by what it was asked for.
    return this.#run({ job, ...(resume && { resume }) }, onProgress) as Promise<Distilled>;
  }

  /** Undiscounted returns of a batch of episodes, or agreements on logged ones. */
  play(play: PlayJob): Promise<Float64Array> {
    return this.#run({ play }, () => undefined) as Promise<Float64Array>;
  }

  #run(task: WorkerTask, onProgress: Task["onProgress"]): Promise<Distilled | Float64Array> {
    if (this.#failed) return Promise.reject(this.#failed);
    return new Promise((resolve, reject) => {
      this.#queue.push({ task, onProgress, resolve, reject });
      this.#dispatch();
    });
  }

  #dispatch(): void {
    for (let task = this.#queue[0]; task; task = this.#queue[0]) {
      const worker = this.#idle.pop() ?? (this.#busy.size < this.#size ? this.#spawn() : undefined);
      if (!worker) return;
      this.#queue.shift();
      this.#busy.set(worker, task);
      worker.ref();
      const request: WorkerRequest = { ...task.task, generation: Atomics.load(this.#generation, 0) };
      worker.postMessage(request);
    }
  }

  #spawn(): Worker {
    const worker = startThread(new URL("./worker.ts", import.meta.url), { workerData: this.#context });
    const { source } = this.#context;
    const ofEnvironment = (reason: string): Error =>
      "environment" in source ? new EnvironmentError(source.environment, reason) : new Error(reason);
    const fail = (error: Error): void => {
      const task = this.#busy.get(worker);
      const idle = this.#idle.indexOf(worker);
      this.#busy.delete(worker);
      if (idle >= 0) this.#idle.splice(idle, 1);
      if (task) task.reject(error);
      else if (idle >= 0) this.#failed ??= error;
      // Of an unwanted job nobody hears; its thread's place is free for what waits.
      this.#dispatch();
    };
    worker.on("message", (reply: WorkerReply) => {
      const task = this.#busy.get(worker);
      if (!task) return;
      if (reply.kind === "progress") {
        task.onProgress(reply.state);
        return;
      }
      this.#busy.delete(worker);
      this.#idle.push(worker);
      worker.unref();
      if (reply.kind === "done") task.resolve(reply.result);
      else if (reply.environment) task.reject(errorOf(reply.environment));
      else task.reject(reply.numeric ? new NumericError(reasonOf(reply.error), { cause: reply.error }) : reply.error);
      this.#dispatch();
    });
    worker.on("error", (error) => {
      const reason = `a worker thread failed: ${strayReasonOf(error)}`;
      fail(isStray(error) ? ofEnvironment(reason) : new Error(reason, { cause: error }));
    });
    // Those that this program ends are neither busy nor idle.
    worker.on("exit", (code) => {
      fail(ofEnvironment(`a worker thread ended: exit code ${code}`));
    });
    return worker;
  }

  /** Drops what is queued and lets running jobs stop at their next update. Their promises stay unresolved. */
  cancel(): void {
    Atomics.add(this.#generation, 0, 1);
    this.#queue.length = 0;
    for (const [worker, task] of this.#busy) {
      const silent = (): void => undefined;
      this.#busy.set(worker, { ...task, onProgress: silent, resolve: silent, reject: silent });
    }
  }

  /** Ends the threads. They end themselves: one that is terminated inside a native call takes the process with it. */
  async close(): Promise<void> {
    this.cancel();
    const workers = [...this.#idle, ...this.#busy.keys()];
    this.#idle.length = 0;
    this.#busy.clear();
    // With `once` of node:events, the error of a thread that fails only now would take the place of what ended the run.
    const ended = workers.map((worker) => new Promise((resolve) => worker.once("exit", resolve)));
    for (const worker of workers) {
      worker.ref();
      worker.postMessage(null);
    }
    await Promise.all(ended);
  }
}

import { setImmediate } from "node:timers/promises";
import { MessageChannel, type MessagePort, receiveMessageOnPort, type Worker } from "node:worker_threads";
import { EnvironmentError } from "../errors.ts";
import type { Plain } from "../plain.ts";
import { startThread } from "../thread.ts";
import type { EnvironmentSpec, VectorEnvironment } from "./environment.ts";
import {
  ANSWERS,
  CALL,
  type Call,
  changes,
  count,
  ENDED,
  errorOf,
  type Failure,
  type LaneThreadData,
  NOTHING,
  REQUESTS,
  RESULTS,
  type Result,
  VECTOR,
} from "./lane-call.ts";
import { type Registration, registrationOf } from "./registry.ts";
import { sizeOf } from "./spaces.ts";
import {
  LaneActions,
  type LaneBuffers,
  LaneVector,
  parseVectorState,
  refuseLane,
  strayReasonOf,
  type VectorState,
  vectorOf,
} from "./vector.ts";

/** Milliseconds to an answer that is waited for without a turn of the event loop: a thread that has no memory left never gives it. */
const LIMIT = 60_000;
/** Milliseconds that a step may block before the event loop gets a turn, for Ctrl-C and for news of a thread that ended. */
const PATIENCE = 20;

/** A thread as the main thread sees it. Whoever sends a request waits for its answer before the next. */
class LaneThread {
  readonly #environment: string;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #signal = new Int32Array(new SharedArrayBuffer(16));
  #requests = 0;
  #ended: EnvironmentError | undefined;

  private constructor(environment: string, modules: readonly string[]) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const workerData: LaneThreadData = { environment, modules, port: port2, signal: this.#signal };
    const program = new URL("./lane-thread.ts", import.meta.url);
    this.#worker = startThread(program, { workerData, transferList: [port2] });
    this.#environment = environment;
    this.#worker.on("error", (error) => {
      this.#end(strayReasonOf(error));
    });
    this.#worker.on("exit", (code) => {
      // What it said last, if it had time to.
      const said = receiveMessageOnPort(this.#port)?.message as Failure | undefined;
      this.#end(said?.reason ?? `exit code ${code}`);
    });
  }

  /** Resolves once the thread has its environment. */
  static async start(environment: string, modules: readonly string[]): Promise<LaneThread> {
    const thread = new LaneThread(environment, modules);
    const worker = thread.#worker;
    await new Promise((resolve) => {
      worker.once("message", resolve);
      worker.once("exit", resolve);
    });
    if (thread.#ended) throw thread.#ended;
    worker.unref();
    return thread;
  }

  /** Asks for a step of the lanes of a vector. */
  step(vector: number): void {
    this.#request(vector);
  }

  send(call: Call): void {
    this.#port.postMessage(call);
    this.#request(CALL);
  }

  #request(vector: number): void {
    Atomics.store(this.#signal, VECTOR, vector);
    this.#requests = (this.#requests + 1) | 0;
    count(this.#signal, REQUESTS);
  }

  /** @throws EnvironmentError what the lanes threw, or that the thread ended. */
  async answer(): Promise<void> {
    while (!this.#ended && !this.#answers(PATIENCE)) await setImmediate();
    if (this.#ended) throw this.#ended;
    this.#result();
  }

  /** As `answer`, but without a turn of the event loop. */
  answerNow(): Plain {
    if (this.#ended) throw this.#ended;
    if (!this.#answers(LIMIT)) throw this.#end(`it gave no answer for ${LIMIT / 1000} s`);
    return this.#result();
  }

  #answers(milliseconds: number): boolean {
    return changes(this.#signal, ANSWERS, (this.#requests - 1) | 0, milliseconds);
  }

  #end(reason: string): EnvironmentError {
    this.#ended ??= new EnvironmentError(this.#environment, `a thread of its lanes ended: ${reason}`);
    return this.#ended;
  }

  #result(): Plain {
    const what = Atomics.load(this.#signal, RESULTS);
    if (what === NOTHING) return null;
    const { message } = receiveMessageOnPort(this.#port) as { readonly message: Result };
    if ("value" in message) return message.value;
    throw what === ENDED ? this.#end(message.reason) : errorOf(message);
  }

  /** Ends the thread, whatever it is doing; that is no native call, so it is safe. */
  async close(): Promise<void> {
    await this.#worker.terminate();
    this.#port.close();
  }
}

/** Lanes `from` to `to` - 1 of a vector, in a thread. */
interface Share {
  readonly thread: LaneThread;
  readonly from: number;
  readonly to: number;
}

/** The same as a `LaneVector`, bit for bit and in its states too; this thread and others step a share of the lanes each. */
class ThreadedVector implements VectorEnvironment {
  readonly spec: EnvironmentSpec;
  readonly size: number;
  /** Not shared, since ONNX Runtime takes no shared memory: copied after every change. */
  readonly observations: Float32Array;
  readonly rewards: Float64Array;
  readonly terminated: Uint8Array;
  readonly truncated: Uint8Array;
  readonly lifeLost: Uint8Array;
  readonly #vector: number;
  readonly #shared: LaneBuffers;
  readonly #checked: LaneActions;
  readonly #actions: Int32Array | Float32Array;
  /** Lanes 0 to `own.size` - 1; the shares of the threads follow. */
  readonly #own: LaneVector;
  readonly #ownActions: Int32Array | Float32Array;
  readonly #shares: readonly Share[];

  /** `vector` is a number of its own for each vector. */
  constructor({ spec, create }: Registration, size: number, threads: readonly LaneThread[], vector: number) {
    const width = sizeOf(spec.observationSpace);
    const actionSize = sizeOf(spec.actionSpace);
    const shared: LaneBuffers = {
      observations: new Float32Array(new SharedArrayBuffer(4 * size * width)),
      rewards: new Float64Array(new SharedArrayBuffer(8 * size)),
      terminated: new Uint8Array(new SharedArrayBuffer(size)),
      truncated: new Uint8Array(new SharedArrayBuffer(size)),
      lifeLost: new Uint8Array(new SharedArrayBuffer(size)),
    };
    const actions = new SharedArrayBuffer(4 * size * actionSize);
    this.spec = spec;
    this.size = size;
    this.observations = new Float32Array(size * width);
    this.rewards = shared.rewards;
    this.terminated = shared.terminated;
    this.truncated = shared.truncated;
    this.lifeLost = shared.lifeLost;
    this.#vector = vector;
    this.#shared = shared;
    this.#checked = new LaneActions(spec, size);
    this.#actions = spec.actionSpace.kind === "discrete" ? new Int32Array(actions) : new Float32Array(actions);
    const part = (from: number, to: number) => ({
      buffers: {
        observations: shared.observations.subarray(from * width, to * width),
        rewards: shared.rewards.subarray(from, to),
        terminated: shared.terminated.subarray(from, to),
        truncated: shared.truncated.subarray(from, to),
        lifeLost: shared.lifeLost.subarray(from, to),
      },
      actions: this.#actions.subarray(from * actionSize, to * actionSize),
    });
    // Contiguous and as equal as they can be. Which lanes are together makes no difference: they differ by chance alone.
    const borderOf = (share: number): number => Math.floor((share * size) / (threads.length + 1));
    const own = part(0, borderOf(1));
    this.#own = new LaneVector(spec, create, borderOf(1), own.buffers);
    this.#ownActions = own.actions;
    this.#shares = threads.map((thread, k) => ({ thread, from: borderOf(k + 1), to: borderOf(k + 2) }));
    for (const { thread, from, to } of this.#shares) {
      thread.send({ vector, method: "create", ...part(from, to) });
      thread.answerNow();
    }
  }

  async reset(lane: number, seed?: number): Promise<void> {
    if (!Number.isInteger(lane) || lane < 0 || lane >= this.size) refuseLane(this.spec, this.size, lane);
    const share = this.#shares.findLast(({ from }) => lane >= from);
    if (share) {
      share.thread.send({ vector: this.#vector, method: "reset", lane: lane - share.from, seed });
      await share.thread.answer();
    } else {
      this.#own.reset(lane, seed);
    }
    this.#observe();
  }

  /** Refuses a wrong action before any lane moves. Of several errors, that of the lowest lanes is thrown. */
  async step(actions: Int32Array | Float32Array): Promise<void> {
    this.#checked.take(actions, this);
    this.#actions.set(actions);
    for (const { thread } of this.#shares) thread.step(this.#vector);
    const failures: unknown[] = [];
    try {
      this.#own.step(this.#ownActions);
    } catch (error) {
      failures.push(error);
    }
    for (const { thread } of this.#shares) {
      await thread.answer().catch((error: unknown) => failures.push(error));
    }
    this.#observe();
    if (failures.length > 0) throw failures[0];
  }

  getState(): VectorState {
    const lanes = this.#shares.flatMap(({ thread }) => {
      thread.send({ vector: this.#vector, method: "getState" });
      return (thread.answerNow() as VectorState).lanes;
    });
    const { observations, rewards, terminated, truncated } = this.#shared;
    return {
      lanes: [...this.#own.getState().lanes, ...lanes],
      observations: observations.slice(),
      rewards: rewards.slice(),
      terminated: terminated.slice(),
      truncated: truncated.slice(),
    };
  }

  setState(state: Plain): void {
    const saved = parseVectorState(this, state);
    const width = this.observations.length / this.size;
    const part = (from: number, to: number): VectorState => ({
      lanes: saved.lanes.slice(from, to),
      observations: saved.observations.slice(from * width, to * width),
      rewards: saved.rewards.slice(from, to),
      terminated: saved.terminated.slice(from, to),
      truncated: saved.truncated.slice(from, to),
    });
    this.#own.setState(part(0, this.#own.size));
    for (const { thread, from, to } of this.#shares) {
      thread.send({ vector: this.#vector, method: "setState", state: part(from, to) });
      thread.answerNow();
    }
    this.#observe();
  }

  close(): void {
    for (const { thread } of this.#shares) {
      try {
        thread.send({ vector: this.#vector, method: "close" });
        thread.answerNow();
      } catch {
        // Those of a thread that has ended are gone already.
      }
    }
  }

  #observe(): void {
    this.observations.set(this.#shared.observations);
  }
}

/**
 * The lanes of a run's vectors: in this thread, or, when a step is slow enough for that (`Registration.slow`), shared out
 * among this thread and others. The others wait between the steps; they keep no process alive.
 */
export class LaneThreads {
  readonly #registration: Registration;
  readonly #threads: readonly LaneThread[];
  #vectors = 0;

  private constructor(registration: Registration, threads: readonly LaneThread[]) {
    this.#registration = registration;
    this.#threads = threads;
  }

  /**
   * Starts the threads, if any are needed: a second of time at the most, once a run.
   *
   * @param workers threads that may step lanes, this one included; their number never changes a result
   * @param modules URLs of modules that export or register environments
   * @throws UsageError when the id is unknown
   */
  static async start(environment: string, workers: number, modules: readonly string[]): Promise<LaneThreads> {
    const registration = registrationOf(environment);
    const starting = Array.from({ length: registration.slow ? workers - 1 : 0 }, () =>
      LaneThread.start(environment, modules),
    );
    return new LaneThreads(registration, await Promise.all(starting));
  }

  get spec(): EnvironmentSpec {
    return this.#registration.spec;
  }

  /** @throws UsageError when `size` is not a positive integer. */
  vector(size: number): VectorEnvironment {
    const { spec, create } = this.#registration;
    const threads = this.#threads.slice(0, Math.max(0, size - 1));
    if (threads.length === 0 || !Number.isInteger(size)) return vectorOf(spec, create, size);
    this.#vectors++;
    return new ThreadedVector(this.#registration, size, threads, this.#vectors);
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }
}

import { fileURLToPath } from "node:url";
import { z } from "zod";
import { EnvironmentError, PopsError, reasonOf, UsageError } from "../errors.ts";
import type { Plain } from "../plain.ts";
import type { Action, Environment, EnvironmentSpec, VectorEnvironment } from "./environment.ts";
import { registrationOf, withTimeLimit } from "./registry.ts";
import { checkAction, sizeOf } from "./spaces.ts";
import { float64, parseState, partState } from "./state.ts";

/** The buffers of a vector: a part of larger ones where its lanes are a part of another's. */
export type LaneBuffers = Pick<VectorEnvironment, "observations" | "rewards" | "terminated" | "truncated" | "lifeLost">;

/** Buffers of their own. */
export function allocate(spec: EnvironmentSpec, size: number): LaneBuffers {
  return {
    observations: new Float32Array(size * sizeOf(spec.observationSpace)),
    rewards: new Float64Array(size),
    terminated: new Uint8Array(size),
    truncated: new Uint8Array(size),
    lifeLost: new Uint8Array(size),
  };
}

/** A step's actions, a lane at a time. */
export class LaneActions {
  readonly #spec: EnvironmentSpec;
  readonly #size: number;
  readonly #width: number;
  /** All numbers of a step's actions, and each lane's view of its own; `undefined` where actions are choices. */
  readonly #boxes: { readonly numbers: Float32Array; readonly rows: readonly Float32Array[] } | undefined;
  #actions: Int32Array | Float32Array = new Int32Array();

  constructor(spec: EnvironmentSpec, size: number) {
    const width = sizeOf(spec.actionSpace);
    this.#spec = spec;
    this.#size = size;
    this.#width = width;
    if (spec.actionSpace.kind === "box") {
      const numbers = new Float32Array(size * width);
      const rowOf = (_: unknown, lane: number): Float32Array => numbers.subarray(lane * width, (lane + 1) * width);
      this.#boxes = { numbers, rows: Array.from({ length: size }, rowOf) };
    }
  }

  /** @throws EnvironmentError when the actions are not as many as the lanes need, or that of a running lane is wrong. */
  take(actions: Int32Array | Float32Array, { terminated, truncated }: LaneBuffers): void {
    if (actions.length !== this.#size * this.#width) {
      throw new EnvironmentError(
        this.#spec.id,
        `step() was given ${actions.length} numbers, expected ${this.#width} for each of ${this.#size} lanes`,
      );
    }
    this.#actions = actions;
    this.#boxes?.numbers.set(actions);
    for (let lane = 0; lane < this.#size; lane++) {
      if (!terminated[lane] && !truncated[lane]) checkAction(this.#spec, this.of(lane));
    }
  }

  of(lane: number): Action {
    return this.#boxes === undefined ? this.#actions[lane]! : this.#boxes.rows[lane]!;
  }
}

export interface VectorState {
  readonly [key: string]: Plain;
  readonly lanes: readonly Plain[];
  readonly observations: Float32Array;
  readonly rewards: Float64Array;
  readonly terminated: Uint8Array;
  readonly truncated: Uint8Array;
}

/** @throws EnvironmentError when it is not from the `getState` of a vector of the same environment and size. */
export function parseVectorState(vector: VectorEnvironment, state: Plain): VectorState {
  const { spec, size } = vector;
  const { length } = vector.observations;
  const flags = z.instanceof(Uint8Array).refine((values) => values.length === size, `expected ${size} flags`);
  const schema = z.strictObject({
    lanes: z.array(partState).length(size),
    observations: z.instanceof(Float32Array).refine((values) => values.length === length, `expected ${length} numbers`),
    rewards: float64(size),
    terminated: flags,
    truncated: flags,
  });
  return parseState(spec.id, schema, state);
}

/** @throws EnvironmentError always: there is no such lane. */
export function refuseLane(spec: EnvironmentSpec, size: number, lane: number): never {
  throw new EnvironmentError(spec.id, `lane is ${lane}, expected an integer from 0 to ${size - 1}`);
}

/** Copies `count` numbers; gives -1, or the index of the first that is not finite. */
export function copyFinite(from: Float32Array, at: number, into: Float32Array, to: number, count: number): number {
  // A sum of float32 numbers is finite in float64 if they all are.
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const value = from[at + i]!;
    into[to + i] = value;
    sum += value;
  }
  return Number.isFinite(sum) ? -1 : into.subarray(to, to + count).findIndex((value) => !Number.isFinite(value));
}

const HERE = fileURLToPath(new URL("..", import.meta.url));

/** Where in the user's program an error was thrown, as ` (my-env.ts, line 12)`; empty when it was not thrown there. */
export function placeOf(error: unknown): string {
  const frames = error instanceof Error ? (error.stack ?? "").split("\n").filter((line) => /^ +at /.test(line)) : [];
  const frame = frames.find((line) => line.includes(HERE) || !/node:|[\\/]node_modules[\\/]/.test(line)) ?? "";
  const [, file, line] = /([^\s()/\\]+\.[cm]?[jt]s):(\d+):\d+\)?$/.exec(frame) ?? [];
  return file === undefined || frame.includes(HERE) ? "" : ` (${file}, line ${line})`;
}

/** Runs an environment's own code: what that throws becomes an error of the environment's. */
export function guarded<Value>(environment: string, run: () => Value): Value {
  try {
    return run();
  } catch (error) {
    if (error instanceof PopsError) throw error;
    const name = error instanceof Error ? `${error.name}: ` : "";
    throw new EnvironmentError(environment, `${name}${reasonOf(error)}${placeOf(error)}`, { cause: error });
  }
}

/** Whether a user's own module threw what nobody caught: there, or as a promise rejected with something else than an error. */
export function isStray(thrown: unknown): boolean {
  if (!(thrown instanceof Error) || placeOf(thrown) !== "") return true;
  return "code" in thrown && thrown.code === "ERR_UNHANDLED_REJECTION";
}

/** Why a thread was left without anyone to catch it, and where; Node says a lot around what a promise was rejected with. */
export function strayReasonOf(thrown: unknown): string {
  const reason = reasonOf(thrown);
  const [, rejected = reason] = /The promise rejected with the reason "(.*)"\.$/s.exec(reason) ?? [];
  return rejected + placeOf(thrown);
}

/** Single environments that advance in lock-step in this thread. */
export class LaneVector implements VectorEnvironment {
  readonly spec: EnvironmentSpec;
  readonly size: number;
  readonly observations: Float32Array;
  readonly rewards: Float64Array;
  readonly terminated: Uint8Array;
  readonly truncated: Uint8Array;
  readonly lifeLost: Uint8Array;
  readonly #lanes: readonly Environment[];
  readonly #observationSize: number;
  readonly #actions: LaneActions;

  /** Writes into `buffers`, if not into buffers of its own. */
  constructor(spec: EnvironmentSpec, create: () => Environment, size: number, buffers = allocate(spec, size)) {
    this.spec = spec;
    this.size = size;
    this.#lanes = guarded(spec.id, () => Array.from({ length: size }, () => withTimeLimit(create())));
    this.#observationSize = sizeOf(spec.observationSpace);
    this.#actions = new LaneActions(spec, size);
    this.observations = buffers.observations;
    this.rewards = buffers.rewards;
    this.terminated = buffers.terminated;
    this.truncated = buffers.truncated;
    this.lifeLost = buffers.lifeLost;
  }

  reset(lane: number, seed?: number): void {
    const environment = this.#lanes[lane];
    if (environment === undefined) refuseLane(this.spec, this.size, lane);
    guarded(this.spec.id, () => {
      this.#observe(lane, environment.reset(seed));
    });
    this.rewards[lane] = 0;
    this.terminated[lane] = 0;
    this.truncated[lane] = 0;
    this.lifeLost[lane] = 0;
  }

  /** Refuses a wrong action before any lane moves. */
  step(actions: Int32Array | Float32Array): void {
    this.#actions.take(actions, this);
    guarded(this.spec.id, () => {
      for (let lane = 0; lane < this.size; lane++) this.#step(lane);
    });
  }

  #step(lane: number): void {
    if (this.#ended(lane)) {
      this.rewards[lane] = 0;
      this.lifeLost[lane] = 0;
      return;
    }
    const step = this.#lanes[lane]!.step(this.#actions.of(lane));
    this.#observe(lane, step.observation);
    if (!Number.isFinite(step.reward)) {
      throw new EnvironmentError(this.spec.id, `the reward of a step is ${step.reward}, expected a finite number`);
    }
    this.rewards[lane] = step.reward;
    this.terminated[lane] = step.terminated ? 1 : 0;
    this.truncated[lane] = step.truncated ? 1 : 0;
    this.lifeLost[lane] = step.lifeLost ? 1 : 0;
  }

  getState(): VectorState {
    return {
      lanes: guarded(this.spec.id, () => this.#lanes.map((lane) => lane.getState())),
      observations: this.observations.slice(),
      rewards: this.rewards.slice(),
      terminated: this.terminated.slice(),
      truncated: this.truncated.slice(),
    };
  }

  setState(state: Plain): void {
    const saved = parseVectorState(this, state);
    guarded(this.spec.id, () => {
      for (const [lane, environment] of this.#lanes.entries()) environment.setState(saved.lanes[lane]!);
    });
    this.observations.set(saved.observations);
    this.rewards.set(saved.rewards);
    this.terminated.set(saved.terminated);
    this.truncated.set(saved.truncated);
    this.lifeLost.fill(0);
  }

  close(): void {
    // Nothing is held outside this thread.
  }

  #ended(lane: number): boolean {
    return (this.terminated[lane]! | this.truncated[lane]!) !== 0;
  }

  #observe(lane: number, observation: Float32Array): void {
    const size = this.#observationSize;
    if (observation.length !== size) {
      throw new EnvironmentError(
        this.spec.id,
        `returned an observation of ${observation.length} numbers, its space has ${size}; checkEnvironment() says more`,
      );
    }
    if (this.spec.frameStack !== undefined) {
      // Pictures of bytes: what was drawn is finite, and one call copies them in half the time.
      this.observations.set(observation, lane * size);
      return;
    }
    const wrong = copyFinite(observation, 0, this.observations, lane * size, size);
    if (wrong < 0) return;
    throw new EnvironmentError(
      this.spec.id,
      `observation[${wrong}] is ${observation[wrong]}, expected a finite number`,
    );
  }
}

/**
 * `size` environments made by `create`, each with the time limit of its spec, that advance together in this thread.
 * @throws UsageError when `size` is not a positive integer.
 */
export function vectorOf(spec: EnvironmentSpec, create: () => Environment, size: number): VectorEnvironment {
  if (!Number.isInteger(size) || size < 1) throw new UsageError("size", `is ${size}, expected an integer from 1`);
  return new LaneVector(spec, create, size);
}

/**
 * `size` environments of a registered id that advance together.
 * @throws UsageError when the id is unknown or `size` is not a positive integer.
 */
export function makeVector(id: string, size: number): VectorEnvironment {
  const { spec, create } = registrationOf(id);
  return vectorOf(spec, create, size);
}

import { z } from "zod";
import { EnvironmentError, UsageError } from "../errors.ts";
import type { Plain } from "../plain.ts";
import type { Action, Environment, EnvironmentSpec, VectorEnvironment } from "./environment.ts";
import { registrationOf, withTimeLimit } from "./registry.ts";
import { checkAction, sizeOf } from "./spaces.ts";
import { float64, parseState, partState } from "./state.ts";

/** Single environments that advance in lock-step in this thread. */
class LaneVector implements VectorEnvironment {
  readonly spec: EnvironmentSpec;
  readonly size: number;
  readonly observations: Float32Array;
  readonly rewards: Float64Array;
  readonly terminated: Uint8Array;
  readonly truncated: Uint8Array;
  readonly #lanes: readonly Environment[];
  readonly #observationSize: number;
  readonly #actionSize: number;
  /** All numbers of a step's actions, and each lane's view of its own; `undefined` where actions are choices. */
  readonly #boxes: { readonly numbers: Float32Array; readonly rows: readonly Float32Array[] } | undefined;

  constructor(spec: EnvironmentSpec, lanes: readonly Environment[]) {
    const size = lanes.length;
    this.spec = spec;
    this.size = size;
    this.#lanes = lanes;
    this.#observationSize = sizeOf(spec.observationSpace);
    this.#actionSize = sizeOf(spec.actionSpace);
    this.observations = new Float32Array(size * this.#observationSize);
    this.rewards = new Float64Array(size);
    this.terminated = new Uint8Array(size);
    this.truncated = new Uint8Array(size);
    if (spec.actionSpace.kind === "box") {
      const numbers = new Float32Array(size * this.#actionSize);
      const rowOf = (lane: number): Float32Array =>
        numbers.subarray(lane * this.#actionSize, (lane + 1) * this.#actionSize);
      this.#boxes = { numbers, rows: lanes.map((_, lane) => rowOf(lane)) };
    }
  }

  reset(lane: number, seed?: number): void {
    const environment = this.#lanes[lane];
    if (environment === undefined) {
      throw new EnvironmentError(this.spec.id, `lane is ${lane}, expected an integer from 0 to ${this.size - 1}`);
    }
    this.#observe(lane, environment.reset(seed));
    this.rewards[lane] = 0;
    this.terminated[lane] = 0;
    this.truncated[lane] = 0;
  }

  /** Refuses a wrong action before any lane moves. */
  step(actions: Int32Array | Float32Array): void {
    if (actions.length !== this.size * this.#actionSize) {
      throw new EnvironmentError(
        this.spec.id,
        `step() was given ${actions.length} numbers, expected ${this.#actionSize} for each of ${this.size} lanes`,
      );
    }
    this.#boxes?.numbers.set(actions);
    for (let lane = 0; lane < this.size; lane++) {
      if (!this.#ended(lane)) checkAction(this.spec, this.#action(actions, lane));
    }
    for (let lane = 0; lane < this.size; lane++) {
      if (this.#ended(lane)) {
        this.rewards[lane] = 0;
        continue;
      }
      const step = this.#lanes[lane]!.step(this.#action(actions, lane));
      this.#observe(lane, step.observation);
      this.rewards[lane] = step.reward;
      this.terminated[lane] = step.terminated ? 1 : 0;
      this.truncated[lane] = step.truncated ? 1 : 0;
    }
  }

  getState(): Plain {
    return {
      lanes: this.#lanes.map((lane) => lane.getState()),
      observations: this.observations.slice(),
      rewards: this.rewards.slice(),
      terminated: this.terminated.slice(),
      truncated: this.truncated.slice(),
    };
  }

  setState(state: Plain): void {
    const { size } = this;
    const flags = z.instanceof(Uint8Array).refine((values) => values.length === size, `expected ${size} flags`);
    const length = this.observations.length;
    const schema = z.strictObject({
      lanes: z.array(partState).length(size),
      observations: z
        .instanceof(Float32Array)
        .refine((values) => values.length === length, `expected ${length} numbers`),
      rewards: float64(size),
      terminated: flags,
      truncated: flags,
    });
    const saved = parseState(this.spec.id, schema, state);
    for (const [lane, environment] of this.#lanes.entries()) environment.setState(saved.lanes[lane]!);
    this.observations.set(saved.observations);
    this.rewards.set(saved.rewards);
    this.terminated.set(saved.terminated);
    this.truncated.set(saved.truncated);
  }

  #ended(lane: number): boolean {
    return (this.terminated[lane]! | this.truncated[lane]!) !== 0;
  }

  #action(actions: Int32Array | Float32Array, lane: number): Action {
    return this.#boxes === undefined ? actions[lane]! : this.#boxes.rows[lane]!;
  }

  #observe(lane: number, observation: Float32Array): void {
    const size = this.#observationSize;
    if (observation.length !== size) {
      throw new EnvironmentError(
        this.spec.id,
        `returned an observation of ${observation.length} numbers, its space has ${size}; checkEnvironment() says more`,
      );
    }
    const offset = lane * size;
    for (let index = 0; index < size; index++) this.observations[offset + index] = observation[index]!;
  }
}

/**
 * `size` environments made by `create`, each with the time limit of its spec, that advance together in this thread.
 * @throws UsageError when `size` is not a positive integer.
 */
export function vectorOf(spec: EnvironmentSpec, create: () => Environment, size: number): VectorEnvironment {
  if (!Number.isInteger(size) || size < 1) throw new UsageError("size", `is ${size}, expected an integer from 1`);
  return new LaneVector(
    spec,
    Array.from({ length: size }, () => withTimeLimit(create())),
  );
}

/**
 * `size` environments of a registered id that advance together.
 * @throws UsageError when the id is unknown or `size` is not a positive integer.
 */
export function makeVector(id: string, size: number): VectorEnvironment {
  const { spec, create } = registrationOf(id);
  return vectorOf(spec, create, size);
}

import { ShapeError } from "../errors.ts";
import type { Plain } from "../plain.ts";
import type { Pcg64 } from "../random/pcg64.ts";

/**
 * Where sampled transitions are written, usually the input buffers of a training program. `discounts` is gamma^n, or 0
 * when the episode terminated within the n steps: the target is `rewards + discounts * value(nextObservations)`.
 */
export interface Batch {
  /** [batch, observation size] */
  readonly observations: Float32Array;
  /** [batch] */
  readonly actions: Int32Array;
  /** [batch] discounted sums of n rewards */
  readonly rewards: Float32Array;
  /** [batch, observation size] */
  readonly nextObservations: Float32Array;
  /** [batch] */
  readonly discounts: Float32Array;
}

/** Ring buffer of transitions, sampled uniformly with replacement. Memory: (8 * observation size + 12) bytes a transition. */
export class ReplayBuffer {
  readonly capacity: number;
  readonly #width: number;
  readonly #observations: Float32Array;
  readonly #nextObservations: Float32Array;
  readonly #actions: Int32Array;
  readonly #rewards: Float32Array;
  readonly #discounts: Float32Array;
  #size = 0;
  #next = 0;

  constructor(capacity: number, observationSize: number) {
    this.capacity = capacity;
    this.#width = observationSize;
    this.#observations = new Float32Array(capacity * observationSize);
    this.#nextObservations = new Float32Array(capacity * observationSize);
    this.#actions = new Int32Array(capacity);
    this.#rewards = new Float32Array(capacity);
    this.#discounts = new Float32Array(capacity);
  }

  /** Transitions held. */
  get size(): number {
    return this.#size;
  }

  /** Stores one transition over the oldest when full; returns the slot that it got. */
  add(
    observation: Float32Array,
    action: number,
    reward: number,
    nextObservation: Float32Array,
    discount: number,
  ): number {
    const slot = this.#next;
    this.#observations.set(observation, slot * this.#width);
    this.#nextObservations.set(nextObservation, slot * this.#width);
    this.#actions[slot] = action;
    this.#rewards[slot] = reward;
    this.#discounts[slot] = discount;
    this.#next = (slot + 1) % this.capacity;
    this.#size = Math.min(this.#size + 1, this.capacity);
    return slot;
  }

  /** Fills a batch uniformly. */
  sample(random: Pcg64, batch: Batch): void {
    if (this.#size === 0) throw new ShapeError("replay", "is empty, there is nothing to sample");
    for (let i = 0; i < batch.actions.length; i++) this.read(random.integer(this.#size), batch, i);
  }

  /** Writes the transition of one slot into row `row` of a batch. */
  read(slot: number, batch: Batch, row: number): void {
    const width = this.#width;
    const from = slot * width;
    const to = row * width;
    for (let k = 0; k < width; k++) {
      batch.observations[to + k] = this.#observations[from + k]!;
      batch.nextObservations[to + k] = this.#nextObservations[from + k]!;
    }
    batch.actions[row] = this.#actions[slot]!;
    batch.rewards[row] = this.#rewards[slot]!;
    batch.discounts[row] = this.#discounts[slot]!;
  }

  /** Only what is held: an empty buffer costs nothing in a checkpoint. */
  getState(): ReplayState {
    const held = this.#size;
    return {
      next: this.#next,
      observations: this.#observations.slice(0, held * this.#width),
      nextObservations: this.#nextObservations.slice(0, held * this.#width),
      actions: this.#actions.slice(0, held),
      rewards: this.#rewards.slice(0, held),
      discounts: this.#discounts.slice(0, held),
    };
  }

  /** @throws ShapeError when the state is of another observation size or capacity. The buffer is then unchanged. */
  setState(state: ReplayState): void {
    const { next, observations, nextObservations, actions, rewards, discounts } = state;
    const held = actions.length;
    const rows = [observations, nextObservations].every(({ length }) => length === held * this.#width);
    const columns = [rewards, discounts].every(({ length }) => length === held);
    // A full buffer goes on anywhere in its ring; one that is not goes on behind its last transition.
    const ring = held < this.capacity ? next === held : held === this.capacity && next < held;
    if (!rows || !columns || !ring) {
      throw new ShapeError(
        "replay",
        `a state of ${held} transitions that goes on at slot ${next} does not fit a buffer of ${this.capacity} ` +
          `transitions with observations of ${this.#width} numbers`,
      );
    }
    this.#size = held;
    this.#next = next;
    this.#observations.set(observations);
    this.#nextObservations.set(nextObservations);
    this.#actions.set(actions);
    this.#rewards.set(rewards);
    this.#discounts.set(discounts);
  }
}

export interface ReplayState {
  readonly [key: string]: Plain;
  readonly next: number;
  readonly observations: Float32Array;
  readonly nextObservations: Float32Array;
  readonly actions: Int32Array;
  readonly rewards: Float32Array;
  readonly discounts: Float32Array;
}

import { ShapeError } from "../errors.ts";
import { allocate } from "../memory.ts";
import type { Plain } from "../plain.ts";
import type { Pcg64 } from "../random/pcg64.ts";
import type { Observations } from "./rows.ts";
import { FrameStore, type ObservationStore, RowStore, type StoreState } from "./store.ts";

/**
 * Where sampled transitions are written, usually the input buffers of a training program. `discounts` is gamma^n, or 0
 * when the episode terminated within the n steps: the target is `rewards + discounts * value(nextObservations)`.
 */
export interface Batch {
  /** [batch, observation size] */
  readonly observations: Observations;
  /** [batch] */
  readonly actions: Int32Array;
  /** [batch] discounted sums of n rewards */
  readonly rewards: Float32Array;
  /** [batch, observation size] */
  readonly nextObservations: Observations;
  /** [batch] */
  readonly discounts: Float32Array;
}

/**
 * Ring buffer of transitions, sampled uniformly with replacement. Memory: (8 * observation size + 12) bytes a transition; of
 * stacked frames, those of about one frame and 44 bytes. Where episodes are very short, their first frames may push out the
 * frames of the oldest transitions, which are then not sampled.
 */
export class ReplayBuffer {
  readonly capacity: number;
  /** Two slots a transition: where it begins and where it leads. */
  readonly #observations: ObservationStore;
  readonly #actions: Int32Array;
  readonly #rewards: Float32Array;
  readonly #discounts: Float32Array;
  #size = 0;
  #next = 0;

  /**
   * @param frameStack frames of bytes of which an observation is a stack, if it is one
   * @throws UsageError when there is no memory for so many
   */
  constructor(capacity: number, observationSize: number, frameStack?: number) {
    const bytes =
      frameStack === undefined ? 8 * observationSize + 12 : observationSize / frameStack + 8 * frameStack + 12;
    const what = `${capacity} transitions of observations of ${observationSize} numbers`;
    this.capacity = capacity;
    this.#observations = allocate("teacher.bufferSize", bytes * capacity, what, () =>
      frameStack === undefined
        ? new RowStore(2 * capacity, observationSize)
        : new FrameStore(2 * capacity, observationSize, frameStack, capacity),
    );
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
    this.#observations.set(2 * slot, observation);
    this.#observations.set(2 * slot + 1, nextObservation);
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
    for (let i = 0; i < batch.actions.length; i++) {
      let slot = random.integer(this.#size);
      while (!this.holds(slot)) slot = random.integer(this.#size);
      this.read(slot, batch, i);
    }
  }

  /** Whether the frames of a transition are still there. */
  holds(slot: number): boolean {
    return this.#observations.holds(2 * slot) && this.#observations.holds(2 * slot + 1);
  }

  /** Writes the transition of one slot into row `row` of a batch. */
  read(slot: number, batch: Batch, row: number): void {
    this.#observations.read(2 * slot, batch.observations, row);
    this.#observations.read(2 * slot + 1, batch.nextObservations, row);
    batch.actions[row] = this.#actions[slot]!;
    batch.rewards[row] = this.#rewards[slot]!;
    batch.discounts[row] = this.#discounts[slot]!;
  }

  /** Only what is held: an empty buffer costs nothing in a checkpoint. */
  getState(): ReplayState {
    const held = this.#size;
    return {
      next: this.#next,
      observations: this.#observations.getState(2 * held),
      actions: this.#actions.slice(0, held),
      rewards: this.#rewards.slice(0, held),
      discounts: this.#discounts.slice(0, held),
    };
  }

  /** @throws ShapeError when the state is of another observation size or capacity. The buffer is then unchanged. */
  setState(state: ReplayState): void {
    const { next, observations, actions, rewards, discounts } = state;
    const held = actions.length;
    const columns = [rewards, discounts].every(({ length }) => length === held);
    // A full buffer goes on anywhere in its ring; one that is not goes on behind its last transition.
    const ring = held < this.capacity ? next === held : held === this.capacity && next < held;
    if (!columns || !ring) {
      throw new ShapeError(
        "replay",
        `a state of ${held} transitions that goes on at slot ${next} does not fit a buffer of ${this.capacity} transitions`,
      );
    }
    this.#observations.setState(observations, 2 * held);
    this.#size = held;
    this.#next = next;
    this.#actions.set(actions);
    this.#rewards.set(rewards);
    this.#discounts.set(discounts);
  }
}

export interface ReplayState {
  readonly [key: string]: Plain;
  readonly next: number;
  readonly observations: StoreState;
  readonly actions: Int32Array;
  readonly rewards: Float32Array;
  readonly discounts: Float32Array;
}

import { ShapeError } from "../errors.ts";
import type { Plain } from "../plain.ts";
import type { Pcg64 } from "../random/pcg64.ts";
import { type Batch, ReplayBuffer, type ReplayState } from "./uniform.ts";

/** Binary tree of partial sums over `capacity` leaves: update and search in log2(capacity) steps. */
export class SumTree {
  readonly #leaves: number;
  readonly #sums: Float64Array;

  constructor(capacity: number) {
    this.#leaves = 2 ** Math.ceil(Math.log2(Math.max(2, capacity)));
    this.#sums = new Float64Array(2 * this.#leaves);
  }

  get total(): number {
    return this.#sums[1]!;
  }

  get(leaf: number): number {
    return this.#sums[this.#leaves + leaf]!;
  }

  /** Sums are recomputed from the children, never adjusted by differences: no drift however many updates. */
  set(leaf: number, value: number): void {
    let node = this.#leaves + leaf;
    this.#sums[node] = value;
    for (node >>= 1; node >= 1; node >>= 1) this.#sums[node] = this.#sums[2 * node]! + this.#sums[2 * node + 1]!;
  }

  /** The leaf in whose share of [0, total) the number falls; one with a share above 0, if there is any. */
  find(mass: number): number {
    let node = 1;
    let rest = mass;
    while (node < this.#leaves) {
      node *= 2;
      const left = this.#sums[node]!;
      // Rounding may leave `rest` at or above the total: never walk into an empty half.
      if (rest >= left && this.#sums[node + 1]! > 0) {
        rest -= left;
        node++;
      }
    }
    return node - this.#leaves;
  }
}

export interface PrioritizedOptions {
  /** 0 is uniform, 1 is proportional to the error. */
  readonly alpha: number;
  /** Added to |error|, above 0, so that nothing is lost for ever. */
  readonly epsilon: number;
}

/**
 * Proportional prioritized experience replay (Schaul et al. 2016, section 3.3): P(i) = p_i^alpha / sum p^alpha with
 * p_i = |TD error| + epsilon; new transitions get the largest priority seen; a batch is drawn one from each of its equal
 * shares of the mass. Importance weights (size * P(i))^-beta are divided by the batch's largest.
 */
export class PrioritizedReplay {
  readonly #buffer: ReplayBuffer;
  #tree: SumTree;
  readonly #alpha: number;
  readonly #epsilon: number;
  /** Largest p^alpha so far. */
  #largest = 1;

  constructor(capacity: number, observationSize: number, options: PrioritizedOptions, frameStack?: number) {
    this.#buffer = new ReplayBuffer(capacity, observationSize, frameStack);
    this.#tree = new SumTree(capacity);
    this.#alpha = options.alpha;
    this.#epsilon = options.epsilon;
  }

  get size(): number {
    return this.#buffer.size;
  }

  add(
    observation: Float32Array,
    action: number,
    reward: number,
    nextObservation: Float32Array,
    discount: number,
  ): void {
    this.#tree.set(this.#buffer.add(observation, action, reward, nextObservation, discount), this.#largest);
  }

  /** Fills a batch; writes importance weights [batch] and the slots [batch] that `update` wants back. */
  sample(random: Pcg64, beta: number, batch: Batch, weights: Float32Array, slots: Int32Array): void {
    if (this.size === 0) throw new ShapeError("replay", "is empty, there is nothing to sample");
    const share = this.#tree.total / slots.length;
    let largest = 0;
    for (let i = 0; i < slots.length; i++) {
      let slot = this.#tree.find((i + random.double()) * share);
      while (!this.#buffer.holds(slot)) {
        this.#tree.set(slot, 0);
        slot = this.#tree.find(random.double() * this.#tree.total);
      }
      slots[i] = slot;
      this.#buffer.read(slot, batch, i);
      const weight = (this.size * (this.#tree.get(slot) / this.#tree.total)) ** -beta;
      weights[i] = weight;
      largest = Math.max(largest, weight);
    }
    for (let i = 0; i < slots.length; i++) weights[i]! /= largest;
  }

  /** Sets the priorities of sampled slots from their TD errors. */
  update(slots: Int32Array, errors: Float32Array): void {
    for (let i = 0; i < slots.length; i++) {
      const priority = (Math.abs(errors[i]!) + this.#epsilon) ** this.#alpha;
      this.#largest = Math.max(this.#largest, priority);
      this.#tree.set(slots[i]!, priority);
    }
  }

  getState(): PrioritizedState {
    const priorities = Float64Array.from({ length: this.size }, (_, slot) => this.#tree.get(slot));
    return { buffer: this.#buffer.getState(), priorities, largest: this.#largest };
  }

  setState(state: PrioritizedState): void {
    this.#buffer.setState(state.buffer);
    this.#tree = new SumTree(this.#buffer.capacity);
    this.#largest = state.largest;
    for (const [slot, priority] of state.priorities.entries()) this.#tree.set(slot, priority);
  }
}

export interface PrioritizedState {
  readonly [key: string]: Plain;
  readonly buffer: ReplayState;
  readonly priorities: Float64Array;
  readonly largest: number;
}

import type { Normalization } from "../network/architecture.ts";
import type { Plain } from "../plain.ts";

/** Added to the variance: statistics of a constant stay usable (VecNormalize's epsilon). */
const EPSILON = 1e-8;

export interface StatisticsState {
  readonly [key: string]: Plain;
  readonly count: number;
  readonly mean: Float64Array;
  readonly squares: Float64Array;
}

/** Running mean and variance of each of `size` numbers (Welford 1962). */
export class RunningStatistics {
  readonly #mean: Float64Array;
  /** Sums of squared distances from the mean. */
  readonly #squares: Float64Array;
  #count = 0;

  constructor(size: number) {
    this.#mean = new Float64Array(size);
    this.#squares = new Float64Array(size);
  }

  /** Takes in [rows, size] values. */
  update(values: ArrayLike<number>): void {
    const size = this.#mean.length;
    for (let row = 0; row * size < values.length; row++) {
      this.#count++;
      for (let i = 0; i < size; i++) {
        const distance = values[row * size + i]! - this.#mean[i]!;
        this.#mean[i]! += distance / this.#count;
        this.#squares[i]! += distance * (values[row * size + i]! - this.#mean[i]!);
      }
    }
  }

  mean(i: number): number {
    return this.#mean[i]!;
  }

  /** sqrt(variance + epsilon), the population's; 1 before the second value. */
  deviation(i: number): number {
    return this.#count < 2 ? 1 : Math.sqrt(this.#squares[i]! / this.#count + EPSILON);
  }

  /** The statistics as a policy carries them. */
  normalization(clip: number): Normalization {
    const each = Array.from(this.#mean.keys());
    return { mean: each.map((i) => this.mean(i)), deviation: each.map((i) => this.deviation(i)), clip };
  }

  getState(): StatisticsState {
    return { count: this.#count, mean: this.#mean.slice(), squares: this.#squares.slice() };
  }

  setState({ count, mean, squares }: StatisticsState): void {
    this.#count = count;
    this.#mean.set(mean);
    this.#squares.set(squares);
  }
}

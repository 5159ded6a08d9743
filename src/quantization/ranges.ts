import { inputSize, layoutOf } from "../network/architecture.ts";
import type { Network } from "../network/policy.ts";
import { normalizer, predictor } from "../network/predict.ts";
import type { Observations } from "../replay/rows.ts";

/** What some numbers were. */
export interface Range {
  readonly low: number;
  readonly high: number;
  readonly mean: number;
  readonly deviation: number;
}

/** What the numbers of a network were over recorded observations. */
export interface Ranges {
  /** Of each element of an observation, normalised where the network does so. */
  readonly inputs: readonly Range[];
  /** By layer: of what each unit put out, behind its activation. */
  readonly layers: readonly (readonly Range[])[];
}

/**
 * Ranges over [rows, width] observations. One decision an observation.
 * @throws ShapeError when the observations are no whole rows
 */
export function rangesOf(network: Network, observations: Observations): Ranges {
  const { architecture } = network;
  const width = inputSize(architecture);
  const layers = layoutOf(architecture);
  const inputs = new Statistics(width, 1);
  const seen = layers.map(({ outputs, positions }) => new Statistics(outputs, positions));
  const predict = predictor(network, (l, values) => {
    seen[l]!.add(values);
  });
  const normalize = normalizer(architecture);
  const row = new Float32Array(width);
  for (let from = 0; from < observations.length; from += width) {
    row.set(observations.subarray(from, from + width));
    inputs.add(normalize(row));
    predict(row);
  }
  return { inputs: inputs.ranges(), layers: seen.map((statistics) => statistics.ranges()) };
}

/** Of units that put out so many numbers at once. */
class Statistics {
  readonly #positions: number;
  readonly #low: Float64Array;
  readonly #high: Float64Array;
  readonly #sum: Float64Array;
  readonly #squares: Float64Array;
  #count = 0;

  constructor(units: number, positions: number) {
    this.#positions = positions;
    this.#low = new Float64Array(units).fill(Number.POSITIVE_INFINITY);
    this.#high = new Float64Array(units).fill(Number.NEGATIVE_INFINITY);
    this.#sum = new Float64Array(units);
    this.#squares = new Float64Array(units);
  }

  /** @param values [units, positions] */
  add(values: Float32Array): void {
    for (let unit = 0, at = 0; unit < this.#low.length; unit++) {
      for (let position = 0; position < this.#positions; position++, at++) {
        const value = values[at]!;
        if (value < this.#low[unit]!) this.#low[unit] = value;
        if (value > this.#high[unit]!) this.#high[unit] = value;
        this.#sum[unit]! += value;
        this.#squares[unit]! += value * value;
      }
    }
    this.#count += this.#positions;
  }

  ranges(): Range[] {
    return Array.from(this.#low, (low, unit) => {
      const mean = this.#sum[unit]! / this.#count;
      const deviation = Math.sqrt(Math.max(0, this.#squares[unit]! / this.#count - mean * mean));
      return { low, high: this.#high[unit]!, mean, deviation };
    });
  }
}

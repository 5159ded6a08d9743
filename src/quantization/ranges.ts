import { inputSize, layoutOf } from "../network/architecture.ts";
import type { Network } from "../network/policy.ts";
import { predictor } from "../network/predict.ts";

/** What the numbers of a network were over recorded observations. */
export interface Ranges {
  /** Of each element of an observation, as it comes from the environment. */
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** By layer: the largest magnitude that each unit put out, behind its activation. */
  readonly units: readonly Float64Array[];
}

/**
 * Ranges over [rows, width] observations. One decision an observation.
 * @throws ShapeError when the observations are no whole rows, or none
 */
export function rangesOf(network: Network, observations: Float32Array | Uint8Array): Ranges {
  const { architecture } = network;
  const width = inputSize(architecture);
  const layers = layoutOf(architecture);
  const low = new Float64Array(width).fill(Number.POSITIVE_INFINITY);
  const high = new Float64Array(width).fill(Number.NEGATIVE_INFINITY);
  const units = layers.map(({ outputs }) => new Float64Array(outputs));
  const predict = predictor(network, (l, values) => {
    const largest = units[l]!;
    const { positions } = layers[l]!;
    for (const [at, value] of values.entries()) {
      const unit = Math.floor(at / positions);
      if (Math.abs(value) > largest[unit]!) largest[unit] = Math.abs(value);
    }
  });
  const row = new Float32Array(width);
  for (let from = 0; from < observations.length; from += width) {
    row.set(observations.subarray(from, from + width));
    for (const [i, value] of row.entries()) {
      if (value < low[i]!) low[i] = value;
      if (value > high[i]!) high[i] = value;
    }
    predict(row);
  }
  return { low, high, units };
}

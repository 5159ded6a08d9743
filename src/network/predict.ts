import { ShapeError } from "../errors.ts";
import { type Architecture, inputSize, layoutOf } from "./architecture.ts";
import { checkParameters, type Policy } from "./policy.ts";

/**
 * One decision at a time in plain typed-array loops: observation [observation size] to outputs [actions]. The returned
 * buffer is reused by the next call. Sums run in float64 and are rounded to float32 after each layer, so outputs equal
 * those of a batched float32 program up to rounding.
 * @throws ShapeError when the parameters do not fit the architecture or are not finite, or an observation has the wrong length.
 */
export function predictor(
  policy: Pick<Policy, "architecture" | "parameters">,
): (observation: Float32Array) => Float32Array {
  const { architecture, parameters } = policy;
  checkParameters(architecture, parameters);
  const size = inputSize(architecture);
  const normalize = normalizer(architecture);
  const layers = layoutOf(architecture).map((layer) => ({
    ...layer,
    sums: new Float64Array(layer.outputs),
    values: new Float32Array(layer.outputs),
  }));
  return (observation) => {
    if (observation.length !== size)
      throw new ShapeError("predict", `needs ${size} numbers, got ${observation.length}`);
    let x = normalize(observation);
    for (const { inputs, outputs, weights, biases, activation, sums, values } of layers) {
      for (let j = 0; j < outputs; j++) sums[j] = parameters[biases.offset + j]!;
      // Inputs outside, outputs inside: weights are read in the order in which they lie.
      for (let i = 0, w = weights.offset; i < inputs; i++) {
        const value = x[i]!;
        if (value === 0) {
          // Half of a relu layer, as a rule.
          w += outputs;
          continue;
        }
        for (let j = 0; j < outputs; j++, w++) sums[j]! += value * parameters[w]!;
      }
      for (let j = 0; j < outputs; j++) {
        const sum = sums[j]!;
        values[j] = activation === "relu" ? Math.max(0, sum) : activation === "tanh" ? Math.tanh(sum) : sum;
      }
      x = values;
    }
    return x;
  };
}

/** Normalises one observation into a buffer that the next call reuses. */
function normalizer({ normalization }: Architecture): (observation: Float32Array) => Float32Array {
  if (normalization === undefined) return (observation) => observation;
  const { mean, deviation, clip } = normalization;
  const normalized = new Float32Array(mean.length);
  return (observation) => {
    for (let i = 0; i < normalized.length; i++) {
      normalized[i] = Math.min(Math.max((observation[i]! - mean[i]!) / deviation[i]!, -clip), clip);
    }
    return normalized;
  };
}

import { ShapeError } from "../errors.ts";
import { inputSize, layoutOf } from "./architecture.ts";
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
  const layers = layoutOf(architecture).map((layer) => ({
    ...layer,
    sums: new Float64Array(layer.outputs),
    values: new Float32Array(layer.outputs),
  }));
  return (observation) => {
    if (observation.length !== size)
      throw new ShapeError("predict", `needs ${size} numbers, got ${observation.length}`);
    let x = observation;
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

/** Index of the largest value, the first one among equals: the greedy action. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

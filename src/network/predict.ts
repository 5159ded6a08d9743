import { ShapeError } from "../errors.ts";
import { type Architecture, inputSize, layoutOf } from "./architecture.ts";
import type { Policy } from "./policy.ts";

/**
 * One decision at a time in plain typed-array loops: observation [observation size] to outputs [actions]. The returned
 * buffer is reused by the next call. Sums run in float64 and are rounded to float32 after each layer, so outputs equal
 * those of a batched float32 program up to the order of additions.
 */
export function predictor(policy: Pick<Policy, "architecture" | "parameters">): (observation: Float32Array) => Float32Array {
  const { parameters } = policy;
  const architecture: Architecture = policy.architecture;
  const size = inputSize(architecture);
  const layers = layoutOf(architecture).map((layer) => ({ ...layer, values: new Float32Array(layer.outputs) }));
  return (observation) => {
    if (observation.length !== size) throw new ShapeError("predict", `needs ${size} numbers, got ${observation.length}`);
    let x = observation;
    for (const { inputs, outputs, weights, biases, activation, values } of layers) {
      for (let j = 0; j < outputs; j++) {
        let total = parameters[biases.offset + j]!;
        for (let i = 0, w = weights.offset + j; i < inputs; i++, w += outputs) total += x[i]! * parameters[w]!;
        values[j] = activation === "relu" ? Math.max(0, total) : activation === "tanh" ? Math.tanh(total) : total;
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

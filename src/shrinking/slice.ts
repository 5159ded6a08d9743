import { type Activation, type Architecture, layoutOf, parameterCount } from "../network/architecture.ts";
import { liveUnits } from "./redundancy.ts";

const activate: Record<Activation, (x: number) => number> = {
  relu: (x) => Math.max(0, x),
  tanh: Math.tanh,
  none: (x) => x,
};

/**
 * The same function without its dead units: a smaller dense network with equal outputs (up to the order of float32
 * additions). Units that no input reaches put out a constant, which moves into the next layer's biases. A hidden layer
 * without any live unit keeps one, so that the shape stays valid.
 */
export function slice(architecture: Architecture, parameters: Float32Array): { architecture: Architecture; parameters: Float32Array } {
  const layers = layoutOf(architecture);
  const kept = liveUnits(architecture, parameters).map((live) => {
    const units = live.flatMap((alive, unit) => (alive ? [unit] : []));
    return units.length > 0 ? units : [0];
  });
  const smaller: Architecture = {
    ...architecture,
    layers: architecture.layers.map((layer, l) => ({ ...layer, units: kept[l]!.length })),
  };
  const result = new Float32Array(parameterCount(smaller));
  const targets = layoutOf(smaller);
  let inputs = Array.from({ length: layers[0]!.inputs }, (_, i) => i);
  /** What each unit of the layer before puts out when no input reaches it. */
  let constants: Float64Array = new Float64Array(layers[0]!.inputs);
  for (const [l, layer] of layers.entries()) {
    const target = targets[l]!;
    const live = new Set(inputs);
    const biases = Float64Array.from(parameters.subarray(layer.biases.offset, layer.biases.offset + layer.outputs));
    for (let from = 0; from < layer.inputs; from++) {
      if (live.has(from)) continue;
      for (let to = 0; to < layer.outputs; to++) {
        biases[to]! += constants[from]! * parameters[layer.weights.offset + from * layer.outputs + to]!;
      }
    }
    for (const [i, from] of inputs.entries()) {
      for (const [j, to] of kept[l]!.entries()) {
        result[target.weights.offset + i * target.outputs + j] = parameters[layer.weights.offset + from * layer.outputs + to]!;
      }
    }
    for (const [j, to] of kept[l]!.entries()) result[target.biases.offset + j] = biases[to]!;
    constants = biases.map(activate[layer.activation]);
    inputs = kept[l]!;
  }
  return { architecture: smaller, parameters: result };
}

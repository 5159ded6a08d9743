import {
  type Activation,
  type Architecture,
  type LayerLayout,
  layoutOf,
  parameterCount,
} from "../network/architecture.ts";
import { liveUnits } from "./redundancy.ts";

const activate: Record<Activation, (x: number) => number> = {
  relu: (x) => Math.max(0, x),
  tanh: Math.tanh,
  none: (x) => x,
};

/** Copies weights and biases of the kept units of every layer to the front of the target's layer. */
function copyUnits(
  layers: readonly LayerLayout[],
  targets: readonly LayerLayout[],
  kept: readonly (readonly number[])[],
  from: Float32Array,
  to: Float32Array,
): void {
  let inputs: readonly number[] = Array.from({ length: layers[0]!.inputs }, (_, i) => i);
  for (const [l, layer] of layers.entries()) {
    const target = targets[l]!;
    for (const [j, unit] of kept[l]!.entries()) {
      for (const [i, source] of inputs.entries()) {
        to[target.weights.offset + i * target.outputs + j] =
          from[layer.weights.offset + source * layer.outputs + unit]!;
      }
      to[target.biases.offset + j] = from[layer.biases.offset + unit]!;
    }
    inputs = kept[l]!;
  }
}

/**
 * The same function without its dead units: a smaller dense network with equal outputs (up to the order of float32
 * additions). Units that no input reaches put out a constant, which moves into the next layer's biases. A hidden layer
 * without any live unit gets one of zeros, so that the shape stays valid.
 */
export function slice(
  architecture: Architecture,
  parameters: Float32Array,
): { architecture: Architecture; parameters: Float32Array } {
  const layers = layoutOf(architecture);
  const kept = liveUnits(architecture, parameters).map((live) => live.flatMap((alive, unit) => (alive ? [unit] : [])));
  const smaller: Architecture = {
    ...architecture,
    layers: architecture.layers.map((layer, l) => ({ ...layer, units: Math.max(1, kept[l]!.length) })),
  };
  const result = new Float32Array(parameterCount(smaller));
  const targets = layoutOf(smaller);
  copyUnits(layers, targets, kept, parameters, result);
  let inputs = Array.from({ length: layers[0]!.inputs }, (_, i) => i);
  /** What each unit of the layer before puts out when no input reaches it; of a unit that no output needs, anything. */
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
    for (const [j, to] of kept[l]!.entries()) result[target.biases.offset + j] = biases[to]!;
    constants = biases.map(activate[layer.activation]);
    inputs = kept[l]!;
  }
  return { architecture: smaller, parameters: result };
}

/**
 * Starting weights for a narrower network of the same depth: from every hidden layer the units with the largest
 * |weights in| + |weights out|, both summed. `undefined` when the depths differ or a layer would have to grow.
 */
export function strongestUnits(
  architecture: Architecture,
  parameters: Float32Array,
  target: Architecture,
): Float32Array | undefined {
  const layers = layoutOf(architecture);
  const targets = layoutOf(target);
  if (layers.length !== targets.length || targets.some(({ outputs }, l) => outputs > layers[l]!.outputs))
    return undefined;
  const strength = layers.map(({ outputs }) => new Float64Array(outputs));
  for (const [l, { weights, outputs }] of layers.entries()) {
    for (let i = 0; i < weights.length; i++) {
      const size = Math.abs(parameters[weights.offset + i]!);
      strength[l]![i % outputs]! += size;
      if (l > 0) strength[l - 1]![Math.floor(i / outputs)]! += size;
    }
  }
  const kept = targets.map(({ outputs }, l) => {
    const units = Array.from(strength[l]!.keys());
    if (l === layers.length - 1) return units;
    return units
      .toSorted((a, b) => strength[l]![b]! - strength[l]![a]! || a - b)
      .slice(0, outputs)
      .toSorted((a, b) => a - b);
  });
  const result = new Float32Array(parameterCount(target));
  copyUnits(layers, targets, kept, parameters, result);
  return result;
}

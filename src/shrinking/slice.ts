import { type Architecture, type LayerLayout, layoutOf, parameterCount } from "../network/architecture.ts";
import { liveUnits, trace } from "./redundancy.ts";

/** Copies weights and biases of the kept units of every layer to the front of the target's layer. */
function copyUnits(
  layers: readonly LayerLayout[],
  targets: readonly LayerLayout[],
  kept: readonly (readonly number[])[],
  from: Float32Array,
  to: Float32Array,
): void {
  let inputs: readonly number[] = unitsBefore(layers[0]!);
  for (const [l, layer] of layers.entries()) {
    const target = targets[l]!;
    const { rowsPerUnit } = layer;
    for (const [j, unit] of kept[l]!.entries()) {
      for (const [i, source] of inputs.entries()) {
        for (let r = 0; r < rowsPerUnit; r++) {
          to[target.weights.offset + (i * rowsPerUnit + r) * target.outputs + j] =
            from[layer.weights.offset + (source * rowsPerUnit + r) * layer.outputs + unit]!;
        }
      }
      to[target.biases.offset + j] = from[layer.biases.offset + unit]!;
    }
    inputs = kept[l]!;
  }
}

/** The units that a first layer reads: elements of an observation, or channels of images. */
const unitsBefore = ({ inputs, rowsPerUnit }: LayerLayout): number[] =>
  Array.from({ length: inputs / rowsPerUnit }, (_, i) => i);

/**
 * The same function without its dead units: a smaller network with equal outputs (up to the order of float32 additions). A
 * dead filter takes its channel in the next layer with it, or its block of the flattened input of a dense one. Units that no
 * input reaches put out a constant, which moves into the next layer's biases. A hidden layer without any live unit gets one
 * of zeros, so that the shape stays valid.
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
  const { reached, constants } = trace(architecture, parameters);
  for (const [l, { weights, biases, outputs, rowsPerUnit }] of layers.entries()) {
    if (l === 0) continue;
    const sums = Float64Array.from(parameters.subarray(biases.offset, biases.offset + outputs));
    for (let i = 0; i < weights.length; i++) {
      const from = Math.floor(Math.floor(i / outputs) / rowsPerUnit);
      if (!reached[l - 1]![from]) sums[i % outputs]! += constants[l - 1]![from]! * parameters[weights.offset + i]!;
    }
    for (const [j, to] of kept[l]!.entries()) result[targets[l]!.biases.offset + j] = sums[to]!;
  }
  return { architecture: smaller, parameters: result };
}

/**
 * Starting weights for a narrower network of the same depth: from every hidden layer the units with the largest
 * |weights in| + |weights out|, both summed. `undefined` when the depths or kernels differ or a layer would have to grow.
 */
export function strongestUnits(
  architecture: Architecture,
  parameters: Float32Array,
  target: Architecture,
): Float32Array | undefined {
  const layers = layoutOf(architecture);
  const targets = layoutOf(target);
  if (layers.length !== targets.length) return undefined;
  const fits = targets.every(({ outputs, rowsPerUnit, window }, l) => {
    const layer = layers[l]!;
    return outputs <= layer.outputs && rowsPerUnit === layer.rowsPerUnit && !window === !layer.window;
  });
  if (!fits) return undefined;
  const strength = layers.map(({ outputs }) => new Float64Array(outputs));
  for (const [l, { weights, outputs, rowsPerUnit }] of layers.entries()) {
    for (let i = 0; i < weights.length; i++) {
      const size = Math.abs(parameters[weights.offset + i]!);
      strength[l]![i % outputs]! += size;
      if (l > 0) strength[l - 1]![Math.floor(Math.floor(i / outputs) / rowsPerUnit)]! += size;
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

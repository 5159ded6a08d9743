import type { Pcg64 } from "../random/pcg64.ts";
import { type Architecture, layoutOf, parameterCount } from "./architecture.ts";

export const INITIALIZERS = ["glorot", "he", "orthogonal"] as const;
export type Initializer = (typeof INITIALIZERS)[number];

/**
 * Fresh parameters; biases are 0.
 * - `glorot`: uniform in +-sqrt(6 / (inputs + outputs)) (Glorot & Bengio 2010, equation 16); the outputs of a convolution count
 *   once for each place of its kernel, as in TensorFlow and PyTorch.
 * - `he`: uniform in +-sqrt(6 / inputs), for relu (He et al. 2015, equation 10, with the variance of a uniform).
 * - `orthogonal`: columns (or rows, the fewer) orthonormal, times sqrt(2) in front of an activation (Saxe et al. 2014; the gains are those of Stable-Baselines3).
 */
export function initialize(architecture: Architecture, initializer: Initializer, random: Pcg64): Float32Array {
  const parameters = new Float32Array(parameterCount(architecture));
  for (const layer of layoutOf(architecture)) {
    const weights = parameters.subarray(layer.weights.offset, layer.weights.offset + layer.weights.length);
    if (initializer === "orthogonal") {
      orthogonal(weights, layer.inputs, layer.outputs, layer.activation === "none" ? 1 : Math.SQRT2, random);
    } else {
      const fanOut = layer.outputs * (layer.window ? layer.rowsPerUnit : 1);
      const fan = initializer === "glorot" ? layer.inputs + fanOut : layer.inputs;
      const limit = Math.sqrt(6 / fan);
      for (let i = 0; i < weights.length; i++) weights[i] = random.uniform(-limit, limit);
    }
  }
  return parameters;
}

/** Fills a [rows, columns] matrix by Gram-Schmidt on normal draws, in float64, each vector twice (Giraud et al. 2005). */
function orthogonal(matrix: Float32Array, rows: number, columns: number, gain: number, random: Pcg64): void {
  const count = Math.min(rows, columns);
  const length = Math.max(rows, columns);
  const basis: Float64Array[] = [];
  while (basis.length < count) {
    const vector = new Float64Array(length);
    for (let i = 0; i < length; i++) vector[i] = random.normal();
    for (let pass = 0; pass < 2; pass++) {
      for (const other of basis) {
        let product = 0;
        for (let i = 0; i < length; i++) product += vector[i]! * other[i]!;
        for (let i = 0; i < length; i++) vector[i]! -= product * other[i]!;
      }
    }
    const norm = Math.sqrt(vector.reduce((total, x) => total + x * x, 0));
    if (norm < 1e-6) continue;
    basis.push(vector.map((x) => x / norm));
  }
  for (let k = 0; k < count; k++) {
    for (let i = 0; i < length; i++) {
      const at = rows >= columns ? i * columns + k : k * columns + i;
      matrix[at] = gain * basis[k]![i]!;
    }
  }
}

/** Weights (not biases) that are not exactly 0. */
export function countNonZero(architecture: Architecture, parameters: Float32Array): number {
  let count = 0;
  for (const { weights } of layoutOf(architecture)) {
    for (let i = weights.offset; i < weights.offset + weights.length; i++) if (parameters[i] !== 0) count++;
  }
  return count;
}

/** A [rows, columns] matrix as [columns, rows]: weights of a convolution come and go as [filters, ...] in most formats. */
export function transposed<Numbers extends Float32Array | Int8Array>(
  matrix: Numbers,
  rows: number,
  columns: number,
): Numbers {
  const result = matrix.slice() as Numbers;
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) result[j * rows + i] = matrix[i * columns + j]!;
  return result;
}

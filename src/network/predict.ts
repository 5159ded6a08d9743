import { ShapeError } from "../errors.ts";
import {
  type Activation,
  type Architecture,
  inputSize,
  type LayerLayout,
  layoutOf,
  type Window,
} from "./architecture.ts";
import { transposed } from "./parameters.ts";
import { checkParameters, type Policy } from "./policy.ts";

/** From so many filters on, to leave out pixels of 0 is quicker than sums that stay in registers. */
const FEW = 8;

/** A layer with room for one observation's sums and results. */
interface Buffered extends LayerLayout {
  readonly sums: Float64Array;
  readonly values: Float32Array;
  /** Of a convolution: its weights as [filters, taps]. */
  readonly filters: Float32Array;
}

function filtersOf({ window, weights, inputs, outputs }: LayerLayout, parameters: Float32Array): Float32Array {
  if (window === undefined) return new Float32Array(0);
  return transposed(parameters.subarray(weights.offset, weights.offset + weights.length), inputs, outputs);
}

/**
 * One decision at a time in plain typed-array loops: observation [observation size] to outputs [actions]. The returned
 * buffer is reused by the next call. Sums run in float64 and are rounded to float32 after each layer, so outputs equal
 * those of a batched float32 program up to rounding.
 * @param watch is shown what each layer puts out, on the way: buffers that the next call reuses
 * @throws ShapeError when the parameters do not fit the architecture or are not finite, or an observation has the wrong length.
 */
export function predictor(
  policy: Pick<Policy, "architecture" | "parameters">,
  watch?: (layer: number, values: Float32Array) => void,
): (observation: Float32Array) => Float32Array {
  const { architecture, parameters } = policy;
  checkParameters(architecture, parameters);
  const size = inputSize(architecture);
  const normalize = normalizer(architecture);
  const layers = layoutOf(architecture).map(
    (layer): Buffered => ({
      ...layer,
      sums: new Float64Array(layer.outputs),
      values: new Float32Array(layer.outputs * layer.positions),
      filters: filtersOf(layer, parameters),
    }),
  );
  return (observation) => {
    if (observation.length !== size)
      throw new ShapeError("predict", `needs ${size} numbers, got ${observation.length}`);
    let x = normalize(observation);
    for (const [l, layer] of layers.entries()) {
      if (layer.window === undefined) multiply(layer, parameters, x);
      else if (layer.outputs < FEW) convolveFew(layer, layer.window, parameters, x);
      else convolveMany(layer, layer.window, parameters, x);
      x = layer.values;
      watch?.(l, x);
    }
    return x;
  };
}

/** One dense layer, from `x` into `values`. */
function multiply(
  { inputs, outputs, weights, biases, activation, sums, values }: Buffered,
  parameters: Float32Array,
  x: Float32Array,
): void {
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
  for (let j = 0; j < outputs; j++) values[j] = activate(activation, sums[j]!);
}

function activate(activation: Activation, sum: number): number {
  return activation === "relu" ? Math.max(0, sum) : activation === "tanh" ? Math.tanh(sum) : sum;
}

/** One convolution of many filters, window by window, from images `x` into `values` [filters, rows, columns]: no work for pixels of 0. */
function convolveMany(
  { outputs, weights, biases, activation, sums, values, positions }: Buffered,
  { kernel, stride, padding, from: [channels, height, width], to: [, rows, columns] }: Window,
  parameters: Float32Array,
  x: Float32Array,
): void {
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const top = row * stride[0] - padding[0];
      const left = column * stride[1] - padding[1];
      for (let j = 0; j < outputs; j++) sums[j] = parameters[biases.offset + j]!;
      let w = weights.offset;
      for (let channel = 0; channel < channels; channel++) {
        for (let i = top; i < top + kernel[0]; i++) {
          for (let k = left; k < left + kernel[1]; k++) {
            const inside = i >= 0 && i < height && k >= 0 && k < width;
            const value = inside ? x[(channel * height + i) * width + k]! : 0;
            if (value === 0) {
              w += outputs;
              continue;
            }
            for (let j = 0; j < outputs; j++, w++) sums[j]! += value * parameters[w]!;
          }
        }
      }
      const at = row * columns + column;
      for (let j = 0; j < outputs; j++) values[j * positions + at] = activate(activation, sums[j]!);
    }
  }
}

/**
 * One convolution of few filters, filter by filter, from images `x` into `values` [filters, rows, columns]. Rows of pixels and weights
 * [filters, taps] are read as they lie. Four windows side by side that lie inside of the image are summed at once: a sum alone
 * would wait for each of its additions.
 */
function convolveFew(
  { inputs, outputs, biases, activation, values, filters }: Buffered,
  { kernel, stride, padding, from: [channels, height, width], to: [, rows, columns] }: Window,
  parameters: Float32Array,
  x: Float32Array,
): void {
  const [tall, wide] = kernel;
  const [down, right] = stride;
  let to = 0;
  for (let j = 0; j < outputs; j++) {
    const bias = parameters[biases.offset + j]!;
    for (let row = 0; row < rows; row++) {
      const top = row * down - padding[0];
      const first = Math.max(0, -top);
      const end = Math.min(tall, height - top);
      for (let column = 0; column < columns; ) {
        const left = column * right - padding[1];
        const together = column + 4 <= columns && left >= 0 && left + 3 * right + wide <= width ? 4 : 1;
        const before = Math.max(0, -left);
        const length = Math.min(wide, width - left) - before;
        let a = bias;
        let b = bias;
        let c = bias;
        let d = bias;
        for (let channel = 0; channel < channels; channel++) {
          for (let i = first; i < end; i++) {
            let w = j * inputs + (channel * tall + i) * wide + before;
            let at = (channel * height + top + i) * width + left + before;
            const last = at + length;
            if (together === 1) {
              for (; at < last; at++, w++) a += x[at]! * filters[w]!;
              continue;
            }
            for (; at < last; at++, w++) {
              const weight = filters[w]!;
              a += x[at]! * weight;
              b += x[at + right]! * weight;
              c += x[at + 2 * right]! * weight;
              d += x[at + 3 * right]! * weight;
            }
          }
        }
        values[to++] = activate(activation, a);
        if (together === 4) {
          values[to++] = activate(activation, b);
          values[to++] = activate(activation, c);
          values[to++] = activate(activation, d);
        }
        column += together;
      }
    }
  }
}

/** Normalises one observation into a buffer that the next call reuses. */
export function normalizer(
  architecture: Pick<Architecture, "input" | "normalization">,
): (observation: Float32Array) => Float32Array {
  const { normalization } = architecture;
  if (normalization === undefined) return (observation) => observation;
  const { mean, deviation, clip = Number.POSITIVE_INFINITY } = normalization;
  const normalized = new Float32Array(inputSize(architecture));
  const [ofMean, ofDeviation] = [mean, deviation].map(({ length }) => (length === 1 ? 0 : 1)) as [number, number];
  return (observation) => {
    for (let i = 0; i < normalized.length; i++) {
      const centred = observation[i]! - mean[i * ofMean]!;
      normalized[i] = Math.min(Math.max(centred / deviation[i * ofDeviation]!, -clip), clip);
    }
    return normalized;
  };
}

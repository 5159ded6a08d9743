import type { Activation, Architecture, LayerLayout, Normalization } from "../network/architecture.ts";
import { inputSize, layoutOf } from "../network/architecture.ts";
import type { Network } from "../network/policy.ts";
import { checkParameters } from "../network/policy.ts";
import type { Ranges } from "./ranges.ts";

/** Bits of weights and of what goes from layer to layer. */
export type Bits = 8 | 16;

/** Sums times multipliers have to be exact in a double, and in 64 bits all the more. */
const SUM_BITS = 31;
const MULTIPLIER_BITS = 21;
/** A product and half of what is shifted out are exact together. */
const LARGEST_SHIFT = 50;
/** Biases stay below, so that sums of few weights need 32 bits only. */
const LARGEST_BIAS = 2 ** 30 - 1;
/** Outputs: whole numbers of a power of two, which float32 holds exactly, and the recorded ones in up to 21 bits. */
const OUTPUT_BITS = 20;
const LARGEST_OUTPUT = 2 ** 24 - 1;

/** Tables of tanh for arguments from 0 to `range`: `steps` intervals a unit, each of `parts` parts between which is interpolated. */
export const TANH: Readonly<Record<Bits, { range: number; steps: number; parts: number }>> = {
  8: { range: 4, steps: 8, parts: 32 },
  16: { range: 8, steps: 32, parts: 128 },
};

/** tanh at the ends of all intervals, `limit` for 1. */
export function tanhTable(bits: Bits): number[] {
  const { range, steps } = TANH[bits];
  return Array.from({ length: range * steps + 1 }, (_, i) => Math.round(limitOf(bits) * Math.tanh(i / steps)));
}

/** What 1 is in a signed number: 127 or 32767. */
export const limitOf = (bits: Bits): number => 2 ** (bits - 1) - 1;

/** A layer in whole numbers. */
export interface FixedLayer extends Omit<LayerLayout, "weights" | "biases"> {
  /** [outputs, inputs] in -limit to limit. */
  readonly weights: Int16Array;
  /** [outputs] in units of the sums. */
  readonly biases: Int32Array;
  /** [outputs]: what a sum is multiplied by, `shift` bits too large. */
  readonly multipliers: Int32Array;
  /** Bits by which a sum is shifted in front of that; above 0 where sums need more than 32 bits. */
  readonly preShift: number;
  readonly shift: number;
  /** What comes out is limited to; of a tanh, what goes into its table. */
  readonly low: number;
  readonly high: number;
  /** What stands for 0 where the layer's window lies outside of the image; it is taken off each input. */
  readonly zero: number;
}

/**
 * A network in whole numbers, calibrated on recorded observations: weights of `bits` bits with a scale for each unit, sums in 32
 * (or 64) bits, activations of `bits` bits with a scale for each unit, which the weights of the next layer take in.
 */
export interface FixedPoint {
  readonly architecture: Architecture;
  readonly bits: Bits;
  /** Observations are bytes and go in as they are. */
  readonly bytes: boolean;
  /** Otherwise round((x - center) * factor) within +-limit goes in: one number an element, or one for all of an image. */
  readonly centers: Float32Array;
  readonly factors: Float32Array;
  readonly layers: readonly FixedLayer[];
  /** An output is a whole number of these, a float32: a power of two, but behind a tanh. */
  readonly scale: number;
}

/** How real numbers become whole ones: real = size * whole + center. */
interface Steps {
  readonly size: (unit: number) => number;
  readonly center: (unit: number) => number;
}

/**
 * Quantises a network after its training (Jacob et al. 2018, arXiv 1712.05877, with scales for each unit).
 * @param bytes whether observations are bytes, as those of images
 * @throws ShapeError when the parameters do not fit the architecture or are not finite
 */
export function quantize(network: Network, ranges: Ranges, bits: Bits, bytes: boolean): FixedPoint {
  const { architecture, parameters } = network;
  checkParameters(architecture, parameters);
  const limit = limitOf(bits);
  const layouts = layoutOf(architecture);
  const [centers, factors] = bytes ? [Float32Array.of(0), Float32Array.of(1)] : inputSteps(architecture, ranges, limit);
  const whole = centers.length === 1;
  const normalization = architecture.normalization ?? { mean: [0], deviation: [1] };
  let steps = normalized(normalization, {
    size: (element) => 1 / factors[whole ? 0 : element]!,
    center: (element) => centers[whole ? 0 : element]!,
  });
  let [lowest, highest] = bytes ? [0, 255] : [-limit, limit];
  const layers: FixedLayer[] = [];
  let scale = 1;
  for (const [l, layout] of layouts.entries()) {
    const padded = layout.window?.padding.some((zeros) => zeros > 0) === true;
    const zero = padded ? clamp(Math.round(-steps.center(0) / steps.size(0)), lowest, highest) : 0;
    const largestInput = Math.max(Math.abs(lowest - zero), Math.abs(highest - zero));
    const last = l === layouts.length - 1;
    const out = last
      ? outputSteps(layout.activation, ranges.units[l]!, limit)
      : hiddenSteps(layout.activation, ranges.units[l]!, bits);
    layers.push(quantizeLayer(layout, parameters, steps, zero, largestInput, out, bits));
    steps = { size: out.size, center: () => 0 };
    [lowest, highest] = layout.activation === "tanh" ? [-limit, limit] : [out.low, out.high];
    scale = out.size(0);
  }
  return { architecture, bits, bytes, centers, factors, layers, scale: Math.fround(scale) };
}

const clamp = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);

/** The whole range of each element, or of all of an image; no further than a normalisation's clip. */
function inputSteps(architecture: Architecture, { low, high }: Ranges, limit: number): [Float32Array, Float32Array] {
  const { input, normalization } = architecture;
  const together = input.length === 3 || normalization?.mean.length === 1;
  const size = together ? 1 : inputSize(architecture);
  const centers = new Float32Array(size);
  const factors = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    let [least, most] = together
      ? [low.reduce((a, b) => Math.min(a, b)), high.reduce((a, b) => Math.max(a, b))]
      : [low[i]!, high[i]!];
    if (normalization?.clip !== undefined) {
      const mean = normalization.mean[normalization.mean.length === 1 ? 0 : i]!;
      const reach = normalization.clip * normalization.deviation[normalization.deviation.length === 1 ? 0 : i]!;
      [least, most] = [clamp(least, mean - reach, mean + reach), clamp(most, mean - reach, mean + reach)];
    }
    centers[i] = (least + most) / 2;
    // An element that never changed may do so yet: it has steps of its own size.
    const half = most > least ? (most - least) / 2 : Math.max(Math.abs(most), 1);
    factors[i] = limit / half;
  }
  return [centers, factors];
}

function normalized({ mean, deviation }: Normalization, { size, center }: Steps): Steps {
  const of = (values: number[], element: number): number => values[values.length === 1 ? 0 : element]!;
  return {
    size: (element) => size(element) / of(deviation, element),
    center: (element) => (center(element) - of(mean, element)) / of(deviation, element),
  };
}

/** What comes out of a layer: real = size * whole, within the limits. */
interface Out {
  readonly size: (unit: number) => number;
  readonly low: number;
  readonly high: number;
  /** Sums become whole numbers of this. */
  readonly ofSums: (unit: number) => number;
}

function tanhSteps(bits: Bits, limit: number): Out {
  const { range, steps, parts } = TANH[bits];
  const high = range * steps * parts - 1;
  return { size: () => 1 / limit, low: -high, high, ofSums: () => 1 / (steps * parts) };
}

function hiddenSteps(activation: Activation, largest: Float64Array, bits: Bits): Out {
  const limit = limitOf(bits);
  if (activation === "tanh") return tanhSteps(bits, limit);
  const [low, high] = activation === "relu" ? [0, 2 ** bits - 1] : [-limit, limit];
  // A unit that never put out anything may do so yet.
  const size = (unit: number): number => (largest[unit]! || 1) / high;
  return { size, low, high, ofSums: size };
}

function outputSteps(activation: Activation, largest: Float64Array, limit: number): Out {
  if (activation === "tanh") return tanhSteps(limit === 127 ? 8 : 16, limit);
  const most = largest.reduce((a, b) => Math.max(a, b), 0) || 1;
  const step = 2 ** (Math.ceil(Math.log2(most)) - OUTPUT_BITS);
  const low = activation === "relu" ? 0 : -LARGEST_OUTPUT;
  return { size: () => step, low, high: LARGEST_OUTPUT, ofSums: () => step };
}

function quantizeLayer(
  layout: LayerLayout,
  parameters: Float32Array,
  steps: Steps,
  zero: number,
  largestInput: number,
  out: Out,
  bits: Bits,
): FixedLayer {
  const { inputs, outputs, rowsPerUnit } = layout;
  const limit = limitOf(bits);
  const weights = new Int16Array(outputs * inputs);
  const biases = new Int32Array(outputs);
  const ratios = new Float64Array(outputs);
  let largestSum = 0;
  for (let j = 0; j < outputs; j++) {
    const row = new Float64Array(inputs);
    let bias = parameters[layout.biases.offset + j]!;
    let largest = 0;
    for (let i = 0; i < inputs; i++) {
      const unit = Math.floor(i / rowsPerUnit);
      const weight = parameters[layout.weights.offset + i * outputs + j]!;
      row[i] = weight * steps.size(unit);
      bias += weight * (steps.center(unit) + zero * steps.size(unit));
      largest = Math.max(largest, Math.abs(row[i]!));
    }
    const size = Math.max(largest / limit, Math.abs(bias) / LARGEST_BIAS) || 1;
    biases[j] = Math.round(bias / size);
    let sum = Math.abs(biases[j]!);
    for (let i = 0; i < inputs; i++) {
      const weight = Math.round(row[i]! / size);
      weights[j * inputs + i] = weight;
      sum += Math.abs(weight) * largestInput;
    }
    largestSum = Math.max(largestSum, sum);
    ratios[j] = size / out.ofSums(j);
  }
  const preShift = Math.max(0, Math.ceil(Math.log2(largestSum + 1)) - SUM_BITS);
  const largestRatio = ratios.reduce((a, b) => Math.max(a, b)) * 2 ** preShift;
  const shift = clamp(MULTIPLIER_BITS - 1 - Math.floor(Math.log2(largestRatio)), 1, LARGEST_SHIFT);
  const multipliers = Int32Array.from(ratios, (ratio) =>
    Math.min(Math.round(ratio * 2 ** (preShift + shift)), 2 ** MULTIPLIER_BITS - 1),
  );
  const { low, high } = out;
  return { ...layout, weights, biases, multipliers, preShift, shift, low, high, zero };
}

import { type Activation, type Architecture, type LayerLayout, layoutOf } from "../network/architecture.ts";
import { checkParameters, type Network } from "../network/policy.ts";
import { type Moments, type Range, type Ranges, together } from "./ranges.ts";
import { compensation, roundRow } from "./rounding.ts";
import { stepSizes } from "./sizes.ts";

/** Bits of weights. What goes from layer to layer has 16, as in TensorFlow Lite's 16x8: with 8, small networks lose their edge. */
export type Bits = 8 | 16;

/** Names of them, as users give them. */
export const FIXED_FORMS = ["int8", "int16"] as const;
export const BITS = { int8: 8, int16: 16 } as const satisfies Record<(typeof FIXED_FORMS)[number], Bits>;

/** What 1 is in a signed activation; those behind a relu go up to twice that and 1. */
export const LIMIT = 2 ** 15 - 1;
const LIMIT_RELU = 2 ** 16 - 1;

/** Sums times multipliers are below 2^52, and half of what is shifted out below 2^50: doubles are exact. */
const SUM_BITS = 31;
const MULTIPLIER_BITS = 21;
const LARGEST_SHIFT = 50;
/** Biases stay below: with weights of 8 bits, so that sums of few need 32 bits only. */
const LARGEST_BIAS: Readonly<Record<Bits, number>> = { 8: 2 ** 30 - 1, 16: 2 ** 40 };

/** Tables of tanh for arguments from 0 to `range`: `steps` intervals a unit, each of `parts` parts between which is interpolated. */
export const TANH: Readonly<Record<Bits, { range: number; steps: number; parts: number }>> = {
  8: { range: 4, steps: 8, parts: 512 },
  16: { range: 8, steps: 32, parts: 128 },
};

/** tanh at the ends of all intervals, `LIMIT` for 1. */
export function tanhTable(bits: Bits): number[] {
  const { range, steps } = TANH[bits];
  return Array.from({ length: range * steps + 1 }, (_, i) => Math.round(LIMIT * Math.tanh(i / steps)));
}

/** What sums are brought to: times multipliers, `shift` bits too large, and within limits. */
interface Scaling {
  /** [outputs] */
  readonly multipliers: Int32Array;
  readonly shift: number;
  readonly low: number;
  readonly high: number;
}

/** A layer in whole numbers. */
export interface FixedLayer extends Omit<LayerLayout, "weights" | "biases"> {
  /** [outputs, inputs] of so many bits, without the lowest. */
  readonly weights: Int16Array;
  /** [outputs] in units of the sums, whole numbers. */
  readonly biases: Float64Array;
  /** Bits that sums lose; above 0 where they need more than 32. */
  readonly preShift: number;
  /** Makes activations, or arguments of a tanh, of sums. Outputs are the sums themselves, but for a tanh's. */
  readonly scaling?: Scaling;
  /** What stands for 0 where the layer's window lies outside of the image; it is taken off each input. */
  readonly zero: number;
}

/**
 * A network in whole numbers, calibrated on recorded observations: weights of `bits` bits with a scale for each unit, sums in 32
 * (or 64) bits, activations of 16 bits with a scale for each unit, which the weights of the next layer take in.
 */
export interface FixedPoint {
  readonly architecture: Architecture;
  readonly bits: Bits;
  /** Observations are bytes and go in as they are. */
  readonly bytes: boolean;
  /** Otherwise round((x - center) * factor) within +-LIMIT goes in: one number an element, or one for all of an image. */
  readonly centers: Float32Array;
  readonly factors: Float32Array;
  readonly layers: readonly FixedLayer[];
  /** An output is a whole number of these, a float32, the same for all: outputs can be compared. */
  readonly scale: number;
}

/** How whole numbers become those that a layer multiplies: size * whole + center, by unit, or one for all units. */
interface Steps {
  readonly size: Float64Array;
  readonly center: Float64Array;
  /** The whole numbers that there are. */
  readonly low: number;
  readonly high: number;
  /** Whether larger steps would do as well. */
  readonly free: boolean;
  /** What the real numbers were, on the average, and how much they varied. */
  readonly mean: Float64Array;
  readonly deviation: Float64Array;
}

const NONE = Float64Array.of(0);
const of = (values: ArrayLike<number>, unit: number): number => values[values.length === 1 ? 0 : unit]!;
const clamp = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);

/**
 * Quantises a network after its training (Jacob et al. 2018, arXiv 1712.05877, with scales for each unit).
 * Observations of bytes, as those of images, go in as they are where nothing limits them.
 *
 * @throws ShapeError when the parameters do not fit the architecture or are not finite
 */
export function quantize(network: Network, ranges: Ranges, bits: Bits): FixedPoint {
  const { architecture, parameters } = network;
  checkParameters(architecture, parameters);
  const layouts = layoutOf(architecture);
  const { mean, deviation, clip } = architecture.normalization ?? { mean: [0], deviation: [1] };
  const alike = Math.max(mean.length, deviation.length) === 1;
  const asTheyAre = ranges.bytes && clip === undefined && (alike || layouts[0]?.window === undefined);
  const taken = asTheyAre ? bytesIn(ranges, mean, deviation) : takenIn(architecture, ranges);
  const chosen = layouts.map((layout, l) => {
    const previous = layouts[l - 1];
    const into = previous === undefined ? taken : activated(previous.activation, ranges.layers[l - 1]!);
    return { ...sizesOf(layout, parameters, into, bits, l === layouts.length - 1), into };
  });
  const layers = layouts.map((layout, l): FixedLayer => {
    const { rows, growth, into } = chosen[l]!;
    const next = chosen[l + 1];
    const size = into.size.map((smallest, unit) => smallest * of(growth, unit));
    const whole = wholeLayer(layout, parameters, { ...into, size }, rows, 2 ** (bits - 1) - 1, ranges.moments[l]);
    if (layout.activation === "tanh") {
      const { range, steps, parts } = TANH[bits];
      const high = range * steps * parts - 1;
      return { ...whole, scaling: scalingOf(rows, whole.preShift, () => 1 / (steps * parts), -high, high) };
    }
    if (next === undefined) return whole;
    const { low, high } = next.into;
    const sizeOut = (unit: number): number => next.into.size[unit]! * of(next.growth, unit);
    return { ...whole, scaling: scalingOf(rows, whole.preShift, sizeOut, low, high) };
  });
  const growth = taken.free ? chosen[0]!.growth : Float64Array.of(1);
  const last = layers.at(-1);
  const scale = last?.scaling ? 1 / LIMIT : (chosen.at(-1)?.rows[0] ?? 1) * 2 ** (last?.preShift ?? 0);
  const each = (value: (element: number) => number): Float32Array =>
    Float32Array.from({ length: Math.max(mean.length, deviation.length, taken.size.length) }, (_, i) => value(i));
  return {
    architecture,
    bits,
    bytes: asTheyAre,
    centers: each((i) => of(mean, i) + of(deviation, i) * of(taken.center, i)),
    factors: each((i) => 1 / (of(deviation, i) * of(taken.size, i) * of(growth, i))),
    layers,
    scale: Math.fround(scale),
  };
}

const means = (ranges: readonly Range[]): Float64Array => Float64Array.from(ranges, ({ mean }) => mean);
const deviations = (ranges: readonly Range[]): Float64Array => Float64Array.from(ranges, ({ deviation }) => deviation);

/** Bytes, which are normalised by the layer that takes them. */
function bytesIn({ inputs }: Ranges, mean: readonly number[], deviation: readonly number[]): Steps {
  const length = Math.max(mean.length, deviation.length);
  const ranges = length === 1 ? [together(inputs)] : inputs;
  return {
    size: Float64Array.from({ length }, (_, i) => 1 / of(deviation, i)),
    center: Float64Array.from({ length }, (_, i) => -of(mean, i) / of(deviation, i)),
    low: 0,
    high: 255,
    free: false,
    mean: means(ranges),
    deviation: deviations(ranges),
  };
}

/** Normalised observations: the whole range of each element, or of all of an image. */
function takenIn({ input, normalization }: Architecture, { inputs }: Ranges): Steps {
  const clip = normalization?.clip;
  const image = input.length === 3;
  const ranges = image ? [together(inputs)] : inputs;
  const size = new Float64Array(ranges.length);
  const center = new Float64Array(ranges.length);
  for (const [i, { low, high }] of ranges.entries()) {
    // An element that never changed may do so yet: it has steps of its own size.
    const half = high > low ? (high - low) / 2 : Math.max(Math.abs(high), 1);
    const middle = (low + high) / 2;
    // A range that is nearly even around 0 is taken for even, which needs no center.
    const even = Math.abs(middle) < half / 8;
    center[i] = even ? 0 : Math.fround(middle);
    size[i] = (even ? half + Math.abs(middle) : half) / LIMIT;
  }
  // What is limited at a clip is so because whole numbers end there.
  if (clip !== undefined) {
    size.fill(clip / LIMIT);
    center.fill(0);
  }
  const free = !image && clip === undefined;
  return { size, center, low: -LIMIT, high: LIMIT, free, mean: means(ranges), deviation: deviations(ranges) };
}

/** The whole range of each unit. One that never put out anything may do so yet. */
function activated(activation: Activation, ranges: readonly Range[]): Steps {
  const seen = { mean: means(ranges), deviation: deviations(ranges) };
  if (activation === "tanh")
    return { size: Float64Array.of(1 / LIMIT), center: NONE, low: -LIMIT, high: LIMIT, free: false, ...seen };
  const [low, high] = activation === "relu" ? [0, LIMIT_RELU] : [-LIMIT, LIMIT];
  const size = Float64Array.from(ranges, (range) => (Math.max(range.high, -range.low, 0) || 1) / high);
  return { size, center: NONE, low, high, free: true, ...seen };
}

function sizesOf(
  { inputs, outputs, rowsPerUnit, activation, weights: { offset }, biases }: LayerLayout,
  parameters: Float32Array,
  into: Steps,
  bits: Bits,
  last: boolean,
): ReturnType<typeof stepSizes> {
  const weights = new Float64Array(outputs * inputs);
  const least = Float64Array.from({ length: outputs }, (_, j) => Math.abs(parameters[biases.offset + j]!));
  for (let i = 0; i < inputs; i++) {
    const unit = Math.floor(i / rowsPerUnit);
    for (let j = 0; j < outputs; j++) {
      const weight = parameters[offset + i * outputs + j]!;
      weights[j * inputs + i] = weight * of(into.size, unit);
      // What an input's center, or what stands for 0 beside an image, adds to a bias.
      least[j]! += Math.abs(weight * of(into.center, unit));
    }
  }
  return stepSizes({
    weights,
    inputs,
    outputs,
    rowsPerUnit,
    spread: Float64Array.from(
      { length: inputs / rowsPerUnit },
      (_, unit) => of(into.deviation, unit) / of(into.size, unit),
    ),
    least: least.map((bias) => bias / LARGEST_BIAS[bits]),
    limit: 2 ** (bits - 1) - 1,
    oneRow: last && activation !== "tanh",
    freeInputs: into.free,
  });
}

/** A layer whose weights are whole numbers of `rows`, or of more where a bias would not fit. */
function wholeLayer(
  layout: LayerLayout,
  parameters: Float32Array,
  into: Steps,
  rows: Float64Array,
  limit: number,
  moments: Moments | undefined,
): FixedLayer {
  const { inputs, outputs, rowsPerUnit, window } = layout;
  const padded = window?.padding.some((zeros) => zeros > 0) === true;
  const zero = padded ? Math.round(-of(into.center, 0) / of(into.size, 0)) : 0;
  const largestInput = Math.max(Math.abs(into.low - zero), Math.abs(into.high - zero));
  const weights = new Int16Array(outputs * inputs);
  const biases = new Float64Array(outputs);
  let largestSum = 0;
  const unitOf = (i: number): number => Math.floor(i / rowsPerUnit);
  const means = moments?.means;
  const triangle =
    moments &&
    compensation(
      moments.covariance.map((value, at) => {
        const [i, k] = [Math.floor(at / inputs), at % inputs];
        return value / (of(into.size, unitOf(i)) * of(into.size, unitOf(k)));
      }),
      inputs,
    );
  for (let j = 0; j < outputs; j++) {
    let bias = parameters[layout.biases.offset + j]!;
    let sum = 0;
    const exact = Float64Array.from({ length: inputs }, (_, i) => {
      return parameters[layout.weights.offset + i * outputs + j]! * of(into.size, unitOf(i));
    });
    const row = roundRow(exact, rows[j]!, limit, triangle);
    for (const [i, whole] of row.entries()) {
      const unit = unitOf(i);
      const weight = parameters[layout.weights.offset + i * outputs + j]!;
      bias += weight * (of(into.center, unit) + zero * of(into.size, unit));
      weights[j * inputs + i] = whole;
      // What is lost of a weight is made up for where its input is as usual.
      bias +=
        (weight - (whole * rows[j]!) / of(into.size, unit)) *
        ((means?.[i] ?? of(into.mean, unit)) - (of(into.center, unit) + zero * of(into.size, unit)));
      sum += Math.abs(whole) * largestInput;
    }
    biases[j] = Math.round(bias / rows[j]!);
    largestSum = Math.max(largestSum, sum + Math.abs(biases[j]!));
  }
  const preShift = Math.max(0, Math.ceil(Math.log2(largestSum + 1)) - SUM_BITS);
  return { ...layout, weights, biases, preShift, zero };
}

function scalingOf(
  rows: Float64Array,
  preShift: number,
  sizeOut: (unit: number) => number,
  low: number,
  high: number,
): Scaling {
  const ratios = rows.map((row, unit) => (row * 2 ** preShift) / sizeOut(unit));
  const largest = ratios.reduce((a, b) => Math.max(a, b));
  const shift = clamp(MULTIPLIER_BITS - 1 - Math.floor(Math.log2(largest)), 1, LARGEST_SHIFT);
  const multipliers = Int32Array.from(ratios, (ratio) =>
    Math.min(Math.round(ratio * 2 ** shift), 2 ** MULTIPLIER_BITS - 1),
  );
  return { multipliers, shift, low, high };
}

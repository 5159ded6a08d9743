import { type Architecture, type LayerLayout, layoutOf } from "../network/architecture.ts";
import type { Network } from "../network/policy.ts";
import { type Range, type Ranges, together } from "../quantization/ranges.ts";
import { inputSteps, pick } from "./quantization-scales.ts";

/** Integers from 0 on that stand for the numbers (integer - zero) * step. */
export interface Grid {
  readonly step: number;
  readonly zero: number;
}

/** Observations become (observation - origin) / step, by one number for all elements or one each. */
export interface Entry {
  readonly origin: Float32Array;
  readonly step: Float32Array;
}

/**
 * How a layer takes its inputs x: as (x - origin) / step. One number for all of them, or one each; an input of step 0 is the
 * constant `reference`. Where x is its `reference`, its mean, rounded weights change nothing: what they would do on average
 * stands in the biases (bias correction, Nagel et al. 2019).
 */
export interface Taken {
  readonly steps: Float64Array;
  readonly origins: Float64Array;
  readonly references: Float64Array;
}

/** How the first layer takes normalised observations: it is given the nearest integers. */
export interface First extends Taken {
  /** The integer that stands for 0. */
  readonly zero: number;
  /** The same in front of the normalisation. */
  readonly entry: Entry | undefined;
}

/** The grid of a range and of 0, which lies on it. Step 1 where there is nothing but 0. */
export function gridOf({ low, high }: Pick<Range, "low" | "high">, levels: number): Grid {
  const [least, most] = [Math.min(0, low), Math.max(0, high)];
  const step = Math.fround((most - least) / levels) || 1;
  return { step, zero: Math.round(-least / step) };
}

/**
 * Elements of an observation have ranges of their own, some a hundred times as wide as others: a dense layer takes each by a step
 * of its own, an element that never changed as the constant that it was. A convolution has one step for all. Bytes are integers, and
 * go in as they are.
 *
 * @param levels of the grid, without the first
 * @param normalized observations come normalised already
 */
export function firstStatic(network: Network, ranges: Ranges, levels: number, normalized: boolean): First {
  const { architecture } = network;
  const [layer] = layoutOf(architecture);
  if (isWhole(architecture, ranges, normalized)) return wholeOf(architecture, ranges.inputs);
  const { inputs: seen } = ranges;
  if (layer?.window) {
    const all = together(seen);
    const { step, zero } = gridOf(all, levels);
    return finished(architecture, normalized, { steps: [step], origins: [0], references: [all.mean], zero });
  }
  const zero = (levels + 1) / 2;
  const finest = Float64Array.from(seen, ({ low, high }) => (high - low) / levels);
  // Of 16 bits one may go into hitting the weights: they have 8.
  const steps =
    levels > 255
      ? fitted(
          finest.map((step) => 2 * step),
          network,
          layer!,
        )
      : finest;
  const origins = seen.map(({ low, high }, i) => (low + high + steps[i]!) / 2);
  return finished(architecture, normalized, { steps, origins, references: seen.map(({ mean }) => mean), zero });
}

/** The same for grids that come with the observations: what matters is that the elements have comparable sizes, counted from their means. */
export function firstDynamic(network: Network, ranges: Ranges, normalized: boolean): First {
  const { architecture } = network;
  const [layer] = layoutOf(architecture);
  if (isWhole(architecture, ranges, normalized)) return wholeOf(architecture, ranges.inputs);
  const { inputs: seen } = ranges;
  if (layer?.window) {
    const { mean } = together(seen);
    return finished(architecture, normalized, { steps: [1], origins: [0], references: [mean], zero: 0 });
  }
  const references = seen.map(({ mean }) => mean);
  const greatest = seen.map(({ low, high }, i) => Math.max(high - references[i]!, references[i]! - low));
  const steps = fitted(Float64Array.from(greatest), network, layer!);
  return finished(architecture, normalized, { steps, origins: references, references, zero: 0 });
}

const fitted = (steps: Float64Array, { parameters }: Network, { weights, outputs }: LayerLayout): Float64Array =>
  inputSteps(steps, parameters.subarray(weights.offset, weights.offset + weights.length), outputs);

/** Whether bytes can go in as they are: nothing limits them, and zeros around images are zeros. */
function isWhole({ normalization, ...architecture }: Architecture, { bytes }: Ranges, normalized: boolean): boolean {
  if (!bytes || normalized || normalization?.clip !== undefined) return false;
  const window = layoutOf(architecture)[0]?.window;
  const { mean, deviation } = normalization ?? { mean: [0], deviation: [1] };
  if (window === undefined) return true;
  const padded = window.padding.some((zeros) => zeros > 0);
  return mean.length === 1 && deviation.length === 1 && (!padded || mean[0] === 0);
}

function wholeOf(architecture: Architecture, seen: readonly Range[]): First {
  const { mean, deviation } = architecture.normalization ?? { mean: [0], deviation: [1] };
  const count = Math.max(mean.length, deviation.length);
  const each = (of: (i: number) => number): Float64Array => Float64Array.from({ length: count }, (_, i) => of(i));
  return {
    steps: each((i) => 1 / pick(deviation, i)),
    origins: each((i) => -pick(mean, i) / pick(deviation, i)),
    references: count === 1 ? Float64Array.of(together(seen).mean) : each((i) => seen[i]!.mean),
    zero: 0,
    entry: undefined,
  };
}

type Unfinished = { readonly [Key in "steps" | "origins" | "references"]: ArrayLike<number> } & Pick<First, "zero">;

/** With its entry, which normalises on the way. */
function finished({ normalization }: Architecture, normalized: boolean, first: Unfinished): First {
  const { mean, deviation } = normalized || !normalization ? { mean: [0], deviation: [1] } : normalization;
  const { steps, origins, references, zero } = first;
  const count = Math.max(steps.length, mean.length, deviation.length);
  const step = Float32Array.from({ length: count }, (_, i) => (pick(steps, i) || 1) * pick(deviation, i));
  const origin = Float32Array.from({ length: count }, (_, i) => pick(mean, i) + pick(origins, i) * pick(deviation, i));
  const changes = step.some((value) => value !== 1) || origin.some((value) => value !== 0);
  return {
    steps: Float64Array.from(steps),
    origins: Float64Array.from(origins),
    references: Float64Array.from(references),
    zero,
    entry: changes ? { origin, step } : undefined,
  };
}

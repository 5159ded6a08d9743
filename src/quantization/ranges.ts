import { ShapeError } from "../errors.ts";
import { inputSize, type LayerLayout, layoutOf, parameterCount, type Window } from "../network/architecture.ts";
import { activationsOf } from "../network/forward.ts";
import type { Network } from "../network/policy.ts";
import { normalizer } from "../network/predict.ts";
import type { Observations } from "../replay/rows.ts";
import { input } from "../tensor/graph.ts";
import { Program } from "../tensor/program.ts";

/** What some numbers were. */
export interface Range {
  readonly low: number;
  readonly high: number;
  readonly mean: number;
  readonly deviation: number;
}

/** What the numbers of a network were over recorded observations. */
export interface Ranges {
  /** Observations are bytes: their ranges are 0 to 255 whatever was seen, and all numbers in them are whole. */
  readonly bytes: boolean;
  /** Of each element of an observation, normalised where the network does so. */
  readonly inputs: readonly Range[];
  /** By layer: of what each unit put out, behind its activation, a filter of a convolution at all its places. */
  readonly layers: readonly (readonly Range[])[];
  /** By layer: how its inputs went together, one window of an image at a time; not of layers of many inputs. */
  readonly moments: readonly (Moments | undefined)[];
}

/** One range of all of some. */
export function together(ranges: readonly Range[]): Range {
  const mean = ranges.reduce((sum, range) => sum + range.mean, 0) / ranges.length;
  const squares = ranges.reduce((sum, range) => sum + range.deviation ** 2 + (range.mean - mean) ** 2, 0);
  return {
    low: ranges.reduce((least, { low }) => Math.min(least, low), Number.POSITIVE_INFINITY),
    high: ranges.reduce((most, { high }) => Math.max(most, high), Number.NEGATIVE_INFINITY),
    mean,
    deviation: Math.sqrt(squares / ranges.length),
  };
}

/** Numbers of observations that go through the network at once. */
const BATCH_NUMBERS = 2_000_000;

/**
 * The ranges that the numbers of a network have on recorded observations [rows, observation size]: what quantisation after a
 * training is calibrated by.
 *
 * @throws ShapeError when there are none, or they are no whole rows
 */
export async function rangesOf(network: Network, observations: Observations): Promise<Ranges> {
  const { architecture, parameters } = network;
  const width = inputSize(architecture);
  const rows = observations.length / width;
  if (!Number.isInteger(rows) || rows === 0)
    throw new ShapeError("ranges", `needs rows of ${width} numbers, got ${observations.length} numbers`);
  const bytes = observations instanceof Uint8Array;
  const layers = layoutOf(architecture);
  const normalize = normalizer(architecture);
  const inputs = new Statistics(width, 1);
  const seen = layers.map(({ outputs, positions }) => new Statistics(outputs, positions));
  const moments = layers.map((layer) => (layer.inputs > MOST_INPUTS ? undefined : new Moments(layer, rows)));
  const size = Math.min(rows, 256, Math.max(1, Math.floor(BATCH_NUMBERS / width)));
  const given = {
    parameters: input([parameterCount(architecture)]),
    observations: input([size, width], bytes ? "uint8" : "float32"),
  };
  const made = activationsOf(architecture, given.parameters, given.observations);
  const program = await Program.compile({
    inputs: given,
    outputs: Object.fromEntries(made.map((x, l) => [`layer${l}`, x])),
  });
  program.bind("parameters", parameters);
  const row = new Float32Array(width);
  for (let first = 0; first < rows; first += size) {
    // The last batch is filled with rows that were there before.
    const from = Math.min(first, rows - size);
    program.numbers("observations").set(observations.subarray(from * width, (from + size) * width));
    await program.run();
    for (let at = first - from; at < size; at++) {
      row.set(observations.subarray((from + at) * width, (from + at + 1) * width));
      const normalized = normalize(row);
      inputs.add(normalized);
      moments[0]?.add(normalized);
      for (const [l, { outputs, positions }] of layers.entries()) {
        const numbers = outputs * positions;
        const values = program.floats(`layer${l}`).subarray(at * numbers, (at + 1) * numbers);
        seen[l]!.add(values);
        moments[l + 1]?.add(values);
      }
    }
  }
  await program.dispose();
  const end = (byte: number): Float32Array => normalize(new Float32Array(width).fill(byte)).slice();
  const [lows, highs] = bytes ? [end(0), end(255)] : [];
  return {
    bytes,
    inputs: inputs.ranges().map((range, i) => (bytes ? { ...range, low: lows![i]!, high: highs![i]! } : range)),
    layers: seen.map((statistics) => statistics.ranges()),
    moments,
  };
}

/** Covariances of more inputs take too much room and time. */
const MOST_INPUTS = 512;
/** So many windows of a layer are looked at, evenly spread over all. */
const WINDOWS = 20_000;

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** Means and covariances of what a layer's units multiply. */
export class Moments {
  readonly #layer: LayerLayout;
  readonly #sums: Float64Array;
  readonly #products: Float64Array;
  readonly #window: Float64Array;
  readonly #apart: number;
  #at = 0;
  #count = 0;

  constructor(layer: LayerLayout, rows: number) {
    const { inputs, positions } = layer;
    this.#layer = layer;
    this.#sums = new Float64Array(inputs);
    this.#products = new Float64Array(inputs * inputs);
    this.#window = new Float64Array(inputs);
    // All positions of an image have their turn.
    let apart = Math.max(1, Math.floor((rows * positions) / WINDOWS));
    while (gcd(apart, positions) > 1) apart++;
    this.#apart = apart;
  }

  /** @param x what the layer takes */
  add(x: Float32Array): void {
    const { window, positions } = this.#layer;
    for (let position = 0; position < positions; position++) {
      if (this.#at++ % this.#apart !== 0) continue;
      if (window === undefined) this.#window.set(x);
      else this.#takeWindow(x, window, position);
      this.#take();
    }
  }

  #takeWindow(x: Float32Array, window: Window, position: number): void {
    const {
      kernel: [tall, wide],
      stride,
      padding,
      from: [channels, height, width],
      to: [, , columns],
    } = window;
    const top = Math.floor(position / columns) * stride[0] - padding[0];
    const left = (position % columns) * stride[1] - padding[1];
    let to = 0;
    for (let channel = 0; channel < channels; channel++) {
      for (let i = top; i < top + tall; i++) {
        for (let k = left; k < left + wide; k++) {
          const inside = i >= 0 && i < height && k >= 0 && k < width;
          this.#window[to++] = inside ? x[(channel * height + i) * width + k]! : 0;
        }
      }
    }
  }

  #take(): void {
    const n = this.#sums.length;
    for (let i = 0; i < n; i++) {
      const value = this.#window[i]!;
      this.#sums[i]! += value;
      if (value !== 0) for (let k = 0; k <= i; k++) this.#products[i * n + k]! += value * this.#window[k]!;
    }
    this.#count++;
  }

  /** [inputs] */
  get means(): Float64Array {
    return this.#sums.map((sum) => sum / this.#count);
  }

  /** [inputs, inputs] */
  get covariance(): Float64Array {
    const n = this.#sums.length;
    const means = this.means;
    const covariance = new Float64Array(n * n);
    for (let i = 0; i < n; i++) {
      for (let k = 0; k <= i; k++) {
        const value = this.#products[i * n + k]! / this.#count - means[i]! * means[k]!;
        covariance[i * n + k] = value;
        covariance[k * n + i] = value;
      }
    }
    return covariance;
  }
}

/** Of units that put out so many numbers at once. */
class Statistics {
  readonly #positions: number;
  readonly #low: Float64Array;
  readonly #high: Float64Array;
  readonly #sum: Float64Array;
  readonly #squares: Float64Array;
  #count = 0;

  constructor(units: number, positions: number) {
    this.#positions = positions;
    this.#low = new Float64Array(units).fill(Number.POSITIVE_INFINITY);
    this.#high = new Float64Array(units).fill(Number.NEGATIVE_INFINITY);
    this.#sum = new Float64Array(units);
    this.#squares = new Float64Array(units);
  }

  /** @param values [units, positions] */
  add(values: Float32Array): void {
    for (let unit = 0, at = 0; unit < this.#low.length; unit++) {
      for (let position = 0; position < this.#positions; position++, at++) {
        const value = values[at]!;
        if (value < this.#low[unit]!) this.#low[unit] = value;
        if (value > this.#high[unit]!) this.#high[unit] = value;
        this.#sum[unit]! += value;
        this.#squares[unit]! += value * value;
      }
    }
    this.#count += this.#positions;
  }

  ranges(): Range[] {
    return Array.from(this.#low, (low, unit) => {
      const mean = this.#sum[unit]! / this.#count;
      const deviation = Math.sqrt(Math.max(0, this.#squares[unit]! / this.#count - mean * mean));
      return { low, high: this.#high[unit]!, mean, deviation };
    });
  }
}

import { ShapeError } from "../errors.ts";
import { input, max, mean, neg } from "../tensor/graph.ts";
import { Program } from "../tensor/program.ts";
import { type Architecture, inputSize, parameterCount } from "./architecture.ts";
import { activationsOf } from "./forward.ts";
import type { Network } from "./policy.ts";

/** The least and the greatest of some numbers. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/** The range of one element of an observation, and the mean of what was seen of it. */
export interface ElementRange extends Range {
  readonly mean: number;
}

/** The range of all that a layer puts out, and the mean of each unit, of a convolution of each filter. */
export interface LayerRange extends Range {
  readonly means: readonly number[];
}

/** Where the numbers of a network lie. */
export interface Ranges {
  /** Of each element of an observation as it comes from the environment, in front of the normalisation. */
  readonly observation: readonly ElementRange[];
  /** Observations are bytes: their ranges are 0 to 255 whatever was seen, and all numbers in them are whole. */
  readonly bytes: boolean;
  /** Of all that a layer puts out, behind its activation, which the next one takes. The last layer's are the outputs'. */
  readonly layers: readonly LayerRange[];
}

/** Numbers of observations that go through the network at once. */
const BATCH_NUMBERS = 2_000_000;

/**
 * The ranges that the numbers of a network have on recorded observations [rows, observation size]: what post-training
 * quantisation is calibrated by.
 *
 * @throws ShapeError when there are none, or they are of another size
 */
export async function rangesOn(network: Network, observations: Float32Array | Uint8Array): Promise<Ranges> {
  const { architecture, parameters } = network;
  const width = inputSize(architecture);
  const rows = observations.length / width;
  if (!Number.isInteger(rows) || rows === 0) {
    throw new ShapeError("ranges", `needs rows of ${width} numbers, got ${observations.length} numbers`);
  }
  const bytes = observations instanceof Uint8Array;
  const size = Math.min(rows, 256, Math.max(1, Math.floor(BATCH_NUMBERS / width)));
  const inputs = {
    parameters: input([parameterCount(architecture)]),
    observations: input([size, width], bytes ? "uint8" : "float32"),
  };
  const made = activationsOf(architecture, inputs.parameters, inputs.observations);
  const outputs = made.flatMap((x, l) => [
    [`least${l}`, neg(max(neg(x)))] as const,
    [`most${l}`, max(x)] as const,
    [`means${l}`, mean(x, { axes: x.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis])) })] as const,
  ]);
  const program = await Program.compile({ inputs, outputs: Object.fromEntries(outputs) });
  program.bind("parameters", parameters);
  const layers = made.map(({ shape }) => ({
    low: Number.POSITIVE_INFINITY,
    high: Number.NEGATIVE_INFINITY,
    means: Array<number>(shape[1] ?? 0).fill(0),
  }));
  const batches = Math.ceil(rows / size);
  for (let first = 0; first < rows; first += size) {
    // The last batch is filled with rows that were there before: seen twice, they change no range, and means by little.
    const from = Math.min(first, rows - size);
    program.numbers("observations").set(observations.subarray(from * width, (from + size) * width));
    await program.run();
    for (const [l, range] of layers.entries()) {
      range.low = Math.min(range.low, program.floats(`least${l}`)[0]!);
      range.high = Math.max(range.high, program.floats(`most${l}`)[0]!);
      for (const [unit, value] of program.floats(`means${l}`).entries()) range.means[unit]! += value / batches;
    }
  }
  await program.dispose();
  return { observation: elementRanges(observations, width), bytes, layers };
}

function elementRanges(observations: Float32Array | Uint8Array, width: number): ElementRange[] {
  const bytes = observations instanceof Uint8Array;
  const low = Float64Array.from(observations.subarray(0, width));
  const high = low.slice();
  const sums = new Float64Array(width);
  for (let row = 0; row < observations.length; row += width) {
    for (let i = 0; i < width; i++) {
      const value = observations[row + i]!;
      sums[i]! += value;
      if (value < low[i]!) low[i] = value;
      if (value > high[i]!) high[i] = value;
    }
  }
  return Array.from(sums, (sum, i) => ({
    low: bytes ? 0 : low[i]!,
    high: bytes ? 255 : high[i]!,
    mean: (sum * width) / observations.length,
  }));
}

/** The ranges of an observation's elements behind the normalisation: what the first layer takes. */
export function normalizedRanges({ normalization }: Architecture, { observation }: Ranges): ElementRange[] {
  const { deviation, clip = Number.POSITIVE_INFINITY, ...statistics } = normalization ?? { mean: [0], deviation: [1] };
  return observation.map(({ low, high, mean }, i) => {
    const scaled = (value: number): number => {
      const centred = value - statistics.mean[statistics.mean.length === 1 ? 0 : i]!;
      return Math.min(Math.max(centred / deviation[deviation.length === 1 ? 0 : i]!, -clip), clip);
    };
    return { low: scaled(low), high: scaled(high), mean: scaled(mean) };
  });
}

import { ShapeError } from "../errors.ts";
import { inputSize } from "../network/architecture.ts";
import { type FixedLayer, type FixedPoint, LIMIT, TANH, tanhTable } from "./fixed-point.ts";

/**
 * One decision at a time in whole numbers, bit for bit as the C of `pops export c` makes it: observation [observation size] to
 * outputs [actions], in units of `scale`. The returned buffer is reused by the next call.
 * @throws ShapeError when an observation has the wrong length
 */
export function fixedPredictor(fixed: FixedPoint): (observation: Float32Array) => Int32Array {
  const size = inputSize(fixed.architecture);
  const taken = new Int32Array(size);
  const predict = through(fixed, fixed.layers);
  return (observation) => {
    if (observation.length !== size)
      throw new ShapeError("predict", `needs ${size} numbers, got ${observation.length}`);
    takeIn(fixed, observation, taken);
    return predict(taken);
  };
}

/** The same from the sums of the first layer [outputs, positions] on, biases included. */
export function predictorBehindFirst(fixed: FixedPoint): (sums: Float32Array) => Int32Array {
  const [first, ...others] = fixed.layers as readonly [FixedLayer, ...FixedLayer[]];
  const finish = finisher(first, fixed);
  const x = new Int32Array(first.outputs * first.positions);
  const predict = through(fixed, others);
  return (sums) => {
    for (let i = 0; i < x.length; i++) x[i] = finish(sums[i]!, Math.floor(i / first.positions));
    return predict(x);
  };
}

/** What layers make of whole numbers, one after the other. */
function through(fixed: FixedPoint, layers: readonly FixedLayer[]): (x: Int32Array) => Int32Array {
  const stages = layers.map((layer) => ({
    layer,
    finish: finisher(layer, fixed),
    y: new Int32Array(layer.outputs * layer.positions),
  }));
  return (taken) => {
    let x = taken;
    for (const { layer, finish, y } of stages) {
      if (layer.window === undefined) multiply(layer, x, y, finish);
      else convolve(layer, layer.window, x, y, finish);
      x = y;
    }
    return x;
  };
}

/** An observation in whole numbers, by float32 arithmetic; halves are rounded away from 0, NaN is the lowest. */
function takeIn({ bytes, centers, factors }: FixedPoint, observation: Float32Array, into: Int32Array): void {
  if (bytes) {
    into.set(observation);
    return;
  }
  const every = centers.length === 1 ? 0 : 1;
  for (let i = 0; i < into.length; i++) {
    const scaled = Math.fround(Math.fround(observation[i]! - centers[i * every]!) * factors[i * every]!);
    const limited = scaled > -LIMIT ? Math.min(scaled, LIMIT) : -LIMIT;
    into[i] = Math.trunc(Math.fround(limited + (limited < 0 ? -0.5 : 0.5)));
  }
}

type Finish = (sum: number, unit: number) => number;

/** What a unit puts out of its sum. Products stay below 2^53: doubles are exact. */
function finisher({ scaling, preShift, activation }: FixedLayer, { bits }: Pick<FixedPoint, "bits">): Finish {
  const before = 2 ** preShift;
  const narrow = (sum: number): number => (preShift === 0 ? sum : Math.floor((sum + before / 2) / before));
  if (scaling === undefined) return activation === "relu" ? (sum) => Math.max(narrow(sum), 0) : narrow;
  const { multipliers, shift, low, high } = scaling;
  const behind = 2 ** shift;
  const scaled: Finish = (sum, unit) =>
    Math.min(Math.max(Math.floor((narrow(sum) * multipliers[unit]! + behind / 2) / behind), low), high);
  if (activation !== "tanh") return scaled;
  const table = tanhTable(bits);
  const { parts } = TANH[bits];
  return (sum, unit) => {
    const argument = scaled(sum, unit);
    const size = Math.abs(argument);
    const at = Math.floor(size / parts);
    const rise = table[at + 1]! - table[at]!;
    const value = table[at]! + Math.floor((rise * (size % parts) + parts / 2) / parts);
    return argument < 0 ? -value : value;
  };
}

function multiply(
  { inputs, outputs, weights, biases }: FixedLayer,
  x: Int32Array,
  y: Int32Array,
  finish: Finish,
): void {
  for (let j = 0, w = 0; j < outputs; j++) {
    let sum = biases[j]!;
    for (let i = 0; i < inputs; i++, w++) sum += x[i]! * weights[w]!;
    y[j] = finish(sum, j);
  }
}

function convolve(
  { inputs, outputs, weights, biases, zero }: FixedLayer,
  {
    kernel: [tall, wide],
    stride,
    padding,
    from: [channels, height, width],
    to: [, rows, columns],
  }: NonNullable<FixedLayer["window"]>,
  x: Int32Array,
  y: Int32Array,
  finish: Finish,
): void {
  let to = 0;
  for (let j = 0; j < outputs; j++) {
    for (let row = 0; row < rows; row++) {
      const top = row * stride[0] - padding[0];
      const firstRow = Math.max(0, -top);
      const lastRow = Math.min(tall, height - top);
      for (let column = 0; column < columns; column++) {
        const left = column * stride[1] - padding[1];
        const first = Math.max(0, -left);
        const last = Math.min(wide, width - left);
        let sum = biases[j]!;
        for (let channel = 0; channel < channels; channel++) {
          for (let i = firstRow; i < lastRow; i++) {
            const pixels = (channel * height + top + i) * width + left;
            const taps = j * inputs + (channel * tall + i) * wide;
            for (let k = first; k < last; k++) sum += (x[pixels + k]! - zero) * weights[taps + k]!;
          }
        }
        y[to++] = finish(sum, j);
      }
    }
  }
}

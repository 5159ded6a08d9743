/** Greatest magnitude of a weight in int8: the same on both sides. */
export const MOST_WEIGHT = 127;

/** How many scales are tried, from one up to its double: few weights can be hit almost exactly, if the scale is right. */
const trialsOf = (weights: number): number => Math.round(Math.min(Math.max(2 ** 20 / weights, 64), 2048));

/** One number for all, or one each. */
export const pick = (numbers: ArrayLike<number>, index: number): number => numbers[numbers.length === 1 ? 0 : index]!;

const off = (value: number): number => value - Math.round(value);

/**
 * A scale for each output of [inputs, outputs] weights, as float32: of those that reach the greatest weight, and are not twice as
 * coarse as need be, the one that rounds the weights least. 1 where all are 0.
 */
export function outputScales(weights: Float64Array, outputs: number): Float32Array {
  const most = new Float64Array(outputs);
  for (let w = 0; w < weights.length; w++) most[w % outputs] = Math.max(most[w % outputs]!, Math.abs(weights[w]!));
  return Float32Array.from(most, (greatest, o) => {
    const finest = greatest / MOST_WEIGHT;
    // Below what float32 can hold, nothing is left of the weights.
    if (!(finest > 1e-30)) return 1;
    return leastOf(finest, trialsOf(weights.length), (scale) => {
      let error = 0;
      for (let w = o; w < weights.length; w += outputs) error += (off(weights[w]! / scale) * scale) ** 2;
      return error;
    });
  });
}

/**
 * Steps of inputs, none greater than given nor smaller than its half, whose weights are rounded least: each stretches the weights
 * of its input, over all outputs, against scales that stay.
 *
 * @param weights [inputs, outputs] of inputs at step 1
 */
export function inputSteps(steps: Float64Array, weights: Float32Array, outputs: number): Float64Array {
  const stretched = Float64Array.from(weights, (weight, w) => weight * steps[Math.floor(w / outputs)]!);
  const scales = outputScales(stretched, outputs);
  return steps.map((step, i) =>
    leastOf(step / 2, trialsOf(weights.length), (tried) => {
      let error = 0;
      for (let o = 0; o < outputs; o++) {
        error += (off((weights[i * outputs + o]! * tried) / scales[o]!) * (scales[o]! / tried)) ** 2;
      }
      return error;
    }),
  );
}

/** The number from `least` to its double of the least error, the first among equals. */
function leastOf(least: number, trials: number, errorOf: (tried: number) => number): number {
  let best = least;
  let smallest = Number.POSITIVE_INFINITY;
  for (let trial = 0; trial <= trials; trial++) {
    const tried = least * (1 + trial / trials);
    const error = errorOf(tried);
    if (error < smallest) [best, smallest] = [tried, error];
  }
  return best;
}

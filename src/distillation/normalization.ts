import type { Normalization } from "../network/architecture.ts";
import type { Observations } from "../replay/rows.ts";

/** Images that are looked at: the statistics of pixels need no more. */
const MAX_IMAGES = 1000;

/**
 * Mean and deviation of [rows, width] observations, as a network's normalisation: one of each for all pixels of images, whose
 * background is then about 0, or one for each number of other observations. A number that never changes has the deviation 1.
 */
export function normalizationOf(observations: Observations, width: number, image: boolean): Normalization {
  const rows = observations.length / width;
  const stride = image ? Math.ceil(rows / MAX_IMAGES) : 1;
  const size = image ? 1 : width;
  const count = (Math.ceil(rows / stride) * width) / size;
  const sums = new Float64Array(size);
  const squares = new Float64Array(size);
  const visit = (add: (i: number, value: number) => void): void => {
    for (let row = 0; row < rows; row += stride) {
      for (let k = 0; k < width; k++) add(k % size, observations[row * width + k]!);
    }
  };
  visit((i, value) => {
    sums[i]! += value;
  });
  const mean = Array.from(sums, (sum) => Math.fround(sum / count));
  visit((i, value) => {
    squares[i]! += (value - mean[i]!) ** 2;
  });
  const deviation = Array.from(squares, (sum) => Math.fround(Math.sqrt(sum / count)) || 1);
  return { mean, deviation };
}

/** Rows of observations: numbers, or bytes where all numbers are whole and from 0 to 255. */
export type Observations = Float32Array | Uint8Array;

/** Rows from this size on are copied by the engine, whose call costs more than a loop over a few numbers. */
const LONG_ROW = 64;

/** Copies row `at` of `from` to row `to` of `into`; rows have `width` numbers. */
export function copyRow(
  from: Observations | Int32Array,
  at: number,
  width: number,
  into: Observations | Int32Array,
  to: number,
): void {
  if (width >= LONG_ROW) into.set(from.subarray(at * width, (at + 1) * width), to * width);
  else for (let k = 0; k < width; k++) into[to * width + k] = from[at * width + k]!;
}

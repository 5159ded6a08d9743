import { stream } from "../random/pcg64.ts";
import { elementsOf } from "../shape.ts";
import type { ObservationLog } from "./log.ts";

/** Shares of the units that decisions are made on, and that the proof alone sees; students learn from the others. */
const SELECTION = 0.15;
const PROOF = 0.25;

/** Whole episodes or blocks, one behind the other. */
export interface ObservedUnits {
  /** [rows, observation size], in memory that threads share. */
  readonly observations: Float32Array;
  /** [units + 1] first row of each unit, and the number of rows. */
  readonly starts: Int32Array;
}

/** A log's parts, which have no episode or block in common. */
export interface Split {
  readonly training: ObservedUnits;
  readonly selection: ObservedUnits;
  readonly proof: ObservedUnits;
}

/** Draws which episodes or blocks are learned from, decided by and held out: never rows, whose neighbours are nearly the same. */
export function splitLog(log: ObservationLog, seed: number): Split {
  const random = stream(seed, "observations/split");
  const order = log.units.map((_, unit) => unit);
  for (let i = order.length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  const proof = Math.round(PROOF * order.length);
  const selection = Math.round(SELECTION * order.length);
  const part = (from: number, to: number): ObservedUnits =>
    unitsOf(
      log,
      order.slice(from, to).sort((a, b) => a - b),
    );
  return {
    training: part(proof + selection, order.length),
    selection: part(proof, proof + selection),
    proof: part(0, proof),
  };
}

/** The units of these numbers; all of them if none are named. */
export function unitsOf(
  log: ObservationLog,
  numbers: readonly number[] = log.units.map((_, unit) => unit),
): ObservedUnits {
  const units = numbers.map((unit) => log.units[unit] ?? new Int32Array());
  const rows = units.reduce((total, unit) => total + unit.length, 0);
  const width = elementsOf(log.shape);
  const observations = new Float32Array(new SharedArrayBuffer(4 * rows * width));
  const starts = new Int32Array(units.length + 1);
  let at = 0;
  for (const [k, unit] of units.entries()) {
    for (const row of unit) {
      observations.set(log.observations.subarray(row * width, (row + 1) * width), at * width);
      at++;
    }
    starts[k + 1] = at;
  }
  return { observations, starts };
}

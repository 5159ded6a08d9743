/** Sizes of steps are tried up to twice the smallest, at so many places. */
const TRIES = 128;
const SWEEPS = 4;
/** Of larger layers single roundings matter little, and a search would take long. */
const LARGEST = 4_096;

/** A layer's weights, and how much of its inputs they meet. */
export interface Weighed {
  /** [outputs, inputs], in units of what the smallest steps of the inputs are. */
  readonly weights: Float64Array;
  readonly inputs: number;
  readonly outputs: number;
  /** Inputs that share a step. */
  readonly rowsPerUnit: number;
  /** Largest whole number of a weight. */
  readonly limit: number;
  /** How much the inputs of a unit vary, in the same units. */
  readonly spread: Float64Array;
  /** [outputs]: what a row's size must not be below, for its bias. */
  readonly least: Float64Array;
  /** Rows share one size, so that what comes out can be compared. */
  readonly oneRow: boolean;
  /** Whether the steps of inputs may grow: those of pixels are given. */
  readonly freeInputs: boolean;
}

/**
 * Sizes of steps by which weights lose little when they are rounded. Each unit's inputs may have steps up to twice as large as
 * they need, and each row of weights may too; both are free, since what reads or makes them scales anyway. Coordinate descent on
 * squared errors of the weights times the deviation of their inputs.
 *
 * @returns `rows`, size of a weight's step by output; `growth`, of the steps of each unit of the inputs
 */
export function stepSizes(layer: Weighed): { rows: Float64Array; growth: Float64Array } {
  const { weights, inputs, outputs, rowsPerUnit, limit, oneRow, freeInputs, spread } = layer;
  const units = inputs / rowsPerUnit;
  const growth = new Float64Array(units).fill(1);
  const least = layer.least.slice();
  for (let j = 0; j < outputs; j++) {
    for (let i = 0; i < inputs; i++) least[j] = Math.max(least[j]!, Math.abs(weights[j * inputs + i]!) / limit);
  }
  const most = least.reduce((a, b) => Math.max(a, b), 0);
  if (oneRow) least.fill(most);
  const rows = least.map((size) => size || 1);
  if (inputs * outputs > LARGEST) return { rows, growth };

  /** Squared errors of some weights; infinite where one does not fit. */
  const cost = (j: number, unit: number, size: number, grown: number): number => {
    let total = 0;
    for (let i = unit * rowsPerUnit; i < (unit + 1) * rowsPerUnit; i++) {
      const exact = (weights[j * inputs + i]! * grown) / size;
      const whole = Math.round(exact);
      if (Math.abs(whole) > limit) return Number.POSITIVE_INFINITY;
      total += (((whole - exact) * size * spread[unit]!) / (grown * (least[j]! || 1))) ** 2;
    }
    return total;
  };
  const ofRow = (j: number, size: number): number => {
    let total = 0;
    for (let unit = 0; unit < units; unit++) total += cost(j, unit, size, growth[unit]!);
    return total;
  };
  const ofUnit = (unit: number, grown: number): number => {
    let total = 0;
    for (let j = 0; j < outputs; j++) total += cost(j, unit, rows[j]!, grown);
    return total;
  };
  const growAll = (): number => {
    let total = 0;
    for (let unit = 0; unit < units; unit++) {
      if (freeInputs)
        growth[unit] = best(
          (k) => k,
          growth[unit]!,
          (grown) => ofUnit(unit, grown),
        );
      total += ofUnit(unit, growth[unit]!);
    }
    return total;
  };
  if (oneRow) {
    // Units do not depend on each other, given the size of all rows.
    rows.fill(
      best(
        (k) => (most || 1) * k,
        rows[0]!,
        (size) => {
          rows.fill(size);
          growth.fill(1);
          return growAll();
        },
      ),
    );
    growth.fill(1);
    growAll();
    return { rows, growth };
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (let j = 0; j < outputs; j++)
      rows[j] = best(
        (k) => (least[j]! || 1) * k,
        rows[j]!,
        (size) => ofRow(j, size),
      );
    growAll();
  }
  return { rows, growth };
}

/** What costs least: as it was, or one of the tries between the smallest and twice that. */
function best(of: (factor: number) => number, before: number, cost: (value: number) => number): number {
  let chosen = before;
  let least = cost(before);
  for (let k = 0; k < TRIES; k++) {
    const value = of(1 + k / TRIES);
    const found = cost(value);
    if (found < least) [chosen, least] = [value, found];
  }
  return chosen;
}

/** Maps data to pixels and names round values along the way. */
export interface Scale {
  readonly domain: readonly [number, number];
  readonly range: readonly [number, number];
  readonly log: boolean;
  readonly ticks: readonly number[];
  at(value: number): number;
}

/**
 * Smallest interval that holds all values, widened so that it has a length. Reaches down to 0 when the values are not
 * negative and lie near it, and leaves `headroom` (fraction of the length) above.
 */
export function linearDomain(values: readonly number[], headroom = 0.06): [number, number] {
  let [low, high] = extent(values);
  if (isFlat(low, high)) return around(low, high);
  const length = high - low;
  if (low >= 0 && low < 0.5 * high) low = 0;
  else low -= 0.06 * length;
  high += headroom * length;
  return [low, high];
}

/** The interval from the least to the greatest value, widened only when it has no length. */
export function tightDomain(values: readonly number[]): [number, number] {
  const [low, high] = extent(values);
  return isFlat(low, high) ? around(low, high) : [low, high];
}

/** Differences so small that ticks between them would be lost in rounding count as none. */
function isFlat(low: number, high: number): boolean {
  const size = Math.max(Math.abs(low), Math.abs(high));
  return size < 1e-12 || high - low <= 1e-9 * size;
}

function around(low: number, high: number): [number, number] {
  const size = Math.max(Math.abs(low), Math.abs(high));
  const half = size < 1e-12 ? 1 : 0.1 * size;
  return [low - half, high + half];
}

/** Holds all values on a logarithmic axis, with a little room on both sides, in ratios. Values below 1 count as 1. */
export function logDomain(values: readonly number[]): [number, number] {
  const [low, high] = extent(values.map((value) => Math.max(1, value)));
  const room = (high / low) ** 0.06 * 1.3;
  return [low / room, high * room];
}

export function linearScale(domain: readonly [number, number], range: readonly [number, number], count: number): Scale {
  const [low, high] = domain;
  const factor = (range[1] - range[0]) / (high - low);
  return {
    domain,
    range,
    log: false,
    ticks: roundTicks(low, high, count),
    at: (value) => range[0] + (value - low) * factor,
  };
}

export function logScale(domain: readonly [number, number], range: readonly [number, number]): Scale {
  const low = Math.log10(domain[0]);
  const factor = (range[1] - range[0]) / (Math.log10(domain[1]) - low);
  const ticks = decadeTicks(domain[0], domain[1]);
  return { domain, range, log: true, ticks, at: (value) => range[0] + (Math.log10(Math.max(1, value)) - low) * factor };
}

function extent(values: readonly number[]): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : [1, 1];
}

/** Multiples of 1, 2 or 5 times a power of ten, about `count` of them. */
function roundTicks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * (rough < 1.5 * power ? 1 : rough < 3.5 * power ? 2 : rough < 7.5 * power ? 5 : 10);
  const ticks: number[] = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) {
    ticks.push(Number((k * step).toPrecision(12)));
  }
  return ticks;
}

/** Powers of ten; between them 2 and 5 too when the axis is short. */
function decadeTicks(low: number, high: number): number[] {
  const factors = Math.log10(high / low) < 2.5 ? [1, 2, 5] : [1];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
    for (const factor of factors) {
      const tick = factor * 10 ** power;
      if (tick >= low && tick <= high && tick >= 1) ticks.push(tick);
    }
  }
  return ticks;
}

export type Point = readonly [x: number, y: number];

/**
 * At most `limit` points that draw the same line: the first, the last, and of each of (limit - 2) / 2 equal runs in between
 * the lowest and the highest, in order. Peaks and dips survive. Points that are not finite are left out.
 */
export function thin(points: readonly Point[], limit: number): Point[] {
  const finite = points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  const first = finite[0];
  const last = finite.at(-1);
  if (finite.length <= limit || first === undefined || last === undefined) return finite;
  const runs = Math.max(1, Math.floor((limit - 2) / 2));
  const inner = finite.slice(1, -1);
  const kept: Point[] = [first];
  for (let run = 0; run < runs; run++) {
    const part = inner.slice(Math.floor((run * inner.length) / runs), Math.floor(((run + 1) * inner.length) / runs));
    const head = part[0];
    if (head === undefined) continue;
    let [lowest, highest] = [head, head];
    for (const point of part) {
      if (point[1] < lowest[1]) lowest = point;
      if (point[1] > highest[1]) highest = point;
    }
    if (lowest === highest) kept.push(lowest);
    else if (part.indexOf(lowest) < part.indexOf(highest)) kept.push(lowest, highest);
    else kept.push(highest, lowest);
  }
  kept.push(last);
  return kept;
}

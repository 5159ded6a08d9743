import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  linearDomain,
  linearScale,
  logDomain,
  logScale,
  type Point,
  thin,
  tightDomain,
} from "../../src/report/scale.ts";

const finite = fc.double({ min: -1e9, max: 1e9, noNaN: true });

describe("linearScale", () => {
  it("maps the ends of the domain to the ends of the range", () => {
    const scale = linearScale([-21, 21], [300, 0], 4);
    expect([scale.at(-21), scale.at(0), scale.at(21)]).toEqual([300, 150, 0]);
  });

  it("places ticks at round values inside the domain", () => {
    expect(linearScale([0, 530], [0, 1], 5).ticks).toEqual([0, 100, 200, 300, 400, 500]);
    expect(linearScale([-0.31, 0.33], [0, 1], 3).ticks).toEqual([-0.2, 0, 0.2]);
  });
});

describe("linearDomain", () => {
  it("has a length and holds every value, also for one value, equal values and none", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(finite, fc.constant(7))), (values) => {
        const [low, high] = linearDomain(values);
        return low < high && values.every((value) => low <= value && value <= high);
      }),
    );
  });

  it("leaves ticks a place, however close the values are", () => {
    const close = fc
      .tuple(finite, fc.double({ min: 0, max: 1e-6, noNaN: true }))
      .map(([value, step]) => [value, value + step]);
    fc.assert(
      fc.property(fc.oneof(close, fc.array(finite)), fc.constantFrom(linearDomain, tightDomain), (values, domain) => {
        const { ticks } = linearScale(domain(values), [0, 1], 5);
        return (
          ticks.length > 0 && ticks.length < 20 && ticks.every((tick, index) => index === 0 || tick > ticks[index - 1]!)
        );
      }),
    );
  });

  it("begins at 0 when the values are positive and reach near it", () => {
    expect(linearDomain([2, 100])[0]).toBe(0);
    expect(linearDomain([90, 100])[0]).toBeGreaterThan(80);
  });
});

describe("logScale", () => {
  it("gives equal ratios equal lengths", () => {
    const scale = logScale([1, 10_000], [0, 400]);
    expect([1, 10, 100, 1000, 10_000].map((value) => Math.round(scale.at(value)))).toEqual([0, 100, 200, 300, 400]);
  });

  it("ticks at powers of ten on a long axis, between them on a short one", () => {
    expect(logScale([4, 200_000], [0, 1]).ticks).toEqual([10, 100, 1000, 10_000, 100_000]);
    expect(logScale([5.5, 60], [0, 1]).ticks).toEqual([10, 20, 50]);
  });

  it("has a domain of some length around a single size, and draws size 0 like size 1", () => {
    const [low, high] = logDomain([8, 8]);
    expect(low).toBeLessThan(8);
    expect(high).toBeGreaterThan(8);
    const scale = logScale(logDomain([0, 100]), [0, 1]);
    expect(scale.at(0)).toBe(scale.at(1));
  });
});

describe("thin", () => {
  const walk = fc.array(finite, { maxLength: 3000 }).map((values) => values.map((y, x): Point => [x, y]));

  it("keeps at most the limit, the first and last point, the order, and the extremes", () => {
    fc.assert(
      fc.property(walk, fc.integer({ min: 4, max: 500 }), (points, limit) => {
        const kept = thin(points, limit);
        expect(kept.length).toBeLessThanOrEqual(Math.max(limit, 0));
        expect(kept[0]).toEqual(points[0]);
        expect(kept.at(-1)).toEqual(points.at(-1));
        expect(kept.every((point, index) => index === 0 || point[0] > kept[index - 1]![0])).toBe(true);
        const heights = (list: readonly Point[]): number[] => list.map(([, y]) => y).sort((a, b) => a - b);
        expect(heights(kept)[0]).toBe(heights(points)[0]);
        expect(heights(kept).at(-1)).toBe(heights(points).at(-1));
      }),
      { numRuns: 60 },
    );
  });

  it("leaves out points that are not finite", () => {
    expect(
      thin(
        [
          [0, Number.NaN],
          [1, 2],
          [2, Number.POSITIVE_INFINITY],
        ],
        10,
      ),
    ).toEqual([[1, 2]]);
  });
});

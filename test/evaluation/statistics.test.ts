import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { lower95, meanElsewhere, scoreOf, summarize, t95 } from "../../src/evaluation/statistics.ts";
import { scoreSchema } from "../../src/network/policy.ts";
import { stream } from "../../src/random/pcg64.ts";

const random = () => stream(0, "bootstrap");

// Student's t, one-sided 95 %, from printed tables.
it.each([
  [1, 6.3138],
  [2, 2.92],
  [3, 2.3534],
  [4, 2.1318],
  [5, 2.015],
  [6, 1.9432],
  [9, 1.8331],
  [19, 1.7291],
  [29, 1.6991],
  [99, 1.6604],
  [999, 1.6464],
])("t95 with %i degrees of freedom is %f, to 0.001", (degrees, expected) => {
  expect(Math.abs(t95(degrees) - expected)).toBeLessThan(0.001);
});

it("t95 falls towards the normal quantile", () => {
  const values = Array.from({ length: 200 }, (_, i) => t95(i + 1));
  expect(values).toEqual(values.toSorted((a, b) => b - a));
  expect(t95(1e9)).toBeCloseTo(1.644854, 6);
});

describe("a summary", () => {
  it("has mean, standard deviation with n - 1, and minimum", () => {
    // Squares of the distances to 5: 9, 1, 1, 1, 0, 0, 4, 16, together 32.
    expect(summarize(Float64Array.of(2, 4, 4, 4, 5, 5, 7, 9))).toEqual({
      mean: 5,
      sd: Math.sqrt(32 / 7),
      min: 2,
      episodes: 8,
    });
  });

  it("of one episode has the standard deviation 0", () => {
    expect(summarize(Float64Array.of(-3))).toEqual({ mean: -3, sd: 0, min: -3, episodes: 1 });
  });

  it("of nothing is refused", () => {
    expect(() => summarize(new Float64Array())).toThrow(new ShapeError("summarize", "needs at least one return"));
  });
});

it("the lower bound is mean - t95 * sd / sqrt(n)", () => {
  expect(lower95({ mean: 200, sd: 10, episodes: 25 })).toBeCloseTo(200 - (1.7109 * 10) / 5, 3);
  expect(lower95({ mean: 7, sd: 0, episodes: 2 })).toBe(7);
});

// Student's t, two-sided 99.9 %, from printed tables; 1 / 1 + 1 / 1 under the root for two episodes, and so on.
it.each([
  [2, 1, 636.62 * Math.sqrt(1 / 2 + 1)],
  [5, 20, 8.61 / 2],
  [6, 3, 6.869 * Math.sqrt(1 / 2)],
  [10, 10, 4.781 * Math.sqrt(1 / 5)],
  [30, 100, 3.659 * Math.sqrt(13 / 300)],
  [100, 100, 3.391 * Math.sqrt(1 / 50)],
])(
  "the mean of others: %i episodes with the deviation 1 reach %i others' mean within %f",
  (episodes, others, reach) => {
    const [low, high] = meanElsewhere({ mean: 7, sd: 1, episodes }, others);
    expect(Math.abs(high - 7 - reach)).toBeLessThan(0.002 * reach);
    expect(7 - low).toBeCloseTo(high - 7, 9);
  },
);

it("the mean of others falls outside of its interval once in 1,000", () => {
  const normal = stream(5, "episodes");
  const episodes = (count: number): Float64Array => Float64Array.from({ length: count }, () => normal.normal());
  const misses = Array.from({ length: 4000 }, () => {
    const [low, high] = meanElsewhere(summarize(episodes(50)), 20);
    const { mean } = summarize(episodes(20));
    return mean < low || mean > high;
  }).filter(Boolean).length;
  // 4 of 4,000 on average.
  expect(misses).toBeGreaterThan(0);
  expect(misses).toBeLessThan(12);
});

it("a lower bound of one episode is refused", () => {
  const refusal = new ShapeError("t95", "a confidence bound needs at least 2 episodes");
  expect(() => lower95({ mean: 1, sd: 0, episodes: 1 })).toThrow(refusal);
  expect(() => scoreOf(Float64Array.of(1), random())).toThrow(refusal);
});

describe("a score", () => {
  it("has the numbers by hand", () => {
    const { mean, sd, min, lower95: lower, episodes } = scoreOf(Float64Array.of(3, 1, 4, 2), random());
    // sd sqrt(5/3) = 1.290994; 2.5 - 2.3534 * 1.290994 / 2.
    expect([mean, min, episodes]).toEqual([2.5, 1, 4]);
    expect(sd).toBeCloseTo(1.290994, 6);
    expect(lower).toBeCloseTo(0.980887, 6);
  });

  it("of equal returns is certain", () => {
    const returns = new Float64Array(50).fill(500);
    expect(scoreOf(returns, random())).toEqual({
      mean: 500,
      sd: 0,
      min: 500,
      lower95: 500,
      interval95: [500, 500],
      episodes: 50,
    });
  });

  it("has the interval of a normal distribution when there are many episodes", () => {
    const normal = stream(1, "returns");
    const returns = Float64Array.from({ length: 2_000 }, () => 100 + 10 * normal.normal());
    const { mean, sd, interval95 } = scoreOf(returns, random());
    const half = (1.96 * sd) / Math.sqrt(2_000);
    // The 2.5 % quantile of 2,000 resamples has a relative standard error of about 3 %.
    expect(Math.abs((mean - interval95[0]) / half - 1)).toBeLessThan(0.12);
    expect(Math.abs((interval95[1] - mean) / half - 1)).toBeLessThan(0.12);
  });

  it("covers the true mean about 95 times in 100", () => {
    const trials = 100;
    const source = stream(2, "returns");
    let covered = 0;
    for (let trial = 0; trial < trials; trial++) {
      const { interval95 } = scoreOf(
        Float64Array.from({ length: 40 }, () => source.normal()),
        random(),
      );
      if (interval95[0] <= 0 && 0 <= interval95[1]) covered++;
    }
    // A percentile interval of 40 covers a little less than 95 %: 0.93 with a standard deviation of 0.026.
    expect(covered / trials).toBeGreaterThan(0.85);
    expect(covered / trials).toBeLessThan(1);
  });

  it("is the same from the same stream, and valid, whatever the returns", () => {
    const returns = fc.array(fc.integer({ min: -500, max: 500 }), { minLength: 2, maxLength: 30 });
    fc.assert(
      fc.property(returns, (values) => {
        const score = scoreOf(Float64Array.from(values), random());
        expect(scoreOf(Float64Array.from(values), random())).toEqual(score);
        expect(scoreSchema.parse(score)).toEqual(score);
        const [low, high] = score.interval95;
        expect(score.min).toBeLessThanOrEqual(low);
        expect(low).toBeLessThanOrEqual(high);
        expect(high).toBeLessThanOrEqual(Math.max(...values));
        expect(score.lower95).toBeLessThanOrEqual(score.mean);
      }),
      { numRuns: 30 },
    );
  });
});

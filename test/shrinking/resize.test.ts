import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Architecture,
  countsOf,
  dense,
  hiddenWidths,
  layoutOf,
  describe as sizes,
} from "../../src/network/architecture.ts";
import type { LayerRedundancy } from "../../src/shrinking/redundancy.ts";
import { ladder, resizeByUnits, resizeByWeights, withHidden } from "../../src/shrinking/resize.ts";
import { architectures } from "../arbitraries.ts";

const weightsOf = (architecture: Architecture): number => countsOf(architecture).weights;

/** What pruning left of a network: `nonZero` weights and, unless said, all units. */
function left(architecture: Architecture, nonZero: readonly number[], live?: readonly number[]): LayerRedundancy[] {
  return layoutOf(architecture).map(({ name, weights, outputs }, l) => ({
    name,
    weights: weights.length,
    nonZero: nonZero[l]!,
    units: outputs,
    liveUnits: live?.[l] ?? outputs,
  }));
}

/** Weight budgets of the original: int(weights * (1 - redundancy)). */
function budgets(architecture: Architecture, redundancies: readonly number[]): number[] {
  return layoutOf(architecture).map(({ weights }, l) => Math.trunc(weights.length * (1 - redundancies[l]!)));
}

/** Any network and anything that pruning may leave of it: every layer keeps at least one weight and one unit. */
const pruned = architectures.chain((architecture) => {
  const layers = layoutOf(architecture).map(({ name, weights, outputs }, l, all) =>
    fc.record({
      name: fc.constant(name),
      weights: fc.constant(weights.length),
      nonZero: fc.integer({ min: 1, max: weights.length }),
      units: fc.constant(outputs),
      liveUnits: l === all.length - 1 ? fc.constant(outputs) : fc.integer({ min: 1, max: outputs }),
    }),
  );
  return fc.record({ architecture: fc.constant(architecture), layers: fc.tuple(...layers) });
});

const teacher = dense(4, [256, 256, 128], 2, "q-values");

describe("the next size by units", () => {
  it("is strictly smaller, fits what pruning left, and has no layer without units", () => {
    fc.assert(
      fc.property(pruned, ({ architecture, layers }) => {
        const next = resizeByUnits(architecture, layers);
        if (next === undefined) return;
        expect(weightsOf(next)).toBeLessThan(weightsOf(architecture));
        expect(weightsOf(next)).toBeLessThanOrEqual(layers.reduce((total, { nonZero }) => total + nonZero, 0));
        expect(Math.min(...hiddenWidths(next), 1)).toBe(1);
        expect(hiddenWidths(next).length).toBeLessThanOrEqual(hiddenWidths(architecture).length);
        expect(next.layers.at(-1)).toEqual(architecture.layers.at(-1));
      }),
      { numRuns: 300 },
    );
  });

  it("is undefined only when neither the linear policy nor the narrowest network of any depth fits", () => {
    fc.assert(
      fc.property(pruned, ({ architecture, layers }) => {
        if (resizeByUnits(architecture, layers) !== undefined) return;
        const budget = layers.reduce((total, { nonZero }) => total + nonZero, 0);
        const limit = Math.min(budget, weightsOf(architecture) - 1);
        for (let depth = 0; depth <= hiddenWidths(architecture).length; depth++) {
          expect(weightsOf(withHidden(architecture, new Array<number>(depth).fill(1)))).toBeGreaterThan(limit);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("is the live units when their dense weights fit", () => {
    const layers = left(teacher, [1000, 60000, 30000, 200], [10, 20, 30, 2]);
    expect(sizes(resizeByUnits(teacher, layers)!)).toBe("4-10-20-30-2");
  });

  it("takes units from the widest layers until the weights fit", () => {
    // 4-10-20-30-2 has 900 weights. 4-10-15-15-2 is the first of 4-10-20-n-2, n = 29..20, then 4-10-n-n-2 with at most 450.
    const layers = left(teacher, [100, 150, 150, 50], [10, 20, 30, 2]);
    expect(sizes(resizeByUnits(teacher, layers)!)).toBe("4-10-15-15-2");
  });

  it("drops layers that are narrower than both the input and the output", () => {
    const plenty = [1000, 60000, 30000, 200];
    expect(sizes(resizeByUnits(teacher, left(teacher, plenty, [6, 1, 5, 2]))!)).toBe("4-6-5-2");
    expect(sizes(resizeByUnits(teacher, left(teacher, plenty, [6, 2, 5, 2]))!)).toBe("4-6-2-5-2");
  });

  it("comes down to the linear policy, and to an end there", () => {
    const network = dense(4, [8], 2, "q-values");
    const linear = resizeByUnits(network, left(network, [6, 2], [1, 2]))!;
    expect(linear).toEqual(dense(4, [], 2, "q-values"));
    expect(resizeByUnits(linear, left(linear, [8]))).toBeUndefined();
  });
});

describe("the next size by weights", () => {
  it("is the original's 70-152-34 for its hard-coded redundancies", () => {
    const layers = left(teacher, budgets(teacher, [0.8398, 0.8346, 0.838, 0.8398]));
    const next = resizeByWeights(teacher, teacher, layers)!;
    expect(hiddenWidths(next)).toEqual([70, 152, 34]);
    expect(weightsOf(next)).toBe(16_156);
  });

  it("is the original's bottleneck 4-141-2 for a uniform redundancy of 0.99", () => {
    const layers = left(teacher, budgets(teacher, [0.99, 0.99, 0.99, 0.99]));
    expect(hiddenWidths(resizeByWeights(teacher, teacher, layers)!)).toEqual([4, 141, 2]);
  });

  it("is strictly smaller than the current network, as deep, and has no layer without units", () => {
    fc.assert(
      fc.property(pruned, ({ architecture, layers }) => {
        const next = resizeByWeights(architecture, architecture, layers);
        if (next === undefined) return;
        expect(weightsOf(next)).toBeLessThan(weightsOf(architecture));
        expect(hiddenWidths(next)).toHaveLength(hiddenWidths(architecture).length);
        expect(Math.min(...hiddenWidths(next))).toBeGreaterThanOrEqual(1);
      }),
      { numRuns: 300 },
    );
  });

  it("is smaller even when nothing was pruned: the widest layer gives way", () => {
    const network = dense(4, [8, 8], 2, "q-values");
    const next = resizeByWeights(network, network, left(network, [32, 64, 16]))!;
    expect(weightsOf(next)).toBeLessThan(weightsOf(network));
  });

  it("is undefined for a linear policy and for widths of 1", () => {
    for (const hidden of [[], [1, 1]]) {
      const network = dense(4, hidden, 2, "q-values");
      const whole = layoutOf(network).map(({ weights }) => weights.length);
      expect(resizeByWeights(network, network, left(network, whole))).toBeUndefined();
    }
  });
});

describe("the ladder of the squeeze search", () => {
  const growths = fc.double({ min: 1, max: 3, noNaN: true });

  it("ascends to below the passing size, in steps of at least the growth", () => {
    fc.assert(
      fc.property(architectures, growths, (passing, growth) => {
        const rungs = ladder(passing, growth);
        for (const [k, rung] of rungs.entries()) {
          expect(weightsOf(rung)).toBeLessThan(weightsOf(passing));
          if (k > 0) expect(weightsOf(rung)).toBeGreaterThanOrEqual(growth * weightsOf(rungs[k - 1]!));
          expect({ ...rung, layers: rung.layers.slice(-1) }).toEqual({ ...passing, layers: passing.layers.slice(-1) });
        }
      }),
    );
  });

  it("holds the linear policy and every single hidden layer that is smaller, each once", () => {
    fc.assert(
      fc.property(architectures, (passing) => {
        const rungs = ladder(passing, 1).map((rung) => hiddenWidths(rung).join("-"));
        expect(new Set(rungs).size).toBe(rungs.length);
        const limit = weightsOf(passing);
        if (weightsOf(withHidden(passing, [])) < limit) expect(rungs).toContain("");
        for (let width = 1; weightsOf(withHidden(passing, [width])) < limit; width++)
          expect(rungs).toContain(`${width}`);
      }),
    );
  });

  it("has no bottleneck in two layers or more, and none deeper than the passing network", () => {
    fc.assert(
      fc.property(architectures, (passing) => {
        const narrow = Math.min(passing.input[0]!, passing.layers.at(-1)!.units);
        for (const rung of ladder(passing, 1)) {
          const hidden = hiddenWidths(rung);
          if (hidden.length > 1) expect(Math.min(...hidden)).toBeGreaterThanOrEqual(narrow);
          expect(hidden.length).toBeLessThanOrEqual(Math.max(1, hiddenWidths(passing).length));
        }
      }),
    );
  });

  it("by hand: below 4-4-2 are 4-1-2, 4-2, 4-2-2 and 4-3-2, with 6, 8, 12 and 18 weights", () => {
    const passing = dense(4, [4], 2, "q-values");
    expect(ladder(passing, 1).map(sizes)).toEqual(["4-1-2", "4-2", "4-2-2", "4-3-2"]);
    expect(ladder(passing, 1.5).map(sizes)).toEqual(["4-1-2", "4-2-2", "4-3-2"]);
    expect(ladder(passing, 1.6).map(sizes)).toEqual(["4-1-2", "4-2-2"]);
  });

  it("keeps the proportions of the layers", () => {
    const widths = ladder(teacher, 1)
      .map(hiddenWidths)
      .filter((hidden) => hidden.length === 3 && Math.min(...hidden) > 2);
    expect(widths.length).toBeGreaterThan(100);
    for (const [a, b, c] of widths as [number, number, number][]) {
      expect(a).toBe(b);
      expect(Math.abs(c - b / 2)).toBeLessThanOrEqual(0.5);
    }
  });
});

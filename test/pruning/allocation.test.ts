import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import {
  type Architecture,
  dense,
  type LayerLayout,
  layoutOf,
  parameterCount,
} from "../../src/network/architecture.ts";
import { ALLOCATIONS, allocate } from "../../src/pruning/allocation.ts";
import { magnitude } from "../../src/pruning/score.ts";
import { liveUnits } from "../../src/shrinking/redundancy.ts";
import { architectures, convolutional } from "../arbitraries.ts";

/** Distinct scores for all parameters of an architecture, in random order. */
const scored = architectures.chain((architecture) => {
  const count = parameterCount(architecture);
  const order = fc.shuffledSubarray(
    Array.from({ length: count }, (_, i) => i + 1),
    { minLength: count },
  );
  return order.map((scores) => ({ architecture, scores: Float32Array.from(scores) }));
});
const sparsities = fc.double({ min: 0, max: 1, noNaN: true });

const indices = ({ weights }: LayerLayout): number[] =>
  Array.from({ length: weights.length }, (_, i) => weights.offset + i);

/** The `count` best of some parameters by sorting, the first ones among equals. */
function best(scores: Float32Array, of: readonly number[], count: number): Set<number> {
  return new Set(of.toSorted((a, b) => scores[b]! - scores[a]! || a - b).slice(0, count));
}

/** What a sparsity keeps without the live path. */
function keptBySorting(
  architecture: Architecture,
  scores: Float32Array,
  sparsity: number,
  uniform: boolean,
): Set<number> {
  const layers = layoutOf(architecture).map(indices);
  const groups = uniform ? layers : [layers.flat()];
  return new Set(groups.flatMap((of) => [...best(scores, of, Math.round(of.length * (1 - sparsity)))]));
}

function pathExists(architecture: Architecture, mask: Float32Array): boolean {
  const layers = layoutOf(architecture);
  const leads = (l: number, from: number): boolean => {
    const layer = layers[l];
    if (layer === undefined) return true;
    return Array.from({ length: layer.outputs }, (_, to) => to).some(
      (to) => mask[layer.weights.offset + from * layer.outputs + to] === 1 && leads(l + 1, to),
    );
  };
  return Array.from({ length: layers[0]!.inputs }, (_, i) => i).some((i) => leads(0, i));
}

describe("the mask of a sparsity", () => {
  it.each(ALLOCATIONS)("(%s) keeps round(n (1 - s)) of the largest scores, and at most one path more", (allocation) => {
    fc.assert(
      fc.property(scored, sparsities, ({ architecture, scores }, sparsity) => {
        const mask = allocate(architecture, scores, sparsity, allocation);
        const expected = keptBySorting(architecture, scores, sparsity, allocation === "uniform");
        const kept = layoutOf(architecture)
          .flatMap(indices)
          .filter((i) => mask[i] === 1);
        for (const index of expected) expect(mask[index]).toBe(1);
        for (const layer of layoutOf(architecture)) {
          const extra = indices(layer).filter((i) => mask[i] === 1 && !expected.has(i));
          expect(extra.length).toBeLessThanOrEqual(1);
        }
        expect(kept.length - expected.size).toBeLessThanOrEqual(architecture.layers.length);
      }),
    );
  });

  it.each(ALLOCATIONS)("(%s) always leaves a path from an input to an output", (allocation) => {
    fc.assert(
      fc.property(scored, sparsities, ({ architecture, scores }, sparsity) => {
        expect(pathExists(architecture, allocate(architecture, scores, sparsity, allocation))).toBe(true);
      }),
    );
  });

  it.each(ALLOCATIONS)("(%s) holds nothing but 0 and 1 and never touches a bias", (allocation) => {
    fc.assert(
      fc.property(scored, sparsities, ({ architecture, scores }, sparsity) => {
        const mask = allocate(architecture, scores, sparsity, allocation);
        expect(mask.every((kept) => kept === 0 || kept === 1)).toBe(true);
        for (const { biases } of layoutOf(architecture)) {
          expect(mask.subarray(biases.offset, biases.offset + biases.length)).not.toContain(0);
        }
      }),
    );
  });

  // 2-2-2: weights 0-3, biases 4-5, weights 6-9, biases 10-11.
  const network = dense(2, [2], 2, "logits");
  const strongFirst = Float32Array.of(8, 7, 6, 5, 0, 0, 4, 3, 2, 1, 0, 0);

  it("takes from whatever layer is weakest when it is global", () => {
    expect([...allocate(network, strongFirst, 0.5, "global")]).toEqual([1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1]);
  });

  it("takes the same share of every layer when it is uniform", () => {
    expect([...allocate(network, strongFirst, 0.5, "uniform")]).toEqual([1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1]);
  });

  it("keeps the first of equal scores", () => {
    const equal = new Float32Array(12).fill(1);
    expect([...allocate(network, equal, 0.5, "uniform")]).toEqual([1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1]);
    expect([...allocate(network, equal, 0.25, "global")]).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1]);
  });

  it("at sparsity 1 is the greedy path of the largest weights", () => {
    // The largest of the first layer leads to unit 1, whose largest is its second.
    const scores = Float32Array.of(1, 2, 3, 4, 0, 0, 9, 8, 5, 6, 0, 0);
    for (const allocation of ALLOCATIONS) {
      expect([...allocate(network, scores, 1, allocation)]).toEqual([0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1]);
    }
  });

  it.each([-0.1, 1.1, Number.NaN])("refuses a sparsity of %d", (sparsity) => {
    expect(() => allocate(network, strongFirst, sparsity, "global")).toThrow(ShapeError);
  });
});

describe("magnitude", () => {
  it("is the absolute value", () => {
    expect([...magnitude(Float32Array.of(-2, 0, 0.5))]).toEqual([2, 0, 0.5]);
  });
});

describe("whole units", () => {
  /** Whoever lost all weights into it has none out of it. */
  function expectWhole(architecture: Architecture, mask: Float32Array): void {
    const layers = layoutOf(architecture);
    for (const [l, { weights, inputs, outputs }] of layers.slice(0, -1).entries()) {
      const next = layers[l + 1]!;
      const block = next.rowsPerUnit * next.outputs;
      for (let unit = 0; unit < outputs; unit++) {
        const into = Array.from({ length: inputs }, (_, row) => mask[weights.offset + row * outputs + unit]!);
        const out = mask.slice(next.weights.offset + unit * block, next.weights.offset + (unit + 1) * block);
        if (into.every((kept) => kept === 0)) expect(out.every((kept) => kept === 0)).toBe(true);
      }
    }
  }

  it("go with everything into and out of them, and as few as reach the sparsity", () => {
    // 2-3-1: units have incoming norms 1, 5, 3; two weights in and one out each.
    const architecture = dense(2, [3], 1, "logits");
    const scores = Float32Array.of(1, 4, 0, 0, 3, 3, 9, 9, 9, 1, 1, 1, 9);
    const mask = allocate(architecture, scores, 0.5, "global", "unit");
    // 4.5 of 9 weights have to go, rounded to 4: unit 0, then unit 2.
    expect([...mask]).toEqual([0, 1, 0, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1]);
  });

  it.each(ALLOCATIONS)("(%s) leave a live path in convolutional networks at any sparsity", (allocation) => {
    fc.assert(
      fc.property(convolutional, sparsities, (architecture, sparsity) => {
        const scores = Float32Array.from(
          { length: parameterCount(architecture) },
          (_, i) => 1 + ((i * 7919) % 104_729),
        );
        const mask = allocate(architecture, scores, sparsity, allocation, "unit");
        const live = liveUnits(architecture, mask);
        for (const units of live) expect(units.some(Boolean)).toBe(true);
        expectWhole(architecture, mask);
      }),
    );
  });

  it("do not go at a sparsity of 0", () => {
    fc.assert(
      fc.property(convolutional, (architecture) => {
        const scores = new Float32Array(parameterCount(architecture)).fill(1);
        expect(allocate(architecture, scores, 0, "global", "unit").every((kept) => kept === 1)).toBe(true);
      }),
    );
  });
});

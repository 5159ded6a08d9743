import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { stream } from "../../src/random/pcg64.ts";
import { PrioritizedReplay, SumTree } from "../../src/replay/prioritized.ts";
import { emptyBatch, numbersIn, transition } from "./transitions.ts";

describe("a sum tree", () => {
  const updates = (value: fc.Arbitrary<number>) =>
    fc
      .integer({ min: 1, max: 20 })
      .chain((capacity) =>
        fc.record({ capacity: fc.constant(capacity), sets: fc.array(fc.tuple(fc.nat(capacity - 1), value)) }),
      );

  it("has the sum of its leaves as total, without drift", () => {
    const positive = fc.double({ min: 1e-6, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(updates(positive), ({ capacity, sets }) => {
        const tree = new SumTree(capacity);
        const leaves = new Float64Array(capacity);
        for (const [leaf, value] of sets) {
          tree.set(leaf, value);
          leaves[leaf] = value;
        }
        expect(Array.from(leaves, (_, leaf) => tree.get(leaf))).toEqual([...leaves]);
        const total = leaves.reduce((a, b) => a + b, 0);
        expect(Math.abs(tree.total - total)).toBeLessThanOrEqual(1e-13 * total);
      }),
    );
  });

  it("finds the leaf in whose share a number falls", () => {
    // Integers, whose sums are exact.
    fc.assert(
      fc.property(updates(fc.nat(5)), ({ capacity, sets }) => {
        const tree = new SumTree(capacity);
        for (const [leaf, value] of sets) tree.set(leaf, value);
        const owners = Array.from({ length: capacity }, (_, leaf) => leaf).flatMap((leaf) =>
          Array.from({ length: tree.get(leaf) }, () => leaf),
        );
        expect(owners.map((_, mass) => tree.find(mass))).toEqual(owners);
        expect(owners.map((_, mass) => tree.find(mass + 0.999))).toEqual(owners);
      }),
    );
  });

  it("never finds a leaf of share 0, at the total and beyond either", () => {
    const sparse = fc.oneof(fc.constant(0), fc.double({ min: 1e-12, max: 1, noNaN: true }));
    fc.assert(
      fc.property(updates(sparse), fc.double({ min: 0, max: 1.5, noNaN: true }), ({ capacity, sets }, fraction) => {
        const tree = new SumTree(capacity);
        for (const [leaf, value] of sets) tree.set(leaf, value);
        fc.pre(tree.total > 0);
        expect(tree.get(tree.find(fraction * tree.total))).toBeGreaterThan(0);
      }),
    );
  });
});

/** Samples `rows`; the numbers of the transitions, their slots and weights. */
function sample(replay: PrioritizedReplay, rows: number, beta: number, seed = 0) {
  const batch = emptyBatch(rows);
  const weights = new Float32Array(rows);
  const slots = new Int32Array(rows);
  replay.sample(stream(seed, "replay"), beta, batch, weights, slots);
  return { numbers: numbersIn(batch), slots: [...slots], weights: [...weights] };
}

function filled(capacity: number, count: number, alpha = 1, epsilon = 1): PrioritizedReplay {
  const replay = new PrioritizedReplay(capacity, 2, { alpha, epsilon });
  for (let number = 0; number < count; number++) replay.add(...transition(number));
  return replay;
}

const expectWeights = (actual: number[], expected: number[]): void => {
  expect(actual).toHaveLength(expected.length);
  for (const [i, weight] of expected.entries()) expect(actual[i]).toBeCloseTo(weight, 6);
};

describe("prioritized replay", () => {
  it("draws one transition from each equal share of the mass: as often as its priority says", () => {
    const replay = filled(4, 3);
    // |error| + 1: priorities 1, 2, 3 of 6.
    replay.update(Int32Array.of(0, 1, 2), Float32Array.of(0, -1, 2));
    const { numbers, slots } = sample(replay, 6, 1);
    expect(numbers).toEqual([0, 1, 1, 2, 2, 2]);
    expect(slots).toEqual([0, 1, 1, 2, 2, 2]);
  });

  it("weighs by (size * probability)^-beta over the batch's largest", () => {
    const replay = filled(4, 3);
    replay.update(Int32Array.of(0, 1, 2), Float32Array.of(0, 1, 2));
    // 3 * (1, 2, 3) / 6 = 0.5, 1, 1.5: weights 2, 1, 2/3 over 2.
    const third = 1 / 3;
    expectWeights(sample(replay, 6, 1).weights, [1, 0.5, 0.5, third, third, third]);
    const half = Math.SQRT1_2;
    expectWeights(sample(replay, 6, 0.5).weights, [1, half, half, ...[third, third, third].map(Math.sqrt)]);
    expectWeights(sample(replay, 6, 0).weights, [1, 1, 1, 1, 1, 1]);
  });

  it("raises priorities to the power alpha", () => {
    const replay = filled(2, 2, 0.5);
    // sqrt(0 + 1) = 1 and sqrt(8 + 1) = 3.
    replay.update(Int32Array.of(0, 1), Float32Array.of(0, 8));
    expect(sample(replay, 4, 1).numbers).toEqual([0, 1, 1, 1]);
  });

  it("is uniform at alpha 0", () => {
    const replay = filled(2, 2, 0);
    replay.update(Int32Array.of(0, 1), Float32Array.of(0, 1e6));
    const { numbers, weights } = sample(replay, 4, 1);
    expect(numbers).toEqual([0, 0, 1, 1]);
    expect(weights).toEqual([1, 1, 1, 1]);
  });

  it("gives new transitions the largest priority so far, that of one that is overwritten too", () => {
    const replay = filled(2, 2);
    replay.update(Int32Array.of(0, 1), Float32Array.of(2, 0));
    // Over transition 0, whose priority 3 was the largest: 3 beside 1.
    replay.add(...transition(2));
    expect(sample(replay, 4, 1).numbers).toEqual([2, 2, 2, 1]);
  });

  it("gives all the same priority at first", () => {
    const { numbers, weights } = sample(filled(8, 4), 4, 1);
    expect(numbers).toEqual([0, 1, 2, 3]);
    expect(weights).toEqual([1, 1, 1, 1]);
  });

  it("goes on from a state with the same samples, into whatever replay it is put", () => {
    const errors = fc.array(fc.float({ min: -10, max: 10, noNaN: true }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), errors, fc.nat(20), fc.nat(20), (capacity, all, before, more) => {
        const first = filled(capacity, all.length);
        for (const [i, error] of all.entries()) first.update(Int32Array.of(i % first.size), Float32Array.of(error));
        const second = filled(capacity, before);
        if (before > 0) second.update(Int32Array.of(0), Float32Array.of(100));
        second.setState(structuredClone(first.getState()));
        for (let number = 0; number < more; number++) {
          first.add(...transition(100 + number));
          second.add(...transition(100 + number));
        }
        expect(sample(second, 30, 0.4, more)).toEqual(sample(first, 30, 0.4, more));
        expect(second.getState()).toEqual(first.getState());
      }),
    );
  });

  it("refuses to sample when it is empty", () => {
    expect(() => sample(filled(3, 0), 1, 1)).toThrow(new ShapeError("replay", "is empty, there is nothing to sample"));
  });
});

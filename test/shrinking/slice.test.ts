import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Architecture, dense, inputSize, parameterCount } from "../../src/network/architecture.ts";
import { predictor } from "../../src/network/predict.ts";
import { liveUnits } from "../../src/shrinking/redundancy.ts";
import { slice, strongestUnits } from "../../src/shrinking/slice.ts";
import { architectures, convolutional, sparseNetworks } from "../arbitraries.ts";

const inputs = fc.array(fc.float({ min: -3, max: 3, noNaN: true }), { minLength: 147, maxLength: 147 });

/** The largest difference of two networks' outputs, relative to their size where that is above 1. */
function difference(
  a: Parameters<typeof predictor>[0],
  b: Parameters<typeof predictor>[0],
  x: readonly number[],
): number {
  const observation = Float32Array.from(x.slice(0, inputSize(a.architecture)));
  const other = predictor(b)(observation);
  return Math.max(...predictor(a)(observation).map((y, i) => Math.abs(y - other[i]!) / Math.max(1, Math.abs(y))));
}

describe("slicing off dead units", () => {
  it.each([0.3, 0.6, 0.9])("at %d zeros keeps the outputs equal", (zeros) => {
    fc.assert(
      fc.property(sparseNetworks(zeros), inputs, (network, x) => {
        expect(difference(network, slice(network.architecture, network.parameters), x)).toBeLessThan(1e-5);
      }),
      { numRuns: 300 },
    );
  });

  it.each([0.6, 0.9, 0.97])("at %d zeros of a convolutional network keeps the outputs equal", (zeros) => {
    fc.assert(
      fc.property(sparseNetworks(zeros, convolutional), inputs, (network, x) => {
        expect(difference(network, slice(network.architecture, network.parameters), x)).toBeLessThan(1e-5);
      }),
      { numRuns: 300 },
    );
  });

  it("leaves exactly the live units, and one where a layer has none", () => {
    fc.assert(
      fc.property(sparseNetworks(0.6, fc.oneof(architectures, convolutional)), ({ architecture, parameters }) => {
        const smaller = slice(architecture, parameters);
        const live = liveUnits(architecture, parameters).map((units) => units.filter(Boolean).length);
        expect(smaller.architecture).toEqual({
          ...architecture,
          layers: architecture.layers.map((layer, l) => ({ ...layer, units: Math.max(1, live[l]!) })),
        });
        expect(smaller.parameters).toHaveLength(parameterCount(smaller.architecture));
      }),
    );
  });

  it("moves what units without live inputs put out into the next biases", () => {
    // 1-2-1, relu: unit 0 is x + 0, unit 1 is the constant relu(3) = 3, which the output takes -2 times.
    const sliced = slice(dense(1, [2], 1, "logits"), Float32Array.of(1, 0, 0, 3, 1, -2, 0.5));
    expect(sliced.architecture).toEqual(dense(1, [1], 1, "logits"));
    expect([...sliced.parameters]).toEqual([1, 0, 1, -5.5]);
  });

  it("of a network whose layers are all dead is the constant that it puts out", () => {
    // 1-1-2-1: relu(2) = 2 feeds both units of the second layer, 2 * 1 + 1 = 3 and 2 * 3 - 1 = 5; the output is 10 + 2 * 5.
    const architecture = dense(1, [1, 2], 1, "logits");
    const sliced = slice(architecture, Float32Array.of(0, 2, 1, 3, 1, -1, 0, 2, 10));
    expect(sliced.architecture).toEqual(dense(1, [1, 1], 1, "logits"));
    expect([...predictor(sliced)(Float32Array.of(7))]).toEqual([20]);
  });
});

describe("the strongest units", () => {
  // 1-3-2-1. Strengths of the first layer: |1| + |1| + |0| = 2, |-2| + |1| + |1| = 4, |0.5| + |2| + |1| = 3.5; of the
  // second |1| + |1| + |2| + |9| = 13 and |0| + |1| + |1| + |3| = 5.
  const architecture = dense(1, [3, 2], 1, "logits");
  const parameters = Float32Array.of(
    ...[1, -2, 0.5],
    ...[10, 20, 30],
    ...[1, 0],
    ...[1, -1],
    ...[2, 1],
    ...[40, 50],
    ...[9, 3],
    60,
  );

  it("are those with the largest sums of |weights in| and |weights out|, in their old order", () => {
    expect([...strongestUnits(architecture, parameters, dense(1, [2, 1], 1, "logits"))!]).toEqual([
      ...[-2, 0.5],
      ...[20, 30],
      1,
      2,
      40,
      9,
      60,
    ]);
  });

  it("of a network of the same size are its own parameters", () => {
    fc.assert(
      fc.property(sparseNetworks(0.3), ({ architecture: same, parameters: values }) => {
        expect(strongestUnits(same, values, same)).toEqual(values);
      }),
    );
  });

  it.each<[string, Architecture]>([
    ["has another depth", dense(1, [2], 1, "logits")],
    ["is wider somewhere", dense(1, [2, 3], 1, "logits")],
  ])("are not defined for a target that %s", (_, target) => {
    expect(strongestUnits(architecture, parameters, target)).toBeUndefined();
  });
});

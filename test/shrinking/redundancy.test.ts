import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dense, type LayerLayout, layoutOf } from "../../src/network/architecture.ts";
import { liveUnits, redundancyOf } from "../../src/shrinking/redundancy.ts";
import { sparseNetworks } from "../arbitraries.ts";

/** Whether a walk over non-zero weights leads from the unit, layer by layer in the given direction, to the end. */
function walks(
  layers: readonly LayerLayout[],
  parameters: Float32Array,
  l: number,
  unit: number,
  step: 1 | -1,
): boolean {
  const layer = step === 1 ? layers[l + 1] : layers[l];
  if (layer === undefined || (step === -1 && l === -1)) return true;
  const { weights, inputs, outputs } = layer;
  return Array.from({ length: step === 1 ? outputs : inputs }, (_, other) => other).some((other) => {
    const weight = step === 1 ? unit * outputs + other : other * outputs + unit;
    return parameters[weights.offset + weight] !== 0 && walks(layers, parameters, l + step, other, step);
  });
}

describe("live units", () => {
  it("are those on a path of non-zero weights from an input to an output, and all outputs", () => {
    fc.assert(
      fc.property(sparseNetworks(0.6), ({ architecture, parameters }) => {
        const layers = layoutOf(architecture);
        const expected = layers.map(({ outputs }, l) =>
          Array.from({ length: outputs }, (_, unit) => {
            if (l === layers.length - 1) return true;
            return walks(layers, parameters, l, unit, -1) && walks(layers, parameters, l, unit, 1);
          }),
        );
        expect(liveUnits(architecture, parameters)).toEqual(expected);
      }),
    );
  });
});

describe("redundancy", () => {
  it("counts the weights and the units that pruning left, layer by layer", () => {
    // 2-3-2. Unit 0 lives; unit 1 has no live input; unit 2 leads nowhere. Biases count for nothing.
    const parameters = Float32Array.of(
      ...[0.5, 0, 0.1],
      ...[0, 0, -0.2],
      ...[1, 1, 1],
      ...[0.3, 0],
      ...[0.7, 0.9],
      ...[0, 0],
      ...[1, 1],
    );
    expect(redundancyOf(dense(2, [3], 2, "logits"), parameters)).toEqual([
      { name: "dense_1", weights: 6, nonZero: 3, units: 3, liveUnits: 1 },
      { name: "output", weights: 6, nonZero: 3, units: 2, liveUnits: 2 },
    ]);
  });

  it("of a network without zeros is none", () => {
    const layers = redundancyOf(dense(3, [4, 5], 2, "logits"), new Float32Array(53).fill(1));
    for (const { weights, nonZero, units, liveUnits: alive } of layers) {
      expect(nonZero).toBe(weights);
      expect(alive).toBe(units);
    }
  });
});

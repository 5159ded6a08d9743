import fc from "fast-check";
import { expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { dense, inputSize, layoutOf } from "../../src/network/architecture.ts";
import { predictor } from "../../src/network/predict.ts";
import { rangesOf, together } from "../../src/quantization/ranges.ts";
import { stream } from "../../src/random/pcg64.ts";
import { architectures, randomParameters } from "../network/architectures.ts";

/** Of some numbers, in the plainest way. */
function statistics(numbers: readonly number[]) {
  const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  const variance = numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / numbers.length;
  return { low: Math.min(...numbers), high: Math.max(...numbers), mean, deviation: Math.sqrt(variance) };
}

it("are those of what each unit puts out when one observation after the other is decided on", async () => {
  await fc.assert(
    fc.asyncProperty(architectures, fc.integer({ min: 1, max: 300 }), async (architecture, rows) => {
      const network = { architecture, parameters: randomParameters(architecture, rows) };
      const random = stream(rows, "observations");
      const width = inputSize(architecture);
      const observations = Float32Array.from({ length: rows * width }, () => random.normal());
      const layouts = layoutOf(architecture);
      const seen = layouts.map(({ outputs }) => Array.from({ length: outputs }, (): number[] => []));
      const predict = predictor(network, (l, values) => {
        for (const [at, value] of values.entries()) seen[l]![Math.floor(at / layouts[l]!.positions)]!.push(value);
      });
      for (let row = 0; row < rows; row++) predict(observations.subarray(row * width, (row + 1) * width));
      const { layers } = await rangesOf(network, observations);
      let size = 1;
      for (const [l, units] of seen.entries()) {
        // Rounding is relative to the largest number on the way.
        for (const value of units.flat()) size = Math.max(size, Math.abs(value));
        for (const [unit, numbers] of units.entries()) {
          const expected = statistics(numbers);
          for (const key of ["low", "high", "mean", "deviation"] as const)
            expect(Math.abs(layers[l]![unit]![key] - expected[key]) / size).toBeLessThan(1e-5);
        }
      }
    }),
    { numRuns: 40 },
  );
}, 120_000);

const network = { architecture: dense(2, [], 1, "q-values"), parameters: Float32Array.of(1, 1, 0) };

it("have those of each element of an observation, behind its normalisation", async () => {
  const architecture = { ...network.architecture, normalization: { mean: [1], deviation: [2], clip: 1.5 } };
  const { inputs } = await rangesOf({ ...network, architecture }, Float32Array.of(3, -1, -1, -1, 1, 8));
  expect(inputs.map(({ low, high }) => ({ low, high }))).toEqual([
    { low: -1, high: 1 },
    { low: -1, high: 1.5 },
  ]);
  expect(inputs[1]?.mean).toBeCloseTo(-1 / 6);
});

it("take bytes for what bytes can be, and layers for what was seen", async () => {
  const ranges = await rangesOf(network, Uint8Array.of(3, 4, 10, 20));
  expect(ranges).toMatchObject({
    bytes: true,
    inputs: [
      { low: 0, high: 255, mean: 6.5, deviation: 3.5 },
      { low: 0, high: 255, mean: 12, deviation: 8 },
    ],
    layers: [[{ low: 7, high: 30, mean: 18.5, deviation: 11.5 }]],
  });
});

it("are one of all of several", () => {
  const [some, others] = [
    [1, 5, 3],
    [-2, 8, 0],
  ];
  const { deviation, ...exact } = statistics([...some, ...others]);
  const all = together([statistics(some), statistics(others)]);
  expect(all).toMatchObject(exact);
  expect(all.deviation).toBeCloseTo(deviation);
});

it.each([0, 3])("refuses %d numbers for rows of two", async (length) => {
  await expect(rangesOf(network, new Float32Array(length))).rejects.toThrow(ShapeError);
});

import fc from "fast-check";
import { expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { dense, inputSize, layoutOf } from "../../src/network/architecture.ts";
import { predictor } from "../../src/network/predict.ts";
import { normalizedRanges, rangesOn } from "../../src/network/ranges.ts";
import { stream } from "../../src/random/pcg64.ts";
import { architectures, randomParameters } from "./architectures.ts";

it("are the least and the greatest of what each layer puts out", async () => {
  await fc.assert(
    fc.asyncProperty(architectures, fc.integer({ min: 1, max: 300 }), async (architecture, rows) => {
      const parameters = randomParameters(architecture, rows);
      const random = stream(rows, "observations");
      const width = inputSize(architecture);
      const observations = Float32Array.from({ length: rows * width }, () => random.normal());
      const { layers } = await rangesOn({ architecture, parameters }, observations);
      // The network cut off behind a layer puts out what that layer does.
      for (const [l, { weights, biases, outputs, positions }] of layoutOf(architecture).entries()) {
        if (positions > 1) continue;
        const cut = { ...architecture, layers: architecture.layers.slice(0, l + 1) };
        const predict = predictor({ architecture: cut, parameters: parameters.subarray(0, biases.offset + outputs) });
        const all = Array.from({ length: rows }, (_, row) =>
          Array.from(predict(observations.subarray(row * width, (row + 1) * width))),
        ).flat();
        const size = Math.max(...all.map(Math.abs), weights.length);
        expect(Math.abs(layers[l]!.low - Math.min(...all))).toBeLessThan(1e-5 * size);
        expect(Math.abs(layers[l]!.high - Math.max(...all))).toBeLessThan(1e-5 * size);
        if (rows > 256) continue;
        for (const [unit, mean] of layers[l]!.means.entries()) {
          const own = all.filter((_, at) => at % outputs === unit);
          expect(Math.abs(mean - own.reduce((sum, x) => sum + x, 0) / rows)).toBeLessThan(1e-5 * size);
        }
      }
    }),
    { numRuns: 40 },
  );
}, 120_000);

const network = { architecture: dense(2, [], 1, "q-values"), parameters: Float32Array.of(1, 1, 0) };

it("have those of each element of an observation, before and behind its normalisation", async () => {
  const architecture = { ...network.architecture, normalization: { mean: [1], deviation: [2], clip: 1.5 } };
  const ranges = await rangesOn({ ...network, architecture }, Float32Array.of(3, -1, -1, -1, 1, 8));
  expect(ranges.observation).toEqual([
    { low: -1, high: 3, mean: 1 },
    { low: -1, high: 8, mean: 2 },
  ]);
  expect(normalizedRanges(architecture, ranges)).toEqual([
    { low: -1, high: 1, mean: 0 },
    { low: -1, high: 1.5, mean: 0.5 },
  ]);
});

it("take bytes for what bytes can be, and layers for what was seen", async () => {
  const ranges = await rangesOn(network, Uint8Array.of(3, 4, 10, 20));
  expect(ranges).toEqual({
    observation: [
      { low: 0, high: 255, mean: 6.5 },
      { low: 0, high: 255, mean: 12 },
    ],
    bytes: true,
    layers: [{ low: 7, high: 30, means: [18.5] }],
  });
});

it.each([0, 3])("refuses %d numbers for rows of two", async (length) => {
  await expect(rangesOn(network, new Float32Array(length))).rejects.toThrow(ShapeError);
});

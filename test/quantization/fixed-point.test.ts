import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openEnvironment } from "../../src/environment/open.ts";
import { recordObservations } from "../../src/evaluation/recording.ts";
import { loadPolicy } from "../../src/importing/load.ts";
import { argmax } from "../../src/network/action.ts";
import { type Architecture, inputSize } from "../../src/network/architecture.ts";
import { initialize } from "../../src/network/parameters.ts";
import { predictor } from "../../src/network/predict.ts";
import { type Bits, quantize } from "../../src/quantization/fixed-point.ts";
import { fixedProgram } from "../../src/quantization/program.ts";
import { rangesOf } from "../../src/quantization/ranges.ts";
import { fixedPredictor } from "../../src/quantization/run.ts";
import { type Pcg64, stream } from "../../src/random/pcg64.ts";
import { convolutional } from "../arbitraries.ts";
import { architectures } from "../network/architectures.ts";

const ROWS = 50;

/** Weights that trainings start with, and biases that are not 0. */
const untrained = (architecture: Architecture, random: Pcg64): Float32Array =>
  initialize(architecture, "he", random).map((weight) => weight || 0.1 * random.normal());

/**
 * Largest difference between a network and itself in whole numbers on what it was calibrated on, of its largest output. Weights
 * are those that trainings start with: layers of them pass errors on about as large as they were.
 */
async function difference(architecture: Architecture, seed: number, bits: Bits): Promise<number> {
  const width = inputSize(architecture);
  const random = stream(seed, "rows");
  const rows = Float32Array.from({ length: ROWS * width }, () => random.normal());
  const parameters = untrained(architecture, random);
  const network = { architecture, parameters };
  const fixed = quantize(network, await rangesOf(network, rows), bits);
  const [predict, whole] = [predictor(network), fixedPredictor(fixed)];
  let [largest, most] = [0, 1e-3];
  for (let row = 0; row < ROWS; row++) {
    const observation = rows.subarray(row * width, (row + 1) * width);
    const outputs = predict(observation);
    for (const [at, value] of whole(observation).entries()) {
      largest = Math.max(largest, Math.abs(value * fixed.scale - outputs[at]!));
      most = Math.max(most, Math.abs(outputs[at]!));
    }
  }
  return largest / most;
}

describe("networks in whole numbers", () => {
  it("are those that they were, with weights of 16 bits within a hundredth of the largest output", async () => {
    await fc.assert(
      fc.asyncProperty(architectures, fc.integer({ min: 0, max: 1e6 }), async (architecture, seed) => {
        expect(await difference(architecture, seed, 16)).toBeLessThan(0.01);
      }),
    );
  });

  it.each(["CartPole-v1", "LunarLander-v3"])(
    "act on 99 %% of observations as they did, with weights of 8 bits, in %s",
    { timeout: 120_000 },
    async (id) => {
      const policy = await loadPolicy(fileURLToPath(new URL(`../../zoo/${id}-policy.safetensors`, import.meta.url)));
      const opened = await openEnvironment(id, { workers: 1 });
      const record = (set: string) =>
        recordObservations(policy, opened, { seed: 1, set, rows: 4_000, acting: "greedy" });
      const [seen, others] = [await record("calibration"), await record("verification")];
      await opened.close();
      const whole = fixedPredictor(quantize(policy, await rangesOf(policy, seen), 8));
      const predict = predictor(policy);
      const width = inputSize(policy.architecture);
      let equal = 0;
      for (let at = 0; at < others.length; at += width) {
        const observation = Float32Array.from(others.subarray(at, at + width));
        if (argmax(whole(observation)) === argmax(predict(observation))) equal++;
      }
      expect(equal / 4_000).toBeGreaterThanOrEqual(0.99);
    },
  );

  it("hit few weights exactly: of one row, all", async () => {
    const architecture = {
      input: [3],
      layers: [{ kind: "dense" as const, units: 1, activation: "none" as const }],
      head: "q-values" as const,
    };
    expect(await difference(architecture, 1, 8)).toBeLessThan(2e-3);
  });

  it.each([8, 16] as const)(
    "decide about batches of images as about each, to the bit, with weights of %d bits",
    async (bits) => {
      await fc.assert(
        fc.asyncProperty(convolutional, fc.integer({ min: 0, max: 1e6 }), async (architecture, seed) => {
          const width = inputSize(architecture);
          const random = stream(seed, "rows");
          const parameters = untrained(architecture, random);
          const rows = Uint8Array.from({ length: 4 * width }, () => random.integer(256));
          const network = { architecture, parameters };
          const fixed = quantize(network, await rangesOf(network, rows), bits);
          const predict = fixedPredictor(fixed);
          const program = await fixedProgram(fixed, 4);
          program.bind("observations", Float32Array.from(rows));
          await program.run();
          const expected = [0, 1, 2, 3].flatMap((row) =>
            Array.from(predict(Float32Array.from(rows.subarray(row * width, (row + 1) * width))), (whole) =>
              Math.fround(Math.fround(whole) * fixed.scale),
            ),
          );
          expect(Array.from(program.floats("outputs"))).toEqual(expected);
          await program.dispose();
        }),
      );
    },
  );
});

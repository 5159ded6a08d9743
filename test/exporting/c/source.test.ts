import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FORMS } from "../../../src/exporting/c/layer.ts";
import { argmax, boundActions } from "../../../src/network/action.ts";
import { type Architecture, inputSize, layoutOf, outputSize } from "../../../src/network/architecture.ts";
import type { Policy } from "../../../src/network/policy.ts";
import { predictor } from "../../../src/network/predict.ts";
import { quantize } from "../../../src/quantization/fixed-point.ts";
import { rangesOf } from "../../../src/quantization/ranges.ts";
import { fixedPredictor } from "../../../src/quantization/run.ts";
import { stream } from "../../../src/random/pcg64.ts";
import { architectures, randomParameters } from "../../network/architectures.ts";
import { answersOf, hasCompiler } from "./compiled.ts";

const ROWS = 20;

/** A policy of which only a share of the weights is not 0, and observations for it: bytes, or normal numbers. */
const subjects = fc
  .record({
    architecture: architectures,
    seed: fc.integer({ min: 0, max: 1e6 }),
    density: fc.constantFrom(0, 0.1, 0.3, 1),
    bytes: fc.boolean(),
    scratch: fc.constantFrom("static" as const, "caller" as const),
    form: fc.option(fc.constantFrom(...FORMS), { nil: undefined }),
    compiler: fc.constantFrom("gcc", "clang"),
    flags: fc.constantFrom("-O0", "-Os", "-O3").map((flag) => [flag]),
  })
  .map(({ architecture, seed, density, bytes, ...options }) => {
    const parameters = randomParameters(architecture, seed);
    const random = stream(seed, "subject");
    for (const { weights } of layoutOf(architecture)) {
      for (let at = weights.offset; at < weights.offset + weights.length; at++) {
        parameters[at] = random.double() < density ? parameters[at]! / Math.sqrt(weights.length) : 0;
      }
    }
    const policy: Policy = { architecture, parameters, provenance: {} };
    const size = ROWS * inputSize(architecture);
    const rows = bytes
      ? Uint8Array.from({ length: size }, () => random.integer(256))
      : Float32Array.from({ length: size }, () => 3 * random.normal());
    return { policy, rows, options: { ...options, observations: bytes ? ("uint8_t" as const) : ("float" as const) } };
  });

function decide(
  architecture: Architecture,
  rows: Float32Array | Uint8Array,
  predict: (observation: Float32Array) => Float32Array,
): Float32Array {
  const width = inputSize(architecture);
  return Float32Array.from(
    Array.from({ length: ROWS }, (_, row) =>
      Array.from(predict(Float32Array.from(rows.subarray(row * width, (row + 1) * width)))),
    ).flat(),
  );
}

function actionsOf(architecture: Architecture, outputs: Float32Array): Float32Array {
  const size = outputSize(architecture);
  if (architecture.gaussian) {
    const actions = outputs.slice();
    boundActions(architecture, actions);
    return actions;
  }
  return Float32Array.from({ length: ROWS }, (_, row) => argmax(outputs.subarray(row * size, (row + 1) * size)));
}

const both = hasCompiler("gcc") && hasCompiler("clang");

describe.skipIf(!both)("exported C (needs gcc and clang)", () => {
  it("gives in float32 what the policy gives, and compiles without a warning", { timeout: 300_000 }, () => {
    fc.assert(
      fc.property(subjects, ({ policy, rows, options }) => {
        const { architecture } = policy;
        const { outputs, actions } = answersOf(policy, rows, options);
        const expected = decide(architecture, rows, predictor(policy));
        // Bytes that are not normalised make sums of hundreds.
        const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 256);
        expect(outputs.length).toBe(expected.length);
        for (const [at, value] of outputs.entries()) {
          expect(Math.abs(value - expected[at]!)).toBeLessThanOrEqual(1e-5 * largest);
        }
        for (const [at, value] of actionsOf(architecture, outputs).entries()) {
          expect(actions[at]).toBeCloseTo(value, 4);
        }
      }),
      { numRuns: 40 },
    );
  });

  it.each([8, 16] as const)(
    "gives in int%d bit for bit what whole numbers give here",
    { timeout: 300_000 },
    async (bits) => {
      await fc.assert(
        fc.asyncProperty(subjects, async ({ policy, rows, options }) => {
          const { architecture } = policy;
          const fixed = quantize(policy, await rangesOf(policy, rows), bits);
          const { outputs, actions } = answersOf(policy, rows, { ...options, fixed });
          const predict = fixedPredictor(fixed);
          const real = (whole: number): number => Math.fround(whole) * fixed.scale;
          const expected = decide(architecture, rows, (observation) => Float32Array.from(predict(observation), real));
          expect(outputs).toEqual(expected);
          for (const [at, value] of actionsOf(architecture, outputs).entries())
            expect(actions[at]).toBeCloseTo(value, 4);
        }),
        { numRuns: 40 },
      );
    },
  );
});

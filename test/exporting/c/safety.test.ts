import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { policyToC } from "../../../src/exporting/c/source.ts";
import { dense, inputSize } from "../../../src/network/architecture.ts";
import type { Policy } from "../../../src/network/policy.ts";
import { quantize } from "../../../src/quantization/fixed-point.ts";
import { rangesOf } from "../../../src/quantization/ranges.ts";
import { stream } from "../../../src/random/pcg64.ts";
import { randomParameters } from "../../network/architectures.ts";
import { answersOf, hasCompiler } from "./compiled.ts";

const architecture = {
  input: [2, 9, 9],
  normalization: { mean: [100], deviation: [50] },
  layers: [
    {
      kind: "conv" as const,
      units: 3,
      kernel: [3, 3] as [number, number],
      stride: [2, 2] as [number, number],
      padding: [1, 0, 2, 1] as [number, number, number, number],
      activation: "tanh" as const,
    },
    { kind: "dense" as const, units: 9, activation: "relu" as const },
    { kind: "dense" as const, units: 3, activation: "none" as const },
  ],
  head: "logits" as const,
};
const policy: Policy = { architecture, parameters: randomParameters(architecture, 1), provenance: {} };
const random = stream(1, "rows");
const rows = Uint8Array.from({ length: 10 * inputSize(architecture) }, () => random.integer(256));
const fixed = quantize(policy, await rangesOf(policy, rows), 8);

describe.skipIf(!hasCompiler("gcc"))("exported C (needs gcc)", () => {
  it.each([undefined, fixed])("does nothing undefined, and stays within its arrays (quantised: %#)", (whole) => {
    const flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover"];
    const safe = answersOf(policy, rows, { observations: "uint8_t", fixed: whole, flags });
    expect(safe).toEqual(answersOf(policy, rows, { observations: "uint8_t", fixed: whole }));
  });

  it("limits observations that no number stands for", async () => {
    const small = dense(3, [4], 2, "q-values");
    const network: Policy = { architecture: small, parameters: randomParameters(small, 2), provenance: {} };
    const seen = Float32Array.from({ length: 300 }, () => random.normal());
    const whole = quantize(network, await rangesOf(network, seen), 8);
    const strange = Float32Array.of(Number.NaN, 1e30, -1e30, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0);
    const flags = ["-O1", "-fsanitize=undefined,float-cast-overflow", "-fno-sanitize-recover"];
    const { outputs } = answersOf(network, strange, { fixed: whole, flags });
    expect(outputs.every(Number.isFinite)).toBe(true);
  });

  it("says what it was told in a comment that nothing ends before its time", () => {
    const small = dense(1, [], 1, "q-values");
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 60 }), fc.string({ maxLength: 60 }), (environment, said) => {
        const hostile = { [`key ${said}`]: `*/ int main; /* "${said}" ??/ \\`, other: said };
        const told: Policy = { architecture: small, parameters: new Float32Array(2), environment, provenance: hostile };
        const options = { prefix: "policy", file: "policy", observations: "float", scratch: "static" } as const;
        const { header } = policyToC(told, options);
        const comment = header.slice(0, header.indexOf("*/"));
        expect(header.slice(comment.length)).toMatch(/^\*\/\n#ifndef POLICY_H\n/);
        expect(comment.slice(2)).not.toMatch(/\/\*|\?\?|\\$|[^\n -~]/m);
      }),
    );
  });

  it("compiles whatever it was told", () => {
    const told: Policy = { ...policy, environment: "*/ #error", provenance: { "??/": '"\\', "\u2028\n": "/* \\" } };
    expect(answersOf(told, rows, { observations: "uint8_t" })).toEqual(
      answersOf(policy, rows, { observations: "uint8_t" }),
    );
  });
});

describe.skipIf(!hasCompiler("gcc") || !hasCompiler("valgrind"))("exported C (needs gcc and valgrind)", () => {
  it("reads nothing that was never written", { timeout: 240_000 }, () => {
    const runner = ["valgrind", "--quiet", "--error-exitcode=1"];
    expect(() => answersOf(policy, rows, { observations: "uint8_t", fixed, runner })).not.toThrow();
  });
});

describe.skipIf(!hasCompiler("arm-none-eabi-gcc"))("exported C (needs arm-none-eabi-gcc)", () => {
  it.each([undefined, fixed])(
    "compiles for a Cortex-M0 without a warning, and asks for no library (quantised: %#)",
    (whole) => {
      const options = { prefix: "policy", file: "policy", observations: "uint8_t", scratch: "static" } as const;
      const { header, source } = policyToC(policy, options, whole);
      const code = source.replace('#include "policy.h"\n', () => header);
      const flags = [
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Wconversion",
        "-pedantic",
        "-Werror",
        "-Os",
        "-mcpu=cortex-m0",
        "-mthumb",
      ];
      const { status, stdout, stderr } = spawnSync("arm-none-eabi-gcc", [...flags, "-S", "-x", "c", "-", "-o", "-"], {
        input: code,
        encoding: "utf8",
      });
      expect(stderr).toBe("");
      expect(status).toBe(0);
      expect(stdout).not.toMatch(/malloc|memcpy|memset|printf/);
    },
  );
});

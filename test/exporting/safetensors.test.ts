import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { policyToHalfSafetensors, policyToSafetensors } from "../../src/exporting/safetensors.ts";
import { policyFromSafetensors } from "../../src/importing/policy-safetensors.ts";
import { dense } from "../../src/network/architecture.ts";
import { decodeSafetensors } from "../../src/safetensors.ts";
import { exact, policies, randomPolicy, small } from "../importing/fixtures/policies.ts";

it("is read back with every bit, whatever the architecture", () => {
  fc.assert(
    fc.property(policies, (policy) => {
      const read = policyFromSafetensors(policyToSafetensors(policy), "x");
      expect(read).toEqual(policy);
      expect(exact(policyFromSafetensors(policyToSafetensors(read), "x"))).toBe(exact(read));
    }),
  );
});

it("names one weight and one bias a layer", () => {
  const policy = {
    ...randomPolicy(dense(2, [3], 1, "logits")),
    parameters: Float32Array.from({ length: 13 }, (_, i) => i),
  };
  const { tensors, metadata } = decodeSafetensors(policyToSafetensors(policy), "x");
  expect([...tensors].map(([name, { shape, data }]) => [name, shape, [...data]])).toEqual([
    ["dense_1.weight", [2, 3], [0, 1, 2, 3, 4, 5]],
    ["dense_1.bias", [3], [6, 7, 8]],
    ["output.weight", [3, 1], [9, 10, 11]],
    ["output.bias", [1], [12]],
  ]);
  expect(metadata).toMatchObject({ format: "pops-policy", version: "1" });
});

it("writes equal policies to equal bytes", () => {
  expect(policyToSafetensors(structuredClone(small))).toEqual(policyToSafetensors(small));
});

it.each([
  ["NaN", Float32Array.of(...small.parameters.slice(1), Number.NaN), "bias 1 of layer output is NaN"],
  [
    "infinity",
    Float32Array.of(Number.POSITIVE_INFINITY, ...small.parameters.slice(1)),
    "weight 0 of layer dense_1 is Infinity",
  ],
  ["too few parameters", small.parameters.slice(1), "has 25 parameters, its architecture needs 26"],
])("refuses to write %s", (_name, parameters, message) => {
  expect(() => policyToSafetensors({ ...small, parameters })).toThrow(ShapeError);
  expect(() => policyToSafetensors({ ...small, parameters })).toThrow(message);
});

it("refuses to write metadata that could not be read again", () => {
  const score = { ...small.score!, mean: Number.NaN };
  expect(() => policyToSafetensors({ ...small, score })).toThrow(ShapeError);
});

describe("half precision", () => {
  const third = { ...small, parameters: small.parameters.map(() => 1 / 3) };

  it("stores two bytes a number", () => {
    const { tensors } = decodeSafetensors(policyToHalfSafetensors(small), "x");
    expect(new Set([...tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(["F16"]));
  });

  it("is read as the nearest numbers, without the score of the others", () => {
    const read = policyFromSafetensors(policyToHalfSafetensors(third), "x");
    expect(read).toEqual({
      ...third,
      score: undefined,
      provenance: { ...third.provenance, precision: "rounded to half precision" },
      parameters: third.parameters.map(() => 0x555 / 2 ** 12),
    });
  });

  it("keeps policies that it has all numbers of, with their score", () => {
    const exact = { ...small, parameters: small.parameters.map((_, index) => index / 4) };
    expect(policyFromSafetensors(policyToHalfSafetensors(exact), "x")).toEqual(exact);
  });

  it("refuses numbers that it does not have", () => {
    const parameters = Float32Array.of(...small.parameters.slice(1), 65_520);
    expect(() => policyToHalfSafetensors({ ...small, parameters })).toThrow(
      `parameter ${small.parameters.length - 1} is 65520, half precision ends at 65504`,
    );
  });
});

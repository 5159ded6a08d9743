import { expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { dense } from "../../src/network/architecture.ts";
import { checkParameters, policyMetadataSchema } from "../../src/network/policy.ts";

// 3 * 2 weights, 2 biases, 2 * 4 weights, 4 biases.
const network = dense(3, [2], 4, "logits");

it("accepts finite parameters of the right length", () => {
  expect(() => {
    checkParameters(network, new Float32Array(20));
  }).not.toThrow();
});

it.each([
  ["of the wrong length", new Float32Array(19), "has 19 parameters, its architecture needs 20"],
  ["with the first weight", withValue(0, Number.NaN), "weight 0 of layer dense_1 is NaN, expected a finite number"],
  [
    "with the last bias of a layer",
    withValue(7, Infinity),
    "bias 1 of layer dense_1 is Infinity, expected a finite number",
  ],
  [
    "with the next layer's weight",
    withValue(8, -Infinity),
    "weight 0 of layer output is -Infinity, expected a finite number",
  ],
  ["with the very last bias", withValue(19, Number.NaN), "bias 3 of layer output is NaN, expected a finite number"],
])("refuses parameters %s", (_name, parameters, message) => {
  expect(() => {
    checkParameters(network, parameters);
  }).toThrow(new ShapeError("policy", message));
});

function withValue(index: number, value: number): Float32Array {
  return new Float32Array(20).fill(1).with(index, value);
}

const metadata = { architecture: network, provenance: { from: "a test" } };
const score = { mean: 1, sd: 0, min: 1, lower95: 1, interval95: [1, 1], episodes: 1 };

it.each([
  ["without a score", metadata],
  ["with a score and an environment", { ...metadata, environment: "CartPole-v1", score }],
])("accepts metadata %s", (_name, value) => {
  expect(policyMetadataSchema.parse(value)).toEqual(value);
});

it.each([
  ["a score that is not a number", { ...metadata, score: { ...score, mean: Number.NaN } }],
  ["a negative standard deviation", { ...metadata, score: { ...score, sd: -1 } }],
  ["a score of no episodes", { ...metadata, score: { ...score, episodes: 0 } }],
  ["a key that nobody knows", { ...metadata, parameters: 3 }],
  ["an endless name", { ...metadata, environment: "x".repeat(201) }],
])("refuses metadata with %s", (_name, value) => {
  expect(policyMetadataSchema.safeParse(value).success).toBe(false);
});

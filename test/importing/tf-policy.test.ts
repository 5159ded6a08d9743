import { existsSync } from "node:fs";
import { expect, it } from "vitest";
import { specOf } from "../../src/environment/registry.ts";
import { FileError, UsageError } from "../../src/errors.ts";
import { readTfCheckpoint, type TfVariable } from "../../src/importing/tf-checkpoint.ts";
import { policyFromTfVariables } from "../../src/importing/tf-policy.ts";
import { describe as sizes } from "../../src/network/architecture.ts";
import { denseVariables } from "./fixtures/tf-writer.ts";

function variablesOf(
  layers: Record<string, [number, number]>,
  more: Record<string, TfVariable> = {},
): Map<string, TfVariable> {
  return new Map(Object.entries({ ...(denseVariables(layers) as Record<string, TfVariable>), ...more }));
}

it("chains layers by their sizes: relu inside, a linear output", () => {
  const policy = policyFromTfVariables(variablesOf({ a: [3, 1], b: [2, 3] }), {}, "folder/model.ckpt");
  expect(policy.architecture).toEqual({
    input: [2],
    layers: [
      { kind: "dense", units: 3, activation: "relu" },
      { kind: "dense", units: 1, activation: "none" },
    ],
    head: "q-values",
  });
  const expected = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, -1, -2, -3, 0.1, 0.2, 0.3, -1];
  expect(policy.parameters).toEqual(Float32Array.from(expected));
});

it("records what it guessed, without the folder", () => {
  const { provenance } = policyFromTfVariables(variablesOf({ a: [3, 1], b: [2, 3] }), {}, "/home/me/model.ckpt");
  expect(provenance).toEqual({
    source: "TensorFlow checkpoint model.ckpt",
    layers: "b, a (guessed)",
    activations: "relu, none (guessed)",
    head: "q-values (guessed)",
  });
});

it("takes layers, activations, head and environment as given", () => {
  const variables = variablesOf({ "pi/a": [2, 3], "pi/b": [3, 2], "v/a": [2, 3], "v/b": [3, 1] });
  const options = {
    layers: ["pi/a", "pi/b"],
    activations: ["tanh", "relu"] as const,
    head: "logits" as const,
    environment: specOf("CartPole-v1"),
  };
  const policy = policyFromTfVariables(variables, options, "x");
  expect(policy.architecture.layers.map(({ activation }) => activation)).toEqual(["tanh", "relu"]);
  expect(policy.architecture.head).toBe("logits");
  expect(policy.environment).toBe("CartPole-v1");
  expect(policy.provenance).toMatchObject({
    layers: "pi/a, pi/b (given)",
    activations: "tanh, relu (given)",
    head: "logits (given)",
  });
});

it("orders layers of equal size by number: fc_2 in front of fc_10", () => {
  const policy = policyFromTfVariables(
    variablesOf({ fc_10: [4, 4], fc_2: [4, 4], fc_1: [2, 4], out: [4, 2] }),
    {},
    "x",
  );
  expect(policy.provenance).toMatchObject({ layers: "fc_1, fc_2, fc_10, out (guessed)" });
});

it("reads the names of Keras too", () => {
  const variables = new Map([
    ["dense/kernel", { shape: [1, 2], data: Float32Array.of(3, 4) }],
    ["dense/bias", { shape: [2], data: Float32Array.of(5, 6) }],
  ]);
  expect(policyFromTfVariables(variables, {}, "x").parameters).toEqual(Float32Array.of(3, 4, 5, 6));
});

it("multiplies weights by their mask", () => {
  const mask = { shape: [2, 2], data: Float32Array.of(1, 0, 0, 1) };
  const policy = policyFromTfVariables(variablesOf({ a: [2, 2] }, { "a/mask": mask }), {}, "x");
  expect(policy.parameters).toEqual(Float32Array.of(0.1, 0, 0, 0.4, -1, -2));
});

it("ignores optimiser slots and thresholds", () => {
  const scalar = { shape: [], data: Float32Array.of(9) };
  const slot = { shape: [2, 2], data: new Float32Array(4).fill(9) };
  const more = { "a/weights/Adam": slot, "a/weights/Adam_1": slot, "a/threshold": scalar, beta1_power: scalar };
  expect(policyFromTfVariables(variablesOf({ a: [2, 2] }, more), {}, "x").provenance).toMatchObject({
    layers: "a (guessed)",
  });
});

const convolution = { "conv/weights": { shape: [1, 1, 1, 4], data: new Float32Array(4) } };
const wrongMask = { "a/mask": { shape: [4], data: new Float32Array(4) } };
const infinite = { "a/biases": { shape: [2], data: Float32Array.of(1, Number.POSITIVE_INFINITY) } };

it.each([
  ["no layers", new Map<string, TfVariable>(), "there are none"],
  ["layers that do not fit", variablesOf({ a: [2, 3], b: [4, 5] }), "not one chain (a, b)"],
  ["two heads", variablesOf({ a: [5, 3], b: [3, 2], c: [3, 1] }), "not one chain (a, b, c)"],
  [
    "two networks that would fit behind each other",
    variablesOf({ "online/q": [2, 2], "target/q": [2, 2] }),
    "not one chain",
  ],
  ["a convolution without biases", variablesOf({ a: [4, 2] }, convolution), '"conv" is no layer'],
  ["a mask of another shape", variablesOf({ a: [2, 2] }, wrongMask), '"a" is no layer'],
  ["more layers than an architecture may have", variablesOf(chainOf(65)), "not one chain"],
  ["a layer without inputs", variablesOf({ a: [0, 2] }), '"a" is no layer'],
  ["infinity", variablesOf({ a: [2, 2] }, infinite), "bias 1 of layer output is Infinity"],
])("refuses to guess from %s", (_name, variables, problem) => {
  expect(() => policyFromTfVariables(variables, {}, "x")).toThrow(FileError);
  expect(() => policyFromTfVariables(variables, {}, "x")).toThrow(problem);
});

function chainOf(length: number): Record<string, [number, number]> {
  return Object.fromEntries(Array.from({ length }, (_, i) => [`fc_${i}`, [1, 1]]));
}

it("gives up a search that would not end", () => {
  // 30 layers in a circle of sizes 2-2 and one that fits nowhere: 30! orders.
  const layers = Object.fromEntries(
    Array.from({ length: 30 }, (_, i): [string, [number, number]] => [`fc_${i}`, [2, 2]]),
  );
  expect(() => policyFromTfVariables(variablesOf({ ...layers, odd: [3, 3] }), {}, "x")).toThrow("not one chain");
});

it.each([
  ["a layer that is not there", { layers: ["a", "c"] }, FileError, '"c" is no layer'],
  ["layers that do not fit", { layers: ["b", "a"] }, FileError, "layer b has 1 outputs, a takes 2 inputs"],
  ["too few activations", { activations: ["relu"] as const }, UsageError, "activations: 1 given for 2 layers (a, b)"],
])("refuses %s when told so", (_name, options, kind, problem) => {
  const variables = variablesOf({ a: [2, 3], b: [3, 1] });
  expect(() => policyFromTfVariables(variables, options, "x")).toThrow(kind);
  expect(() => policyFromTfVariables(variables, options, "x")).toThrow(problem);
});

it("refuses a normalisation between the layers, unless they are named", () => {
  const between = new Map([
    ...variablesOf({ a: [2, 3], b: [3, 1] }),
    ["bn/gamma", { shape: [3], data: Float32Array.of(1, 2, 3) }] as const,
  ]);
  expect(() => policyFromTfVariables(between, {}, "x")).toThrow("x: has bn/gamma, of no dense layer");
  expect(sizes(policyFromTfVariables(between, { layers: ["a", "b"] }, "x").architecture)).toBe("2-3-1");
});

const teacher = new URL("../../../shared/teachers/cartpole-original/model.ckpt", import.meta.url).pathname;

it.skipIf(!existsSync(`${teacher}.index`))(
  "finds the authors' released CartPole teacher, 99,584 weights (needs shared/teachers)",
  () => {
    const activations = ["relu", "relu", "relu", "relu"] as const;
    const policy = policyFromTfVariables(readTfCheckpoint(teacher), { activations }, teacher);
    expect(sizes(policy.architecture)).toBe("4-256-256-128-2");
    expect(policy.parameters).toHaveLength(99_584 + 642);
    expect(policy.provenance).toMatchObject({ layers: "fc_1, fc_2, fc_3, logits (guessed)" });
  },
);

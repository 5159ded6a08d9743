import { describe, expect, it } from "vitest";
import { specOf } from "../../src/environment/registry.ts";
import { box } from "../../src/environment/spaces.ts";
import { FileError, NumericError } from "../../src/errors.ts";
import { policyToSafetensors } from "../../src/exporting/safetensors.ts";
import { blackBoxFromOnnx } from "../../src/importing/black-box.ts";
import type { ImportOptions } from "../../src/importing/dense-layers.ts";
import { anyPolicyFromSafetensors, policyFromSafetensors } from "../../src/importing/policy-safetensors.ts";
import { inputSize } from "../../src/network/architecture.ts";
import { BlackBoxProgram } from "../../src/network/black-box.ts";
import type { BlackBox } from "../../src/network/policy.ts";
import { stream } from "../../src/random/pcg64.ts";
import type { OnnxDims, OnnxNode } from "../../src/tensor/onnx-model.ts";
import { decodeModel } from "../../src/tensor/onnx-reader.ts";
import { balancer, balancerByHand, floats, ints, modelOf, NODES, node, WEIGHTS } from "./fixtures/graphs.ts";

const read = (file: Uint8Array, options: ImportOptions = {}) => blackBoxFromOnnx(file, "hostile", options, "a test");
const cartPole = { environment: specOf("CartPole-v1") };

/** Outputs and greedy actions of a batch. */
async function play(box: BlackBox, observations: Float32Array) {
  const program = await BlackBoxProgram.compile(box, observations.length / inputSize(box.architecture));
  program.bind("observations", observations);
  await program.run();
  const outputs = Array.from(program.floats("outputs"));
  const actions = Array.from(box.architecture.gaussian ? program.floats("actions") : program.ints("actions"));
  await program.dispose();
  return { outputs, actions };
}

function draw(rows: number, width = 4): Float32Array {
  const random = stream(1, "observations");
  return Float32Array.from({ length: rows * width }, () => random.normal());
}

function byHand(observations: Float32Array): number[] {
  const rows = Array.from({ length: observations.length / 4 }, (_, row) => observations.subarray(4 * row, 4 * row + 4));
  return rows.flatMap((row) => balancerByHand(Array.from(row)));
}

describe("a graph that is no sequence of layers", () => {
  it.each([1, 5, 64, 150])("gives what it computes, %i observations at once", async (rows) => {
    const observations = draw(rows);
    const { outputs, actions } = await play(await read(balancer()), observations);
    const expected = byHand(observations);
    for (const [k, value] of expected.entries()) expect(outputs[k]).toBeCloseTo(value, 5);
    expect(actions).toEqual(Array.from({ length: rows }, (_, r) => Number(expected[2 * r + 1]! > expected[2 * r]!)));
  });

  it("gives the same whatever else is in the batch", async () => {
    const box = await read(balancer());
    const observations = draw(150);
    const { outputs } = await play(box, observations);
    const alone = await play(box, observations.slice(0, 4 * 64));
    expect(outputs.slice(0, 128)).toEqual(alone.outputs);
  });

  it("says of itself how large it is: matrices are weights, vectors biases, integers nothing", async () => {
    const behind = [node("Reshape", "q shape", "out")];
    const decoded = decodeModel(balancer(), "x").graph;
    const file = balancer({
      behind,
      initializers: [...decoded.initializers, ints("shape", [0, 2])],
      outputs: [{ name: "out", dtype: "float32" }],
    });
    const { architecture } = await read(file);
    expect(architecture.model).toEqual({
      value: "out",
      dtype: "float32",
      nodes: 7,
      weights: 48 + 24 + 8,
      // Four of the balance are 0.
      nonZero: 48 + 23 + 4,
      biases: 12,
      bytes: 4 * 92,
      macs: 48 + 24 + 8,
    });
  });

  it("is run with one observation at a time where it takes no more", async () => {
    const box = await read(balancer({ inputs: [{ name: "obs", dtype: "float32", dims: [1, 4] }] }));
    expect(box.rows).toBe(1);
    const observations = draw(7);
    const { outputs } = await play(box, observations);
    for (const [k, value] of byHand(observations).entries()) expect(outputs[k]).toBeCloseTo(value, 5);
  });

  it("is given as many observations as it wants, and those that are left over too", async () => {
    const box = await read(balancer({ inputs: [{ name: "obs", dtype: "float32", dims: [3, 4] }] }));
    const observations = draw(7);
    const { outputs } = await play(box, observations);
    for (const [k, value] of byHand(observations).entries()) expect(outputs[k]).toBeCloseTo(value, 5);
  });

  it.each(["float64", "uint8"] as const)("takes observations of %s", async (dtype) => {
    const file = balancer({
      inputs: [{ name: "bytes", dtype, dims: ["batch", 1, 4] }],
      nodes: [node("Cast", "bytes", "wide", { to: 1 }), node("Flatten", "wide", "obs"), ...NODES],
    });
    const box = await read(file, cartPole);
    expect(box.architecture).toMatchObject({ input: [4], model: { dtype } });
    const observations = Float32Array.of(0, 3, 255, 17, 1, 0, 2, 1);
    const { outputs } = await play(box, observations);
    const expected = byHand(observations);
    for (const [k, value] of expected.entries())
      expect(Math.abs(outputs[k]! - value)).toBeLessThan(1e-5 * Math.max(1, Math.abs(value)));
  });

  it("gives doubles as they are, rounded", async () => {
    const file = balancer({
      behind: [node("Cast", "q", "double", { to: 11 })],
      outputs: [{ name: "double", dtype: "float64" }],
    });
    const observations = draw(3);
    expect((await play(await read(file), observations)).outputs).toEqual(
      (await play(await read(balancer()), observations)).outputs,
    );
  });

  it("normalises observations by statistics that come beside it, before it sees them", async () => {
    const statistics = {
      normalization: { mean: [1, 2, 3, 4], deviation: [2, 2, 2, 2], clip: 0.5 },
      source: "statistics.pkl",
    };
    const box = await read(balancer(), { statistics });
    const { outputs } = await play(box, Float32Array.of(2, 2, 2.5, 400));
    const expected = balancerByHand([0.5, 0, -0.25, 0.5]);
    for (const [k, value] of expected.entries()) expect(outputs[k]).toBeCloseTo(value, 5);
    expect(box.interface).toMatchObject({ normalized: true });
  });

  it("is kept in a file of PoPS with every byte, and comes back as it was", async () => {
    const box = await read(balancer(), cartPole);
    const bytes = policyToSafetensors(box);
    const again = anyPolicyFromSafetensors(bytes, "x");
    expect(again).toEqual(box);
    expect(() => policyFromSafetensors(bytes, "x")).toThrow("holds a black box");
  });

  it("stops when it gives NaN for an observation", async () => {
    const initializers = [...decodeModel(balancer(), "x").graph.initializers, ints("one", [1])];
    const behind = [node("Log", "obs", "log"), node("ReduceSum", "log one", "sum"), node("Add", "q sum", "out")];
    const file = balancer({ behind, initializers, outputs: [{ name: "out", dtype: "float32" }] });
    const observationSpace = box([1, 1, 1, 1], [2, 2, 2, 2]);
    const logarithmic = await read(file, { environment: { ...cartPole.environment, observationSpace } });
    await play(logarithmic, Float32Array.of(1, 1, 1, 0.1));
    const beyond = play(logarithmic, Float32Array.of(1, 1, 1, -1));
    await expect(beyond).rejects.toThrow(NumericError);
    await expect(beyond).rejects.toThrow("the black box gives NaN for an observation");
  });
});

describe("what stands behind the outputs of a black box", () => {
  const pendulum = { environment: specOf("Pendulum-v1") };
  /** A policy of one dimension. */
  const torque = (behind: readonly OnnxNode[], outputs = [{ name: "out", dtype: "float32" as const }]) =>
    modelOf({
      nodes: [node("Gemm", "obs w", "h"), node("Sigmoid", "h", "s"), node("MatMul", "s v", "mean"), ...behind],
      initializers: [
        floats("w", [3, 8]),
        floats("v", [8, 1]),
        floats("two", [1], [2]),
        floats("low", [], [-2]),
        floats("high", [], [2]),
      ],
      inputs: [{ name: "obs", dtype: "float32", dims: ["batch", 3] }],
      outputs,
    });

  it.each<[string, readonly OnnxNode[], object]>([
    ["nothing", [], { head: "q-values", model: { value: "q" } }],
    ["a softmax", [node("Softmax", "q", "p", { axis: -1 })], { head: "logits", model: { value: "q" } }],
    ["its logarithm", [node("LogSoftmax", "q", "p", { axis: 1 })], { head: "logits", model: { value: "q" } }],
    ["a choice", [node("ArgMax", "q", "p", { axis: 1, keepdims: 0 })], { head: "q-values", model: { value: "q" } }],
    [
      "a choice by probabilities",
      [
        node("Softmax", "q", "x", { axis: 1 }),
        node("ArgMax", "x", "y", { axis: -1 }),
        node("Cast", "y", "p", { to: 6 }),
      ],
      { head: "logits", model: { value: "q" } },
    ],
  ])("is left out: %s", async (_name, behind, expected) => {
    const last = behind.at(-1)?.outputs[0] ?? "q";
    const loaded = await read(balancer({ behind, outputs: [{ name: last, dtype: "float32" }] }), cartPole);
    expect(loaded.architecture).toMatchObject(expected);
  });

  it.each<[string, readonly OnnxNode[], object, object | undefined]>([
    ["nothing", [node("Identity", "mean", "out")], { low: [-2], high: [2] }, { gives: "values" }],
    ["a limit", [node("Clip", "mean low high", "out")], { low: [-2], high: [2] }, { gives: "action" }],
    [
      "two halves of one",
      [node("Max", "mean low", "x"), node("Min", "x high", "out")],
      { low: [-2], high: [2] },
      { gives: "action" },
    ],
    ["a tanh", [node("Tanh", "mean", "out")], { low: [-2], high: [2], squash: true }, { gives: "squashed" }],
    [
      "a rescaled tanh with a limit",
      [node("Tanh", "mean", "x"), node("Mul", "x two", "y"), node("Clip", "y low high", "out")],
      { low: [-2], high: [2], squash: true },
      { gives: "action" },
    ],
  ])("says how continuous actions come about: %s", async (_name, behind, gaussian, output) => {
    const box = await read(torque(behind), pendulum);
    expect(box.architecture).toMatchObject({ head: "gaussian", gaussian: { logStd: [0], ...gaussian } });
    expect(box.interface?.outputs).toMatchObject([output]);
    const { outputs, actions } = await play(box, Float32Array.of(0.5, -1, 30));
    const [mean = 0] = (
      await play(await read(torque([node("Identity", "mean", "out")]), pendulum), Float32Array.of(0.5, -1, 30))
    ).outputs;
    expect(outputs).toEqual([mean]);
    expect(actions[0]).toBeCloseTo("squash" in gaussian ? 2 * Math.tanh(mean) : Math.max(-2, Math.min(2, mean)), 6);
  });

  it("stays where it is no ending that is known: then outputs are what comes out", async () => {
    const behind = [node("Tanh", "mean", "x"), node("Mul", "x two", "y"), node("Sin", "y", "out")];
    const box = await read(torque(behind), pendulum);
    expect(box.architecture).toMatchObject({ model: { value: "out" }, gaussian: { low: [-2], high: [2] } });
  });
});

describe("outputs of a black box beside the one that acts", () => {
  it("are kept where they are made of the same numbers", async () => {
    const behind = [
      node("ArgMax", "q", "choice", { axis: 1, keepdims: 1 }),
      node("Softmax", "q", "p", { axis: 1 }),
      node("ReduceMax", "q", "value", { axes: [1] }),
      node("Identity", "q", "again"),
    ];
    const outputs = [
      { name: "choice", dtype: "int64" as const, dims: ["batch", 1] },
      { name: "q", dtype: "float32" as const, dims: ["batch", 2] },
      { name: "p", dtype: "float32" as const },
      { name: "value", dtype: "float32" as const },
      { name: "again", dtype: "float32" as const },
      { name: "h", dtype: "float32" as const },
    ];
    const { interface: face } = await read(balancer({ behind, outputs }), cartPole);
    expect(face).toEqual({
      opset: 17,
      irVersion: 8,
      input: { name: "obs", dtype: "float32", dims: ["batch", 4] },
      outputs: [
        { ...outputs[0], gives: "choice" },
        { ...outputs[1], gives: "values" },
        { ...outputs[2], dims: ["batch", 2], gives: "probabilities" },
        { ...outputs[4], dims: ["batch", 2], gives: "values" },
      ],
      leftOut: ["value", "h"],
    });
  });

  const choice = (keepdims: number): OnnxNode => node("ArgMax", "q", "x", { axis: 1, keepdims });
  it.each<[string, readonly OnnxNode[], OnnxDims | undefined, OnnxDims]>([
    ["an axis of size 1", [choice(1), node("Identity", "x", "choice")], undefined, ["batch", 1]],
    ["no axis", [choice(0), node("Identity", "x", "choice")], undefined, ["batch"]],
    ["another type", [choice(1), node("Cast", "x", "choice", { to: 6 })], undefined, ["batch", 1]],
    ["an axis more", [choice(0), node("Reshape", "x by", "choice")], undefined, ["batch", 1, 1]],
    ["an axis of any name", [choice(1), node("Identity", "x", "choice")], ["n", "m"], ["n", 1]],
  ])("of a choice have the shape that they have: %s", async (_, behind, stated, dims) => {
    const outputs = [{ name: "choice", dtype: "int64" as const, ...(stated && { dims: stated }) }];
    const by = { name: "by", dtype: "int64" as const, dims: [3], data: [-1, 1, 1] };
    const { interface: face } = await read(balancer({ behind, outputs, initializers: [...WEIGHTS, by] }), cartPole);
    expect(face?.outputs.map((output) => output.dims)).toEqual([dims]);
  });

  const long = "x".repeat(1_001);
  it.each<[string, Uint8Array, string]>([
    [
      "its input has a name of 1,001 letters",
      balancer({
        inputs: [{ name: long, dtype: "float32", dims: ["batch", 4] }],
        nodes: [node("Identity", long, "obs"), ...NODES],
      }),
      "input.name: Too big: expected string to have <=1000 characters",
    ],
    [
      "its only output states a shape that it has not",
      balancer({ outputs: [{ name: "q", dtype: "float32", dims: ["batch", 3] }] }),
      'has an output "q" that the policy cannot give',
    ],
  ])("cannot be kept where %s, as its provenance says", async (_, file, why) => {
    const { interface: face, provenance } = await read(file);
    expect(face).toBeUndefined();
    expect(provenance).toMatchObject({ interface: `not kept: ${why}` });
  });

  it("may hold what could not be run: nothing looks at it", async () => {
    const behind = [node("Loop", "q", "endless"), node("Frobnicate", "q", "strange")];
    const outputs = ["q", "endless", "strange"].map((name) => ({ name, dtype: "float32" as const }));
    const box = await read(balancer({ behind, outputs }));
    expect(box.interface).toMatchObject({ leftOut: ["endless", "strange"] });
    expect(decodeModel(box.model, "x").graph.nodes.map(({ opType }) => opType)).toEqual(
      NODES.map(({ opType }) => opType),
    );
  });
});

describe("a model that cannot be a black box", () => {
  const weights = decodeModel(balancer(), "x").graph.initializers;
  const out = [{ name: "out", dtype: "float32" as const }];
  it.each<[string, Uint8Array, string]>([
    ["has no output", balancer({ outputs: [] }), "has no output"],
    [
      "has several inputs",
      balancer({ inputs: ["a", "b"].map((name) => ({ name, dtype: "float32", dims: ["batch", 4] })) }),
      "has several inputs",
    ],
    [
      "has a vector as input",
      balancer({ inputs: [{ name: "obs", dtype: "float32", dims: [4] }] }),
      "expected float32, float64 or uint8 [batch",
    ],
    [
      "has an input of int64",
      balancer({ inputs: [{ name: "obs", dtype: "int64", dims: ["batch", 4] }] }),
      "has an input int64",
    ],
    [
      "leaves its observation open",
      balancer({ inputs: [{ name: "obs", dtype: "float32", dims: ["batch", "n"] }] }),
      "has an input float32 [batch, n]",
    ],
    [
      "takes 2^40 numbers",
      balancer({ inputs: [{ name: "obs", dtype: "float32", dims: ["batch", 2 ** 40] }] }),
      "takes over 1000000 numbers",
    ],
    ["takes a million rows", balancer({ inputs: [{ name: "obs", dtype: "float32", dims: [1e6, 4] }] }), "has an input"],
    ["has an old operator set", balancer({}, { opset: 10 }), "has opset 10"],
    ["has a newer one", balancer({}, { opset: 24 }), "has opset 24"],
    ["gives what it was given", balancer({ outputs: [{ name: "obs", dtype: "float32" }] }), "gives what it is given"],
    ["gives a constant", balancer({ outputs: [{ name: "w1", dtype: "float32" }] }), "does not depend on its input"],
    ["gives nothing", balancer({ outputs: [{ name: "nowhere", dtype: "float32" }] }), "does not depend on its input"],
    [
      "gives integers",
      balancer({ behind: [node("Cast", "q", "out", { to: 7 })], outputs: out }),
      'gives int64 at "out"',
    ],
    [
      "gives one number for all",
      balancer({ behind: [node("ReduceMean", "q", "out", { keepdims: 0 })], outputs: out }),
      "gives []",
    ],
    [
      "gives a matrix a row",
      balancer({
        behind: [node("Unsqueeze", "q axis", "x"), node("Expand", "x shape", "out")],
        initializers: [...weights, ints("axis", [1]), ints("shape", [1, 3, 2])],
        outputs: out,
      }),
      "gives [1, 3, 2] for 1 observations",
    ],
    [
      "mixes its batch",
      balancer({ behind: [node("ReduceMean", "q", "m", { axes: [0] }), node("Add", "q m", "out")], outputs: out }),
      "depends on the others of its batch",
    ],
    [
      "loops",
      balancer({ behind: [node("Loop", "q", "out")], outputs: out }),
      "could run for ever: control flow is refused",
    ],
    [
      "chooses across its batch",
      balancer({ behind: [node("Softmax", "q", "out", { axis: 0 })], outputs: out }),
      "depends on the others of its batch",
    ],
    [
      "draws",
      balancer({ behind: [node("RandomNormalLike", "q", "r"), node("Add", "q r", "out")], outputs: out }),
      "draws random numbers",
    ],
    [
      "gives infinity",
      balancer({ behind: [node("Sub", "q q", "z"), node("Reciprocal", "z", "out")], outputs: out }),
      "it gives NaN or infinity",
    ],
    [
      "grows without end",
      balancer({
        behind: Array.from({ length: 60 }, (_, k) =>
          node("Concat", k === 0 ? "q q" : `c${k - 1} c${k - 1}`, k === 59 ? "out" : `c${k}`, { axis: 1 }),
        ),
        outputs: out,
      }),
      "makes too much",
    ],
    [
      "has 20,000 nodes",
      balancer({
        behind: Array.from({ length: 20_000 }, (_, k) =>
          node("Neg", k === 0 ? "q" : `c${k - 1}`, k === 19_999 ? "out" : `c${k}`),
        ),
        outputs: out,
      }),
      "needs over 10000 nodes",
    ],
    [
      "runs in a circle",
      balancer({ behind: [node("Neg", "b", "a"), node("Neg", "a", "b"), node("Add", "b q", "out")], outputs: out }),
      'node Neg "a" needs "b"',
    ],
    [
      "has a value twice",
      balancer({ behind: [node("Neg", "q", "h"), node("Add", "q h", "out")], outputs: out }),
      "makes a value that is there already",
    ],
    [
      "adds integers to floats",
      balancer({ behind: [node("Add", "q one", "out")], initializers: [...weights, ints("one", [1])], outputs: out }),
      "cannot be run by ONNX Runtime: ",
    ],
  ])("is refused: it %s", async (_name, file, problem) => {
    await expect(read(file)).rejects.toThrow(FileError);
    await expect(read(file)).rejects.toThrow(problem);
  });

  it("has to state its bounds where actions are continuous", async () => {
    await expect(read(balancer(), { head: "gaussian" })).rejects.toThrow("name an environment that does");
  });
});

import fc from "fast-check";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { FileError, ShapeError } from "../../src/errors.ts";
import { policyToOnnx } from "../../src/exporting/onnx.ts";
import { policyToSafetensors } from "../../src/exporting/safetensors.ts";
import { policyFromOnnx } from "../../src/importing/onnx.ts";
import { policyFromSafetensors } from "../../src/importing/policy-safetensors.ts";
import { dense, inputSize, outputSize } from "../../src/network/architecture.ts";
import type { Interface, InterfaceOutput } from "../../src/network/interface.ts";
import type { Policy } from "../../src/network/policy.ts";
import { predictor } from "../../src/network/predict.ts";
import { NO_DIGEST, seal } from "../../src/seal.ts";
import { encodeModel, type OnnxTensor } from "../../src/tensor/onnx-model.ts";
import { decodeModel } from "../../src/tensor/onnx-reader.ts";
import { policies, randomPolicy } from "../importing/fixtures/policies.ts";

const face: Interface = {
  opset: 13,
  irVersion: 7,
  input: { name: "obs", dtype: "float32", dims: ["N", 4] },
  outputs: [{ name: "q", dtype: "float32", dims: ["N", 3], gives: "values" }],
  leftOut: [],
};
const choosing = randomPolicy(dense(4, [5], 3, "logits", "tanh"), 1);
const normalising: Policy = randomPolicy(
  { ...dense(4, [5], 3, "q-values"), normalization: { mean: [1, 2, 3, 4], deviation: [2], clip: 1.5 } },
  2,
);
const gaussian = { logStd: [0, 0], low: [-1, -0.5], high: [0.25, 2] };
const limiting = randomPolicy({ ...dense(4, [5], 2, "gaussian"), gaussian }, 3);
const squashing = randomPolicy({ ...dense(4, [5], 2, "gaussian"), gaussian: { ...gaussian, squash: true } }, 4);

const with1 = (policy: Policy, change: Partial<Interface>): Policy => ({
  ...policy,
  interface: { ...face, ...change },
});
const output = (gives: InterfaceOutput["gives"], more: Partial<InterfaceOutput> = {}): InterfaceOutput => ({
  name: gives,
  dtype: gives === "choice" ? "int64" : "float32",
  gives,
  ...more,
});

const typed = {
  float32: (values: readonly number[]) => Float32Array.from(values),
  float64: (values: readonly number[]) => Float64Array.from(values),
  uint8: (values: readonly number[]) => Uint8Array.from(values),
};

/** What ONNX Runtime says of an export and what comes out of it. */
async function ask(policy: Policy, observations: readonly number[]) {
  const session = await InferenceSession.create(policyToOnnx(policy), { logSeverityLevel: 4 });
  const { name, dtype, dims } = policy.interface!.input;
  const rows = observations.length / inputSize(policy.architecture);
  const shape = dims.map((size, axis) => (typeof size === "number" ? size : axis === 0 ? rows : 1));
  const results = await session.run({
    [name]: new Tensor(dtype as "float32", typed[dtype](observations) as Float32Array, shape),
  });
  const { inputMetadata, outputMetadata } = session;
  await session.release();
  return { inputMetadata, outputMetadata, results };
}

const numbers = (tensor: Tensor | undefined): number[] =>
  Array.from(tensor?.data as Float32Array | BigInt64Array, Number);

function close(found: readonly number[], expected: readonly number[]): void {
  expect(found).toHaveLength(expected.length);
  for (const [k, value] of expected.entries()) expect(found[k]).toBeCloseTo(value, 5);
}

const observations = [0.5, -1, 2, 0.1, 3, 0, -2, 1];
const rowsOf = (policy: Policy): number[][] => {
  const predict = predictor(policy);
  return [0, 4].map((from) => Array.from(predict(Float32Array.from(observations.slice(from, from + 4)))));
};

describe("an export that takes another model's place", () => {
  it("has its names, types and shapes, its operator set and its version", async () => {
    const dims = ["", 1, 4];
    const policy = with1(choosing, {
      input: { name: "in put", dtype: "float64", dims },
      outputs: [
        output("choice", { name: "a", dims: ["?", 1] }),
        output("values", { name: "__proto__", dims: ["n", 3] }),
        output("probabilities", { name: "dense_1", dtype: "float64", dims: ["n", 1, 3] }),
      ],
    });
    const { irVersion, opset, graph } = decodeModel(policyToOnnx(policy), "x");
    expect({ irVersion, opset, inputs: graph.inputs, outputs: graph.outputs }).toEqual({
      irVersion: 7,
      opset: 13,
      inputs: [{ name: "in put", dtype: "float64", dims }],
      outputs: [
        { name: "a", dtype: "int64", dims: ["?", 1] },
        { name: "__proto__", dtype: "float32", dims: ["n", 3] },
        { name: "dense_1", dtype: "float64", dims: ["n", 1, 3] },
      ],
    });
    const { outputMetadata } = await ask(
      { ...policy, interface: { ...policy.interface!, outputs: policy.interface!.outputs.slice(0, 1) } },
      observations,
    );
    expect(outputMetadata).toMatchObject([{ name: "a", type: "int64", shape: ["?", 1] }]);
  });

  it.each([11, 12, 13, 17, 21])("runs with operator set %i", async (opset) => {
    const gives = ["values", "probabilities", "log-probabilities", "choice"] as const;
    const { results } = await ask(with1(choosing, { opset, outputs: gives.map((one) => output(one)) }), observations);
    const rows = rowsOf(choosing);
    const softmax = rows.map((row) => {
      const total = row.reduce((sum, value) => sum + Math.exp(value), 0);
      return row.map((value) => Math.exp(value) / total);
    });
    close(numbers(results["values"]), rows.flat());
    close(numbers(results["probabilities"]), softmax.flat());
    close(numbers(results["log-probabilities"]), softmax.flat().map(Math.log));
    expect(numbers(results["choice"])).toEqual(rows.map((row) => row.indexOf(Math.max(...row))));
  });

  it.each<[string, Policy, (mean: number, d: number) => number]>([
    ["limited", limiting, (mean, d) => Math.max(gaussian.low[d]!, Math.min(gaussian.high[d]!, mean))],
    [
      "squashed",
      squashing,
      (mean, d) => gaussian.low[d]! + ((Math.tanh(mean) + 1) / 2) * (gaussian.high[d]! - gaussian.low[d]!),
    ],
  ])("acts as its teacher does: %s", async (_name, policy, act) => {
    const { results } = await ask(with1(policy, { outputs: [output("action"), output("values")] }), observations);
    const rows = rowsOf(policy);
    close(
      numbers(results["action"]),
      rows.flatMap((row) => row.map(act)),
    );
    close(numbers(results["values"]), rows.flat());
  });

  it("gives the tanh alone where its teacher leaves the range to others", async () => {
    const { results } = await ask(with1(squashing, { outputs: [output("action"), output("squashed")] }), observations);
    close(numbers(results["squashed"]), rowsOf(squashing).flat().map(Math.tanh));
  });

  it.each(["float64", "uint8"] as const)("takes observations of %s", async (dtype) => {
    const bytes = [1, 2, 0, 255, 3, 0, 9, 17];
    const { results } = await ask(with1(normalising, { input: { name: "x", dtype, dims: ["N", 2, 2] } }), bytes);
    const predict = predictor(normalising);
    const expected = [0, 4].flatMap((from) => Array.from(predict(Float32Array.from(bytes.slice(from, from + 4)))));
    close(numbers(results["q"]), expected);
  });

  it("takes as many observations at once as its teacher, and shapes its outputs alike", async () => {
    const outputs = [output("values", { dims: [3] }), output("choice", { dims: [], dtype: "int32" })];
    const policy = with1(choosing, { input: { name: "x", dtype: "float32", dims: [1, 4] }, outputs });
    const { results, inputMetadata } = await ask(policy, observations.slice(0, 4));
    expect(inputMetadata).toMatchObject([{ shape: [1, 4] }]);
    expect(results["values"]).toMatchObject({ dims: [3] });
    expect(results["choice"]).toMatchObject({ dims: [], type: "int32" });
  });

  it("normalises observations, unless whoever calls it does", async () => {
    const { results } = await ask(with1(normalising, {}), observations);
    close(numbers(results["q"]), rowsOf(normalising).flat());
    const limited = observations.map((x, i) => Math.max(-1.5, Math.min(1.5, (x - (1 + (i % 4))) / 2)));
    const raw = await ask(with1(normalising, { normalized: true }), limited);
    close(numbers(raw.results["q"]), rowsOf(normalising).flat());
  });

  it("may have the names that its own tensors have, and those with an underscore", async () => {
    const input = { name: "normalization.mean", dtype: "float32" as const, dims: ["N", 2, 2] };
    const names = ["dense_1.weight", "dense_1.weight_", "output.bias", "interface.0"];
    const outputs = names.map((name) => output("values", { name, dims: ["N", 1, 3] }));
    const policy = with1(normalising, { input, outputs });
    const { results } = await ask(policy, observations);
    for (const name of names) close(numbers(results[name]), rowsOf(normalising).flat());
    expect(policyFromOnnx(policyToOnnx(policy), "x")).toEqual(policy);
  });

  it("may give the same numbers under several names", async () => {
    const outputs = ["a", "b", "c"].map((name) => output("values", { name }));
    const { results } = await ask(with1(choosing, { outputs }), observations);
    for (const name of ["a", "b", "c"]) close(numbers(results[name]), rowsOf(choosing).flat());
  });
});

const free = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 });
const ours = fc.constantFrom(
  ...["dense_1.weight", "conv_1.bias", "output.weight", "normalization.mean", "action.low", "interface.0"],
  ...["interface.observation", "output.weight_", "normalization.mean__"],
);
const interfaces = (policy: Policy): fc.Arbitrary<Policy> => {
  const { architecture } = policy;
  const outputs = outputSize(architecture);
  const gives = architecture.gaussian
    ? (["values", "action", ...(architecture.gaussian.squash ? (["squashed"] as const) : [])] as const)
    : (["values", "probabilities", "log-probabilities", "choice"] as const);
  const batch = fc.oneof(free, fc.constant(""), fc.constant(1));
  return fc
    .record({
      opset: fc.integer({ min: 11, max: 21 }),
      irVersion: fc.integer({ min: 4, max: 10 }),
      names: fc.uniqueArray(
        fc.oneof(
          free.map((name) => `x${name}`),
          ours,
        ),
        { minLength: 4, maxLength: 4 },
      ),
      dtype: fc.constantFrom("float32", "float64", "uint8"),
      batch,
      flat: fc.boolean(),
      gives: fc.array(fc.constantFrom(...gives), { minLength: 1, maxLength: 3 }),
      dims: fc.constantFrom("own", "none", "deep"),
      leftOut: fc.array(free, { maxLength: 3 }),
    })
    .map(({ names, dtype, batch: rows, flat, gives: given, dims, opset, irVersion, leftOut }) => ({
      ...policy,
      interface: {
        opset,
        irVersion,
        input: { name: names[0]!, dtype, dims: [rows, ...(flat ? [inputSize(architecture)] : architecture.input)] },
        outputs: given.map((one, k) => {
          const row = one === "choice" ? [] : [outputs];
          return output(one, {
            name: names[k + 1]!,
            ...(dims !== "none" && { dims: [rows, ...(dims === "deep" ? [1] : []), ...row] }),
          });
        }),
        leftOut,
      },
    }));
};

describe("an interface", () => {
  it("comes back from both formats with every bit, and the file is a model that runs", async () => {
    await fc.assert(
      fc.asyncProperty(policies.chain(interfaces), async (policy) => {
        const onnx = policyToOnnx(policy);
        expect(policyFromOnnx(onnx, "x")).toEqual(policy);
        expect(policyFromSafetensors(policyToSafetensors(policy), "x")).toEqual(policy);
        const session = await InferenceSession.create(onnx, { logSeverityLevel: 4 });
        expect(session.inputNames).toEqual([policy.interface!.input.name]);
        expect(session.outputNames).toEqual(policy.interface!.outputs.map(({ name }) => name));
        await session.release();
      }),
      { numRuns: 60 },
    );
  });

  it.each<[string, Policy, Partial<Interface>, string]>([
    [
      "a choice of continuous actions",
      limiting,
      { outputs: [output("choice")] },
      'an output "choice" that the policy cannot give',
    ],
    [
      "the action of Q-values",
      choosing,
      { outputs: [output("action")] },
      'an output "action" that the policy cannot give',
    ],
    ["a tanh of what is limited", limiting, { outputs: [output("squashed")] }, "that the policy cannot give"],
    [
      "values as whole numbers",
      choosing,
      { outputs: [output("values", { dtype: "int64" })] },
      "that the policy cannot give",
    ],
    [
      "rows of another length",
      choosing,
      { outputs: [output("values", { dims: ["N", 4] })] },
      "that the policy cannot give",
    ],
    [
      "another observation",
      choosing,
      { input: { name: "x", dtype: "float32", dims: ["N", 5] } },
      "the policy 4 numbers",
    ],
    ["statistics that are not there", choosing, { normalized: true }, "the policy has no statistics"],
    ["a name twice", choosing, { outputs: [output("values", { name: "obs" })] }, 'the name \\"obs\\" twice'],
    ["no output", choosing, { outputs: [] }, "interface"],
    ["a newer operator set", choosing, { opset: 22 }, "opset"],
  ])("is refused with %s", (_name, policy, change, problem) => {
    expect(() => policyToOnnx(with1(policy, change))).toThrow(ShapeError);
    expect(() => policyToOnnx(with1(policy, change))).toThrow(problem.replaceAll('\\"', '"'));
  });
});

describe("a file whose graph and metadata say different things", () => {
  const tampered = (policy: Policy, change: (tensors: readonly OnnxTensor[]) => readonly OnnxTensor[]): Uint8Array => {
    const model = decodeModel(policyToOnnx(policy), "x");
    const { pops = "" } = model.metadata;
    const graph = { ...model.graph, initializers: change(model.graph.initializers) };
    const bytes = encodeModel({ ...model, graph, metadata: { pops, sha256: NO_DIGEST } });
    seal(bytes, bytes.length - NO_DIGEST.length);
    return bytes;
  };
  const replace =
    (name: string, data: readonly number[]) =>
    (tensors: readonly OnnxTensor[]): readonly OnnxTensor[] =>
      tensors.map((tensor) =>
        tensor.name === name ? { name, dims: tensor.dims, dtype: "float32", data: Float32Array.from(data) } : tensor,
      );

  it.each<[string, Policy, (tensors: readonly OnnxTensor[]) => readonly OnnxTensor[], string]>([
    [
      "another mean",
      normalising,
      replace("normalization.mean", [1, 2, 3, 5]),
      '"normalization.mean" is not what its metadata says',
    ],
    [
      "another limit",
      normalising,
      replace("normalization.high", [2]),
      '"normalization.high" is not what its metadata says',
    ],
    ["another bound", limiting, replace("action.high", [9, 9]), '"action.high" is not what its metadata says'],
    ["another range", squashing, replace("action.half", [9, 9]), '"action.half" is not what its metadata says'],
    [
      "no deviation",
      normalising,
      (all) => all.filter(({ name }) => name !== "normalization.deviation"),
      '"normalization.deviation" is missing',
    ],
    [
      "a mean beside the right one",
      normalising,
      (all) => [
        ...replace("normalization.mean", [1, 2, 3, 5])(all),
        ...all
          .filter(({ name }) => name === "normalization.mean")
          .map((tensor) => ({ ...tensor, name: "normalization.mean_" })),
      ],
      'initializer "normalization.mean" stands twice',
    ],
    [
      "bounds of choices",
      choosing,
      (all) => [...all, { name: "action.low", dtype: "float32", dims: [3], data: new Float32Array(3) }],
      '"action.low" is not what',
    ],
    [
      "another shape of an output",
      with1(choosing, { outputs: [output("choice", { dims: ["N", 1] })] }),
      (all) =>
        all.map((tensor) =>
          tensor.name === "interface.0" ? { name: "interface.0", dtype: "int64", dims: [2], data: [1, -1] } : tensor,
        ),
      '"interface.0" is not what its metadata says',
    ],
  ])("is refused: %s", (_name, policy, change, problem) => {
    const bytes = tampered(policy, change);
    expect(() => policyFromOnnx(bytes, "evil.onnx")).toThrow(FileError);
    expect(() => policyFromOnnx(bytes, "evil.onnx")).toThrow(problem);
    expect(
      policyFromOnnx(
        tampered(policy, (all) => all),
        "x",
      ),
    ).toEqual(policy);
  });
});

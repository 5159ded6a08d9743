import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { policyToOnnx } from "../../src/exporting/onnx.ts";
import { policyFromOnnx } from "../../src/importing/onnx.ts";
import { type Architecture, dense } from "../../src/network/architecture.ts";
import type { Policy } from "../../src/network/policy.ts";
import { stream } from "../../src/random/pcg64.ts";
import { decodeModel } from "../../src/tensor/onnx-reader.ts";
import { exact, policies, randomPolicy, small } from "../importing/fixtures/policies.ts";

it("is read back with every bit, whatever the architecture", () => {
  fc.assert(
    fc.property(policies, fc.boolean(), (policy, action) => {
      const read = policyFromOnnx(policyToOnnx(policy, { action }), "x");
      expect(read).toEqual(policy);
      expect(exact(policyFromOnnx(policyToOnnx(read), "x"))).toBe(exact(read));
    }),
  );
});

/** The network by its definition, in float64: y[j] = f(b[j] + sum_i x[i] w[i, j]), weights row-major in front of biases. */
function forwardByHand({ architecture, parameters }: Policy, observation: readonly number[]): number[] {
  let x = [...observation];
  let at = 0;
  for (const { units, activation } of architecture.layers) {
    const biases = at + x.length * units;
    const y: number[] = [];
    for (let j = 0; j < units; j += 1) {
      const sum = x.reduce(
        (total, value, i) => total + value * parameters[at + i * units + j]!,
        parameters[biases + j]!,
      );
      y.push(activation === "relu" ? Math.max(0, sum) : activation === "tanh" ? Math.tanh(sum) : sum);
    }
    x = y;
    at = biases + units;
  }
  return x;
}

const pixels: Architecture = {
  input: [2, 3, 2],
  layers: [
    { kind: "dense", units: 5, activation: "tanh" },
    { kind: "dense", units: 4, activation: "none" },
    { kind: "dense", units: 3, activation: "relu" },
  ],
  head: "logits",
};

const networks: [string, Architecture][] = [
  ["a relu network", dense(4, [16, 8], 2, "q-values")],
  ["a tanh actor", dense(8, [6, 6], 4, "logits", "tanh")],
  ["a linear policy", dense(8, [], 4, "q-values")],
  ["a network of flattened pixels with an activation at the end", pixels],
];

it.each(networks.flatMap(([name, architecture]) => [1, 7].map((batch) => ({ name, architecture, batch }))))(
  "computes $name for a batch of $batch in ONNX Runtime",
  async ({ architecture, batch }) => {
    const policy = randomPolicy(architecture, batch);
    const random = stream(batch, "observations");
    const size = architecture.input.reduce((product, length) => product * length, 1);
    const observations = Array.from({ length: batch }, () =>
      Array.from({ length: size }, () => Math.fround(random.normal())),
    );
    const session = await InferenceSession.create(policyToOnnx(policy));
    const { [session.outputNames[0]!]: outputs, action } = await session.run({
      observation: new Tensor("float32", observations.flat(), [batch, ...architecture.input]),
    });
    const actions = architecture.layers.at(-1)!.units;
    expect(session.outputNames).toEqual([architecture.head === "logits" ? "logits" : "q_values", "action"]);
    expect(outputs?.dims).toEqual([batch, actions]);
    expect(action?.dims).toEqual([batch]);
    const expected = observations.map((observation) => forwardByHand(policy, observation));
    for (const [i, value] of expected.flat().entries()) expect(outputs?.data[i]).toBeCloseTo(value, 4);
    expect(Array.from(action?.data as BigInt64Array, Number)).toEqual(
      expected.map((row) => row.indexOf(Math.max(...row))),
    );
    await session.release();
  },
);

it("chooses the lowest action among equals", async () => {
  const session = await InferenceSession.create(policyToOnnx({ ...small, parameters: new Float32Array(26) }));
  const { action } = await session.run({ observation: new Tensor("float32", [1, 2, 3], [1, 3]) });
  expect(action?.data).toEqual(BigInt64Array.of(0n));
  await session.release();
});

it("leaves the action out on request", () => {
  expect(decodeModel(policyToOnnx(small, { action: false }), "x").graph.outputs.map(({ name }) => name)).toEqual([
    "q_values",
  ]);
});

it("names its producer, a dynamic batch and its layers", () => {
  const { producerName, producerVersion, irVersion, opset, graph } = decodeModel(policyToOnnx(small), "x");
  expect({ producerName, irVersion, opset }).toEqual({ producerName: "pops-rl", irVersion: 10, opset: 21 });
  expect(producerVersion).toMatch(/^\d+\.\d+\.\d+/);
  expect(graph.inputs).toEqual([{ name: "observation", dtype: "float32", dims: ["batch", 3] }]);
  expect(graph.initializers.map(({ name, dims }) => [name, dims])).toEqual([
    ["dense_1.weight", [3, 4]],
    ["dense_1.bias", [4]],
    ["output.weight", [4, 2]],
    ["output.bias", [2]],
  ]);
});

it("refuses to write NaN", () => {
  expect(() => policyToOnnx({ ...small, parameters: new Float32Array(26).fill(Number.NaN) })).toThrow(ShapeError);
});

const { POPS_PYTHON: python = "python3" } = process.env;
const hasOnnx = spawnSync(python, ["-c", "import onnx"]).status === 0;

it.skipIf(!hasOnnx)("passes the ONNX project's checker and shape inference (needs Python with onnx)", () => {
  const folder = mkdtempSync(join(tmpdir(), "pops-onnx-"));
  try {
    const paths = networks.map(([, architecture], i) => {
      const path = join(folder, `${i}.onnx`);
      writeFileSync(path, policyToOnnx(randomPolicy(architecture)));
      return path;
    });
    const program = `
import sys, onnx
for path in sys.argv[1:]:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    print(model.producer_name, sorted(entry.key for entry in model.metadata_props))`;
    const { stdout, stderr } = spawnSync(python, ["-c", program, ...paths], { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(stdout.trim().split("\n")).toEqual(paths.map(() => "pops-rl ['pops', 'sha256']"));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

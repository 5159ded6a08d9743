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
import { exact, policies, randomPolicy, small, smallGaussian } from "../importing/fixtures/policies.ts";

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
  const {
    mean,
    deviation,
    clip = Number.POSITIVE_INFINITY,
  } = architecture.normalization ?? { mean: observation.map(() => 0), deviation: observation.map(() => 1) };
  let x = observation.map((value, i) => Math.max(-clip, Math.min(clip, (value - mean[i]!) / deviation[i]!)));
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

/** Of 12 pixels: means 0, 0.5, ... and deviations from 0.25 on, so that some are limited. */
const statistics = {
  mean: Array.from({ length: 12 }, (_, i) => i / 2 - 3),
  deviation: Array.from({ length: 12 }, (_, i) => 0.25 + i / 8),
  clip: 2,
};

const networks: [string, Architecture][] = [
  ["a relu network", dense(4, [16, 8], 2, "q-values")],
  ["a tanh actor", dense(8, [6, 6], 4, "logits", "tanh")],
  ["a linear policy", dense(8, [], 4, "q-values")],
  ["a network of flattened pixels with an activation at the end", pixels],
  ["a network of normalised pixels", { ...pixels, normalization: statistics }],
  [
    "a Gaussian",
    { ...dense(3, [6], 2, "gaussian", "tanh"), gaussian: { logStd: [0, -1], low: [-1, -0.5], high: [0.25, 1] } },
  ],
  [
    "a squashed Gaussian",
    {
      ...dense(3, [6], 2, "gaussian"),
      gaussian: { logStd: [0, 0], low: [-1, -0.5], high: [0.25, 2], squash: true },
    },
  ],
  [
    "a Gaussian of normalised observations",
    {
      ...dense(4, [], 3, "gaussian"),
      normalization: { mean: [1, -1, 0.1, 3], deviation: [0.5, 2, 1, 0.1], clip: 10 },
      gaussian: { logStd: [0, 0, 0], low: [-2, -2, -2], high: [2, 2, 2] },
    },
  ],
];

/** Name of the outputs, shape of the greedy actions, and these themselves. */
function greedyByHand({ head, gaussian }: Architecture, outputs: readonly number[][]): [string, number[], number[]] {
  if (gaussian === undefined) {
    const best = outputs.map((row) => row.indexOf(Math.max(...row)));
    return [head === "logits" ? "logits" : "q_values", [outputs.length], best];
  }
  const { low, high } = gaussian;
  const limited = outputs.map((row) =>
    row.map((value, d) =>
      gaussian.squash
        ? low[d]! + ((Math.tanh(value) + 1) / 2) * (high[d]! - low[d]!)
        : Math.max(low[d]!, Math.min(high[d]!, value)),
    ),
  );
  return ["mean", [outputs.length, low.length], limited.flat()];
}

function observationsFor(architecture: Architecture, batch: number): number[][] {
  const random = stream(batch, "observations");
  const size = architecture.input.reduce((product, length) => product * length, 1);
  return Array.from({ length: batch }, () => Array.from({ length: size }, () => Math.fround(random.normal())));
}

it.each(networks.flatMap(([name, architecture]) => [1, 7].map((batch) => ({ name, architecture, batch }))))(
  "computes $name for a batch of $batch in ONNX Runtime",
  async ({ architecture, batch }) => {
    const policy = randomPolicy(architecture, batch);
    const observations = observationsFor(architecture, batch);
    const session = await InferenceSession.create(policyToOnnx(policy));
    const { [session.outputNames[0]!]: outputs, action } = await session.run({
      observation: new Tensor("float32", observations.flat(), [batch, ...architecture.input]),
    });
    const expected = observations.map((observation) => forwardByHand(policy, observation));
    const [head, dims, actions] = greedyByHand(architecture, expected);
    expect(session.outputNames).toEqual([head, "action"]);
    expect(outputs?.dims).toEqual([batch, architecture.layers.at(-1)!.units]);
    expect(action?.dims).toEqual(dims);
    for (const [i, value] of expected.flat().entries()) expect(outputs?.data[i]).toBeCloseTo(value, 4);
    const chosen = Array.from(action?.data as BigInt64Array | Float32Array, Number);
    for (const [i, value] of chosen.entries()) expect(value).toBeCloseTo(actions[i]!, 4);
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
  const outputsOf = (policy: Policy) =>
    decodeModel(policyToOnnx(policy, { action: false }), "x").graph.outputs.map(({ name }) => name);
  expect(outputsOf(small)).toEqual(["q_values"]);
  expect(outputsOf(smallGaussian)).toEqual(["mean"]);
});

it("keeps what a draw needs, the deviations, in the metadata", () => {
  const { pops } = decodeModel(policyToOnnx(smallGaussian), "x").metadata;
  expect(JSON.parse(pops!)).toMatchObject({ architecture: smallGaussian.architecture });
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
const hasRuntime = spawnSync(python, ["-c", "import onnxruntime"]).status === 0;

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

it.skipIf(!hasRuntime)("computes the same in Python (needs Python with onnxruntime)", () => {
  const folder = mkdtempSync(join(tmpdir(), "pops-onnx-"));
  try {
    const given = networks.map(([, architecture], i) => {
      const path = join(folder, `${i}.onnx`);
      const policy = randomPolicy(architecture, 3);
      writeFileSync(path, policyToOnnx(policy));
      return { path, policy, shape: [3, ...architecture.input], observations: observationsFor(architecture, 3) };
    });
    const program = `
import json, sys, numpy, onnxruntime
results = []
for path, shape, observations in json.load(sys.stdin):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"observation": numpy.array(observations, numpy.float32).reshape(shape)})
    results.append([values.flatten().tolist() for values in outputs])
print(json.dumps(results))`;
    const input = JSON.stringify(given.map(({ path, shape, observations }) => [path, shape, observations]));
    const { stdout, stderr, status } = spawnSync(python, ["-c", program], { encoding: "utf8", input });
    expect(status, stderr).toBe(0);
    const results = JSON.parse(stdout) as [number[], number[]][];
    for (const [i, { policy, observations }] of given.entries()) {
      const expected = observations.map((observation) => forwardByHand(policy, observation));
      const [, , actions] = greedyByHand(policy.architecture, expected);
      for (const [k, value] of expected.flat().entries()) expect(results[i]![0][k]).toBeCloseTo(value, 4);
      for (const [k, value] of actions.entries()) expect(results[i]![1][k]).toBeCloseTo(value, 4);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

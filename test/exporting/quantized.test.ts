import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { expect, it } from "vitest";
import { label } from "../../src/distillation/agreement.ts";
import { FileError, UsageError } from "../../src/errors.ts";
import { policyToOnnx } from "../../src/exporting/onnx.ts";
import { policyToQuantizedOnnx } from "../../src/exporting/onnx-quantized.ts";
import { anyPolicyFromOnnx, policyFromOnnx } from "../../src/importing/onnx.ts";
import { type Architecture, dense, inputSize, layoutOf } from "../../src/network/architecture.ts";
import type { Interface } from "../../src/network/interface.ts";
import type { Network, Policy } from "../../src/network/policy.ts";
import { type Range, type Ranges, rangesOf, together } from "../../src/quantization/ranges.ts";
import { stream } from "../../src/random/pcg64.ts";
import { decodeModel } from "../../src/tensor/onnx-reader.ts";
import { temporaryFolder } from "../cli/fixtures/pops.ts";
import { hasPackages, python } from "../environment/fixtures/python.ts";
import { randomPolicy, small, smallGaussian, smallImages } from "../importing/fixtures/policies.ts";
import { architectures } from "../network/architectures.ts";

const VARIANTS = [
  { scheme: "qdq", bits: 8 },
  { scheme: "qdq", bits: 16 },
  { scheme: "dynamic", bits: 8 },
] as const;
type Variant = (typeof VARIANTS)[number];

const squashed: Policy = {
  ...smallGaussian,
  architecture: { ...smallGaussian.architecture, gaussian: { ...smallGaussian.architecture.gaussian!, squash: true } },
};

/** Normal numbers, element by element of a size of its own; or bytes. */
function observationsOf(
  architecture: Architecture,
  rows: number,
  seed: number,
  bytes = false,
): Float32Array | Uint8Array {
  const random = stream(seed, "observations");
  const width = inputSize(architecture);
  const spread = Array.from({ length: width }, () => 10 ** random.uniform(-2, 1));
  const length = rows * width;
  if (bytes) return Uint8Array.from({ length }, () => random.integer(256));
  return Float32Array.from({ length }, (_, at) => spread[at % width]! * random.normal());
}

/**
 * How far outputs may be off, by what quantisation implies: what goes into a layer by what came before and a step of its range,
 * each weight by half a scale, which is at most a 127th of the greatest weight (stretched by the ranges, twice that). Activations change no
 * distance for the worse, nor do limits. Dynamic steps are those of an observation; elements differ there by up to 8 of them.
 */
function boundOf(
  { architecture, parameters }: Network,
  { inputs: elements, layers }: Ranges,
  { scheme, bits }: Variant,
): number {
  const levels = scheme === "qdq" ? 2 ** bits - 1 : 255 / 8;
  const with0 = ({ low, high }: Range): number => Math.max(0, high) - Math.min(0, low);
  let off = 0;
  for (const [l, { inputs, outputs, weights, biases, window }] of layoutOf(architecture).entries()) {
    const widthOf = (i: number): number => {
      if (l > 0) return with0(together(layers[l - 1]!));
      return window ? with0(together(elements)) : elements[i]!.high - elements[i]!.low;
    };
    let most = 0;
    for (let o = 0; o < outputs; o++) {
      let total = Math.abs(parameters[biases.offset + o]!) * 1e-5;
      let greatest = 0;
      for (let i = 0; i < inputs; i++) {
        const weight = Math.abs(parameters[weights.offset + i * outputs + o]!);
        total += weight * (off + widthOf(i) / levels + 1e-5 * (1 + widthOf(i)));
        greatest = Math.max(greatest, weight * (off + widthOf(i)));
      }
      most = Math.max(most, total + (2 * inputs * greatest) / 127);
    }
    off = most;
  }
  return off;
}

async function outputsOf(
  policy: Policy,
  observations: Float32Array | Uint8Array,
  variant: Variant,
): Promise<[Float32Array, Float32Array, number]> {
  const ranges = await rangesOf(policy, observations);
  const box = anyPolicyFromOnnx(policyToQuantizedOnnx(policy, ranges, variant), "x");
  const seen = Float32Array.from(observations);
  return [await label(policy, seen), await label(box, seen), boundOf(policy, ranges, variant)];
}

it.each(VARIANTS)(
  "is off by no more than $scheme of $bits bits implies, whatever the architecture",
  async (variant) => {
    await fc.assert(
      fc.asyncProperty(architectures, fc.nat(1000), fc.boolean(), async (architecture, seed, bytes) => {
        const policy = randomPolicy(architecture, seed);
        const observations = observationsOf(architecture, 40, seed, bytes && architecture.input.length === 3);
        const [exact, given, bound] = await outputsOf(policy, observations, variant);
        for (const [at, value] of exact.entries()) {
          // Float32 itself is off by some 1e-5 of what is summed.
          expect(Math.abs(given[at]! - value)).toBeLessThanOrEqual(bound + 1e-4 * (1 + Math.abs(value)));
        }
      }),
      { numRuns: 60 },
    );
  },
  300_000,
);

/** What an observation goes through: its policy, in one thread and by all optimisations of ONNX Runtime. */
async function run(bytes: Uint8Array, observations: Float32Array, shape: readonly number[]): Promise<number[]> {
  const session = await InferenceSession.create(bytes, { intraOpNumThreads: 1 });
  const [feed = "", output = ""] = [session.inputNames[0], session.outputNames[0]];
  const made = await session.run({ [feed]: new Tensor("float32", observations, shape) });
  await session.release();
  return Array.from(made[output]!.data as Float32Array);
}

const kinds = [
  ["Q-values", small],
  ["a squashed Gaussian of limited observations", squashed],
  ["convolutions over bytes", smallImages],
] as const;

async function calibrated({ architecture, ...policy }: Policy): Promise<[Policy, Ranges, Float32Array]> {
  const seen = observationsOf(architecture, 50, 1, architecture.input.length === 3);
  return [{ ...policy, architecture }, await rangesOf({ ...policy, architecture }, seen), Float32Array.from(seen)];
}

const cases = kinds.flatMap(([name, policy]) => VARIANTS.map((variant) => ({ name, policy, ...variant })));

it.skipIf(!hasPackages(["onnx", "onnxruntime"]))(
  "passes the ONNX project's checker and computes in Python what it does here (needs Python with onnx and onnxruntime)",
  async () => {
    const folder = temporaryFolder();
    const asked: unknown[] = [];
    const expected: number[][] = [];
    for (const [index, { policy, ...variant }] of cases.entries()) {
      const [own, ranges, seen] = await calibrated(policy);
      const bytes = policyToQuantizedOnnx(own, ranges, variant);
      const path = join(folder, `${index}.onnx`);
      writeFileSync(path, bytes);
      const one = seen.slice(0, inputSize(own.architecture));
      const shape = [1, ...own.architecture.input];
      asked.push([path, shape, Array.from(one)]);
      expected.push(await run(bytes, one, shape));
    }
    const program = `
import json, sys, numpy, onnx, onnxruntime
results = []
for path, shape, observations in json.load(sys.stdin):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: numpy.array(observations, numpy.float32).reshape(shape)}
    results.append(session.run(None, given)[0].flatten().tolist())
print(json.dumps(results))`;
    const { stdout, stderr, status } = spawnSync(python, ["-c", program], {
      encoding: "utf8",
      input: JSON.stringify(asked),
    });
    expect(status, stderr).toBe(0);
    for (const [index, values] of (JSON.parse(stdout) as number[][]).entries()) {
      for (const [k, value] of values.entries()) expect(value).toBeCloseTo(expected[index]![k]!, 4);
    }
  },
  300_000,
);

it.each(cases)(
  "gives the policy's action with its outputs and its own names: $name, $scheme of $bits bits",
  async ({ policy, ...variant }) => {
    const [own, ranges] = await calibrated(policy);
    const { graph, opset } = decodeModel(policyToQuantizedOnnx(own, ranges, variant), "x");
    const plain = decodeModel(policyToOnnx(own), "x");
    expect({ inputs: graph.inputs, outputs: graph.outputs, opset }).toEqual({
      inputs: plain.graph.inputs,
      outputs: plain.graph.outputs,
      opset: plain.opset,
    });
  },
);

it.each(VARIANTS)(
  "is read back as a black box without a score, which says what was done: $scheme of $bits bits",
  async (variant) => {
    const [own, ranges] = await calibrated(small);
    const bytes = policyToQuantizedOnnx(own, ranges, { ...variant, provenance: { calibration: "50 observations" } });
    const box = anyPolicyFromOnnx(bytes, "x");
    expect(box).toMatchObject({
      architecture: { input: [3], outputs: 2, head: "q-values", model: { weights: 20 } },
      environment: "CartPole-v1",
      provenance: {
        source: "test",
        layers: "3-4-2",
        quantization: `${variant.scheme}: int8 weights, uint${variant.bits} activations`,
        calibration: "50 observations",
      },
    });
    expect(box.score).toBeUndefined();
    expect(() => policyFromOnnx(bytes, "x")).toThrow(FileError);
    expect(policyToQuantizedOnnx(own, ranges, { ...variant, provenance: { calibration: "50 observations" } })).toEqual(
      bytes,
    );
  },
);

it("refuses a quantised file of which a bit was changed", async () => {
  const [own, ranges] = await calibrated(small);
  const bytes = policyToQuantizedOnnx(own, ranges, { scheme: "qdq" });
  const at = Buffer.from(bytes).indexOf("output.weight") - 20;
  bytes[at]! ^= 1;
  expect(() => anyPolicyFromOnnx(bytes, "x")).toThrow(FileError);
});

it("gives an observation the same outputs whatever else is in the batch, dynamic too", async () => {
  const [own, ranges, seen] = await calibrated(small);
  const box = anyPolicyFromOnnx(policyToQuantizedOnnx(own, ranges, { scheme: "dynamic" }), "x");
  const together = await label(box, seen);
  expect(Array.from(await label(box, seen.slice(0, 3)))).toEqual(Array.from(together.subarray(0, 2)));
});

const face = (opset: number): Interface => ({
  opset,
  irVersion: 7,
  input: { name: "obs", dtype: "float32", dims: ["n", 3] },
  outputs: [{ name: "choice", dtype: "int64", dims: ["n"], gives: "choice" }],
  leftOut: [],
});

it("is called as the model whose place the policy takes", async () => {
  const [own, ranges, seen] = await calibrated(small);
  for (const { scheme } of VARIANTS) {
    const bytes = policyToQuantizedOnnx({ ...own, interface: face(13) }, ranges, { scheme });
    const session = await InferenceSession.create(bytes);
    expect([...session.inputNames, ...session.outputNames]).toEqual(["obs", "choice"]);
    const { choice } = await session.run({ obs: new Tensor("float32", seen.slice(0, 6), [2, 3]) });
    const values = await label(own, seen.slice(0, 6));
    expect(Array.from(choice!.data as BigInt64Array, Number)).toEqual(
      [0, 2].map((at) => Number(values[at + 1]! > values[at]!)),
    );
    await session.release();
    expect(anyPolicyFromOnnx(bytes, "x").interface).toEqual(face(13));
  }
});

it.each([
  { scheme: "qdq", bits: 8, opset: 12, needed: 13 },
  { scheme: "qdq", bits: 16, opset: 20, needed: 21 },
] as const)("refuses $scheme of $bits bits at opset $opset", async ({ opset, needed, ...variant }) => {
  const [own, ranges] = await calibrated(small);
  const message = `--quantize: the policy takes the place of a model of opset ${opset}, qdq of ${variant.bits} bits needs ${needed}`;
  expect(() => policyToQuantizedOnnx({ ...own, interface: face(opset) }, ranges, variant)).toThrow(
    new UsageError("--quantize", message.slice(12)),
  );
});

it("takes an element that never changed for a constant, and a bias of any size beside its weights", async () => {
  const linear = {
    architecture: dense(2, [], 2, "q-values"),
    provenance: {},
    parameters: Float32Array.of(1, -0.5, 1, 3, 1e9, -1e-9),
  };
  const seen = Float32Array.of(0, 5, 1, 5, 0.5, 5);
  for (const variant of VARIANTS) {
    const ranges = await rangesOf(linear, seen);
    const given = await label(anyPolicyFromOnnx(policyToQuantizedOnnx(linear, ranges, variant), "x"), seen);
    for (const [row, x] of [0, 1, 0.5].entries()) {
      expect(given[2 * row]! / 1e9).toBeCloseTo(1, 6);
      expect(Math.abs(given[2 * row + 1]! - (15 - x / 2))).toBeLessThan(0.01);
    }
  }
});

it("leaves the outputs of a linear policy where they are on average, however weights are rounded", async () => {
  const linear = randomPolicy(dense(40, [], 3, "q-values"), 5);
  const seen = Float32Array.from(observationsOf(linear.architecture, 500, 2), (value) => value + 30);
  const ranges = await rangesOf(linear, seen);
  const exact = await label(linear, seen);
  const given = await label(
    anyPolicyFromOnnx(policyToQuantizedOnnx(linear, ranges, { scheme: "qdq", bits: 16 }), "x"),
    seen,
  );
  for (const output of [0, 1, 2]) {
    const errors = Array.from(given, (value, at) => (at % 3 === output ? value - exact[at]! : 0));
    const bias = errors.reduce((sum, error) => sum + error, 0) / 500;
    expect(Math.abs(bias)).toBeLessThan(0.002);
    // Single ones are off by more.
    expect(Math.max(...errors.map(Math.abs))).toBeGreaterThan(0.02);
  }
});

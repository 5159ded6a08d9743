import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readEvents, readResult } from "../../src/run/read.ts";
import { decodeModel } from "../../src/tensor/onnx-reader.ts";
import { floats, ints, modelOf, node } from "../importing/fixtures/graphs.ts";
import { type Ended, newFolder, pops, remove } from "./fixtures/pops.ts";
import { anyGood } from "./fixtures/tiny.ts";

const folder = newFolder();
const teacher = join(folder, "teacher.onnx");
const run = join(folder, "run");
/** Of TensorFlow's kind: bytes, the channels last. */
const file = modelOf({
  inputs: [{ name: "pixels", dtype: "uint8", dims: ["batch", 10, 10, 4] }],
  outputs: [
    { name: "action", dtype: "int64", dims: ["batch"] },
    { name: "q", dtype: "float32", dims: ["batch", 3] },
  ],
  nodes: [
    node("Cast", "pixels", "floats", { to: 1 }),
    node("Transpose", "floats", "first", { perm: [0, 3, 1, 2] }),
    node("Conv", "first kernel bias", "conv", { strides: [2, 2], auto_pad: "SAME_UPPER" }),
    node("Relu", "conv", "relu"),
    node("Transpose", "relu", "last", { perm: [0, 2, 3, 1] }),
    node("Reshape", "last sizes", "flat"),
    node("MatMul", "flat dense", "q"),
    node("ArgMax", "q", "action", { axis: 1, keepdims: 0 }),
  ],
  initializers: [
    floats("kernel", [3, 4, 3, 3]),
    floats("bias", [3]),
    ints("sizes", [-1, 75]),
    floats("dense", [75, 3]),
  ],
});
let compressing: Ended;
beforeAll(async () => {
  writeFileSync(teacher, file);
  compressing = await pops(
    ...["compress", "--teacher", teacher, "--env", "MiniBreakout-v0", ...anyGood(0), "--out", run],
  );
});
afterAll(() => {
  remove(folder);
});

it("prunes a copy of a convolutional ONNX model", () => {
  expect(compressing).toMatchObject({ code: 0, stderr: "" });
  expect(compressing.stdout).not.toContain("black box");
  const started = readEvents(join(run, "events.jsonl")).filter((event) => event.type === "stage-started");
  expect(started.slice(0, 2).map(({ stage, iteration }) => [stage, iteration])).toEqual([
    ["proof", 0],
    ["prune", 1],
  ]);
  expect(readResult(join(run, "result.json"))).toMatchObject({
    smaller: true,
    teacher: { layers: "4x10x10-3c3s2p0.0.1.1-3", weights: 333 },
  });
});

it("writes a policy that is called as that model: bytes, the channels last, outputs of the same names", async () => {
  const written = readFileSync(join(run, "policies", "policy.onnx"));
  const { inputs, outputs } = decodeModel(file, "x").graph;
  expect(decodeModel(written, "x").graph).toMatchObject({ inputs, outputs });
  const session = await InferenceSession.create(written);
  const pixels = new Tensor("uint8", new Uint8Array(800).fill(1), [2, 10, 10, 4]);
  const { action, q } = await session.run({ pixels });
  expect([action?.type, action?.dims, q?.type, q?.dims]).toEqual(["int64", [2], "float32", [2, 3]]);
  await session.release();
});

it("says at an import why the copy cannot be called as its model", async () => {
  const [strange, copy] = [join(folder, "strange.onnx"), join(folder, "copy.safetensors")];
  const claim = modelOf({
    inputs: [{ name: "x", dtype: "float32", dims: ["batch", 4] }],
    outputs: [{ name: "q", dtype: "float32", dims: ["batch", 3] }],
    nodes: [node("MatMul", "x w", "q")],
    initializers: [floats("w", [4, 2])],
  });
  writeFileSync(strange, claim);
  const { stdout, stderr } = await pops("import", "onnx", strange, "--output", copy);
  expect(stderr).toBe("");
  expect(stdout).toContain('\n  interface not kept: has an output "q" that the policy cannot give\n');
});

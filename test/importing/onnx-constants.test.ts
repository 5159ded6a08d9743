import { InferenceSession, Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { policyFromForeignOnnx } from "../../src/importing/foreign-onnx.ts";
import { predictor } from "../../src/network/predict.ts";
import type { OnnxNode, OnnxTensor } from "../../src/tensor/onnx-model.ts";
import { decodeModel } from "../../src/tensor/onnx-reader.ts";
import { floats, ints, modelOf, node } from "./fixtures/graphs.ts";

const ROWS = 2;
const w = floats("w", [3, 3]);
const half: OnnxTensor = {
  name: "h",
  dtype: "float16",
  dims: [3, 3],
  data: Uint16Array.of(1, 2, 3, 4, 5, 6, 7, 8, 0x3c00),
};
const bytes: OnnxTensor = { name: "u", dtype: "uint8", dims: [3, 3], data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 250) };
const whole = ints("i", [1, -2, 3, 4, 5, 6, 7, 8, 9], [3, 3]);
const one = floats("one", [], [1]);

/** x [2, 3] times "m", which these nodes make. */
const product = (making: readonly OnnxNode[], then = node("MatMul", "x m", "y")): Uint8Array =>
  modelOf({
    inputs: [{ name: "x", dtype: "float32", dims: [ROWS, 3] }],
    outputs: [{ name: "y", dtype: "float32", dims: [ROWS, 3] }],
    nodes: [...making, then],
    initializers: [w, half, bytes, whole, one, floats("r", [3])],
  });

const read = (file: Uint8Array) => policyFromForeignOnnx(decodeModel(file, "x"), "x", {});

/** Outputs of the copy and of ONNX Runtime. */
async function both(file: Uint8Array): Promise<[number[], number[]]> {
  const observations = Float32Array.of(1, -2, 0.5, 3, 0.25, -1);
  const predict = predictor(read(file));
  const made = [0, 3].flatMap((at) => Array.from(predict(observations.subarray(at, at + 3))));
  const session = await InferenceSession.create(file, { logSeverityLevel: 4 });
  const { y } = await session.run({ x: new Tensor("float32", observations, [ROWS, 3]) });
  await session.release();
  return [made, Array.from(y!.data as Float32Array)];
}

const to = (dtype: number) => ({ to: dtype });
const [FLOAT, INT64, FLOAT16, DOUBLE] = [1, 7, 10, 11];

describe("weights that a graph computes of others", () => {
  it.each<[string, OnnxNode[]]>([
    ["turned", [node("Transpose", "w", "m")]],
    ["turned by the order of axes", [node("Transpose", "w", "m", { perm: [1, 0] })]],
    ["left as they are by the order of axes", [node("Transpose", "w", "m", { perm: [0, 1] })]],
    ["of doubles", [node("Cast", "w", "d", to(DOUBLE)), node("Cast", "d", "m", to(FLOAT))]],
    ["of half precision", [node("Cast", "h", "m", to(FLOAT))]],
    ["of whole numbers", [node("Cast", "i", "m", to(FLOAT))]],
    ["of bytes", [node("Cast", "u", "m", to(FLOAT))]],
    ["by functions", [node("Exp", "w", "e"), node("Add", "e one", "a"), node("Sqrt", "a", "m")]],
    [
      "of whole numbers by way of their shape",
      [node("Shape", "w", "s"), node("Reshape", "i s", "j"), node("Cast", "j", "m", to(FLOAT))],
    ],
  ])("are those that ONNX Runtime has: %s", async (_, making) => {
    const [made, expected] = await both(product(making));
    for (const [k, value] of expected.entries()) expect(made[k]).toBeCloseTo(value, 5);
  });

  it.each<[string, OnnxNode[]]>([
    ["truncated", [node("Cast", "w", "t", to(INT64)), node("Cast", "t", "m", to(FLOAT))]],
    ["rounded to half precision", [node("Cast", "w", "t", to(FLOAT16)), node("Cast", "t", "m", to(FLOAT))]],
    ["computed in half precision", [node("Sqrt", "h", "t"), node("Cast", "t", "m", to(FLOAT))]],
    ["bytes that overflow", [node("Add", "u u", "t"), node("Cast", "t", "m", to(FLOAT))]],
  ])("are not understood where they are %s", (_, making) => {
    expect(() => read(product(making))).toThrow("of a constant is not understood");
  });
});

describe("biases of a Gemm", () => {
  it.each(["r", "one"])("are one a unit, or one for all (%s)", async (biases) => {
    const [made, expected] = await both(product([], node("Gemm", `x w ${biases}`, "y")));
    for (const [k, value] of expected.entries()) expect(made[k]).toBeCloseTo(value, 5);
  });

  it("are not understood where there is one for each of the observations", () => {
    const file = modelOf({
      inputs: [{ name: "x", dtype: "float32", dims: [ROWS, 3] }],
      outputs: [{ name: "y", dtype: "float32", dims: [ROWS, 2] }],
      nodes: [node("Gemm", "x v c", "y")],
      initializers: [floats("v", [3, 2]), floats("c", [2, 1])],
    });
    expect(() => read(file)).toThrow("has other biases than one a unit");
  });
});

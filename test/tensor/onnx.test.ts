import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import {
  add,
  argmax,
  cast,
  constant,
  greater,
  input,
  logSoftmax,
  mul,
  neg,
  select,
  softmax,
  stopGradient,
  type Tensor,
} from "../../src/tensor/graph.ts";
import { toOnnx } from "../../src/tensor/onnx.ts";
import { decodeModel } from "../../src/tensor/onnx-reader.ts";

/** Runs a model on float32 vectors; its outputs as plain numbers. */
async function run(
  inputs: Record<string, Tensor>,
  outputs: Record<string, Tensor>,
  values: Record<string, number[]>,
): Promise<Record<string, number[]>> {
  const session = await InferenceSession.create(toOnnx(inputs, outputs));
  const feeds = Object.entries(values).map(([name, data]) => {
    return [name, new OrtTensor("float32", data, inputs[name]!.shape)] as const;
  });
  const results = await session.run(Object.fromEntries(feeds));
  await session.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, { data }]) => [name, Array.from(data as ArrayLike<number>, Number)]),
  );
}

it("gives an input, a constant or one result under several names as outputs", async () => {
  const x = input([2]);
  const y = neg(x);
  const outputs = { input: x, constant: constant([5, 6]), y, again: y, stopped: stopGradient(y) };
  expect(await run({ x }, outputs, { x: [1, 2] })).toEqual({
    input: [1, 2],
    constant: [5, 6],
    y: [-1, -2],
    again: [-1, -2],
    stopped: [-1, -2],
  });
});

it("takes any names for inputs and outputs, its own numbered ones too", async () => {
  const [t0, t1] = [input([1]), input([1])];
  const t2 = mul(add(neg(t0), 10), neg(t1));
  expect(await run({ t0, t1 }, { t2, t3: neg(t2) }, { t0: [1], t1: [2] })).toEqual({ t2: [-18], t3: [18] });
});

it("writes equal scalars once", () => {
  const x = input([2]);
  const { graph } = decodeModel(toOnnx({ x }, { y: add(mul(x, 3), constant(3)) }), "x");
  expect(graph.initializers.map(({ dims, data }) => [dims, [...data]])).toEqual([[[], [3]]]);
});

it("leaves out what no output needs", () => {
  const x = input([2]);
  mul(x, 3);
  const { graph } = decodeModel(toOnnx({ x }, { y: neg(x) }), "x");
  expect(graph.nodes.map(({ opType }) => opType)).toEqual(["Neg"]);
});

it("computes a softmax of large numbers without overflow", async () => {
  const x = input([1, 2]);
  const { soft, log } = await run({ x }, { soft: softmax(x), log: logSoftmax(x) }, { x: [1000, 0] });
  expect(soft).toEqual([1, 0]);
  expect(log).toEqual([0, -1000]);
});

it("finds the first of several maxima", async () => {
  const x = input([3, 3]);
  expect(await run({ x }, { y: argmax(x) }, { x: [1, 2, 2, 3, 3, 3, 0, -1, 0] })).toEqual({ y: [1, 0, 0] });
});

it("selects 0 where an index is out of range", async () => {
  const x = input([3, 2]);
  const y = select(x, constant(Int32Array.of(1, 2, -1)));
  expect(await run({ x }, { y }, { x: [1, 2, 3, 4, 5, 6] })).toEqual({ y: [2, 0, 0] });
});

it("casts conditions, floats and integers", async () => {
  const x = input([3]);
  const outputs = {
    condition: cast(greater(x, 0), "float32"),
    integer: cast(x, "int32"),
    bool: cast(cast(x, "bool"), "float32"),
  };
  expect(await run({ x }, outputs, { x: [-1.5, 0, 2.75] })).toEqual({
    condition: [0, 0, 1],
    integer: [-1, 0, 2],
    bool: [1, 0, 1],
  });
});

it("refuses an input without a name", () => {
  expect(() => toOnnx({}, { y: neg(input([2, 3])) })).toThrow(
    new ShapeError("onnx", "an input of shape [2, 3] is used but has no name"),
  );
});

it("refuses a result as an input", () => {
  const x = input([2]);
  expect(() => toOnnx({ x: neg(x) }, { y: x })).toThrow(new ShapeError("onnx", "x is the result of neg, not an input"));
});

import { InferenceSession, Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { FileError } from "../../src/errors.ts";
import { constantOf } from "../../src/importing/onnx-call.ts";
import { measure } from "../../src/importing/onnx-shapes.ts";
import type { OnnxDtype, OnnxNode, OnnxTensor } from "../../src/tensor/onnx-model.ts";
import { floats, ints, modelOf, node, type Plainly } from "./fixtures/graphs.ts";

const ENOUGH = { numbers: 2 ** 27, work: 2 ** 32 };

/** `float32 [2, 3]` in short: a shape, or a tensor that is known. */
type Given = readonly number[] | OnnxTensor | { readonly dtype: OnnxDtype; readonly dims: readonly number[] };

const names = "abcdefg";

function parts(given: readonly Given[]) {
  return given.map((one, k) => {
    const name = names[k]!;
    if ("data" in one) return { name, dtype: one.dtype, dims: one.dims, constant: { ...one, name } };
    if ("dims" in one) return { name, dtype: one.dtype, dims: one.dims };
    return { name, dtype: "float32" as const, dims: one };
  });
}

/** What the rules say of a node: type and shape of each output. */
function inferred(op: OnnxNode, given: readonly Given[], opset: number) {
  const values = new Map(
    parts(given).map(({ name, dtype, dims, constant }) => [
      name,
      constant ? constantOf(constant) : { dtype, shape: dims },
    ]),
  );
  const { values: made } = measure([op], values, opset, ENOUGH, "hostile");
  return op.outputs.map((name) => made.get(name)!);
}

function arrayOf(dtype: OnnxDtype, length: number): Tensor["data"] {
  if (dtype === "int64") return new BigInt64Array(length).fill(1n);
  if (dtype === "int32") return new Int32Array(length).fill(1);
  if (dtype === "uint8" || dtype === "bool") return new Uint8Array(length).fill(1);
  if (dtype === "int8") return new Int8Array(length).fill(1);
  if (dtype === "float64") return new Float64Array(length).fill(0.5);
  return new Float32Array(length).fill(0.5);
}

/** What ONNX Runtime makes of it. */
async function run(op: OnnxNode, given: readonly Given[], opset: number) {
  const inputs = parts(given);
  const made = inferred(op, given, opset);
  const bytes = modelOf(
    {
      nodes: [op],
      initializers: inputs.flatMap(({ constant }) => constant ?? []),
      inputs: inputs.filter(({ constant }) => !constant).map(({ name, dtype, dims }) => ({ name, dtype, dims })),
      outputs: op.outputs.map((name, k) => ({ name, dtype: made[k]!.dtype })),
    },
    { opset, irVersion: 10 },
  );
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 4, graphOptimizationLevel: "disabled" });
  const feeds = inputs
    .filter(({ constant }) => !constant)
    .map(({ name, dtype, dims }) => {
      const data = arrayOf(
        dtype,
        dims.reduce((product, size) => product * size, 1),
      );
      return [name, new Tensor(dtype as "float32", data as Float32Array, dims)] as const;
    });
  const results = await session.run(Object.fromEntries(feeds));
  await session.release();
  return op.outputs.map((name) => results[name]!);
}

const [int64, bool] = [{ dtype: "int64" as const }, { dtype: "bool" as const }];
const index = (...dims: number[]): Given => ({ ...int64, dims });

type Case = readonly [op: string, given: readonly Given[], attributes?: Plainly, opset?: number, outputs?: string];

/** A case with what most of them do not say. */
function whole([op, given, attributes = {}, opset = 17, outputs = "y"]: Case) {
  const inputs = Array.from(names).slice(0, given.length).join(" ");
  return { op, node: node(op, inputs, outputs, attributes), given, opset };
}

const unary =
  "Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Erf Exp Floor HardSigmoid HardSwish LeakyRelu Log Neg Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Tan Tanh ThresholdedRelu Softmax LogSoftmax Hardmax LpNormalization Identity";

const cases: readonly Case[] = [
  ...unary.split(" ").map((op): Case => [op, [[2, 3, 4]]]),
  ["Gelu", [[2, 3]], {}, 20],
  ["Mish", [[2, 3]], {}, 18],
  ["MeanVarianceNormalization", [[2, 3, 2, 2]]],
  ["PRelu", [[2, 3], [3]]],
  ["Clip", [[2, 3], floats("", [], [0]), floats("", [], [1])]],
  ["Softmax", [[2, 3, 4]], { axis: 1 }, 11],
  ...["Add", "Sub", "Mul", "Div", "Min", "Max", "Pow"].map(
    (op): Case => [
      op,
      [
        [2, 1, 4],
        [3, 1],
      ],
    ],
  ),
  ["Sum", [[2, 3], [3], [1, 1]]],
  [
    "Mean",
    [
      [2, 3],
      [2, 1],
    ],
  ],
  ["Div", [index(2, 3), ints("", [2])]],
  ["Mod", [index(3), ints("", [2, 3, 4])]],
  ...["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"].map((op): Case => [op, [[2, 3], [3]]]),
  ...["And", "Or", "Xor"].map(
    (op): Case => [
      op,
      [
        { ...bool, dims: [2, 3] },
        { ...bool, dims: [3] },
      ],
    ],
  ),
  ["Not", [{ ...bool, dims: [4] }]],
  ["IsNaN", [[2, 3]]],
  ["IsInf", [[2, 3]]],
  ["Where", [{ ...bool, dims: [2, 1] }, [3], [2, 3]]],
  ...[
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
  ].flatMap((op): Case[] => [
    [op, [[2, 3, 4]], { axes: [1, -1], keepdims: 0 }],
    [op, [[2, 3, 4]], {}],
    [op, [[2, 3, 4], ints("", [1])], {}, 18],
  ]),
  ["ReduceSum", [[2, 3, 4], ints("", [0, 2])], { keepdims: 0 }],
  ["ReduceSum", [[2, 3]], { noop_with_empty_axes: 1 }],
  ["ArgMax", [[2, 3]], { axis: 1, keepdims: 0 }],
  ["ArgMin", [[2, 3]], { axis: -1 }],
  ["Cast", [[2, 3]], { to: 7 }],
  ["Cast", [index(2)], { to: 11 }],
  ["BatchNormalization", [[2, 3, 4], [3], [3], [3], [3]]],
  ["InstanceNormalization", [[2, 3, 4], [3], [3]]],
  ["LayerNormalization", [[2, 3, 4], [4], [4]]],
  [
    "LayerNormalization",
    [
      [2, 3, 4],
      [3, 4],
    ],
    { axis: 1 },
  ],
  ["GroupNormalization", [[2, 4, 3], [4], [4]], { num_groups: 2 }, 21],
  ["Dropout", [[2, 3]], {}, 17, "y m"],
  ["QuantizeLinear", [[2, 3], floats("", [], [0.1]), { name: "", dtype: "int8", dims: [], data: Int8Array.of(0) }]],
  ["DequantizeLinear", [{ dtype: "int8", dims: [2, 3] }, floats("", [3], [1, 2, 3])], { axis: 1 }],
  [
    "MatMul",
    [
      [2, 3],
      [3, 4],
    ],
  ],
  ["MatMul", [[3], [3, 4]]],
  ["MatMul", [[2, 3], [3]]],
  [
    "MatMul",
    [
      [5, 1, 2, 3],
      [7, 3, 4],
    ],
  ],
  ["Gemm", [[3, 2], [4, 3], [4]], { transA: 1, transB: 1 }],
  [
    "Einsum",
    [
      [2, 3, 4],
      [2, 5, 4],
    ],
    { equation: "bqd,bkd->bqk" },
  ],
  ["Einsum", [[2, 3]], { equation: "ij->j" }],
  ["Conv", [[2, 3, 9, 8], [4, 3, 3, 2], [4]], { strides: [2, 1], pads: [1, 0, 2, 1] }],
  [
    "Conv",
    [
      [2, 4, 9],
      [6, 2, 3],
    ],
    { group: 2, dilations: [2] },
  ],
  [
    "Conv",
    [
      [1, 3, 8, 7],
      [2, 3, 3, 3],
    ],
    { auto_pad: "SAME_UPPER", strides: [2, 2] },
  ],
  [
    "Conv",
    [
      [1, 3, 8, 7],
      [2, 3, 3, 3],
    ],
    { auto_pad: "VALID" },
  ],
  ["MaxPool", [[2, 3, 9, 8]], { kernel_shape: [3, 2], strides: [2, 2], pads: [1, 1, 1, 0] }],
  ["MaxPool", [[2, 3, 10]], { kernel_shape: [3], strides: [2], ceil_mode: 1 }],
  ["MaxPool", [[2, 3, 9]], { kernel_shape: [2], strides: [3], ceil_mode: 1, pads: [1, 1] }],
  ["AveragePool", [[2, 3, 9, 8]], { kernel_shape: [3, 3] }],
  ["LpPool", [[2, 3, 9, 8]], { kernel_shape: [3, 3], strides: [3, 3] }],
  ...["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"].map((op): Case => [op, [[2, 3, 4, 5]]]),
  ["Reshape", [[2, 3, 4], ints("", [0, -1])]],
  ["Reshape", [[2, 3, 4], ints("", [4, 1, 6])]],
  ["Flatten", [[2, 3, 4]], { axis: 2 }],
  ["Flatten", [[2, 3, 4]], { axis: 3 }],
  ["Squeeze", [[2, 1, 4, 1], ints("", [-1])]],
  ["Squeeze", [[2, 1, 4, 1]]],
  ["Squeeze", [[2, 1]], { axes: [1] }, 11],
  ["Unsqueeze", [[2, 3], ints("", [0, -1])]],
  ["Unsqueeze", [[2, 3]], { axes: [1] }, 11],
  ["Transpose", [[2, 3, 4]], { perm: [2, 0, 1] }],
  ["Transpose", [[2, 3, 4]]],
  ["Transpose", [ints("", [1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2])], { perm: [2, 0, 1] }],
  ["Expand", [[2, 1], ints("", [3, 1, 4])]],
  ["Tile", [[2, 3], ints("", [2, 1])]],
  [
    "Concat",
    [
      [2, 3],
      [2, 1],
    ],
    { axis: -1 },
  ],
  ["Split", [[2, 7], ints("", [3, 4])], { axis: 1 }, 17, "x y"],
  ["Split", [[6, 2]], {}, 17, "x y z"],
  ["Split", [[2, 7]], { axis: 1, num_outputs: 3 }, 18, "x y z"],
  ["Split", [[2, 7]], { axis: 1, split: [3, 4] }, 11, "x y"],
  ["Slice", [[5, 6], ints("", [1]), ints("", [2 ** 63]), ints("", [1]), ints("", [2])]],
  ["Slice", [[5, 6], ints("", [-1, 3]), ints("", [-(2 ** 63), -100]), ints("", [0, 1]), ints("", [-2, -1])]],
  ["Slice", [[5, 6], ints("", [1, 2]), ints("", [-1, 100])]],
  [
    "Slice",
    [
      ints("", [1, 2, 3, 4, 5, 6], [2, 3]),
      ints("", [-1, 0]),
      ints("", [-(2 ** 63), 3]),
      ints("", [0, 1]),
      ints("", [-1, 2]),
    ],
  ],
  ["Gather", [[5, 6], ints("", [0, 4, -1])], { axis: 1 }],
  ["Gather", [[5, 6], ints("", [2], [])]],
  ["Gather", [[5, 6], index(2, 3)]],
  ["GatherElements", [[3, 4], index(3, 2)], { axis: 1 }],
  ["Pad", [[2, 3], ints("", [0, 1, 0, 2])]],
  ["Pad", [[2, 3], ints("", [0, 1, 0, 2])], { mode: "reflect" }],
  ["Pad", [[2, 3], ints("", [1, 2]), floats("", [], [0]), ints("", [-1])], {}, 18],
  ["Shape", [[2, 3, 4]]],
  ["Shape", [[2, 3, 4]], { start: -2, end: 3 }],
  ["Size", [[2, 3]]],
  ["ConstantOfShape", [ints("", [2, 3])]],
  ["ConstantOfShape", [ints("", [3])], { value: { kind: "tensor", value: ints("", [-1]) } }],
  ["Constant", [], { value: { kind: "tensor", value: floats("", [2, 2]) } }],
  ["Constant", [], { value_ints: [1, 2] }],
  ["Range", [ints("", [1], []), ints("", [10], []), ints("", [3], [])]],
  ["OneHot", [index(2, 3), ints("", [5], []), [2]], { axis: 1 }],
  ["TopK", [[2, 5], ints("", [3])], { axis: -1 }, 17, "v i"],
  ["Trilu", [[2, 3, 3]]],
  ["CumSum", [[2, 3], ints("", [1], [])]],
];

describe("shapes before anything is run", () => {
  it.each(cases.map(whole))("$op of $given is what ONNX Runtime makes", async ({ node: one, given, opset }) => {
    const made = inferred(one, given, opset);
    const results = await run(one, given, opset);
    expect(made.map(({ dtype, shape }) => ({ dtype, shape }))).toEqual(
      results.map(({ type, dims }) => ({ dtype: type, shape: dims })),
    );
    for (const [k, { data }] of made.entries()) {
      if (data) expect(Array.from(results[k]!.data as BigInt64Array, Number)).toEqual(data);
    }
  });

  it("follow the whole numbers that exporters make shapes of", () => {
    const nodes = [
      node("Shape", "x", "shape"),
      node("Gather", "shape zero", "rows"),
      node("Unsqueeze", "rows first", "rows1"),
      node("Slice", "shape one two", "columns"),
      node("Mul", "columns two", "doubled"),
      node("Div", "doubled two", "halved"),
      node("Concat", "rows1 halved minus", "target", { axis: 0 }),
      node("ConstantOfShape", "three", "ones", { value: { kind: "tensor", value: ints("", [1]) } }),
      node("Equal", "target minus", "open"),
      node("Where", "open ones target", "expanded"),
      node("Reshape", "x target", "y"),
      node("Expand", "y expanded", "z"),
    ];
    const constants = [
      ints("zero", [0], []),
      ints("first", [0]),
      ints("one", [1]),
      ints("two", [2]),
      ints("minus", [-1]),
      ints("three", [3]),
    ];
    const given = new Map(constants.map((tensor) => [tensor.name, constantOf(tensor)]));
    given.set("x", { dtype: "float32", shape: [5, 4, 2] });
    const { values } = measure(nodes, given, 17, ENOUGH, "x");
    expect(values.get("target")!.data).toEqual([5, 4, -1]);
    expect(values.get("expanded")!.data).toEqual([5, 4, 1]);
    expect(values.get("z")!.shape).toEqual([5, 4, 2]);
  });

  it("follow the matrix in which PyTorch turns around the pads that it was given", () => {
    const nodes = [
      node("ConstantOfShape", "four", "zeros", { value: { kind: "tensor", value: ints("", [0]) } }),
      node("Concat", "pads zeros", "all", { axis: 0 }),
      node("Reshape", "all pairs", "matrix"),
      node("Slice", "matrix minus least first minus", "reversed"),
      node("Transpose", "reversed", "turned", { perm: [1, 0] }),
      node("Reshape", "turned minus", "row"),
      node("Cast", "row", "onnx", { to: 7 }),
      node("Pad", "x onnx", "y"),
    ];
    const constants = [
      ints("four", [4]),
      ints("pads", [1, 2, 3, 4]),
      ints("pairs", [-1, 2]),
      ints("minus", [-1]),
      ints("least", [1 - 2 ** 63]),
      ints("first", [0]),
    ];
    const given = new Map(constants.map((tensor) => [tensor.name, constantOf(tensor)]));
    given.set("x", { dtype: "float32", shape: [5, 3, 9, 8] });
    const { values } = measure(nodes, given, 17, ENOUGH, "x");
    expect(values.get("reversed")).toMatchObject({ shape: [4, 2], data: [0, 0, 0, 0, 3, 4, 1, 2] });
    expect(values.get("onnx")!.data).toEqual([0, 0, 3, 1, 0, 0, 4, 2]);
    expect(values.get("y")!.shape).toEqual([5, 3, 16, 11]);
  });

  it("count what products and convolutions multiply", () => {
    const given = new Map([
      ["x", { dtype: "float32" as const, shape: [2, 3, 9, 9] }],
      ["k", { dtype: "float32" as const, shape: [4, 3, 3, 3] }],
      ["w", { dtype: "float32" as const, shape: [196, 5] }],
    ]);
    const nodes = [node("Conv", "x k", "c"), node("Flatten", "c", "f"), node("MatMul", "f w", "y")];
    const { macs, numbers } = measure(nodes, given, 17, ENOUGH, "x");
    expect(macs).toBe(2 * 4 * 49 * 27 + 2 * 196 * 5);
    expect(numbers).toBe(2 * 4 * 49 * 2 + 10);
  });
});

describe("a node that cannot be right or is no node of a policy", () => {
  const image: Given = [1, 3, 8, 8];
  const refused: readonly (readonly [problem: string, ...one: Case])[] = [
    ["is an operator that is not known", "Frobnicate", [[1]]],
    ["is an operator that is not known", "constructor", [[1]]],
    ["has no input 1", "Relu", []],
    ["joins shapes [2, 3] and [2]", "Add", [[2, 3], [2]]],
    ["divides whole numbers by what is not known to be above 0", "Div", [index(2), index(2)]],
    ["divides whole numbers by what is not known to be above 0", "Mod", [index(2), ints("", [2, 0])]],
    ["divides whole numbers by what is not known to be above 0", "Div", [index(1), ints("", [-1])]],
    [
      "multiplies [2, 3] by [4, 3]",
      "MatMul",
      [
        [2, 3],
        [4, 3],
      ],
    ],
    ["multiplies what is no matrix", "Gemm", [[2], [2, 2]]],
    ["has axis 2 of 2", "Softmax", [[2, 3]], { axis: 2 }],
    ["has axis -3 of 2", "ArgMax", [[2, 3]], { axis: -3 }],
    ["names an axis twice", "Transpose", [[2, 3]], { perm: [0, 0] }],
    ["has keepdims 2, expected 0 or 1", "ReduceMean", [[2, 3]], { keepdims: 2 }],
    [
      "has transB -1, expected 0 or 1",
      "Gemm",
      [
        [2, 3],
        [3, 3],
      ],
      { transB: -1 },
    ],
    ["takes numbers of shape [1, 1], expected a row", "Reshape", [[2, 3], ints("", [6], [1, 1])]],
    ["does not name every axis", "Transpose", [[2, 3]], { perm: [0] }],
    ["makes a shape of numbers that are not known before it runs", "Reshape", [[2, 3], index(2)]],
    ["makes a value of shape [4, 1.5]", "Reshape", [[2, 3], ints("", [4, -1])]],
    ["makes [-1, -1] of [2, 3]", "Reshape", [[2, 3], ints("", [-1, -1])]],
    ["makes a value of shape [2, -5]", "ConstantOfShape", [ints("", [2, -5])]],
    ["makes a value of shape [2, 0]", "Slice", [[2, 3], ints("", [5]), ints("", [9]), ints("", [1])]],
    ["makes a value of 9 dimensions", "ConstantOfShape", [ints("", new Array<number>(9).fill(1))]],
    ["makes too much", "ConstantOfShape", [ints("", [2 ** 20, 2 ** 20])]],
    ["makes too much", "Expand", [[1], ints("", [2 ** 40])]],
    ["makes a value of shape", "Expand", [[1], ints("", [2 ** 63])]],
    ["makes too much", "Tile", [[1], ints("", [2 ** 30])]],
    ["makes too much", "Pad", [[1], ints("", [2 ** 30, 2 ** 30])]],
    ["makes too much", "Add", [[2 ** 20, 1], [2 ** 20]]],
    ["makes too much", "OneHot", [index(2), ints("", [2 ** 40], []), [2]]],
    ["counts to", "Range", [ints("", [0], []), ints("", [2 ** 40], []), ints("", [1], [])]],
    ["has a step of 0", "Range", [ints("", [0], []), ints("", [1], []), ints("", [0], [])]],
    [
      "computes too much",
      "MatMul",
      [
        [2 ** 12, 2 ** 14],
        [2 ** 14, 2 ** 12],
      ],
    ],
    [
      "has starts, ends, axes and steps that do not fit",
      "Slice",
      [[2], ints("", [0]), ints("", [1]), ints("", [0]), ints("", [0])],
    ],
    ["takes what is beyond 5", "Gather", [[5], ints("", [5])]],
    ["takes what is beyond its values", "GatherElements", [[3, 4], index(4, 4)], { axis: 1 }],
    ["splits 7 into 3 and 3", "Split", [[7], ints("", [3, 3])], {}, 17, "x y"],
    [
      "joins values of other shapes",
      "Concat",
      [
        [2, 3],
        [3, 3],
      ],
      { axis: 1 },
    ],
    ["pads by 3 and 0 (reflect)", "Pad", [[2, 3], ints("", [0, 3, 0, 0])], { mode: "reflect" }],
    ["pads by -1 and 0 (constant)", "Pad", [[3], ints("", [-1, 0])]],
    ["takes images of 4 channels", "Conv", [image, [2, 4, 3, 3]]],
    ["takes images of 6 channels", "Conv", [image, [2, 3, 3, 3]], { group: 2 }],
    ["has a window that does not fit", "Conv", [image, [2, 3, 3, 3]], { strides: [0, 1] }],
    ["has a window that does not fit", "Conv", [image, [2, 3, 3, 3]], { pads: [0, 0, -1, 0] }],
    ["makes a value of shape", "Conv", [image, [2, 3, 9, 9]]],
    ["makes too much", "Conv", [image, [2, 3, 1, 1]], { pads: [1e6, 1e6, 0, 0] }],
    ["pads more than its window", "MaxPool", [image], { kernel_shape: [2, 2], pads: [2, 0, 0, 0] }],
    ["is in training", "BatchNormalization", [[2, 3], [3], [3], [3], [3]], { training_mode: 1 }],
    [
      "may be in training",
      "Dropout",
      [[2], floats("", [], [0.5]), { name: "", dtype: "bool", dims: [], data: Uint8Array.of(1) }],
    ],
    ["has parameters of shape [4]", "LayerNormalization", [[2, 3], [4]]],
    ["takes the first 4 of 3", "TopK", [[3], ints("", [4])], {}, 17, "v i"],
    [
      "joins sizes 3 and 2",
      "Einsum",
      [
        [2, 3],
        [2, 2],
      ],
      { equation: "ij,jk->ik" },
    ],
    ["names a result that is not there", "Einsum", [[2, 3]], { equation: "ij->k" }],
    ["makes numbers of a type that is not known", "Cast", [[2]], { to: 8 }],
    ["could run for ever", "Loop", [[1]]],
    ["could run for ever", "If", [[1]]],
    ["remembers what came before", "LSTM", [[1, 2, 3]]],
    ["draws random numbers", "RandomNormalLike", [[2]]],
    ["makes as many numbers as the observation wants", "NonZero", [[2]]],
    ["has more outputs than are known", "MaxPool", [image], { kernel_shape: [2, 2] }, 17, "y indices"],
  ];

  it.each(refused.map(([problem, ...one]) => ({ problem, ...whole(one) })))(
    "is refused: it $problem ($op)",
    ({ problem, node: one, given, opset }) => {
      const infer = () => inferred(one, given, opset);
      expect(infer).toThrow(FileError);
      expect(infer).toThrow(problem);
    },
  );
});

import fc from "fast-check";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { specOf } from "../../src/environment/registry.ts";
import { box } from "../../src/environment/spaces.ts";
import { policyToOnnx } from "../../src/exporting/onnx.ts";
import { blackBoxFromOnnx } from "../../src/importing/black-box.ts";
import { policyFromForeignOnnx } from "../../src/importing/foreign-onnx.ts";
import { describe as layersOf } from "../../src/network/architecture.ts";
import type { Policy } from "../../src/network/policy.ts";
import { predictor } from "../../src/network/predict.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";
import type { OnnxNode, OnnxTensor } from "../../src/tensor/onnx-model.ts";
import { decodeModel } from "../../src/tensor/onnx-reader.ts";
import { convolutional } from "../arbitraries.ts";
import { floats, ints, modelOf, node } from "./fixtures/graphs.ts";
import { randomPolicy } from "./fixtures/policies.ts";

const read = (file: Uint8Array, environment?: Parameters<typeof policyFromForeignOnnx>[2]["environment"]): Policy =>
  policyFromForeignOnnx(decodeModel(file, "x"), "x", environment ? { environment } : {});

/** Images of bytes as the model takes them, and as the policy does: channels first. */
function images(count: number, [height, width, channels]: readonly [number, number, number], last: boolean) {
  const random = new Pcg64(9);
  const given = Uint8Array.from({ length: count * height * width * channels }, () => random.integer(256));
  if (!last) return { given, first: Float32Array.from(given) };
  const first = new Float32Array(given.length);
  for (let n = 0; n < count; n++) {
    for (let pixel = 0; pixel < height * width; pixel++) {
      for (let c = 0; c < channels; c++) {
        first[(n * channels + c) * height * width + pixel] = given[(n * height * width + pixel) * channels + c]!;
      }
    }
  }
  return { given, first };
}

/** Largest difference of a policy's outputs from those of a model, in sizes of the largest output. */
async function errorOf(file: Uint8Array, policy: Policy, last = false, rows = 1000): Promise<number> {
  const session = await InferenceSession.create(file);
  const [channels = 0, height = 0, width = 0] = policy.architecture.input;
  const { given, first } = images(rows, [height, width, channels], last);
  const shape = last ? [rows, height, width, channels] : [rows, channels, height, width];
  const [name = ""] = session.inputNames;
  const tensor = last ? new Tensor("uint8", given, shape) : new Tensor("float32", Float32Array.from(given), shape);
  const results = await session.run({ [name]: tensor });
  const expected = results[session.outputNames[0]!]!.data as Float32Array;
  const predict = predictor(policy);
  const size = first.length / rows;
  let error = 0;
  let largest = 1;
  for (let row = 0; row < rows; row++) {
    for (const [k, value] of predict(first.subarray(row * size, (row + 1) * size)).entries()) {
      const wanted = expected[(row * expected.length) / rows + k]!;
      error = Math.max(error, Math.abs(value - wanted));
      largest = Math.max(largest, Math.abs(wanted));
    }
  }
  await session.release();
  return error / largest;
}

const value = (name: string, dims: readonly (number | string)[], dtype: "float32" | "uint8" = "float32") => ({
  name,
  dtype,
  dims,
});

/** x [n, 3, 9, 8], divided by 255, through these nodes, to y [n, 4]. */
function graph(nodes: readonly OnnxNode[], initializers: readonly OnnxTensor[]): Uint8Array {
  return modelOf({
    inputs: [value("x", ["n", 3, 9, 8])],
    outputs: [value("y", ["n", 4])],
    nodes: [node("Div", "x most", "scaled"), ...nodes, node("Flatten", "r", "f"), node("Gemm", "f d b", "y")],
    initializers: [floats("most", [], [255]), floats("b", [4]), ...initializers],
  });
}

const filters = floats("w", [2, 3, 3, 2]);
/** Behind a convolution "c" of 2 filters: relu, then a dense layer for so many numbers. */
const behind = (numbers: number): [OnnxNode, OnnxTensor] => [node("Relu", "c", "r"), floats("d", [numbers, 4])];

describe("an ONNX model with convolutions becomes a copy", () => {
  it("of any that PoPS itself writes, its name taken off: equal layers, equal numbers", () => {
    fc.assert(
      fc.property(convolutional, (architecture) => {
        const policy = randomPolicy(architecture);
        const written = decodeModel(policyToOnnx(policy, { action: false }), "x");
        const copy = policyFromForeignOnnx({ ...written, metadata: {} }, "x", {});
        expect(layersOf(copy.architecture)).toBe(layersOf(architecture));
        expect(copy.parameters).toEqual(policy.parameters);
      }),
    );
  });

  it.each<[string, string, number, OnnxNode[], OnnxTensor[]]>([
    ["3x9x8-2c3x2s1-4", "neither stride nor padding", 98, [node("Conv", "scaled w", "c")], []],
    [
      "3x9x8-2c3x2s2x1p1.0.2.1-4",
      "strides, padding and biases",
      80,
      [node("Conv", "scaled w e", "c", { strides: [2, 1], pads: [1, 0, 2, 1], kernel_shape: [3, 2] })],
      [floats("e", [2])],
    ],
    [
      "3x9x8-2c3x2s2p1.0.1.0-4",
      "as many zeros as keep the size, the odd one last",
      40,
      [node("Conv", "scaled w", "c", { strides: [2, 2], auto_pad: "SAME_UPPER" })],
      [],
    ],
    [
      "3x9x8-2c3x2s1p1.1.1.0-4",
      "as many zeros as keep the size, the odd one first",
      144,
      [node("Conv", "scaled w", "c", { auto_pad: "SAME_LOWER" })],
      [],
    ],
    [
      "3x9x8-2c3x2s1p1.0.2.1-4",
      "zeros put around",
      160,
      [node("Pad", "scaled pads zero", "k"), node("Conv", "k w", "c")],
      [ints("pads", [0, 0, 1, 0, 0, 0, 2, 1]), floats("zero", [], [0])],
    ],
    [
      "3x9x8-2c3x2s2p2.1.1.1-4",
      "zeros put around beside its own",
      50,
      [node("Pad", "scaled pads", "k"), node("Conv", "k w", "c", { strides: [2, 2], pads: [1, 1, 0, 1] })],
      [ints("pads", [0, 0, 1, 0, 0, 0, 1, 0])],
    ],
    [
      "3x9x8-2c3x2s1-4",
      "a normalisation of batches behind it",
      98,
      [node("Conv", "scaled w", "k"), node("BatchNormalization", "k g h m v", "c")],
      [floats("g", [2]), floats("h", [2]), floats("m", [2]), floats("v", [2], [0.5, 3])],
    ],
    [
      "3x9x8-2c3x2s1-4",
      "biases and factors of channels as nodes of their own",
      98,
      [node("Conv", "scaled w", "k"), node("Add", "k g", "l"), node("Mul", "l h", "c")],
      [floats("g", [1, 2, 1, 1]), floats("h", [2, 1, 1])],
    ],
  ])("%s: %s", async (expected, _what, numbers, nodes, tensors) => {
    const [relu, matrix] = behind(numbers);
    const file = graph([...nodes, relu], [filters, matrix, ...tensors]);
    const policy = read(file);
    expect(layersOf(policy.architecture)).toBe(expected);
    expect(policy.architecture.normalization?.deviation[0]).toBeCloseTo(255, 10);
    expect(await errorOf(file, policy)).toBeLessThan(1e-5);
  });

  const around = { pads: [1, 1, 1, 1] };
  const batches = (channels: number): OnnxTensor[] => [
    floats("g", [channels], [0.5, 2, 0.25].slice(0, channels)),
    floats("h", [channels]),
    floats("m", [channels]),
    floats("v", [channels], [0.5, 3, 1].slice(0, channels)),
  ];

  it.each<[string, OnnxNode[], OnnxTensor[]]>([
    [
      "a mean and a deviation of each channel",
      [node("Sub", "scaled m", "k"), node("Div", "k v", "l")],
      [floats("m", [3, 1, 1]), floats("v", [1, 3, 1, 1], [0.2, 0.5, 3])],
    ],
    ["a normalisation of batches", [node("BatchNormalization", "scaled g h m v", "l")], batches(3)],
    [
      "a mean of each pixel, and a limit",
      [node("Sub", "scaled m", "k"), node("Clip", "k low high", "l")],
      [floats("m", [3, 9, 8]), floats("low", [], [-0.5]), floats("high", [], [0.5])],
    ],
  ])("that normalises observations by %s, around which there are zeros", async (_, nodes, tensors) => {
    const [relu, matrix] = behind(162);
    const file = graph([...nodes, node("Conv", "l w", "c", around), relu], [filters, matrix, ...tensors]);
    const policy = read(file);
    expect(layersOf(policy.architecture)).toBe("3x9x8-2c3x2s1p1-4");
    expect(policy.architecture.normalization?.mean).toHaveLength(216);
    expect(await errorOf(file, policy)).toBeLessThan(1e-5);
    expect(await errorOf(policyToOnnx(policy), policy)).toBeLessThan(1e-5);
  });

  it.each<[string, number, OnnxNode[], OnnxTensor[]]>([
    ["in front of a dense layer", 98, [node("BatchNormalization", "l g h m v", "r")], batches(2)],
    [
      "in front of a dense layer that takes the channels last",
      98,
      [node("BatchNormalization", "l g h m v", "n"), node("Transpose", "n", "r", { perm: [0, 2, 3, 1] })],
      batches(2),
    ],
    [
      "in front of a convolution",
      50,
      [node("BatchNormalization", "l g h m v", "n"), node("Conv", "n u", "r")],
      [floats("u", [2, 2, 3, 3]), ...batches(2)],
    ],
    [
      "in front of a convolution that puts zeros around, as a factor alone",
      98,
      [node("Mul", "l g", "n"), node("Conv", "n u", "r", around)],
      [floats("u", [2, 2, 3, 3]), floats("g", [2, 1, 1])],
    ],
  ])("that rescales channels behind an activation, %s", async (_, numbers, nodes, tensors) => {
    const [, matrix] = behind(numbers);
    const front = [node("Conv", "scaled w", "c"), node("Relu", "c", "l")];
    const file = graph([...front, ...nodes], [filters, matrix, ...tensors]);
    expect(await errorOf(file, read(file))).toBeLessThan(1e-5);
  });

  it("of which a Pad names the axes", async () => {
    const file = modelOf(
      {
        inputs: [value("x", ["n", 3, 9, 8])],
        outputs: [value("y", ["n", 4])],
        nodes: [
          node("Pad", "x pads _ axes", "k"),
          node("Conv", "k w", "c"),
          node("Flatten", "c", "f"),
          node("Gemm", "f d", "y"),
        ],
        initializers: [filters, floats("d", [144, 4]), ints("pads", [1, 0, 1, 1]), ints("axes", [-1, 2])],
      },
      { opset: 18 },
    );
    const policy = read(file);
    expect(layersOf(policy.architecture)).toBe("3x9x8-2c3x2s1p0.1.1.1-4");
    expect(await errorOf(file, policy)).toBeLessThan(1e-5);
  });

  const turningOf = ([height, width, channels]: readonly [number, number, number]): Uint8Array => {
    const numbers = 2 * (height - 2) * (width - 1);
    return modelOf({
      inputs: [value("x", ["n", height, width, channels], "uint8")],
      outputs: [value("y", ["n", 4])],
      nodes: [
        node("Cast", "x", "numbers", { to: 1 }),
        node("Transpose", "numbers", "first", { perm: [0, 3, 1, 2] }),
        node("Conv", "first w", "c"),
        node("Relu", "c", "r"),
        node("Transpose", "r", "last", { perm: [0, 2, 3, 1] }),
        node("Reshape", "last s", "f"),
        node("MatMul", "f d", "y"),
      ],
      initializers: [filters, floats("d", [numbers, 4]), ints("s", [-1, numbers])],
    });
  };
  const turning = turningOf([9, 8, 3]);
  /** TensorFlow's way to bring one channel to the front. */
  const unturned = modelOf({
    inputs: [value("x", ["n", 12, 18, 1])],
    outputs: [value("y", ["n", 3])],
    nodes: [node("Reshape", "x s", "i"), node("Conv", "i w", "c"), node("Flatten", "c", "f"), node("Gemm", "f d", "y")],
    initializers: [ints("s", [-1, 1, 12, 18]), floats("w", [2, 1, 3, 2]), floats("d", [340, 3])],
  });

  it("where TensorFlow has the channels last, in front and behind", async () => {
    const policy = read(turning);
    expect(layersOf(policy.architecture)).toBe("3x9x8-2c3x2s1-4");
    expect(policy.provenance).toMatchObject({ flatten: "hwc (as the file says)" });
    expect(await errorOf(turning, policy, true)).toBeLessThan(1e-5);
  });

  it("where channels are normalised behind the turn, and so is what it writes", async () => {
    const model = modelOf({
      inputs: [value("x", ["n", 9, 8, 3], "uint8")],
      outputs: [value("y", ["n", 4])],
      nodes: [
        node("Cast", "x", "numbers", { to: 1 }),
        node("Transpose", "numbers", "first", { perm: [0, 3, 1, 2] }),
        node("Sub", "first m", "centred"),
        node("Div", "centred v", "scaled"),
        node("Conv", "scaled w", "c", around),
        node("Flatten", "c", "f"),
        node("MatMul", "f d", "y"),
      ],
      initializers: [
        filters,
        floats("d", [162, 4]),
        floats("m", [3, 1, 1], [124, 116, 104]),
        floats("v", [3, 1, 1], [58, 57, 60]),
      ],
    });
    const policy = read(model);
    expect(await errorOf(model, policy, true)).toBeLessThan(1e-5);
    expect(await errorOf(policyToOnnx(policy), policy, true)).toBeLessThan(1e-5);
  });

  it("that is called as the model is: bytes, the channels last", async () => {
    const policy = read(turning);
    const written = policyToOnnx(policy);
    expect(decodeModel(written, "x").graph.inputs).toMatchObject([value("x", ["n", 9, 8, 3], "uint8")]);
    expect(await errorOf(written, policy, true)).toBeLessThan(1e-5);
  });

  it("that is called so even when no convolution is left", async () => {
    const { interface: face } = read(turning);
    const dense = randomPolicy({
      input: [3, 9, 8],
      layers: [{ kind: "dense", units: 4, activation: "none" }],
      head: "q-values",
    });
    const policy = { ...dense, interface: face! };
    expect(await errorOf(policyToOnnx(policy), policy, true)).toBeLessThan(1e-5);
  });

  it.each<[string, OnnxNode, OnnxTensor]>([
    ["another shape of images", node("Reshape", "x s", "shaped"), ints("s", [-1, 3, 6, 12])],
    ["TensorFlow's way to turn images of one channel", node("Reshape", "x s", "shaped"), ints("s", [-1, 1, 12, 18])],
    ["an axis put in", node("Unsqueeze", "x s", "shaped"), ints("s", [1])],
  ])("that is called as a model with %s in front", async (_, reshaping, sizes) => {
    const shape = reshaping.opType === "Unsqueeze" ? [1, 12, 18] : Array.from(sizes.data, Number).slice(1);
    const [channels = 0, height = 0, width = 0] = shape;
    const dims = reshaping.opType === "Unsqueeze" ? [12, 18] : [12, 18, 1];
    const model = modelOf({
      inputs: [value("x", ["n", ...dims])],
      outputs: [value("y", ["n", 4])],
      nodes: [reshaping, node("Conv", "shaped w", "c"), node("Flatten", "c", "f"), node("Gemm", "f d", "y")],
      initializers: [sizes, floats("w", [2, channels, 3, 2]), floats("d", [2 * (height - 2) * (width - 1), 4])],
    });
    const policy = read(model);
    expect(policy.architecture.input).toEqual(shape);
    const written = policyToOnnx(policy);
    expect(decodeModel(written, "x").graph.inputs).toEqual(decodeModel(model, "x").graph.inputs);
    const x = Float32Array.from({ length: 3 * 216 }, (_, k) => Math.sin(k));
    const results = await Promise.all(
      [model, written].map(async (file) => {
        const session = await InferenceSession.create(file);
        const { y } = await session.run({ x: new Tensor("float32", x, [3, ...dims]) });
        return Array.from(y!.data as Float32Array);
      }),
    );
    for (const [k, number] of results[1]!.entries()) expect(number).toBeCloseTo(results[0]![k]!, 4);
  });

  it.each<[string, number[], Uint8Array]>([
    ["the channels last too", [9, 8, 3], turning],
    ["the channels last too, be they as many as rows and columns", [3, 3, 3], turningOf([3, 3, 3])],
    ["one channel last, which a model only reshapes", [12, 18, 1], unturned],
    ["no channels", [12, 18], unturned],
  ])("not where the environment has %s: then the model is played as it is", async (_, shape, model) => {
    const environment = { ...specOf("Pong-v0"), observationSpace: box(0, 255, shape) };
    expect(() => read(model, environment)).toThrow("as the environment gives them");
    const played = await blackBoxFromOnnx(model, "x", { environment }, "");
    expect(played.architecture.input).toEqual(shape);
  });

  it("where the environment has the channels first, as the policy", () => {
    const environment = { ...specOf("Pong-v0"), observationSpace: box(0, 255, [3, 9, 8]) };
    expect(read(turning, environment).architecture.input).toEqual([3, 9, 8]);
  });

  it.each<[string, OnnxNode[]]>([
    [
      "x.view(x.size(0), -1)",
      [node("Gather", "shape zero", "n"), node("Unsqueeze", "n axes", "m"), node("Concat", "m rest", "s", { axis: 0 })],
    ],
    ["a slice of the shape", [node("Slice", "shape axes one", "m"), node("Concat", "m rest", "s", { axis: 0 })]],
  ])("that flattens by a shape which it computes: %s", async (_, computing) => {
    const file = modelOf({
      inputs: [value("x", ["n", 3, 9, 8])],
      outputs: [value("y", ["n", 4])],
      nodes: [
        node("Conv", "x w", "c"),
        node("Shape", "c", "shape"),
        ...computing,
        node("Reshape", "c s", "f"),
        node("Gemm", "f d", "y"),
      ],
      initializers: [
        filters,
        floats("d", [98, 4]),
        ints("zero", [0], []),
        ints("axes", [0]),
        ints("one", [1]),
        ints("rest", [-1]),
      ],
    });
    const policy = read(file);
    expect(layersOf(policy.architecture)).toBe("3x9x8-2c3x2s1-4");
    expect(await errorOf(file, policy)).toBeLessThan(1e-5);
  });

  it("of a model that takes a fixed number of images at once", () => {
    const file = modelOf({
      inputs: [value("x", [5, 3, 9, 8])],
      outputs: [value("y", [5, 4])],
      nodes: [node("Conv", "x w", "c"), node("Reshape", "c s", "f"), node("Gemm", "f d", "y")],
      initializers: [filters, floats("d", [98, 4]), ints("s", [5, 98])],
    });
    const policy = read(file);
    expect(layersOf(policy.architecture)).toBe("3x9x8-2c3x2s1-4");
    expect(decodeModel(policyToOnnx(policy), "x").graph.inputs).toEqual(decodeModel(file, "x").graph.inputs);
  });
});

describe("an ONNX model with convolutions is no sequence of layers", () => {
  it.each<[string, OnnxNode[], OnnxTensor[], string]>([
    [
      "ones put around",
      [node("Pad", "scaled pads one", "k"), node("Conv", "k w", "c")],
      [filters, ints("pads", [0, 0, 1, 1, 0, 0, 1, 1]), floats("one", [], [1])],
      "pads by other than zeros around images",
    ],
    [
      "reflections put around",
      [node("Pad", "scaled pads", "k", { mode: "reflect" }), node("Conv", "k w", "c")],
      [filters, ints("pads", [0, 0, 1, 1, 0, 0, 1, 1])],
      "pads by other than zeros around images",
    ],
    [
      "channels put beside others",
      [node("Pad", "scaled pads", "k"), node("Conv", "k w", "c")],
      [floats("w", [2, 4, 3, 2]), ints("pads", [0, 1, 0, 0, 0, 0, 0, 0])],
      "pads by other than zeros around images",
    ],
    [
      "pixels taken off",
      [node("Pad", "scaled pads", "k"), node("Conv", "k w", "c")],
      [filters, ints("pads", [0, 0, -1, 0, 0, 0, 0, 0])],
      "pads by other than zeros around images",
    ],
    [
      "zeros put around what is no convolution's",
      [node("Pad", "scaled pads", "k"), node("Relu", "k", "l"), node("Conv", "l w", "c")],
      [floats("w", [2, 3, 4, 2]), ints("pads", [0, 0, 1, 0, 0, 0, 0, 0])],
      "pads what no convolution takes",
    ],
    ["groups", [node("Conv", "scaled w", "c", { group: 3 })], [floats("w", [3, 1, 3, 2])], "groups of channels"],
    ["dilated kernels", [node("Conv", "scaled w", "c", { dilations: [2, 1] })], [filters], "dilated kernels"],
    [
      "pooling",
      [node("Conv", "scaled w", "k"), node("MaxPool", "k", "c", { kernel_shape: [2, 2] })],
      [filters],
      "is not understood",
    ],
    ["a branch", [node("Conv", "scaled w", "k"), node("Add", "k k", "c")], [filters], "joins two values"],
    ["other channels", [node("Conv", "scaled w", "c")], [floats("w", [2, 4, 3, 2])], "takes 4 channels, gets 3"],
    [
      "a factor below 0 in front",
      [node("Mul", "scaled p", "k"), node("Conv", "k w", "c")],
      [filters, floats("p", [3, 1, 1], [1, -1, 1])],
      "follows a rescaling that is no normalisation",
    ],
    [
      "zeros around images that a normalisation of batches shifted",
      [
        node("Conv", "scaled w", "k"),
        node("Relu", "k", "l"),
        node("BatchNormalization", "l g h m v", "n"),
        node("Conv", "n u", "c", { pads: [1, 1, 1, 1] }),
      ],
      [
        filters,
        floats("u", [2, 2, 3, 3]),
        ...["g", "h", "m"].map((name) => floats(name, [2])),
        floats("v", [2], [0.5, 3]),
      ],
      "puts zeros around images that are shifted",
    ],
    [
      "limited statistics of pixels in front of a turn",
      [
        node("Div", "scaled p", "k"),
        node("Clip", "k low high", "l"),
        node("Transpose", "l", "m", { perm: [0, 3, 1, 2] }),
        node("Conv", "m w", "c"),
      ],
      [
        floats("w", [14, 8, 3, 3]),
        floats(
          "p",
          [3, 9, 8],
          Array.from({ length: 216 }, (_, k) => k + 1),
        ),
        floats("low", [], [-3]),
        floats("high", [], [3]),
      ],
      "another rescaling than one of all pixels",
    ],
    [
      "a shape of more numbers than there are axes",
      [node("Conv", "scaled w", "k"), node("Concat", "p p", "s", { axis: 0 }), node("Reshape", "k s", "c")],
      [filters, floats("p", [200])],
      "makes a shape of 200 numbers",
    ],
    [
      "numbers of pixels",
      [node("Conv", "scaled w", "k"), node("Add", "k p", "c")],
      [filters, floats("p", [2, 7, 7])],
      "rescales pixels",
    ],
    [
      "a turn that no layer needs",
      [node("Conv", "scaled w", "k"), node("Transpose", "k", "c", { perm: [0, 2, 1, 3] })],
      [filters],
      "turns other than the channels",
    ],
    ["images cut", [node("Conv", "scaled w", "c", { pads: [-1, 0, 0, 0] })], [filters], "cuts its images"],
    [
      "a kernel larger than the images",
      [node("Conv", "scaled w", "c")],
      [floats("w", [2, 3, 10, 2])],
      "larger than its images",
    ],
  ])("with %s", (_name, nodes, tensors, why) => {
    const [relu, matrix] = behind(98);
    expect(() => read(graph([...nodes, relu], [matrix, ...tensors]))).toThrow(why);
  });
});

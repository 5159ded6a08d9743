import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { expect, it } from "vitest";
import { FileError } from "../../src/errors.ts";
import { policyToOnnx } from "../../src/exporting/onnx.ts";
import { policyFromOnnx } from "../../src/importing/onnx.ts";
import { NO_DIGEST, seal } from "../../src/seal.ts";
import { encodeModel, type OnnxModel } from "../../src/tensor/onnx-model.ts";
import { decodeModel } from "../../src/tensor/onnx-reader.ts";
import { small } from "./fixtures/policies.ts";

const model: OnnxModel = {
  irVersion: 10,
  opset: 21,
  producerName: "someone",
  producerVersion: "1",
  metadata: { __proto__0: "a", constructor: "b" },
  graph: {
    name: "g",
    nodes: [
      {
        opType: "Everything",
        name: "n",
        inputs: ["x", "", "c"],
        outputs: ["y"],
        attributes: {
          int: { kind: "int", value: -3 },
          ints: { kind: "ints", values: [0, -1, 2 ** 53 - 1, 2 ** 63, -(2 ** 63)] },
          float: { kind: "float", value: 0.5 },
          floats: { kind: "floats", values: [-0.25, 4] },
          string: { kind: "string", value: "größer" },
          tensor: { kind: "tensor", value: { name: "", dtype: "int64", dims: [2], data: [-5, 2 ** 40] } },
        },
      },
    ],
    initializers: [
      { name: "f", dtype: "float32", dims: [1, 2], data: Float32Array.of(-0, Number.NaN) },
      { name: "i", dtype: "int32", dims: [], data: Int32Array.of(-1) },
      { name: "b", dtype: "bool", dims: [3], data: Uint8Array.of(1, 0, 1) },
      { name: "d", dtype: "float64", dims: [1], data: Float64Array.of(0.1) },
      { name: "h", dtype: "float16", dims: [1], data: Uint16Array.of(0x3c00) },
      { name: "s", dtype: "int8", dims: [2], data: Int8Array.of(-128, 127) },
      { name: "u", dtype: "uint8", dims: [1], data: Uint8Array.of(255) },
      { name: "e", dtype: "float32", dims: [0, 7], data: new Float32Array(0) },
    ],
    inputs: [{ name: "x", dtype: "float32", dims: ["batch", 3, ""] }],
    outputs: [
      { name: "y", dtype: "bool", dims: [] },
      { name: "z", dtype: "float64" },
    ],
  },
};

it("reads back everything that is written", () => {
  expect(decodeModel(encodeModel(model), "x")).toEqual(model);
});

it("reads a model that stands unaligned in a Buffer", () => {
  const bytes = encodeModel(model);
  const shifted = Buffer.alloc(bytes.length + 1);
  shifted.set(bytes, 1);
  expect(decodeModel(shifted.subarray(1), "x")).toEqual(model);
});

type Write = (writer: BinaryWriter) => unknown;

function message(field: number, write: Write): Write {
  return (writer) => {
    writer.tag(field, WireType.LengthDelimited).fork();
    write(writer);
    writer.join();
  };
}

const text =
  (field: number, value: string): Write =>
  (writer) =>
    writer.tag(field, WireType.LengthDelimited).string(value);
const varint =
  (field: number, value: number | bigint): Write =>
  (writer) =>
    writer.tag(field, WireType.Varint).int64(value);
const raw =
  (field: number, ...bytes: number[]): Write =>
  (writer) =>
    writer.tag(field, WireType.LengthDelimited).bytes(Uint8Array.from(bytes));

const all =
  (...writes: Write[]): Write =>
  (writer) => {
    for (const write of writes) write(writer);
  };

const opset = message(8, varint(2, 21));

function bytesOf(...writes: Write[]): Uint8Array {
  const writer = new BinaryWriter();
  all(...writes)(writer);
  return writer.finish();
}

/** A model whose graph holds one initializer "t" of these fields. */
function withTensor(...fields: Write[]): Uint8Array {
  return bytesOf(message(7, message(5, all(text(8, "t"), ...fields))), opset);
}

function withNode(...fields: Write[]): Uint8Array {
  return bytesOf(message(7, message(1, all(text(3, "n"), text(4, "Op"), ...fields))), opset);
}

it("reads packed numbers and the typed data fields that other exporters use", () => {
  const floats = bytesOf((writer) => writer.float(1.5).float(-2));
  const doubles = bytesOf((writer) => writer.double(0.1).double(-3));
  const bytes = bytesOf(
    message(
      7,
      all(
        message(5, all(raw(1, 2), varint(2, 1), raw(4, ...floats))),
        message(5, all(raw(1, 2), varint(2, 6), raw(5, 1, 2))),
        message(5, all(varint(1, 2), varint(2, 7), varint(7, -1), varint(7, 3))),
        message(5, all(varint(1, 1), varint(2, 9), varint(5, 1))),
        message(5, all(varint(1, 1), varint(2, 10), varint(5, 0x3c00))),
        message(5, all(varint(1, 2), varint(2, 11), raw(10, ...doubles))),
        message(5, all(varint(1, 2), varint(2, 3), varint(5, -1), varint(5, 127))),
      ),
    ),
    opset,
  );
  expect(decodeModel(bytes, "x").graph.initializers.map(({ dtype, data }) => [dtype, [...data]])).toEqual([
    ["float32", [1.5, -2]],
    ["int32", [1, 2]],
    ["int64", [-1, 3]],
    ["bool", [1]],
    ["float16", [0x3c00]],
    ["float64", [0.1, -3]],
    ["int8", [-1, 127]],
  ]);
});

it("keeps the ends of int64, which exporters write for the end of an axis", () => {
  const ends = { name: "i", dtype: "int64", dims: [2], data: [2 ** 63, -(2 ** 63)] } as const;
  const bytes = encodeModel({ ...model, graph: { ...model.graph, initializers: [ends] } });
  expect(Buffer.from(bytes).includes(Buffer.from("ffffffffffffff7f0000000000000080", "hex"))).toBe(true);
  expect(decodeModel(bytes, "x").graph.initializers).toEqual([ends]);
});

it("skips subgraphs, however deep, and says which node has one", () => {
  // 100,000 graphs inside of each other, of which none is looked into.
  const deep = withNode(
    message(5, all(text(1, "body"), varint(20, 5), raw(6, ...new Array<number>(100_000).fill(0x0a)))),
  );
  const { nodes } = decodeModel(deep, "x").graph;
  expect(nodes).toMatchObject([{ opType: "Op", attributes: {}, unread: "body" }]);
});

it("skips fields that it does not know", () => {
  const unknown = all(varint(100, 1), text(101, "?"), (writer) => writer.tag(102, WireType.Bit64).double(1));
  const bytes = bytesOf(unknown, message(7, all(unknown, text(2, "g"))), opset, text(6, "doc"));
  expect(decodeModel(bytes, "x").graph.name).toBe("g");
});

it("takes metadata keys of the prototype as any other", () => {
  const bytes = bytesOf(message(7, text(2, "g")), opset, message(14, all(text(1, "__proto__"), text(2, "x"))));
  expect(Object.entries(decodeModel(bytes, "x").metadata)).toEqual([["__proto__", "x"]]);
});

it.each([
  ["an empty file", new Uint8Array(0), "no graph found"],
  ["a file that is no protobuf", Buffer.from("PK\u0003\u0004 a zip archive"), "byte 2: "],
  ["a truncated file", encodeModel(model).subarray(0, 100), "byte "],
  ["a length beyond the file", Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f), "byte 0: "],
  ["a varint that never ends", new Uint8Array(1000).fill(0xff), "byte 0: "],
  ["a group", Uint8Array.of(0x3b, 0x3c), "groups are not supported"],
  ["100,000 nested groups", new Uint8Array(100_000).fill(0x3b), "groups are not supported"],
  ["field number 0", Uint8Array.of(0x00, 0x00), "byte 0: "],
  ["a number where a message belongs", bytesOf(varint(7, 1)), "field 7 has wire type 0, expected 2"],
  ["text that is not UTF-8", bytesOf(raw(2, 0xff, 0xfe)), "field 2"],
  ["two graphs", bytesOf(message(7, text(2, "a")), message(7, text(2, "b")), opset), "two graphs"],
  ["no operator set", bytesOf(message(7, text(2, "a"))), "no version of the default operator set"],
  [
    "a metadata key twice",
    bytesOf(message(14, text(1, "k")), message(14, text(1, "k"))),
    'metadata key "k" stands twice',
  ],
  ["functions", bytesOf(message(25, text(1, "f"))), "functions are not supported"],
  [
    "external data",
    withTensor(varint(1, 1), varint(2, 1), message(13, text(1, "location"))),
    "in another file, which is refused",
  ],
  [
    "an external data location",
    withTensor(varint(1, 1), varint(2, 1), varint(14, 1)),
    "in another file, which is refused",
  ],
  [
    "fewer bytes than the shape needs",
    withTensor(varint(1, 2), varint(2, 1), raw(9, 0, 0, 0, 0)),
    'tensor "t": holds 4 bytes',
  ],
  ["no data", withTensor(varint(1, 2 ** 40), varint(2, 1)), "holds 0 elements"],
  ["dimensions that overflow", withTensor(varint(1, 2 ** 40), varint(1, 2 ** 40), varint(2, 1)), "too large"],
  ["a negative dimension", withTensor(varint(1, -1), varint(2, 1)), "negative dimension"],
  ["a dimension beyond 2^53", withTensor(varint(1, 2n ** 62n), varint(2, 1)), "beyond 2^53"],
  ["too many dimensions", withTensor(raw(1, ...new Array<number>(17).fill(1)), varint(2, 1)), "17 dimensions"],
  ["another element type", withTensor(varint(1, 0), varint(2, 16)), "element type 16 is not supported"],
  ["an int8 of 200", withTensor(varint(1, 1), varint(2, 3), varint(5, 200)), "a number is no int8"],
  ["packed doubles of 7 bytes", withTensor(varint(2, 11), raw(10, 0, 0, 0, 0, 0, 0, 0)), "no packed doubles"],
  ["a boolean of 2", withTensor(varint(1, 1), varint(2, 9), raw(9, 2)), "neither 0 nor 1"],
  [
    "very many int64",
    withTensor(varint(1, 2 ** 25), varint(2, 7)),
    "has 33554432 int64 numbers, at most 16777216 are read",
  ],
  ["an int64 beyond 2^53", withTensor(varint(1, 1), varint(2, 7), raw(9, 0, 0, 0, 0, 0, 0, 0, 0x7f)), "beyond 2^53"],
  ["packed floats of 3 bytes", withTensor(varint(1, 1), varint(2, 1), raw(4, 0, 0, 0)), "no packed floats"],
  ["an attribute twice", withNode(...[1, 2].map(() => message(5, all(text(1, "a"), varint(20, 2))))), "stands twice"],
  ["an operator of another domain", withNode(text(7, "evil")), 'node "n": operator Op of domain "evil"'],
  ["an input without a type", bytesOf(message(7, message(11, text(1, "x"))), opset), '"x" has no tensor type'],
  [
    "an input without a shape",
    bytesOf(message(7, message(11, all(text(1, "x"), message(2, message(1, varint(1, 1)))))), opset),
    '"x" has no tensor shape',
  ],
  [
    "sparse initializers",
    bytesOf(message(7, message(15, text(1, "x"))), opset),
    "sparse initializers are not supported",
  ],
])("refuses %s", (_name, bytes, problem) => {
  expect(() => decodeModel(bytes, "evil.onnx")).toThrow(FileError);
  expect(() => decodeModel(bytes, "evil.onnx")).toThrow(/^evil\.onnx: byte \d+: /);
  expect(() => decodeModel(bytes, "evil.onnx")).toThrow(problem);
});

it("refuses a file of millions of tiny fields, which would fill the memory", () => {
  const nodes = new Uint8Array(3_000_000);
  for (let at = 0; at < nodes.length; at += 2) nodes[at] = 0x0a;
  const bytes = bytesOf((writer) => writer.tag(7, WireType.LengthDelimited).bytes(nodes));
  expect(() => decodeModel(bytes, "x")).toThrow("holds more than 1000000 fields");
});

it("refuses an ONNX model of others and says which are read", () => {
  expect(() => policyFromOnnx(encodeModel(model), "foreign.onnx")).toThrow(FileError);
  expect(() => policyFromOnnx(encodeModel(model), "foreign.onnx")).toThrow(
    "only ONNX files that PoPS exported can be read",
  );
});

const own = decodeModel(policyToOnnx(small), "x");
const { pops = "" } = own.metadata;

function sealed(changes: Partial<OnnxModel["graph"]>): Uint8Array {
  const metadata = { pops, sha256: NO_DIGEST };
  const bytes = encodeModel({ ...own, metadata, graph: { ...own.graph, ...changes } });
  seal(bytes, bytes.length - NO_DIGEST.length);
  return bytes;
}

const [first, ...rest] = own.graph.initializers;

it.each([
  ["a missing initializer", { initializers: rest }, 'tensor "dense_1.weight" is missing'],
  ["an initializer twice", { initializers: [first!, ...own.graph.initializers] }, "stands twice"],
  [
    "an initializer of integers",
    {
      initializers: [
        { name: "dense_1.weight", dtype: "int32" as const, dims: [3, 4], data: new Int32Array(12) },
        ...rest,
      ],
    },
    "has type int32",
  ],
  [
    "NaN",
    { initializers: [{ ...first!, dtype: "float32" as const, data: new Float32Array(12).fill(Number.NaN) }, ...rest] },
    "weight 0 of layer dense_1 is NaN",
  ],
])("refuses an own export with %s", (_name, changes, problem) => {
  expect(() => policyFromOnnx(sealed(changes), "evil")).toThrow(FileError);
  expect(() => policyFromOnnx(sealed(changes), "evil")).toThrow(problem);
});

it("refuses an own export without its digest", () => {
  const bytes = encodeModel({ ...own, metadata: { pops } });
  expect(() => policyFromOnnx(bytes, "x")).toThrow("has no sha256");
});

it("refuses every single flipped bit", () => {
  const bytes = policyToOnnx(small);
  for (let at = 0; at < 8 * bytes.length; at += 1) {
    const flipped = bytes.slice();
    flipped[at >> 3] = flipped[at >> 3]! ^ (1 << (at & 7));
    expect(() => policyFromOnnx(flipped, "x")).toThrow(FileError);
  }
});

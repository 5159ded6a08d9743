import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/**
 * The part of an ONNX ModelProto that PoPS writes and reads: one graph of nodes of the default domain, tensors of the types
 * below, no functions or external data; subgraphs are skipped. Field numbers are those of the ONNX standard (onnx.proto, IR
 * version 10); onnxruntime 1.30 runs `irVersion` 10 and `opset` 21.
 */
export interface OnnxModel {
  readonly irVersion: number;
  /** Version of the default operator set. */
  readonly opset: number;
  readonly producerName: string;
  readonly producerVersion: string;
  readonly graph: OnnxGraph;
  /** `metadata_props`. */
  readonly metadata: Readonly<Record<string, string>>;
}

export interface OnnxGraph {
  readonly name: string;
  /** In an order in which every input is made before it is used. */
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  readonly inputs: readonly Required<OnnxValue>[];
  readonly outputs: readonly OnnxValue[];
}

export interface OnnxNode {
  readonly opType: string;
  readonly name: string;
  /** Names of values; an empty name leaves out an optional one. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
  /** An attribute that was not read: a subgraph, a sparse tensor. Who needs the node has to refuse it. */
  readonly unread?: string;
}

export type OnnxAttribute =
  | { readonly kind: "int"; readonly value: number }
  | { readonly kind: "ints"; readonly values: readonly number[] }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "floats"; readonly values: readonly number[] }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "tensor"; readonly value: OnnxTensor };

/**
 * A constant tensor, row-major. `dims` [] is a scalar with one element. Booleans are bytes 0 and 1, numbers of float16 their
 * bits. The ends of int64, which exporters write for "to the end", are ±2^63.
 */
export type OnnxTensor = { readonly name: string; readonly dims: readonly number[] } & (
  | { readonly dtype: "float32"; readonly data: Float32Array }
  | { readonly dtype: "float64"; readonly data: Float64Array }
  | { readonly dtype: "float16" | "uint16"; readonly data: Uint16Array }
  | { readonly dtype: "int8"; readonly data: Int8Array }
  | { readonly dtype: "int32"; readonly data: Int32Array }
  | { readonly dtype: "int64"; readonly data: readonly number[] }
  | { readonly dtype: "uint8" | "bool"; readonly data: Uint8Array }
);

export type OnnxDtype = OnnxTensor["dtype"];

/** Sizes of an input or output: numbers, or names of those that are known when the model runs. */
export type OnnxDims = readonly (number | string)[];

/** An input or output of the graph. An output may leave its sizes open. */
export interface OnnxValue {
  readonly name: string;
  readonly dtype: OnnxDtype;
  readonly dims?: OnnxDims;
}

/** TensorProto.DataType and bytes an element. */
export const DTYPES = {
  float32: { code: 1, bytes: 4 },
  uint8: { code: 2, bytes: 1 },
  int8: { code: 3, bytes: 1 },
  uint16: { code: 4, bytes: 2 },
  int32: { code: 6, bytes: 4 },
  int64: { code: 7, bytes: 8 },
  bool: { code: 9, bytes: 1 },
  float16: { code: 10, bytes: 2 },
  float64: { code: 11, bytes: 8 },
} as const;

/** AttributeProto.AttributeType. */
export const ATTRIBUTE_CODES = { float: 1, int: 2, string: 3, tensor: 4, floats: 6, ints: 7 } as const;

function writeMessage(writer: BinaryWriter, field: number, write: (writer: BinaryWriter) => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write(writer);
  writer.join();
}

function writeString(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value);
}

/** The ends of int64; as numbers they are ±2^63, of which the upper one is one too many. */
const INT64 = { least: -(2n ** 63n), most: 2n ** 63n - 1n };
/** From here on a float64 that stands for an int64 can only be an end of it. */
const INT64_END = 2 ** 63;

function int64Of(value: number): bigint {
  return value >= INT64_END ? INT64.most : value <= -INT64_END ? INT64.least : BigInt(value);
}

function writeInt(writer: BinaryWriter, field: number, value: number): void {
  writer.tag(field, WireType.Varint).int64(Math.abs(value) < INT64_END ? value : int64Of(value));
}

function rawBytes(tensor: OnnxTensor): Uint8Array {
  const data = tensor.dtype === "int64" ? BigInt64Array.from(tensor.data, int64Of) : tensor.data;
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function writeTensor(writer: BinaryWriter, tensor: OnnxTensor): void {
  for (const dim of tensor.dims) writeInt(writer, 1, dim);
  writeInt(writer, 2, DTYPES[tensor.dtype].code);
  if (tensor.name !== "") writeString(writer, 8, tensor.name);
  writer.tag(9, WireType.LengthDelimited).bytes(rawBytes(tensor));
}

function writeAttribute(writer: BinaryWriter, name: string, attribute: OnnxAttribute): void {
  writeString(writer, 1, name);
  switch (attribute.kind) {
    case "float":
      writer.tag(2, WireType.Bit32).float(attribute.value);
      break;
    case "int":
      writeInt(writer, 3, attribute.value);
      break;
    case "string":
      writeString(writer, 4, attribute.value);
      break;
    case "tensor":
      writeMessage(writer, 5, (inner) => {
        writeTensor(inner, attribute.value);
      });
      break;
    case "floats":
      for (const value of attribute.values) writer.tag(7, WireType.Bit32).float(value);
      break;
    case "ints":
      for (const value of attribute.values) writeInt(writer, 8, value);
      break;
  }
  writeInt(writer, 20, ATTRIBUTE_CODES[attribute.kind]);
}

function writeNode(writer: BinaryWriter, node: OnnxNode): void {
  for (const input of node.inputs) writeString(writer, 1, input);
  for (const output of node.outputs) writeString(writer, 2, output);
  if (node.name !== "") writeString(writer, 3, node.name);
  writeString(writer, 4, node.opType);
  for (const [name, attribute] of Object.entries(node.attributes)) {
    writeMessage(writer, 5, (inner) => {
      writeAttribute(inner, name, attribute);
    });
  }
}

function writeValue(writer: BinaryWriter, value: OnnxValue): void {
  writeString(writer, 1, value.name);
  writeMessage(writer, 2, (type) => {
    writeMessage(type, 1, (tensor) => {
      writeInt(tensor, 1, DTYPES[value.dtype].code);
      const { dims } = value;
      if (dims === undefined) return;
      writeMessage(tensor, 2, (shape) => {
        for (const dim of dims) {
          writeMessage(shape, 1, (inner) => {
            if (typeof dim === "number") writeInt(inner, 1, dim);
            else if (dim !== "") writeString(inner, 2, dim);
          });
        }
      });
    });
  });
}

function writeGraph(writer: BinaryWriter, graph: OnnxGraph): void {
  for (const node of graph.nodes) {
    writeMessage(writer, 1, (inner) => {
      writeNode(inner, node);
    });
  }
  writeString(writer, 2, graph.name);
  for (const tensor of graph.initializers) {
    writeMessage(writer, 5, (inner) => {
      writeTensor(inner, tensor);
    });
  }
  for (const [field, values] of [[11, graph.inputs] as const, [12, graph.outputs] as const]) {
    for (const value of values) {
      writeMessage(writer, field, (inner) => {
        writeValue(inner, value);
      });
    }
  }
}

/** The model as the bytes of an `.onnx` file. Equal models give equal bytes. */
export function encodeModel(model: OnnxModel): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter();
  writeInt(writer, 1, model.irVersion);
  writeString(writer, 2, model.producerName);
  writeString(writer, 3, model.producerVersion);
  writeMessage(writer, 7, (inner) => {
    writeGraph(inner, model.graph);
  });
  writeMessage(writer, 8, (inner) => {
    writeString(inner, 1, "");
    writeInt(inner, 2, model.opset);
  });
  for (const [key, value] of Object.entries(model.metadata)) {
    writeMessage(writer, 14, (inner) => {
      writeString(inner, 1, key);
      writeString(inner, 2, value);
    });
  }
  return writer.finish();
}

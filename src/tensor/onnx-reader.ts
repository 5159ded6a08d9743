import type { FileError } from "../errors.ts";
import {
  ATTRIBUTE_CODES,
  DTYPES,
  type OnnxAttribute,
  type OnnxDtype,
  type OnnxGraph,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
  type OnnxValue,
} from "./onnx-model.ts";
import { type Field, fieldsOf, fileSpan, type Span, safeInteger, spanError } from "./protobuf.ts";

const MAX_RANK = 16;
/** Numbers of a tensor of int64, which become ordinary ones; those of policies are shapes and places. */
const MAX_INT64 = 2 ** 24;

/** Keys come from the file, so the record has no prototype that a key could reach. */
function recordOf<T>(): Record<string, T> {
  return Object.create(null) as Record<string, T>;
}

/** The type of a TensorProto.DataType, if it is one that is read. */
export function dtypeOfCode(code: number): OnnxDtype | undefined {
  return (Object.keys(DTYPES) as OnnxDtype[]).find((dtype) => DTYPES[dtype].code === code);
}

function dtypeOf(span: Span, code: number): OnnxDtype {
  const dtype = dtypeOfCode(code);
  if (dtype !== undefined) return dtype;
  throw spanError(span, `element type ${code} is not supported, expected one of ${Object.keys(DTYPES).join(", ")}`);
}

function readDim(field: Field): number {
  const dim = field.int();
  if (dim < 0) throw field.error(`dimension ${dim} is negative`);
  return dim;
}

/** Elements that the dimensions claim; refuses products beyond 2^53 so that no later check can overflow. */
function elementsOf(error: (message: string) => FileError, dims: readonly number[]): number {
  if (dims.length > MAX_RANK) throw error(`${dims.length} dimensions, at most ${MAX_RANK} are supported`);
  const elements = dims.reduce((product, dim) => product * dim, 1);
  if (!Number.isSafeInteger(elements)) throw error(`dimensions [${dims.join(", ")}] are too large`);
  return elements;
}

function readTensor(span: Span): OnnxTensor {
  const dims: number[] = [];
  let name = "";
  let code = 0;
  let raw: Span | undefined;
  const floats: Float32Array[] = [];
  const doubles: Float64Array[] = [];
  const int32s: number[][] = [];
  const int64s: number[][] = [];
  for (const field of fieldsOf(span)) {
    if (field.number === 1) dims.push(...field.ints().slice(0, MAX_RANK + 1));
    else if (field.number === 2) code = field.int();
    else if (field.number === 4) floats.push(field.floats());
    else if (field.number === 5) int32s.push(field.ints());
    else if (field.number === 7) int64s.push(field.ints());
    else if (field.number === 8) name = field.string();
    else if (field.number === 9) raw = field.span();
    else if (field.number === 10) doubles.push(field.doubles());
    else if (field.number === 13 || (field.number === 14 && field.int() !== 0)) {
      throw field.error(
        "the tensor's numbers are in another file, which is refused; store them inside the model (torch.onnx.export: external_data=False)",
      );
    }
  }
  const refuse = (message: string): FileError => spanError(span, `tensor "${name}": ${message}`);
  const dtype = dtypeOf(span, code);
  if (dims.some((dim) => dim < 0)) throw refuse(`negative dimension in [${dims.join(", ")}]`);
  const elements = elementsOf(refuse, dims);
  const expect = (found: number, expected: number, unit: string): void => {
    if (found !== expected) throw refuse(`holds ${found} ${unit}, shape [${dims.join(", ")}] needs ${expected}`);
  };
  if (dtype === "int64" && elements > MAX_INT64)
    throw refuse(`has ${elements} int64 numbers, at most ${MAX_INT64} are read`);
  const buffer = raw && new Uint8Array(raw.bytes).buffer;
  if (buffer !== undefined) expect(buffer.byteLength, elements * DTYPES[dtype].bytes, "bytes");
  /** Numbers of the types that have no field of their own. */
  const small = <T extends Int8Array | Int32Array | Uint8Array | Uint16Array>(type: {
    from: (values: readonly number[]) => T;
    new (bytes: ArrayBuffer): T;
  }): T => {
    if (buffer !== undefined) return new type(buffer);
    const values = int32s.flat();
    const data = type.from(values);
    if (values.some((value, i) => value !== data[i])) throw refuse(`a number is no ${dtype}`);
    return data;
  };
  const tensor = ((): OnnxTensor => {
    switch (dtype) {
      case "float32":
        return { name, dims, dtype, data: buffer ? new Float32Array(buffer) : joined(Float32Array, floats) };
      case "float64":
        return { name, dims, dtype, data: buffer ? new Float64Array(buffer) : joined(Float64Array, doubles) };
      case "int64": {
        const data = buffer ? Array.from(new BigInt64Array(buffer), safeInteger) : int64s.flat();
        if (!data.every((value) => value !== undefined)) throw refuse("an int64 element is beyond 2^53");
        return { name, dims, dtype, data };
      }
      case "int32":
        return { name, dims, dtype, data: small(Int32Array) };
      case "int8":
        return { name, dims, dtype, data: small(Int8Array) };
      case "float16":
      case "uint16":
        return { name, dims, dtype, data: small(Uint16Array) };
      case "uint8":
        return { name, dims, dtype, data: small(Uint8Array) };
      case "bool": {
        const data = small(Uint8Array);
        if (data.some((value) => value > 1)) throw refuse("a boolean is neither 0 nor 1");
        return { name, dims, dtype, data };
      }
    }
  })();
  expect(tensor.data.length, elements, "elements");
  return tensor;
}

function joined<T extends Float32Array | Float64Array>(type: new (length: number) => T, parts: readonly T[]): T {
  const whole = new type(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Name and value; no value where the type is another one, of a subgraph for example: its bytes are skipped. */
function readAttribute(span: Span): [string, OnnxAttribute?] {
  let name = "";
  let code = 0;
  let float = 0;
  let int = 0;
  let string = "";
  let tensor: OnnxTensor | undefined;
  const floats: number[] = [];
  const ints: number[] = [];
  for (const field of fieldsOf(span)) {
    if (field.number === 1) name = field.string();
    else if (field.number === 2) float = field.float();
    else if (field.number === 3) int = field.int();
    else if (field.number === 4) string = field.string();
    else if (field.number === 5) tensor = readTensor(field.span());
    else if (field.number === 7) for (const value of field.floats()) floats.push(value);
    else if (field.number === 8) for (const value of field.ints()) ints.push(value);
    else if (field.number === 20) code = field.int();
  }
  if (code === ATTRIBUTE_CODES.float) return [name, { kind: "float", value: float }];
  if (code === ATTRIBUTE_CODES.int) return [name, { kind: "int", value: int }];
  if (code === ATTRIBUTE_CODES.string) return [name, { kind: "string", value: string }];
  if (code === ATTRIBUTE_CODES.tensor && tensor !== undefined) return [name, { kind: "tensor", value: tensor }];
  if (code === ATTRIBUTE_CODES.floats) return [name, { kind: "floats", values: floats }];
  if (code === ATTRIBUTE_CODES.ints) return [name, { kind: "ints", values: ints }];
  return [name];
}

/** Inputs and outputs of a node or a graph, each of which may be looked for in all others. */
const MAX_VALUES = 256;

function readNode(span: Span): OnnxNode {
  const inputs: string[] = [];
  const outputs: string[] = [];
  let name = "";
  let opType = "";
  let domain = "";
  let unread: string | undefined;
  const attributes = recordOf<OnnxAttribute>();
  for (const field of fieldsOf(span)) {
    if (field.number === 1) inputs.push(field.string());
    else if (field.number === 2) outputs.push(field.string());
    else if (field.number === 3) name = field.string();
    else if (field.number === 4) opType = field.string();
    else if (field.number === 5) {
      const [key, attribute] = readAttribute(field.span());
      if (key in attributes) throw field.error(`node "${name}": attribute "${key}" stands twice`);
      if (attribute) attributes[key] = attribute;
      else unread = key;
    } else if (field.number === 7) domain = field.string();
  }
  if (domain !== "" && domain !== "ai.onnx") {
    throw spanError(span, `node "${name}": operator ${opType} of domain "${domain}", only standard ones are supported`);
  }
  if (inputs.length > MAX_VALUES || outputs.length > MAX_VALUES) {
    throw spanError(
      span,
      `node "${name}" has ${inputs.length} inputs and ${outputs.length} outputs, at most ${MAX_VALUES} are read`,
    );
  }
  return { opType, name, inputs, outputs, attributes, ...(unread !== undefined && { unread }) };
}

function readShape(span: Span): (number | string)[] {
  const dims: (number | string)[] = [];
  for (const field of fieldsOf(span)) {
    if (field.number !== 1) continue;
    let dim: number | string = "";
    for (const inner of fieldsOf(field.span())) {
      if (inner.number === 1) dim = readDim(inner);
      else if (inner.number === 2) dim = inner.string();
    }
    dims.push(dim);
  }
  return dims;
}

function readValue(span: Span): OnnxValue {
  let name = "";
  let code = 0;
  let dims: (number | string)[] | undefined;
  for (const field of fieldsOf(span)) {
    if (field.number === 1) name = field.string();
    if (field.number !== 2) continue;
    for (const type of fieldsOf(field.span())) {
      if (type.number !== 1) continue;
      for (const tensor of fieldsOf(type.span())) {
        if (tensor.number === 1) code = tensor.int();
        else if (tensor.number === 2) dims = readShape(tensor.span());
      }
    }
  }
  if (code === 0) throw spanError(span, `input or output "${name}" has no tensor type`);
  return { name, dtype: dtypeOf(span, code), ...(dims && { dims }) };
}

function readGraph(span: Span): OnnxGraph {
  let name = "";
  const nodes: OnnxNode[] = [];
  const initializers: OnnxTensor[] = [];
  const inputs: Required<OnnxValue>[] = [];
  const outputs: OnnxValue[] = [];
  for (const field of fieldsOf(span)) {
    if (field.number === 1) nodes.push(readNode(field.span()));
    else if (field.number === 2) name = field.string();
    else if (field.number === 5) initializers.push(readTensor(field.span()));
    else if (field.number === 11) {
      const { name, dtype, dims } = readValue(field.span());
      if (dims === undefined) throw field.error(`input "${name}" has no tensor shape`);
      inputs.push({ name, dtype, dims });
    } else if (field.number === 12) outputs.push(readValue(field.span()));
    else if (field.number === 15) throw field.error("sparse initializers are not supported");
  }
  if (inputs.length + outputs.length > MAX_VALUES) {
    throw spanError(
      span,
      `the graph has ${inputs.length} inputs and ${outputs.length} outputs, at most ${MAX_VALUES} are read`,
    );
  }
  return { name, nodes, initializers, inputs, outputs };
}

function readPair(span: Span): [string, string] {
  let key = "";
  let value = "";
  for (const field of fieldsOf(span)) {
    if (field.number === 1) key = field.string();
    else if (field.number === 2) value = field.string();
  }
  return [key, value];
}

/** Version of the default operator set, or `undefined` for the entry of another domain. */
function readOpset(span: Span): number | undefined {
  let domain = "";
  let version = 0;
  for (const field of fieldsOf(span)) {
    if (field.number === 1) domain = field.string();
    else if (field.number === 2) version = field.int();
  }
  return domain === "" || domain === "ai.onnx" ? version : undefined;
}

/**
 * Reads an `.onnx` file. Only the structure is checked here: types, lengths, sizes. Memory stays proportional to the
 * file. Unknown fields are skipped; subgraphs are skipped; groups, functions, external data and other element types are refused.
 *
 * @throws FileError naming `path` and the byte.
 */
export function decodeModel(bytes: Uint8Array, path: string): OnnxModel {
  const file = fileSpan(path, bytes);
  let irVersion = 0;
  let opset: number | undefined;
  let producerName = "";
  let producerVersion = "";
  let graph: OnnxGraph | undefined;
  const metadata = recordOf<string>();
  for (const field of fieldsOf(file)) {
    if (field.number === 1) irVersion = field.int();
    else if (field.number === 2) producerName = field.string();
    else if (field.number === 3) producerVersion = field.string();
    else if (field.number === 7) {
      if (graph !== undefined) throw field.error("the model holds two graphs, expected one");
      graph = readGraph(field.span());
    } else if (field.number === 8) opset = readOpset(field.span()) ?? opset;
    else if (field.number === 14) {
      const [key, value] = readPair(field.span());
      if (key in metadata) throw field.error(`metadata key "${key}" stands twice`);
      metadata[key] = value;
    } else if (field.number === 25) throw field.error("model-local functions are not supported");
  }
  if (graph === undefined) throw spanError(file, "no graph found; this is not an ONNX model");
  if (opset === undefined) throw spanError(file, "no version of the default operator set found");
  return { irVersion, opset, producerName, producerVersion, graph, metadata };
}

import { ShapeError } from "../errors.ts";
import { sortNodes } from "./gradient.ts";
import type { Attributes, Node, Operation, Shape, Tensor } from "./graph.ts";
import { encodeModel, type OnnxAttribute, type OnnxNode, type OnnxTensor } from "./onnx-model.ts";

/** Operator set and IR version that ONNX Runtime 1.30 runs (released with ONNX 1.16). */
const OPSET = 21;
const IR_VERSION = 10;

/** Operations that are one ONNX operator of the same inputs and attributes. The rest is built in `emit`. */
const direct = {
  gemm: "Gemm",
  conv: "Conv",
  convTranspose: "ConvTranspose",
  add: "Add",
  sub: "Sub",
  mul: "Mul",
  div: "Div",
  minimum: "Min",
  maximum: "Max",
  neg: "Neg",
  relu: "Relu",
  tanh: "Tanh",
  sigmoid: "Sigmoid",
  exp: "Exp",
  log: "Log",
  sqrt: "Sqrt",
  abs: "Abs",
  transpose: "Transpose",
  gather: "Gather",
  concat: "Concat",
  greater: "Greater",
  less: "Less",
  equal: "Equal",
  where: "Where",
} as const satisfies Partial<Record<Operation, string>>;

const isDirect = (operation: Operation): operation is keyof typeof direct => Object.hasOwn(direct, operation);

/** TensorProto.DataType of the dtypes of a cast. */
const dtypeCodes = { float32: 1, uint8: 2, int32: 6, bool: 9 } as const;

function toAttributes(attributes: Attributes): Record<string, OnnxAttribute> {
  const entries = Object.entries(attributes).map(([key, value]): [string, OnnxAttribute] => [
    key,
    typeof value === "number" ? { kind: "int", value } : { kind: "ints", values: value },
  ]);
  return Object.fromEntries(entries);
}

/**
 * Writes an expression graph as an ONNX model whose inputs and outputs have the given names. Throws `ShapeError` when a
 * needed `input` has no name.
 */
export function toOnnx(
  inputs: Readonly<Record<string, Tensor>>,
  outputs: Readonly<Record<string, Tensor>>,
): Uint8Array {
  const nodes: OnnxNode[] = [];
  const initializers: OnnxTensor[] = [];
  const names = new Map<Tensor, string>();
  const scalars = new Map<string, string>();
  const taken = new Set([...Object.keys(inputs), ...Object.keys(outputs)]);
  let counter = 0;
  const fresh = (): string => {
    const name = `t${counter++}`;
    return taken.has(name) ? fresh() : name;
  };

  for (const [name, tensor] of Object.entries(inputs)) {
    if (tensor.node.operation !== "input")
      throw new ShapeError("onnx", `${name} is the result of ${tensor.node.operation}, not an input`);
    names.set(tensor, name);
  }
  // A result that is an output is written under the output's name at once: no copy at the end.
  const copies: [from: Tensor, to: string][] = [];
  for (const [name, tensor] of Object.entries(outputs)) {
    const aliased = ["input", "constant", "stopGradient"].includes(tensor.node.operation);
    if (aliased || names.has(tensor)) copies.push([tensor, name]);
    else names.set(tensor, name);
  }
  const nameOf = (tensor: Tensor): string => {
    const name = names.get(tensor);
    if (name === undefined)
      throw new ShapeError("onnx", `an input of shape [${tensor.shape.join(", ")}] is used but has no name`);
    return name;
  };
  const integers = (values: Shape): string => {
    const name = fresh();
    initializers.push({ name, dtype: "int64", dims: [values.length], data: [...values] });
    return name;
  };
  const push = (opType: string, from: readonly string[], to: readonly string[], attributes: Attributes = {}): void => {
    const name = `${opType}_${nodes.length}`;
    nodes.push({ opType, name, inputs: from, outputs: to, attributes: toAttributes(attributes) });
  };

  const emit = (node: Node): void => {
    const { operation, attributes } = node;
    if (operation === "input") return;
    const from = node.inputs.map(nameOf);
    const first = node.outputs[0]!;
    if (operation === "stopGradient") {
      names.set(first, from[0]!);
      return;
    }
    if (operation === "constant") {
      emitConstant(node, first);
      return;
    }
    const to = node.outputs.map((output) => {
      const name = names.get(output) ?? fresh();
      names.set(output, name);
      return name;
    });
    if (isDirect(operation)) {
      push(direct[operation], from, to, attributes);
      return;
    }
    switch (operation) {
      case "windowProduct":
        push("Gemm", from.slice(0, 3), to);
        return;
      case "sum":
      case "mean":
      case "max": {
        const axes = attributes["axes"] as Shape;
        const reducer = { sum: "ReduceSum", mean: "ReduceMean", max: "ReduceMax" }[operation];
        // An empty axes input would mean "all axes" to ONNX; here it means none.
        if (axes.length === 0) push("Identity", from, to);
        else push(reducer, [...from, integers(axes)], to, { keepdims: attributes["keepdims"]! });
        return;
      }
      case "softmax":
        push("Softmax", from, to, { axis: -1 });
        return;
      case "logSoftmax":
        push("LogSoftmax", from, to, { axis: -1 });
        return;
      case "argmax": {
        const wide = fresh();
        push("ArgMax", from, [wide], { axis: -1, keepdims: 0 });
        push("Cast", [wide], to, { to: dtypeCodes.int32 });
        return;
      }
      case "reshape":
        push("Reshape", [...from, integers(first.shape)], to, { allowzero: 1 });
        return;
      case "expand":
        push("Expand", [...from, integers(first.shape)], to);
        return;
      case "split":
        push("Split", [...from, integers(attributes["split"] as Shape)], to, { axis: attributes["axis"]! });
        return;
      case "cast":
        push("Cast", from, to, { to: dtypeCodes[first.dtype] });
        return;
    }
  };

  const emitConstant = (node: Node, tensor: Tensor): void => {
    const data = node.data!;
    const scalar = data.length === 1 && tensor.shape.length === 0 ? `${tensor.dtype} ${data[0]}` : undefined;
    const known = scalar === undefined ? undefined : scalars.get(scalar);
    const name = known ?? fresh();
    names.set(tensor, name);
    if (known !== undefined) return;
    if (scalar !== undefined) scalars.set(scalar, name);
    if (data instanceof Int32Array) initializers.push({ name, dtype: "int32", dims: tensor.shape, data });
    else initializers.push({ name, dtype: "float32", dims: tensor.shape, data });
  };

  for (const node of sortNodes(Object.values(outputs))) emit(node);
  for (const [tensor, name] of copies) push("Identity", [nameOf(tensor)], [name]);

  const value = ([name, tensor]: readonly [string, Tensor]) => ({ name, dtype: tensor.dtype, dims: tensor.shape });
  return encodeModel({
    irVersion: IR_VERSION,
    opset: OPSET,
    producerName: "pops-rl",
    producerVersion: "",
    metadata: {},
    graph: {
      name: "program",
      nodes,
      initializers,
      inputs: Object.entries(inputs).map(value),
      outputs: Object.entries(outputs).map(value),
    },
  });
}

import { ShapeError } from "../errors.ts";
import { sortNodes } from "./gradient.ts";
import type { Node, Operation, Shape, Tensor } from "./graph.ts";
import { encodeModel, type OnnxAttribute, type OnnxNode, type OnnxTensor } from "./onnx-model.ts";

/** Operator set and IR version that ONNX Runtime 1.30 runs (released with ONNX 1.16). */
export const OPSET = 21;
export const IR_VERSION = 10;

/** Operations that map to one ONNX operator of the same inputs. The rest is built in `emit`. */
const direct: Partial<Record<Operation, string>> = {
  gemm: "Gemm",
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
  softmax: "Softmax",
  logSoftmax: "LogSoftmax",
  transpose: "Transpose",
  concat: "Concat",
  greater: "Greater",
  less: "Less",
  equal: "Equal",
  where: "Where",
};

/** TensorProto.DataType of the dtypes of a cast. */
const dtypeCodes = { float32: 1, int32: 6, bool: 9 } as const;

function toAttribute(value: number | string | readonly number[]): OnnxAttribute {
  if (typeof value === "number") return { kind: "int", value };
  if (typeof value === "string") return { kind: "string", value };
  return { kind: "ints", values: value };
}

/**
 * Writes an expression graph as an ONNX model whose inputs and outputs have the given names. Throws `ShapeError` when a
 * needed `input` has no name.
 */
export function toOnnx(inputs: Readonly<Record<string, Tensor>>, outputs: Readonly<Record<string, Tensor>>): Uint8Array {
  const nodes: OnnxNode[] = [];
  const initializers: OnnxTensor[] = [];
  const names = new Map<Tensor, string>();
  const scalars = new Map<string, string>();
  let counter = 0;

  for (const [name, tensor] of Object.entries(inputs)) {
    if (tensor.node.operation !== "input") throw new ShapeError("onnx", `${name} is the result of ${tensor.node.operation}, not an input`);
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
    if (name === undefined) throw new ShapeError("onnx", `an input of shape [${tensor.shape.join(", ")}] is used but has no name`);
    return name;
  };
  const integers = (values: Shape): string => {
    const name = `i${counter++}`;
    initializers.push({ name, dtype: "int64", dims: [values.length], data: [...values] });
    return name;
  };
  const push = (opType: string, from: readonly string[], to: readonly string[], attributes: OnnxNode["attributes"] = {}): void => {
    nodes.push({ opType, name: `${opType}_${nodes.length}`, inputs: from, outputs: to, attributes });
  };

  const emit = (node: Node): void => {
    const from = node.inputs.map(nameOf);
    const first = node.outputs[0]!;
    if (node.operation === "stopGradient") {
      names.set(first, from[0]!);
      return;
    }
    if (node.operation === "constant") {
      emitConstant(node, first);
      return;
    }
    const to = node.outputs.map((output) => {
      const name = names.get(output) ?? `t${counter++}`;
      names.set(output, name);
      return name;
    });
    const attributes = Object.fromEntries(Object.entries(node.attributes).map(([key, value]) => [key, toAttribute(value)]));
    const operator = direct[node.operation];
    if (operator !== undefined) {
      const softmaxAxis = node.operation === "softmax" || node.operation === "logSoftmax";
      push(operator, from, to, softmaxAxis ? { axis: { kind: "int", value: -1 } } : attributes);
      return;
    }
    switch (node.operation) {
      case "sum":
      case "mean":
      case "max": {
        const { axes, keepdims } = node.attributes;
        const reducer = { sum: "ReduceSum", mean: "ReduceMean", max: "ReduceMax" }[node.operation];
        // An empty axes input would mean "all axes" to ONNX; here it means none.
        const nothing = (axes as Shape).length === 0;
        if (nothing) push("Identity", from, to);
        else push(reducer, [...from, integers(axes as Shape)], to, { keepdims: toAttribute(keepdims!) });
        return;
      }
      case "argmax": {
        const wide = `t${counter++}`;
        push("ArgMax", from, [wide], { axis: { kind: "int", value: -1 }, keepdims: { kind: "int", value: 0 } });
        push("Cast", [wide], to, { to: { kind: "int", value: dtypeCodes.int32 } });
        return;
      }
      case "reshape":
        push("Reshape", [...from, integers(first.shape)], to, { allowzero: { kind: "int", value: 1 } });
        return;
      case "expand":
        push("Expand", [...from, integers(first.shape)], to);
        return;
      case "split":
        push("Split", [...from, integers(node.attributes["split"] as Shape)], to, { axis: toAttribute(node.attributes["axis"]!) });
        return;
      case "cast":
        push("Cast", from, to, { to: { kind: "int", value: dtypeCodes[first.dtype] } });
        return;
      default:
        throw new ShapeError("onnx", `an input of shape [${first.shape.join(", ")}] is used but has no name`);
    }
  };

  const emitConstant = (node: Node, tensor: Tensor): void => {
    const data = node.data!;
    const scalar = data.length === 1 && tensor.shape.length === 0 ? `${tensor.dtype} ${data[0]}` : undefined;
    const known = scalar === undefined ? undefined : scalars.get(scalar);
    const name = known ?? `c${counter++}`;
    names.set(tensor, name);
    if (known !== undefined) return;
    if (scalar !== undefined) scalars.set(scalar, name);
    if (data instanceof Int32Array) initializers.push({ name, dtype: "int32", dims: tensor.shape, data });
    else initializers.push({ name, dtype: "float32", dims: tensor.shape, data });
  };

  for (const node of sortNodes(Object.values(outputs))) {
    if (node.operation !== "input") emit(node);
  }
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

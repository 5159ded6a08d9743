import type { OnnxDtype, OnnxNode } from "../tensor/onnx-model.ts";
import { dtypeOfCode } from "../tensor/onnx-reader.ts";
import { constantOf } from "./onnx-call.ts";
import { intOf, intsOf } from "./onnx-graph.ts";
import { measure } from "./onnx-shapes.ts";
import type { Constant } from "./onnx-steps.ts";

const isFloat = (dtype: OnnxDtype | undefined): dtype is "float32" | "float64" =>
  dtype === "float32" || dtype === "float64";

/** The type to which a Cast brings numbers without losing more of them than their rounding; `undefined` for all others. */
export function floatsOf(node: OnnxNode): "float32" | "float64" | undefined {
  const dtype = dtypeOfCode(intOf(node, "to", 0));
  return isFloat(dtype) ? dtype : undefined;
}

/**
 * What a node makes of constants alone: exporters leave a few operations on weights in a graph, and compute shapes and pads.
 * @returns `undefined` for what is not computed here exactly up to the rounding of floating-point numbers
 */
export function folded(
  node: OnnxNode,
  given: readonly (Constant | undefined)[],
  opset: number,
  path: string,
): Constant | undefined {
  return ofWeights(node, given) ?? ofShapes(node, given, opset, path);
}

/** As large as its first input. */
function ofWeights(node: OnnxNode, [x, y]: readonly (Constant | undefined)[]): Constant | undefined {
  if (!x) return undefined;
  const { dtype, shape, data } = x;
  const computed = (compute: (value: number) => number): Constant | undefined =>
    isFloat(dtype) ? { dtype, shape, data: Float64Array.from(data, compute) } : undefined;
  switch (node.opType) {
    case "Identity":
      return x;
    case "Cast": {
      const floats = floatsOf(node);
      return floats && { dtype: floats, shape, data };
    }
    case "Sqrt":
      return computed(Math.sqrt);
    case "Exp":
      return computed(Math.exp);
    case "Add": {
      const by = y?.data.length === 1 && y.shape.length <= shape.length ? y.data[0] : undefined;
      return by === undefined ? undefined : computed((value) => value + by);
    }
    case "Transpose":
      return turned(x, intsOf(node, "perm")?.join());
    default:
      return undefined;
  }
}

/** A matrix as it is, or its rows as columns. */
function turned(matrix: Constant, order = "1,0"): Constant | undefined {
  const { dtype, shape, data } = matrix;
  const [rows = 0, columns = 0] = shape;
  if (shape.length !== 2 || (order !== "1,0" && order !== "0,1")) return undefined;
  if (order === "0,1") return matrix;
  const made = new Float64Array(data.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) made[c * rows + r] = data[r * columns + c]!;
  return { dtype, shape: [columns, rows], data: made };
}

/** Whole numbers as the rules of shapes follow them: of int64, since others could overflow. */
function ofShapes(
  node: OnnxNode,
  given: readonly (Constant | undefined)[],
  opset: number,
  path: string,
): Constant | undefined {
  const values = node.inputs.flatMap((name, index) => {
    const constant = given[index];
    return constant ? [[name, constantOf({ ...constant, dims: constant.shape })] as const] : [];
  });
  const unlimited = { numbers: Number.POSITIVE_INFINITY, work: Number.POSITIVE_INFINITY };
  const made = measure([node], new Map(values), opset, unlimited, path).values.get(node.outputs[0] ?? "");
  return made?.dtype === "int64" && made.data ? { dtype: "int64", shape: made.shape, data: made.data } : undefined;
}

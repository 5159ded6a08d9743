import type { OnnxDtype, OnnxNode } from "../tensor/onnx-model.ts";
import { dtypeOfCode } from "../tensor/onnx-reader.ts";
import { constantOf } from "./onnx-call.ts";
import { intOf, intsOf } from "./onnx-graph.ts";
import { measure } from "./onnx-shapes.ts";
import { trimmed } from "./onnx-sizes.ts";
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

/** As large as the largest of its inputs. */
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
    case "Add":
      return y && joined(x, y, (a, b) => a + b);
    case "Mul":
      return y && joined(x, y, (a, b) => a * b);
    case "Transpose":
      return turned(x, intsOf(node, "perm")?.join());
    default:
      return undefined;
  }
}

/** Number by number, where one side has a single one, or both are alike but for axes of size 1 in front. */
function joined(x: Constant, y: Constant, compute: (a: number, b: number) => number): Constant | undefined {
  const [large, small] = x.data.length < y.data.length ? [y, x] : [x, y];
  const alike = small.data.length === 1 || trimmed(small.shape).join() === trimmed(large.shape).join();
  if (!isFloat(x.dtype) || x.dtype !== y.dtype || !alike) return undefined;
  const shape = [...new Array<number>(Math.max(0, small.shape.length - large.shape.length)).fill(1), ...large.shape];
  const at = ({ data }: Constant, i: number): number => Number(data[data.length === 1 ? 0 : i]);
  return { dtype: x.dtype, shape, data: Float64Array.from(large.data, (_, i) => compute(at(x, i), at(y, i))) };
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

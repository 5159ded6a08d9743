import { ShapeError } from "../errors.ts";
import { elementsOf } from "../shape.ts";

export type DType = "float32" | "int32" | "uint8" | "bool";
export type Shape = readonly number[];

/** Attributes that an operation needs beside its inputs; the names are those of the ONNX operator where there is one. */
export type Attributes = Readonly<Record<string, number | readonly number[]>>;

/**
 * A value in an expression graph: static shape and dtype, known and checked when it is built. Tensors are immutable;
 * an expression is the graph of all tensors reachable from it.
 */
export interface Tensor {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly node: Node;
  /** Which output of `node` this is (only `split` has more than one). */
  readonly index: number;
}

export interface Node {
  readonly operation: Operation;
  readonly inputs: readonly Tensor[];
  readonly attributes: Attributes;
  readonly outputs: readonly Tensor[];
  /** Values of a `constant`, row-major. */
  readonly data?: Float32Array | Int32Array;
}

export type Operation =
  | "input"
  | "constant"
  | "gemm"
  | "conv"
  | "convTranspose"
  | "windowProduct"
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "minimum"
  | "maximum"
  | "neg"
  | "relu"
  | "tanh"
  | "sigmoid"
  | "exp"
  | "log"
  | "sqrt"
  | "abs"
  | "softmax"
  | "logSoftmax"
  | "sum"
  | "mean"
  | "max"
  | "argmax"
  | "reshape"
  | "transpose"
  | "gather"
  | "split"
  | "concat"
  | "expand"
  | "greater"
  | "less"
  | "equal"
  | "where"
  | "cast"
  | "stopGradient";

export const show = (shape: Shape): string => `[${shape.join(", ")}]`;
const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((size, axis) => size === b[axis]);

interface Extra {
  readonly dtype?: DType;
  readonly attributes?: Attributes;
  readonly data?: Float32Array | Int32Array;
}

function build(
  operation: Operation,
  inputs: readonly Tensor[],
  shapes: readonly Shape[],
  extra: Extra = {},
): readonly Tensor[] {
  const outputs: Tensor[] = [];
  const node: Node = {
    operation,
    inputs,
    attributes: extra.attributes ?? {},
    outputs,
    ...(extra.data && { data: extra.data }),
  };
  const dtype = extra.dtype ?? inputs[0]?.dtype ?? "float32";
  for (const [index, shape] of shapes.entries()) outputs.push({ shape, dtype, node, index });
  return outputs;
}

export function make(operation: Operation, inputs: readonly Tensor[], shape: Shape, extra: Extra = {}): Tensor {
  return build(operation, inputs, [shape], extra)[0]!;
}

export function requireFloat(operation: string, ...tensors: readonly Tensor[]): void {
  for (const tensor of tensors) {
    if (tensor.dtype !== "float32")
      throw new ShapeError(operation, `needs float32, got ${tensor.dtype} ${show(tensor.shape)}`);
  }
}

function requireAxis(operation: string, x: Tensor, axis: number): number {
  const positive = axis < 0 ? axis + x.shape.length : axis;
  if (!Number.isInteger(axis) || positive < 0 || positive >= x.shape.length) {
    throw new ShapeError(operation, `axis ${axis} is outside a tensor of shape ${show(x.shape)}`);
  }
  return positive;
}

function requireSizes(operation: string, sizes: readonly number[]): void {
  const bad = sizes.find((size) => !Number.isInteger(size) || size < 0);
  if (bad !== undefined)
    throw new ShapeError(operation, `${show(sizes)} has the size ${bad}, expected integers from 0`);
}

/** A value that is fed at every run. It gets its name from the program that compiles it. */
export function input(shape: Shape, dtype: DType = "float32"): Tensor {
  requireSizes("input", shape);
  return make("input", [], shape, { dtype });
}

/** A fixed value; scalars have shape []. */
export function constant(values: number | readonly number[] | Float32Array | Int32Array, shape?: Shape): Tensor {
  const data =
    typeof values === "number"
      ? Float32Array.of(values)
      : values instanceof Int32Array || values instanceof Float32Array
        ? values
        : Float32Array.from(values);
  const actual = shape ?? (typeof values === "number" ? [] : [data.length]);
  requireSizes("constant", actual);
  if (elementsOf(actual) !== data.length) {
    throw new ShapeError("constant", `${data.length} values do not fill the shape ${show(actual)}`);
  }
  return make("constant", [], actual, { dtype: data instanceof Int32Array ? "int32" : "float32", data });
}

const toTensor = (value: Tensor | number): Tensor => (typeof value === "number" ? constant(value) : value);

/** Shape of two operands under NumPy's broadcasting rules. */
function broadcastShape(operation: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  const shape: number[] = [];
  for (let i = 0; i < rank; i++) {
    const left = a[a.length - rank + i] ?? 1;
    const right = b[b.length - rank + i] ?? 1;
    if (left !== right && left !== 1 && right !== 1) {
      throw new ShapeError(operation, `shapes ${show(a)} and ${show(b)} cannot be broadcast together`);
    }
    shape.push(left === 1 ? right : left);
  }
  return shape;
}

function binary(operation: Operation, a: Tensor | number, b: Tensor | number): Tensor {
  const left = toTensor(a);
  const right = toTensor(b);
  requireFloat(operation, left, right);
  return make(operation, [left, right], broadcastShape(operation, left.shape, right.shape));
}

function unary(operation: Operation, x: Tensor): Tensor {
  requireFloat(operation, x);
  return make(operation, [x], x.shape);
}

export const add = (a: Tensor | number, b: Tensor | number): Tensor => binary("add", a, b);
export const sub = (a: Tensor | number, b: Tensor | number): Tensor => binary("sub", a, b);
export const mul = (a: Tensor | number, b: Tensor | number): Tensor => binary("mul", a, b);
export const div = (a: Tensor | number, b: Tensor | number): Tensor => binary("div", a, b);
/** Elementwise; at ties the gradient goes to the first operand. */
export const minimum = (a: Tensor | number, b: Tensor | number): Tensor => binary("minimum", a, b);
/** Elementwise; at ties the gradient goes to the first operand. */
export const maximum = (a: Tensor | number, b: Tensor | number): Tensor => binary("maximum", a, b);
export const neg = (x: Tensor): Tensor => unary("neg", x);
export const relu = (x: Tensor): Tensor => unary("relu", x);
export const tanh = (x: Tensor): Tensor => unary("tanh", x);
export const sigmoid = (x: Tensor): Tensor => unary("sigmoid", x);
export const exp = (x: Tensor): Tensor => unary("exp", x);
export const log = (x: Tensor): Tensor => unary("log", x);
export const sqrt = (x: Tensor): Tensor => unary("sqrt", x);
export const abs = (x: Tensor): Tensor => unary("abs", x);
export const square = (x: Tensor): Tensor => mul(x, x);
/** The value without its gradient: targets of a loss, for example. */
export const stopGradient = (x: Tensor): Tensor => make("stopGradient", [x], x.shape);

/** Limits values to [low, high]; the gradient is 0 outside. */
export const clip = (x: Tensor, low: number, high: number): Tensor => minimum(maximum(x, low), high);

export interface GemmOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  /** Added to the product, broadcast to [rows, columns]. */
  readonly bias?: Tensor;
}

/** Matrix product of two rank-2 tensors, either of them transposed on the way, plus an optional bias. */
export function matmul(a: Tensor, b: Tensor, options: GemmOptions = {}): Tensor {
  requireFloat("matmul", a, b);
  if (a.shape.length !== 2 || b.shape.length !== 2) {
    throw new ShapeError("matmul", `needs two matrices, got ${show(a.shape)} and ${show(b.shape)}`);
  }
  const [rowsA, columnsA] = a.shape as readonly [number, number];
  const [rowsB, columnsB] = b.shape as readonly [number, number];
  const [rows, inner] = options.transposeA ? [columnsA, rowsA] : [rowsA, columnsA];
  const [innerB, columns] = options.transposeB ? [columnsB, rowsB] : [rowsB, columnsB];
  if (inner !== innerB) {
    throw new ShapeError("matmul", `${show([rows, inner])} times ${show([innerB, columns])}: inner sizes differ`);
  }
  const { bias } = options;
  if (bias) {
    requireFloat("matmul", bias);
    if (!sameShape(broadcastShape("matmul", bias.shape, [rows, columns]), [rows, columns])) {
      throw new ShapeError("matmul", `bias ${show(bias.shape)} does not broadcast to ${show([rows, columns])}`);
    }
  }
  return make("gemm", bias ? [a, b, bias] : [a, b], [rows, columns], {
    attributes: { transA: options.transposeA ? 1 : 0, transB: options.transposeB ? 1 : 0 },
  });
}

/** Softmax over the last axis. */
export const softmax = (x: Tensor): Tensor => {
  requireAxis("softmax", x, -1);
  return unary("softmax", x);
};

/** Logarithm of the softmax over the last axis, without overflow. */
export const logSoftmax = (x: Tensor): Tensor => {
  requireAxis("logSoftmax", x, -1);
  return unary("logSoftmax", x);
};

export interface ReduceOptions {
  /** Axes to reduce; all of them when not given. */
  readonly axes?: readonly number[];
  /** Keep reduced axes with size 1. */
  readonly keepDims?: boolean;
}

function reduce(operation: "sum" | "mean" | "max", x: Tensor, options: ReduceOptions = {}): Tensor {
  requireFloat(operation, x);
  const axes = (options.axes ?? x.shape.map((_, axis) => axis)).map((axis) => requireAxis(operation, x, axis));
  if (new Set(axes).size !== axes.length) throw new ShapeError(operation, `axes ${show(axes)} repeat`);
  if (operation !== "sum" && axes.some((axis) => x.shape[axis] === 0)) {
    throw new ShapeError(operation, `is not defined over an empty axis of ${show(x.shape)}`);
  }
  const kept = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const shape = options.keepDims ? kept : x.shape.filter((_, axis) => !axes.includes(axis));
  return make(operation, [x], shape, { attributes: { axes, keepdims: options.keepDims ? 1 : 0 } });
}

export const sum = (x: Tensor, options?: ReduceOptions): Tensor => reduce("sum", x, options);
export const mean = (x: Tensor, options?: ReduceOptions): Tensor => reduce("mean", x, options);
/** Maximum over axes; where several elements share it, they share the gradient in equal parts. */
export const max = (x: Tensor, options?: ReduceOptions): Tensor => reduce("max", x, options);

/** Index of the first maximum over the last axis, int32, without gradient. */
export function argmax(x: Tensor): Tensor {
  requireFloat("argmax", x);
  if (x.shape[requireAxis("argmax", x, -1)] === 0) {
    throw new ShapeError("argmax", `is not defined over the empty last axis of ${show(x.shape)}`);
  }
  return make("argmax", [x], x.shape.slice(0, -1), { dtype: "int32" });
}

/** The same elements in row-major order under another shape. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  requireSizes("reshape", shape);
  if (elementsOf(shape) !== elementsOf(x.shape)) {
    throw new ShapeError(
      "reshape",
      `${show(x.shape)} has ${elementsOf(x.shape)} elements, ${show(shape)} has ${elementsOf(shape)}`,
    );
  }
  return sameShape(x.shape, shape) ? x : make("reshape", [x], shape);
}

/** Permutes axes; reverses them when no order is given. */
export function transpose(
  x: Tensor,
  order: readonly number[] = x.shape.map((_, axis) => x.shape.length - 1 - axis),
): Tensor {
  const sorted = order.toSorted((a, b) => a - b);
  if (order.length !== x.shape.length || sorted.some((axis, i) => axis !== i)) {
    throw new ShapeError("transpose", `${show(order)} does not order the axes of ${show(x.shape)}`);
  }
  return make(
    "transpose",
    [x],
    order.map((axis) => x.shape[axis]!),
    { attributes: { perm: order } },
  );
}

/** Rows of `x` [batch, rows, channels] in the order of `indices`, some of them more than once or never: [batch, indices, channels]. */
export function gather(x: Tensor, indices: Int32Array): Tensor {
  requireFloat("gather", x);
  if (x.shape.length !== 3) throw new ShapeError("gather", `needs [batch, rows, channels], got ${show(x.shape)}`);
  const outside = indices.find((index) => index < 0 || index >= x.shape[1]!);
  if (outside !== undefined) throw new ShapeError("gather", `${show(x.shape)} has no row ${outside}`);
  return make("gather", [x, constant(indices)], x.shape.with(1, indices.length), { attributes: { axis: 1 } });
}

/** Cuts an axis into consecutive parts of the given sizes. */
export function split(x: Tensor, sizes: readonly number[], axis = 0): readonly Tensor[] {
  const at = requireAxis("split", x, axis);
  requireSizes("split", sizes);
  const total = sizes.reduce((a, b) => a + b, 0);
  if (total !== x.shape[at] || sizes.length === 0) {
    throw new ShapeError(
      "split",
      `sizes ${show(sizes)} add up to ${total}, axis ${axis} of ${show(x.shape)} has ${x.shape[at]}`,
    );
  }
  if (sizes.length === 1) return [x];
  const shapes = sizes.map((size) => x.shape.with(at, size));
  return build("split", [x], shapes, { attributes: { axis: at, split: sizes } });
}

/** Joins tensors along an axis. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  const first = tensors[0];
  if (!first) throw new ShapeError("concat", "needs at least one tensor");
  const at = requireAxis("concat", first, axis);
  for (const tensor of tensors) {
    const sameRank = tensor.shape.length === first.shape.length;
    if (!sameRank || tensor.dtype !== first.dtype || !sameShape(tensor.shape.with(at, 0), first.shape.with(at, 0))) {
      const [found, expected] = [tensor, first].map(({ dtype, shape }) => `${dtype} ${show(shape)}`);
      throw new ShapeError("concat", `${found} does not fit ${expected} along axis ${axis}`);
    }
  }
  if (tensors.length === 1) return first;
  const length = tensors.reduce((total, tensor) => total + tensor.shape[at]!, 0);
  return make("concat", tensors, first.shape.with(at, length), { attributes: { axis: at } });
}

/** Repeats a tensor to a larger shape under NumPy's broadcasting rules. */
export function expand(x: Tensor, shape: Shape): Tensor {
  requireSizes("expand", shape);
  if (!sameShape(broadcastShape("expand", x.shape, shape), shape)) {
    throw new ShapeError("expand", `${show(x.shape)} does not broadcast to ${show(shape)}`);
  }
  return sameShape(x.shape, shape) ? x : make("expand", [x], shape);
}

function compare(operation: "greater" | "less" | "equal", a: Tensor | number, b: Tensor | number): Tensor {
  const left = toTensor(a);
  const right = toTensor(b);
  if (left.dtype !== right.dtype || left.dtype === "bool") {
    throw new ShapeError(operation, `compares two float32 or two int32 tensors, got ${left.dtype} and ${right.dtype}`);
  }
  return make(operation, [left, right], broadcastShape(operation, left.shape, right.shape), { dtype: "bool" });
}

export const greater = (a: Tensor | number, b: Tensor | number): Tensor => compare("greater", a, b);
export const less = (a: Tensor | number, b: Tensor | number): Tensor => compare("less", a, b);
export const equal = (a: Tensor | number, b: Tensor | number): Tensor => compare("equal", a, b);

/** `a` where the condition holds, `b` elsewhere. */
export function where(condition: Tensor, a: Tensor | number, b: Tensor | number): Tensor {
  const left = toTensor(a);
  const right = toTensor(b);
  requireFloat("where", left, right);
  if (condition.dtype !== "bool") throw new ShapeError("where", `the condition is ${condition.dtype}, expected bool`);
  const shape = broadcastShape("where", condition.shape, broadcastShape("where", left.shape, right.shape));
  return make("where", [condition, left, right], shape, { dtype: "float32" });
}

/** Converts the dtype; no gradient passes. Numbers become `true` where they are not 0; floats lose their fraction. */
export function cast(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : make("cast", [x], x.shape, { dtype });
}

/** `values[i, index[i]]` of [rows, columns] values and [rows] int32 indices: [rows]. 0 where an index is out of range. */
export function select(values: Tensor, index: Tensor): Tensor {
  requireFloat("select", values);
  const [rows, columns] = values.shape;
  if (values.shape.length !== 2 || index.shape.length !== 1 || rows !== index.shape[0] || index.dtype !== "int32") {
    throw new ShapeError(
      "select",
      `needs [rows, columns] values and [rows] int32 indices, got ${show(values.shape)} and ${index.dtype} ${show(index.shape)}`,
    );
  }
  const range = constant(
    Int32Array.from({ length: columns! }, (_, i) => i),
    [1, columns!],
  );
  return sum(where(equal(reshape(index, [rows!, 1]), range), values, 0), { axes: [1] });
}

/** Huber loss of each element: x^2/2 up to `delta`, linear beyond (Huber 1964; delta 1 in DQN, Mnih et al. 2015). */
export function huber(x: Tensor, delta = 1): Tensor {
  const size = abs(x);
  const quadratic = minimum(size, delta);
  return add(mul(0.5, square(quadratic)), mul(delta, sub(size, quadratic)));
}

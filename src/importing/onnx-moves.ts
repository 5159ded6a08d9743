import { elementsOf } from "../shape.ts";
import { type Call, constantOf, filled, type Rule, type Shaped } from "./onnx-call.ts";
import { heldBy } from "./onnx-graph.ts";

/** The same numbers in another shape; `data` goes along. */
const shaped = ({ dtype, data }: Shaped, shape: readonly number[]): readonly Shaped[] => [
  { dtype, shape, ...(data && { data }) },
];

/** Chosen numbers of a vector. */
const picked = ({ data, shape }: Shaped, at: (data: readonly number[]) => readonly number[]): Pick<Shaped, "data"> =>
  data && shape.length <= 1 ? { data: at(data) } : {};

/** Numbers between neighbours along each axis. */
const stridesOf = (shape: readonly number[]): number[] => shape.map((_, axis) => elementsOf(shape.slice(axis + 1)));

/** The numbers of a shape that begins at one of them, and goes that far with a step along each axis. */
const viewed = (
  { data }: Shaped,
  shape: readonly number[],
  strides: readonly number[],
  start = 0,
): Pick<Shaped, "data"> => {
  // Beside a size of 0 others may be of any length.
  if (!data || elementsOf(shape) === 0) return data ? { data: [] } : {};
  const places = shape.reduce(
    (from, size, axis) => from.flatMap((at) => Array.from({ length: size }, (_, k) => at + k * strides[axis]!)),
    [start],
  );
  return { data: places.map((at) => data[at]!) };
};

const reshape: Rule = (call) => {
  const x = call.input(0);
  const target = call.numbers(1);
  const keeps = !call.flag("allowzero", false);
  const known = target.map((size, axis) => (size === 0 && keeps ? (x.shape[axis] ?? 0) : size));
  const open = known.filter((size) => size === -1).length;
  const rest = elementsOf(known.filter((size) => size !== -1));
  const shape = known.map((size) => (size === -1 ? elementsOf(x.shape) / rest : size));
  if (open > 1 || elementsOf(shape) !== elementsOf(x.shape)) {
    call.refuse(`makes [${target.join(", ")}] of [${x.shape.join(", ")}]`);
  }
  return shaped(x, shape);
};

const flatten: Rule = (call) => {
  const x = call.input(0);
  const rank = x.shape.length;
  const stated = call.int("axis", 1);
  const axis = stated === rank ? rank : call.axis(stated, rank);
  return shaped(x, [elementsOf(x.shape.slice(0, axis)), elementsOf(x.shape.slice(axis))]);
};

const squeeze: Rule = (call) => {
  const x = call.input(0);
  const listed = call.listed("axes", 1);
  const axes = listed && call.axes(listed, x.shape.length);
  if (axes?.some((axis) => x.shape[axis] !== 1)) call.refuse("takes away an axis that is not of size 1");
  return shaped(
    x,
    x.shape.filter((size, axis) => (axes ? !axes.includes(axis) : size !== 1)),
  );
};

const unsqueeze: Rule = (call) => {
  const x = call.input(0);
  const listed = call.listed("axes", 1) ?? call.refuse("names no axes");
  const axes = call.axes(listed, x.shape.length + listed.length);
  const left = [...x.shape];
  return shaped(
    x,
    Array.from({ length: x.shape.length + axes.length }, (_, axis) => (axes.includes(axis) ? 1 : left.shift()!)),
  );
};

const transpose: Rule = (call) => {
  const x = call.input(0);
  const stated = call.ints("perm") ?? x.shape.map((_, axis) => x.shape.length - 1 - axis);
  const order = call.axes(stated, x.shape.length);
  if (order.length !== x.shape.length) call.refuse("does not name every axis");
  const strides = stridesOf(x.shape);
  const shape = order.map((axis) => x.shape[axis]!);
  const known = viewed(
    x,
    shape,
    order.map((axis) => strides[axis]!),
  );
  return [{ dtype: x.dtype, shape, ...known }];
};

const expand: Rule = (call) => {
  const { dtype, shape, data } = call.input(0);
  const made = call.broadcast(shape, call.numbers(1));
  return [{ dtype, shape: made, ...filled(made, data) }];
};

const tile: Rule = (call) => {
  const { dtype, shape } = call.input(0);
  const repeats = call.numbers(1);
  if (repeats.length !== shape.length) call.refuse("repeats other axes than there are");
  return [{ dtype, shape: shape.map((size, axis) => size * repeats[axis]!) }];
};

const concat: Rule = (call) => {
  const parts = call.all;
  const first = call.input(0);
  const axis = call.axis(call.int("axis", 0), first.shape.length);
  const rest = (shape: readonly number[]): string => shape.map((size, k) => (k === axis ? "" : size)).join();
  if (parts.some(({ shape }) => rest(shape) !== rest(first.shape))) call.refuse("joins values of other shapes");
  const length = parts.reduce((total, { shape }) => total + shape[axis]!, 0);
  const data = parts.flatMap((part) => (part.shape.length === 1 ? (part.data ?? [Number.NaN]) : [Number.NaN]));
  const known = data.every(Number.isSafeInteger);
  return [
    { dtype: first.dtype, shape: first.shape.map((size, k) => (k === axis ? length : size)), ...(known && { data }) },
  ];
};

const split: Rule = (call) => {
  const { dtype, shape, data } = call.input(0);
  const axis = call.axis(call.int("axis", 0), shape.length);
  const { length: count } = call.node.outputs;
  const size = shape[axis]!;
  const part = Math.ceil(size / count);
  const sizes = call.listed("split", 1) ?? call.node.outputs.map((_, k) => Math.min(part, size - k * part));
  const whole = sizes.reduce((total, one) => total + one, 0);
  if (sizes.length !== count || whole !== size || sizes.some((one) => !(one > 0))) {
    call.refuse(`splits ${size} into ${sizes.slice(0, 16).join(" and ")}`);
  }
  let from = 0;
  return sizes.map((one) => {
    const known = picked({ dtype, shape, ...(data && { data }) }, (all) => all.slice(from, from + one));
    from += one;
    return { dtype, shape: shape.map((length, k) => (k === axis ? one : length)), ...known };
  });
};

const slice: Rule = (call) => {
  const x = call.input(0);
  const rank = x.shape.length;
  const [starts, ends] = [call.numbers(1), call.numbers(2)];
  const axes = call.axes(call.optional(3) ? call.numbers(3) : starts.map((_, axis) => axis), rank);
  const steps = call.optional(4) ? call.numbers(4) : starts.map(() => 1);
  if (new Set([starts, ends, axes, steps].map(({ length }) => length)).size !== 1 || steps.includes(0)) {
    call.refuse("has starts, ends, axes and steps that do not fit each other");
  }
  const chosen = x.shape.map((size, axis): readonly [start: number, length: number, step: number] => {
    const k = axes.indexOf(axis);
    if (k < 0) return [0, size, 1];
    const step = steps[k]!;
    const at = (value: number, least: number, most: number): number =>
      Math.min(Math.max(value < 0 ? value + size : value, least), most);
    const [start, end] =
      step > 0
        ? [at(starts[k]!, 0, size), at(ends[k]!, 0, size)]
        : [at(starts[k]!, 0, size - 1), at(ends[k]!, -1, size - 1)];
    return [start, Math.max(0, Math.ceil((end - start) / step)), step];
  });
  const strides = stridesOf(x.shape);
  const shape = chosen.map(([, length]) => length);
  const known = viewed(
    x,
    shape,
    chosen.map(([, , step], axis) => step * strides[axis]!),
    chosen.reduce((at, [start], axis) => at + start * strides[axis]!, 0),
  );
  return [{ dtype: x.dtype, shape, ...known }];
};

const gather: Rule = (call) => {
  const x = call.input(0);
  const indices = call.input(1);
  const axis = call.axis(call.int("axis", 0), x.shape.length);
  const size = x.shape[axis]!;
  if (indices.data?.some((index) => !(index >= -size && index < size))) call.refuse(`takes what is beyond ${size}`);
  const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
  const known = indices.data
    ? picked(x, (data) => indices.data!.map((index) => data[index < 0 ? index + size : index]!))
    : {};
  return [{ dtype: x.dtype, shape, ...known }];
};

const gatherElements: Rule = (call) => {
  const x = call.input(0);
  const { shape } = call.input(1);
  const axis = call.axis(call.int("axis", 0), x.shape.length);
  if (shape.length !== x.shape.length || shape.some((size, k) => k !== axis && size > x.shape[k]!)) {
    call.refuse("takes what is beyond its values");
  }
  return [{ dtype: x.dtype, shape }];
};

const pad: Rule = (call) => {
  const { dtype, shape } = call.input(0);
  const pads = call.numbers(1);
  const axes = call.optional(3) ? call.axes(call.numbers(3), shape.length) : shape.map((_, axis) => axis);
  const mode = call.text("mode", "constant");
  if (pads.length !== 2 * axes.length) call.refuse("pads other axes than there are");
  const made = [...shape];
  for (const [k, axis] of axes.entries()) {
    const ends = [pads[k]!, pads[axes.length + k]!];
    const most =
      mode === "constant" || mode === "edge" ? Number.MAX_SAFE_INTEGER : mode === "reflect" ? shape[axis]! - 1 : -1;
    if (ends.some((size) => !(size >= 0 && size <= most)))
      call.refuse(`pads by ${ends.join(" and ")} (${mode.slice(0, 20)})`);
    made[axis]! += ends[0]! + ends[1]!;
  }
  return [{ dtype, shape: made }];
};

const shapeOf: Rule = (call) => {
  const { shape } = call.input(0);
  const data = shape.slice(call.int("start", 0), call.int("end", shape.length));
  return [{ dtype: "int64", shape: [data.length], data }];
};

const constantOfShape: Rule = (call) => {
  const shape = call.numbers(0);
  const value = call.node.attributes["value"];
  const by: Shaped = value?.kind === "tensor" ? constantOf(value.value) : { dtype: "float32", shape: [1] };
  if (elementsOf(by.shape) !== 1) call.refuse("fills with several numbers");
  return [{ dtype: by.dtype, shape, ...filled(shape, by.data) }];
};

const constant: Rule = (call) => [constantOf(heldBy(call.node) ?? call.refuse("has no tensor or number"))];

const range: Rule = (call) => {
  const [start = 0, limit = 0, step = 0] = [0, 1, 2].flatMap((k) => call.numbers(k));
  const length = step === 0 ? call.refuse("has a step of 0") : Math.max(0, Math.ceil((limit - start) / step));
  if (!(length <= 1e6)) call.refuse(`counts to ${length}`);
  return [{ dtype: call.input(0).dtype, shape: [length], data: Array.from({ length }, (_, k) => start + k * step) }];
};

const oneHot: Rule = (call) => {
  const { shape } = call.input(0);
  const [depth = 0] = call.numbers(1);
  const stated = call.int("axis", -1);
  const axis = call.axis(stated, shape.length + 1);
  return [{ dtype: call.input(2).dtype, shape: [...shape.slice(0, axis), depth, ...shape.slice(axis)] }];
};

const top: Rule = (call) => {
  const { dtype, shape } = call.input(0);
  const axis = call.axis(call.int("axis", -1), shape.length);
  const [count = 0] = call.numbers(1);
  if (!(count >= 1 && count <= shape[axis]!)) call.refuse(`takes the first ${count} of ${shape[axis]}`);
  const made = shape.map((size, k) => (k === axis ? count : size));
  return [
    { dtype, shape: made },
    { dtype: "int64", shape: made },
  ];
};

/** The lower or upper triangle of matrices. */
const triangle: Rule = (call) => {
  const { dtype, shape } = call.input(0);
  if (shape.length < 2) call.refuse("takes a triangle of what is no matrix");
  return [{ dtype, shape }];
};

const cumulated: Rule = (call) => {
  const { dtype, shape } = call.input(0);
  call.axis(call.numbers(1)[0] ?? 0, shape.length);
  return [{ dtype, shape }];
};

/** Rules of operators that move numbers or make them of nothing. */
export const moves: Readonly<Record<string, Rule>> = {
  Identity: (call: Call) => [call.input(0)],
  Reshape: reshape,
  Flatten: flatten,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Transpose: transpose,
  Expand: expand,
  Tile: tile,
  Concat: concat,
  Split: split,
  Slice: slice,
  Gather: gather,
  GatherElements: gatherElements,
  Pad: pad,
  Shape: shapeOf,
  Size: (call: Call) => [{ dtype: "int64", shape: [], data: [elementsOf(call.input(0).shape)] }],
  ConstantOfShape: constantOfShape,
  Constant: constant,
  Range: range,
  OneHot: oneHot,
  TopK: top,
  Trilu: triangle,
  CumSum: cumulated,
};

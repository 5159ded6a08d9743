import { elementsOf } from "../shape.ts";
import type { OnnxDtype } from "../tensor/onnx-model.ts";
import { dtypeOfCode } from "../tensor/onnx-reader.ts";
import type { Call, Rule, Shaped } from "./onnx-call.ts";

const each = (names: string, rule: Rule): Record<string, Rule> =>
  Object.fromEntries(names.split(" ").map((name) => [name, rule]));

const whole = (dtype: OnnxDtype): boolean => !dtype.startsWith("float");

/** As many numbers as before. */
const alike: Rule = (call) => {
  const { dtype, shape } = call.input(0);
  for (const operand of call.all.slice(1)) call.fits(operand, shape);
  return [{ dtype, shape }];
};

/** As many numbers as before, computed along an axis. */
const along =
  (usual: (call: Call) => number): Rule =>
  (call) => {
    const { dtype, shape } = call.input(0);
    call.axis(call.int("axis", usual(call)), shape.length);
    return [{ dtype, shape }];
  };

type Compute = (...values: number[]) => number;

/** Values brought to each other's shape; whole numbers that are known are computed. */
function joint(
  call: Call,
  operands: readonly Shaped[],
  dtype: OnnxDtype,
  compute: Compute | undefined,
): readonly Shaped[] {
  const shape = call.broadcast(...operands.map((operand) => operand.shape));
  const data = operands.map((operand) => operand.data);
  if (compute === undefined || !whole(dtype) || !data.every((values) => values !== undefined)) {
    return [{ dtype, shape }];
  }
  const size = elementsOf(shape);
  // What shapes are made of is a vector or one number.
  const simple = operands.every((operand) => elementsOf(operand.shape) === size || elementsOf(operand.shape) === 1);
  if (!simple) return [{ dtype, shape }];
  const values = Array.from({ length: size }, (_, i) => compute(...data.map((one) => one[one.length === 1 ? 0 : i]!)));
  return [{ dtype, shape, ...(values.every(Number.isSafeInteger) && { data: values }) }];
}

const joined =
  (compute?: Compute): Rule =>
  (call) =>
    joint(call, call.all, call.input(0).dtype, compute);

const compared =
  (compute?: Compute): Rule =>
  (call) =>
    joint(call, call.all, "bool", compute);

/** A processor ends a program that divides whole numbers by 0, or the least of them by -1. */
const divided =
  (compute: Compute): Rule =>
  (call) => {
    const { dtype } = call.input(0);
    const divisors = call.input(1).data;
    if (whole(dtype) && !divisors?.every((value) => value > 0)) {
      call.refuse("divides whole numbers by what is not known to be above 0");
    }
    return joint(call, call.all, dtype, compute);
  };

const reduced =
  (dtype?: OnnxDtype): Rule =>
  (call) => {
    const x = call.input(0);
    const rank = x.shape.length;
    const listed = call.listed("axes", 1) ?? [];
    const none = listed.length === 0 && call.flag("noop_with_empty_axes", false);
    const axes = listed.length > 0 ? call.axes(listed, rank) : none ? [] : x.shape.map((_, axis) => axis);
    const kept = call.flag("keepdims", true);
    const shape = x.shape.flatMap((size, axis) => (axes.includes(axis) ? (kept ? [1] : []) : [size]));
    return [{ dtype: dtype ?? x.dtype, shape }];
  };

const chosen: Rule = (call) => {
  const { shape } = call.input(0);
  const axis = call.axis(call.int("axis", 0), shape.length);
  const kept = call.flag("keepdims", true);
  return [{ dtype: "int64", shape: shape.flatMap((size, k) => (k === axis ? (kept ? [1] : []) : [size])) }];
};

const cast: Rule = (call) => {
  const { shape, data } = call.input(0);
  const dtype = call.node.opType === "Cast" ? dtypeOfCode(call.int("to", 0)) : call.input(1).dtype;
  if (dtype === undefined) return call.refuse("makes numbers of a type that is not known");
  return [{ dtype, shape, ...(data && (dtype === "int64" || dtype === "int32") && { data }) }];
};

/** Numbers of every channel, or of the axes from one on, scaled by as many parameters. */
const normalized =
  (axes: "channel" | "rest"): Rule =>
  (call) => {
    const { dtype, shape } = call.input(0);
    if (call.flag("training_mode", false)) call.refuse("is in training");
    const of =
      axes === "rest"
        ? shape.slice(call.axis(call.int("axis", -1), shape.length))
        : [shape[1] ?? call.refuse("has no channels")];
    for (const parameter of call.all.slice(1)) {
      if (parameter.shape.join() !== of.join()) call.refuse(`has parameters of shape [${parameter.shape.join(", ")}]`);
    }
    return [{ dtype, shape }];
  };

const grouped: Rule = (call) => {
  const { dtype, shape } = call.input(0);
  const groups = call.int("num_groups", 0);
  const channels = shape[1] ?? 0;
  if (!(groups > 0) || channels % groups !== 0) call.refuse(`has ${groups} groups for ${channels} channels`);
  const sizes = call.opset < 21 ? groups : channels;
  for (const parameter of call.all.slice(1)) {
    if (parameter.shape.join() !== `${sizes}`) call.refuse(`has parameters of shape [${parameter.shape.join(", ")}]`);
  }
  return [{ dtype, shape }];
};

const dropout: Rule = (call) => {
  const { dtype, shape } = call.input(0);
  if (call.node.inputs[2] && call.optional(2)?.data?.[0] !== 0) call.refuse("may be in training");
  return [
    { dtype, shape },
    { dtype: "bool", shape },
  ];
};

/** QuantizeLinear and DequantizeLinear: one scale, or one along an axis. */
const quantized: Rule = (call) => {
  const { dtype, shape } = call.input(0);
  const scale = call.input(1);
  const zero = call.optional(2);
  const axis = scale.shape.length === 0 ? 0 : call.axis(call.int("axis", 1), shape.length);
  const sizes = [1, shape[axis] ?? 1];
  for (const operand of [scale, zero]) {
    if (operand && (operand.shape.length > 1 || !sizes.includes(elementsOf(operand.shape))))
      call.refuse("has odd scales");
  }
  if (call.int("block_size", 0) !== 0 || call.int("output_dtype", 0) !== 0) call.refuse("is quantised in blocks");
  const made = call.node.opType === "DequantizeLinear" ? scale.dtype : (zero?.dtype ?? "uint8");
  return [{ dtype: made, shape: whole(dtype) === whole(made) ? call.refuse("does not quantise") : shape }];
};

/** Bytes with the scale and the zero that they were given by the range of all numbers. */
const quantizedByRange: Rule = (call) => {
  const { dtype, shape } = call.input(0);
  if (dtype !== "float32") call.refuse(`quantises ${dtype}`);
  return [
    { dtype: "uint8", shape },
    { dtype: "float32", shape: [] },
    { dtype: "uint8", shape: [] },
  ];
};

/** A product or convolution of bytes: the two inputs behind them say which integers stand for 0. */
const ofBytes =
  (rule: Rule): Rule =>
  (call) => {
    for (const [index, operand] of call.all.entries()) {
      if (operand.dtype !== "uint8" && operand.dtype !== "int8") call.refuse(`multiplies ${operand.dtype}`);
      if (index > 1 && elementsOf(operand.shape) !== 1) call.refuse("has zeros of single rows or filters");
    }
    return rule(call).map(({ shape }) => ({ dtype: "int32", shape }));
  };

const product: Rule = (call) => {
  const [a, b] = [call.input(0), call.input(1)];
  if (a.shape.length === 0 || b.shape.length === 0) call.refuse("multiplies a single number");
  const left = a.shape.length === 1 ? [1, ...a.shape] : a.shape;
  const right = b.shape.length === 1 ? [...b.shape, 1] : b.shape;
  const inner = left.at(-1)!;
  if (inner !== right.at(-2)) call.refuse(`multiplies [${a.shape.join(", ")}] by [${b.shape.join(", ")}]`);
  const stacked = call.broadcast(left.slice(0, -2), right.slice(0, -2));
  const rows = a.shape.length === 1 ? [] : [left.at(-2)!];
  const columns = b.shape.length === 1 ? [] : [right.at(-1)!];
  const shape = [...stacked, ...rows, ...columns];
  call.products = elementsOf(shape) * inner;
  return [{ dtype: a.dtype, shape }];
};

const gemm: Rule = (call) => {
  const turned = (value: Shaped, name: string): readonly number[] => {
    if (value.shape.length !== 2) call.refuse("multiplies what is no matrix");
    return call.flag(name, false) ? value.shape.toReversed() : value.shape;
  };
  const [rows = 0, inner = 0] = turned(call.input(0), "transA");
  const [height = 0, columns = 0] = turned(call.input(1), "transB");
  if (inner !== height) call.refuse(`multiplies [${rows}, ${inner}] by [${height}, ${columns}]`);
  call.fits(call.optional(2), [rows, columns]);
  call.products = rows * inner * columns;
  return [{ dtype: call.input(0).dtype, shape: [rows, columns] }];
};

/** Einsum of one or two operands: its letters are sizes. */
const einsum: Rule = (call) => {
  const [terms = "", result] = call.text("equation", "").replace(/\s/g, "").split("->");
  const operands = terms.split(",");
  const sizes = new Map<string, number>();
  if (result === undefined || operands.length !== call.all.length || operands.length > 2) {
    call.refuse("is no product of one or two values that names its result");
  }
  for (const [k, term] of operands.entries()) {
    const { shape } = call.input(k);
    if (!/^[A-Za-z]*$/.test(term) || new Set(term).size !== term.length || term.length !== shape.length) {
      call.refuse(`does not fit its values (${term.slice(0, 100)})`);
    }
    for (const [axis, letter] of Array.from(term).entries()) {
      const size = sizes.get(letter) ?? shape[axis]!;
      if (size !== shape[axis]) call.refuse(`joins sizes ${size} and ${shape[axis]}`);
      sizes.set(letter, size);
    }
  }
  const letters = Array.from(result ?? "");
  const shape = letters.map((letter) => sizes.get(letter) ?? call.refuse("names a result that is not there"));
  if (new Set(letters).size !== letters.length) call.refuse("names an axis of its result twice");
  call.products = elementsOf([...sizes.values()]);
  return [{ dtype: call.input(0).dtype, shape }];
};

/** A window of [kernel] over the axes behind batch and channels. */
function windowed(call: Call, spatial: readonly number[], kernel: readonly number[]): readonly number[] {
  const ones = spatial.map(() => 1);
  const strides = call.ints("strides") ?? ones;
  const dilations = call.ints("dilations") ?? ones;
  const pads = call.ints("pads") ?? [...spatial, ...spatial].map(() => 0);
  const automatic = call.text("auto_pad", "NOTSET");
  const dims = spatial.length;
  const odd = [kernel, strides, dilations].some(
    (list) => list.length !== dims || list.some((n) => !(n >= 1 && n <= 1e6)),
  );
  if (dims === 0 || odd || pads.length !== 2 * dims || pads.some((n) => !(n >= 0 && n <= 1e6))) {
    call.refuse("has a window that does not fit");
  }
  return spatial.map((size, k) => {
    const span = (kernel[k]! - 1) * dilations[k]! + 1;
    if (automatic === "SAME_UPPER" || automatic === "SAME_LOWER") return Math.ceil(size / strides[k]!);
    const around = automatic === "VALID" ? 0 : pads[k]! + pads[dims + k]!;
    const steps = (size + around - span) / strides[k]!;
    if (!call.flag("ceil_mode", false)) return Math.floor(steps) + 1;
    // A window that begins behind the values and the zeros in front of them is left out.
    const begun = (size + pads[k]!) / strides[k]!;
    return Math.min(Math.ceil(steps) + 1, Math.ceil(begun));
  });
}

const convolution: Rule = (call) => {
  const made = convolved(call);
  if (call.optional(2) && call.input(2).shape.join() !== `${call.input(1).shape[0]}`)
    call.refuse("has other biases than one a filter");
  return made;
};

const convolved: Rule = (call) => {
  const x = call.input(0);
  const w = call.input(1);
  const [batch = 0, channels = 0, ...spatial] = x.shape;
  const [filters = 0, inner = 0, ...kernel] = w.shape;
  const groups = call.int("group", 1);
  const stated = call.ints("kernel_shape") ?? kernel;
  if (!(groups >= 1) || inner * groups !== channels || filters % groups !== 0 || stated.join() !== kernel.join()) {
    call.refuse(`takes images of ${inner * groups} channels, gets [${x.shape.join(", ")}]`);
  }
  const shape = [batch, filters, ...windowed(call, spatial, kernel)];
  call.products = elementsOf(shape) * inner * elementsOf(kernel);
  return [{ dtype: x.dtype, shape }];
};

const pooled: Rule = (call) => {
  const { dtype, shape } = call.input(0);
  const [batch = 0, channels = 0, ...spatial] = shape;
  const kernel = call.ints("kernel_shape") ?? call.refuse("has no window");
  const pads = call.ints("pads") ?? [];
  if (pads.some((size, k) => !(size < (kernel[k % kernel.length] ?? 0)))) call.refuse("pads more than its window");
  const made = [batch, channels, ...windowed(call, spatial, kernel)];
  call.comparisons = elementsOf(made) * elementsOf(kernel);
  return [{ dtype, shape: made }];
};

const pooledWhole: Rule = (call) => {
  const { dtype, shape } = call.input(0);
  if (shape.length < 3) call.refuse("pools what is no image");
  return [{ dtype, shape: shape.map((size, axis) => (axis < 2 ? size : 1)) }];
};

/** Rules of operators that compute: number by number, along axes, products, windows. Those that move numbers: `onnx-moves.ts`. */
export const operations: Readonly<Record<string, Rule>> = {
  ...each(
    "Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid HardSwish",
    alike,
  ),
  ...each("LeakyRelu Log Mish Neg PRelu Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus", alike),
  ...each("Softsign Sqrt Swish Tan Tanh ThresholdedRelu MeanVarianceNormalization", alike),
  ...each("Clip", alike),
  ...each(
    "Softmax LogSoftmax Hardmax",
    along(({ opset }) => (opset < 13 ? 1 : -1)),
  ),
  ...each(
    "LpNormalization",
    along(() => -1),
  ),
  ...each("Sum Mean Pow", joined()),
  Add: joined((a, b = 0) => a + b),
  Sub: joined((a, b = 0) => a - b),
  Mul: joined((a, b = 1) => a * b),
  Min: joined(Math.min),
  Max: joined(Math.max),
  Div: divided((a, b = 1) => Math.trunc(a / b)),
  Mod: divided((a, b = 1) => ((a % b) + b) % b),
  Equal: compared((a, b) => Number(a === b)),
  Less: compared((a, b = 0) => Number(a < b)),
  LessOrEqual: compared((a, b = 0) => Number(a <= b)),
  Greater: compared((a, b = 0) => Number(a > b)),
  GreaterOrEqual: compared((a, b = 0) => Number(a >= b)),
  Not: compared((a) => 1 - a),
  ...each("And Or Xor IsNaN IsInf", compared()),
  Where: (call) => joint(call, call.all, call.input(1).dtype, (condition, a = 0, b = 0) => (condition === 0 ? b : a)),
  ...each("ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd", reduced()),
  ...each("ReduceSum ReduceSumSquare", reduced()),
  ...each("ArgMax ArgMin", chosen),
  ...each("Cast CastLike", cast),
  ...each("BatchNormalization InstanceNormalization", normalized("channel")),
  ...each("LayerNormalization RMSNormalization", normalized("rest")),
  GroupNormalization: grouped,
  Dropout: dropout,
  ...each("QuantizeLinear DequantizeLinear", quantized),
  DynamicQuantizeLinear: quantizedByRange,
  MatMul: product,
  MatMulInteger: ofBytes(product),
  ConvInteger: ofBytes(convolved),
  Gemm: gemm,
  Einsum: einsum,
  Conv: convolution,
  ...each("MaxPool AveragePool LpPool", pooled),
  ...each("GlobalAveragePool GlobalMaxPool GlobalLpPool", pooledWhole),
};

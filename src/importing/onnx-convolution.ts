import type { OnnxNode } from "../tensor/onnx-model.ts";
import { floatOf, intOf, intsOf } from "./onnx-graph.ts";
import type { Constant, Operation } from "./onnx-steps.ts";

type Refuse = (what: string) => never;
type Convolution = Extract<Operation, { kind: "conv" }>;
type Pad = Extract<Operation, { kind: "pad" }>;

/**
 * A Conv over images [channels, height, width]. Groups, dilations and other
 * than two axes are refused: no layer of an architecture is like that.
 */
export function convolutionOf(
  node: OnnxNode,
  from: readonly number[],
  weights: Constant,
  biases: Constant | undefined,
  refuse: Refuse,
): Convolution {
  const [channels = 0, height = 0, width = 0] = from;
  const [filters = 0, takes = 0, rows = 0, columns = 0] = weights.shape;
  if (from.length !== 3 || weights.shape.length !== 4) return refuse("is no convolution over images");
  if (intOf(node, "group", 1) !== 1) return refuse("has groups of channels");
  if (takes !== channels) return refuse(`takes ${takes} channels, gets ${channels}`);
  if (biases && biases.data.length !== filters) return refuse("has other biases than one a filter");
  if (intsOf(node, "dilations")?.some((by) => by !== 1)) return refuse("has dilated kernels");
  const kernel = [rows, columns] as const;
  if (intsOf(node, "kernel_shape")?.join() !== (intsOf(node, "kernel_shape") && kernel.join())) {
    return refuse("states another kernel than it has");
  }
  const [down = 1, right = 1, ...more] = intsOf(node, "strides") ?? [1, 1];
  if (more.length > 0 || down < 1 || right < 1) return refuse("has strides of other than two axes");
  const stride = [down, right] as const;
  const padding = paddingOf(node, [height, width], kernel, stride, refuse);
  const [top, left, bottom, after] = padding;
  const to = [
    filters,
    Math.floor((height + top + bottom - rows) / down) + 1,
    Math.floor((width + left + after - columns) / right) + 1,
  ];
  if (to.some((length) => !(length >= 1))) return refuse("has a kernel larger than its images");
  const step = { kind: "conv", from, to, filters, kernel, stride, padding, weights: weights.data } as const;
  return { ...step, ...(biases && { biases: biases.data }) };
}

function paddingOf(
  node: OnnxNode,
  image: readonly [number, number],
  kernel: readonly [number, number],
  stride: readonly [number, number],
  refuse: Refuse,
): Convolution["padding"] {
  const attribute = node.attributes["auto_pad"];
  const rule = attribute?.kind === "string" ? attribute.value : "NOTSET";
  if (rule === "VALID") return [0, 0, 0, 0];
  if (rule === "NOTSET") {
    const [top = 0, left = 0, bottom = 0, right = 0, ...more] = intsOf(node, "pads") ?? [];
    if (more.length > 0 || [top, left, bottom, right].some((zeros) => zeros < 0)) return refuse("cuts its images");
    return [top, left, bottom, right];
  }
  if (rule !== "SAME_UPPER" && rule !== "SAME_LOWER") return refuse("pads its images in a way that is not known");
  const sides = ([0, 1] as const).map((axis) => {
    const out = Math.ceil(image[axis] / stride[axis]);
    const zeros = Math.max((out - 1) * stride[axis] + kernel[axis] - image[axis], 0);
    const less = Math.floor(zeros / 2);
    return rule === "SAME_UPPER" ? [less, zeros - less] : [zeros - less, less];
  });
  const [[top = 0, bottom = 0] = [], [left = 0, right = 0] = []] = sides;
  return [top, left, bottom, right];
}

/**
 * A Pad of zeros around images [channels, height, width].
 * @param axes that the pads belong to, the batch first
 */
export function padOf(
  node: OnnxNode,
  from: readonly number[],
  pads: readonly number[],
  axes: readonly number[],
  by: number,
  refuse: Refuse,
): Pad {
  const { mode } = node.attributes;
  const along = (axis: number): readonly number[] => {
    const k = axes.findIndex((one) => one === axis || one === axis - 4);
    return k < 0 ? [0, 0] : [pads[k]!, pads[axes.length + k]!];
  };
  const [[top = 0, bottom = 0], [left = 0, right = 0]] = [along(2), along(3)];
  const padding = [top, left, bottom, right] as const;
  const isZeros = by === 0 && (mode === undefined || (mode.kind === "string" && mode.value === "constant"));
  const isOfAxes = pads.length === 2 * axes.length && new Set(axes.map((axis) => (axis + 4) % 4)).size === axes.length;
  const isAround = [...along(0), ...along(1)].every((size) => size === 0) && padding.every((size) => size >= 0);
  const [channels = 0, height = 0, width = 0] = from;
  if (!isZeros || from.length !== 3 || !isOfAxes || !isAround) return refuse("pads by other than zeros around images");
  return { kind: "pad", from, to: [channels, height + top + bottom, width + left + right], padding };
}

/** A convolution over images around which there are zeros already. */
export function behindPad(step: Convolution, { from, padding }: Pad): Convolution {
  const [top, left, bottom, right] = padding;
  const [above, before, below, after] = step.padding;
  return { ...step, from, padding: [above + top, before + left, below + bottom, after + right] };
}

/** A BatchNormalization as it is after training: a factor and a summand for each channel. */
export function batchNormalizationOf(
  node: OnnxNode,
  channels: number,
  constants: readonly Constant[],
  refuse: Refuse,
): readonly [Operation, Operation] {
  if (intOf(node, "training_mode", 0) !== 0 || node.outputs.filter(Boolean).length > 1) return refuse("is in training");
  const [scale, shift, mean, variance] = constants.map(({ data }) => data);
  if (!scale || !shift || !mean || !variance || constants.some(({ data }) => data.length !== channels)) {
    return refuse("has other than one number a channel");
  }
  const epsilon = floatOf(node, "epsilon", 1e-5);
  const factors = Float64Array.from(scale, (value, c) => value / Math.sqrt(variance[c]! + epsilon));
  const summands = Float64Array.from(shift, (value, c) => value - mean[c]! * factors[c]!);
  return [
    { kind: "multiply", by: factors },
    { kind: "add", by: summands },
  ];
}

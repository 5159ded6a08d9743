import { z } from "zod";
import type { EnvironmentSpec } from "../environment/environment.ts";
import { PIXEL, sizeOf } from "../environment/spaces.ts";
import { ShapeError, UsageError } from "../errors.ts";
import { elementsOf } from "../shape.ts";

const positive = z.number().int().min(1).max(1_000_000);

const activation = z.enum(["relu", "tanh", "none"]);

const denseSchema = z.strictObject({ kind: z.literal("dense"), units: positive, activation });

const pair = z.tuple([z.number().int().min(1).max(1000), z.number().int().min(1).max(1000)]);
const border = z.number().int().min(0).max(1000);

/**
 * A convolution over images [channels, height, width] with `units` filters. `kernel` and `stride` are [height, width]; `padding`
 * counts zeros at the top, left, bottom and right, none (VALID) if not given. What comes out is [units, rows, columns], and a
 * dense layer behind takes it flattened in this order, channels outermost, as in PyTorch.
 */
const convolutionSchema = z.strictObject({
  kind: z.literal("conv"),
  units: positive,
  kernel: pair,
  stride: pair,
  padding: z.tuple([border, border, border, border]).exactOptional(),
  activation,
});

/**
 * (x - mean) / deviation, then limited to [-clip, clip] where there is a limit: one number an element of the observation, or
 * one for all elements, as for the pixels of an image.
 */
const normalizationSchema = z.strictObject({
  mean: z.array(z.number()),
  deviation: z.array(z.number().positive()),
  clip: z.number().positive().exactOptional(),
});

/**
 * A diagonal Gaussian over actions in the environment's own units: the outputs are its means, `logStd` the logarithms of its
 * standard deviations, which do not depend on the observation. What acts is the draw (or, greedily, the mean) limited to
 * [low, high]: out there the density is that of the draw, not of what acts. With `squash` the outputs are means before a tanh,
 * and what acts is low + (tanh(draw) + 1) / 2 (high - low), as in SAC and TD3.
 */
const gaussianSchema = z.strictObject({
  logStd: z.array(z.number().min(-20).max(20)),
  low: z.array(z.number()),
  high: z.array(z.number()),
  squash: z.literal(true).exactOptional(),
});

/**
 * What a policy network is: plain data, stored inside every saved policy. The last layer is the output.
 * `head` says what the outputs mean: `q-values` (a DQN) or `logits` (a softmax actor), one unit an action, of which the greedy
 * one is the argmax; or the means of a `gaussian` over continuous actions, one unit a dimension. `normalization` holds the
 * statistics by which observations are normalised before the first layer.
 */
export const architectureSchema = z
  .strictObject({
    input: z.array(positive).min(1).max(4),
    normalization: normalizationSchema.exactOptional(),
    layers: z
      .array(z.discriminatedUnion("kind", [denseSchema, convolutionSchema]))
      .min(1)
      .max(64),
    head: z.enum(["q-values", "logits", "gaussian"]),
    gaussian: gaussianSchema.exactOptional(),
  })
  .superRefine((architecture, context) => {
    const { input, layers } = architecture;
    const last = layers.at(-1);
    const unfit =
      last?.kind === "conv" ? "ends with a convolution, expected a dense layer as output" : misfitOf(input, layers);
    if (unfit !== undefined) context.addIssue({ code: "custom", path: ["layers"], message: unfit });
    else checkEnds(architecture, last?.units ?? 0, context);
  });

const count = z.number().int().min(0);

/**
 * A model that only answers (an ONNX graph of others, run as it is): what goes in and comes out, and how large it is. `value`
 * names the value of its graph that holds the outputs, `dtype` is that of its observations; `weights` counts numbers of its tensors of two or more dimensions,
 * `biases` the others; `bytes` is what they take.
 */
export const blackBoxSchema = z
  .strictObject({
    input: z.array(positive).min(1).max(4),
    normalization: normalizationSchema.exactOptional(),
    model: z.strictObject({
      value: z.string().max(1_000),
      dtype: z.enum(["float32", "float64", "uint8"]),
      nodes: count,
      weights: count,
      nonZero: count,
      biases: count,
      bytes: count,
      macs: count,
    }),
    outputs: positive,
    head: z.enum(["q-values", "logits", "gaussian"]),
    gaussian: gaussianSchema.exactOptional(),
  })
  .superRefine((architecture, context) => {
    checkEnds(architecture, architecture.outputs, context);
  });

/** A policy's statistics have to fit its observations, its Gaussian its outputs. */
function checkEnds(
  { input, normalization, head, gaussian }: Omit<Architecture, "layers">,
  outputs: number,
  context: z.RefinementCtx,
): void {
  const refuse = (path: string[], message: string): void => {
    context.addIssue({ code: "custom", path, message });
  };
  const inputs = elementsOf(input);
  for (const name of ["mean", "deviation"] as const) {
    const length = normalization?.[name].length ?? inputs;
    if (length !== inputs && length !== 1) {
      refuse(["normalization", name], `has ${length} numbers, an observation has ${inputs}`);
    }
  }
  if ((head === "gaussian") !== (gaussian !== undefined)) {
    refuse(
      ["gaussian"],
      gaussian ? `belongs to a gaussian head, this one is ${head}` : "is missing for a gaussian head",
    );
  }
  if (gaussian?.low.some((low, d) => low >= (gaussian.high[d] ?? Number.POSITIVE_INFINITY))) {
    refuse(["gaussian", "low"], "has a bound that is not below that of high");
  }
  for (const name of ["logStd", "low", "high"] as const) {
    const length = gaussian?.[name].length ?? outputs;
    if (length !== outputs) refuse(["gaussian", name], `has ${length} numbers, the network has ${outputs} outputs`);
  }
}

/** What a policy network is: observation shape, dense layers from the input on, and what the outputs mean. */
export type Architecture = z.infer<typeof architectureSchema>;
/** What any policy is. */
export const anyArchitectureSchema = z.union([architectureSchema, blackBoxSchema]);

/** A model that only answers: what goes in and comes out, and how large it is. */
export type BlackBoxArchitecture = z.infer<typeof blackBoxSchema>;
/** What any policy is: a network of layers, or a black box. */
export type AnyArchitecture = Architecture | BlackBoxArchitecture;
/** Statistics by which observations are normalised. */
export type Normalization = NonNullable<Architecture["normalization"]>;
/** A diagonal Gaussian around the outputs. */
export type Gaussian = NonNullable<Architecture["gaussian"]>;
/** A layer: dense, or a convolution. */
export type Layer = Architecture["layers"][number];
/** A convolution: filters, kernel, stride, padding and activation. */
export type Convolution = Extract<Layer, { kind: "conv" }>;
/** Activation of a layer: `relu`, `tanh` or `none`. */
export type Activation = Layer["activation"];

/** Channels, height and width. */
type ImageShape = readonly [channels: number, height: number, width: number];

/** Where a convolution goes over its images. */
export interface Window {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [top: number, left: number, bottom: number, right: number];
  /** What it reads. */
  readonly from: ImageShape;
  /** What it makes. */
  readonly to: ImageShape;
}

/**
 * Where one layer's numbers stand in the flat parameter vector: weights [inputs, outputs] row-major, then biases [outputs]. A
 * convolution's inputs are what one window holds, [channels, kernel height, kernel width], and its outputs are its filters.
 */
export interface LayerLayout {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly activation: Activation;
  readonly weights: { readonly offset: number; readonly length: number };
  readonly biases: { readonly offset: number; readonly length: number };
  /** Rows of the weights that belong to one unit of the layer before (in the first layer: to one element or channel). */
  readonly rowsPerUnit: number;
  /** How often each unit puts out a number: 1, or the positions of a convolution's window. */
  readonly positions: number;
  /** Of a convolution. */
  readonly window?: Window;
}

/** Numbers of the images of one observation that a convolution takes or makes: hundreds of times what policies have. */
const MAX_IMAGE = 2 ** 24;

const NO_PADDING: [number, number, number, number] = [0, 0, 0, 0];

/** Images that a convolution makes; a size below 1 where its kernel does not fit. */
function imagesOf(
  [, height, width]: ImageShape,
  { units, kernel, stride, padding = NO_PADDING }: Convolution,
): ImageShape {
  const along = (size: number, axis: 0 | 1): number =>
    Math.floor((size + padding[axis] + padding[axis === 0 ? 2 : 3] - kernel[axis]) / stride[axis]) + 1;
  return [units, along(height, 0), along(width, 1)];
}

/** What does not fit in a sequence of layers, in words. */
function misfitOf(input: readonly number[], layers: readonly Layer[]): string | undefined {
  let images = imageOf(input);
  for (const [l, layer] of layers.entries()) {
    if (layer.kind === "dense") {
      images = undefined;
      continue;
    }
    if (images === undefined) {
      const found = l === 0 ? `observations of shape [${input.join(", ")}]` : "a dense layer";
      return `layer ${l + 1} is a convolution behind ${found}, expected images [channels, height, width]`;
    }
    const next = imagesOf(images, layer);
    if (Math.min(...next) < 1)
      return `layer ${l + 1} has a kernel of ${layer.kernel.join("x")} over images ${images.join("x")}`;
    const largest = Math.max(elementsOf(next), elementsOf(images));
    if (largest > MAX_IMAGE)
      return `layer ${l + 1} is one over images of ${largest} numbers, at most ${MAX_IMAGE} are computed`;
    images = next;
  }
  return undefined;
}

/**
 * Why the convolutions of a network should not go over the observations that it takes, in words: their channels seem to come
 * last, at most four and fewer than rows and columns, and would be taken for columns.
 */
export function turnedImages({ input, layers }: Architecture): string | undefined {
  const [rows = 0, columns = 0, channels = 0] = input;
  if (layers[0]?.kind !== "conv" || channels > 4 || Math.min(rows, columns) <= channels) return undefined;
  return (
    `layer 1 is a convolution over observations of shape [${input.join(", ")}], whose channels come last, expected images ` +
    `[channels, height, width]: let the environment, or a wrapper around it, give [${[channels, rows, columns].join(", ")}]`
  );
}

/** Whether observations of this shape are the images that a policy takes, but with their channels last instead of first. */
export function hasChannelsLast(shape: readonly number[], input: readonly number[]): boolean {
  const [rows = 0, columns = 0, channels = 0] = shape;
  return shape.length === 3 && input.join() === [channels, rows, columns].join();
}

const imageOf = (shape: readonly number[]): ImageShape | undefined =>
  shape.length === 3 ? [shape[0]!, shape[1]!, shape[2]!] : undefined;

/** Layout of the flat parameter vector, layer by layer. */
export function layoutOf(architecture: Architecture): LayerLayout[] {
  const layouts: LayerLayout[] = [];
  const { input } = architecture;
  let images = imageOf(input);
  let units = elementsOf(input);
  let positions = 1;
  let offset = 0;
  for (const [index, layer] of architecture.layers.entries()) {
    let window: Window | undefined;
    if (layer.kind === "conv") {
      if (images === undefined) throw new ShapeError("layoutOf", misfitOf(input, architecture.layers) ?? "");
      const { kernel, stride, padding = NO_PADDING } = layer;
      window = { kernel, stride, padding, from: images, to: imagesOf(images, layer) };
    }
    const rowsPerUnit = window === undefined ? positions : window.kernel[0] * window.kernel[1];
    const inputs = window === undefined ? units * positions : window.from[0] * rowsPerUnit;
    images = window?.to;
    positions = window === undefined ? 1 : window.to[1] * window.to[2];
    units = layer.units;
    const weights = { offset, length: inputs * units };
    const biases = { offset: offset + weights.length, length: units };
    offset = biases.offset + biases.length;
    const name = index === architecture.layers.length - 1 ? "output" : `${layer.kind}_${index + 1}`;
    layouts.push({
      name,
      inputs,
      outputs: units,
      activation: layer.activation,
      weights,
      biases,
      rowsPerUnit,
      positions,
      ...(window && { window }),
    });
  }
  return layouts;
}

/**
 * Sizes that every report states side by side. Bytes: 4 a parameter (float32), the statistics of a normalisation included.
 * MACs: multiply-adds of one forward pass.
 */
export interface Counts {
  readonly weights: number;
  readonly biases: number;
  readonly bytes: number;
  readonly macs: number;
}

/** Sizes of a network, whatever its numbers are. */
export function countsOf(architecture: AnyArchitecture): Counts {
  if ("model" in architecture) {
    const { weights, biases, bytes, macs } = architecture.model;
    return { weights, biases, bytes, macs };
  }
  let weights = 0;
  let biases = 0;
  let macs = 0;
  for (const layer of layoutOf(architecture)) {
    weights += layer.weights.length;
    biases += layer.biases.length;
    macs += layer.weights.length * layer.positions;
  }
  const { mean, deviation } = architecture.normalization ?? { mean: [], deviation: [] };
  return { weights, biases, bytes: 4 * (weights + biases + mean.length + deviation.length), macs };
}

/** Length of the flat parameter vector. */
export function parameterCount(architecture: Architecture): number {
  const { weights, biases } = countsOf(architecture);
  return weights + biases;
}

/**
 * Units of each layer with the input in front: `4-256-256-128-2`. A convolution's also say kernel, stride and padding:
 * `4x84x84-32c8s4-64c4s2-512-3` has 32 filters of 8x8 at a stride of 4. A black box is `4-[onnx]-2`.
 */
export function describe(architecture: AnyArchitecture): string {
  const layers = "model" in architecture ? ["[onnx]", architecture.outputs] : architecture.layers.map(describeLayer);
  return [architecture.input.join("x"), ...layers].join("-");
}

function describeLayer(layer: Layer): string {
  if (layer.kind === "dense") return `${layer.units}`;
  const { units, kernel, stride, padding } = layer;
  const size = ([height, width]: readonly [number, number]): string =>
    height === width ? `${height}` : `${height}x${width}`;
  const around = padding?.some((zeros) => zeros > 0)
    ? `p${[...new Set(padding)].length === 1 ? padding[0] : padding.join(".")}`
    : "";
  return `${units}c${size(kernel)}s${size(stride)}${around}`;
}

/** Brings pixels to [0, 1]. */
export const OF_PIXELS: Normalization = { mean: [0], deviation: [PIXEL] };

/** What stands in front of an output: convolutions of square kernels without padding, then dense layers, of one activation. */
export interface HiddenLayers {
  readonly convolutions?: readonly { readonly filters: number; readonly kernel: number; readonly stride: number }[];
  readonly hidden: readonly number[];
  readonly activation: Activation;
}

/** Those layers and a linear output. */
export function layersOf({ convolutions = [], hidden, activation }: HiddenLayers, outputs: number): Layer[] {
  return [
    ...convolutions.map(({ filters, kernel, stride }): Layer => {
      return { kind: "conv", units: filters, kernel: [kernel, kernel], stride: [stride, stride], activation };
    }),
    ...hidden.map((units): Layer => ({ kind: "dense", units, activation })),
    { kind: "dense", units: outputs, activation: "none" },
  ];
}

/** A dense network: hidden layers of the given widths with one activation, and a linear output. */
export function dense(
  inputs: number,
  hidden: readonly number[],
  outputs: number,
  head: Architecture["head"],
  activation: Activation = "relu",
): Architecture {
  return { input: [inputs], layers: layersOf({ hidden, activation }, outputs), head };
}

/** Widths of the hidden layers. */
export function hiddenWidths(architecture: Architecture): number[] {
  return architecture.layers.slice(0, -1).map((layer) => layer.units);
}

/** Number of outputs: the number of actions, or of an action's dimensions. */
export function outputSize(architecture: AnyArchitecture): number {
  if ("model" in architecture) return architecture.outputs;
  const last = architecture.layers.at(-1);
  if (last === undefined) throw new ShapeError("outputSize", "an architecture has at least one layer");
  return last.units;
}

/** Number of elements of one observation. */
export function inputSize({ input }: Pick<Architecture, "input">): number {
  return elementsOf(input);
}

/** Refuses an architecture whose input or output does not fit the environment, and convolutions over images that lie otherwise. */
export function checkFits(architecture: AnyArchitecture, spec: EnvironmentSpec): void {
  const shape = spec.observationSpace.shape;
  if (architecture.input.join() !== shape.join()) {
    const isTurned = hasChannelsLast(shape, architecture.input);
    const advice = isTurned ? ": let the environment, or a wrapper around it, put the channels first" : "";
    throw new UsageError(
      "architecture",
      `${describe(architecture)} takes observations of shape [${architecture.input.join(", ")}], but ${spec.id} gives [${shape.join(", ")}]${advice}`,
    );
  }
  const turned = "model" in architecture ? undefined : turnedImages(architecture);
  if (turned !== undefined) throw new UsageError("architecture", `${spec.id}: ${turned}`);
  const { actionSpace } = spec;
  const continuous = actionSpace.kind === "box";
  if (continuous !== (architecture.head === "gaussian")) {
    const actions = continuous ? "continuous actions" : "choices";
    throw new UsageError("architecture", `${spec.id} has ${actions}, which ${architecture.head} cannot choose`);
  }
  const actions = continuous ? sizeOf(actionSpace) : actionSpace.n;
  if (outputSize(architecture) !== actions) {
    throw new UsageError(
      "architecture",
      `${describe(architecture)} has ${outputSize(architecture)} outputs, but ${spec.id} has ${actions} ${continuous ? "numbers an action" : "actions"}`,
    );
  }
  for (const bound of ["low", "high"] as const) {
    const expected = continuous ? actionSpace[bound].map(Math.fround).join() : undefined;
    if (expected !== architecture.gaussian?.[bound].map(Math.fround).join()) {
      throw new UsageError(
        "architecture",
        `its actions are bounded by other numbers (${bound}) than those of ${spec.id}`,
      );
    }
  }
}

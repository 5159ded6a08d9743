import type { EnvironmentSpec } from "../environment/environment.ts";
import { FileError, UsageError } from "../errors.ts";

/** Height and width. */
type Pair = readonly [height: number, width: number];
/** Zeros around an image. */
type Border = readonly [top: number, left: number, bottom: number, right: number];
/** In which order a dense layer takes images: channels, rows, columns as PyTorch, or rows, columns, channels as TensorFlow. */
type Flattening = "chw" | "hwc";

/** How a convolution goes over its images. */
interface Sliding {
  readonly stride: Pair;
  readonly padding: Border;
}

/** A dense layer of a file: weights [inputs, outputs]. */
interface DenseLayer {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly weights: Float32Array;
  readonly biases: Float32Array;
}

/** A layer of a file, dense or a convolution: then weights are [channels x kernel height x kernel width, filters]. */
export interface FoundLayer extends DenseLayer {
  readonly convolution?: { readonly channels: number; readonly kernel: Pair };
}

/** What is known of convolutions from elsewhere than their file. */
export interface ImageOptions {
  /** One for each convolution; default: 4 for kernels of 8x8, 2 for 4x4, 1 for 3x3. */
  readonly strides?: readonly Pair[];
  /** Zeros around the images of each convolution, or as many as keep their size but for the stride; default: none. */
  readonly padding?: readonly (number | "same")[];
  /** In which order the first dense layer takes images; default: as the file's kind has it. */
  readonly flatten?: Flattening;
  /** The environment that the policy acts in. */
  readonly environment?: EnvironmentSpec;
}

/** What a file says of layers over images. */
export interface ImageChain {
  /** In order. */
  readonly layers: readonly FoundLayer[];
  /** Shape of an observation. */
  readonly input?: readonly number[];
  /** One for each convolution, where the file states them. */
  readonly slidings?: readonly Sliding[];
  /** Default: chw. */
  readonly flatten?: Flattening;
}

/** What the convolutions of a chain need beside their weights. */
interface Images {
  /** Shape of an observation: channels, height and width. */
  readonly input: readonly number[];
  /** Of each convolution. */
  readonly slidings: ReadonlyMap<FoundLayer, Sliding>;
  readonly flatten: Flattening;
  /** Where each of them comes from. */
  readonly notes: Readonly<Record<string, string>>;
}

/** Strides that are usual with square kernels: those of the network of Mnih et al. (2015), which nearly all take. */
const USUAL_STRIDES = new Map([
  [8, 4],
  [4, 2],
  [3, 1],
]);

/**
 * What the convolutions of a chain need beside their weights: as `options` state it, as the file says, as the environment
 * implies, or as usual, in this order; `undefined` where there are none.
 * @throws FileError when the environment's observations are no such images, or a stride is not usual and not given
 * @throws UsageError when the number of strides or paddings is not that of the convolutions
 */
export function imagesOf(chain: ImageChain, options: ImageOptions, path: string): Images | undefined {
  const convolutions = chain.layers.filter(isConvolution);
  for (const name of ["strides", "padding"] as const) {
    const given = options[name]?.length ?? convolutions.length;
    if (given !== convolutions.length) {
      throw new UsageError(name, `${given} given for ${convolutions.length} convolutions`);
    }
  }
  if (convolutions.length === 0) {
    if (options.flatten) throw new UsageError("flatten", "given for a network without convolutions");
    return undefined;
  }
  if (chain.slidings && chain.slidings.length !== convolutions.length) {
    throw new FileError(path, `has ${convolutions.length} convolutions, expected ${chain.slidings.length}`);
  }
  const strides = convolutions.map((layer, l): Pair => {
    return options.strides?.[l] ?? chain.slidings?.[l]?.stride ?? usualStride(layer, path);
  });
  const shape = shapeOf(chain, convolutions, strides, options, path);
  const slidings = new Map<FoundLayer, Sliding>();
  let size = shape.sizes;
  for (const [l, layer] of convolutions.entries()) {
    const { kernel } = layer.convolution;
    const stride = strides[l]!;
    const given = borderOf(options.padding?.[l], kernel, stride, size);
    const sliding: Sliding = { stride, padding: given ?? chain.slidings?.[l]?.padding ?? [0, 0, 0, 0] };
    slidings.set(layer, sliding);
    size = outputOf(size, kernel, sliding);
  }
  const said = chain.slidings && "as the file says";
  const flatten = options.flatten ?? chain.flatten ?? "chw";
  const input = [convolutions[0]!.convolution.channels, ...shape.sizes];
  return {
    input,
    slidings,
    flatten,
    notes: {
      images: `${input.join("x")} (${shape.by})`,
      strides: `${strides.map(sizeText).join(", ")} (${options.strides ? "given" : (said ?? "usual with such kernels")})`,
      padding: `${[...slidings.values()].map(({ padding }) => borderText(padding)).join(", ")} (${options.padding ? "given" : (said ?? "usual")})`,
      flatten: `${flatten} (${options.flatten ? "given" : (said ?? "usual")})`,
    },
  };
}

type ConvolutionLayer = FoundLayer & Required<Pick<FoundLayer, "convolution">>;
const isConvolution = (layer: FoundLayer): layer is ConvolutionLayer => layer.convolution !== undefined;

function usualStride({ name, convolution: { kernel } }: ConvolutionLayer, path: string): Pair {
  const [height, width] = kernel;
  const stride = height === width ? USUAL_STRIDES.get(height) : undefined;
  if (stride !== undefined) return [stride, stride];
  throw new FileError(
    path,
    `does not say the stride of ${name}, and none is usual with kernels of ${height}x${width}: state the strides (--strides of pops import)`,
  );
}

/** Rows and columns that a convolution makes, along both axes. */
function outputOf([height, width]: Pair, kernel: Pair, { stride, padding: [top, left, bottom, right] }: Sliding): Pair {
  return [
    Math.floor((height + top + bottom - kernel[0]) / stride[0]) + 1,
    Math.floor((width + left + right - kernel[1]) / stride[1]) + 1,
  ];
}

/** `same`: so many zeros that rows and columns are those of the images divided by the stride; the odd one comes last. */
function borderOf(given: number | "same" | undefined, kernel: Pair, stride: Pair, size: Pair): Border | undefined {
  if (given === undefined) return undefined;
  if (given !== "same") return [given, given, given, given];
  const along = (axis: 0 | 1): number =>
    Math.max((Math.ceil(size[axis] / stride[axis]) - 1) * stride[axis] + kernel[axis] - size[axis], 0);
  const [rows, columns] = [along(0), along(1)];
  const [top, left] = [Math.floor(rows / 2), Math.floor(columns / 2)];
  return [top, left, rows - top, columns - left];
}

/** Height and width of the images that come in. */
function shapeOf(
  chain: ImageChain,
  convolutions: readonly ConvolutionLayer[],
  strides: readonly Pair[],
  options: ImageOptions,
  path: string,
): { sizes: Pair; by: string } {
  const { environment } = options;
  const { channels } = convolutions[0]!.convolution;
  const shape = chain.input ?? environment?.observationSpace.shape;
  if (shape !== undefined) {
    const [first, height, width, ...rest] = shape;
    if (first === channels && height !== undefined && width !== undefined && rest.length === 0) {
      return { sizes: [height, width], by: chain.input ? "as the file says" : "the environment's" };
    }
    const whose = chain.input ? "its observations have" : `those of ${environment?.id ?? ""} have`;
    throw new FileError(
      path,
      `takes images [channels, height, width] of ${channels} channels, ${whose} the shape [${shape.join(", ")}]`,
    );
  }
  // The smallest square images that give the first dense layer as many numbers as it takes.
  const dense = chain.layers.find((layer) => !isConvolution(layer));
  const positions = Math.sqrt((dense?.inputs ?? 0) / convolutions.at(-1)!.outputs);
  if (!Number.isInteger(positions)) {
    throw new FileError(path, "takes images that are not square, whose size it does not say: name an environment");
  }
  const side = (axis: 0 | 1): number =>
    convolutions.reduceRight((size, { convolution: { kernel } }, l) => {
      const given = options.padding?.[l] ?? 0;
      const border = given === "same" ? kernel[axis] - 1 : 2 * given;
      return (size - 1) * strides[l]![axis] + kernel[axis] - border;
    }, positions);
  return { sizes: [side(0), side(1)], by: "guessed" };
}

/** Weights of the dense layer behind images [channels, rows, columns], whose inputs come in the order rows, columns, channels. */
export function channelsFirst({ weights, inputs, outputs }: DenseLayer, channels: number): Float32Array {
  const positions = inputs / channels;
  const ordered = new Float32Array(weights.length);
  for (let channel = 0; channel < channels; channel++) {
    for (let position = 0; position < positions; position++) {
      const from = (position * channels + channel) * outputs;
      ordered.set(weights.subarray(from, from + outputs), (channel * positions + position) * outputs);
    }
  }
  return ordered;
}

function sizeText([height, width]: Pair): string {
  return height === width ? `${height}` : `${height}x${width}`;
}

function borderText(border: Border): string {
  return new Set(border).size === 1 ? `${border[0]}` : border.join(".");
}

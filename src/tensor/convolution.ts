import { ShapeError } from "../errors.ts";
import { make, requireFloat, show, type Tensor } from "./graph.ts";

/** Where a window of a convolution goes. */
export interface ConvolutionOptions {
  /** Steps of the window down and right; 1 if not given. */
  readonly strides?: readonly [number, number];
  /** Distance between the window's elements; 1 if not given. */
  readonly dilations?: readonly [number, number];
  /** Zeros around the image: top, left, bottom, right; none if not given (VALID). */
  readonly pads?: Padding;
}

/** Rows and columns at the top, left, bottom and right. */
type Padding = readonly [number, number, number, number];

const geometry = ({ strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0] }: ConvolutionOptions) => ({
  strides,
  dilations,
  pads,
});

/** Rows and columns of positions that a kernel has on images of a height and width; below 1 where it does not fit. */
export function positionsOf({
  size,
  kernel,
  ...options
}: ConvolutionOptions & Readonly<Record<"size" | "kernel", readonly [number, number]>>): [number, number] {
  const { strides, dilations, pads } = geometry(options);
  const along = (axis: 0 | 1): number => {
    const room = size[axis] + pads[axis] + pads[axis === 0 ? 2 : 3];
    return Math.floor((room - dilations[axis] * (kernel[axis] - 1) - 1) / strides[axis]) + 1;
  };
  return [along(0), along(1)];
}

function requireImages(operation: string, x: Tensor, weights: Tensor, axis: 0 | 1): void {
  requireFloat(operation, x, weights);
  if (x.shape.length !== 4 || weights.shape.length !== 4 || x.shape[1] !== weights.shape[axis]) {
    throw new ShapeError(operation, `images ${show(x.shape)} do not fit the weights ${show(weights.shape)}`);
  }
}

/**
 * Cross-correlation, what neural networks call a convolution: images [batch, channels, height, width] and weights [filters,
 * channels, kernel height, kernel width] give [batch, filters, rows, columns], rows = floor((height + top + bottom -
 * dilation (kernel - 1) - 1) / stride) + 1.
 */
export function conv(x: Tensor, weights: Tensor, options: ConvolutionOptions = {}): Tensor {
  requireImages("conv", x, weights, 1);
  const [batch, , height, width] = x.shape as readonly [number, number, number, number];
  const [filters, , tall, wide] = weights.shape as readonly [number, number, number, number];
  const positions = positionsOf({ size: [height, width], kernel: [tall, wide], ...options });
  if (positions.some((count) => count < 1)) {
    throw new ShapeError("conv", `the kernel of ${show(weights.shape)} does not fit into images ${show(x.shape)}`);
  }
  return make("conv", [x, weights], [batch, filters, ...positions], { attributes: geometry(options) });
}

/**
 * The transpose of `conv` as a linear map: what images [batch, filters, rows, columns] were made from, by the same weights
 * [filters, channels, kernel height, kernel width] and options. `size` is the height and width of the result, which a stride
 * leaves open.
 */
export function convTranspose(
  x: Tensor,
  weights: Tensor,
  size: readonly [number, number],
  options: ConvolutionOptions = {},
): Tensor {
  requireImages("convTranspose", x, weights, 0);
  const { strides, dilations, pads } = geometry(options);
  const rest = ([0, 1] as const).map((axis) => {
    const window = strides[axis] * (x.shape[2 + axis]! - 1) + dilations[axis] * (weights.shape[2 + axis]! - 1) + 1;
    return size[axis] + pads[axis] + pads[2 + axis]! - window;
  });
  if (rest.some((length, axis) => length < 0 || length >= strides[axis]!)) {
    throw new ShapeError("convTranspose", `${show(x.shape)} by ${show(weights.shape)} is not made from ${show(size)}`);
  }
  return make("convTranspose", [x, weights], [x.shape[0]!, weights.shape[1]!, ...size], {
    attributes: { strides, dilations, pads, output_padding: rest },
  });
}

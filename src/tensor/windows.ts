import { ShapeError } from "../errors.ts";
import { type ConvolutionOptions, positionsOf } from "./convolution.ts";
import {
  add,
  concat,
  constant,
  expand,
  gather,
  make,
  matmul,
  requireFloat,
  reshape,
  show,
  stopGradient,
  type Tensor,
  transpose,
} from "./graph.ts";

/**
 * Convolutions as products of matrices. A pixel's channels lie side by side here, images are [batch, pixels, channels], so that
 * windows are copied by whole rows and both threads of a product have enough to do; ONNX Runtime's own gradients of
 * convolutions, made of others with few positions and large kernels, gain nothing from a second thread.
 */
export interface Windows extends Required<Omit<ConvolutionOptions, "dilations">> {
  /** Height and width of the images. */
  readonly size: readonly [number, number];
  readonly kernel: readonly [number, number];
}

const AXES = [0, 1] as const;

/** `value` at every place of a grid, the last axis fastest. */
function grid<const Sizes extends readonly number[]>(
  sizes: Sizes,
  value: (...at: { [K in keyof Sizes]: number }) => number,
): Int32Array {
  const at = sizes.map(() => 0);
  return Int32Array.from({ length: sizes.reduce((product, size) => product * size, 1) }, (_, index) => {
    let rest = index;
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      at[axis] = rest % sizes[axis]!;
      rest = Math.floor(rest / sizes[axis]!);
    }
    return value(...(at as { [K in keyof Sizes]: number }));
  });
}

/** Index of a pixel, the one behind the last where there is none. */
const pixel = ([height, width]: readonly [number, number], y: number, x: number): number =>
  y < 0 || x < 0 || y >= height || x >= width ? height * width : y * width + x;

/** Rows by `indices`, zeros for the one behind the last. */
function gatherOrZeros(x: Tensor, indices: Int32Array): Tensor {
  const [batch, rows, channels] = x.shape as readonly [number, number, number];
  if (!indices.includes(rows)) return gather(x, indices);
  return gather(concat([x, expand(constant(0), [batch, 1, channels])], 1), indices);
}

/** Gradient of `gather`: to every row those of its copies. */
export function gatherGradient(g: Tensor, rows: number, indices: Int32Array): Tensor {
  const copies = Array.from({ length: rows }, (): number[] => []);
  for (const [i, row] of indices.entries()) copies[row]!.push(i);
  const most = copies.reduce((max, { length }) => Math.max(max, length), 1);
  let total: Tensor | undefined;
  for (let copy = 0; copy < most; copy++) {
    const part = gatherOrZeros(
      g,
      Int32Array.from(copies, (from) => from[copy] ?? indices.length),
    );
    total = total === undefined ? part : add(total, part);
  }
  return total!;
}

/**
 * A convolution of images [batch, pixels, channels] by weights [kernel height * kernel width * channels, filters] and biases
 * [filters]: [batch, positions, filters].
 */
export function windowProduct(x: Tensor, weights: Tensor, biases: Tensor, windows: Windows): Tensor {
  requireFloat("windowProduct", x, weights, biases);
  const { size, kernel, strides, pads } = windows;
  const [batch, pixels, channels] = x.shape as readonly [number, number, number];
  const [inputs, filters] = weights.shape as readonly [number, number];
  const fits = pixels === size[0] * size[1] && inputs === kernel[0] * kernel[1] * channels;
  if (x.shape.length !== 3 || weights.shape.length !== 2 || biases.shape.join() !== `${filters}` || !fits) {
    const [images, matrix, added] = [x, weights, biases].map(({ shape }) => show(shape));
    throw new ShapeError("windowProduct", `weights ${matrix} and biases ${added} do not fit images ${images}`);
  }
  const [rows, columns] = positionsOf(windows);
  if (rows < 1 || columns < 1) {
    throw new ShapeError("windowProduct", `the kernel ${show(kernel)} does not fit into images of ${show(size)}`);
  }
  const indices = grid([rows, columns, kernel[0], kernel[1]], (i, j, k, l) =>
    pixel(size, i * strides[0] + k - pads[0], j * strides[1] + l - pads[1]),
  );
  // What the windows see is an input as well: the gradient of the weights takes it again.
  const seen = reshape(gatherOrZeros(stopGradient(x), indices), [batch * rows * columns, inputs]);
  const sums = make("windowProduct", [seen, weights, biases, x], [batch * rows * columns, filters], {
    attributes: { size, kernel, strides, pads },
  });
  return reshape(sums, [batch, rows * columns, filters]);
}

/**
 * Gradient of the images of a `windowProduct`, given that of its result [batch, positions, filters]: a product as well. A
 * pixel is the `rest`th of a block of one stride, and its block is seen by at most kernel / stride windows along an axis, by
 * each with another element of the kernel.
 */
export function imageGradient(g: Tensor, weights: Tensor, windows: Windows): Tensor {
  const { size, kernel, strides, pads } = windows;
  const positions = positionsOf(windows);
  const [batch, , filters] = g.shape as readonly [number, number, number];
  const channels = weights.shape[0]! / (kernel[0] * kernel[1]);
  const [tallest, widest] = AXES.map((axis) => Math.ceil(kernel[axis] / strides[axis])) as [number, number];
  const [down, across] = AXES.map((axis) => Math.ceil((size[axis] + pads[axis]) / strides[axis])) as [number, number];
  const blocks = down * across;
  const rests = strides[0] * strides[1];
  const taps = tallest * widest;

  const windowsOfBlock = grid([down, across, tallest, widest], (y, x, k, l) => pixel(positions, y - k, x - l));
  const seenBy = reshape(gatherOrZeros(g, windowsOfBlock), [batch * blocks, taps * filters]);

  const elements = grid([tallest, widest, strides[0], strides[1]], (k, l, y, x) =>
    pixel(kernel, y + strides[0] * k, x + strides[1] * l),
  );
  const byElement = reshape(weights, [1, kernel[0] * kernel[1], channels * filters]);
  const turned = reshape(gatherOrZeros(byElement, elements), [taps, rests, channels, filters]);
  const back = reshape(transpose(turned, [0, 3, 1, 2]), [taps * filters, rests * channels]);

  const inBlocks = reshape(matmul(seenBy, back), [batch, blocks * rests, channels]);
  const order = grid(size, (top, left) => {
    const [y, x] = [top + pads[0], left + pads[1]];
    const block = Math.floor(y / strides[0]) * across + Math.floor(x / strides[1]);
    return block * rests + (y % strides[0]) * strides[1] + (x % strides[1]);
  });
  const ordered = order.length === blocks * rests && order.every((from, i) => from === i);
  return ordered ? inBlocks : gather(inBlocks, order);
}

/**
 * Images [batch, channels, height, width] as the images [batch, pixels, channels] of their blocks of `block` pixels: a block's
 * elements [channels, block height, block width] are the channels of one pixel.
 */
export function blocksOf(x: Tensor, [tall, wide]: readonly [number, number]): Tensor {
  const [batch, channels, height, width] = x.shape as readonly [number, number, number, number];
  const [down, across] = [height / tall, width / wide];
  const pieces = grid([down, across, channels, tall], (i, j, c, y) => (c * height + i * tall + y) * across + j);
  return reshape(gather(reshape(x, [batch, channels * height * across, wide]), pieces), [
    batch,
    down * across,
    channels * tall * wide,
  ]);
}

/** Where the weights [channels, kernel height, kernel width] of each element of a window of such blocks stand. */
export function blockedWeights(
  channels: number,
  kernel: readonly [number, number],
  [tall, wide]: readonly [number, number],
): Int32Array {
  return grid(
    [kernel[0] / tall, kernel[1] / wide, channels, tall, wide],
    (i, j, c, y, x) => (c * kernel[0] + i * tall + y) * kernel[1] + j * wide + x,
  );
}

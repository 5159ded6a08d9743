import { gather, reshape, type Tensor, transpose } from "../tensor/graph.ts";
import { blockedWeights, blocksOf, windowProduct } from "../tensor/windows.ts";
import type { LayerLayout, Window } from "./architecture.ts";

/** Filters of the first layer that make the copies of windows pay, by measurement: 12 lose at large batches, 16 gain. */
const LEAST_FILTERS = 16;

/**
 * Whether a network's convolutions are products of matrices, on images [batch, pixels, channels]: where the first one has many
 * filters, and windows that are made of whole blocks of its stride. A stride of 1 has blocks too small to copy.
 */
export function takesRows(layers: readonly LayerLayout[]): boolean {
  const [{ window, outputs }] = layers as readonly [LayerLayout, ...LayerLayout[]];
  if (window === undefined || outputs < LEAST_FILTERS) return false;
  const { kernel, stride, padding, from } = window;
  const inBlocks = ([0, 1] as const).every(
    (axis) => kernel[axis] % stride[axis] === 0 && from[1 + axis]! % stride[axis] === 0,
  );
  return inBlocks && stride[1] > 1 && padding.every((size) => size === 0);
}

const isRows = (x: Tensor): boolean => x.shape.length === 3;

/** Images [batch, pixels, channels] with the channels first, [batch, channels, pixels]; others as they are. */
export const channelsFirst = (x: Tensor): Tensor => (isRows(x) ? transpose(x, [0, 2, 1]) : x);

/**
 * A convolution's sums [batch, positions, filters], of observations [batch, channels * height * width] or of the images
 * [batch, pixels, channels] of the convolution before it. Weights are [channels * kernel height * kernel width, filters].
 */
export function convolveRows(window: Window, x: Tensor, weights: Tensor, biases: Tensor): Tensor {
  const { kernel, stride, padding, from } = window;
  // Observations are read in blocks: of one pixel each afterwards.
  const block = isRows(x) ? ([1, 1] as const) : stride;
  const images = isRows(x) ? x : blocksOf(reshape(x, [x.shape[0]!, ...from]), block);
  const order = blockedWeights(from[0], kernel, block);
  const ordered = reshape(gather(reshape(weights, [1, ...weights.shape]), order), weights.shape);
  return windowProduct(images, ordered, biases, {
    size: [from[1] / block[0], from[2] / block[1]],
    kernel: [kernel[0] / block[0], kernel[1] / block[1]],
    strides: [stride[0] / block[0], stride[1] / block[1]],
    pads: padding,
  });
}

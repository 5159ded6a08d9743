import { elementsOf } from "../shape.ts";
import type { OnnxNode } from "../tensor/onnx-model.ts";
import { intOf } from "./onnx-graph.ts";
import type { Constant, Flow } from "./onnx-steps.ts";

/** Sizes with which a graph computes shapes: that of the batch is known only when it runs. */
export type Sizes = readonly (number | "batch")[];

/** Axes that a shape may have. */
export const MAX_AXES = 16;

/** The sizes that a Shape gives of a batch of such rows: since opset 15 a part of them, if it says so. */
export function sizesOf(node: OnnxNode, shape: readonly number[]): Sizes {
  return ["batch" as const, ...shape].slice(intOf(node, "start", 0), intOf(node, "end", MAX_AXES));
}

/**
 * What a node makes of sizes, as exporters compute the shape of `x.view(x.size(0), -1)`; `undefined` where that is not
 * understood. One number and a row of one number are the same here.
 *
 * @param given the node's inputs: sizes, or numbers of the file
 */
export function sizesBehind(node: OnnxNode, given: readonly Sizes[]): Sizes | undefined {
  const [sizes = [], ...others] = given;
  const single = others.every((other) => other.length === 1 && Number.isInteger(other[0]));
  const [first = 0, second = 0, axis = 0, step = 1] = others.map(([number]) => Number(number));
  switch (node.opType) {
    case "Identity":
    case "Cast":
    case "Squeeze":
    case "Unsqueeze":
      return sizes;
    case "Gather": {
      const picked = single && intOf(node, "axis", 0) === 0 ? sizes.at(first) : undefined;
      return picked === undefined ? undefined : [picked];
    }
    case "Slice":
      return single && axis === 0 && step === 1 ? sizes.slice(first, second) : undefined;
    case "Concat":
      return given.flat().length <= MAX_AXES ? given.flat() : undefined;
    default:
      return undefined;
  }
}

/** The shape of the rows of which those sizes make a whole batch; `undefined` where they do not begin with the batch. */
export function rowsOf([batch, ...rest]: Sizes): readonly number[] | undefined {
  const shape = rest.filter((size) => size !== "batch");
  return batch === "batch" && shape.length === rest.length ? shape : undefined;
}

/**
 * What rows of a shape become when their batch is brought to these sizes; `undefined` where they would not stay rows.
 * @param rows observations that the model takes at once, if it takes no other number
 */
export function reshaped(
  [batch, ...rest]: Sizes,
  shape: readonly number[],
  rows: number | undefined,
): readonly number[] | undefined {
  const stated = rowsOf(["batch", ...rest]);
  const size = elementsOf(shape);
  // 0 keeps a size, -1 is what is left, 1 the batch of a model that takes one observation.
  const kept = stated?.map((length, axis) => (length === 0 ? (shape[axis] ?? 0) : length)) ?? [];
  const known = elementsOf(kept.filter((length) => length > 0));
  const open = kept.filter((length) => length === -1).length;
  const whole = kept.map((length) => (length === -1 ? size / known : length));
  const isBatch = batch === "batch" || batch === 0 || batch === 1 || batch === rows || (batch === -1 && open === 0);
  return stated && isBatch && open <= 1 && elementsOf(whole) === size ? whole : undefined;
}

/** One number for each channel of images [channels, height, width]. */
export function isOfChannels({ shape, data }: Constant, x: Pick<Flow, "shape">): boolean {
  return x.shape.length === 3 && data.length === x.shape[0] && trimmed(shape).join() === `${data.length},1,1`;
}

/** So many numbers along the last axis. */
export function isRow({ shape }: Constant, length: number): boolean {
  return trimmed(shape).join() === `${length}`;
}

/** A shape without the ones in front, which broadcast. */
export function trimmed(shape: readonly number[]): readonly number[] {
  return shape.slice(shape.findIndex((size) => size !== 1));
}

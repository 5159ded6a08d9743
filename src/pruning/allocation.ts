import { ShapeError } from "../errors.ts";
import { type Architecture, type LayerLayout, layoutOf } from "../network/architecture.ts";
import type { Scores } from "./score.ts";

export const ALLOCATIONS = ["global", "uniform"] as const;
export type Allocation = (typeof ALLOCATIONS)[number];
export const GRANULARITIES = ["weight", "unit"] as const;
export type Granularity = (typeof GRANULARITIES)[number];

/** Weights kept by a sparsity: `round(n * (1 - sparsity))`, as TensorFlow's exact-sort form of the original has it. */
function keep(length: number, sparsity: number): number {
  return Math.round(length * (1 - sparsity));
}

/** The `count` largest scores of the given ranges become 1 in the mask, the rest 0. Among equal scores the first ones are kept. */
function keepLargest(
  scores: Scores,
  ranges: readonly LayerLayout["weights"][],
  count: number,
  mask: Float32Array,
): void {
  const total = ranges.reduce((sum, { length }) => sum + length, 0);
  const pooled = new Float32Array(total);
  let filled = 0;
  for (const { offset, length } of ranges) {
    pooled.set(scores.subarray(offset, offset + length), filled);
    filled += length;
  }
  pooled.sort();
  const threshold = count === 0 ? Number.POSITIVE_INFINITY : pooled[total - count]!;
  let above = 0;
  for (let i = total - 1; i >= 0 && pooled[i]! > threshold; i--) above++;
  let ties = count - above;
  for (const { offset, length } of ranges) {
    for (let i = offset; i < offset + length; i++) {
      const kept = scores[i]! > threshold || (scores[i] === threshold && ties-- > 0);
      mask[i] = kept ? 1 : 0;
    }
  }
}

/**
 * Mask over the flat parameters (1 kept, 0 pruned; biases are never pruned) at a sparsity of the weights.
 * - `global`: the smallest scores of the whole network go, so that layers differ by what they need.
 * - `uniform`: every layer loses the same fraction, as in the original.
 * Single weights go, or whole hidden units and filters (`unit`). Either way one path from an input to an output stays, the
 * strongest that a greedy walk finds.
 */
export function allocate(
  architecture: Architecture,
  scores: Scores,
  sparsity: number,
  allocation: Allocation,
  granularity: Granularity = "weight",
): Float32Array {
  if (!(sparsity >= 0 && sparsity <= 1)) throw new ShapeError("allocate", `sparsity ${sparsity} is outside [0, 1]`);
  const layers = layoutOf(architecture);
  const mask = new Float32Array(scores.length).fill(1);
  if (granularity === "unit") {
    dropUnits(layers, scores, sparsity, allocation, mask);
  } else if (allocation === "uniform") {
    for (const { weights } of layers) keepLargest(scores, [weights], keep(weights.length, sparsity), mask);
  } else {
    const ranges = layers.map(({ weights }) => weights);
    const total = ranges.reduce((sum, { length }) => sum + length, 0);
    keepLargest(scores, ranges, keep(total, sparsity), mask);
  }
  for (const index of strongestPath(layers, scores)) mask[index] = 1;
  return mask;
}

interface Unit {
  readonly layer: number;
  readonly unit: number;
  readonly importance: number;
}

/**
 * Hidden units by importance, the least first: the Euclidean norm of the scores of a unit's incoming weights, in means of its
 * layer (as Torch-Pruning normalises it), since layers have scales of their own; with `uniform` its rank in its layer.
 */
function unitsByImportance(layers: readonly LayerLayout[], scores: Scores, allocation: Allocation): Unit[] {
  const units = layers.slice(0, -1).flatMap(({ weights, outputs }, layer) => {
    const squares = new Float64Array(outputs);
    for (let i = 0; i < weights.length; i++) squares[i % outputs]! += scores[weights.offset + i]! ** 2;
    const norms = squares.map(Math.sqrt);
    const mean = norms.reduce((total, norm) => total + norm, 0) / outputs || 1;
    const ranks = Array.from(norms.keys()).toSorted((a, b) => norms[a]! - norms[b]! || b - a);
    return ranks.map((unit, rank): Unit => {
      return { layer, unit, importance: allocation === "uniform" ? (rank + 1) / outputs : norms[unit]! / mean };
    });
  });
  return units.toSorted((a, b) => a.importance - b.importance || a.layer - b.layer || b.unit - a.unit);
}

/**
 * Takes the least important units away, with all weights into and out of them, until at least the sparsity is reached: a
 * filter's channel in the next layer, or its block of a dense layer's input, goes with it. The last unit of a layer stays.
 */
function dropUnits(
  layers: readonly LayerLayout[],
  scores: Scores,
  sparsity: number,
  allocation: Allocation,
  mask: Float32Array,
): void {
  const total = layers.reduce((sum, { weights }) => sum + weights.length, 0);
  const left = layers.map(({ outputs }) => outputs);
  let rest = total - keep(total, sparsity);
  const drop = (index: number): void => {
    if (mask[index] === 1) rest--;
    mask[index] = 0;
  };
  for (const { layer, unit } of unitsByImportance(layers, scores, allocation)) {
    if (rest <= 0) return;
    if (left[layer] === 1) continue;
    left[layer]!--;
    const { weights, inputs, outputs } = layers[layer]!;
    for (let row = 0; row < inputs; row++) drop(weights.offset + row * outputs + unit);
    const next = layers[layer + 1]!;
    const block = next.rowsPerUnit * next.outputs;
    for (let i = 0; i < block; i++) drop(next.weights.offset + unit * block + i);
  }
}

/** Weights of a path from an input to an output: the largest of the first layer, then from each unit reached its largest. */
function strongestPath(layers: readonly LayerLayout[], scores: Scores): number[] {
  const path: number[] = [];
  let unit: number | undefined;
  for (const { weights, outputs, rowsPerUnit } of layers) {
    const length = rowsPerUnit * outputs;
    const from: number = unit === undefined ? weights.offset : weights.offset + unit * length;
    const to = unit === undefined ? weights.offset + weights.length : from + length;
    let best = from;
    for (let i = from + 1; i < to; i++) if (scores[i]! > scores[best]!) best = i;
    path.push(best);
    unit = (best - weights.offset) % outputs;
  }
  return path;
}

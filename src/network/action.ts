import type { Pcg64 } from "../random/pcg64.ts";
import { add, argmax as argmaxOf, constant, maximum, minimum, mul, type Tensor, tanh } from "../tensor/graph.ts";
import type { Program } from "../tensor/program.ts";
import { type AnyArchitecture, type Gaussian, outputSize } from "./architecture.ts";

/** What decides how outputs act: their Gaussian, or none. */
type Acts = Pick<AnyArchitecture, "gaussian">;

/** How a policy acts: by its best action, or by a draw from its distribution. Q-values know no other way than the greedy one. */
export const ACTING = ["greedy", "sampled"] as const;
export type Acting = (typeof ACTING)[number];

/** Actions of a batch as a vector environment takes them: [batch] choices, or [batch, size] numbers. */
export type Actions = Int32Array | Float32Array;

/** Middle and half the range of each dimension. */
export function rangesOf({ low, high }: Gaussian): { middle: number[]; half: number[] } {
  return {
    middle: low.map((value, d) => (value + high[d]!) / 2),
    half: low.map((value, d) => (high[d]! - value) / 2),
  };
}

/** Greedy actions of [batch, outputs] as an expression: the argmax (the first among equals), or the means within their bounds. */
export function greedyActions({ gaussian }: Acts, outputs: Tensor): Tensor {
  if (gaussian === undefined) return argmaxOf(outputs);
  const { middle, half } = rangesOf(gaussian);
  const actions = gaussian.squash ? add(mul(tanh(outputs), constant(half)), constant(middle)) : outputs;
  // Squashed ones too: in float32 middle and half may add up to a last bit more than the bound.
  return minimum(maximum(actions, constant(gaussian.low)), constant(gaussian.high));
}

/** The buffer in which a program with the output `actions` leaves them. */
export function actionsOf({ gaussian }: Acts, program: Pick<Program, "ints" | "floats">): Actions {
  return gaussian === undefined ? program.ints("actions") : program.floats("actions");
}

/** Index of the largest value, the first one among equals: the greedy choice. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/** A choice drawn from softmax(logits), by inversion: one number is drawn. */
export function sampleChoice(logits: Float32Array, random: Pcg64): number {
  const highest = logits[argmax(logits)]!;
  let total = 0;
  for (const logit of logits) total += Math.exp(logit - highest);
  let rest = random.double() * total;
  for (let choice = 0; choice < logits.length - 1; choice++) {
    rest -= Math.exp(logits[choice]! - highest);
    if (rest < 0) return choice;
  }
  return logits.length - 1;
}

/** A draw from the Gaussian around `means` into `into`, not yet limited to the bounds: one normal number a dimension is drawn. */
export function sampleGaussian(
  means: Float32Array,
  logStd: ArrayLike<number>,
  random: Pcg64,
  into: Float32Array,
): void {
  for (let d = 0; d < means.length; d++) into[d] = means[d]! + Math.exp(logStd[d]!) * random.normal();
}

/** Brings [batch, size] draws or means within the bounds, in place: limited, or squashed. */
export function boundActions({ gaussian }: Acts, actions: Float32Array): void {
  if (gaussian === undefined) return;
  const { low, high, squash } = gaussian;
  if (squash) {
    const { middle, half } = rangesOf(gaussian);
    for (let i = 0; i < actions.length; i++) {
      actions[i] = middle[i % low.length]! + half[i % low.length]! * Math.tanh(actions[i]!);
    }
    return;
  }
  for (let i = 0; i < actions.length; i++) {
    const d = i % low.length;
    actions[i] = Math.min(Math.max(actions[i]!, low[d]!), high[d]!);
  }
}

/**
 * Draws the action of row `lane` from the distribution that the outputs [batch, outputs] of an actor describe into
 * `actions`, within the bounds. Q-values describe none: their greedy action stays.
 */
export function sampleAction(
  architecture: AnyArchitecture,
  outputs: Float32Array,
  lane: number,
  random: Pcg64,
  actions: Actions,
): void {
  const { head, gaussian } = architecture;
  const size = outputSize(architecture);
  const row = outputs.subarray(lane * size, (lane + 1) * size);
  if (head === "logits") {
    actions[lane] = sampleChoice(row, random);
  } else if (gaussian !== undefined && actions instanceof Float32Array) {
    const into = actions.subarray(lane * size, (lane + 1) * size);
    sampleGaussian(row, gaussian.logStd, random, into);
    boundActions(architecture, into);
  }
}

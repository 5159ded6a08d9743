import { EnvironmentError } from "../errors.ts";
import { elementsOf } from "../shape.ts";
import type { Action, BoxSpace, DiscreteSpace, EnvironmentSpec, Space } from "./environment.ts";

/**
 * A box of `shape`, by default of one dimension as long as the bounds. A bound is one number for all elements, or a list with one
 * an element, row-major. They are rounded to float32, as observations are.
 */
export function box(
  low: number | readonly number[],
  high: number | readonly number[],
  shape: readonly number[] = [Math.max(lengthOf(low), lengthOf(high))],
): BoxSpace {
  const size = elementsOf(shape);
  const expand = (bound: number | readonly number[]): number[] =>
    typeof bound === "number" ? new Array<number>(size).fill(Math.fround(bound)) : bound.map(Math.fround);
  return { kind: "box", shape, low: expand(low), high: expand(high) };
}

const lengthOf = (bound: number | readonly number[]): number => (typeof bound === "number" ? 1 : bound.length);

/** Choices 0 to `n` - 1. */
export function discrete(n: number): DiscreteSpace {
  return { kind: "discrete", n };
}

/** Number of values that one element of the space takes up in a flat buffer: 1 for a choice. */
export function sizeOf(space: Space): number {
  return space.kind === "discrete" ? 1 : elementsOf(space.shape);
}

/** The brightest that a pixel is. */
export const PIXEL = 255;

/** Whether the numbers of a space are pixels: from 0 to 255. */
export function isPixels({ low, high }: BoxSpace): boolean {
  return low.every((value) => value === 0) && high.every((value) => value === PIXEL);
}

/**
 * `action` as one of `n` choices.
 * @throws EnvironmentError when it is anything else than an integer from 0 to n - 1.
 */
function checkChoice(environment: string, n: number, action: Action): number {
  if (typeof action === "number" && Number.isInteger(action) && action >= 0 && action < n) return action;
  const given = typeof action === "number" ? `${action}` : "an array";
  throw new EnvironmentError(environment, `action is ${given}, expected an integer from 0 to ${n - 1}`);
}

/** @throws EnvironmentError when `action` is outside the action space of `spec`; names the value and its bounds. */
export function checkAction(spec: EnvironmentSpec, action: Action): void {
  const space = spec.actionSpace;
  if (space.kind === "discrete") {
    checkChoice(spec.id, space.n, action);
    return;
  }
  const size = space.low.length;
  if (typeof action === "number" || action.length !== size) {
    const given = typeof action === "number" ? `the number ${action}` : `an array of ${action.length} numbers`;
    throw new EnvironmentError(spec.id, `action is ${given}, expected an array of ${size}`);
  }
  for (let index = 0; index < size; index++) {
    const value = action[index]!;
    const low = space.low[index]!;
    const high = space.high[index]!;
    if (value >= Math.fround(low) && value <= Math.fround(high)) continue;
    throw new EnvironmentError(spec.id, `action[${index}] is ${value}, expected a number from ${low} to ${high}`);
  }
}

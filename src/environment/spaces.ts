import { EnvironmentError } from "../errors.ts";
import type { Action, BoxSpace, DiscreteSpace, EnvironmentSpec, Space } from "./environment.ts";

/** One-dimensional box. The bounds are rounded to float32, as observations are. */
export function box(low: readonly number[], high: readonly number[]): BoxSpace {
  return { kind: "box", shape: [low.length], low: low.map(Math.fround), high: high.map(Math.fround) };
}

/** Pictures or other grids of numbers from `low` to `high`. */
export function grid(shape: readonly number[], low: number, high: number): BoxSpace {
  const size = shape.reduce((product, length) => product * length, 1);
  return { kind: "box", shape, low: Array<number>(size).fill(low), high: Array<number>(size).fill(high) };
}

/** Choices 0 to `n` - 1. */
export function discrete(n: number): DiscreteSpace {
  return { kind: "discrete", n };
}

/** Number of values that one element of the space takes up in a flat buffer: 1 for a choice. */
export function sizeOf(space: Space): number {
  return space.kind === "discrete" ? 1 : space.shape.reduce((product, size) => product * size, 1);
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

import { z } from "zod";
import { EnvironmentError } from "../errors.ts";
import type { Plain } from "../plain.ts";

/** A `Float64Array` of `length` elements. */
export function float64(length: number): z.ZodType<Float64Array> {
  return z.instanceof(Float64Array).refine((values) => values.length === length, `expected ${length} numbers`);
}

/** The state of a part, which that part's own `setState` checks. */
export const partState = z.custom<Plain>((value) => value !== undefined, "is missing");

/**
 * What a `setState` was given, checked against `schema`.
 * @throws EnvironmentError when it is not from the `getState` of an environment of the same kind.
 */
export function parseState<State>(environment: string, schema: z.ZodType<State>, state: Plain): State {
  const parsed = schema.safeParse(state);
  if (parsed.success) return parsed.data;
  throw new EnvironmentError(
    environment,
    `this state is not from getState() of the same environment:\n${z.prettifyError(parsed.error)}`,
  );
}

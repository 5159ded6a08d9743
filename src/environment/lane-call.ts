import type { MessagePort } from "node:worker_threads";
import { EnvironmentError, reasonOf } from "../errors.ts";
import type { Plain } from "../plain.ts";
import type { LaneBuffers } from "./vector.ts";

/** What the main thread and a lane thread say to each other: one request at a time, each with one answer. */
export interface LaneThreadData {
  readonly environment: string;
  /** URLs of modules that export or register environments. */
  readonly modules: readonly string[];
  /** Calls come and their results go here. */
  readonly port: MessagePort;
  /** [4] shared; what its elements are is below. */
  readonly signal: Int32Array;
}

/** Requests and answers are counted, modulo 2^32; either side waits for the other's count to change. */
export const REQUESTS = 0;
export const ANSWERS = 1;
/** The vector that is to be stepped, or `CALL`. */
export const VECTOR = 2;
/** What is on the port: nothing, a result, or why the thread ended. */
export const RESULTS = 3;
export const NOTHING = 0;
export const RESULT = 1;
export const ENDED = 2;

/** No vector's number. */
export const CALL = 0;

/** All requests but a step, which goes by the signal alone. */
export type Call = { readonly vector: number } & (
  | { readonly method: "create"; readonly buffers: LaneBuffers; readonly actions: Int32Array | Float32Array }
  | { readonly method: "reset"; readonly lane: number; readonly seed: number | undefined }
  | { readonly method: "setState"; readonly state: Plain }
  | { readonly method: "getState" | "close" }
);

export type Result = { readonly value: Plain } | Failure;

/** An error without its class, which none keeps on its way to another thread. */
export interface Failure {
  readonly environment: string;
  readonly reason: string;
  readonly stack: string | undefined;
}

export function failureOf(environment: string, error: unknown): Failure {
  const { cause } = error instanceof EnvironmentError ? error : {};
  const { stack } = [cause, error].find((thrown) => thrown instanceof Error) ?? {};
  if (!(error instanceof EnvironmentError)) return { environment, reason: reasonOf(error), stack };
  // Its message begins with the environment's id, which the constructor adds again.
  return { environment: error.environment, reason: error.message.slice(`${error.environment}: `.length), stack };
}

export function errorOf({ environment, reason, stack }: Failure): EnvironmentError {
  return new EnvironmentError(environment, reason, { cause: stack });
}

/** To wake a thread takes longer than so many looks, and mostly the other side is done before. */
const LOOKS = 10_000;

/** Blocks until an element is no longer `old`; false when that takes longer than `milliseconds`. */
export function changes(signal: Int32Array, element: number, old: number, milliseconds: number): boolean {
  for (let look = 0; look < LOOKS; look++) if (Atomics.load(signal, element) !== old) return true;
  while (Atomics.load(signal, element) === old) {
    if (Atomics.wait(signal, element, old, milliseconds) === "timed-out") return Atomics.load(signal, element) !== old;
  }
  return true;
}

/** Counts one more in an element, and wakes whoever waits for that. */
export function count(signal: Int32Array, element: number): void {
  Atomics.add(signal, element, 1);
  Atomics.notify(signal, element);
}

import { inputSize } from "../network/architecture.ts";
import type { Policy } from "../network/policy.ts";
import { predictor } from "../network/predict.ts";

/** Rounds of which the median counts, and the least time of one, in milliseconds. */
const ROUNDS = 15;
const ROUND_MS = 4;

/** Median microseconds of one decision (batch 1, plain typed arrays, this thread): `latencyMicros` of `result.json`. */
export function measureLatency(policy: Policy): number {
  const predict = predictor(policy);
  const observation = new Float32Array(inputSize(policy.architecture)).fill(0.1);
  const times: number[] = [];
  let batch = 1;
  while (times.length < ROUNDS) {
    const start = performance.now();
    for (let i = 0; i < batch; i++) predict(observation);
    const elapsed = performance.now() - start;
    // Grow until a round is long against the clock's resolution; that also lets the compiler settle.
    if (elapsed < ROUND_MS) batch *= 2;
    else times.push((1000 * elapsed) / batch);
  }
  return times.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 0;
}

import { inputSize } from "../network/architecture.ts";
import { BlackBoxProgram } from "../network/black-box.ts";
import type { AnyPolicy } from "../network/policy.ts";
import { predictor } from "../network/predict.ts";
import type { Built } from "../verification/exports.ts";

/** Rounds of which the median counts, and the least time of one, in milliseconds. */
const ROUNDS = 15;
const ROUND_MS = 4;

/**
 * Median microseconds of one decision (batch 1, this thread): `latencyMicros` of `result.json`. Layers are plain loops over
 * typed arrays, a black box is run by ONNX Runtime.
 */
export async function measureLatency(policy: AnyPolicy): Promise<number> {
  const observation = new Float32Array(inputSize(policy.architecture)).fill(0.1);
  if ("model" in policy) {
    const program = await BlackBoxProgram.compile(policy, 1);
    program.bind("observations", observation);
    const time = await medianOf(async (times) => {
      for (let i = 0; i < times; i++) await program.run();
    });
    await program.dispose();
    return time;
  }
  const predict = predictor(policy);
  return medianOf((times) => {
    for (let i = 0; i < times; i++) predict(observation);
  });
}

/** The same of an export, by the greedy action for one observation. C is timed by itself, in a process of its own. */
export async function exportLatency(built: Built, observation: Float32Array): Promise<number> {
  const { speed } = built;
  if ("measure" in speed) return middleOf(speed.measure(observation)) / 1000;
  return medianOf((times) => speed.decide(observation, times));
}

/** Median microseconds of one of what `decide` does so many times. */
async function medianOf(decide: (times: number) => Promise<void> | void): Promise<number> {
  const times: number[] = [];
  let batch = 1;
  while (times.length < ROUNDS) {
    const start = performance.now();
    await decide(batch);
    const elapsed = performance.now() - start;
    // Grow until a round is long against the clock's resolution; that also lets the compiler settle.
    if (elapsed < ROUND_MS) batch *= 2;
    else times.push((1000 * elapsed) / batch);
  }
  return middleOf(times);
}

const middleOf = (times: readonly number[]): number =>
  times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;

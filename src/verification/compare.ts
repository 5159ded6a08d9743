import { compileFixed } from "../evaluation/evaluate.ts";
import { actionsOf } from "../network/action.ts";
import { inputSize, outputSize } from "../network/architecture.ts";
import type { Policy } from "../network/policy.ts";
import type { Observations } from "../replay/rows.ts";

/** Observations that are asked about at once. */
const BATCH = 100;

/** What an export answers to [rows, observation size]: [rows, outputs], and [rows] choices or [rows, outputs] numbers. */
interface Answers {
  readonly outputs: Float32Array;
  readonly actions: Float32Array;
}

/** Asks an export. */
export type Ask = (observations: Float32Array, rows: number) => Promise<Answers>;

/** How far an export is from its policy on some observations. */
export interface Comparison {
  /** Largest difference of an output, relative to the largest output where that is beyond 1. */
  readonly difference: number;
  /** Share of observations on which the greedy actions are equal; continuous ones within `tolerance` of their range. */
  readonly agreement: number;
}

/** Compares an export with its policy on [rows, observation size]. */
export async function compare(
  policy: Policy,
  observations: Observations,
  ask: Ask,
  tolerance: number,
): Promise<Comparison> {
  const { architecture } = policy;
  const { gaussian } = architecture;
  const width = inputSize(architecture);
  const rows = observations.length / width;
  const program = await compileFixed(policy, BATCH);
  const own = actionsOf(architecture, program);
  const size = outputSize(architecture);
  const acts = gaussian ? size : 1;
  const batch = new Float32Array(BATCH * width);
  let [difference, largest, agreed] = [0, 1, 0];
  for (let from = 0; from < rows; from += BATCH) {
    const count = Math.min(BATCH, rows - from);
    batch.set(observations.subarray(from * width, (from + count) * width));
    program.bind("observations", batch);
    await program.run();
    const outputs = program.floats("outputs");
    const answers = await ask(batch.subarray(0, count * width), count);
    for (let at = 0; at < count * size; at++) {
      difference = Math.max(difference, Math.abs((outputs[at] ?? 0) - (answers.outputs[at] ?? Number.NaN)));
      largest = Math.max(largest, Math.abs(outputs[at] ?? 0));
    }
    for (let row = 0; row < count; row++) {
      let equal = true;
      for (let d = 0; d < acts; d++) {
        const range = gaussian ? (gaussian.high[d] ?? 0) - (gaussian.low[d] ?? 0) : 0;
        const apart = Math.abs((own[row * acts + d] ?? 0) - (answers.actions[row * acts + d] ?? Number.NaN));
        if (!(apart <= range * tolerance)) equal = false;
      }
      if (equal) agreed++;
    }
  }
  await program.dispose();
  return { difference: difference / largest, agreement: agreed / rows };
}

import type { Distilled, DistillJob } from "../distillation/distill.ts";
import type { Emitted, EventOf } from "../events.ts";
import { countsOf } from "../network/architecture.ts";
import type { Examining } from "./context.ts";
import type { Pool } from "./pool.ts";
import { firstPassing } from "./search.ts";
import type { PopsState } from "./state.ts";

/** Tries students side by side; gives the first that passes. Events come in the jobs' order, for any number of workers. */
export async function* tryStudents(
  { timeIsUp }: Examining,
  pool: Pool,
  jobs: readonly DistillJob[],
  stage: EventOf<"candidate">["stage"],
  s: PopsState,
): AsyncGenerator<Emitted, Distilled | undefined> {
  const search = firstPassing(pool, jobs, s.jobs, timeIsUp);
  let next = await search.next();
  // Nothing of these jobs is in the log before all that is needed is known: a checkpoint in between repeats no event.
  for (; !next.done; next = await search.next()) {
    const state: PopsState = { ...s, jobs: next.value };
    yield { type: "checkpoint", state: () => state };
  }
  const iteration = stage === "distill" ? s.iteration : 0;
  for (const { job, result } of next.value) {
    const { architecture, start } = job;
    const { updates, loss, agreement, score, passed } = result;
    const { weights } = countsOf(architecture);
    s.step += updates;
    const { step } = s;
    yield { type: "candidate", step, stage, iteration, start, architecture, weights, loss, agreement, score, passed };
  }
  s.jobs = null;
  const last = next.value.at(-1)?.result;
  return last?.passed ? last : undefined;
}

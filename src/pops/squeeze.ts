import type { DistillJob } from "../distillation/distill.ts";
import type { Emitted } from "../events.ts";
import { type Architecture, countsOf, describe } from "../network/architecture.ts";
import { ladder } from "../shrinking/resize.ts";
import { tryStudents } from "./candidates.ts";
import type { Teaching } from "./context.ts";
import type { Pool } from "./pool.ts";
import { type PopsState, save } from "./state.ts";

/** The search below the smallest network that passed and above `least` weights. */
export function startSqueeze({ options, asStudent }: Teaching, s: PopsState, least = 0): void {
  s.phase = options.squeezeStarts > 0 ? "squeeze" : "proof";
  s.top = asStudent((s.passing.at(-1) ?? s.current ?? { architecture: s.first }).architecture as Architecture);
  const rungs = ladder(s.top as Architecture, options.squeezeGrowth);
  s.low = rungs.findLastIndex((rung) => countsOf(rung).weights <= least);
  s.high = null;
}

/** One rung of the search below the last passing size: bisection of the ladder, as if what passes were monotone in size. */
export async function* squeezeRound(context: Teaching, pool: Pool, s: PopsState): AsyncGenerator<Emitted, void> {
  const { options } = context;
  const rungs = ladder(s.top as Architecture, options.squeezeGrowth);
  const high = s.high ?? rungs.length;
  const rung = Math.floor((s.low + high) / 2);
  const architecture = rungs[rung];
  if (!architecture || high - s.low <= 1) {
    s.phase = "proof";
    return;
  }
  if (s.jobs === null) yield { type: "stage-started", step: s.step, stage: "squeeze", iteration: 0, architecture };
  const layers = describe(architecture);
  const tried = s.failed[layers] ?? 0;
  const jobs = Array.from(
    { length: Math.max(0, options.squeezeStarts - tried) },
    (_, start): DistillJob => ({ architecture, start: tried + start }),
  );
  const found = yield* tryStudents(context, pool, jobs, "squeeze", s);
  if (found) {
    s.high = rung;
    s.passing = [...s.passing, save({ architecture, parameters: found.parameters })];
  } else {
    s.low = rung;
    s.failed = { ...s.failed, [layers]: tried + jobs.length };
  }
}

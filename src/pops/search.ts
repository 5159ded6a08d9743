import type { Distilled, DistillJob, DistillState } from "../distillation/distill.ts";
import type { Plain } from "../plain.ts";
import type { Pool } from "./pool.ts";

/** How far a search is: results of jobs that ended, and the last state of those under way. */
export interface JobsState {
  readonly [key: string]: Plain;
  readonly done: readonly { readonly index: number; readonly result: Plain }[];
  readonly partial: readonly { readonly index: number; readonly state: Plain }[];
}

export interface Tried {
  readonly job: DistillJob;
  readonly result: Distilled;
}

/**
 * Runs jobs side by side until the first, in the jobs' order, passes. Jobs behind it that ended earlier don't count, so the
 * outcome is the same for any number of workers. Yields a state whenever a job got further; returns what was tried up to
 * the first that passed, or all; with `timeIsUp`, what had ended by then.
 *
 * @throws NumericError when a job failed whose turn came
 */
export async function* firstPassing(
  pool: Pool,
  jobs: readonly DistillJob[],
  saved: JobsState | null,
  timeIsUp: () => boolean = () => false,
): AsyncGenerator<JobsState, readonly Tried[]> {
  const done = new Map<number, Distilled>();
  const partial = new Map<number, DistillState>();
  const failed = new Map<number, Promise<Distilled>>();
  for (const { index, result } of saved?.done ?? []) done.set(index, result as unknown as Distilled);
  for (const { index, state } of saved?.partial ?? []) partial.set(index, state as DistillState);
  let wake: () => void = () => undefined;
  for (const [index, job] of jobs.entries()) {
    if (done.has(index)) continue;
    const onProgress = (state: DistillState): void => {
      partial.set(index, state);
      wake();
    };
    const running = pool.submit(job, partial.get(index), onProgress);
    running.then(
      (result) => {
        partial.delete(index);
        done.set(index, result);
        wake();
      },
      () => {
        failed.set(index, running);
        wake();
      },
    );
  }
  let first = 0;
  for (;;) {
    // Made before the look, so that nothing that happens during it is missed.
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    while (done.get(first)?.passed === false) first++;
    if (first === jobs.length || done.has(first) || timeIsUp()) break;
    // A job that failed throws in its turn only: one that came first and passes makes it unwanted, as with a single worker.
    await failed.get(first);
    await woken;
    yield {
      done: [...done].map(([index, result]) => ({ index, result: result as unknown as Plain })),
      partial: [...partial].map(([index, state]) => ({ index, state })),
    };
  }
  pool.cancel();
  return jobs.slice(0, first + 1).flatMap((job, index) => {
    const result = done.get(index);
    return result ? [{ job, result }] : [];
  });
}

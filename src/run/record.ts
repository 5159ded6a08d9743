import { NumericError } from "../errors.ts";
import { type Emitted, type Event, eventSchema } from "../events.ts";
import type { RunDirectory } from "./directory.ts";
import { type Restored, saveCheckpoint } from "./generations.ts";
import { firstIssue } from "./json.ts";
import { AppendLog } from "./log.ts";
import { fileVersionRecord, scalarsRecord } from "./tensorboard.ts";

/** How a run is recorded. */
export interface RecordOptions {
  /** Version of the program: a checkpoint is for the version that wrote it. */
  readonly program: string;
  /** Seconds between checkpoints; 0 takes every one that the algorithm offers. */
  readonly checkpointEvery: number;
  /** What `restore` returned. Without it the run begins anew and empties its logs. */
  readonly startedFrom?: Restored | undefined;
  /** Called with every event once it is in the log. */
  readonly onEvent?: ((event: Event) => void) | undefined;
  /** Stops the run at the algorithm's next safe point, with a checkpoint. */
  readonly signal?: AbortSignal | undefined;
}

/** `seconds`: wall-clock time spent in each stage, over all sessions of the run. */
export type Recorded<Result> =
  | { readonly interrupted: true; readonly seconds: Readonly<Record<string, number>> }
  | { readonly interrupted: false; readonly seconds: Readonly<Record<string, number>>; readonly result: Result };

/**
 * Runs an algorithm to its end and keeps what it yields: events in `events.jsonl` and TensorBoard's file, now and then a
 * checkpoint. The logs are on the disk before the checkpoint that names their lengths, so a process killed at any moment
 * goes on from its last checkpoint as if nothing had happened: nothing that is recorded depends on when checkpoints are
 * taken.
 *
 * @throws FileError when a log or a checkpoint cannot be written
 * @throws NumericError when an event is malformed: a number that is not finite, most likely
 */
export async function record<Result>(
  directory: RunDirectory,
  events: AsyncIterator<Emitted, Result>,
  options: RecordOptions,
): Promise<Recorded<Result>> {
  const { startedFrom, signal } = options;
  const logs = new Logs(directory, startedFrom?.lengths);
  const clock = new StageClock(startedFrom?.seconds ?? {}, startedFrom?.stage ?? null);
  let taken = performance.now();
  try {
    for (;;) {
      const next = await events.next();
      if (next.done === true) {
        logs.sync();
        return { interrupted: false, seconds: clock.read(), result: next.value };
      }
      const emitted = next.value;
      if (emitted.type !== "checkpoint") {
        if (emitted.type === "stage-started") clock.enter(emitted.stage);
        logs.append(emitted);
        options.onEvent?.(emitted);
        continue;
      }
      const interrupted = signal?.aborted === true;
      const due = emitted.last === true || performance.now() - taken >= 1000 * options.checkpointEvery;
      if (!interrupted && !due) continue;
      saveCheckpoint(directory, emitted.state(), {
        program: options.program,
        lengths: logs.sync(),
        seconds: clock.read(),
        stage: clock.stage,
      });
      if (interrupted) return { interrupted, seconds: clock.read() };
      taken = performance.now();
    }
  } finally {
    logs.close();
    await events.return?.();
  }
}

/** The two logs of a run, which grow together. */
class Logs {
  readonly #events: AppendLog;
  readonly #tensorboard: AppendLog;

  /** Without lengths both begin anew. */
  constructor(directory: RunDirectory, lengths: Restored["lengths"] | undefined) {
    this.#events = new AppendLog(directory.files.events);
    this.#tensorboard = new AppendLog(directory.files.tensorboard);
    this.#events.truncate(lengths?.events ?? 0);
    this.#tensorboard.truncate(lengths?.tensorboard ?? 0);
    if (lengths === undefined) this.#tensorboard.append(fileVersionRecord(secondsSince1970()));
  }

  append(event: Event): void {
    // The schema's order of fields is the log's: equal events have equal lines whoever made them.
    const parsed = eventSchema.safeParse(event);
    if (!parsed.success)
      throw new NumericError(`event ${event.type} at step ${event.step}: ${firstIssue(parsed.error)}`);
    this.#events.append(`${JSON.stringify(parsed.data)}\n`);
    const scalars = scalarsRecord(parsed.data, secondsSince1970());
    if (scalars !== undefined) this.#tensorboard.append(scalars);
  }

  sync(): Restored["lengths"] {
    return { events: this.#events.sync(), tensorboard: this.#tensorboard.sync() };
  }

  close(): void {
    this.#events.close();
    this.#tensorboard.close();
  }
}

/** Wall-clock seconds by stage. Time before the first stage belongs to none. */
class StageClock {
  readonly #seconds: Record<string, number>;
  #since = performance.now();
  stage: string | null;

  constructor(seconds: Readonly<Record<string, number>>, stage: string | null) {
    this.#seconds = { ...seconds };
    this.stage = stage;
  }

  enter(stage: string): void {
    this.read();
    this.stage = stage;
  }

  read(): Record<string, number> {
    const now = performance.now();
    if (this.stage !== null) this.#seconds[this.stage] = (this.#seconds[this.stage] ?? 0) + (now - this.#since) / 1000;
    this.#since = now;
    return { ...this.#seconds };
  }
}

function secondsSince1970(): number {
  return Date.now() / 1000;
}

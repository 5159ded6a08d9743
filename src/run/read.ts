import { z } from "zod";
import { FileError } from "../errors.ts";
import { EVENTS_VERSION, type Event, eventSchema } from "../events.ts";
import { readBounded } from "../files.ts";
import { parseJson } from "./json.ts";
import { type Result, resultSchema } from "./result.ts";

/** Those of long trainings have some megabytes. */
const MAX_EVENTS_BYTES = 100_000_000;
const MAX_LINE_BYTES = 100_000;
const MAX_RESULT_BYTES = 10_000_000;
/** Configurations have a kilobyte or two, and reading YAML takes the square of the time. */
const MAX_CONFIG_BYTES = 100_000;

/** The one line whose meaning never changes: by it a reader knows whether it understands the others. */
const versionSchema = z.looseObject({ type: z.literal("run-started"), version: z.number() });

/**
 * All events of an `events.jsonl`, in order. A last line without its end, which a killed process leaves or a working one
 * is still writing, is not an event yet.
 *
 * @throws FileError naming the line that is malformed or of another version
 */
export function readEvents(path: string): Event[] {
  const log = Buffer.from(readBounded(path, MAX_EVENTS_BYTES));
  const events: Event[] = [];
  for (let from = 0, end = log.indexOf("\n"); end >= 0; from = end + 1, end = log.indexOf("\n", from)) {
    const where = `line ${events.length + 1}`;
    if (end - from > MAX_LINE_BYTES) {
      throw new FileError(path, `${where} has ${end - from} bytes, at most ${MAX_LINE_BYTES} are an event`);
    }
    const line = log.toString("utf8", from, end);
    const started = versionSchema.safeParse(parseJson(line, z.unknown(), path, where));
    if (started.success && started.data.version !== EVENTS_VERSION) {
      throw new FileError(
        path,
        `${where} begins a log of version ${started.data.version}, this program reads version ${EVENTS_VERSION}: use the one that wrote it`,
      );
    }
    events.push(parseJson(line, eventSchema, path, where));
  }
  return events;
}

/**
 * The text of a run's `config.yaml`.
 *
 * @throws FileError when it is missing, or larger than any
 */
export function readConfig(path: string): string {
  return Buffer.from(readBounded(path, MAX_CONFIG_BYTES)).toString();
}

/**
 * The checked `result.json`.
 *
 * @throws FileError when it is missing (the run has not ended) or malformed
 */
export function readResult(path: string): Result {
  return parseJson(Buffer.from(readBounded(path, MAX_RESULT_BYTES)).toString(), resultSchema, path, "the result");
}

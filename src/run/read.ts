import { z } from "zod";
import { FileError } from "../errors.ts";
import { EVENTS_VERSION, type Event, eventSchema } from "../events.ts";
import { readBounded } from "../files.ts";
import { parseJson } from "./json.ts";
import { type Result, resultSchema } from "./result.ts";

const MAX_EVENTS_BYTES = 500_000_000;
const MAX_RESULT_BYTES = 10_000_000;

/** The one line whose meaning never changes: by it a reader knows whether it understands the others. */
const versionSchema = z.looseObject({ type: z.literal("run-started"), version: z.number() });

/**
 * All events of an `events.jsonl`, in order. A last line without its end, which a killed process leaves or a working one
 * is still writing, is not an event yet.
 *
 * @throws FileError naming the line that is malformed or of another version
 */
export function readEvents(path: string): Event[] {
  const lines = Buffer.from(readBounded(path, MAX_EVENTS_BYTES)).toString().split("\n");
  lines.pop();
  return lines.map((line, index) => {
    const where = `line ${index + 1}`;
    const started = versionSchema.safeParse(parseJson(line, z.unknown(), path, where));
    if (started.success && started.data.version !== EVENTS_VERSION) {
      throw new FileError(
        path,
        `${where} begins a log of version ${started.data.version}, this program reads version ${EVENTS_VERSION}: use the one that wrote it`,
      );
    }
    return parseJson(line, eventSchema, path, where);
  });
}

/**
 * The checked `result.json`.
 *
 * @throws FileError when it is missing (the run has not ended) or malformed
 */
export function readResult(path: string): Result {
  return parseJson(Buffer.from(readBounded(path, MAX_RESULT_BYTES)).toString(), resultSchema, path, "the result");
}

import { randomUUID } from "node:crypto";
import { closeSync, fstatSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { z } from "zod";
import { FileError, LockedError, reasonOf } from "../errors.ts";
import { openToAppend } from "../files.ts";

const entrySchema = z.strictObject({
  pid: z.number().int().min(1),
  /** Start time of the process in clock ticks since boot (Linux), null elsewhere: tells a process from a later one with its pid. */
  started: z.string().nullable(),
  id: z.string(),
});
const lineSchema = z.union([entrySchema, z.strictObject({ withdrawn: z.string() })]);

type Entry = z.infer<typeof entrySchema>;

/**
 * Takes the lock file at `path` for this process and returns the function that gives it back.
 *
 * Whoever wants the lock appends an entry; it belongs to the first entry whose process lives. Appends have one order for
 * all, so of several processes that find the entry of a dead one exactly one comes first, without a moment at which
 * nobody or two hold the lock. Only the holder deletes the file, and whoever appended to a deleted file tries again.
 * Needs a local file system: network file systems do not append atomically, and their other hosts' processes are unknown.
 *
 * @throws LockedError when another living process, or this one, holds it
 * @throws FileError when it cannot be written
 */
export function lock(path: string): () => void {
  const own: Entry = { pid: process.pid, started: startOf(process.pid), id: randomUUID() };
  for (;;) {
    const descriptor = open(path);
    try {
      // The line break in front ends a line that a killed process may have left torn.
      writeSync(descriptor, `\n${JSON.stringify(own)}\n`);
      const holder = entriesIn(path).find((entry) => isAlive(entry));
      if (holder !== undefined && holder.id !== own.id) {
        writeSync(descriptor, `${JSON.stringify({ withdrawn: own.id })}\n`);
        throw new LockedError(
          path,
          `process ${holder.pid} is working in this folder: wait for it, stop it, or use another folder`,
        );
      }
      // Looked at last: an earlier holder may have deleted the file and ended between our append and our look at it.
      if (holder !== undefined && statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(descriptor).ino) {
        return () => {
          try {
            rmSync(path, { force: true });
          } catch {
            // In a folder that can no longer be changed it stays: that of a process that has ended is taken over.
          }
        };
      }
    } catch (error) {
      if (error instanceof LockedError) throw error;
      throw new FileError(path, `could not be written: ${reasonOf(error)}`, { cause: error });
    } finally {
      closeSync(descriptor);
    }
  }
}

function open(path: string): number {
  try {
    return openToAppend(path);
  } catch (error) {
    throw new FileError(path, `could not be opened: ${reasonOf(error)}`, { cause: error });
  }
}

/** Entries in the order of their arrival, without those that were withdrawn. Torn lines are no entries. */
function entriesIn(path: string): Entry[] {
  const entries = new Map<string, Entry>();
  for (const line of textOf(path).split("\n")) {
    const parsed = lineSchema.safeParse(jsonOf(line));
    if (!parsed.success) continue;
    if ("withdrawn" in parsed.data) entries.delete(parsed.data.withdrawn);
    else entries.set(parsed.data.id, parsed.data);
  }
  return [...entries.values()];
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Empty when the holder has just deleted the file. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function isAlive({ pid, started }: Entry): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives and belongs to someone else.
    if (!(error instanceof Error && "code" in error && error.code === "EPERM")) return false;
  }
  const now = startOf(pid);
  return started === null || now === null || now === started;
}

/**
 * When the process started: field 22 of /proc/<pid>/stat (proc(5)). `ended` for a process that only its parent still
 * knows (field 3), null where there is nothing to read.
 */
function startOf(pid: number): string | null {
  const stat = textOf(`/proc/${pid}/stat`);
  // Field 2, the name in brackets, may itself hold blanks and brackets.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state] = fields;
  return state === "Z" || state === "X" ? "ended" : (fields[19] ?? null);
}

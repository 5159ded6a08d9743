import { randomUUID } from "node:crypto";
import {
  closeSync,
  constants,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { FileError, reasonOf } from "./errors.ts";

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "no such file or folder",
  ENOTDIR: "a part of the path is not a folder",
  EISDIR: "it is a folder",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EMFILE: "too many files are open",
};

/** What the operating system says is wrong, in words where it is common. */
function reason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return REASONS[code] ?? reasonOf(error);
}

/** Opens a file to append to, or makes it. Not one that a link leads to: that may be outside of the folder that is written to. */
export function openToAppend(path: string): number {
  const { O_APPEND, O_CREAT, O_WRONLY, O_NOFOLLOW } = constants;
  // Windows has no O_NOFOLLOW, which changes nothing in a sum of bits.
  return openSync(path, O_APPEND | O_CREAT | O_WRONLY | O_NOFOLLOW);
}

/** One call to the system reads no more than 2^31 - 1 bytes. */
const CHUNK = 2 ** 30;

/**
 * A whole file. The size is checked before anything is read or allocated.
 *
 * @throws FileError when it is missing, not a regular file, larger than `maxBytes`, or cannot be read
 */
export function readBounded(path: string, maxBytes: number): Uint8Array {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw new FileError(path, "is not a regular file");
    if (stat.size > maxBytes) throw new FileError(path, `holds ${stat.size} bytes, at most ${maxBytes} are read`);
    const bytes = new Uint8Array(stat.size);
    const file = openSync(path, "r");
    try {
      for (let at = 0; at < bytes.length; ) {
        const read = readSync(file, bytes, at, Math.min(CHUNK, bytes.length - at), null);
        if (read === 0) throw new FileError(path, "became shorter while it was read");
        at += read;
      }
    } finally {
      closeSync(file);
    }
    return bytes;
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw new FileError(path, `cannot be read: ${reason(error)}`, { cause: error });
  }
}

/**
 * Writes a file so that `path` holds either its former content or all of `bytes`, even after a crash or a power loss:
 * temporary file in the same folder, fsync, rename, fsync of the folder.
 *
 * @throws FileError when it cannot be written (disk full, read-only); the former content and no temporary file remain
 */
export function writeAtomically(path: string, bytes: Uint8Array): void {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${randomUUID()}.tmp`);
  try {
    syncing(temporary, "wx", (file) => {
      writeFileSync(file, bytes);
    });
    renameSync(temporary, path);
    // Windows cannot open folders; its rename is durable once the file system's own log is.
    if (process.platform !== "win32") syncing(folder, "r");
  } catch (error) {
    remove(temporary);
    throw new FileError(path, `cannot be written: ${reason(error)}`, { cause: error });
  }
}

function syncing(path: string, flags: string, write?: (file: number) => void): void {
  const file = openSync(path, flags);
  try {
    write?.(file);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Best effort: the error that led here is the one to report. */
function remove(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // The folder cannot be changed either.
  }
}

import { randomUUID } from "node:crypto";
import { closeSync, existsSync, ftruncateSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Where files are memory, on Linux. */
const IN_MEMORY = "/dev/shm";
/** What systems want of the places at which a file is mapped. */
const ALIGNMENT = 65_536;
/** What is allocated at once. */
const ZEROS = new Uint8Array(2 ** 20);

/**
 * Memory that a child process writes and this one reads: a file without a name, which goes with the two. For what is too
 * large for a pipe: a stream allocates each 64 kB that it reads anew, which takes longer than all copying.
 */
export class SharedMemory {
  /** For the child process to inherit. */
  readonly descriptor: number;
  /** Bytes that are allocated. */
  #size = 0;
  /** Places that were given back, by length. */
  readonly #free = new Map<number, number[]>();

  private constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  /** `undefined` where the system has no files without a name. */
  static create(): SharedMemory | undefined {
    if (process.platform === "win32") return undefined;
    for (const folder of [...(existsSync(IN_MEMORY) ? [IN_MEMORY] : []), tmpdir()]) {
      const path = join(folder, `pops-${randomUUID()}`);
      try {
        const descriptor = openSync(path, "wx+", 0o600);
        unlinkSync(path);
        return new SharedMemory(descriptor);
      } catch {
        // The next place, or none: pipes do it too.
      }
    }
    return undefined;
  }

  /** A place of so many bytes, which nobody else has until it is given back; `undefined` when there is no room for it. */
  reserve(bytes: number): number | undefined {
    const place = this.#free.get(bytes)?.pop();
    if (place !== undefined) return place;
    const end = this.#size;
    try {
      // Written, so that it is there: who touches memory that is not is killed.
      for (const grown = end + ALIGNMENT * Math.ceil(bytes / ALIGNMENT); this.#size < grown; ) {
        this.#size += writeSync(this.descriptor, ZEROS, 0, Math.min(ZEROS.length, grown - this.#size), this.#size);
      }
      return end;
    } catch {
      ftruncateSync(this.descriptor, end);
      this.#size = end;
      return undefined;
    }
  }

  release(place: number, bytes: number): void {
    this.#free.set(bytes, [...(this.#free.get(bytes) ?? []), place]);
  }

  /** Copies what is at a place. */
  read(place: number, into: Uint8Array): void {
    for (let filled = 0; filled < into.length; ) {
      const count = readSync(this.descriptor, into, filled, into.length - filled, place + filled);
      if (count === 0) throw new Error("shared memory is shorter than it was");
      filled += count;
    }
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

import { randomUUID } from "node:crypto";
import { closeSync, existsSync, openSync, readSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Where files are memory, on Linux. */
const IN_MEMORY = "/dev/shm";
/** What systems want of the places at which a file is mapped. */
const ALIGNMENT = 65_536;

/**
 * Memory that a child process writes and this one reads: a file without a name, which goes with the two. For what is too
 * large for a pipe: a stream allocates each 64 kB that it reads anew, which takes longer than all copying.
 */
export class SharedMemory {
  /** For the child process to inherit. */
  readonly descriptor: number;
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

  /** A place of so many bytes, which nobody else has until it is given back. The child process makes it as large. */
  reserve(bytes: number): number {
    const place = this.#free.get(bytes)?.pop() ?? this.#size;
    this.#size = Math.max(this.#size, ALIGNMENT * Math.ceil((place + bytes) / ALIGNMENT));
    return place;
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

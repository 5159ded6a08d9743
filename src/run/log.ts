import { closeSync, fstatSync, fsyncSync, ftruncateSync, writeSync } from "node:fs";
import { FileError, reasonOf } from "../errors.ts";
import { openToAppend } from "../files.ts";

/**
 * An append-only file whose length is part of every checkpoint. What a killed process wrote after its last checkpoint,
 * a torn last line included, goes away when the next session truncates to the checkpoint's length.
 */
export class AppendLog {
  readonly #path: string;
  readonly #descriptor: number;
  #length: number;

  /** Opens the file, or makes it empty. */
  constructor(path: string) {
    this.#path = path;
    this.#descriptor = this.#attempt("be opened", () => openToAppend(path));
    this.#length = fstatSync(this.#descriptor).size;
  }

  /** Cuts the file down to `length` bytes. Refuses a file that is shorter than that: then its beginning is not what was recorded. */
  truncate(length: number): void {
    if (this.#length < length) {
      throw new FileError(
        this.#path,
        `is ${this.#length} bytes long, but the checkpoint was taken at ${length}: it was changed from outside. ` +
          "Put the original back or start a new run in another folder",
      );
    }
    this.#attempt("be truncated", () => {
      ftruncateSync(this.#descriptor, length);
    });
    this.#length = length;
  }

  append(content: string | Uint8Array): void {
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    this.#attempt("be written", () => {
      for (let written = 0; written < bytes.length; ) written += writeSync(this.#descriptor, bytes, written);
    });
    this.#length += bytes.length;
  }

  /** Returns the length in bytes once everything up to it is on the disk. */
  sync(): number {
    this.#attempt("be synced", () => {
      fsyncSync(this.#descriptor);
    });
    return this.#length;
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #attempt<Value>(what: string, operation: () => Value): Value {
    try {
      return operation();
    } catch (error) {
      throw new FileError(this.#path, `could not ${what}: ${reasonOf(error)}`, { cause: error });
    }
  }
}

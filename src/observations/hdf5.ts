import { once } from "node:events";
import type { Worker } from "node:worker_threads";
import { FileError, reasonOf } from "../errors.ts";
import { startThread } from "../thread.ts";
import type { Recorded } from "./arrays.ts";
import type { Hdf5Reply, Hdf5Request } from "./hdf5-thread.ts";

const SIGNATURE = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];

export const isHdf5 = (bytes: Uint8Array): boolean => SIGNATURE.every((byte, i) => bytes[i] === byte);

/** Seconds that a file may take, and one more for each so many bytes: damaged ones can make the library go in circles. */
const SECONDS = 60;
const BYTES_A_SECOND = 1e7;

/**
 * Reads HDF5 files by the HDF5 library, compiled to WebAssembly: it sees the file's bytes and nothing else, no path, no other
 * file, at most 2 GiB of memory. It runs in a thread of its own, which is given up when a file breaks it or makes it hang.
 */
export class Hdf5Reader {
  #worker: Worker | undefined;
  readonly #seconds: number;

  /** `seconds`: time that a small file may take. */
  constructor(seconds = SECONDS) {
    this.#seconds = seconds;
  }

  /** @throws FileError when it is no HDF5 file, damaged, or without observations */
  async read(bytes: Uint8Array, path: string, key?: string): Promise<Recorded> {
    const reply = await this.#ask({ bytes, path, key });
    if ("recorded" in reply) return reply.recorded;
    if (reply.spoiled) await this.close();
    throw new FileError(path, reply.refused);
  }

  async #ask(request: Hdf5Request): Promise<Hdf5Reply> {
    this.#worker ??= await this.#start();
    const worker = this.#worker;
    const seconds = Math.ceil(this.#seconds + request.bytes.length / BYTES_A_SECOND);
    const late = AbortSignal.timeout(1000 * seconds);
    worker.postMessage(request);
    try {
      // Rejects when the thread fails.
      const [reply] = (await once(worker, "message", { signal: late })) as [Hdf5Reply];
      return reply;
    } catch (error) {
      const why = late.aborted ? `takes more than ${seconds} seconds` : `breaks its reader (${reasonOf(error)})`;
      return { refused: `${why}: it is damaged, or made to harm`, spoiled: true };
    }
  }

  async #start(): Promise<Worker> {
    // What the library says of damaged files goes nowhere: the error that it ends with says it again.
    const worker = startThread(new URL("./hdf5-thread.ts", import.meta.url), { stdout: true, stderr: true });
    worker.stdout.resume();
    worker.stderr.resume();
    // Its first message says that it is ready.
    await once(worker, "message");
    return worker;
  }

  /** Ends the thread; a later read starts another. */
  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    if (!worker) return;
    await worker.terminate();
  }
}

/**
 * The observations of an HDF5 file: one of Minari, whose groups `episode_<i>` hold `observations` each, or one of arrays side
 * by side, as D4RL's.
 * @throws FileError when it is no HDF5 file, damaged, or without observations
 */
export async function readHdf5(bytes: Uint8Array, path: string, key?: string): Promise<Recorded> {
  const reader = new Hdf5Reader();
  try {
    return await reader.read(bytes, path, key);
  } finally {
    await reader.close();
  }
}

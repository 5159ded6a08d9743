import { ShapeError } from "../errors.ts";
import type { Plain } from "../plain.ts";
import { copyRow, type Observations } from "./rows.ts";

/** Observations by slot, as a replay buffer keeps them. */
export interface ObservationStore {
  /** Keeps an observation in place of what the slot held. */
  set(slot: number, observation: Float32Array): void;
  /** Whether what a slot got is still there. */
  holds(slot: number): boolean;
  /** Writes the observation of a slot into row `row` of a batch. */
  read(slot: number, into: Observations, row: number): void;
  /** Of the first `slots` slots. */
  getState(slots: number): StoreState;
  /** @throws ShapeError when the state is not of as many slots, or of other observations */
  setState(state: StoreState, slots: number): void;
}

export interface StoreState {
  readonly [key: string]: Plain;
  readonly numbers: Float32Array | Uint8Array;
  /** Of frames: which ones each slot has, and how many were ever written. */
  readonly frames: { readonly ids: Uint32Array; readonly written: number } | null;
}

/** Every observation by itself: 4 bytes a number. */
export class RowStore implements ObservationStore {
  readonly #rows: Float32Array;
  readonly #width: number;

  constructor(slots: number, width: number) {
    this.#rows = new Float32Array(slots * width);
    this.#width = width;
  }

  set(slot: number, observation: Float32Array): void {
    this.#rows.set(observation, slot * this.#width);
  }

  holds(): boolean {
    return true;
  }

  read(slot: number, into: Observations, row: number): void {
    copyRow(this.#rows, slot, this.#width, into, row);
  }

  getState(slots: number): StoreState {
    return { numbers: this.#rows.slice(0, slots * this.#width), frames: null };
  }

  setState({ numbers, frames }: StoreState, slots: number): void {
    if (frames !== null || numbers.length !== slots * this.#width) {
      throw new ShapeError(
        "replay",
        `${numbers.length} numbers are not ${slots} observations of ${this.#width} numbers`,
      );
    }
    this.#rows.set(numbers);
  }
}

/**
 * Observations that are stacks of frames of bytes, as those of Atari are: 4 frames of which the next observation has 3 too.
 * Each frame is kept once, in a ring: one that equals a recent frame, whatever lane or transition it came with, is not written
 * again. So a store for n observations that follow each other takes about n frames, where stacks would take `stack` times as
 * many bytes, and float32 four times those. A slot whose frames the ring has overwritten `holds` nothing any more.
 */
export class FrameStore implements ObservationStore {
  readonly #stack: number;
  readonly #size: number;
  readonly #frames: Uint8Array;
  readonly #capacity: number;
  /** [slots, stack] numbers of frames in the order in which they were written, from 0. */
  readonly #ids: Uint32Array;
  #written = 0;
  /** The last frames by their hash. */
  readonly #recent = new Map<number, number>();
  readonly #hashes: Uint32Array;
  readonly #bytes: Uint8Array;

  /**
   * @param slots observations
   * @param width numbers of an observation
   * @param stack frames of an observation, its first axis
   * @param frames room for frames, beside that for those that may be shared
   */
  constructor(slots: number, width: number, stack: number, frames: number) {
    this.#stack = stack;
    this.#size = width / stack;
    const reach = Math.max(1024, Math.floor(frames / 64));
    this.#capacity = frames + 2 * reach;
    this.#frames = new Uint8Array(this.#capacity * this.#size);
    this.#ids = new Uint32Array(slots * stack);
    this.#hashes = new Uint32Array(reach);
    // A multiple of 4 bytes, for hashing by words.
    this.#bytes = new Uint8Array(Math.ceil(this.#size / 4) * 4);
  }

  set(slot: number, observation: Float32Array): void {
    for (let k = 0; k < this.#stack; k++) {
      this.#ids[slot * this.#stack + k] = this.#keep(observation.subarray(k * this.#size, (k + 1) * this.#size));
    }
  }

  /** The number of a frame: of an equal one, if it is recent, else of a new one. */
  #keep(frame: Float32Array): number {
    this.#bytes.set(frame);
    const hash = hashOf(this.#bytes);
    const known = this.#recent.get(hash);
    if (known !== undefined && this.#equals(known)) return known;
    return this.#write(hash);
  }

  #write(hash: number): number {
    const id = this.#written++;
    this.#frames.set(this.#bytes.subarray(0, this.#size), (id % this.#capacity) * this.#size);
    this.#remember(id, hash);
    return id;
  }

  #remember(id: number, hash: number): void {
    const reach = this.#hashes.length;
    const forgotten = this.#hashes[id % reach]!;
    if (this.#recent.get(forgotten) === id - reach) this.#recent.delete(forgotten);
    this.#hashes[id % reach] = hash;
    this.#recent.set(hash, id);
  }

  #frame(id: number): Uint8Array {
    const at = (id % this.#capacity) * this.#size;
    return this.#frames.subarray(at, at + this.#size);
  }

  #equals(id: number): boolean {
    return Buffer.compare(this.#frame(id), this.#bytes.subarray(0, this.#size)) === 0;
  }

  holds(slot: number): boolean {
    const oldest = this.#written - this.#capacity;
    for (let k = 0; k < this.#stack; k++) if (this.#ids[slot * this.#stack + k]! < oldest) return false;
    return true;
  }

  read(slot: number, into: Observations, row: number): void {
    for (let k = 0; k < this.#stack; k++) {
      into.set(this.#frame(this.#ids[slot * this.#stack + k]!), (row * this.#stack + k) * this.#size);
    }
  }

  getState(slots: number): StoreState {
    const held = Math.min(this.#written, this.#capacity);
    return {
      numbers: this.#frames.slice(0, held * this.#size),
      frames: { ids: this.#ids.slice(0, slots * this.#stack), written: this.#written },
    };
  }

  setState({ numbers, frames }: StoreState, slots: number): void {
    const held = frames === null ? 0 : Math.min(frames.written, this.#capacity);
    if (frames === null || numbers.length !== held * this.#size || frames.ids.length !== slots * this.#stack) {
      throw new ShapeError("replay", `a state of ${numbers.length} bytes does not fit frames of ${this.#size} bytes`);
    }
    this.#frames.set(numbers);
    this.#ids.set(frames.ids);
    this.#written = frames.written;
    this.#recent.clear();
    for (let id = Math.max(0, frames.written - this.#hashes.length); id < frames.written; id++) {
      this.#bytes.set(this.#frame(id));
      this.#remember(id, hashOf(this.#bytes));
    }
  }
}

/** FNV-1a by words of 32 bits. */
function hashOf(bytes: Uint8Array): number {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  let hash = 0x811c9dc5;
  for (let i = 0; i < words.length; i++) hash = Math.imul(hash ^ words[i]!, 0x01000193);
  return hash >>> 0;
}

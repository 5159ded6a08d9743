import type { Color } from "../surface.ts";

/** Rows and columns of an observation, and how many of the last frames it shows (Mnih et al. 2015). */
export const SIDE = 84;
export const STACK = 4;
const AREA = SIDE * SIDE;

/** What each of the outputs along one side covers of the source: pixels `first[k]` on, `weights[k * width + j]` of each. */
interface Coverage {
  readonly first: Int32Array;
  /** Source pixels that an output may touch. */
  readonly width: number;
  readonly weights: Int32Array;
  /** Sum of the weights of any one output. */
  readonly total: number;
}

/** In units in which both a source pixel and an output are whole: `SIDE` units the one, `size` the other, before reduction. */
function coverageOf(size: number): Coverage {
  const width = Math.ceil(size / SIDE) + 1;
  const first = new Int32Array(SIDE);
  const weights = new Int32Array(SIDE * width);
  for (let output = 0; output < SIDE; output++) {
    const from = output * size;
    const start = Math.min(Math.floor(from / SIDE), Math.max(0, size - width));
    first[output] = start;
    for (let j = 0; j < width; j++) {
      const pixel = (start + j) * SIDE;
      weights[output * width + j] = Math.max(0, Math.min(from + size, pixel + SIDE) - Math.max(from, pixel));
    }
  }
  return { first, width, weights, total: size };
}

/** round(0.299 R + 0.587 G + 0.114 B), the gray of OpenCV and of ALE. */
export function lumaOf(color: Color): number {
  const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
  return Math.round(0.299 * red! + 0.587 * green! + 0.114 * blue!);
}

/**
 * DeepMind's picture of an Atari game (Mnih et al. 2015): of two frames the lighter pixel, in gray, 84 x 84 by the mean of
 * the area that each output covers (OpenCV's INTER_AREA), the last four of them, oldest first. Whole numbers 0 to 255.
 *
 * Only rows that differ from those of the pictures before are computed again; what comes out does not depend on that.
 */
export class FrameStack {
  /** [4, 84, 84], the newest picture last. */
  readonly observation: Float32Array;
  /** The two frames of the next picture, [height, width]: to be filled before `fill` or `push`. */
  readonly frames: readonly [Uint8Array, Uint8Array];
  readonly #luma: Uint8Array;
  readonly #width: number;
  readonly #height: number;
  readonly #columns: Coverage;
  readonly #rows: Coverage;
  /** Both frames, and those of the last picture, four pixels a number. */
  readonly #words: readonly Uint32Array[];
  readonly #shown: readonly Uint32Array[];
  readonly #lightest: Uint8Array;
  /** [height, 84] rows that are resized along x alone. */
  readonly #narrow: Int32Array;
  readonly #changed: Uint8Array;
  /** [84, 84] the newest picture. */
  readonly #picture = new Uint8Array(AREA);
  #fresh = true;

  /**
   * @param width a multiple of 4
   * @param luma the gray of each value of a pixel
   * @param observation where the pictures go, if not into a buffer of its own
   */
  constructor(
    width: number,
    height: number,
    luma: Uint8Array,
    observation: Float32Array = new Float32Array(STACK * AREA),
  ) {
    this.#width = width;
    this.#height = height;
    this.#luma = luma;
    this.observation = observation;
    this.#columns = coverageOf(width);
    this.#rows = coverageOf(height);
    const words = (width * height) / 4;
    this.#words = [new Uint32Array(words), new Uint32Array(words)];
    this.#shown = [new Uint32Array(words), new Uint32Array(words)];
    this.frames = [new Uint8Array(this.#words[0]!.buffer), new Uint8Array(this.#words[1]!.buffer)];
    this.#lightest = new Uint8Array(width);
    this.#narrow = new Int32Array(height * SIDE);
    this.#changed = new Uint8Array(height);
  }

  /** Shows the picture of both frames four times: the beginning of an episode. */
  fill(): void {
    this.#compute();
    for (let frame = 0; frame < STACK; frame++) this.observation.set(this.#picture, frame * AREA);
  }

  /** Adds the picture of both frames, and drops the oldest. */
  push(): void {
    this.#compute();
    this.observation.copyWithin(0, AREA);
    this.observation.set(this.#picture, (STACK - 1) * AREA);
  }

  getState(): Uint8Array {
    return Uint8Array.from(this.observation);
  }

  setState(pictures: Uint8Array): void {
    this.observation.set(pictures);
  }

  #compute(): void {
    for (let y = 0; y < this.#height; y++) if (this.#fresh || this.#differs(y)) this.#narrowRow(y);
    this.#fresh = false;
    const { first, width, weights } = this.#rows;
    const total = this.#columns.total * this.#rows.total;
    const half = total / 2;
    const narrow = this.#narrow;
    const picture = this.#picture;
    for (let output = 0; output < SIDE; output++) {
      const start = first[output]!;
      const end = start + width;
      const changed = this.#changed.indexOf(1, start);
      if (changed < 0) break;
      if (changed >= end) continue;
      for (let x = 0; x < SIDE; x++) {
        let sum = half;
        for (let y = start; y < end; y++) sum += weights[output * width + y - start]! * narrow[y * SIDE + x]!;
        picture[output * SIDE + x] = sum / total;
      }
    }
    this.#changed.fill(0);
  }

  /** Whether row `y` of either frame is another than in the last picture. */
  #differs(y: number): boolean {
    const words = this.#width / 4;
    const from = y * words;
    for (let frame = 0; frame < 2; frame++) {
      const now = this.#words[frame]!;
      const before = this.#shown[frame]!;
      for (let word = from; word < from + words; word++) if (now[word] !== before[word]) return true;
    }
    return false;
  }

  #narrowRow(y: number): void {
    const words = this.#width / 4;
    for (let frame = 0; frame < 2; frame++) {
      const now = this.#words[frame]!;
      const before = this.#shown[frame]!;
      for (let word = y * words; word < (y + 1) * words; word++) before[word] = now[word]!;
    }
    this.#changed[y] = 1;
    const [a, b] = this.frames;
    const luma = this.#luma;
    const lightest = this.#lightest;
    for (let x = 0, at = y * this.#width; x < lightest.length; x++, at++) {
      lightest[x] = Math.max(luma[a[at]!]!, luma[b[at]!]!);
    }
    const { first, width, weights } = this.#columns;
    for (let output = 0; output < SIDE; output++) {
      let sum = 0;
      for (let j = 0; j < width; j++) sum += weights[output * width + j]! * lightest[first[output]! + j]!;
      this.#narrow[y * SIDE + output] = sum;
    }
  }
}

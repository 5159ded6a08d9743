import type { Color } from "../surface.ts";

/** Rows and columns of an observation, and how many of the last frames it shows (Mnih et al. 2015). */
export const SIDE = 84;
export const STACK = 4;
const AREA = SIDE * SIDE;

/**
 * Where the outputs along a side of `size` pixels end: `part[k]` / 84 into pixel `pixel[k]`, so that the k-th (from 1) reaches
 * from border k - 1 to border k.
 */
interface Borders {
  readonly pixel: Int32Array;
  readonly part: Int32Array;
}

function bordersOf(size: number): Borders {
  const pixel = Int32Array.from({ length: SIDE + 1 }, (_, k) => Math.floor((k * size) / SIDE));
  return { pixel, part: pixel.map((at, k) => k * size - at * SIDE) };
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
  /** The two frames of the next picture, [height, width], or twice the only one: to be filled before `fill` or `push`. */
  readonly frames: readonly [Uint8Array, Uint8Array];
  readonly #luma: Uint8Array;
  readonly #width: number;
  readonly #height: number;
  readonly #columns: Borders;
  readonly #rows: Borders;
  /** The frames, and those of the last picture, four pixels a number. */
  readonly #words: readonly Uint32Array[];
  readonly #shown: readonly Uint32Array[];
  /** A row of both frames, and a pixel beyond. */
  readonly #lightest: Uint8Array;
  /** [height, 84] rows made narrow: 84 times the sum of what each output covers. */
  readonly #narrow: Int32Array;
  readonly #changed: Uint8Array;
  readonly #sums = new Int32Array(SIDE);
  /** [84, 84] the newest picture. */
  readonly #picture = new Float32Array(AREA);
  #fresh = true;

  /**
   * @param width a multiple of 4
   * @param luma the gray of each value of a pixel
   * @param count of frames a picture: one is the lighter of two already
   * @param observation where the pictures go, if not into a buffer of its own
   */
  constructor(
    width: number,
    height: number,
    luma: Uint8Array,
    count: 1 | 2,
    observation: Float32Array = new Float32Array(STACK * AREA),
  ) {
    this.#width = width;
    this.#height = height;
    this.#luma = luma;
    this.observation = observation;
    this.#columns = bordersOf(width);
    this.#rows = bordersOf(height);
    const wordsOf = (): Uint32Array[] => Array.from({ length: count }, () => new Uint32Array((width * height) / 4));
    this.#words = wordsOf();
    this.#shown = wordsOf();
    this.frames = [new Uint8Array(this.#words[0]!.buffer), new Uint8Array(this.#words.at(-1)!.buffer)];
    this.#lightest = new Uint8Array(width + 1);
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
    for (let y = 0; y < this.#height; y++) if (this.#fresh || this.#differs(y, this.#shown, 0)) this.#narrowRow(y);
    this.#fresh = false;
    const { pixel } = this.#rows;
    for (let output = 0; output < SIDE; output++) {
      const changed = this.#changed.indexOf(1, pixel[output]);
      if (changed < 0) break;
      if (changed <= pixel[output + 1]!) this.#mixRows(output);
    }
    this.#changed.fill(0);
  }

  /** The mean of the rows that row `output` of the picture covers. */
  #mixRows(output: number): void {
    const { pixel, part } = this.#rows;
    const [from, to] = [pixel[output]!, pixel[output + 1]!];
    const narrow = this.#narrow;
    const total = this.#width * this.#height;
    const sums = this.#sums.fill(total / 2);
    for (let y = from; y <= to && y < this.#height; y++) {
      const weight = (y < to ? SIDE : part[output + 1]!) - (y > from ? 0 : part[output]!);
      for (let x = 0, at = y * SIDE; x < SIDE; x++, at++) sums[x]! += weight * narrow[at]!;
    }
    for (let x = 0; x < SIDE; x++) this.#picture[output * SIDE + x] = (sums[x]! / total) | 0;
  }

  /** Whether row `y` of a frame is another than row `y - above` of `others`. */
  #differs(y: number, others: readonly Uint32Array[], above: number): boolean {
    const words = this.#width / 4;
    const from = y * words;
    const back = above * words;
    for (let frame = 0; frame < this.#words.length; frame++) {
      const now = this.#words[frame]!;
      const other = others[frame]!;
      for (let word = from; word < from + words; word++) if (now[word] !== other[word - back]) return true;
    }
    return false;
  }

  #narrowRow(y: number): void {
    const words = this.#width / 4;
    for (let frame = 0; frame < this.#words.length; frame++) {
      const now = this.#words[frame]!;
      const before = this.#shown[frame]!;
      for (let word = y * words; word < (y + 1) * words; word++) before[word] = now[word]!;
    }
    this.#changed[y] = 1;
    if (y > 0 && !this.#differs(y, this.#words, 1)) {
      this.#narrow.copyWithin(y * SIDE, (y - 1) * SIDE, y * SIDE);
      return;
    }
    const [a, b] = this.frames;
    const luma = this.#luma;
    const lightest = this.#lightest;
    for (let x = 0, at = y * this.#width; x < this.#width; x++, at++) {
      lightest[x] = Math.max(luma[a[at]!]!, luma[b[at]!]!);
    }
    const { pixel, part } = this.#columns;
    const narrow = this.#narrow;
    // What is left of each border: 84 times the pixels, and a part of the next.
    let pixels = 0;
    let before = 0;
    for (let x = 0, k = 1, at = y * SIDE; k <= SIDE; k++, at++) {
      const border = pixel[k]!;
      for (; x < border; x++) pixels += lightest[x]!;
      const left = SIDE * pixels + part[k]! * lightest[border]!;
      narrow[at] = left - before;
      before = left;
    }
  }
}

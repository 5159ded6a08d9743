import { z } from "zod";
import { ShapeError } from "../errors.ts";
import type { Plain } from "../plain.ts";
import { checkSeed, seedSequence } from "./seed-sequence.ts";

const TWO_32 = 2 ** 32;
const INVERSE_32 = 2 ** -32;

/** PCG's 128-bit multiplier 0x2360ed051fc65da44385df649fccf645 in 32-bit limbs, least significant first. */
const M0 = 0x9fccf645;
const M1 = 0x4385df64;
const M2 = 0x1fc65da4;
const M3 = 0x2360ed05;

const limbs = z.instanceof(Uint32Array).refine((words) => words.length === 4, "expected 4 words");
const stateSchema = z.strictObject({
  state: limbs,
  increment: limbs.refine((words) => words[0]! % 2 === 1, "expected an odd number"),
  half: z.number().int().min(0).lt(TWO_32).nullable(),
});

/**
 * High 32 bits of the 64-bit product of two unsigned 32-bit integers, given its low 32 bits. The product and the
 * difference are each rounded by at most 2^10, so before rounding the quotient is within 2^-21 of the integer.
 */
function highProduct(a: number, b: number, low: number): number {
  return ((a * b - low) * INVERSE_32 + 0.5) >>> 0;
}

function lowProduct(a: number, b: number): number {
  return Math.imul(a, b) >>> 0;
}

/**
 * PCG64 (XSL-RR 128/64) seeded by SeedSequence: the numbers of `numpy.random.Generator(PCG64(seed))`, bit for bit, which
 * are also Gymnasium's. 128-bit arithmetic on 32-bit limbs, without allocation.
 * Source: O'Neill 2014, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for Random Number
 * Generation"; numpy.random.PCG64.
 */
export class Pcg64 {
  /** Limbs, least significant first: 0-3 state, 4-7 increment, 8-9 the 64 bits drawn last. */
  readonly #words = new Uint32Array(10);
  /** The unused upper half of the 64 bits that `nextUint32` drew last. */
  #half: number | null = null;

  /** @throws UsageError when the seed is not one or several integers from 0 to 2^53 - 1. */
  constructor(seed: number | readonly number[]) {
    const words = this.#words;
    const drawn = seedSequence(seed, 8);
    // Each 128-bit number is two 64-bit words, high one first, each with its low half first.
    const [s2, s3, s0, s1, i2, i3, i0, i1] = [...drawn] as [number, ...number[]];
    const increment = [i0!, i1!, i2!, i3!];
    for (let limb = 0; limb < 4; limb++) {
      words[4 + limb] = (increment[limb]! << 1) | (limb === 0 ? 1 : increment[limb - 1]! >>> 31);
    }
    // The generator starts from state 0, steps, adds the seed and steps; the first step leaves the increment.
    let carry = 0;
    for (const [limb, value] of [s0!, s1!, s2, s3!].entries()) {
      const sum = words[4 + limb]! + value + carry;
      words[limb] = sum;
      carry = sum >= TWO_32 ? 1 : 0;
    }
    this.#next();
  }

  /** state = state * multiplier + increment modulo 2^128, then XSL-RR: xor of the halves, rotated by the top 6 bits. */
  #next(): void {
    const words = this.#words;
    const a0 = words[0]!;
    const a1 = words[1]!;
    const a2 = words[2]!;
    const a3 = words[3]!;
    const p00 = lowProduct(a0, M0);
    const p10 = lowProduct(a1, M0);
    const p01 = lowProduct(a0, M1);
    const p20 = lowProduct(a2, M0);
    const p11 = lowProduct(a1, M1);
    const p02 = lowProduct(a0, M2);
    // Sums stay below 2^36 as exact doubles; what is above 32 bits carries into the next limb.
    const column0 = p00 + words[4]!;
    const column1 = highProduct(a0, M0, p00) + p10 + p01 + words[5]! + (column0 >= TWO_32 ? 1 : 0);
    const carry1 = (column1 * INVERSE_32) >>> 0;
    const column2 = highProduct(a1, M0, p10) + highProduct(a0, M1, p01) + p20 + p11 + p02 + words[6]! + carry1;
    const carry2 = (column2 * INVERSE_32) >>> 0;
    const highs = highProduct(a2, M0, p20) + highProduct(a1, M1, p11) + highProduct(a0, M2, p02);
    const lows = Math.imul(a3, M0) + Math.imul(a2, M1) + Math.imul(a1, M2) + Math.imul(a0, M3);
    const s0 = column0 | 0;
    const s1 = column1 | 0;
    const s2 = column2 | 0;
    const s3 = (highs + lows + words[7]! + carry2) | 0;
    words[0] = s0;
    words[1] = s1;
    words[2] = s2;
    words[3] = s3;
    const rotation = s3 >>> 26;
    const swap = rotation >= 32;
    const low = swap ? s3 ^ s1 : s2 ^ s0;
    const high = swap ? s2 ^ s0 : s3 ^ s1;
    const shift = rotation & 31;
    // `<< 1 << 31 - shift` is a shift by 32 - shift that is right for shift 0 too.
    words[8] = (low >>> shift) | ((high << 1) << (31 - shift));
    words[9] = (high >>> shift) | ((low << 1) << (31 - shift));
  }

  /** Uniform integer from 0 to 2^32 - 1: numpy's `next_uint32`. Two calls use up one 64-bit number, low half first. */
  nextUint32(): number {
    if (this.#half !== null) {
      const half = this.#half;
      this.#half = null;
      return half;
    }
    this.#next();
    this.#half = this.#words[9]!;
    return this.#words[8]!;
  }

  /** Uniform in [0, 1) with 53 random bits: numpy's `random()`. */
  double(): number {
    this.#next();
    return (this.#words[9]! * 2 ** 21 + (this.#words[8]! >>> 11)) * 2 ** -53;
  }

  /** Uniform in [low, high): numpy's `uniform(low, high)`. */
  uniform(low: number, high: number): number {
    return low + (high - low) * this.double();
  }

  /**
   * Unbiased integer from 0 to n - 1: numpy's `integers(n)`, that is Lemire's method ("Fast Random Integer Generation in
   * an Interval", 2019) on `nextUint32`. n = 1 draws nothing.
   * @throws ShapeError unless n is an integer from 1 to 2^32.
   */
  integer(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > TWO_32) {
      throw new ShapeError("Pcg64.integer", `n is ${n}, expected an integer from 1 to ${TWO_32}`);
    }
    if (n === 1) return 0;
    if (n === TWO_32) return this.nextUint32();
    let word = this.nextUint32();
    let low = lowProduct(word, n);
    if (low < n) {
      const threshold = (TWO_32 - n) % n;
      while (low < threshold) {
        word = this.nextUint32();
        low = lowProduct(word, n);
      }
    }
    return highProduct(word, n, low);
  }

  /** Standard normal by Box and Muller's formula, two doubles a number. Not the numbers of numpy's `standard_normal`. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.double()));
    return radius * Math.cos(2 * Math.PI * this.double());
  }

  /** `state`, `increment`: 128-bit integers as four 32-bit words, least significant first. `half`: see `nextUint32`. */
  getState(): Plain {
    return { state: this.#words.slice(0, 4), increment: this.#words.slice(4, 8), half: this.#half };
  }

  /** @throws ShapeError when `state` is not from `getState`. The generator is then unchanged. */
  setState(state: Plain): void {
    const parsed = stateSchema.safeParse(state);
    if (!parsed.success) throw new ShapeError("Pcg64.setState", z.prettifyError(parsed.error));
    this.#words.set(parsed.data.state, 0);
    this.#words.set(parsed.data.increment, 4);
    this.#half = parsed.data.half;
  }
}

/** FNV-1a, 32 bits, over the UTF-8 bytes. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** Low and high 32-bit word. */
function twoWords(value: number): [number, number] {
  checkSeed(value);
  return [value % TWO_32, Math.floor(value / TWO_32)];
}

/**
 * The random stream of a run that is called `name`, and of its parts that `indices` number (episode 7, lane 3): a
 * generator of its own, independent of all others, that depends on nothing but the arguments. Its entropy is the 32-bit
 * words [seed low, seed high, FNV-1a of the name, number of indices, then low and high of each index]: no two lists of
 * seed and indices give the same words.
 * @throws UsageError when the seed or an index is not an integer from 0 to 2^53 - 1.
 */
export function stream(seed: number, name: string, ...indices: number[]): Pcg64 {
  const [seedLow, seedHigh] = twoWords(seed);
  return new Pcg64([seedLow, seedHigh, hashOf(name), indices.length, ...indices.flatMap(twoWords)]);
}

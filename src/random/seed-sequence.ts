import { UsageError } from "../errors.ts";

/** 32-bit words of hashed entropy that everything else is derived from. */
const POOL_SIZE = 4;

/** @throws UsageError unless `seed` is an integer from 0 to 2^53 - 1. */
export function checkSeed(seed: number): void {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new UsageError("seed", `is ${seed}, expected an integer from 0 to ${Number.MAX_SAFE_INTEGER}`);
  }
}

/** `value` as 32-bit words, least significant first; 0 is one word. */
function wordsOf(value: number): number[] {
  checkSeed(value);
  const low = value >>> 0;
  const high = (value - low) / 2 ** 32;
  return high === 0 ? [low] : [low, high];
}

/** One multiplicative hash whose constant changes with each use. Every product is modulo 2^32. */
function hasher(constant: number, multiplier: number): (value: number) => number {
  return (value) => {
    const mixed = value ^ constant;
    constant = Math.imul(constant, multiplier);
    const product = Math.imul(mixed, constant);
    return product ^ (product >>> 16);
  };
}

function mix(x: number, y: number): number {
  const difference = Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y);
  return difference ^ (difference >>> 16);
}

/**
 * numpy's `SeedSequence(entropy).generate_state(count, uint32)`: spreads one or several non-negative integers over
 * `count` well-mixed 32-bit words. The integers are concatenated as 32-bit words and padded with zeros to four, so
 * `1`, `[1]` and `[1, 0]` are the same entropy.
 * Source: numpy.random.SeedSequence, after O'Neill's `randutils::seed_seq_fe`.
 * @throws UsageError when an integer is negative, fractional or above 2^53 - 1.
 */
export function seedSequence(entropy: number | readonly number[], count: number): Uint32Array {
  const words = (typeof entropy === "number" ? [entropy] : entropy).flatMap(wordsOf);
  const pool = new Uint32Array(POOL_SIZE);
  const hash = hasher(0x43b0d7e5, 0x931e8875);
  for (let index = 0; index < POOL_SIZE; index++) pool[index] = hash(words[index] ?? 0);
  for (let source = 0; source < POOL_SIZE; source++) {
    for (let target = 0; target < POOL_SIZE; target++) {
      if (source !== target) pool[target] = mix(pool[target]!, hash(pool[source]!));
    }
  }
  for (const word of words.slice(POOL_SIZE)) {
    for (let target = 0; target < POOL_SIZE; target++) pool[target] = mix(pool[target]!, hash(word));
  }
  const expand = hasher(0x8b51f9dd, 0x58f38ded);
  return Uint32Array.from({ length: count }, (_, index) => expand(pool[index % POOL_SIZE]!));
}

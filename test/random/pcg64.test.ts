import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError, UsageError } from "../../src/errors.ts";
import { Pcg64, stream } from "../../src/random/pcg64.ts";
import { seedSequence } from "../../src/random/seed-sequence.ts";

interface Recorded {
  readonly entropy: number | number[];
  readonly words: number[];
  readonly state: number[];
  readonly increment: number[];
  readonly uint32s: number[];
  readonly doubles: number[];
  readonly uniforms: number[];
  readonly integers: [number, number[]][];
  readonly final_state: number[];
}

const fixture = new URL("../fixtures/numpy-pcg64.json", import.meta.url);
const { generators } = JSON.parse(readFileSync(fixture, "utf8")) as { generators: Recorded[] };

function draw<T>(count: number, next: () => T): T[] {
  return Array.from({ length: count }, next);
}

function statesOf(random: Pcg64): { state: number[]; increment: number[] } {
  const { state, increment } = random.getState() as { state: Uint32Array; increment: Uint32Array };
  return { state: [...state], increment: [...increment] };
}

/** The generator's definition in exact integers: an independent implementation. */
function* reference({ state: start, increment }: ReturnType<typeof statesOf>): Generator<bigint> {
  const big = (words: number[]): bigint => words.reduceRight((sum, word) => (sum << 32n) | BigInt(word), 0n);
  let state = big(start);
  for (;;) {
    state = BigInt.asUintN(128, state * 0x2360ed051fc65da44385df649fccf645n + big(increment));
    const folded = BigInt.asUintN(64, (state >> 64n) ^ state);
    const rotation = state >> 122n;
    yield BigInt.asUintN(64, (folded >> rotation) | (folded << (64n - rotation)));
  }
}

describe.each(generators)("seeded with $entropy, as numpy", (recorded) => {
  it("spreads the entropy over the same words", () => {
    expect([...seedSequence(recorded.entropy, 8)]).toEqual(recorded.words);
  });

  it("starts from the same state", () => {
    const { state, increment } = recorded;
    expect(statesOf(new Pcg64(recorded.entropy))).toEqual({ state, increment });
  });

  it("draws the same numbers of all kinds in one sequence", () => {
    const random = new Pcg64(recorded.entropy);
    expect(draw(5, () => random.nextUint32())).toEqual(recorded.uint32s);
    expect(draw(4, () => random.double())).toEqual(recorded.doubles);
    expect(draw(3, () => random.uniform(-0.6, -0.4))).toEqual(recorded.uniforms);
    for (const [bound, values] of recorded.integers) {
      expect(draw(values.length, () => random.integer(bound))).toEqual(values);
    }
    expect(statesOf(random).state).toEqual(recorded.final_state);
  });
});

describe("Pcg64", () => {
  it("agrees with 128-bit integer arithmetic for any seed", () => {
    fc.assert(
      fc.property(fc.array(fc.maxSafeNat(), { minLength: 1, maxLength: 7 }), (entropy) => {
        const random = new Pcg64(entropy);
        const exact = reference(statesOf(random));
        for (let count = 0; count < 50; count++) {
          const low = random.nextUint32();
          const high = random.nextUint32();
          expect((BigInt(high) << 32n) | BigInt(low)).toBe(exact.next().value);
        }
      }),
    );
  });

  it("goes on exactly from a saved state, half a draw included", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(5), (seed, draws) => {
        const random = new Pcg64(seed);
        draw(draws, () => random.nextUint32());
        const state = structuredClone(random.getState());
        const future = draw(3, () => [random.nextUint32(), random.double(), random.normal(), random.integer(7)]);
        const restored = new Pcg64(0);
        restored.setState(state);
        expect(
          draw(3, () => [restored.nextUint32(), restored.double(), restored.normal(), restored.integer(7)]),
        ).toEqual(future);
      }),
    );
  });

  it("gives a state that later draws do not change", () => {
    const random = new Pcg64(1);
    const saved = random.getState();
    const copy = structuredClone(saved);
    random.double();
    expect(saved).toEqual(copy);
  });

  it("draws every integer below the bound about equally often", () => {
    const random = new Pcg64(3);
    const counts = [0, 0, 0, 0, 0, 0];
    for (let count = 0; count < 60_000; count++) counts[random.integer(6)]! += 1;
    // Chi-square with 5 degrees of freedom exceeds 20.5 once in a thousand seeds.
    expect(counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0)).toBeLessThan(20.5);
  });

  it("draws 0 below the bound 1 without using the generator", () => {
    const random = new Pcg64(3);
    const before = random.getState();
    expect(random.integer(1)).toBe(0);
    expect(random.getState()).toEqual(before);
  });

  it("draws normals with mean 0, variance 1, kurtosis 3", () => {
    const random = new Pcg64(5);
    const values = draw(200_000, () => random.normal());
    const moment = (power: number): number => values.reduce((sum, value) => sum + value ** power, 0) / values.length;
    expect(moment(1)).toBeCloseTo(0, 1);
    expect(Math.abs(moment(1))).toBeLessThan(0.01);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.015);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.1);
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 53])("refuses the seed %s", (seed) => {
    expect(() => new Pcg64(seed)).toThrow(UsageError);
    expect(() => new Pcg64([1, seed])).toThrow(`seed: is ${seed}, expected an integer from 0 to 9007199254740991`);
  });

  it.each([0, -3, 1.5, 2 ** 32 + 1])("refuses the bound %s of an integer", (bound) => {
    expect(() => new Pcg64(0).integer(bound)).toThrow(ShapeError);
  });

  it.each([
    null,
    {},
    { state: new Uint32Array(3), increment: Uint32Array.of(1, 0, 0, 0), half: null },
    { state: new Uint32Array(4), increment: new Uint32Array(4), half: null },
    { state: new Uint32Array(4), increment: Uint32Array.of(1, 0, 0, 0), half: -1 },
  ])("refuses the state %j and stays as it was", (state) => {
    const random = new Pcg64(0);
    const before = random.getState();
    expect(() => {
      random.setState(state);
    }).toThrow(ShapeError);
    expect(random.getState()).toEqual(before);
  });
});

describe("stream", () => {
  const first = (random: Pcg64): number => random.double();

  it("gives the same numbers for the same arguments", () => {
    expect(first(stream(1, "replay", 2, 3))).toBe(first(stream(1, "replay", 2, 3)));
  });

  it("is seeded with the seed, the FNV-1a hash of the name and the indices as 32-bit words", () => {
    // 0xe40c292c is the published FNV-1a check value of "a".
    expect(first(stream(5, "a", 2 ** 32 + 9))).toBe(first(new Pcg64([5, 0, 0xe40c292c, 1, 9, 1])));
  });

  it("gives different numbers whenever an argument differs", () => {
    const streams = [
      stream(1, "a"),
      stream(2, "a"),
      stream(2 ** 32 + 1, "a"),
      stream(1, "b"),
      stream(1, "a", 0),
      stream(1, "a", 0, 0),
      stream(1, "a", 1),
      stream(1, "a", 0, 1),
      stream(1, "a", 1, 0),
      stream(1, "a", 2 ** 32),
    ];
    expect(new Set(streams.map(first)).size).toBe(streams.length);
  });

  it.each([-1, 1.5, 2 ** 60])("refuses %s as seed and as index", (value) => {
    expect(() => stream(value, "a")).toThrow(UsageError);
    expect(() => stream(0, "a", value)).toThrow(UsageError);
  });
});

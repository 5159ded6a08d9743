import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { stream } from "../../src/random/pcg64.ts";
import { ReplayBuffer } from "../../src/replay/uniform.ts";
import { emptyBatch, numbersIn, transition } from "./transitions.ts";

function filled(capacity: number, count: number): ReplayBuffer {
  const buffer = new ReplayBuffer(capacity, 2);
  for (let number = 0; number < count; number++) buffer.add(...transition(number));
  return buffer;
}

/** Numbers of the transitions held, slot by slot. */
function held(buffer: ReplayBuffer): number[] {
  const batch = emptyBatch(buffer.size);
  for (let slot = 0; slot < buffer.size; slot++) buffer.read(slot, batch, slot);
  return numbersIn(batch);
}

const sizes = fc.tuple(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 0, max: 35 }));

it("holds the last transitions, each whole, in the slots that `add` named", () => {
  fc.assert(
    fc.property(sizes, ([capacity, count]) => {
      const buffer = new ReplayBuffer(capacity, 2);
      const slots = Array.from({ length: capacity }, (): number | undefined => undefined);
      for (let number = 0; number < count; number++) slots[buffer.add(...transition(number))] = number;
      expect(buffer.size).toBe(Math.min(capacity, count));
      expect(held(buffer)).toEqual(slots.filter((number) => number !== undefined));
      expect(held(buffer).toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: buffer.size }, (_, i) => count - buffer.size + i),
      );
    }),
  );
});

it("keeps copies of the observations", () => {
  const buffer = new ReplayBuffer(2, 2);
  const [observation, action, reward, next, discount] = transition(3);
  buffer.add(observation, action, reward, next, discount);
  observation.fill(9);
  next.fill(9);
  expect(held(buffer)).toEqual([3]);
});

it("samples whole transitions, all held ones equally often", () => {
  const buffer = filled(8, 11);
  const batch = emptyBatch(8_000);
  buffer.sample(stream(0, "replay"), batch);
  const counts = new Map<number, number>();
  for (const number of numbersIn(batch)) counts.set(number, (counts.get(number) ?? 0) + 1);
  expect([...counts.keys()].toSorted((a, b) => a - b)).toEqual([3, 4, 5, 6, 7, 8, 9, 10]);
  // 1000 expected, standard deviation sqrt(8000 * 1/8 * 7/8) = 29.6; five of them.
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(148);
});

it("samples the same from the same stream", () => {
  const draw = (seed: number): number[] => {
    const batch = emptyBatch(20);
    filled(10, 10).sample(stream(seed, "replay"), batch);
    return numbersIn(batch);
  };
  expect(draw(1)).toEqual(draw(1));
  expect(draw(1)).not.toEqual(draw(2));
});

it("refuses to sample when it is empty", () => {
  expect(() => {
    new ReplayBuffer(3, 2).sample(stream(0, "replay"), emptyBatch(1));
  }).toThrow(new ShapeError("replay", "is empty, there is nothing to sample"));
});

describe("a state", () => {
  it("goes on as the buffer that it came from, into whatever buffer it is put", () => {
    fc.assert(
      fc.property(sizes, fc.nat(25), fc.nat(15), ([capacity, count], more, before) => {
        const first = filled(capacity, count);
        const second = filled(capacity, before);
        second.setState(structuredClone(first.getState()));
        for (let number = count; number < count + more; number++) {
          expect(second.add(...transition(number))).toBe(first.add(...transition(number)));
        }
        expect(held(second)).toEqual(held(first));
        expect(second.getState()).toEqual(first.getState());
      }),
    );
  });

  it("is not changed by what is added later", () => {
    const buffer = filled(3, 3);
    const state = buffer.getState();
    const copy = structuredClone(state);
    buffer.add(...transition(9));
    expect(state).toEqual(copy);
  });

  it("has only what is held", () => {
    expect(filled(1000, 3).getState().observations.numbers).toHaveLength(12);
  });

  it("that is not full fits a larger buffer", () => {
    const larger = new ReplayBuffer(9, 2);
    larger.setState(filled(5, 3).getState());
    larger.add(...transition(3));
    expect(held(larger)).toEqual([0, 1, 2, 3]);
  });

  it.each([
    ["a smaller buffer", 4, 2, 5, 5, "a state of 5 transitions that goes on at slot 0 does not fit a buffer of 4"],
    [
      "a smaller buffer that it fills",
      3,
      2,
      5,
      3,
      "a state of 3 transitions that goes on at slot 3 does not fit a buffer",
    ],
    [
      "a larger one once it is a ring",
      9,
      2,
      5,
      7,
      "a state of 5 transitions that goes on at slot 2 does not fit a buffer",
    ],
    ["other observations", 5, 3, 5, 3, "12 numbers are not 6 observations of 3 numbers"],
  ])("does not fit %s", (_name, capacity, width, from, count, message) => {
    const buffer = new ReplayBuffer(capacity, width);
    const state = filled(from, count).getState();
    expect(() => {
      buffer.setState(state);
    }).toThrow(ShapeError);
    expect(() => {
      buffer.setState(state);
    }).toThrow(message);
    expect(buffer.size).toBe(0);
  });
});

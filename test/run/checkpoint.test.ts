import fc from "fast-check";
import { expect, it } from "vitest";
import { FileError, NumericError, ShapeError } from "../../src/errors.ts";
import type { Plain } from "../../src/plain.ts";
import { type CheckpointHeader, decodeState, encodeState } from "../../src/run/checkpoint.ts";
import { decodeSafetensors } from "../../src/safetensors.ts";
import { exact, plain } from "./fixtures/states.ts";

const header: CheckpointHeader = {
  config: "c0ffee",
  program: "1.2.3",
  lengths: { events: 120, tensorboard: 77 },
  seconds: { teacher: 1.5, prune: 0.1 },
  stage: "prune",
};

it("gives back every state with every bit", () => {
  fc.assert(
    fc.property(plain, (state) => {
      expect(exact(decodeState(encodeState(state, header), "x").state)).toEqual(exact(state));
    }),
    { numRuns: 500 },
  );
});

it("gives back the header", () => {
  expect(decodeState(encodeState(null, header), "x").header).toEqual(header);
});

it("writes equal states to equal bytes", () => {
  const state = { weights: Float32Array.of(1, -0, Number.NaN), step: 3 };
  expect(encodeState(structuredClone(state), header)).toEqual(encodeState(state, header));
});

it("is a safetensors file with one tensor for each typed array", () => {
  const bytes = encodeState({ a: Float32Array.of(1, 2), b: [Uint8Array.of(3)] }, header);
  const { tensors } = decodeSafetensors(bytes, "x");
  expect([...tensors.values()].map(({ data }) => data)).toEqual([Float32Array.of(1, 2), Uint8Array.of(3)]);
});

it.each([
  ["NaN", { teacher: { loss: Number.NaN } }, "state.teacher.loss is NaN"],
  ["infinity", { scores: [1, Number.NEGATIVE_INFINITY] }, "state.scores[1] is -Infinity"],
])("refuses %s outside typed arrays and names its place", (_name, state, message) => {
  expect(() => encodeState(state, header)).toThrow(NumericError);
  expect(() => encodeState(state, header)).toThrow(message);
});

it.each<[string, unknown, string]>([
  ["undefined", { a: undefined }, "state.a is of type undefined"],
  ["a function", [() => 1], "state[0] is of type function"],
  ["a class", { a: new Map() }, "state.a is a Map"],
  ["an array of another type", { a: new Int16Array(1) }, "state.a is a Int16Array"],
])("refuses %s and names its place", (_name, state, message) => {
  expect(() => encodeState(state as Plain, header)).toThrow(ShapeError);
  expect(() => encodeState(state as Plain, header)).toThrow(message);
});

it("refuses a cycle", () => {
  const state: Plain[] = [];
  state.push(state);
  expect(() => encodeState(state, header)).toThrow(ShapeError);
});

it("refuses each of 10,000 damaged files or reads it as it was", () => {
  const state = { name: "dqn", step: 12, noise: Float64Array.of(0.5, -0, Number.NaN), seen: [Uint8Array.of(1, 2, 3)] };
  const bytes = encodeState(state, header);
  const expected = JSON.stringify(exact(state));
  // xorshift32: the same damage at every run.
  let random = 2463534242;
  const draw = (limit: number) => {
    random ^= random << 13;
    random ^= random >>> 17;
    random ^= random << 5;
    return (random >>> 0) % limit;
  };
  let refused = 0;
  for (let trial = 0; trial < 10_000; trial += 1) {
    const damaged = bytes.slice(0, trial % 4 === 3 ? draw(bytes.length) : bytes.length);
    for (let flips = trial % 3; flips >= 0 && damaged.length > 0; flips -= 1) {
      const at = draw(damaged.length);
      damaged[at] = damaged[at]! ^ (1 << draw(8));
    }
    try {
      expect(JSON.stringify(exact(decodeState(damaged, "run/latest").state))).toBe(expected);
    } catch (error) {
      expect(error).toBeInstanceOf(FileError);
      expect(error).toHaveProperty("path", "run/latest");
      refused += 1;
    }
  }
  // Two flips of one bit undo each other now and then.
  expect(refused).toBeGreaterThan(9_900);
});

it("refuses a file with a digest but of another format", () => {
  const bytes = Buffer.from(encodeState(null, header));
  bytes.write("pops-checkpoinT", bytes.indexOf("pops-checkpoint"));
  expect(() => decodeState(bytes, "x")).toThrow("is damaged");
});

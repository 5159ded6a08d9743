import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import { type BlackBoxArchitecture, describe as sizes } from "../../src/network/architecture.ts";
import type { BlackBox } from "../../src/network/policy.ts";
import { popsSchema } from "../../src/pops/options.ts";
import { firstStudent } from "../../src/pops/student.ts";
import { cartPoleTeacher } from "./hand-made.ts";

function box(weights: number, change: Partial<BlackBoxArchitecture> = {}): BlackBox {
  const model = { value: "q", dtype: "float32" as const, nodes: 1, weights, nonZero: 0, biases: 0, bytes: 0, macs: 0 };
  return {
    architecture: { input: [4], model, outputs: 2, head: "q-values", ...change },
    model: new Uint8Array(0),
    rows: 1,
  };
}

const optionsOf = (student: object) => popsSchema.parse({ objective: 1, lowerBound: 0, student });
const student = (teacher: BlackBox, wanted: object = {}) => firstStudent(teacher, optionsOf(wanted));

describe("the first student of a black box", () => {
  it.each([
    [1_000_000, "4-64-64-2"],
    [4_480, "4-32-32-2"],
    [1_216, "4-16-16-2"],
    [22, "4-2-2-2"],
    [16, "4-1-1-2"],
    [8, "4-1-1-2"],
    [7, "4-1-2"],
  ])("is smaller than one of %i weights: %s", (weights, layers) => {
    expect(sizes(student(box(weights))!)).toBe(layers);
  });

  it("is the linear policy where its inputs and outputs leave no room for more", () => {
    const one = student(box(2, { input: [1], outputs: 1 }));
    expect(sizes(one!)).toBe("1-1");
  });

  it("does not exist where no network of layers is smaller", () => {
    expect(() => student(box(6))).toThrow(UsageError);
    expect(() => student(box(6))).toThrow("--teacher: counts 6 weights: no network of layers has fewer");
  });

  it("has relu layers, a linear output, and what the teacher says of observations and actions", () => {
    const gaussian = { logStd: [0, 0], low: [-1, -1], high: [1, 1], squash: true as const };
    const normalization = { mean: [1], deviation: [2], clip: 3 };
    expect(student(box(40, { head: "gaussian", gaussian, normalization }))).toEqual({
      input: [4],
      head: "gaussian",
      gaussian,
      normalization,
      layers: [
        { kind: "dense", units: 2, activation: "relu" },
        { kind: "dense", units: 2, activation: "relu" },
        { kind: "dense", units: 2, activation: "none" },
      ],
    });
  });

  it("has convolutions where images are large enough for them, and bytes brought to [0, 1]", () => {
    const { model } = box(2_000_000).architecture;
    const images = box(0, { input: [4, 84, 84], model: { ...model, dtype: "uint8" }, outputs: 6 });
    const first = student(images)!;
    expect(sizes(first)).toBe("4x84x84-16c8s4-32c4s2-256-6");
    expect(first.normalization).toEqual({ mean: [0], deviation: [255] });
    expect(sizes(student(box(1e6, { input: [2, 3, 4] }))!)).toBe("2x3x4-64-64-2");
  });

  it("is the one that the settings want", () => {
    expect(sizes(student(box(1_000), { hidden: [8, 3], activation: "tanh" })!)).toBe("4-8-3-2");
    expect(sizes(student(box(1_000), { hidden: [] })!)).toBe("4-2");
    const images = box(100_000, { input: [1, 12, 12] });
    const convolutions = [{ filters: 2, kernel: 4, stride: 2 }];
    expect(sizes(student(images, { convolutions })!)).toBe("1x12x12-2c4s2-2");
    expect(sizes(student(images, { convolutions, hidden: [5] })!)).toBe("1x12x12-2c4s2-5-2");
  });

  it.each<[string, object, string]>([
    ["larger", { hidden: [30, 30] }, "4-30-30-2 has 1080 weights, the teacher 1000: a student has to be smaller"],
    [
      "of images",
      { convolutions: [{ filters: 2, kernel: 4, stride: 2 }] },
      "is a convolution behind observations of shape [4]",
    ],
  ])("is refused when the wanted one is %s", (_name, wanted, problem) => {
    expect(() => student(box(1_000), wanted)).toThrow(UsageError);
    expect(() => student(box(1_000), wanted)).toThrow(problem);
  });
});

it("convolutions are refused for a student where channels come last", () => {
  const images = box(100_000, { input: [12, 12, 3] });
  const wanted = { convolutions: [{ filters: 2, kernel: 2, stride: 1 }] };
  expect(() => student(images, wanted)).toThrow(UsageError);
  expect(() => student(images, wanted)).toThrow(
    "pops.student: layer 1 is a convolution over observations of shape [12,",
  );
});

describe("the first student of a network", () => {
  it("is its own copy, for which there is none", () => {
    expect(firstStudent(cartPoleTeacher(), optionsOf({}))).toBeNull();
  });

  it("is one only where the settings want it", () => {
    expect(sizes(firstStudent(cartPoleTeacher(), optionsOf({ hidden: [5] }))!)).toBe("4-5-2");
  });
});

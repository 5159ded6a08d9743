import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { box, discrete } from "../../src/environment/spaces.ts";
import { UsageError } from "../../src/errors.ts";
import {
  type Architecture,
  architectureSchema,
  checkFits,
  countsOf,
  dense,
  describe as describeArchitecture,
  hiddenWidths,
  inputSize,
  type Layer,
  layoutOf,
  outputSize,
  parameterCount,
} from "../../src/network/architecture.ts";
import { architectures } from "./architectures.ts";

const teacher = dense(4, [256, 256, 128], 2, "q-values");
const pixels: Architecture = {
  input: [2, 3],
  layers: [
    { kind: "dense", units: 5, activation: "tanh" },
    { kind: "dense", units: 3, activation: "none" },
  ],
  head: "logits",
};

it("counts the network of the paper", () => {
  // 4 * 256 + 256 * 256 + 256 * 128 + 128 * 2 weights, 256 + 256 + 128 + 2 biases.
  expect(countsOf(teacher)).toEqual({ weights: 99_584, biases: 642, bytes: 400_904, macs: 99_584 });
  expect(parameterCount(teacher)).toBe(100_226);
});

it("lays weights out in front of biases, layer by layer", () => {
  expect(layoutOf(pixels)).toEqual([
    {
      name: "dense_1",
      inputs: 6,
      outputs: 5,
      activation: "tanh",
      weights: { offset: 0, length: 30 },
      biases: { offset: 30, length: 5 },
      rowsPerUnit: 1,
      positions: 1,
    },
    {
      name: "output",
      inputs: 5,
      outputs: 3,
      activation: "none",
      weights: { offset: 35, length: 15 },
      biases: { offset: 50, length: 3 },
      rowsPerUnit: 1,
      positions: 1,
    },
  ]);
});

it("covers the parameter vector without gap or overlap", () => {
  fc.assert(
    fc.property(architectures, (architecture) => {
      const parts = layoutOf(architecture).flatMap(({ weights, biases }) => [weights, biases]);
      const end = parts.reduce((at, { offset, length }) => {
        expect(offset).toBe(at);
        return at + length;
      }, 0);
      expect(end).toBe(parameterCount(architecture));
    }),
  );
});

it("describes a network by its widths", () => {
  expect([teacher, pixels, dense(8, [], 4, "logits")].map(describeArchitecture)).toEqual([
    "4-256-256-128-2",
    "2x3-5-3",
    "8-4",
  ]);
});

it("knows input, hidden and output widths", () => {
  expect([inputSize(pixels), hiddenWidths(pixels), outputSize(pixels)]).toEqual([6, [5], 3]);
});

it("makes dense networks with a linear output", () => {
  expect(dense(3, [4], 2, "logits", "tanh")).toEqual({
    input: [3],
    layers: [
      { kind: "dense", units: 4, activation: "tanh" },
      { kind: "dense", units: 2, activation: "none" },
    ],
    head: "logits",
  });
});

it("survives JSON and validation", () => {
  fc.assert(
    fc.property(architectures, (architecture) => {
      expect(architectureSchema.parse(JSON.parse(JSON.stringify(architecture)))).toEqual(architecture);
    }),
  );
});

const layer = { kind: "dense", units: 2, activation: "relu" };
it.each([
  ["no layers", { ...teacher, layers: [] }],
  ["65 layers", { ...teacher, layers: Array.from({ length: 65 }, () => layer) }],
  ["a layer without units", { ...teacher, layers: [{ ...layer, units: 0 }] }],
  ["half a unit", { ...teacher, layers: [{ ...layer, units: 1.5 }] }],
  ["an unknown activation", { ...teacher, layers: [{ ...layer, activation: "gelu" }] }],
  ["an unknown kind of layer", { ...teacher, layers: [{ ...layer, kind: "lstm" }] }],
  ["an unknown head", { ...teacher, head: "value" }],
  ["no input", { ...teacher, input: [] }],
  ["a key that nobody knows", { ...teacher, dropout: 0.5 }],
])("refuses %s", (_name, value) => {
  expect(architectureSchema.safeParse(value).success).toBe(false);
});

const normalized: Architecture = {
  ...pixels,
  normalization: { mean: [0, 1, 2, 3, 4, 5], deviation: [1, 1, 1, 1, 1, 1], clip: 10 },
};
const gaussian: Architecture = {
  ...dense(4, [5], 2, "gaussian"),
  gaussian: { logStd: [0, 0], low: [-1, -1], high: [1, 2] },
};

it("counts the statistics of a normalisation as bytes, not as parameters, and a Gaussian's deviations not at all", () => {
  const plain = countsOf(pixels);
  expect(countsOf(normalized)).toEqual({ ...plain, bytes: plain.bytes + 4 * 12 });
  expect(parameterCount(normalized)).toBe(parameterCount(pixels));
  expect(countsOf(gaussian)).toEqual(countsOf(dense(4, [5], 2, "logits")));
});

const withStatistics = (change: object) => ({
  ...normalized,
  normalization: { ...normalized.normalization, ...change },
});
const withGaussian = (change: object) => ({ ...gaussian, gaussian: { ...gaussian.gaussian, ...change } });
it.each<[string, unknown, string, string]>([
  ["too few means", withStatistics({ mean: [1, 1] }), "normalization.mean", "has 2 numbers, an observation has 6"],
  [
    "too many deviations",
    withStatistics({ deviation: [1, 1, 1, 1, 1, 1, 1] }),
    "normalization.deviation",
    "has 7 numbers, an observation has 6",
  ],
  ["a deviation of 0", withStatistics({ deviation: [1, 1, 0, 1, 1, 1] }), "normalization.deviation.2", "Too small"],
  ["no limit of what is normalised", withStatistics({ clip: undefined }), "normalization.clip", "expected number"],
  ["a limit of 0", withStatistics({ clip: 0 }), "normalization.clip", "Too small"],
  [
    "a mean that is not finite",
    withStatistics({ mean: [0, 0, 0, 0, 0, Infinity] }),
    "normalization.mean.5",
    "expected number",
  ],
  ["a gaussian head alone", dense(4, [], 2, "gaussian"), "gaussian", "is missing for a gaussian head"],
  [
    "a Gaussian of another head",
    { ...gaussian, head: "logits" },
    "gaussian",
    "belongs to a gaussian head, this one is logits",
  ],
  [
    "too many deviations of actions",
    withGaussian({ logStd: [0, 0, 0] }),
    "gaussian.logStd",
    "has 3 numbers, the network has 2 outputs",
  ],
  ["no lower bounds", withGaussian({ low: [] }), "gaussian.low", "has 0 numbers, the network has 2 outputs"],
  ["too few upper bounds", withGaussian({ high: [1] }), "gaussian.high", "has 1 numbers, the network has 2 outputs"],
  ["a deviation beyond float32", withGaussian({ logStd: [0, 100] }), "gaussian.logStd.1", "Too big"],
  [
    "bounds that leave no range",
    withGaussian({ low: [-1, 0], high: [1, 0] }),
    "gaussian.low",
    "is not below that of high",
  ],
  ["a bound at infinity", withGaussian({ low: [-Infinity, 0] }), "gaussian.low.0", "expected number"],
])("refuses %s and names the field", (_name, value, field, message) => {
  const issues = architectureSchema.safeParse(value).error!.issues;
  expect(issues.map(({ path }) => path.join("."))).toEqual([field]);
  expect(issues[0]!.message).toContain(message);
});

it("makes no images that nobody could compute", () => {
  const layer = { kind: "conv", units: 100_000, kernel: [1, 1], stride: [1, 1], padding: [1000, 1000, 1000, 1000] };
  const last = { kind: "dense", units: 2, activation: "none" };
  const wide = { input: [1, 9, 9], layers: [{ ...layer, activation: "relu" }, last], head: "q-values" };
  expect(architectureSchema.safeParse(wide).error?.issues[0]?.message).toContain("is one over images of 403608100000");
});

describe("an environment", () => {
  const spec = {
    id: "Toy-v0",
    observationSpace: box([0, 0, 0, 0], [1, 1, 1, 1]),
    actionSpace: discrete(2),
    maxEpisodeSteps: undefined,
    rewardThreshold: undefined,
  };

  it("fits a network with its observations and actions", () => {
    expect(() => {
      checkFits(teacher, spec);
    }).not.toThrow();
  });

  it("fits a network with its observations and the bounds of its actions, as float32", () => {
    expect(() => {
      const { gaussian: bounds, ...rest } = gaussian;
      checkFits(
        { ...rest, gaussian: { ...bounds!, low: [-0.1, -1] } },
        { ...spec, actionSpace: box([-0.1, -1], [1, 2]) },
      );
    }).not.toThrow();
  });

  const convolution: Layer = { kind: "conv", units: 2, kernel: [2, 2], stride: [1, 1], activation: "relu" };
  const overImages = (input: number[]): Architecture => ({
    input,
    layers: [convolution, { kind: "dense", units: 2, activation: "none" }],
    head: "logits",
  });
  const ofImages = (shape: readonly number[]) => ({ ...spec, observationSpace: box(0, 1, shape) });

  it.each([[[4, 84, 84]], [[3, 10, 10]], [[1, 9, 8]], [[6, 4, 4]], [[10, 10, 7]]])(
    "fits convolutions over images of shape %j",
    (shape) => {
      expect(() => {
        checkFits(overImages(shape), ofImages(shape));
      }).not.toThrow();
    },
  );

  it("fits dense layers over images whose channels come last", () => {
    expect(() => {
      checkFits({ ...dense(300, [], 2, "logits"), input: [10, 10, 3] }, ofImages([10, 10, 3]));
    }).not.toThrow();
  });

  it.each([
    [[10, 10, 3], "3, 10, 10"],
    [[84, 80, 4], "4, 84, 80"],
    [[12, 18, 2], "2, 12, 18"],
  ])("does not fit convolutions over images whose channels come last, %j", (shape, expected) => {
    expect(() => {
      checkFits(overImages(shape), ofImages(shape));
    }).toThrow(
      new UsageError(
        "architecture",
        `Toy-v0: layer 1 is a convolution over observations of shape [${shape.join(", ")}], whose channels come last, expected ` +
          `images [channels, height, width]: let the environment, or a wrapper around it, give [${expected}]`,
      ),
    );
  });

  it.each([
    [
      "another number of inputs",
      dense(3, [5], 2, "q-values"),
      spec,
      "3-5-2 takes observations of shape [3], but Toy-v0 gives [4]",
    ],
    [
      "as many inputs in another shape",
      { ...teacher, input: [2, 2] },
      spec,
      "2x2-256-256-128-2 takes observations of shape [2, 2], but Toy-v0 gives [4]",
    ],
    ["another number of outputs", dense(4, [], 3, "q-values"), spec, "4-3 has 3 outputs, but Toy-v0 has 2 actions"],
    [
      "a network that cannot choose continuous actions",
      teacher,
      { ...spec, actionSpace: box([0], [1]) },
      "Toy-v0 has continuous actions, which q-values cannot choose",
    ],
    ["a Gaussian where there are choices", gaussian, spec, "Toy-v0 has choices, which gaussian cannot choose"],
    [
      "actions with another number of dimensions",
      gaussian,
      { ...spec, actionSpace: box([-1], [1]) },
      "4-5-2 has 2 outputs, but Toy-v0 has 1 numbers an action",
    ],
    [
      "another lower bound of actions",
      gaussian,
      { ...spec, actionSpace: box([-1, -2], [1, 2]) },
      "its actions are bounded by other numbers (low) than those of Toy-v0",
    ],
    [
      "another upper bound of actions",
      gaussian,
      { ...spec, actionSpace: box([-1, -1], [2, 1]) },
      "its actions are bounded by other numbers (high) than those of Toy-v0",
    ],
  ])("does not fit %s", (_name, architecture, given, message) => {
    expect(() => {
      checkFits(architecture, given);
    }).toThrow(new UsageError("architecture", message));
  });
});

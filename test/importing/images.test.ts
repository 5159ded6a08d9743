import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EnvironmentSpec } from "../../src/environment/environment.ts";
import { box, discrete } from "../../src/environment/spaces.ts";
import { FileError, UsageError } from "../../src/errors.ts";
import type { ImportOptions } from "../../src/importing/dense-layers.ts";
import { policyFromSb3 } from "../../src/importing/sb3.ts";
import { policyFromStateDict } from "../../src/importing/state-dict.ts";
import type { TfVariable } from "../../src/importing/tf-checkpoint.ts";
import { policyFromTfVariables } from "../../src/importing/tf-policy.ts";
import { type NamedTensor, readTorch } from "../../src/importing/torch.ts";
import {
  type Architecture,
  type Convolution,
  checkFits,
  type Layer,
  describe as sizes,
} from "../../src/network/architecture.ts";
import type { Policy } from "../../src/network/policy.ts";
import { predictor } from "../../src/network/predict.ts";
import { stream } from "../../src/random/pcg64.ts";
import { convolutional } from "../arbitraries.ts";
import { sb3Of, torchOf } from "./fixtures/foreign-writer.ts";
import { randomPolicy } from "./fixtures/policies.ts";

function conv(units: number, kernel: number, stride: number): Convolution {
  return { kind: "conv", units, kernel: [kernel, kernel], stride: [stride, stride], activation: "relu" };
}

const denseOf = (units: number, activation: Layer["activation"] = "relu"): Layer => ({
  kind: "dense",
  units,
  activation,
});

/** Nature's network with few filters, over images of 36x40, whose pixels are divided by 255. */
const nature: Architecture = {
  input: [3, 36, 40],
  normalization: { mean: [0], deviation: [255] },
  layers: [conv(2, 8, 4), conv(4, 4, 2), conv(3, 3, 1), denseOf(5), denseOf(2, "none")],
  head: "q-values",
};
const names = ["a", "b", "c", "d", "e"];

function environmentOf(shape: readonly number[], brightest = 255): EnvironmentSpec {
  return {
    id: "Pictures-v0",
    observationSpace: box(0, brightest, shape),
    actionSpace: discrete(2),
    maxEpisodeSteps: undefined,
    rewardThreshold: undefined,
  };
}

const pixels = environmentOf(nature.input);
const stateDict = (architecture = nature): Map<string, NamedTensor> =>
  readTorch(torchOf(randomPolicy(architecture), names), "x");
const read = (options: ImportOptions, tensors = stateDict()): Policy =>
  policyFromStateDict(tensors, options, "x", "folder/agent.pt");

describe("a state dict with convolutions", () => {
  it("becomes the policy that it was made of: usual strides, pixels by the environment's bounds", () => {
    const policy = read({ environment: pixels });
    expect(policy.architecture).toEqual(nature);
    expect(policy.parameters).toEqual(randomPolicy(nature).parameters);
    checkFits(policy.architecture, pixels);
  });

  it("says in its provenance where everything comes from", () => {
    expect(read({ environment: pixels }).provenance).toEqual({
      source: "x agent.pt",
      layers: "a, b, c, d, e (guessed)",
      activations: "relu, relu, relu, relu, none (guessed)",
      head: "q-values (guessed)",
      images: "3x36x40 (the environment's)",
      strides: "4, 2, 1 (usual with such kernels)",
      padding: "0, 0, 0 (usual)",
      flatten: "chw (usual)",
      scale: "255 (bounds of the environment)",
    });
    const given = {
      strides: [4, 2, 1].map((s) => [s, s] as const),
      padding: [0, 0, 0],
      flatten: "chw",
      scale: 3,
    } as const;
    expect(read({ environment: pixels, ...given }).provenance).toMatchObject({
      strides: "4, 2, 1 (given)",
      padding: "0, 0, 0 (given)",
      flatten: "chw (given)",
      scale: "3 (given)",
    });
  });

  it("is read with any kernels, strides and padding that are given", () => {
    fc.assert(
      fc.property(convolutional, (architecture) => {
        const { layers, head, gaussian } = architecture;
        const plain = { ...architecture, normalization: { mean: [0], deviation: [0.5] } };
        const convolutions = layers.filter((layer) => layer.kind === "conv");
        // One number for all sides is what the options have; others are for policies of PoPS alone.
        fc.pre(convolutions.every(({ padding = [0] }) => new Set(padding).size === 1));
        const own = layers.map((_layer, l) => `layer${l}`);
        const policy = policyFromStateDict(
          readTorch(torchOf(randomPolicy(plain), own), "x"),
          {
            layers: own,
            activations: layers.map(({ activation }) => activation),
            strides: convolutions.map(({ stride }) => stride),
            padding: convolutions.map(({ padding = [0] }) => padding[0]),
            scale: 0.5,
            head,
            environment: {
              ...environmentOf(architecture.input),
              ...(gaussian && {
                actionSpace: { kind: "box", shape: [gaussian.low.length], low: gaussian.low, high: gaussian.high },
              }),
            },
          },
          "x",
          "x",
        );
        expect(policy.parameters).toEqual(randomPolicy(plain).parameters);
        expect(policy.architecture.layers).toEqual(layers.map(withoutZeros));
      }),
      { numRuns: 50 },
    );
  });

  /** Padding of zeros is none. */
  function withoutZeros(layer: Layer): Layer {
    if (layer.kind === "dense" || layer.padding?.some((zeros) => zeros > 0)) return layer;
    const { kind, units, kernel, stride, activation } = layer;
    return { kind, units, kernel, stride, activation };
  }

  it("has the smallest square images that fit, and pixels, where there is no environment", () => {
    const square: Architecture = { ...nature, input: [3, 44, 44] };
    const policy = read({}, stateDict(square));
    expect(policy.architecture.input).toEqual([3, 44, 44]);
    expect(policy.architecture.normalization).toEqual({ mean: [0], deviation: [255] });
    expect(policy.provenance).toMatchObject({ images: "3x44x44 (guessed)", scale: "255 (guessed)" });
    const wide = stateDict({ ...nature, input: [3, 36, 44] });
    expect(() => read({}, wide)).toThrow(
      "takes images that are not square, whose size it does not say: name an environment",
    );
  });

  it.each([
    ["of 0 to 1", environmentOf(nature.input, 1), {}, undefined],
    ["of 0 to 255 with a scale of 1", pixels, { scale: 1 }, undefined],
    ["of 0 to 255 with a scale of 256", pixels, { scale: 256 }, { mean: [0], deviation: [256] }],
    [
      "with statistics",
      pixels,
      { statistics: { normalization: { mean: [7], deviation: [2] }, source: "x.pkl" } },
      { mean: [7], deviation: [2] },
    ],
  ])("divides observations %s as it should", (_name, environment, options, normalization) => {
    expect(read({ environment, ...options }).architecture.normalization).toEqual(normalization);
  });

  it.each([
    ["11x9, 3x3 at a stride of 1", [2, 11, 9], 3, 1, [1, 1, 1, 1]],
    ["11x9, 4x4 at a stride of 1: the odd zero is last", [2, 11, 9], 4, 1, [1, 1, 2, 2]],
    ["11x9, 3x3 at a stride of 2", [2, 11, 9], 3, 2, [1, 1, 1, 1]],
    ["12x9, 3x3 at a stride of 2", [2, 12, 9], 3, 2, [0, 1, 1, 1]],
    ["6x9, 2x2 at a stride of 3", [2, 6, 9], 2, 3, undefined],
  ] as const)("pads as TensorFlow and PyTorch do by `same`: %s", (_name, input, kernel, stride, padding) => {
    const around = padding && { padding: [...padding] as [number, number, number, number] };
    const layers = [{ ...conv(3, kernel, stride), ...around }, denseOf(2, "none")];
    const architecture: Architecture = { ...nature, input: [...input], layers };
    const policy = read(
      { environment: environmentOf(input), strides: [[stride, stride]], padding: ["same"] },
      stateDict(architecture),
    );
    expect(policy.architecture).toEqual(architecture);
  });

  it.each<[string, ImportOptions, string]>([
    [
      "observations with their channels last",
      { environment: environmentOf([36, 40, 3]) },
      "those of Pictures-v0 have the shape [36, 40, 3]",
    ],
    [
      "observations without channels",
      { environment: environmentOf([36, 40]) },
      "takes images [channels, height, width] of 3 channels",
    ],
    [
      "images of another size",
      { environment: environmentOf([3, 84, 84]) },
      "makes images 3x7x7 of images 3x84x84, 147 numbers, but d takes 3",
    ],
    [
      "other strides",
      {
        environment: pixels,
        strides: [
          [2, 2],
          [2, 2],
          [1, 1],
        ],
      },
      "makes images 3x4x5 of images 3x36x40, 60 numbers, but d takes 3",
    ],
    [
      "kernels larger than what is left",
      {
        environment: pixels,
        strides: [
          [30, 30],
          [2, 2],
          [1, 1],
        ],
      },
      "has a kernel of 4x4 over images 2x1x2",
    ],
    [
      "dense layers in front",
      { environment: pixels, layers: ["d", "e", "a"] },
      "layer e has 2 outputs, a takes images of 3 channels",
    ],
    [
      "convolutions that do not fit",
      { environment: pixels, layers: ["a", "c", "d", "e"] },
      "layer a has 2 outputs, c takes images of 4 channels",
    ],
    ["no dense layer", { environment: pixels, layers: ["a", "b", "c"] }, "ends with a convolution"],
    [
      "a stride of 0",
      {
        environment: pixels,
        strides: [
          [0, 0],
          [2, 2],
          [1, 1],
        ],
      },
      "is no policy",
    ],
    ["padding of 10^9", { environment: pixels, padding: [1e9, 0, 0] }, "is no policy"],
  ])("is refused with %s", (_name, options, problem) => {
    expect(() => read(options)).toThrow(FileError);
    expect(() => read(options)).toThrow(problem);
  });

  it.each<[string, ImportOptions, string]>([
    ["strides", { strides: [[4, 4]] }, "strides: 1 given for 3 convolutions"],
    ["paddings", { padding: [0, 0, 0, 0] }, "padding: 4 given for 3 convolutions"],
  ])("is refused with another number of %s", (_name, options, problem) => {
    expect(() => read({ environment: pixels, ...options })).toThrow(UsageError);
    expect(() => read({ environment: pixels, ...options })).toThrow(problem);
  });

  it("is refused without strides where kernels are of unusual sizes", () => {
    const odd: Architecture = { ...nature, layers: [{ ...conv(2, 5, 2), kernel: [5, 3] }, denseOf(2, "none")] };
    expect(() => read({ environment: pixels }, stateDict(odd))).toThrow(
      "does not say the stride of a, and none is usual with kernels of 5x3: state the strides",
    );
  });

  it.each([
    ["of no filters and a kernel of 10^9", [0, 3, 1e9, 1e9], 0],
    ["of 10^9 filters of no channels", [1e9, 0, 8, 8], 0],
    ["of three sizes", [2, 3, 4], 24],
    ["of five sizes", [2, 3, 2, 2, 1], 24],
  ])("is refused with weights %s, at once", (_name, shape, length) => {
    const hostile = new Map([...stateDict(), ["a.weight", { shape, data: new Float32Array(length) }] as const]);
    expect(() => read({ environment: pixels }, hostile)).toThrow('"a" is no layer of it');
  });

  it("is refused with kernels that no architecture has", () => {
    const kernel = { shape: [2, 3, 1001, 1], data: new Float32Array(2 * 3 * 1001) };
    const hostile = new Map([...stateDict(), ["a.weight", kernel] as const]);
    expect(() =>
      read(
        {
          environment: pixels,
          strides: [
            [1, 1],
            [2, 2],
            [1, 1],
          ],
        },
        hostile,
      ),
    ).toThrow(FileError);
  });
});

describe("a state dict without convolutions", () => {
  const vector = (options: ImportOptions): Policy =>
    read(
      options,
      readTorch(torchOf(randomPolicy({ input: [4], layers: [denseOf(2, "none")], head: "logits" }), ["a"]), "x"),
    );

  it("is divided by a scale that is given, and by no other", () => {
    expect(vector({ scale: 255 }).architecture.normalization).toEqual({ mean: [0], deviation: [255] });
    expect(vector({ environment: environmentOf([4]) }).architecture.normalization).toBeUndefined();
  });

  it.each<[ImportOptions, string]>([
    [{ strides: [[1, 1]] }, "strides: 1 given for 0 convolutions"],
    [{ flatten: "hwc" }, "flatten: given for a network without convolutions"],
    [
      { scale: 2, statistics: { normalization: { mean: [0], deviation: [1] }, source: "x.pkl" } },
      "scale: given beside statistics (x.pkl)",
    ],
  ])("is refused with %o", (options, problem) => {
    expect(() => vector(options)).toThrow(UsageError);
    expect(() => vector(options)).toThrow(problem);
  });
});

/** Images [height][width][channel]. */
type Picture = number[][][];

/** As TensorFlow defines it: kernels [height, width, channels, filters], images [height, width, channels], VALID, relu. */
function tfConvolution(images: Picture, { shape, data }: TfVariable, biases: Float32Array, stride: number): Picture {
  const [kh = 0, kw = 0, channels = 0, filters = 0] = shape;
  const made: Picture = [];
  for (let top = 0; top + kh <= images.length; top += stride) {
    const row: number[][] = [];
    for (let left = 0; left + kw <= images[0]!.length; left += stride) {
      const sums = Array.from(biases);
      for (let y = 0; y < kh; y++) {
        for (let x = 0; x < kw; x++) {
          for (let c = 0; c < channels; c++) {
            const pixel = images[top + y]![left + x]![c]!;
            for (let f = 0; f < filters; f++) sums[f]! += pixel * data[((y * kw + x) * channels + c) * filters + f]!;
          }
        }
      }
      row.push(sums.map((sum) => Math.max(0, sum)));
    }
    made.push(row);
  }
  return made;
}

function tfDense(x: readonly number[], { shape, data }: TfVariable, biases: Float32Array): number[] {
  const outputs = shape[1]!;
  return Array.from(biases, (bias, o) => x.reduce((sum, value, i) => sum + value * data[i * outputs + o]!, bias));
}

describe("a TensorFlow checkpoint with convolutions", () => {
  const random = stream(3, "tf");
  const variable = (...shape: number[]): TfVariable => ({
    shape,
    data: Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, () => random.normal()),
  });
  const variables = new Map([
    ["conv_1/weights", variable(8, 8, 2, 3)],
    ["conv_1/biases", variable(3)],
    ["conv_2/weights", variable(3, 3, 3, 4)],
    ["conv_2/biases", variable(4)],
    ["fc_3/weights", variable(2 * 3 * 4, 5)],
    ["fc_3/biases", variable(5)],
    ["logits/weights", variable(5, 2)],
    ["logits/biases", variable(2)],
  ]);
  const of = (name: string): TfVariable => variables.get(name)!;
  const environment = environmentOf([2, 22, 27]);

  it("acts as TensorFlow does on images whose channels come last", () => {
    const policy = policyFromTfVariables(variables, { environment, scale: 256 }, "x");
    expect(sizes(policy.architecture)).toBe("2x22x27-3c8s4-4c3s1-5-2");
    expect(policy.provenance).toMatchObject({
      flatten: "hwc (usual)",
      layers: "conv_1, conv_2, fc_3, logits (guessed)",
    });
    const predict = predictor(policy);
    for (let trial = 0; trial < 20; trial++) {
      const picture: Picture = Array.from({ length: 22 }, () =>
        Array.from({ length: 27 }, () => [random.integer(256), random.integer(256)]),
      );
      const channelsFirst = [0, 1].flatMap((c) => picture.flatMap((row) => row.map((pixel) => pixel[c]!)));
      const scaled = picture.map((row) => row.map((pixel) => pixel.map((value) => value / 256)));
      const first = tfConvolution(scaled, of("conv_1/weights"), of("conv_1/biases").data, 4);
      const second = tfConvolution(first, of("conv_2/weights"), of("conv_2/biases").data, 1);
      const flat = second.flat(2);
      const hidden = tfDense(flat, of("fc_3/weights"), of("fc_3/biases").data).map((sum) => Math.max(0, sum));
      const expected = tfDense(hidden, of("logits/weights"), of("logits/biases").data);
      const largest = Math.max(...expected.map(Math.abs));
      for (const [o, value] of predict(Float32Array.from(channelsFirst)).entries()) {
        expect(Math.abs(value - expected[o]!) / largest).toBeLessThan(1e-5);
      }
    }
  });

  it("takes images in the order of PyTorch when told so", () => {
    const [own, other] = (["hwc", "chw"] as const).map(
      (flatten) => policyFromTfVariables(variables, { environment, flatten }, "x").parameters,
    );
    const before = 8 * 8 * 2 * 3 + 3 + 3 * 3 * 3 * 4 + 4;
    expect(own!.subarray(0, before)).toEqual(other!.subarray(0, before));
    expect(other!.subarray(before, before + 120)).toEqual(of("fc_3/weights").data);
    expect(own!.subarray(before, before + 120)).not.toEqual(of("fc_3/weights").data);
  });

  it("multiplies kernels by their masks", () => {
    // Everything but filter 1 of channel 0 in row 2, column 5.
    const at = ((2 * 8 + 5) * 2 + 0) * 3 + 1;
    const mask = { shape: [8, 8, 2, 3], data: new Float32Array(384).fill(1) };
    mask.data[at] = 0;
    const [whole, masked] = [variables, new Map([...variables, ["conv_1/mask", mask] as const])].map(
      (all) => policyFromTfVariables(all, { environment }, "x").parameters,
    );
    const different = [...whole!.keys()].filter((i) => whole![i] !== masked![i]);
    expect(different).toEqual([((0 * 8 + 2) * 8 + 5) * 3 + 1]);
    expect(whole![different[0]!]).toBe(of("conv_1/weights").data[at]);
  });

  it.each([
    ["no filters", [1e9, 1e9, 2, 0], 0],
    ["no rows", [0, 1e9, 1e9, 3], 0],
    ["five sizes", [8, 8, 2, 1, 3], 384],
  ])("is refused with kernels of %s, at once", (_name, shape, length) => {
    const hostile = new Map([...variables, ["conv_1/weights", { shape, data: new Float32Array(length) }]]);
    expect(() => policyFromTfVariables(hostile, { environment }, "x")).toThrow('"conv_1" is no layer of it');
  });
});

describe("a CnnPolicy of Stable-Baselines3", () => {
  const layers = [conv(32, 8, 4), conv(64, 4, 2), conv(64, 3, 1), denseOf(6), denseOf(2, "none")];
  const architecture: Architecture = { ...nature, layers };
  const inside = [0, 2, 4].map((number) => `q_net.features_extractor.cnn.${number}`);
  const weights = torchOf(randomPolicy(architecture), [
    ...inside,
    "q_net.features_extractor.linear.0",
    "q_net.q_net.0",
  ]);
  const cnn = "stable_baselines3.dqn.policies.CnnPolicy";
  const load = (kwargs: object, shape = nature.input, policyClass = cnn, options: ImportOptions = {}): Policy =>
    policyFromSb3(sb3Of(policyClass, weights, shape, false, kwargs), "x", options);

  it("states all of its images itself", () => {
    const policy = load({});
    expect(policy.architecture).toEqual(architecture);
    expect(policy.parameters).toEqual(randomPolicy(architecture).parameters);
    expect(policy.provenance).toMatchObject({
      images: "3x36x40 (as the file says)",
      strides: "4, 2, 1 (as the file says)",
      padding: "0, 0, 0 (as the file says)",
      scale: "255 (as the file says)",
    });
  });

  it("leaves pixels as they are with normalize_images=False", () => {
    expect(load({ normalize_images: false }).architecture.normalization).toBeUndefined();
  });

  it("may be an MlpPolicy with Nature's features extractor", () => {
    const kwargs = { features_extractor_class: "<class 'stable_baselines3.common.torch_layers.NatureCNN'>" };
    expect(load(kwargs, nature.input, "stable_baselines3.dqn.policies.DQNPolicy").architecture).toEqual(architecture);
  });

  it.each<[string, () => Policy, string]>([
    [
      "another features extractor",
      () => load({ features_extractor_class: "<class '__main__.Mine'>" }),
      "has the features extractor __main__.Mine, which is code: unpack policy.pth",
    ],
    ["images whose channels come last", () => load({}, [36, 40, 3]), "its observations have the shape [36, 40, 3]"],
    ["images of 10^6 by 10^6", () => load({}, [3, 1e6, 1e6]), "layer 1 is one over images of "],
    ["images of 100 by 100", () => load({}, [3, 100, 100]), "makes images 64x"],
    ["images smaller than its kernels", () => load({}, [3, 12, 12]), "over images"],
    [
      "a scale",
      () => load({}, nature.input, cnn, { scale: 3 }),
      "normalises its observations itself: a scale came beside",
    ],
    [
      "statistics",
      () =>
        load({}, nature.input, cnn, { statistics: { normalization: { mean: [0], deviation: [1] }, source: "x.pkl" } }),
      "normalises its observations itself: statistics (x.pkl) came beside",
    ],
    [
      "two convolutions",
      () => {
        const two = torchOf(randomPolicy(architecture), [
          ...inside.slice(0, 2),
          "x",
          "q_net.features_extractor.linear.0",
          "q_net.q_net.0",
        ]);
        return policyFromSb3(sb3Of(cnn, two, nature.input, false), "x");
      },
      "has 2 convolutions, expected 3",
    ],
  ])("is refused with %s", (_name, make, problem) => {
    expect(make).toThrow(FileError);
    expect(make).toThrow(problem);
  });
});

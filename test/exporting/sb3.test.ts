import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BoxSpace, EnvironmentSpec } from "../../src/environment/environment.ts";
import { specOf } from "../../src/environment/registry.ts";
import { box, discrete } from "../../src/environment/spaces.ts";
import { UsageError } from "../../src/errors.ts";
import { policyToSb3 } from "../../src/exporting/sb3.ts";
import { policyFromSb3 } from "../../src/importing/sb3.ts";
import { argmax, boundActions } from "../../src/network/action.ts";
import {
  type Architecture,
  type Convolution,
  dense,
  inputSize,
  type Layer,
  outputSize,
} from "../../src/network/architecture.ts";
import { predictor } from "../../src/network/predict.ts";
import { stream } from "../../src/random/pcg64.ts";
import { hasPackages, python } from "../environment/fixtures/python.ts";
import { randomPolicy, small } from "../importing/fixtures/policies.ts";

const NEEDED = ["stable_baselines3", "gymnasium"];

const pendulum = { logStd: [-0.5], low: [-2], high: [2] };
/** The limit of the statistics lies beyond all that is seen: it cannot be exported. */
const statistics = { mean: [0.1, -0.2, 0.01, 0.3], deviation: [0.7, 1.2, 0.1, 1.1], clip: 1e6 };

/** Relu layers as Nature's network has them, with other numbers of filters and kernels where they are given. */
function nature(filters: readonly number[], kernels: readonly number[], hidden: readonly number[]): Layer[] {
  return [
    ...[4, 2, 1].map((stride, l): Convolution => {
      const side = kernels[l]!;
      return { kind: "conv", units: filters[l]!, kernel: [side, side], stride: [stride, stride], activation: "relu" };
    }),
    ...dense(1, hidden, 3, "logits").layers,
  ];
}
const byBytes = { mean: [0], deviation: [255] };
const full = [32, 64, 64];
const few: Architecture = { input: [3, 36, 40], head: "q-values", layers: nature([5, 3, 4], [8, 4, 3], [6]) };

interface Case {
  readonly name: string;
  readonly algorithm: "DQN" | "PPO" | "SAC";
  readonly architecture: Architecture;
  /** None: images, of bytes or of numbers from 0 to 1. */
  readonly environment?: string;
  readonly dtype?: "uint8" | "float32" | "float64" | "int64";
  /** Continuous ones, of the environment without a name. */
  readonly actions?: BoxSpace;
}

function specOfCase({ environment, architecture, dtype, actions }: Case): EnvironmentSpec {
  if (environment !== undefined) return specOf(environment);
  return {
    id: "Pictures-v0",
    observationSpace: {
      ...box(0, dtype === "uint8" ? 255 : 1, architecture.input),
      ...(dtype !== undefined && dtype !== "float32" && { dtype }),
    },
    actionSpace: actions ?? discrete(outputSize(architecture)),
    maxEpisodeSteps: undefined,
    rewardThreshold: undefined,
  };
}

const images: readonly Case[] = [
  {
    name: "Nature's network",
    algorithm: "DQN",
    dtype: "uint8",
    architecture: { ...few, normalization: byBytes, layers: nature(full, [8, 4, 3], [16]) },
  },
  { name: "few filters", algorithm: "DQN", dtype: "uint8", architecture: { ...few, normalization: byBytes } },
  {
    name: "small kernels",
    algorithm: "PPO",
    dtype: "uint8",
    architecture: {
      input: [3, 36, 37],
      head: "logits",
      normalization: byBytes,
      layers: nature([5, 3, 4], [6, 3, 3], [6, 4]).map((layer, l) =>
        l === 4 ? { ...layer, activation: "tanh" } : layer,
      ),
    },
  },
  {
    name: "another scale",
    algorithm: "PPO",
    dtype: "uint8",
    architecture: { ...few, head: "logits", normalization: { mean: [100], deviation: [50] } },
  },
  { name: "raw pixels", algorithm: "DQN", dtype: "uint8", architecture: few },
  { name: "images of floats", algorithm: "PPO", dtype: "float32", architecture: { ...few, head: "logits" } },
  {
    name: "dense layers over pixels",
    algorithm: "DQN",
    dtype: "uint8",
    architecture: { ...dense(1, [4], 3, "q-values"), input: [3, 8, 9], normalization: byBytes },
  },
];
/** Spaces of other types and shapes than most have, which Stable-Baselines3 compares with the environment's. */
const wide = box(-1, 2, [2, 3]);
const typed: readonly Case[] = [
  { name: "bytes", algorithm: "DQN", dtype: "uint8", architecture: dense(16, [4], 3, "q-values") },
  { name: "whole numbers", algorithm: "PPO", dtype: "int64", architecture: dense(4, [4], 3, "logits") },
  {
    name: "float64, in rows",
    algorithm: "PPO",
    dtype: "float64",
    actions: { ...wide, dtype: "float64" },
    architecture: {
      ...dense(4, [5], 6, "gaussian"),
      gaussian: { logStd: new Array<number>(6).fill(0), low: [...wide.low], high: [...wide.high] },
    },
  },
];
const cases: readonly Case[] = [
  ...images,
  ...typed,
  { name: "q-values", algorithm: "DQN", environment: "CartPole-v1", architecture: dense(4, [8, 5], 2, "q-values") },
  { name: "linear", algorithm: "DQN", environment: "CartPole-v1", architecture: dense(4, [], 2, "q-values") },
  {
    name: "normalized logits",
    algorithm: "PPO",
    environment: "CartPole-v1",
    architecture: { ...dense(4, [7, 3], 2, "logits", "tanh"), normalization: statistics },
  },
  { name: "linear logits", algorithm: "PPO", environment: "CartPole-v1", architecture: dense(4, [], 2, "logits") },
  {
    name: "a linear layer",
    algorithm: "PPO",
    environment: "CartPole-v1",
    architecture: dense(4, [1], 2, "logits", "none"),
  },
  {
    name: "a Gaussian",
    algorithm: "PPO",
    environment: "Pendulum-v1",
    architecture: { ...dense(3, [6], 1, "gaussian", "tanh"), gaussian: pendulum },
  },
  {
    name: "a squashed Gaussian",
    algorithm: "SAC",
    environment: "Pendulum-v1",
    architecture: { ...dense(3, [6, 5], 1, "gaussian"), gaussian: { ...pendulum, squash: true } },
  },
  {
    name: "a linear squashed Gaussian",
    algorithm: "SAC",
    environment: "LunarLanderContinuous-v3",
    architecture: {
      ...dense(8, [], 2, "gaussian"),
      gaussian: { logStd: [-1, 0.5], low: [-1, -1], high: [1, 1], squash: true },
    },
  },
];

describe.skipIf(!hasPackages(NEEDED))(`what Stable-Baselines3 loads (needs Python with ${NEEDED.join(", ")})`, () => {
  const folder = mkdtempSync(join(tmpdir(), "pops-sb3-"));
  beforeAll(() => {
    for (const one of cases) {
      writeFileSync(join(folder, `${one.name}.zip`), policyToSb3(randomPolicy(one.architecture), specOfCase(one)));
    }
    const told = cases.map((one) => ({ ...one, shape: one.architecture.input }));
    writeFileSync(join(folder, "cases.json"), JSON.stringify(told));
    const script = fileURLToPath(new URL("sb3-play.py", import.meta.url));
    const { status, stderr } = spawnSync(python, [script, folder], { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
  }, 240_000);
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  const floats = (name: string): Float32Array =>
    new Float32Array(new Uint8Array(readFileSync(join(folder, name))).buffer);

  it.each(cases)("plays as the policy does: $name", ({ name, architecture }) => {
    const observations = floats(`${name}.observations`);
    const actions = floats(`${name}.actions`);
    const [inputs, outputs] = [inputSize(architecture), outputSize(architecture)];
    const rows = observations.length / inputs;
    const predict = predictor(randomPolicy(architecture));
    expect(rows).toBeGreaterThan(150);
    for (let row = 0; row < rows; row++) {
      const result = predict(observations.subarray(row * inputs, (row + 1) * inputs)).slice();
      boundActions(architecture, result);
      if (architecture.gaussian) {
        for (const [o, value] of result.entries())
          expect(Math.abs(actions[row * outputs + o]! - value)).toBeLessThan(1e-5);
      } else expect(actions[row]).toBe(argmax(result));
    }
  });
});

const vectors = cases.filter(({ environment }) => environment !== undefined);
it.each(vectors)("is read back with every weight: $name", (one) => {
  const { normalization, ...plain } = one.architecture;
  const { architecture } = one;
  const policy = randomPolicy(plain);
  const read = policyFromSb3(policyToSb3(policy, specOfCase(one)), "x");
  // The deviations of a SAC are a layer of their own there, which is not read: a policy has one for all observations.
  const deviation = one.algorithm === "SAC" ? () => 0 : Math.fround;
  expect(read.architecture).toEqual({
    ...plain,
    ...(plain.gaussian && { gaussian: { ...plain.gaussian, logStd: plain.gaussian.logStd.map(deviation) } }),
  });
  expect(read.parameters).toEqual(policy.parameters);
  if (normalization)
    expect(policyFromSb3(policyToSb3(randomPolicy(architecture)), "x").parameters).not.toEqual(policy.parameters);
});

it.each(images)("acts the same when it is read back: $name", (one) => {
  const policy = randomPolicy(one.architecture);
  const read = policyFromSb3(policyToSb3(policy, specOfCase(one)), "x");
  expect(read.architecture.input).toEqual(one.architecture.input);
  const [own, back] = [predictor(policy), predictor(read)];
  const random = stream(1, "images");
  for (let trial = 0; trial < 10; trial++) {
    const brightest = one.dtype === "uint8" ? 255 : 1;
    const observation = Float32Array.from({ length: inputSize(one.architecture) }, () => random.uniform(0, brightest));
    const expected = own(observation);
    const largest = Math.max(...expected.map(Math.abs));
    for (const [o, value] of back(observation).entries()) {
      expect(Math.abs(value - expected[o]!)).toBeLessThan(1e-5 * largest);
    }
  }
});

it("is read back with every weight: Nature's network", () => {
  const [one] = images;
  const policy = randomPolicy(one!.architecture);
  const read = policyFromSb3(policyToSb3(policy, specOfCase(one!)), "x");
  expect(read.architecture).toEqual(policy.architecture);
  expect(Buffer.from(read.parameters.buffer).equals(Buffer.from(policy.parameters.buffer))).toBe(true);
});

it("takes observations that are divided by 255 for pixels where nothing is known of the environment", () => {
  const policy = randomPolicy({ ...few, normalization: byBytes });
  expect(policyToSb3(policy).equals(policyToSb3(policy, specOfCase(images[1]!)))).toBe(true);
});

it("writes equal policies to equal bytes", () => {
  expect(policyToSb3(structuredClone(small))).toEqual(policyToSb3(small));
});

const [, second, third] = nature(full, [8, 4, 3], [6]) as [Convolution, Convolution, Convolution];
it.each<[string, Architecture]>([
  [
    "a squashed Gaussian of images",
    { ...few, head: "gaussian", gaussian: { logStd: [0, 0, 0], low: [-1, -1, -1], high: [1, 1, 1], squash: true } },
  ],
  [
    "hidden layers of several activations",
    {
      ...dense(3, [4, 4], 2, "logits"),
      layers: dense(3, [4, 4], 2, "logits").layers.map((layer, l) => ({
        ...layer,
        activation: l === 0 ? ("tanh" as const) : layer.activation,
      })),
    },
  ],
  [
    "an activation at the output",
    { ...dense(3, [], 2, "q-values"), layers: [{ kind: "dense" as const, units: 2, activation: "relu" as const }] },
  ],
  ["more filters than Nature's network", { ...few, layers: nature([33, 64, 64], [8, 4, 3], [6]) }],
  ["larger kernels", { ...few, layers: nature(full, [9, 4, 3], [6]) }],
  ["kernels so small that larger images come out", { ...few, layers: nature(full, [4, 4, 3], [6]) }],
  ["two convolutions", { ...few, layers: nature(full, [8, 4, 3], [6]).toSpliced(2, 1) }],
  ["four convolutions", { ...few, input: [3, 84, 84], layers: nature(full, [8, 4, 3], [6]).toSpliced(2, 0, third) }],
  ["other strides", { ...few, layers: nature(full, [8, 4, 3], [6]).with(1, { ...second, stride: [1, 1] }) }],
  ["padding", { ...few, layers: nature(full, [8, 4, 3], [6]).with(1, { ...second, padding: [1, 0, 0, 0] }) }],
  [
    "convolutions with tanh",
    { ...few, layers: nature(full, [8, 4, 3], [6]).with(1, { ...second, activation: "tanh" }) },
  ],
  ["an output right behind its convolutions", { ...few, layers: nature(full, [8, 4, 3], []) }],
  [
    "a hidden layer with tanh right behind its convolutions",
    { ...few, layers: nature(full, [8, 4, 3], [6]).with(3, { kind: "dense", units: 6, activation: "tanh" }) },
  ],
  [
    "statistics of each pixel",
    { ...few, normalization: { mean: [0], deviation: new Array<number>(3 * 36 * 40).fill(2) } },
  ],
])("refuses %s", (_name, architecture) => {
  expect(() => policyToSb3(randomPolicy(architecture))).toThrow(UsageError);
});

it("points to ONNX for convolutions that Stable-Baselines3 could load with code alone", () => {
  const wide = randomPolicy({ ...few, layers: nature([33, 64, 64], [8, 4, 3], [6]) });
  expect(() => policyToSb3(wide)).toThrow(/NatureCNN alone.*32c8s4-64c4s2-64c3s1 or less.*export onnx/);
});

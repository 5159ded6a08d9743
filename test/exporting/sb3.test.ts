import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { specOf } from "../../src/environment/registry.ts";
import { UsageError } from "../../src/errors.ts";
import { policyToSb3 } from "../../src/exporting/sb3.ts";
import { policyFromSb3 } from "../../src/importing/sb3.ts";
import { argmax, boundActions } from "../../src/network/action.ts";
import { type Architecture, dense, inputSize, outputSize } from "../../src/network/architecture.ts";
import { predictor } from "../../src/network/predict.ts";
import { hasPackages, python } from "../environment/fixtures/python.ts";
import { randomPolicy, small, smallGaussian } from "../importing/fixtures/policies.ts";

const NEEDED = ["stable_baselines3", "gymnasium"];

const pendulum = { logStd: [-0.5], low: [-2], high: [2] };
/** The limit of the statistics lies beyond all that is seen: it cannot be exported. */
const statistics = { mean: [0.1, -0.2, 0.01, 0.3], deviation: [0.7, 1.2, 0.1, 1.1], clip: 1e6 };
const cases: readonly { name: string; algorithm: string; environment: string; architecture: Architecture }[] = [
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
];

describe.skipIf(!hasPackages(NEEDED))(`what Stable-Baselines3 loads (needs Python with ${NEEDED.join(", ")})`, () => {
  const folder = mkdtempSync(join(tmpdir(), "pops-sb3-"));
  beforeAll(() => {
    for (const { name, environment, architecture } of cases) {
      writeFileSync(join(folder, `${name}.zip`), policyToSb3(randomPolicy(architecture), specOf(environment)));
    }
    writeFileSync(join(folder, "cases.json"), JSON.stringify(cases));
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
      if (architecture.gaussian) expect(Math.abs(actions[row * outputs]! - result[0]!)).toBeLessThan(1e-5);
      else expect(actions[row]).toBe(argmax(result));
    }
  });
});

it.each(cases)("is read back with every weight: $name", ({ architecture, environment }) => {
  const { normalization, ...plain } = architecture;
  const policy = randomPolicy(plain);
  const read = policyFromSb3(policyToSb3(policy, specOf(environment)), "x");
  expect(read.architecture).toEqual({
    ...plain,
    ...(plain.gaussian && { gaussian: { ...plain.gaussian, logStd: plain.gaussian.logStd.map(Math.fround) } }),
  });
  expect(read.parameters).toEqual(policy.parameters);
  if (normalization)
    expect(policyFromSb3(policyToSb3(randomPolicy(architecture)), "x").parameters).not.toEqual(policy.parameters);
});

it("writes equal policies to equal bytes", () => {
  expect(policyToSb3(structuredClone(small))).toEqual(policyToSb3(small));
});

it.each([
  [
    "a squashed Gaussian",
    { ...smallGaussian.architecture, gaussian: { ...smallGaussian.architecture.gaussian!, squash: true as const } },
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
])("refuses %s", (_name, architecture) => {
  expect(() => policyToSb3(randomPolicy(architecture))).toThrow(UsageError);
});

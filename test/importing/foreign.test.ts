import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import type { EnvironmentSpec } from "../../src/environment/environment.ts";
import { specOf } from "../../src/environment/registry.ts";
import { box, discrete } from "../../src/environment/spaces.ts";
import { FileError } from "../../src/errors.ts";
import { compileFixed } from "../../src/evaluation/evaluate.ts";
import { loadPolicy } from "../../src/importing/load.ts";
import { readVecNormalize } from "../../src/importing/vec-normalize.ts";
import { argmax, boundActions } from "../../src/network/action.ts";
import { checkFits, inputSize, outputSize } from "../../src/network/architecture.ts";
import type { Policy } from "../../src/network/policy.ts";
import { predictor } from "../../src/network/predict.ts";
import { hasPackages, python } from "../environment/fixtures/python.ts";

const NEEDED = ["torch", "stable_baselines3", "gymnasium", "onnx", "safetensors"];

const casesSchema = z.array(
  z.object({
    name: z.string(),
    file: z.string(),
    environment: z.string(),
    sb3: z.boolean().optional(),
    vecNormalize: z.string().optional(),
    activations: z.array(z.enum(["relu", "tanh", "none"])).optional(),
    layers: z.array(z.string()).optional(),
    squash: z.boolean().optional(),
    images: z
      .object({
        shape: z.array(z.number()),
        brightest: z.number(),
        choices: z.number().optional(),
        low: z.array(z.number()).optional(),
        high: z.array(z.number()).optional(),
      })
      .optional(),
    strides: z.array(z.tuple([z.number(), z.number()])).optional(),
    padding: z.array(z.union([z.number(), z.literal("same")])).optional(),
    flatten: z.enum(["chw", "hwc"]).optional(),
    scale: z.number().optional(),
    head: z.enum(["q-values", "logits", "gaussian"]).optional(),
  }),
);
type Case = z.infer<typeof casesSchema>[number];

/** A teacher of Nature's size, which is no part of the project. */
const teacher = fileURLToPath(new URL("../../../shared/teachers/pong-ppo/teacher.safetensors", import.meta.url));

function environmentOf({ environment, images }: Case): EnvironmentSpec {
  if (images === undefined) return specOf(environment);
  const { shape, brightest, choices, low, high } = images;
  return {
    id: environment,
    observationSpace: box(0, brightest, shape),
    actionSpace: low && high ? box(low, high) : discrete(choices ?? 0),
    maxEpisodeSteps: undefined,
    rewardThreshold: undefined,
  };
}

describe.skipIf(!hasPackages(NEEDED))(`models of other frameworks (needs Python with ${NEEDED.join(", ")})`, () => {
  const folder = mkdtempSync(join(tmpdir(), "pops-models-"));
  let cases: z.infer<typeof casesSchema> = [];
  beforeAll(() => {
    const script = fileURLToPath(new URL("fixtures/make-models.py", import.meta.url));
    const more = existsSync(teacher) ? [teacher] : [];
    const { status, stderr } = spawnSync(python, [script, folder, ...more], { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
    cases = casesSchema.parse(JSON.parse(readFileSync(join(folder, "cases.json"), "utf8")));
  }, 240_000);
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  function floats(name: string): Float32Array {
    return new Float32Array(new Uint8Array(readFileSync(join(folder, name))).buffer);
  }

  function load(one: Case): Promise<Policy> {
    const { file, vecNormalize, activations, layers, head, squash, strides, padding, flatten, scale } = one;
    return loadPolicy(resolve(folder, file), {
      environment: environmentOf(one),
      ...(activations && { activations }),
      ...(layers && { layers }),
      ...(head && { head }),
      ...(squash && { squash }),
      ...(strides && { strides }),
      ...(padding && { padding }),
      ...(flatten && { flatten }),
      ...(scale !== undefined && { scale }),
      ...(vecNormalize !== undefined && {
        statistics: {
          normalization: readVecNormalize(readFileSync(join(folder, vecNormalize)), vecNormalize),
          source: vecNormalize,
        },
      }),
    });
  }

  /** [rows, outputs], decided one at a time or, which is quicker for images, in batches. */
  async function outputsOf(policy: Policy, observations: Float32Array, batch: number): Promise<Float32Array> {
    const [inputs, outputs] = [inputSize(policy.architecture), outputSize(policy.architecture)];
    const rows = observations.length / inputs;
    const all = new Float32Array(rows * outputs);
    const program = batch > 1 ? await compileFixed(policy, batch) : undefined;
    const predict = predictor(policy);
    for (let row = 0; row < rows; row += batch) {
      const some = observations.subarray(row * inputs, (row + batch) * inputs);
      program?.bind("observations", some);
      await program?.run();
      all.set(program ? program.floats("outputs") : predict(some), row * outputs);
    }
    await program?.dispose();
    return all;
  }

  /**
   * Largest difference of outputs, relative where they are beyond 1 (of images, which make sums of thousands of numbers: to the
   * largest of all), and number of actions that differ.
   */
  async function compare(
    policy: Policy,
    { name, images }: Case,
  ): Promise<{ error: number; different: number; rows: number }> {
    const { architecture } = policy;
    const [inputs, outputs] = [inputSize(architecture), outputSize(architecture)];
    const observations = floats(`${name}.observations`);
    const expected = floats(`${name}.outputs`);
    const actions = floats(`${name}.actions`);
    const rows = observations.length / inputs;
    const found = await outputsOf(policy, observations, images ? 100 : 1);
    const largest = images ? expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1) : 1;
    let error = 0;
    let different = 0;
    for (let row = 0; row < rows; row++) {
      const result = found.subarray(row * outputs, (row + 1) * outputs);
      for (const [o, value] of result.entries()) {
        const target = expected[row * outputs + o]!;
        error = Math.max(error, Math.abs(value - target) / Math.max(largest, Math.abs(target)));
      }
      if (architecture.gaussian) {
        boundActions(architecture, result);
        if (result.some((value, d) => Math.abs(value - actions[row * outputs + d]!) > 1e-5)) different++;
      } else if (argmax(result) !== actions[row]) different++;
    }
    return { error, different, rows };
  }

  it("have equal outputs and greedy actions on 1,000 observations as policies of PoPS", async () => {
    expect(cases.length).toBeGreaterThan(30);
    const results = [];
    for (const one of cases) {
      const policy = await load(one).catch((error: unknown) => {
        throw new Error(`${one.name}: ${String(error)}`);
      });
      checkFits(policy.architecture, environmentOf(one));
      results.push({ name: one.name, ...(await compare(policy, one)) });
    }
    const wrong = results.filter(({ error, different, rows }) => !(error < 1e-5) || different > 0 || rows < 1000);
    expect(wrong).toEqual([]);
  }, 240_000);

  it.each([
    ["custom.zip", "has the features extractor __main__.Custom, which is code"],
    ["multi.zip", "MultiInputActorCriticPolicy: read are the MlpPolicy and CnnPolicy"],
    ["discrete.zip", "has observations of Discrete"],
    ["elu.zip", "has the activation torch.nn.modules.activation.ELU"],
    ["sde.zip", "with use_sde"],
    ["module.pt", 'needs "torch.nn.modules.linear.Linear", which is refused (nothing was executed)'],
    ["conv.onnx", 'Conv "/0/Conv" is no convolution over images'],
    ["sigmoid.onnx", 'Sigmoid "/1/Sigmoid" is not understood'],
    ["old.pt", "old format (before 1.6)"],
  ])("are refused with the reason (%s)", async (name, problem) => {
    const path = join(folder, `refused-${name}`);
    await expect(loadPolicy(path)).rejects.toThrow(FileError);
    await expect(loadPolicy(path)).rejects.toThrow(problem);
  });
});

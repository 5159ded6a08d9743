import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { loadPolicy } from "../../src/importing/load.ts";
import { readEvents, readResult } from "../../src/run/read.ts";
import { type Ended, newFolder, pops, remove, temporaryFolder } from "./fixtures/pops.ts";
import { tiny } from "./fixtures/tiny.ts";

const folder = newFolder();
const trained = join(folder, "trained");
const compressed = join(folder, "compressed");
const teacher = join(trained, "policies", "teacher.safetensors");
let training: Ended;
let compressing: Ended;

beforeAll(async () => {
  training = await pops("train", "CartPole-v1", ...tiny(), "--out", trained);
  compressing = await pops("compress", "--teacher", teacher, ...tiny(), "--out", compressed);
});
afterAll(() => {
  remove(folder);
});

it("trains a teacher and says how to compress it", () => {
  const { code, stdout, stderr } = training;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout.split("\n")).toEqual([
    `CartPole-v1, seed 1, preset default: ${trained}`,
    "Train the teacher",
    expect.stringMatching(/^ {2}✓ teacher scores [\d.]+ over 20 episodes after \d+ steps$/),
    "",
    `  ${teacher}`,
    "",
    `Compress it with: npx pops compress ${teacher}`,
    "",
  ]);
});

it("inspects a finished training", async () => {
  const events = readEvents(join(trained, "events.jsonl"));
  expect(await pops("inspect", trained)).toEqual({
    code: 0,
    stdout: `${trained}: pops train, finished, ${events.length} events, ${events.at(-1)?.step} updates\n  ${teacher}\n`,
    stderr: "",
  });
});

it("compresses it in another run, whose result tells of the teacher that was given", async () => {
  expect(compressing).toMatchObject({ code: 0, stderr: "" });
  expect(compressing.stdout).toContain("\nCartPole-v1: 160 weights became ");
  const result = readResult(join(compressed, "result.json"));
  expect(result).toMatchObject({ smaller: true, teacher: { weights: 160 } });
  const kept = await loadPolicy(join(compressed, "policies", "teacher.safetensors"));
  expect(kept.parameters).toEqual((await loadPolicy(teacher)).parameters);
  expect(kept.score).toEqual(result.teacher.score);
});

it("compresses alike from ONNX", async () => {
  const out = temporaryFolder();
  const onnx = join(out, "teacher.onnx");
  await pops("export", "onnx", teacher, "--output", onnx);
  const run = join(out, "run");
  expect(await pops("compress", "--teacher", onnx, ...tiny(), "--out", run)).toMatchObject({ code: 0, stderr: "" });
  for (const file of ["events.jsonl", "policies/policy.safetensors"]) {
    expect(readFileSync(join(run, file)).equals(readFileSync(join(compressed, file)))).toBe(true);
  }
});

it("asks for the teacher again when the run was killed before it copied it", async () => {
  const run = join(temporaryFolder(), "run");
  // A teacher that misses its objective ends the run soon after it has begun.
  await pops("compress", "--teacher", teacher, ...tiny({ "pops.objective": 501 }), "--out", run);
  rmSync(join(run, "policies", "teacher.safetensors"));
  expect(await pops("compress", "--resume", "--out", run)).toEqual({
    code: 2,
    stdout: "",
    stderr: "pops: --teacher: the run was killed before it copied its teacher: name the file once more\n",
  });
  expect(await pops("compress", "--resume", "--out", run, "--teacher", teacher)).toMatchObject({ code: 5 });
  expect(existsSync(join(run, "policies", "teacher.safetensors"))).toBe(true);
});

it("ends with exit code 5 when the teacher misses the objective, and keeps the trained teacher", async () => {
  const run = join(temporaryFolder(), "run");
  const { code, stdout, stderr } = await pops("run", "CartPole-v1", ...tiny({ "pops.objective": 501 }), "--out", run);
  expect(code).toBe(5);
  expect(stdout).toMatch(/\n {2}✗ teacher 4-12-8-2: [\d.]+ over 20 held-out episodes, .* \(objective 501\)\n$/);
  expect(stderr).toMatch(
    /^pops: the teacher's mean over 20 held-out episodes is [\d.]+, the objective is 501: train it longer, or state a lower objective with --set pops\.objective=\.\.\.\n$/,
  );
  expect((await loadPolicy(join(run, "policies", "teacher.safetensors"))).parameters).toEqual(
    (await loadPolicy(teacher)).parameters,
  );
});

it("ends with exit code 8 when numbers overflow in a worker thread", async () => {
  const run = join(temporaryFolder(), "run");
  const settings = tiny({ "pops.distill.learningRate": 1e38 });
  expect(await pops("compress", "--teacher", teacher, ...settings, "--out", run)).toMatchObject({
    code: 8,
    stderr: expect.stringMatching(
      /^pops: the loss of training step \d+ is (NaN|Infinity); lower the learning rate\n$/,
    ) as string,
  });
});

const original = fileURLToPath(new URL("../../../shared/teachers/cartpole-original/model.ckpt", import.meta.url));

it.skipIf(!existsSync(`${original}.index`))(
  "imports the authors' CartPole teacher, which plays as well as they say (needs their checkpoint beside the repository)",
  async () => {
    const file = join(temporaryFolder(), "teacher.safetensors");
    const imported = await pops(
      ...["import", "tf-checkpoint", original, "--output", file],
      ...["--activations", "relu,relu,relu,relu", "--env", "CartPole-v0"],
    );
    expect(imported).toEqual({
      code: 0,
      stdout:
        "4-256-256-128-2, 99584 weights, activations relu, relu, relu, relu, q-values (guessed)\n" +
        `${file}: ${readFileSync(file).length} bytes\n`,
      stderr: "",
    });
    const { code, stdout, stderr } = await pops("evaluate", file, "--episodes", "1000", "--json");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { score } = JSON.parse(stdout) as { score: { mean: number; episodes: number } };
    expect(score.episodes).toBe(1000);
    expect(score.mean).toBeGreaterThanOrEqual(199);
  },
);

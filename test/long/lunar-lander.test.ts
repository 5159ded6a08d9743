import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { readResult } from "../../src/run/read.ts";
import { newFolder, pops, remove } from "../cli/fixtures/pops.ts";
import { expectAgreement } from "../end-to-end/agreement.ts";
import { python } from "../environment/fixtures/python.ts";

const folder = newFolder();
afterAll(() => {
  remove(folder);
});

/** A model that is there already saves the training. */
const { POPS_LUNAR_LANDER: given } = process.env;

it("PPO of Stable-Baselines3 on LunarLander-v3 becomes a policy of 2 % of its weights, which plays alike in Python", async () => {
  const model = given ?? join(folder, "model.zip");
  if (given === undefined) {
    const script = fileURLToPath(new URL("train-lunar-lander.py", import.meta.url));
    execFileSync(python, [script, model], { stdio: "inherit" });
  }
  const run = join(folder, "run");
  const environment = ["--env", "gymnasium:LunarLander-v3"];
  const compressed = await pops("compress", model, ...environment, "--out", run);
  process.stdout.write(compressed.stdout);
  expect(compressed).toMatchObject({ code: 0, stderr: "" });
  const result = readResult(join(run, "result.json"));
  expect(result).toMatchObject({ smaller: true, objective: 200 });
  expect(result.ratio).toBeLessThanOrEqual(0.02);
  const archive = join(folder, "small.zip");
  const policy = join(run, "policies/policy.safetensors");
  expect(await pops("export", "sb3", policy, ...environment, "--output", archive)).toMatchObject({
    code: 0,
    stderr: "",
  });
  expectAgreement(run, "LunarLander-v3", "PPO", archive);
});

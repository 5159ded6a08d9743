import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadPolicy } from "../../src/importing/load.ts";
import { readEvents, readResult } from "../../src/run/read.ts";
import { only } from "../drain.ts";
import { newFolder, pops, remove } from "./fixtures/pops.ts";

/** What both runs have: they take seconds, and pass through every stage. */
const shared = {
  "teacher.environments": 8,
  "teacher.hidden": "[12]",
  "teacher.evaluationEpisodes": 5,
  "teacher.confirmationEpisodes": 10,
  "pops.maxIterations": 1,
  "pops.starts": 3,
  "pops.squeezeStarts": 2,
  "pops.squeezeGrowth": 2,
  "pops.teacherEpisodes": 10,
  "pops.proofEpisodes": 20,
  "pops.prune.updates": 60,
  "pops.prune.gateInterval": 30,
  "pops.prune.gateEpisodes": 5,
  "pops.prune.finalSparsity": 0.6,
  "pops.distill.teacherStates": 500,
  "pops.distill.updates": 100,
  "pops.distill.rounds": 1,
  "pops.distill.roundStates": 300,
  "pops.distill.roundUpdates": 60,
  "pops.distill.batchSize": 64,
  "pops.distill.lanes": 10,
  "pops.distill.gateEpisodes": 5,
  "pops.distill.selectionEpisodes": 10,
};
const cartPole = {
  "teacher.algorithm": "ppo",
  "teacher.nSteps": 64,
  "teacher.batchSize": 64,
  "teacher.learningRate": 3e-3,
  "teacher.totalSteps": 40_000,
  "teacher.evaluationInterval": 2_048,
  "teacher.stopScore": 80,
  "pops.objective": 40,
  "pops.lowerBound": 20,
};
/** Any policy will do: what it scores is more than the worst that there is. */
const pendulum = {
  "teacher.nSteps": 64,
  "teacher.batchSize": 128,
  "teacher.totalSteps": 1_024,
  "teacher.evaluationInterval": 512,
  "teacher.normalizeObservations": true,
  "teacher.stopScore": 0,
  "pops.retention": "null",
  "pops.objective": -2_000,
  "pops.lowerBound": -3_000,
};

const folder = newFolder();
afterAll(() => {
  remove(folder);
});

describe.each([
  ["CartPole-v1", cartPole, "logits"],
  ["Pendulum-v1", pendulum, "gaussian"],
] as const)("a run of %s by PPO", (environment, settings, head) => {
  const [one, two] = [join(folder, `${environment}-1`), join(folder, `${environment}-2`)];
  const begin = (out: string, workers: number) => {
    const all = Object.entries({ ...shared, ...settings });
    const set = all.flatMap(([key, value]) => ["--set", `${key}=${String(value)}`]);
    return pops("run", environment, "--out", out, "--workers", String(workers), ...set);
  };
  beforeAll(async () => {
    expect(await begin(one, 1)).toMatchObject({ code: 0, stderr: "" });
    expect(await begin(two, 2)).toMatchObject({ code: 0, stderr: "" });
  });

  it("is the same to the bit with one worker and with two", () => {
    for (const file of [
      "events.jsonl",
      "policies/policy.safetensors",
      "policies/policy.onnx",
      "policies/teacher.safetensors",
    ]) {
      expect(readFileSync(join(two, file)).equals(readFileSync(join(one, file)))).toBe(true);
    }
  });

  it("leaves a smaller policy of the teacher's kind, proven with greedy and with drawn actions", async () => {
    const result = readResult(join(one, "result.json"));
    expect(result.smaller).toBe(true);
    for (const { score, sampled } of [result.teacher, result.policy]) expect(sampled!.episodes).toBe(score.episodes);
    const teacher = await loadPolicy(join(one, "policies", "teacher.safetensors"));
    const policy = await loadPolicy(join(one, "policies", "policy.onnx"));
    expect(teacher.architecture.head).toBe(head);
    // Statistics, deviations and bounds are the teacher's.
    expect(policy.architecture).toEqual({ ...teacher.architecture, layers: policy.architecture.layers });
  });

  it("logs what PPO is about, and what stays behind", () => {
    const events = readEvents(join(one, "events.jsonl"));
    for (const { entropy, kl, epsilon } of only(events, "train")) {
      expect(Number.isFinite(entropy) && Number.isFinite(kl)).toBe(true);
      expect(epsilon).toBeUndefined();
    }
    expect(only(events, "teacher-trained")).toMatchObject([{ algorithm: "ppo", leftBehind: [{ name: "critic" }] }]);
  });

  it("leaves policies that can be evaluated, greedily and by draws", async () => {
    const policy = join(one, "policies", "policy.onnx");
    const greedy = await pops("evaluate", policy, "--episodes", "5", "--json");
    const sampled = await pops("evaluate", policy, "--episodes", "5", "--json", "--sampled");
    for (const ended of [greedy, sampled]) expect(ended).toMatchObject({ code: 0, stderr: "" });
    expect(sampled.stdout).not.toBe(greedy.stdout);
  });
});

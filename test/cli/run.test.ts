import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { lower95 } from "../../src/evaluation/statistics.ts";
import { loadPolicy } from "../../src/importing/load.ts";
import { countsOf, describe as layersOf } from "../../src/network/architecture.ts";
import { readEvents, readResult } from "../../src/run/read.ts";
import { type Ended, newFolder, pops, popsOfSource, remove, temporaryFolder } from "./fixtures/pops.ts";
import { OBJECTIVE, tiny } from "./fixtures/tiny.ts";

/** Two equal runs: one with its output for people, in two workers; one from the source, for machines, in one. */
const folder = newFolder();
const text = join(folder, "text");
const json = join(folder, "json");
let textRun: Ended;
let jsonRun: Ended;

beforeAll(async () => {
  const run = (out: string): string[] => ["run", "CartPole-v1", "--out", out, ...tiny()];
  textRun = await pops(...run(text), "--workers", "2");
  jsonRun = await popsOfSource(...run(json), "--workers", "1", "--checkpoint-every", "0.2", "--json");
});
afterAll(() => {
  remove(folder);
});

it("ends with exit code 0 and nothing on standard error", () => {
  expect(textRun).toMatchObject({ code: 0, stderr: "" });
});

it("prints plain lines when its output is not a terminal: every stage, every policy tried, the comparison, the files", () => {
  const number = String.raw`-?[\d,.]+`;
  const layers = String.raw`4(?:-\d+)+`;
  const lines = [
    `CartPole-v1, seed 1, preset default: ${text}`,
    "Train the teacher",
    `  ✓ teacher scores ${number} over 20 episodes after ${number} steps`,
    "Prove the teacher",
    `  ✓ teacher 4-12-8-2: ${number} over 20 held-out episodes, 95 % lower bound ${number} \\(objective 50\\)`,
    "(?:Round \\d: prune under the teacher's supervision",
    `  ✓ pruned ${layers}: ${number} % of the weights are redundant`,
    `(?:  → next size ${layers}, \\d+ weights`,
    "Round \\d: teach a smaller network",
    `(?:  [✓✗] ${layers}, \\d+ weights, start \\d: ${number} over \\d+ episodes`,
    `)+)?)+(?:Squeeze: search below the last size that passed`,
    `(?:  [✓✗] ${layers}, \\d+ weights, start \\d: ${number} over \\d+ episodes`,
    ")+)?Prove the smallest policy on held-out episodes",
    `(?:  [✓✗] candidate ${layers}: ${number} over 50 held-out episodes, 95 % lower bound ${number} \\(objective 50\\)`,
    `)+`,
    `CartPole-v1: 160 weights became \\d+ \\(${number} %\\), proven on 50 held-out episodes\\.`,
    "",
    " +teacher +policy +smaller",
    `layers +4-12-8-2 +${layers} +`,
    `weights +160 +\\d+ +${number} x`,
    `non-zero weights +160 +\\d+ +${number} x`,
    `biases +22 +\\d+ +${number} x`,
    `bytes \\(float32\\) +728 +\\d+ +${number} x`,
    `multiply-adds +160 +\\d+ +${number} x`,
    `latency +${number} us +${number} us +${number} x`,
    `mean score +${number} +${number} +`,
    `95 % lower bound +${number} +${number} +objective 50`,
    "held-out episodes +20 +50 +",
    "",
    String.raw`Time: \d+ s`,
    "",
    `  ${join(text, "policies", "policy.safetensors")}`,
    `  ${join(text, "policies", "policy.onnx")}`,
    `  ${join(text, "result.json")}`,
    `  ${join(text, "report.html")}`,
    "",
  ];
  expect(textRun.stdout).toMatch(new RegExp(`^${lines.join("\n")}$`));
});

it("prints with --json exactly the result and a line break, and its progress to standard error", () => {
  expect(jsonRun.code).toBe(0);
  expect(jsonRun.stdout).toMatch(/^\{.*\}\n$/);
  expect(JSON.parse(jsonRun.stdout)).toEqual(readResult(join(json, "result.json")));
  expect(jsonRun.stderr).toContain("\nTrain the teacher\n");
});

it("leaves a folder with everything, and nothing temporary", () => {
  expect(readdirSync(text).toSorted()).toEqual([
    "checkpoints",
    "config.yaml",
    "events.jsonl",
    "policies",
    "report.html",
    "result.json",
    "tensorboard",
  ]);
  expect(readdirSync(join(text, "policies")).toSorted()).toEqual([
    "policy.onnx",
    "policy.safetensors",
    "teacher.safetensors",
  ]);
  expect(readFileSync(join(text, "report.html"), "utf8")).toContain("<!doctype html>");
});

it("keeps the settings in config.yaml", () => {
  const config = readFileSync(join(text, "config.yaml"), "utf8");
  expect(config).toMatch(/^environment: CartPole-v1\npreset: default\nseed: 1\ncommand: run\n/);
  expect(config).toContain(`objective: ${OBJECTIVE}\n`);
});

it("logs valid events from run-started to answer, whose steps never fall", () => {
  const events = readEvents(join(text, "events.jsonl"));
  expect(events[0]).toMatchObject({ type: "run-started", step: 0, environment: "CartPole-v1", seed: 1 });
  expect(events.at(-1)).toMatchObject({ type: "answer", smaller: true });
  const steps = events.map(({ step }) => step);
  expect(steps).toEqual(steps.toSorted((a, b) => a - b));
});

it("leaves a result that its own policies and events bear out", async () => {
  const result = readResult(join(text, "result.json"));
  const policy = await loadPolicy(join(text, "policies", "policy.safetensors"));
  const teacher = await loadPolicy(join(text, "policies", "teacher.safetensors"));
  expect(result).toMatchObject({ environment: "CartPole-v1", seed: 1, objective: OBJECTIVE, smaller: true });
  for (const [side, saved] of [
    [result.policy, policy],
    [result.teacher, teacher],
  ] as const) {
    expect(side).toMatchObject({ ...countsOf(saved.architecture), layers: layersOf(saved.architecture) });
    expect(side.score).toEqual(saved.score);
  }
  expect(result.ratio).toBe(result.policy.weights / 160);
  expect(result.policy.score.lower95).toBeCloseTo(lower95(result.policy.score), 9);
  expect(result.policy.score.lower95).toBeGreaterThanOrEqual(OBJECTIVE);
  const tried = readEvents(join(text, "events.jsonl")).filter(({ type }) => type === "candidate" || type === "proof");
  expect(result.steps).toHaveLength(tried.length);
});

it("gives equal policies and logs with any number of workers and any time between checkpoints", () => {
  for (const file of [
    "events.jsonl",
    "policies/policy.safetensors",
    "policies/policy.onnx",
    "policies/teacher.safetensors",
  ]) {
    expect(readFileSync(join(json, file)).equals(readFileSync(join(text, file)))).toBe(true);
  }
  expect(existsSync(join(json, "checkpoints", "latest.safetensors"))).toBe(true);
});

it("inspects the run: the comparison that closed it", async () => {
  const { code, stdout, stderr } = await pops("inspect", text);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(/^CartPole-v1: 160 weights became /);
  expect(textRun.stdout).toContain(stdout);
});

it("inspects the run with --json: its result.json", async () => {
  const { stdout } = await pops("inspect", text, "--json");
  expect(JSON.parse(stdout)).toEqual(readResult(join(text, "result.json")));
});

it("inspects a policy: layers, sizes, score and where it comes from", async () => {
  const { code, stdout, stderr } = await pops("inspect", join(text, "policies", "teacher.safetensors"));
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const { score } = await loadPolicy(join(text, "policies", "teacher.safetensors"));
  expect(stdout.split("\n")).toEqual([
    "4-12-8-2  q-values  CartPole-v1",
    "  layer     shape  activation  weights  non-zero  biases",
    "  dense_1  4 x 12        relu       48        48      12",
    "  dense_2  12 x 8        relu       96        96       8",
    "  output    8 x 2        none       16        16       2",
    "  160 weights (160 non-zero), 22 biases, 728 bytes, 160 multiply-adds",
    `  score ${score?.mean.toFixed(2)} over 20 held-out episodes, 95 % lower bound ${score?.lower95.toFixed(2)}`,
    "  creator: pops-rl 0.1.0",
    "  role: teacher",
    "  environment: CartPole-v1",
    "  preset: default",
    "  seed: 1",
    "",
  ]);
});

it("evaluates the policy to the score that it was proven with, within both standard errors", async () => {
  const { code, stdout, stderr } = await pops(
    ...["evaluate", join(text, "policies", "policy.onnx"), "--episodes", "300", "--json"],
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const evaluated = JSON.parse(stdout) as { environment: string; weights: number; score: { mean: number; sd: number } };
  const { weights, score } = readResult(join(text, "result.json")).policy;
  expect(evaluated).toMatchObject({ environment: "CartPole-v1", weights, score: { episodes: 300 } });
  const error = Math.hypot(score.sd / Math.sqrt(50), evaluated.score.sd / Math.sqrt(300));
  expect(Math.abs(evaluated.score.mean - score.mean)).toBeLessThan(4 * error);
});

it("evaluates alike from either format, and prints mean, bound and interval", async () => {
  const [onnx, safetensors] = await Promise.all(
    ["policy.onnx", "policy.safetensors"].map((name) => pops("evaluate", join(text, "policies", name), "--seed", "5")),
  );
  const number = String.raw`[\d.]+`;
  expect(onnx?.stdout).toMatch(
    new RegExp(
      `^4(-\\d+)+ \\(\\d+ weights\\) on CartPole-v1, 100 greedy episodes, seed 5\n` +
        `  mean ${number}  sd ${number}  min ${number}\n` +
        `  95 % lower bound ${number}, bootstrap interval ${number} to ${number}\n$`,
    ),
  );
  expect(safetensors).toEqual(onnx);
});

it("exports ONNX and safetensors back and forth without a changed byte", async () => {
  const out = temporaryFolder();
  const original = join(text, "policies", "policy.safetensors");
  const onnx = join(out, "a.onnx");
  const back = join(out, "b.safetensors");
  const exported = await pops("export", "onnx", original, "--output", onnx);
  expect(exported).toEqual({ code: 0, stdout: `${onnx}: ${readFileSync(onnx).length} bytes\n`, stderr: "" });
  expect(readFileSync(onnx).equals(readFileSync(join(text, "policies", "policy.onnx")))).toBe(true);
  await pops("export", "safetensors", onnx, "--output", back);
  expect(readFileSync(back).equals(readFileSync(original))).toBe(true);
});

it("shows the result of a finished run again instead of doing it anew", async () => {
  const before = readFileSync(join(text, "result.json"));
  const { code, stdout, stderr } = await pops("run", "--resume", "--out", text);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(new RegExp(`^${text} is finished:\n\nCartPole-v1: 160 weights became `));
  expect(readFileSync(join(text, "result.json")).equals(before)).toBe(true);
});

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { policyToSafetensors } from "../../src/exporting/safetensors.ts";
import { dense } from "../../src/network/architecture.ts";
import type { Policy } from "../../src/network/policy.ts";
import { isAlive, modules, NEEDS, withGymnasium } from "../environment/fixtures/python.ts";
import { newFolder, pops, remove, type Started, start } from "./fixtures/pops.ts";
import { tiny } from "./fixtures/tiny.ts";

/* Runs with environments of Python's Gymnasium. */

const WALK = ["gymnasium:Walk-v0", "--env-module", "bridged"];
const settings = [
  "teacher.hidden=[8]",
  "teacher.totalSteps=1500",
  "teacher.environments=5",
  "teacher.learningStarts=200",
  "teacher.gradientSteps=1",
  "teacher.batchSize=16",
  "teacher.evaluationInterval=500",
  "teacher.evaluationEpisodes=4",
  "teacher.stopScore=1000",
].flatMap((setting) => ["--set", setting]);
const kwargs = (values: object): string[] => ["--env-kwargs", JSON.stringify(values)];

const folder = newFolder();
const at = (name: string): string => join(folder, name);
const bytes = (out: string, file: string): Buffer => readFileSync(join(at(out), file));

beforeAll(() => {
  vi.stubEnv("PYTHONPATH", modules);
});
afterAll(() => {
  vi.unstubAllEnvs();
  remove(folder);
});

function expectSame(out: string, expected: string, ...files: string[]): void {
  for (const file of files) expect(bytes(out, file).equals(bytes(expected, file))).toBe(true);
}

/** Arms a fault; gives the keyword arguments that it is for. */
function arm(name: string, more: object): object {
  writeFileSync(at(name), "");
  return { armed: at(name), ...more };
}

async function appearance(path: string): Promise<void> {
  while (!existsSync(path)) await setTimeout(20);
}

function childrenOf(pid: number): number[] {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n");
  const pairs = lines.map((line) => line.trim().split(/\s+/).map(Number));
  return pairs.flatMap(([child, parent]) => (parent === pid && child !== undefined ? [child] : []));
}

describe.skipIf(!withGymnasium)(`a run with an environment of Gymnasium's (${NEEDS})`, () => {
  beforeAll(async () => {
    const ended = await pops("train", ...WALK, ...settings, "--workers", "1", "--out", at("walk"));
    expect(ended).toMatchObject({ code: 0, stderr: "" });
  });

  it("compresses and proves, to the same bytes with any number of workers; then the policy is evaluated", async () => {
    const run = (out: string, workers: string) =>
      pops("run", "gymnasium:CartPole-v1", ...tiny(), "--workers", workers, "--out", at(out));
    const ended = await run("two", "2");
    expect(ended).toMatchObject({ code: 0, stderr: "" });
    expect(ended.stdout).toContain("\ngymnasium:CartPole-v1: 160 weights became ");
    expect(await run("one", "1")).toMatchObject({ code: 0, stderr: "" });
    expectSame("two", "one", "events.jsonl", "config.yaml", "policies/policy.safetensors", "policies/policy.onnx");
    const evaluated = await pops("evaluate", join(at("two"), "policies/policy.onnx"), "--episodes", "20", "--json");
    expect(evaluated).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(evaluated.stdout)).toMatchObject({ environment: "gymnasium:CartPole-v1" });
  });

  it("takes our environment's policy for a teacher, and the presets of the same id", async () => {
    const teacher = join(at("two"), "policies/teacher.safetensors");
    const parameters = ["--teacher", teacher, "--env", "gymnasium:CartPole-v1", "--env-kwargs", "{}", ...tiny()];
    const ended = await pops("compress", ...parameters, "--workers", "2", "--out", at("compressed"));
    expect(ended).toMatchObject({ code: 0, stderr: "" });
    const shown = await pops("settings", "gymnasium:CartPole-v1");
    expect(shown).toEqual(await pops("settings", "CartPole-v1"));
  });

  it("keeps in config.yaml how the environment is made, its spaces and the versions", () => {
    expect(readFileSync(join(at("walk"), "config.yaml"), "utf8")).toMatch(
      /^environment: gymnasium:Walk-v0\ngymnasium:\n {2}module: bridged\n {2}kwargs: \{\}\n {2}wrappers: \[\]\n {2}spaces:\n {4}observation: float64 \[2\], bounds \w{16}\n {4}action: 3 choices from 5\n {2}versions:\n {4}python: [\d.]+\n {4}gymnasium: [\w.]+\n {4}numpy: [\w.]+\npreset: /,
    );
  });

  it("whose process is killed in a step is saved and says how to go on; it goes on to the same bytes", async () => {
    const parameters = [...WALK, ...kwargs(arm("kill", { fault: "kill", late: 150 })), ...settings];
    const out = ["--out", at("killed")];
    const killed = await pops("train", ...parameters, ...out, "--workers", "2", "--checkpoint-every", "0");
    const place =
      /^pops: gymnasium:Walk-v0: step \d+ of the episode with seed \d+: its Python process was killed by SIGKILL\n$/;
    expect(killed).toMatchObject({ code: 4, stderr: expect.stringMatching(place) as string });
    expect(killed.stdout).toContain(
      `\nSaved up to the last checkpoint. Go on, once the cause is gone, with: npx pops train --resume --out ${at("killed")}\n`,
    );
    const resumed = await pops("train", "--resume", ...out, "--workers", "1");
    expect(resumed).toMatchObject({ code: 0, stderr: "" });
    expect(resumed.stdout).toContain("(goes on)");
    // The fault has happened: the same command plays undisturbed now.
    await pops("train", ...parameters, "--out", at("unkilled"), "--workers", "2");
    expectSame("killed", "unkilled", "events.jsonl", "policies/teacher.safetensors");
  });

  it("whose process is killed under a student ends with the environment's error", async () => {
    const changes = { "teacher.stopScore": 70, "pops.objective": 60, "pops.lowerBound": 50 };
    const parameters = [...WALK, ...kwargs({ fault: "kill", armed: at("student") }), ...tiny(changes)];
    const child = start("run", ...parameters, "--out", at("taught"), "--workers", "1");
    expect(await child.reaches((output) => output.includes("Round 1: teach"))).toBe(true);
    writeFileSync(at("student"), "");
    const { code, stderr } = await child.ended;
    expect(code).toBe(4);
    expect(stderr).toMatch(
      /^pops: gymnasium:Walk-v0: step 3 of .* with seed \d+: its Python process was killed by SIGKILL\n$/,
    );
  });

  /** A run whose environment hangs, and the number of the process that it hangs in. */
  async function hanging(name: string, fault: string): Promise<{ child: Started; pid: number }> {
    const parameters = [...WALK, ...kwargs(arm(name, { fault, late: 20 })), ...settings];
    const child = start("train", ...parameters, "--out", at(`${name}-run`), "--workers", "2", "--env-timeout", "600");
    await appearance(at(`${name}.process`));
    return { child, pid: Number(readFileSync(at(`${name}.process`), "utf8")) };
  }

  it.each([
    ["hangs", "hang", 1],
    ["hangs in native code", "native", 1],
    ["waits for a program that it started", "program", 2],
  ])("that is itself killed leaves no process behind, also when the environment %s", async (_, fault, children) => {
    const { child, pid } = await hanging(fault, fault);
    await expect.poll(() => childrenOf(pid), { timeout: 20_000 }).toHaveLength(children);
    const processes = [pid, ...childrenOf(pid)];
    expect(processes.every(isAlive)).toBe(true);
    child.process.kill("SIGKILL");
    await child.ended;
    while (processes.some(isAlive)) await setTimeout(50);
  });

  it("whose process is killed keeps none that watched it", async () => {
    const { child, pid } = await hanging("watched", "hang");
    const watchers = childrenOf(pid);
    expect(watchers).toHaveLength(1);
    process.kill(pid, "SIGKILL");
    await child.ended;
    while (watchers.some(isAlive)) await setTimeout(50);
  });

  it("ends an environment that hangs after --env-timeout, and goes on", async () => {
    const parameters = [...WALK, ...kwargs(arm("slow", { fault: "hang", late: 20 })), ...settings];
    const ended = await pops("train", ...parameters, "--out", at("slowly"), "--workers", "2", "--env-timeout", "5");
    expect(ended).toMatchObject({ code: 4 });
    expect(ended.stderr).toContain("its Python process gave no answer for 5 s");
    expect(await pops("train", "--resume", "--out", at("slowly"))).toMatchObject({ code: 0, stderr: "" });
    await pops("train", ...parameters, "--out", at("undelayed"), "--workers", "2");
    expectSame("slowly", "undelayed", "events.jsonl", "policies/teacher.safetensors");
  });

  it("does not go on when the spaces are no longer those of its beginning", async () => {
    const parameters = [...WALK, ...kwargs(arm("change", { fault: "raise", late: 150 })), ...settings];
    const ended = await pops("train", ...parameters, "--out", at("changed"), "--checkpoint-every", "0");
    expect(ended).toMatchObject({ code: 4 });
    expect(ended.stderr).toContain("RuntimeError: a bug of the user's (bridged.py, line ");
    vi.stubEnv("WALK_WIDTH", "3");
    const resumed = await pops("train", "--resume", "--out", at("changed"));
    vi.stubEnv("WALK_WIDTH", "2");
    expect(resumed).toMatchObject({ code: 4 });
    expect(resumed.stderr).toContain("its observation space is float64 [3], ");
    expect(resumed.stderr).toContain("use the versions of then, or begin a new run");
  });

  it("leaves policies that say how it was made; what could run code has to be given again", async () => {
    const evaluate = (name: string, ...parameters: string[]) =>
      pops("evaluate", at(name), ...parameters, "--episodes", "2", "--json");
    const trained = "walk/policies/teacher.safetensors";
    expect(await evaluate(trained)).toMatchObject({
      code: 2,
      stderr: `pops: --env-module: ${at(trained)} is for gymnasium:Walk-v0 made with --env-module bridged; a file does not decide what is run: give it, or state the environment anew with --env\n`,
    });
    const made = (inputs: number, gymnasium: Policy["gymnasium"]): string => {
      const architecture = dense(inputs, [], 3, "q-values");
      const parameters = new Float32Array(3 * inputs + 3);
      const policy = { architecture, parameters, environment: "gymnasium:Walk-v0", gymnasium, provenance: {} };
      writeFileSync(at("made.safetensors"), policyToSafetensors(policy));
      return "made.safetensors";
    };
    // Numbers are taken from the file: without them observations would be of another size, and episodes longer.
    const wrappers = ['TimeLimit={"max_episode_steps":7}', "FlattenObservation"];
    const played = await evaluate(
      made(3, { module: "bridged", kwargs: '{"width":3}', wrappers }),
      "--env-module",
      "bridged",
    );
    expect(played).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(played.stdout)).toMatchObject({ score: { mean: 35 } });
    const text = made(2, { kwargs: '{"fault":"print"}' });
    expect((await evaluate(text)).stderr).toContain(
      `made with --env-kwargs '{"fault":"print"}'; a file does not decide`,
    );
    expect(await evaluate(text, "--env-kwargs", "{}", "--env-module", "bridged")).toMatchObject({
      code: 0,
      stderr: "",
    });
    const wrapped = made(2, { wrappers: ['RecordVideo={"video_folder":"/"}'] });
    expect((await evaluate(wrapped)).stderr).toContain("--env-wrapper: ");
  });

  it("shows what an environment prints on standard error, where it disturbs nothing", async () => {
    const policy = { architecture: dense(2, [], 3, "q-values"), parameters: new Float32Array(9), provenance: {} };
    writeFileSync(at("policy.safetensors"), policyToSafetensors(policy));
    const parameters = [at("policy.safetensors"), "--env", ...WALK, ...kwargs({ fault: "print" })];
    const { code, stdout, stderr } = await pops("evaluate", ...parameters, "--episodes", "2", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ environment: "gymnasium:Walk-v0", score: { mean: 60 } });
    expect(stderr).toContain("printed by the environment\n");
    expect(stderr).toContain("written by the environment\n");
  });
});

it.each([
  [
    "run CartPole-v1 --env-kwargs {}",
    "--env-kwargs: is for environments of Python's Gymnasium: did you mean gymnasium:CartPole-v1?",
  ],
  [
    "run CartPole-v1 --env-timeout 5",
    "--env-timeout: is for environments of Python's Gymnasium: did you mean gymnasium:CartPole-v1?",
  ],
  ["run gymnasium:CartPole-v1 --env-kwargs [1]", '--env-kwargs: [1] is no object: give one, {"name":value}'],
  ["run gymnasium:CartPole-v1 --env-wrapper TimeLimit={", "--env-wrapper: { is not JSON ("],
  ["run gymnasium:CartPole-v1 --env-timeout 0", "Expected a number of seconds above 0, up to 1000000."],
  ["run --resume --out x --env-module y", "--env-module: cannot be given with --resume: the run's config.yaml decides"],
])("refuses pops %s", async (line, message) => {
  const { code, stderr } = await pops(...line.split(" "));
  expect(code).toBe(2);
  expect(stderr).toContain(message);
});

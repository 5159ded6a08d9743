import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readEvents } from "../../src/run/read.ts";
import { newFolder, pops, popsIn, remove, start, temporaryFolder } from "./fixtures/pops.ts";
import { tiny, training } from "./fixtures/tiny.ts";

const TEACHER = "policies/teacher.safetensors";
const FILES = ["events.jsonl", "policies/policy.safetensors", TEACHER, "policies/policy.onnx"];

const folder = newFolder();
/** A training of 1,280 steps that is over, between two evaluations; of 2,048 once it has gone on. */
const trained = join(folder, "trained");
const expected = new Map<string, Buffer>();

beforeAll(async () => {
  const out = join(folder, "run");
  expect(await pops("run", "CartPole-v1", ...tiny(), "--out", out)).toMatchObject({ code: 0 });
  for (const file of FILES) expected.set(file, readFileSync(join(out, file)));
});
beforeAll(async () => {
  expect(await pops("train", "CartPole-v1", ...training(1280), "--out", trained)).toMatchObject({ code: 0 });
});
afterAll(() => {
  remove(folder);
});

it.skipIf(process.platform === "win32").each([
  ["the teacher is trained", "Train the teacher"],
  ["a network is pruned", "Round 1: prune"],
  ["students are taught", "Round 1: teach"],
])(
  "saves when Ctrl-C comes while %s, says how to go on, and goes on to the same bytes (needs POSIX signals)",
  async (_, title) => {
    const out = join(temporaryFolder(), "a run");
    const child = start("run", "CartPole-v1", ...tiny(), "--out", out);
    expect(await child.reaches((output) => output.includes(title))).toBe(true);
    child.process.kill("SIGINT");
    const { code, stdout, stderr } = await child.ended;
    expect({ code, stderr }).toEqual({ code: 130, stderr: "" });
    expect(stdout).toContain("\nStopping at the next safe point (once more to stop at once)...\n");
    expect(stdout).toMatch(new RegExp(`\nSaved. Go on with: npx pops run --resume --out '${out}'\n$`));
    const resumed = await pops("run", "--resume", "--out", out);
    expect(resumed).toMatchObject({ code: 0, stderr: "" });
    expect(resumed.stdout).toMatch(new RegExp(`^CartPole-v1, seed 1, preset default: ${out} \\(goes on\\)\n`));
    for (const [file, bytes] of expected) expect(readFileSync(join(out, file)).equals(bytes)).toBe(true);
  },
);

it.skipIf(process.platform === "win32")(
  "keeps standard output empty when Ctrl-C comes with --json (needs POSIX signals)",
  async () => {
    const out = join(temporaryFolder(), "run");
    const child = start("run", "CartPole-v1", ...tiny(), "--out", out, "--json");
    await child.reaches((output) => output.includes("Train the teacher"));
    child.process.kill("SIGTERM");
    const { code, stdout, stderr } = await child.ended;
    expect({ code, stdout }).toEqual({ code: 130, stdout: "" });
    expect(stderr).toContain("Saved. Go on with: ");
  },
);

it("goes on with a training that is over, to the bytes of one that was as long from the start", async () => {
  const longer = ["--set", "teacher.totalSteps=2048"];
  const extended = await pops("train", "--resume", "--out", trained, ...longer);
  expect(extended).toMatchObject({ code: 0, stderr: "" });
  const whole = join(temporaryFolder(), "whole");
  expect(await pops("train", "CartPole-v1", ...training(2048), "--out", whole)).toMatchObject({ code: 0 });
  expect(readFileSync(join(trained, TEACHER)).equals(readFileSync(join(whole, TEACHER)))).toBe(true);
  expect(readFileSync(join(trained, "config.yaml"))).toEqual(readFileSync(join(whole, "config.yaml")));
});

it.skipIf(process.platform === "win32")(
  "ends a training that has made more steps than it is to make, with the best network of its looks (needs POSIX signals)",
  async () => {
    const out = join(temporaryFolder(), "ended");
    const looks = () => readEvents(join(out, "events.jsonl")).filter((event) => event.type === "teacher-evaluated");
    const child = start("train", "CartPole-v1", ...training(10_000_000), "--out", out);
    await expect
      .poll(() => existsSync(join(out, "events.jsonl")) && looks().length, { timeout: 60_000 })
      .toBeGreaterThan(3);
    child.process.kill("SIGINT");
    expect(await child.ended).toMatchObject({ code: 130, stderr: "" });
    const ended = await pops("train", "--resume", "--out", out, "--set", "teacher.totalSteps=1");
    expect(ended).toMatchObject({ code: 0, stderr: "" });
    const best = looks().reduce((best, look) => (look.score.mean > best.score.mean ? look : best));
    const whole = join(temporaryFolder(), "whole");
    await pops("train", "CartPole-v1", ...training(best.environmentSteps), "--out", whole);
    expect(readFileSync(join(out, TEACHER)).equals(readFileSync(join(whole, TEACHER)))).toBe(true);
  },
);

it.skipIf(process.platform === "win32")(
  "looks at a training that is ended before its first look (needs POSIX signals)",
  async () => {
    const out = join(temporaryFolder(), "early");
    const late = ["--set", "teacher.evaluationInterval=9000000"];
    const child = start("train", "CartPole-v1", ...training(10_000_000), ...late, "--out", out);
    expect(await child.reaches((output) => output.includes("Train the teacher"))).toBe(true);
    child.process.kill("SIGINT");
    expect(await child.ended).toMatchObject({ code: 130, stderr: "" });
    const ended = await pops("train", "--resume", "--out", out, "--set", "teacher.totalSteps=1");
    expect(ended).toMatchObject({ code: 0, stderr: "" });
    const events = readEvents(join(out, "events.jsonl")).map(({ type }) => type);
    expect(events.filter((type) => type === "teacher-evaluated")).toHaveLength(1);
  },
);

it.skipIf(process.platform === "win32")(
  "refuses a second process in the same folder with exit code 6, and the first one goes on (needs POSIX signals)",
  async () => {
    const out = join(temporaryFolder(), "run");
    const first = start("run", "CartPole-v1", ...tiny(), "--out", out);
    await first.reaches((output) => output.includes("Train the teacher"));
    first.process.kill("SIGSTOP");
    const second = await pops("run", "--resume", "--out", out);
    first.process.kill("SIGCONT");
    expect(second).toEqual({
      code: 6,
      stdout: "",
      stderr: `pops: ${join(out, "run.lock")}: process ${first.process.pid} is working in this folder: wait for it, stop it, or use another folder\n`,
    });
    expect(await first.ended).toMatchObject({ code: 0, stderr: "" });
    expect(readFileSync(join(out, "events.jsonl")).equals(expected.get("events.jsonl") ?? Buffer.of())).toBe(true);
  },
);

it("gives each of several runs that begin at once without --out a folder of its own", async () => {
  const cwd = temporaryFolder();
  const begin = () => popsIn(cwd, "train", "CartPole-v1", ...tiny());
  for (const ended of await Promise.all([begin(), begin(), begin()])) expect(ended).toMatchObject({ code: 0 });
  expect(readdirSync(join(cwd, "runs")).toSorted()).toEqual(["CartPole-v1-1", "CartPole-v1-2", "CartPole-v1-3"]);
});

it("refuses to begin a run where there is one, and touches nothing", async () => {
  const out = join(folder, "run");
  expect(await pops("run", "CartPole-v1", ...tiny(), "--out", out)).toEqual({
    code: 2,
    stdout: "",
    stderr: `pops: --out: ${out} already holds a run: pass --resume to go on with it, or another --out\n`,
  });
  for (const [file, bytes] of expected) expect(readFileSync(join(out, file)).equals(bytes)).toBe(true);
});

it.each([
  [["run", "--resume"], "--resume: name the run's folder with --out"],
  [
    ["run", "--resume", "--out", "RUN", "--seed", "2"],
    "--seed: cannot be given with --resume: the run's config.yaml decides",
  ],
  [
    ["run", "--resume", "--out", "RUN", "--preset", "paper"],
    "--preset: cannot be given with --resume: the run's config.yaml decides",
  ],
  [
    ["run", "--resume", "--out", "RUN", "--set", "pops.objective=1"],
    "--set: cannot be given with --resume: the run's config.yaml decides",
  ],
  [
    ["train", "--resume", "--out", "TRAINED", "--set", "seed=2"],
    '--set: there is no setting "seed"; see "pops settings"',
  ],
  [
    ["train", "--resume", "--out", "TRAINED", "--set", "teacher.gamma=0.9"],
    "--set: teacher.gamma=0.9 cannot be given with --resume; teacher.totalSteps and teacher.stopScore say when a training ends",
  ],
  [
    ["train", "--resume", "--out", "TRAINED", "--set", "teacher.stopScore=1"],
    "--set: teacher.stopScore was 1000: it can be raised; to end a training, lower teacher.totalSteps",
  ],
  [["run", "Acrobot-v1", "--resume", "--out", "RUN"], "--resume: RUN is a run of CartPole-v1, not of Acrobot-v1"],
  [["train", "--resume", "--out", "RUN"], '--resume: RUN was begun by "pops run": resume it with that command'],
  [
    ["run", "--resume", "--out", "NONE"],
    "--resume: NONE is not a run: it has no config.yaml. Name the folder that --out named when the run began",
  ],
])("refuses pops %j", async (parameters, message) => {
  const fill = (text: string): string =>
    text.replace("RUN", join(folder, "run")).replace("NONE", join(folder, "none")).replace("TRAINED", trained);
  expect(await pops(...parameters.map(fill))).toEqual({ code: 2, stdout: "", stderr: `pops: ${fill(message)}\n` });
});

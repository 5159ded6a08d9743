import { appendFileSync, copyFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { policyToSafetensors } from "../../src/exporting/safetensors.ts";
import { loadPolicy } from "../../src/importing/load.ts";
import { dense, parameterCount } from "../../src/network/architecture.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";
import { readEvents, readResult } from "../../src/run/read.ts";
import { torchOf } from "../importing/fixtures/foreign-writer.ts";
import { flags, floats, npzOf } from "../observations/fixtures/writers.ts";
import { cartPoleTeacher } from "../pops/hand-made.ts";
import { type Ended, newFolder, pops, remove, start, temporaryFolder } from "./fixtures/pops.ts";

const settings = [
  "pops.objective=0.9",
  "pops.lowerBound=0.6",
  "pops.maxIterations=1",
  "pops.starts=2",
  "pops.squeezeStarts=1",
  "pops.squeezeGrowth=2",
  "pops.prune.updates=100",
  "pops.prune.gateInterval=50",
  "pops.prune.finalSparsity=0.5",
  "pops.distill.updates=200",
  "pops.distill.rounds=2",
  "pops.distill.roundUpdates=100",
  "pops.distill.batchSize=64",
  "pops.distill.learningRate=0.02",
];
const tiny = settings.flatMap((setting) => ["--set", setting]);

const folder = newFolder();
const at = (name: string): string => join(folder, name);
const [teacher, log, run] = [at("teacher.safetensors"), at("log.npz"), at("run")];
let compressing: Ended;

beforeAll(async () => {
  writeFileSync(teacher, policyToSafetensors({ ...cartPoleTeacher(), environment: "CartPole-v1", provenance: {} }));
  const random = new Pcg64(5);
  const observations = Float32Array.from({ length: 4 * 2_000 }, () => random.normal());
  const starts = Uint8Array.from({ length: 2_000 }, (_, row) => (row % 50 === 0 ? 1 : 0));
  const states = floats([2_000, 4], observations);
  writeFileSync(
    log,
    npzOf({ states, actions: floats([2_000, 1], new Float32Array(2_000)), episode_starts: flags([2_000], starts) }),
  );
  compressing = await pops("compress", "--teacher", teacher, ...observed(log), ...tiny, "--out", run);
});
afterAll(() => {
  remove(folder);
});

const observed = (file: string): string[] => ["--observations", file, "--observations-key", "states"];

it("compresses without an environment, and says that no return was measured and what was instead", () => {
  const { code, stdout, stderr } = compressing;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const lines = stdout.split("\n");
  expect(lines.slice(0, 4)).toEqual([
    `log.npz, seed 1, preset default: ${run}`,
    "  1200 observations to learn from, 300 to decide by, 500 held out for the proof, in 10 episodes. No return is measured",
    "Prove the teacher",
    "  ✓ teacher 4-8-2: 100.00 % agreement over 10 held-out episodes, 95 % lower bound 100.00 % (objective 90 %)",
  ]);
  expect(stdout).toMatch(
    /\n {2}✓ candidate [\d-]+: [\d.]+ % agreement over 10 held-out episodes, 95 % lower bound [\d.]+ % \(objective 90 %\)\n/,
  );
  expect(stdout).toMatch(
    /\nlog\.npz: 48 weights became \d+ \([\d.]+ %\), proven on 10 held-out episodes\.\nNO RETURN WAS MEASURED: there was no environment\./,
  );
  expect(stdout).toContain("acts as the teacher does on 500 logged observations that it has not learned from");
  expect(stdout).toMatch(
    /\nagreement +100\.00 % +[\d.]+ % +\n95 % lower bound +100\.00 % +[\d.]+ % +objective 90 %\nKL from the teacher +[\d.e-]+ +\nheld-out episodes +10 +10 +\n/,
  );
});

it("says so in result.json and in the report", () => {
  const result = readResult(join(run, "result.json"));
  expect(result).toMatchObject({
    measure: "agreement",
    observations: {
      file: "log.npz",
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      by: "episode",
      training: { units: 24, observations: 1200 },
      selection: { units: 6, observations: 300 },
      proof: { units: 10, observations: 500 },
      tolerance: 0.05,
    },
    policy: { divergence: { kl: expect.any(Number) as number } },
  });
  expect(result).not.toHaveProperty("environment");
  expect(readFileSync(join(run, "report.html"), "utf8")).toContain("No return was measured.");
});

it("writes policies that claim neither an environment nor a score, but tell of the agreement in words", async () => {
  const policy = await loadPolicy(join(run, "policies", "policy.safetensors"));
  expect(policy.environment).toBeUndefined();
  expect(policy.score).toBeUndefined();
  expect(policy.provenance["agreement"]).toMatch(
    /^acts as its teacher on [\d.]+ % of held-out observations \(95 % lower bound [\d.]+ %\), mean of 10 groups; no return was measured$/,
  );
  const kept = await loadPolicy(join(run, "policies", "teacher.safetensors"));
  expect([kept.environment, kept.score, kept.provenance["agreement"]]).toEqual([undefined, undefined, undefined]);
  const { stdout } = await pops("inspect", join(run, "policies", "policy.onnx"));
  expect(stdout).toContain("  no environment\n");
  expect(stdout).toContain("no return was measured");
  expect(stdout).not.toContain("  score ");
});

it("inspects the run with the same table", async () => {
  const { code, stdout } = await pops("inspect", run);
  expect(code).toBe(0);
  expect(compressing.stdout).toContain(stdout.trim());
});

it("compares two policies on observations", async () => {
  const policy = join(run, "policies", "policy.safetensors");
  const { code, stdout, stderr } = await pops("evaluate", policy, "--teacher", teacher, ...observed(log));
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(
    /^4[\d-]+-2 \(\d+ weights\) against 4-8-2 on 2000 observations, 40 episodes: no return is measured\n {2}agreement [\d.]+ % {2}sd [\d.]+ % {2}min [\d.]+ %\n {2}95 % lower bound [\d.]+ %, bootstrap interval [\d.]+ % to [\d.]+ %\n {2}KL [\d.e-]+ nats\n$/,
  );
  const json = await pops("evaluate", policy, "--teacher", teacher, ...observed(log), "--json");
  expect(JSON.parse(json.stdout)).toMatchObject({
    measure: "agreement",
    observations: { by: "episode", units: 40, observations: 2000 },
    agreement: { episodes: 40 },
    divergence: { kl: expect.any(Number) as number },
  });
  const itself = await pops("evaluate", teacher, "--teacher", teacher, ...observed(log), "--json");
  expect(JSON.parse(itself.stdout)).toMatchObject({ agreement: { mean: 1, lower95: 1 }, divergence: { kl: 0 } });
});

it("takes what a foreign file leaves open from the environment, and says what it guesses", async () => {
  const architecture = dense(2, [4], 1, "q-values");
  const random = new Pcg64(6);
  const parameters = Float32Array.from({ length: parameterCount(architecture) }, () => random.normal());
  const [actor, both] = [at("actor.pt"), ["--observations", at("two.npy")]];
  writeFileSync(actor, torchOf({ architecture, parameters, provenance: {} }, ["a", "b"]));
  writeFileSync(
    at("two.npy"),
    floats(
      [1_000, 2],
      Float32Array.from({ length: 2_000 }, () => random.normal()),
    ),
  );
  expect(await pops("compress", actor, ...both, ...tiny, "--out", at("none"))).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("read as q-values: a choice of one, in which all policies agree") as string,
  });
  const env = ["--env", "MountainCarContinuous-v0"];
  const own = at("own.safetensors");
  expect(await pops("import", "torch", actor, ...env, "--output", own)).toMatchObject({ code: 0 });
  // The head is said of the foreign file alone.
  const json = await pops("evaluate", own, "--teacher", actor, "--head", "gaussian", ...both, ...env, "--json");
  expect(json).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(json.stdout)).toMatchObject({ agreement: { mean: 1 }, divergence: { squaredError: 0 } });
  const ended = await pops("compress", actor, ...both, ...env, ...tiny, "--out", at("continuous"));
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  expect(ended.stdout).not.toContain("guessed");
  expect(readResult(join(at("continuous"), "result.json")).teacher.architecture.head).toBe("gaussian");
  const chosen = dense(2, [], 2, "logits");
  writeFileSync(
    at("two.pt"),
    torchOf({ architecture: chosen, parameters: new Float32Array(6), provenance: {} }, ["a"]),
  );
  expect((await pops("compress", at("two.pt"), ...both, ...tiny, "--out", at("guessed"))).stdout).toContain(
    "\nIts outputs were taken for Q-values (guessed): if they are logits, read its file with --head logits; if it is a continuous action, with --env ENVIRONMENT.\n",
  );
});

it.skipIf(process.platform === "win32")(
  "saves at Ctrl-C, refuses other observations, and goes on to the same bytes with the same ones (needs POSIX signals)",
  async () => {
    const own = temporaryFolder();
    const [out, moved] = [join(own, "run"), join(own, "log.npz")];
    copyFileSync(log, moved);
    const child = start("compress", "--teacher", teacher, ...observed(moved), ...tiny, "--out", out, "--workers", "1");
    expect(await child.reaches((output) => output.includes("Round 1: prune"))).toBe(true);
    child.process.kill("SIGINT");
    expect(await child.ended).toMatchObject({ code: 130, stderr: "" });

    const other = join(own, "other.npz");
    renameSync(moved, other);
    const missing = await pops("compress", "--resume", "--out", out);
    expect(missing).toMatchObject({ code: 3, stderr: `pops: ${moved}: cannot be read: no such file or folder\n` });
    copyFileSync(other, moved);
    // A comment behind the archive: another file with the same numbers.
    const bytes = readFileSync(moved);
    bytes.writeUInt16LE(1, bytes.length - 2);
    writeFileSync(moved, bytes);
    appendFileSync(moved, "x");
    const changed = await pops("compress", "--resume", "--out", out);
    expect(changed.code).toBe(3);
    expect(changed.stderr).toMatch(
      /: was changed since the run began \(its SHA-256 is [0-9a-f]{64}, not [0-9a-f]{64}\): name the original with --observations, or start a new run in another folder\n$/,
    );

    const resumed = await pops("compress", "--resume", "--out", out, ...observed(other));
    expect(resumed).toMatchObject({ code: 0, stderr: "" });
    expect(resumed.stdout).toMatch(/^log\.npz, seed 1, preset default: .* \(goes on\)\n/);
    expect(readEvents(join(out, "events.jsonl"))).toEqual(readEvents(join(run, "events.jsonl")));
    for (const file of ["policies/policy.safetensors", "policies/policy.onnx", "policies/teacher.safetensors"]) {
      expect(readFileSync(join(out, file)).equals(readFileSync(join(run, file)))).toBe(true);
    }
  },
  120_000,
);

const wide = at("wide.safetensors");
const architecture = dense(5, [], 3, "logits");
writeFileSync(
  wide,
  policyToSafetensors({ architecture, parameters: new Float32Array(parameterCount(architecture)), provenance: {} }),
);

it.each<[parameters: string, code: number, message: string]>([
  [
    "compress --teacher TEACHER --observations FOLDER/none.npz",
    3,
    "FOLDER/none.npz: cannot be read: no such file or folder",
  ],
  [
    "compress --teacher TEACHER --observations LOG",
    3,
    "LOG: has several arrays that may be observations (states [2000, 4], actions [2000, 1]): name one with --observations-key",
  ],
  [
    "compress --teacher TEACHER --observations LOG --observations-key state",
    3,
    'LOG: has no array "state"; it has states [2000, 4], actions [2000, 1], episode_starts [2000]',
  ],
  [
    "compress --teacher TEACHER --observations-key x",
    2,
    "--observations-key: is for --observations: name the file with it",
  ],
  ["compress --observations LOG --observations-key states", 2, "policy: is missing: name the file to compress"],
  [
    "compress --teacher FOLDER/wide.safetensors --observations LOG --observations-key states",
    2,
    "--observations: holds observations of shape [4], but 5-3 takes [5]",
  ],
  [
    "compress --teacher TEACHER --observations LOG --observations-key states --env Acrobot-v1",
    2,
    "architecture: 4-8-2 takes observations of shape [4], but Acrobot-v1 gives [6]",
  ],
  [
    "compress --teacher TEACHER --observations LOG --observations-key states --env-module x",
    2,
    "--env-module: is for an environment: name it with --env",
  ],
  [
    "compress --teacher TEACHER --observations LOG --observations-key states --set pops.objective=475",
    2,
    "--set: pops.objective: Too big: expected number to be <=1",
  ],
  [
    "compress --teacher TEACHER --observations LOG --observations-key states --set teacher.gamma=0.9",
    2,
    "--set: teacher.* is for training a teacher; here it is given",
  ],
  [
    "compress --teacher TEACHER --observations LOG --observations-key states --preset dqn",
    2,
    '--preset: observations has no preset "dqn"; it has default, paper, quick',
  ],
  ["evaluate TEACHER --observations LOG", 2, "--teacher: is missing: name the policy to compare with"],
  [
    "evaluate TEACHER --teacher TEACHER --observations LOG --env CartPol-v1",
    2,
    'environment: there is no environment "CartPol-v1"; did you mean "CartPole-v1"?',
  ],
  ["evaluate TEACHER --teacher TEACHER", 2, "--observations: is missing: name the file to compare on"],
  [
    "evaluate TEACHER --teacher TEACHER --observations LOG --sampled",
    2,
    "--sampled: is for playing: on observations greedy actions are compared",
  ],
  [
    "evaluate TEACHER --teacher TEACHER --observations LOG --tolerance 2",
    2,
    "option '--tolerance <share>' argument '2' is invalid. Expected a number from 0 to 1.",
  ],
])("refuses pops %s with exit code %i", async (parameters, code, message) => {
  const fill = (text: string): string =>
    text.replaceAll("TEACHER", teacher).replaceAll("LOG", log).replaceAll("FOLDER", folder);
  expect(await pops(...fill(parameters).split(" "))).toEqual({ code, stdout: "", stderr: `pops: ${fill(message)}\n` });
});

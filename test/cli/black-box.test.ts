import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { afterAll, beforeAll, expect, it } from "vitest";
import { loadTeacher } from "../../src/importing/load.ts";
import type { BlackBoxPolicy } from "../../src/network/policy.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";
import { readEvents, readResult } from "../../src/run/read.ts";
import { balancer, node } from "../importing/fixtures/graphs.ts";
import { floats } from "../observations/fixtures/writers.ts";
import { type Ended, newFolder, pops, remove, start, temporaryFolder } from "./fixtures/pops.ts";
import { tiny } from "./fixtures/tiny.ts";

const folder = newFolder();
const model = join(folder, "model.onnx");
const run = join(folder, "run");
const file = balancer({
  behind: [node("ArgMax", "q", "choice", { axis: 1, keepdims: 1 }), node("ReduceMax", "q", "value", { axes: [1] })],
  outputs: [
    { name: "choice", dtype: "int64", dims: ["batch", 1] },
    { name: "q", dtype: "float32", dims: ["batch", 2] },
    { name: "value", dtype: "float32", dims: ["batch", 1] },
  ],
});
writeFileSync(model, file);
const FILES = ["events.jsonl", "policies/policy.safetensors", "policies/teacher.safetensors", "policies/policy.onnx"];
let compressing: Ended;

function compress(out: string, ...more: string[]): string[] {
  return ["compress", "--teacher", model, "--env", "CartPole-v1", ...tiny(), "--out", out, ...more];
}

beforeAll(async () => {
  compressing = await pops(...compress(run, "--workers", "1"));
});
afterAll(() => {
  remove(folder);
});

it("says that the teacher is a black box and what that means, and begins with a student", () => {
  const { code, stdout, stderr } = compressing;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout.split("\n").slice(0, 10)).toEqual([
    `CartPole-v1, seed 1, preset default: ${run}`,
    'The teacher is a black box (node Sigmoid "gate" is not understood): 6 nodes, run by ONNX Runtime as they are.',
    "  It plays, and says for every state what it would do, but it has no layers that could be pruned: compression begins",
    "  with a student of 4-4-4-2 that it teaches (another one: --set pops.student.hidden=...), and goes on from that.",
    "  It counts as 80 weights: the numbers of its tensors of two or more dimensions. The others hold 12.",
    "In ONNX: obs float32 [batch, 4] to choice int64 [batch, 1], q float32 [batch, 2], as the model that it comes from, without value.",
    "Prove the teacher",
    "  ✓ teacher 4-[onnx]-2: 500.0 over 20 held-out episodes, 95 % lower bound 500.0 (objective 50)",
    "Teach the first student",
    expect.stringMatching(/^ {2}[✓✗] 4-4-4-2, 40 weights, start 1: /),
  ]);
});

it("ends with a smaller policy that is proven, and tells both sides", () => {
  const result = readResult(join(run, "result.json"));
  expect(result).toMatchObject({
    smaller: true,
    teacher: {
      layers: "4-[onnx]-2",
      weights: 80,
      biases: 12,
      nonZero: 75,
      bytes: 368,
      macs: 80,
      architecture: { model: { nodes: 6 } },
    },
  });
  expect(result.policy.weights).toBeLessThan(80);
  expect(result.ratio).toBe(result.policy.weights / 80);
  const started = readEvents(join(run, "events.jsonl")).filter((event) => event.type === "stage-started");
  expect(started.slice(0, 3).map(({ stage, iteration }) => [stage, iteration])).toEqual([
    ["proof", 0],
    ["distill", 0],
    ["prune", 1],
  ]);
  expect(readFileSync(join(run, "report.html"), "utf8")).toContain(
    "A black box: an ONNX model of 6 nodes that was run as it is.",
  );
});

it("keeps the teacher's file with the run, byte for byte", async () => {
  const kept = (await loadTeacher(join(run, "policies", "teacher.safetensors"))) as BlackBoxPolicy;
  expect(Buffer.from(kept.file).equals(file)).toBe(true);
  expect(kept.score?.mean).toBe(500);
});

it("exports a policy that is called as its teacher was, now and later", async () => {
  const later = join(temporaryFolder(), "later.onnx");
  expect(await pops("export", "onnx", join(run, "policies", "policy.safetensors"), "--output", later)).toMatchObject({
    code: 0,
  });
  expect(readFileSync(later).equals(readFileSync(join(run, "policies", "policy.onnx")))).toBe(true);
  const session = await InferenceSession.create(readFileSync(later));
  expect(session.inputMetadata).toMatchObject([{ name: "obs", type: "float32", shape: ["batch", 4] }]);
  expect(session.outputMetadata).toMatchObject([
    { name: "choice", type: "int64", shape: ["batch", 1] },
    { name: "q", type: "float32", shape: ["batch", 2] },
  ]);
  const { choice, q } = await session.run({ obs: new Tensor("float32", [0, 1, 0.1, 1, 0, -1, -0.1, -1], [2, 4]) });
  expect(choice?.dims).toEqual([2, 1]);
  expect(Array.from(choice?.data as BigInt64Array, Number)).toEqual(
    [0, 2].map((row) => Number(q!.data[row + 1]! > q!.data[row]!)),
  );
  await session.release();
});

it("gives the same bytes with two workers", async () => {
  const out = join(temporaryFolder(), "run");
  expect(await pops(...compress(out, "--workers", "2"))).toMatchObject({ code: 0 });
  for (const name of FILES) expect(readFileSync(join(out, name)).equals(readFileSync(join(run, name)))).toBe(true);
});

it.skipIf(process.platform === "win32").each(["Teach the first student", "Round 1: prune"])(
  "goes on to the same bytes after Ctrl-C (%s; needs POSIX signals)",
  async (title) => {
    const out = join(temporaryFolder(), "run");
    const child = start(...compress(out));
    expect(await child.reaches((output) => output.includes(title))).toBe(true);
    child.process.kill("SIGINT");
    expect(await child.ended).toMatchObject({ code: 130, stderr: "" });
    const resumed = await pops("compress", "--resume", "--out", out);
    expect(resumed).toMatchObject({ code: 0, stderr: "" });
    expect(resumed.stdout).toContain("The teacher is a black box");
    for (const name of FILES) expect(readFileSync(join(out, name)).equals(readFileSync(join(run, name)))).toBe(true);
  },
);

it("is its own answer when nothing smaller holds the objective", async () => {
  const out = join(temporaryFolder(), "run");
  const settings = tiny({
    "pops.objective": 500,
    "pops.distill.updates": 1,
    "pops.distill.rounds": 0,
    "pops.squeezeStarts": 1,
    "pops.starts": 1,
  });
  const ended = await pops("compress", "--teacher", model, "--env", "CartPole-v1", ...settings, "--out", out);
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  expect(ended.stdout).toContain("nothing smaller than the teacher holds the objective; the answer is the teacher.");
  expect(readFileSync(join(out, "policies", "policy.onnx")).equals(file)).toBe(true);
  expect(readResult(join(out, "result.json"))).toMatchObject({
    smaller: false,
    ratio: 1,
    policy: { layers: "4-[onnx]-2" },
  });
  const again = await pops("evaluate", join(out, "policies", "policy.safetensors"), "--episodes", "10");
  expect(again.stdout).toMatch(
    /^4-\[onnx\]-2 \(80 weights\) on CartPole-v1, 10 greedy episodes, seed 1\n {2}mean 500\.00 /,
  );
});

it("is evaluated like any teacher, by what its outputs are said to mean", async () => {
  const ended = await pops(
    ...["evaluate", model, "--env", "CartPole-v1", "--head", "logits", "--sampled", "--episodes", "10", "--json"],
  );
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  const { acting, architecture, weights, score } = JSON.parse(ended.stdout) as Record<string, unknown>;
  expect({ acting, architecture, weights }).toMatchObject({
    acting: "sampled",
    architecture: { head: "logits" },
    weights: 80,
  });
  expect(score).toMatchObject({ episodes: 10 });
});

it("is compared with on logged observations", async () => {
  const log = join(temporaryFolder(), "log.npy");
  const random = new Pcg64(4);
  writeFileSync(
    log,
    floats(
      [1_000, 4],
      Float32Array.from({ length: 4_000 }, () => random.normal()),
    ),
  );
  const policy = join(run, "policies", "policy.safetensors");
  const compare = (teacher: string) => pops("evaluate", policy, "--teacher", teacher, "--observations", log);
  const ended = await compare(model);
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  expect(ended.stdout).toMatch(/^4-\S+ \(\d+ weights\) against 4-\[onnx\]-2 on 1000 observations, 100 blocks: /);
  expect(await compare(join(run, "policies", "teacher.safetensors"))).toEqual(ended);
});

it("is inspected: what is in it, and how it is called", async () => {
  expect(await pops("inspect", model)).toEqual({
    code: 0,
    stderr: "",
    stdout: [
      "4-[onnx]-2  q-values  no environment",
      "  a black box: 6 nodes",
      "  80 weights (75 non-zero), 12 biases, 368 bytes, 80 multiply-adds",
      "  In ONNX: obs float32 [batch, 4] to choice int64 [batch, 1], q float32 [batch, 2], as the model that it comes from, without value.",
      "  source: ONNX model model.onnx",
      '  blackBox: node Sigmoid "gate" is not understood',
      "  head: q-values (as the file says)",
      "  output: choice",
      "",
    ].join("\n"),
  });
});

it.each<[string, readonly string[], number, string]>([
  [
    "an import",
    ["import", "onnx", model, "--output", join(folder, "x.safetensors")],
    3,
    `${model}: node Sigmoid "gate" is not understood: it is no sequence of convolutions and dense layers, but may be a black-box teacher (pops compress --teacher)`,
  ],
  [
    "an export",
    ["export", "onnx", join(run, "policies", "teacher.safetensors"), "--output", join(folder, "x.onnx")],
    3,
    `${join(run, "policies", "teacher.safetensors")}: holds a black box, which has no layers: expected a policy of layers`,
  ],
  ...["js", "html"].map((format): [string, readonly string[], number, string] => [
    `an export as ${format}`,
    ["export", format, model, "--output", join(folder, `x.${format}`)],
    2,
    `format: ${format} is for networks of layers, ${model} holds a black box: compress it first (pops compress), and export what comes out`,
  ]),
  [
    "a student that is no smaller",
    compress(join(folder, "none"), "--set", "pops.student.hidden=[10,10]"),
    2,
    "pops.student: 4-10-10-2 has 160 weights, the teacher 80: a student has to be smaller",
  ],
  [
    "another environment",
    ["evaluate", model, "--env", "Acrobot-v1"],
    2,
    "architecture: 4-[onnx]-2 takes observations of shape [4], but Acrobot-v1 gives [6]",
  ],
])("is refused with the reason: %s", async (_name, parameters, code, message) => {
  expect(await pops(...parameters)).toEqual({ code, stdout: "", stderr: `pops: ${message}\n` });
});

it("begins with the student that the settings want", async () => {
  const out = join(temporaryFolder(), "run");
  const ended = await pops(
    ...compress(out, "--set", "pops.student.hidden=[6]", "--set", "pops.student.activation=tanh"),
  );
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  const [first] = readEvents(join(out, "events.jsonl")).filter((event) => event.type === "candidate");
  expect(first).toMatchObject({ architecture: { layers: [{ units: 6, activation: "tanh" }, { units: 2 }] } });
});

it.each([
  ["loops", [node("Loop", "q", "out")], 'node Loop "out" could run for ever: control flow is refused'],
  ["is not understood by ONNX Runtime", [node("Identity", "q q", "out")], "cannot be run by ONNX Runtime: "],
] as const)("ends with exit code 3 for a model that %s", async (_name, behind, problem) => {
  const hostile = join(temporaryFolder(), "hostile.onnx");
  writeFileSync(hostile, balancer({ behind, outputs: [{ name: "out", dtype: "float32" }] }));
  const { code, stdout, stderr } = await pops("compress", "--teacher", hostile, "--env", "CartPole-v1");
  expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
  expect(stderr.startsWith(`pops: ${hostile}: ${problem}`)).toBe(true);
  expect(stderr.trimEnd()).not.toContain("\n");
});

import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { environmentIds } from "../../src/environment/registry.ts";
import { policyToSafetensors } from "../../src/exporting/safetensors.ts";
import { DIGEST_OFFSET } from "../../src/importing/policy-safetensors.ts";
import { dense } from "../../src/network/architecture.ts";
import type { Policy } from "../../src/network/policy.ts";
import { NO_DIGEST, seal } from "../../src/seal.ts";
import { newFolder, pops, remove } from "./fixtures/pops.ts";

const folder = newFolder();
afterAll(() => {
  remove(folder);
});
const at = (name: string): string => join(folder, name);

const homeless: Policy = {
  architecture: dense(4, [], 2, "q-values"),
  parameters: Float32Array.from({ length: 10 }, (_, i) => i / 10),
  provenance: {},
};
const policy: Policy = { ...homeless, environment: "CartPole-v1" };
writeFileSync(at("good.safetensors"), policyToSafetensors(policy));
writeFileSync(at("truncated.safetensors"), policyToSafetensors(policy));
truncateSync(at("truncated.safetensors"), 300);
writeFileSync(at("nowhere.safetensors"), policyToSafetensors(homeless));
const nan = Buffer.from(policyToSafetensors(policy));
nan.writeFloatLE(Number.NaN, nan.length - 4);
nan.write(NO_DIGEST, DIGEST_OFFSET, "latin1");
seal(nan, DIGEST_OFFSET);
writeFileSync(at("nan.safetensors"), nan);
const flipped = Buffer.from(policyToSafetensors(policy));
flipped.writeFloatLE(7, flipped.length - 4);
writeFileSync(at("flipped.safetensors"), flipped);
writeFileSync(at("text.safetensors"), "These are no tensors.");
writeFileSync(at("notes.txt"), "Nor is this a policy.");

const known = environmentIds().join(", ");

it.each<[parameters: string, code: number, message: string]>([
  ["frobnicate", 2, "unknown command 'frobnicate'"],
  ["evaluat x", 2, "unknown command 'evaluat' (Did you mean evaluate?)"],
  ["run CartPole-v1 --sed 3", 2, "unknown option '--sed' (Did you mean one of --seed, --set?)"],
  ["run", 2, 'environment: is missing; "pops environments" lists them'],
  [
    "export sb3 zoo/CartPole-v1-policy.safetensors --env-module x --output FOLDER/x.zip",
    2,
    "--env-module: is for environments of Python's Gymnasium: did you mean gymnasium:CartPole-v1?",
  ],
  ["run CartPol-v1", 2, 'environment: there is no environment "CartPol-v1"; did you mean "CartPole-v1"?'],
  ["run Breakout", 2, `environment: there is no environment "Breakout"; known are ${known}`],
  [
    "run Pendulum-v1 --set teacher.algorithm=dqn",
    2,
    "teacher.algorithm: Pendulum-v1 has continuous actions, DQN needs choices: use ppo",
  ],
  [
    "run CartPole-v1 --set teacher.gaeLambda=0.9",
    2,
    "--set: teacher.gaeLambda is a setting of ppo alone: set teacher.algorithm=ppo, or leave it out",
  ],
  [
    "run CartPole-v1 --set teacher.algorithm=ppo --set teacher.double=false",
    2,
    "--set: teacher.double is a setting of dqn alone: set teacher.algorithm=dqn, or leave it out",
  ],
  ["run CartPole-v1 --preset papr", 2, '--preset: CartPole-v1 has no preset "papr"; did you mean "paper"?'],
  [
    "run CartPole-v1 --preset fastest",
    2,
    '--preset: CartPole-v1 has no preset "fastest"; it has default, paper, quick',
  ],
  [
    "run CartPole-v1 --set pops.objektive=3",
    2,
    '--set: there is no setting "pops.objektive"; did you mean "pops.objective"?',
  ],
  [
    "run CartPole-v1 --set temperature=1",
    2,
    '--set: there is no setting "temperature"; did you mean "pops.distill.temperature"?',
  ],
  ["run CartPole-v1 --set zzz=1", 2, '--set: there is no setting "zzz"; see "pops settings"'],
  ["run CartPole-v1 --set __proto__.x=1", 2, '--set: there is no setting "__proto__.x"; see "pops settings"'],
  ["run CartPole-v1 --set pops.objective", 2, '--set: "pops.objective" is not of the form key=value'],
  ["run CartPole-v1 --set pops.objective=high", 2, "--set: pops.objective: expected number, received string"],
  ["run CartPole-v1 --set pops.objective=", 2, "--set: pops.objective: expected number, received null"],
  ["run CartPole-v1 --set teacher.hidden=64", 2, "--set: teacher.hidden: expected array, received number"],
  [
    "run CartPole-v1 --set teacher.hidden=[64",
    2,
    "--set: the value of teacher.hidden is not YAML: Flow sequence must end with a ]",
  ],
  ["run CartPole-v1 --set teacher.batchSize=0", 2, "--set: teacher.batchSize: Too small: expected number to be >=1"],
  ["run CartPole-v1 --set teacher.double=2", 2, "--set: teacher.double: expected boolean, received number"],
  ["run CartPole-v1 --set pops.rule=all", 2, '--set: pops.rule: Invalid option: expected one of "units"|"weights"'],
  ["run CartPole-v1 --seed -1", 2, "option '--seed <n>' argument '-1' is invalid. Expected a whole number from 0."],
  ["run CartPole-v1 --seed 1.5", 2, "option '--seed <n>' argument '1.5' is invalid. Expected a whole number from 0."],
  ["run CartPole-v1 --workers 0", 2, "option '--workers <n>' argument '0' is invalid. Expected a whole number from 1."],
  [
    "run CartPole-v1 --checkpoint-every soon",
    2,
    "option '--checkpoint-every <seconds>' argument 'soon' is invalid. Expected a number of seconds from 0.",
  ],
  [
    "run CartPole-v1 --out FOLDER",
    2,
    "--out: FOLDER is not empty (it has flipped.safetensors) and not a run: pass another --out",
  ],
  [
    "run CartPole-v1 --out FOLDER/notes.txt",
    2,
    "--out: FOLDER/notes.txt cannot be used as a folder: ENOTDIR: not a directory, scandir 'FOLDER/notes.txt'. Pass another --out",
  ],
  [
    "run CartPole-v1 --out FOLDER/notes.txt/run",
    3,
    "FOLDER/notes.txt/run: could not be made: ENOTDIR: not a directory, mkdir 'FOLDER/notes.txt/run'. Choose another folder with --out",
  ],
  ["compress", 2, "policy: is missing: name the file to compress"],
  ["compress a.zip --teacher b.zip", 2, "--teacher: a.zip is named already"],
  ["compress --teacher FOLDER/none.onnx", 3, "FOLDER/none.onnx: cannot be read: no such file or folder"],
  [
    "compress --teacher FOLDER/nowhere.safetensors",
    2,
    "--env: FOLDER/nowhere.safetensors names no environment: state one",
  ],
  [
    "compress --teacher FOLDER/good.safetensors --env Acrobot-v1",
    2,
    "architecture: 4-2 takes observations of shape [4], but Acrobot-v1 gives [6]",
  ],
  [
    "compress --teacher FOLDER/nan.safetensors",
    3,
    "FOLDER/nan.safetensors: policy: bias 1 of layer output is NaN, expected a finite number",
  ],
  ["evaluate FOLDER/none.safetensors", 3, "FOLDER/none.safetensors: cannot be read: no such file or folder"],
  [
    "evaluate FOLDER/good.safetensors --env MountainCar-v0",
    2,
    "architecture: 4-2 takes observations of shape [4], but MountainCar-v0 gives [2]",
  ],
  ["evaluate FOLDER/nowhere.safetensors", 2, "--env: FOLDER/nowhere.safetensors names no environment: state one"],
  [
    "evaluate FOLDER/good.safetensors --episodes 1",
    2,
    "option '--episodes <n>' argument '1' is invalid. Expected a whole number from 2.",
  ],
  [
    "evaluate FOLDER/notes.txt",
    3,
    "FOLDER/notes.txt: is no policy file: expected .safetensors, .onnx, a zip of Stable-Baselines3 or a state dict of PyTorch",
  ],
  [
    "inspect FOLDER",
    3,
    "FOLDER: is a folder without config.yaml, so it is no run: name a run's folder or a policy file",
  ],
  [
    "inspect CartPole-v1",
    2,
    "path: CartPole-v1 is an environment: pops settings CartPole-v1 shows what can be set in it",
  ],
  ["inspect FOLDER/none", 3, "FOLDER/none: cannot be read: no such file or folder"],
  [
    "inspect FOLDER/flipped.safetensors",
    3,
    "FOLDER/flipped.safetensors: is damaged or was changed after PoPS wrote it: its content does not have the SHA-256 it states",
  ],
  [
    "inspect FOLDER/truncated.safetensors",
    3,
    "FOLDER/truncated.safetensors: byte 0: header of 456 bytes, but 292 follow",
  ],
  [
    "inspect FOLDER/text.safetensors",
    3,
    "FOLDER/text.safetensors: byte 0: header of 8241904413164529748 bytes, at most 100000000 are allowed",
  ],
  [
    "import torch FOLDER/x.pt --strides 4,0 --output FOLDER/x.onnx",
    2,
    "--strides: is a list of numbers from 1, or of heights and widths (2x1)",
  ],
  [
    "import torch FOLDER/x.pt --padding -1 --output FOLDER/x.onnx",
    2,
    "--padding: is a list of numbers from 0, or same, by commas",
  ],
  ["import safetensors FOLDER/x --flatten cwh --output FOLDER/x.onnx", 2, '--flatten: "cwh" is neither chw nor hwc'],
  [
    "import tf-checkpoint FOLDER/x --scale 0 --output FOLDER/x.onnx",
    2,
    "option '--scale <n>' argument '0' is invalid. Expected a number above 0, up to 1e9.",
  ],
  [
    "export tflite FOLDER/good.safetensors --output FOLDER/x",
    2,
    'format: there is no format "tflite"; known are onnx, safetensors, sb3, js, html, c',
  ],
  [
    "export onxx FOLDER/good.safetensors --output FOLDER/x",
    2,
    'format: there is no format "onxx"; did you mean "onnx"?',
  ],
  ["export onnx FOLDER/good.safetensors --half --output FOLDER/x", 2, "--half: is for safetensors, not for onnx"],
  [
    "export js FOLDER/good.safetensors --output FOLDER/x.ts",
    2,
    "--output: FOLDER/x.ts is to be a module: name it .js or .mjs",
  ],
  [
    "export html FOLDER/good.safetensors --env gymnasium:CartPole-v1 --output FOLDER/x.html",
    2,
    `environment: gymnasium:CartPole-v1 cannot run in a page: state one that is built in (${known})`,
  ],
  ["export onnx FOLDER/good.safetensors", 2, "required option '--output <file>' not specified"],
  [
    "export onnx FOLDER/good.safetensors --output FOLDER/none/x.onnx",
    3,
    "FOLDER/none/x.onnx: cannot be written: no such file or folder",
  ],
  [
    "import tf-checkpoint FOLDER/none --output FOLDER/x.onnx",
    3,
    "FOLDER/none.index: cannot be read: no such file or folder",
  ],
  [
    "import tf-checkpoint FOLDER/none --output FOLDER/x.onnx --head values",
    2,
    '--head: "values" is neither q-values, logits nor gaussian',
  ],
  [
    "import tf-checkpoint FOLDER/none --output FOLDER/x.onnx --activations gelu",
    2,
    "--activations: is a list of relu, tanh and none, by commas",
  ],
  ["settings CartPole-v2", 2, 'environment: there is no environment "CartPole-v2"; did you mean "CartPole-v0"?'],
])("refuses pops %s with exit code %i and one line that says why", async (parameters, code, message) => {
  const fill = (text: string): string => text.replaceAll("FOLDER", folder);
  const ended = await pops(...fill(parameters).split(" "));
  expect(ended).toEqual({ code, stdout: "", stderr: `pops: ${fill(message)}\n` });
});

it.each([
  [
    "teacher.bufferSize",
    "dqn",
    1e12,
    /^pops: teacher.bufferSize: 1\d+ transitions of observations of 4 numbers take 44000 GB, /,
  ],
  [
    "teacher.nSteps",
    "ppo",
    16_384e6,
    /^pops: teacher.nSteps: \d+ observations of 4 numbers take \d+ GB, this machine has /,
  ],
  [
    "pops.distill.teacherStates",
    "dqn",
    1e12,
    /^pops: pops.distill.teacherStates: 1\d+ observations of 4 numbers take /,
  ],
])("refuses more %s than there is memory for", async (key, algorithm, value, message) => {
  const settings = [`teacher.algorithm=${algorithm}`, "pops.objective=5", "pops.lowerBound=5", "teacher.stopScore=5"];
  const parameters = [...settings, `${key}=${value}`].flatMap((setting) => ["--set", setting]);
  const { code, stderr } = await pops("run", "CartPole-v1", ...parameters, "--out", at(key));
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
});

it("shows control characters of a hostile file's text instead of obeying them, and caps its length", async () => {
  const hostile = `\u001b]0;gotcha\u0007\u001b[2J\u202eevil\r\n${"long ".repeat(1000)}`;
  writeFileSync(
    at("hostile.safetensors"),
    policyToSafetensors({ ...policy, provenance: { [hostile.slice(0, 20)]: hostile } }),
  );
  const inspected = await pops("inspect", at("hostile.safetensors"));
  expect(inspected).toMatchObject({ code: 0, stderr: "" });
  expect(inspected.stdout).toContain("\\u{1b}]0;gotcha\\u{7}\\u{1b}[2J\\u{202e}evil long long");
  expect(inspected.stdout).toMatch(/\.\.\. \(\d+ more characters\)\n$/);

  const header = JSON.stringify({ __metadata__: { format: hostile } });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(at("hostile-2.safetensors"), Buffer.concat([length, Buffer.from(header)]));
  const refused = await pops("inspect", at("hostile-2.safetensors"));
  expect(refused).toMatchObject({ code: 3, stdout: "" });
  for (const { stdout, stderr } of [inspected, refused]) {
    expect((stdout + stderr).replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(stdout.length + stderr.length).toBeLessThan(2500);
  }
});

it("refuses an export over a good file that it cannot read, and leaves that file as it was", async () => {
  const before = readFileSync(at("good.safetensors"));
  await pops("export", "safetensors", at("flipped.safetensors"), "--output", at("good.safetensors"));
  expect(readFileSync(at("good.safetensors")).equals(before)).toBe(true);
});

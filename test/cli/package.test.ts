import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readEvents, readResult } from "../../src/run/read.ts";
import { NEEDS, withGymnasium } from "../environment/fixtures/python.ts";
import { newFolder, remove } from "./fixtures/pops.ts";
import { tiny } from "./fixtures/tiny.ts";

/* The package as its users get it: packed, installed from the tarball, run from its compiled JavaScript. */

const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = newFolder();
const project = join(folder, "project");
let tarball = "";

function run(cwd: string, program: string, ...parameters: string[]) {
  const { status, stdout, stderr } = spawnSync(program, parameters, { cwd, encoding: "utf8" });
  return { status, stdout, stderr };
}

/** The installed `pops`, as `npx pops` starts it. */
function pops(...parameters: string[]) {
  return run(project, process.execPath, join("node_modules", ".bin", "pops"), ...parameters);
}

beforeAll(() => {
  // A copy: other tests run what the build before the packing replaces.
  const source = join(folder, "source");
  cpSync(root, source, { recursive: true, filter: (path) => !/[\\/](?:node_modules|dist|runs|\.git)$/.test(path) });
  symlinkSync(join(root, "node_modules"), join(source, "node_modules"), "junction");
  // The repository's .npmrc would skip that build.
  const packed = run(source, "npm", "pack", "--ignore-scripts=false", "--json", "--pack-destination", folder);
  expect(packed, packed.stdout + packed.stderr).toMatchObject({ status: 0 });
  // Before it stands what the build prints.
  const [{ filename }] = JSON.parse(packed.stdout.slice(packed.stdout.lastIndexOf("\n[") + 1)) as [
    { filename: string },
  ];
  tarball = join(folder, filename);
  mkdirSync(project);
  // As npm init writes it.
  writeFileSync(join(project, "package.json"), '{ "private": true, "type": "commonjs" }\n');
  const installed = run(
    project,
    "npm",
    "install",
    "--ignore-scripts",
    "--prefer-offline",
    "--no-audit",
    "--no-fund",
    tarball,
  );
  expect(installed, installed.stderr).toMatchObject({ status: 0 });
}, 300_000);
afterAll(() => {
  remove(folder);
});

it("has no fault that publint knows", async () => {
  const bytes = readFileSync(tarball);
  const packed = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const { messages } = await publint({ strict: true, pack: { tarball: packed } });
  expect(messages).toEqual([]);
});

it("holds the compiled program, the presets, the zoo and nothing of the workshop", () => {
  const { stdout } = run(folder, "tar", "-tzf", tarball);
  const files = stdout.trimEnd().split("\n");
  for (const file of [
    "LICENSE",
    "dist/index.js",
    "dist/index.d.ts",
    "dist/cli/main.js",
    "dist/pops/worker.js",
    "dist/environment/gymnasium-bridge.py",
    "presets/shared.yaml",
    "templates/my-env.ts",
    "zoo/index.json",
  ]) {
    expect(files).toContain(`package/${file}`);
  }
  expect(
    files.filter(
      (file) =>
        !/^package\/(?:dist\/.+\.(?:js|d\.ts)|dist\/environment\/gymnasium-bridge\.py|presets\/.+\.yaml|templates\/my-env\.ts|zoo\/(?:index\.json|[\w.-]+\.safetensors)|[A-Za-z]+(?:\.md|\.json)?)$/.test(
          file,
        ),
    ),
  ).toEqual([]);
});

it("lists environments by npx", () => {
  const { status, stdout } = run(project, "npx", "--no-install", "pops", "environments");
  expect(status).toBe(0);
  expect(stdout).toMatch(/^environment +observation .*\nCartPole-v0 /);
});

it("gives a policy of the zoo", () => {
  expect(pops("zoo", "get", "CartPole-v1-policy")).toMatchObject({ status: 0, stderr: "" });
  expect(pops("evaluate", "CartPole-v1-policy.safetensors").stdout).toContain(" on CartPole-v1, 100 greedy episodes");
});

it("exports a policy as a module and as a page", () => {
  const file = join("node_modules", "pops-rl", "zoo", "LunarLander-v3-policy.safetensors");
  expect(pops("export", "js", file, "--output", "lander.mjs")).toMatchObject({ status: 0, stderr: "" });
  expect(pops("export", "html", file, "--output", "lander.html")).toMatchObject({ status: 0, stderr: "" });
  const asked = 'import("./lander.mjs").then(({ act }) => console.log(act(new Array(8).fill(0))))';
  expect(run(project, process.execPath, "-e", asked)).toMatchObject({ status: 0, stdout: "0\n" });
  expect(readFileSync(join(project, "lander.html"), "utf8")).toContain('pops.play(window, act, "LunarLander-v3");');
});

it("makes a whole run, with students in worker threads", () => {
  const { status, stdout, stderr } = pops("run", "CartPole-v1", ...tiny(), "--out", "run", "--workers", "2");
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toContain("\nCartPole-v1: 160 weights became ");
  expect(readResult(join(project, "run", "result.json")).smaller).toBe(true);
  expect(readEvents(join(project, "run", "events.jsonl")).some(({ type }) => type === "candidate")).toBe(true);
});

it("names npx in the commands that it prints", () => {
  const { stdout } = pops("train", "CartPole-v1", ...tiny(), "--out", "trained");
  expect(stdout).toContain("\nCompress it with: npx pops compress trained/policies/teacher.safetensors\n");
});

it.skipIf(!withGymnasium)(`plays environments of Gymnasium's (${NEEDS})`, () => {
  const policy = join("run", "policies", "policy.onnx");
  const played = pops("evaluate", policy, "--env", "gymnasium:CartPole-v1", "--episodes", "5", "--workers", "2");
  expect(played).toMatchObject({ status: 0, stderr: "" });
  expect(played.stdout).toContain(" on gymnasium:CartPole-v1, 5 greedy episodes");
});

it("makes an environment of the user's own in TypeScript, and compresses for it, in worker threads too", () => {
  expect(pops("new", "environment", "marker")).toMatchObject({ status: 0, stderr: "" });
  const path = join(project, "marker.ts");
  // A class that only a compiler takes apart, whose lanes are in threads as well.
  const more = "\nexport const slow = true;\nexport enum Side {\n  Left,\n  Right,\n}\n";
  writeFileSync(path, readFileSync(path, "utf8") + more);
  expect(pops("inspect", "./marker.ts")).toMatchObject({
    status: 0,
    stdout: expect.stringContaining("keeps the contract of environments") as string,
    stderr: "",
  });
  const settings = tiny({ "teacher.stopScore": 90, "pops.objective": 80, "pops.lowerBound": 50 });
  const out = ["--out", "marker", "--workers", "2"];
  const { status, stdout, stderr } = pops("run", "./marker.ts", ...settings, ...out);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toContain("\nMarker-v0: 144 weights became ");
});

it("is a library with types for the strictest compiler", () => {
  writeFileSync(
    join(project, "consumer.mts"),
    `import {
  type Architecture,
  checkEnvironment,
  dense,
  dqnSchema,
  Evaluator,
  type Event,
  loadPolicy,
  makeEnvironment,
  makeVector,
  type Outcome,
  pipeline,
  type Policy,
  policyToOnnx,
  PopsError,
  predictor,
  readEvents,
  type Score,
} from "pops-rl";

const architecture: Architecture = dense(4, [2], 2, "q-values");
const policy: Policy = { architecture, parameters: new Float32Array(16), provenance: {} };
const decide = predictor(policy);
const values: Float32Array = decide(makeEnvironment("CartPole-v1").reset(7));
const evaluator = await Evaluator.create(architecture, makeVector("CartPole-v1", 10));
const score: Score = await evaluator.score(policy.parameters, 1, "test", 20);
await evaluator.dispose();
const options = dqnSchema.parse({ stopScore: 20, totalSteps: 400, learningStarts: 100, hidden: [4] });
const run = pipeline({ environment: "CartPole-v1", preset: "none", seed: 1, workers: 1, teacher: { options }, pops: undefined });
let outcome: Outcome | undefined;
const seen: Event["type"][] = [];
for (let next = await run.next(); ; next = await run.next()) {
  if (next.done) {
    outcome = next.value;
    break;
  }
  if (next.value.type !== "checkpoint") seen.push(next.value.type);
}
let refused = "";
try {
  await loadPolicy("none.onnx");
} catch (error) {
  if (error instanceof PopsError) refused = \`\${error.name} \${error.exitCode}\`;
}
console.log(JSON.stringify({
  values: values.length,
  episodes: score.episodes,
  seen: seen.slice(0, 2),
  weights: "parameters" in outcome.teacher ? outcome.teacher.parameters.length : 0,
  onnx: policyToOnnx(policy).length > 0,
  refused,
  events: typeof readEvents,
  problems: checkEnvironment(() => makeEnvironment("CartPole-v1")),
}));
`,
  );
  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        target: "es2023",
        module: "nodenext",
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        noUnusedLocals: true,
        noUnusedParameters: true,
        types: ["node"],
        typeRoots: [join(root, "node_modules", "@types")],
      },
      files: ["consumer.mts", "marker.ts"],
    }),
  );
  // What a project of its own would have beside the package.
  mkdirSync(join(project, "node_modules", "@types"), { recursive: true });
  symlinkSync(join(root, "node_modules", "@types", "node"), join(project, "node_modules", "@types", "node"));
  const compiled = run(project, process.execPath, join(root, "node_modules", "typescript", "bin", "tsc"));
  expect(compiled).toEqual({ status: 0, stdout: "", stderr: "" });
  const { status, stdout, stderr } = run(project, process.execPath, "consumer.mjs");
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(JSON.parse(stdout)).toEqual({
    values: 2,
    episodes: 20,
    seen: ["run-started", "stage-started"],
    weights: 4 * 4 + 4 + 4 * 2 + 2,
    onnx: true,
    refused: "FileError 3",
    events: "function",
    problems: [],
  });
});

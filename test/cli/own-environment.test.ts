import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readResult } from "../../src/run/read.ts";
import { newFolder, popsIn, remove } from "./fixtures/pops.ts";
import { tiny } from "./fixtures/tiny.ts";

/* Environments of the user's own: a module is named where an id could stand. */

const folder = newFolder();
const at = (...names: string[]): string => join(folder, ...names);
const pops = (...parameters: string[]) => popsIn(folder, ...parameters);
afterAll(() => {
  remove(folder);
});

const settings = tiny({ "teacher.stopScore": 90, "pops.objective": 80, "pops.lowerBound": 50 });
let template = "";
beforeAll(async () => {
  expect(await pops("new", "environment")).toMatchObject({ code: 0, stderr: "" });
  template = readFileSync(at("my-env.ts"), "utf8");
});

/** A module whose environment is the template's with one thing changed. */
function changed(name: string, from: string, to: string): string {
  const text = template.replace(from, to).replaceAll("MyEnv", "Changed");
  expect(template).toContain(from);
  writeFileSync(at(name), text);
  return `./${name}`;
}

describe("pops new environment", () => {
  it("writes an environment that keeps the contract, and says what to do with it", async () => {
    expect(await pops("inspect", "./my-env.ts")).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        /^\.\/my-env\.ts: keeps the contract of environments\n.*\n {2}MyEnv-v0 +\[2\] /,
      ) as string,
      stderr: "",
    });
    const { stdout } = await pops("new", "environment", "other");
    expect(stdout).toContain("npx pops inspect ./other.ts\n");
    expect(stdout).toContain("npx pops run ./other.ts\n");
  });

  it("names file, class and id, and no class like what it imports", async () => {
    await pops("new", "environment", "ball-on_tray.ts");
    expect(readFileSync(at("ball-on_tray.ts"), "utf8")).toBe(template.replaceAll("MyEnv", "BallOnTray"));
    await pops("new", "environment", "step");
    expect(readFileSync(at("step.ts"), "utf8")).toBe(template.replaceAll("MyEnv", "StepEnv"));
  });

  it("overwrites nothing", async () => {
    writeFileSync(at("mine.ts"), "// mine\n");
    expect(await pops("new", "environment", "mine")).toEqual({
      code: 2,
      stdout: "",
      stderr: "pops: name: ./mine.ts is there already, and is left as it is: pass another name\n",
    });
    expect(readFileSync(at("mine.ts"), "utf8")).toBe("// mine\n");
  });

  it("refuses names that are none", async () => {
    const { code, stderr } = await pops("new", "environment", "../up");
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'pops: name: "../up" is no name for a file and a class: use letters, digits, - and _\n',
    });
  });
});

describe("an environment that is broken is refused before it is used", () => {
  it.each<[what: string, from: string, to: string, message: string]>([
    ["no default export", "export default ", "export ", "has no default export: export default class MyEnv implements"],
    [
      "a broken contract",
      "speed: this.#speed }",
      "speed: 0 }",
      "breaks the contract of environments: after setState(getState()) the same actions lead elsewhere",
    ],
    [
      "code that throws",
      "const tilt = ",
      'if (this.#place > 0.9) throw new Error("not today");\n    const tilt = ',
      'reset() or step() threw "not today" (broken.ts, line 37); it must not throw',
    ],
    ["a mistake of syntax", "const tilt", "cosnt tilt", 'broken.ts:37:10: ERROR: Expected ";" but found "tilt"\n'],
  ])("%s", async (_, from, to, message) => {
    const { code, stdout, stderr } = await pops("run", changed("broken.ts", from, to), "--out", "broken");
    expect({ code, stdout }).toEqual({ code: 4, stdout: "" });
    expect(stderr).toContain("pops: ./broken.ts: ");
    expect(stderr).toContain(message);
  });

  it("an id that is taken", async () => {
    const path = changed("taken.ts", "MyEnv-v0", "CartPole-v1");
    const { code, stderr } = await pops("run", path);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'pops: environment: "CartPole-v1" is registered already, choose another id\n',
    });
  });

  it.each([
    ["run ./none.ts", 3, "pops: ./none.ts: cannot be read: no such file or folder\n"],
    [
      "run ./my-env.py",
      2,
      "pops: environment: ./my-env.py is no module (.ts, .mts, .js, .mjs); those in Python are named",
    ],
    ["run ./my-env.ts --env-kwargs {}", 2, "pops: --env-kwargs: is for environments of Python's Gymnasium\n"],
    ["train ./my-env.ts --env ./my-env.ts", 2, "pops: --env: ./my-env.ts is named already\n"],
  ])("pops %s", async (line, code, message) => {
    const ended = await pops(...line.split(" "));
    expect(ended.code).toBe(code);
    expect(ended.stderr).toContain(message);
  });
});

describe("a run", () => {
  beforeAll(async () => {
    // Lanes in threads, too.
    appendFileSync(at("my-env.ts"), "\nexport const slow = true;\n");
    const ended = await pops("run", "./my-env.ts", ...settings, "--workers", "2", "--out", "runs/two");
    expect(ended).toMatchObject({ code: 0, stderr: "" });
    expect(ended.stdout).toContain("\nMyEnv-v0: 144 weights became ");
  });

  it("gives a proven policy, and the same bytes in one thread, from another folder", async () => {
    expect(readResult(at("runs/two/result.json"))).toMatchObject({ environment: "MyEnv-v0", smaller: true });
    mkdirSync(at("elsewhere"));
    const parameters = ["run", "--env", "../my-env.ts", ...settings, "--workers", "1", "--out", "../runs/one"];
    expect(await popsIn(at("elsewhere"), ...parameters)).toMatchObject({ code: 0, stderr: "" });
    for (const file of ["config.yaml", "events.jsonl", "policies/policy.onnx"]) {
      expect(readFileSync(at("runs/one", file)).equals(readFileSync(at("runs/two", file)))).toBe(true);
    }
    expect(readFileSync(at("runs/one/config.yaml"), "utf8")).toMatch(
      /^environment: MyEnv-v0\nmodule:\n {2}path: \.\.\/\.\.\/my-env\.ts\n {2}sha256: \w{64}\npreset: /,
    );
  });

  it("leaves a policy that is played and compressed where the module is named, and runs no module by itself", async () => {
    const policy = "runs/two/policies/policy.onnx";
    const played = await pops("evaluate", policy, "--env", "./my-env.ts", "--episodes", "10", "--json");
    expect(played).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(played.stdout)).toMatchObject({ environment: "MyEnv-v0", score: { episodes: 10 } });
    const teacher = "runs/two/policies/teacher.safetensors";
    const compressed = await pops("compress", teacher, "--env", "./my-env.ts", ...settings, "--out", "runs/three");
    expect(compressed).toMatchObject({ code: 0, stderr: "" });
    expect(await pops("evaluate", policy)).toEqual({
      code: 2,
      stdout: "",
      stderr: `pops: --env: ${policy} is for "MyEnv-v0", which is not one of PoPS' own: name its module, --env ./my-env.ts, or another environment\n`,
    });
  });

  it("that the environment's own code ends says where, and goes on in the mended environment when that is named", async () => {
    const path = changed("late.ts", "const tilt = ", "if (++steps > 6000) null!.x;\n    const tilt = ");
    appendFileSync(at("late.ts"), "\nlet steps = 0;\n");
    const out = ["--out", "runs/late"];
    const ended = await pops("run", path, ...settings, ...out, "--checkpoint-every", "0");
    expect(ended).toMatchObject({
      code: 4,
      stderr: "pops: Changed-v0: TypeError: Cannot read properties of null (reading 'x') (late.ts, line 37)\n",
    });
    expect(ended.stdout).toContain("npx pops run --resume --out runs/late --env ./late.ts\n");
    const others = readFileSync(at("late.ts"), "utf8").replace("discrete(3)", "discrete(2)");
    writeFileSync(at("others.ts"), others);
    expect(await pops("run", "--resume", ...out, "--env", "./others.ts")).toMatchObject({
      code: 7,
      stderr: "pops: teacher: is 2-12-8-3 in this run, 2-12-8-2 in the environment as it is now: begin a new run\n",
    });
    const mended = readFileSync(at("late.ts"), "utf8").replace("6000", "1e9");
    writeFileSync(at("late.ts"), mended);
    expect(await pops("run", "--resume", ...out)).toEqual({
      code: 4,
      stdout: "",
      stderr:
        "pops: late.ts: has changed since the run began. Restore it, begin a new run, or, to go on in the changed environment, name it on the command line as well, with --env\n",
    });
    renameSync(at("late.ts"), at("moved.ts"));
    expect(await pops("run", "--resume", ...out)).toMatchObject({
      code: 3,
      stderr:
        "pops: late.ts: is the run's environment, and is gone: if it is elsewhere now, name it on the command line as well, with --env\n",
    });
    expect(await pops("run", "--resume", ...out, "./my-env.ts")).toMatchObject({
      code: 2,
      stderr: "pops: --resume: runs/late is a run of Changed-v0, not of MyEnv-v0, which ./my-env.ts is now\n",
    });
    const resumed = await pops("run", "--resume", ...out, "./moved.ts");
    expect(resumed).toMatchObject({ code: 0, stderr: "" });
    expect(resumed.stdout).toMatch(/^\.\/moved\.ts has changed since the run began: .*\nChanged-v0.*\(goes on\)\n/);
  });
});

describe("what a module does outside of the contract", () => {
  const tilt = "const tilt = ";
  const step = (text: string): [string, string] => [tilt, `${text}\n    ${tilt}`];
  const training = settings.filter((_, k) => k % 2 === 1 && settings[k]!.startsWith("teacher."));
  /** A changed module that counts steps and knows whether it is in a thread. */
  function odd(from: string, to: string, slow = false): string {
    const path = changed("odd.ts", from, to);
    const head = 'let steps = 0;\nimport { isMainThread } from "node:worker_threads";\n';
    appendFileSync(at("odd.ts"), `\n${head}void steps;\nvoid isMainThread;\nexport const slow = ${slow};\n`);
    return path;
  }

  it.each<[what: string, slow: boolean, from: string, to: string, message: string]>([
    [
      "exits",
      false,
      ...step("if (++steps > 3000) process.exit(3);"),
      "Error: called process.exit(3) (odd.ts, line 37)",
    ],
    [
      "exits in a thread",
      true,
      ...step("if (!isMainThread && ++steps > 100) process.exit(3);"),
      "a thread of its lanes ended: exit code 3",
    ],
    [
      "throws when yet another one is made",
      false,
      "#speed = 0;\n",
      '#speed = 0;\n  constructor() { if (++steps > 7) throw new Error("no more"); }\n',
      "Changed-v0: Error: no more (odd.ts, line 28)",
    ],
    [
      "exits in a thread that is asked for its state",
      true,
      "return { random:",
      "if (!isMainThread) process.exit(3);\n    return { random:",
      "a thread of its lanes ended: exit code 3",
    ],
    [
      "throws in a timer",
      false,
      ...step("if (++steps === 3000) setTimeout(() => null!.x);"),
      "threw outside of its methods, in a timer or a promise that nobody awaits: Cannot read properties of null (reading 'x') (odd.ts, line 37)",
    ],
    [
      "throws in a timer of a thread",
      true,
      ...step("if (!isMainThread && ++steps === 100) setTimeout(() => null!.x);"),
      "a thread of its lanes ended: Cannot read properties of null (reading 'x') (odd.ts, line 37)",
    ],
    [
      "rejects a promise that nobody awaits with a text",
      false,
      ...step("if (++steps === 3000) void Promise.reject('no error');"),
      "threw outside of its methods, in a timer or a promise that nobody awaits: no error",
    ],
  ])("ends a training with exit code 4 when it %s", async (_, slow, from, to, message) => {
    const path = odd(from, to, slow);
    const out = newFolder();
    const parameters = training.flatMap((setting) => ["--set", setting]);
    const checkpoints = ["--checkpoint-every", "0", "--out", join(out, "run")];
    const ended = await pops("train", path, ...parameters, "--workers", "2", ...checkpoints);
    remove(out);
    expect(ended.code).toBe(4);
    expect(ended.stderr).toMatch(/^pops: (Changed-v0|\.\/odd\.ts): /);
    expect(ended.stderr).toContain(message);
    expect(ended.stdout).toContain("\nSaved up to the last checkpoint. Go on, once the cause is gone, with: ");
  });

  it.each([
    ["exits", "process.exit(3)", "a worker thread ended: exit code 3"],
    ["throws in a timer", "setTimeout(() => null!.x)", "(odd.ts, line 37)"],
    ["rejects a promise with a text", "void Promise.reject('no')", "a worker thread failed: no\n"],
    [
      "throws what crosses no thread",
      "throw Object.assign(new Error('no'), { cause: () => 1 })",
      "Error: no (odd.ts, line 37)",
    ],
    ["throws when it is loaded", "null", "cannot be loaded: no (odd.ts, line "],
  ])("ends a run with exit code 4 when it %s under a student", async (what, code, message) => {
    const path = odd(...step(`if (!isMainThread) ${code};`));
    if (code === "null") appendFileSync(at("odd.ts"), '\nif (!isMainThread) throw new Error("no");\n');
    const ended = await pops("run", path, ...settings, "--workers", "2", "--out", `runs/${what}`);
    expect(ended.code).toBe(4);
    expect(ended.stderr).toMatch(/^pops: (Changed-v0|\/\S+\/odd\.ts): /);
    expect(ended.stderr).toContain(message);
  });

  it("ends a run with what a first thread throws when a second one fails only then", async () => {
    const path = odd(...step("if (!isMainThread && ++steps === 1) fail();"));
    // The thread that was started first has the student whose turn it is.
    const fail = `const wait = (milliseconds) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
const threads = () => readdirSync("threads").map(Number).sort((a, b) => a - b);
function fail() {
  mkdirSync("threads/" + threadId, { recursive: true });
  while (threads().length < 2) wait(10);
  if (threads()[0] === threadId) throw new Error("first");
  wait(1000);
  void Promise.reject("second");
}`;
    appendFileSync(at("odd.ts"), `import { mkdirSync, readdirSync } from "node:fs";\n${fail}\n`);
    appendFileSync(at("odd.ts"), 'import { threadId } from "node:worker_threads";\n');
    const ended = await pops("run", path, ...settings, "--workers", "2", "--out", "runs/second");
    expect(ended).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/^pops: Changed-v0: Error: first \(odd\.ts, line \d+\)\n$/) as string,
    });
  });

  it("ends with the program when it keeps a timer, in threads too", async () => {
    const path = odd(tilt, tilt);
    appendFileSync(at("odd.ts"), "\nsetInterval(() => undefined, 1000);\n");
    expect(await pops("inspect", path)).toMatchObject({ code: 0 });
    const ended = await pops("run", path, ...settings, "--workers", "2", "--out", "runs/timer");
    expect(ended).toMatchObject({ code: 0, stderr: "" });
  });

  it("ends with exit code 4 when it waits for what never happens", async () => {
    writeFileSync(at("waiting.ts"), `${template}\nawait new Promise(() => {});\n`);
    expect(await pops("inspect", "./waiting.ts")).toEqual({
      code: 4,
      stdout: "",
      stderr: "pops: ./waiting.ts: waits for something that never happens: an await of the module does not end\n",
    });
  });

  it("says why a thread of its lanes cannot load it", async () => {
    const text =
      'import { isMainThread } from "node:worker_threads";\nif (!isMainThread) void Promise.reject(new Error("lost"));\n';
    writeFileSync(at("lost.ts"), `${text}${template}\nexport const slow = true;\n`);
    const policy = "runs/two/policies/policy.onnx";
    const played = await pops("evaluate", policy, "--env", "./lost.ts", "--episodes", "2", "--workers", "2");
    expect(played.code).toBe(4);
    expect(played.stderr).toContain("a thread of its lanes ended: lost (lost.ts, line 2)");
  });

  it("prints on standard error, in threads too", async () => {
    const path = odd(...step('console.log("printed", isMainThread);'), true);
    const policy = "runs/two/policies/policy.onnx";
    const played = await pops("evaluate", policy, "--env", path, "--episodes", "2", "--workers", "2", "--json");
    expect(played.code).toBe(0);
    expect(JSON.parse(played.stdout)).toMatchObject({ environment: "Changed-v0" });
    expect(played.stderr).toContain("printed true\n");
    expect(played.stderr).toContain("printed false\n");
  });
});

/** Pictures of numbers whose mean is to be guessed. As plain JavaScript, with an arrow function as its default export. */
const pictures = `
import { box, Pcg64 } from "pops-rl";

class Pictures {
  spec = { id: "Pictures-v0", observationSpace: box(0, 1, [2, 3, 1, 2]), actionSpace: box(-1, 1, [2]), maxEpisodeSteps: 8 };
  random = new Pcg64(0);
  picture = new Float32Array(12);
  draw() {
    for (let i = 0; i < 12; i++) this.picture[i] = this.random.double();
    return this.picture;
  }
  reset(seed) {
    if (seed !== undefined) this.random = new Pcg64(seed);
    return this.draw();
  }
  step([x, y]) {
    const mean = this.picture.reduce((sum, value) => sum + value / 12, 0);
    return { observation: this.draw(), reward: -Math.abs(x - mean) - Math.abs(y + mean), terminated: false, truncated: false };
  }
  getState() {
    return { random: this.random.getState(), picture: this.picture.slice() };
  }
  setState({ random, picture }) {
    this.random.setState(random);
    this.picture.set(picture);
  }
}
export default () => new Pictures();
`;

it("has pictures of up to 4 dimensions and several continuous actions, if it likes, in plain JavaScript", async () => {
  writeFileSync(at("pictures.mjs"), pictures);
  const steps = ["totalSteps=2048", "environments=8", "nSteps=32", "batchSize=64", "hidden=[8]", "stopScore=0"];
  const teacher = steps.map((setting) => `teacher.${setting}`);
  const set = [...teacher, "pops.objective=-16", "pops.lowerBound=-20"].flatMap((setting) => ["--set", setting]);
  const trained = await pops("train", "./pictures.mjs", ...set, "--out", "runs/pictures", "--json");
  expect(trained).toMatchObject({ code: 0, stderr: expect.not.stringContaining("pops: ") as string });
  const policy = "runs/pictures/policies/teacher.safetensors";
  const played = await pops("evaluate", policy, "--env", "./pictures.mjs", "--json");
  expect(JSON.parse(played.stdout)).toMatchObject({ architecture: { input: [2, 3, 1, 2], head: "gaussian" } });
});

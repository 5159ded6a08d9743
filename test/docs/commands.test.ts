import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { resolveConfig, settingKeys, taskOf } from "../../src/cli/config.ts";
import { isInPython } from "../../src/environment/gymnasium-protocol.ts";
import { isModule } from "../../src/environment/module.ts";
import { environmentIds, specOf } from "../../src/environment/registry.ts";
import { command } from "../cli/fixtures/pops.ts";
import { blocks, documents, read, root, withoutCode } from "./markdown.ts";

const { scripts } = z
  .object({ scripts: z.record(z.string(), z.string()) })
  .parse(JSON.parse(readFileSync(`${root}package.json`, "utf8")));

/** What the help of a command says of it. */
interface Usage {
  /** Whether each option takes a value. */
  readonly options: ReadonlyMap<string, boolean>;
  readonly least: number;
  readonly most: number;
}

const NAMES = [
  "run",
  "train",
  "compress",
  "evaluate",
  "inspect",
  "export",
  "verify",
  "analyze",
  "new environment",
  "import tf-checkpoint",
  "import sb3",
  "import torch",
  "import safetensors",
  "import onnx",
  "zoo list",
  "zoo get",
  "environments",
  "settings",
];
const usages = new Map<string, Usage>();

beforeAll(async () => {
  const [program, ...before] = command;
  const helpOf = async (name: string): Promise<void> => {
    const parameters = [...before, ...name.split(" ").filter(Boolean), "--help"];
    const { stdout } = await promisify(execFile)(program, parameters, { cwd: root });
    const positional = (/^Usage: pops(.*)$/m.exec(stdout)?.[1] ?? "").match(/<\w+>|\[(?!options|command)\w+\]/g) ?? [];
    const options = [...stdout.matchAll(/^ {2}(?:-\w, )?--([\w-]+)( <)?/gm)];
    usages.set(name, {
      options: new Map(options.map(([, option, value]) => [option ?? "", value !== undefined])),
      least: positional.filter((argument) => argument.startsWith("<")).length,
      most: positional.length,
    });
  };
  await Promise.all(["", ...NAMES].map(helpOf));
}, 300_000);

interface Parsed {
  readonly positional: readonly string[];
  readonly options: readonly (readonly [name: string, value: string])[];
}

/** Takes arguments apart by a usage; throws for what the command line would refuse. */
function take(words: readonly string[], usage: Usage): Parsed {
  const positional: string[] = [];
  const options: [string, string][] = [];
  const left = [...words];
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    if (!word.startsWith("--")) {
      positional.push(word);
      continue;
    }
    const takesValue = usage.options.get(word.slice(2));
    if (takesValue === undefined) throw new Error(`there is no option ${word}`);
    const value = takesValue ? left.shift() : "";
    if (value === undefined || value.startsWith("--")) throw new Error(`${word} needs a value`);
    options.push([word.slice(2), value]);
  }
  return { positional, options };
}

/** Throws when `pops` would refuse these words; `whole` also asks for all arguments and checks the settings. */
function checkPops(words: readonly string[], whole: boolean): void {
  const program = usages.get("");
  // Options of the program itself stand in front of the command.
  const name = NAMES.find((known) => ` ${words.join(" ")} `.includes(` ${known} `) && isCommand(words, known));
  const usage = name === undefined ? undefined : usages.get(name);
  if (!program || name === undefined || !usage) {
    // `pops` and a group of commands may be mentioned by name.
    if (words.length === 0 || (!whole && ["import", "new", "zoo"].includes(words.join(" ")))) return;
    throw new Error("no such command");
  }
  const at = words.indexOf(name.split(" ")[0] ?? "");
  take(words.slice(0, at), program);
  const { positional, options } = take(words.slice(at + name.split(" ").length), usage);
  if (positional.length > usage.most) throw new Error("too many arguments");
  const set = options.flatMap(([option, value]) => (option === "set" ? [value] : []));
  for (const setting of set) {
    const key = setting.split("=")[0] ?? "";
    if (!settingKeys().has(key)) throw new Error(`there is no setting ${key}`);
  }
  if (!whole) return;
  if (positional.length < usage.least) throw new Error("too few arguments");
  if (!["run", "train", "compress"].includes(name)) return;
  const given = new Map(options);
  if (given.has("resume")) return;
  const environment = (name === "compress" ? undefined : positional[0]) ?? given.get("env") ?? "CartPole-v1";
  // What Gymnasium and modules have is not looked up here: of ours the spec of the same id, else any.
  const known = taskOf(environment);
  const isOurs = isInPython(environment) ? environmentIds().includes(known) : !isModule(environment);
  const spec = specOf(isOurs ? known : "CartPole-v1");
  resolveConfig({ spec: { ...spec, id: environment }, command: "run", preset: given.get("preset"), set });
}

/** The first word that is no option is the command. */
function isCommand(words: readonly string[], name: string): boolean {
  const first = words.findIndex((word) => !word.startsWith("--"));
  const parts = name.split(" ");
  return words.slice(first, first + parts.length).join(" ") === name;
}

/** Throws when a command line of the documents could not be run. */
function check(line: string, whole: boolean): void {
  for (const part of line.replace(/ #.*$/, "").split(" && ")) {
    const words = part.trim().split(/\s+/);
    const [program = "", first = ""] = words;
    if (program === "pops") checkPops(words.slice(1), whole);
    else if (program === "npx" && first === "pops") checkPops(words.slice(2), whole);
    else if (program === "npm" && first === "run") checkScript(words.slice(2), whole);
    else if (program === "npm" && ["start", "test"].includes(first)) checkScript(words.slice(1), whole);
    else if (program === "python3") expect(words.slice(1)).toEqual([expect.stringMatching(/^\w+\.py$/)]);
    else if (program === "node") expect(words.slice(1)).toEqual([expect.stringMatching(/^\w+\.mjs$/)]);
    // Followed as they stand by test/docs/tutorial.test.ts.
    else if (program === "cc") expect(words.slice(-2)).toEqual(["-o", "policy_test"]);
    else if (program === "./policy_test") expect(words).toHaveLength(1);
    else if (program === "npm") expect(["ci", "cit", "pack"]).toContain(first);
    else if (whole) throw new Error(`what does ${program} do here?`);
  }
}

function checkScript([name = "", ...words]: readonly string[], whole: boolean): void {
  const script = scripts[name];
  if (script === undefined) throw new Error(`there is no script ${name}`);
  const parameters = words.filter((word) => word !== "--");
  const [, , ...fixed] = script.split(" ");
  if (script.includes("cli/main.ts")) checkPops([...fixed, ...parameters], whole);
  else if (script.includes("bench/seeds.ts") && parameters.length > 0) {
    checkPops(
      parameters
        .join(" ")
        .replace(/ --(?:seeds|first) \d+/g, "")
        .split(" "),
      whole,
    );
  }
}

it.each(documents)("%s has only command lines that can be run", (path) => {
  const text = read(path);
  const lines = blocks(text, "sh").flatMap((block) => block.trim().split("\n"));
  const mentioned = [...withoutCode(text).matchAll(/`((?:pops|npx pops|npm) ?[^`]*)`/g)].map(([, line]) => line ?? "");
  const problems = [
    ...lines.map((line) => [line, true] as const),
    ...mentioned.map((line) => [line, false] as const),
  ].flatMap(([line, whole]) => {
    try {
      check(line, whole);
      return [];
    } catch (error) {
      return [`${line}: ${String(error)}`];
    }
  });
  expect(problems).toEqual([]);
});

it.each([
  "pops frobnicate",
  "pops run CartPole-v1 --sed 1",
  "pops run CartPole-v1 --set pops.objektive=1",
  "pops run CartPole-v1 --set pops.rule=sizes",
  "pops run CartPole-v7",
  "pops run CartPole-v1 --preset papers",
  "pops evaluate --episodes 5",
  "pops evaluate one two",
  "npm run pops -- inspect",
  "npm run benchmark",
])("this check refuses %s", (line) => {
  expect(() => {
    check(line, true);
  }).toThrow();
});

it("the README sets everything up with two commands", () => {
  const lines = blocks(read("README.md"), "sh").flatMap((block) => block.trim().split("\n"));
  expect(lines.slice(0, 2)).toEqual(["npm ci && npm start", "npm cit"]);
  expect(lines.filter((line) => /\bnpm (ci|cit|install|i)\b/.test(line))).toHaveLength(2);
});

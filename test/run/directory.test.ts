import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { FileError, LockedError, UsageError } from "../../src/errors.ts";
import { RunDirectory } from "../../src/run/directory.ts";
import { readResult } from "../../src/run/read.ts";
import type { Result } from "../../src/run/result.ts";
import { temporaryFolder } from "./fixtures/child.ts";

const CONFIG = "environment: CartPole-v1 # exact, ünïcode too\n\n";

it("makes the folder with its parents and keeps the configuration's exact text", () => {
  const path = join(temporaryFolder(), "runs", "first");
  RunDirectory.create(path, CONFIG).close();
  expect(readFileSync(join(path, "config.yaml"), "utf8")).toBe(CONFIG);
  expect(readdirSync(path).toSorted()).toEqual(["checkpoints", "config.yaml", "policies", "tensorboard"]);
});

it("opens a run with the configuration that it began with", () => {
  const path = temporaryFolder();
  RunDirectory.create(path, CONFIG).close();
  const directory = RunDirectory.open(path);
  expect(directory.config).toBe(CONFIG);
  directory.close();
});

it("refuses to begin where a run is, and says how to go on", () => {
  const path = temporaryFolder();
  RunDirectory.create(path, CONFIG).close();
  expect(() => RunDirectory.create(path, CONFIG)).toThrow(UsageError);
  expect(() => RunDirectory.create(path, CONFIG)).toThrow(/--resume.*--out/);
});

it("refuses a folder with other things and leaves it as it was", () => {
  const path = temporaryFolder();
  writeFileSync(join(path, "thesis.tex"), "");
  expect(() => RunDirectory.create(path, CONFIG)).toThrow(UsageError);
  expect(() => RunDirectory.create(path, CONFIG)).toThrow("thesis.tex");
  expect(readdirSync(path)).toEqual(["thesis.tex"]);
});

it("begins where a process was killed before it had written the configuration, and tidies up", () => {
  const path = temporaryFolder();
  writeFileSync(join(path, "run.lock"), '\n{"pid":');
  writeFileSync(join(path, ".config.yaml.6a4fd2a3-4f2e-4c58-9d0e-0d4f1e6c0b1a.tmp"), "environm");
  RunDirectory.create(path, CONFIG).close();
  expect(readdirSync(path).toSorted()).toEqual(["checkpoints", "config.yaml", "policies", "tensorboard"]);
});

it("removes the unfinished checkpoint of a killed process", () => {
  const path = temporaryFolder();
  RunDirectory.create(path, CONFIG).close();
  writeFileSync(join(path, "checkpoints", ".next.6a4fd2a3-4f2e-4c58-9d0e-0d4f1e6c0b1a.tmp"), "half");
  RunDirectory.open(path).close();
  expect(readdirSync(join(path, "checkpoints"))).toEqual([]);
});

it("refuses to open a folder that is no run", () => {
  const path = temporaryFolder();
  expect(() => RunDirectory.open(path)).toThrow(UsageError);
  expect(readdirSync(path)).toEqual([]);
});

it("refuses a path that is a file", () => {
  const path = join(temporaryFolder(), "file");
  writeFileSync(path, "");
  expect(() => RunDirectory.create(path, CONFIG)).toThrow(UsageError);
});

it("refuses a path that cannot be made and names it", () => {
  const file = join(temporaryFolder(), "file");
  writeFileSync(file, "");
  const path = join(file, "run");
  expect(() => RunDirectory.create(path, CONFIG)).toThrow(FileError);
  expect(() => RunDirectory.create(path, CONFIG)).toThrow(path);
});

it("is held until it is closed", () => {
  const path = temporaryFolder();
  const directory = RunDirectory.create(path, CONFIG);
  expect(() => RunDirectory.open(path)).toThrow(LockedError);
  directory.close();
  RunDirectory.open(path).close();
  expect(existsSync(join(path, "run.lock"))).toBe(false);
});

it("is free again when it could not be opened", () => {
  const path = temporaryFolder();
  mkdirSync(join(path, "config.yaml"));
  expect(() => RunDirectory.open(path)).toThrow(FileError);
  expect(existsSync(join(path, "run.lock"))).toBe(false);
});

it("gives back the result that was written", () => {
  const path = temporaryFolder();
  const directory = RunDirectory.create(path, CONFIG);
  const score = { mean: 500, sd: 0, min: 500, lower95: 500, interval95: [500, 500] as [number, number], episodes: 100 };
  const side: Result["policy"] = {
    architecture: { input: [4], layers: [{ kind: "dense", units: 2, activation: "none" }], head: "q-values" },
    layers: "4-2",
    weights: 8,
    biases: 2,
    nonZero: 8,
    bytes: 40,
    macs: 8,
    latencyMicros: 0.3,
    score,
  };
  const result: Result = {
    version: 1,
    environment: "CartPole-v1",
    measure: "return",
    acting: "greedy",
    seed: 1,
    preset: "default",
    objective: 475,
    teacher: side,
    policy: side,
    ratio: 1,
    smaller: false,
    steps: [{ stage: "teacher", iteration: 0, layers: "4-2", weights: 8, score: 500, episodes: 100, passed: true }],
    seconds: { teacher: 12.5 },
    versions: { node: "20.19.0" },
  };
  directory.writeResult(result);
  expect(readResult(directory.files.result)).toEqual(result);
  directory.close();
});

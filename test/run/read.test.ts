import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { FileError } from "../../src/errors.ts";
import { EVENTS_VERSION, type Event } from "../../src/events.ts";
import { readConfig, readEvents, readResult } from "../../src/run/read.ts";
import { resultSchema } from "../../src/run/result.ts";
import { temporaryFolder } from "./fixtures/child.ts";

const started: Event = {
  type: "run-started",
  step: 0,
  version: EVENTS_VERSION,
  environment: "CartPole-v1",
  seed: 1,
  preset: "default",
};
const stage: Event = { type: "stage-started", step: 5, stage: "prune", iteration: 1 };

function fileWith(content: string): string {
  const path = join(temporaryFolder(), "events.jsonl");
  writeFileSync(path, content);
  return path;
}

it("reads every line as an event, in order", () => {
  const path = fileWith(`${JSON.stringify(started)}\n${JSON.stringify(stage)}\n`);
  expect(readEvents(path)).toEqual([started, stage]);
});

it.each(["", '{"type":"sta', JSON.stringify(stage)])("leaves out a last line that has no end: %j", (tail) => {
  expect(readEvents(fileWith(`${JSON.stringify(started)}\n${tail}`))).toEqual([started]);
});

it("reads an empty log as no events", () => {
  expect(readEvents(fileWith(""))).toEqual([]);
});

it.each([
  ["is not JSON", "{"],
  ["is of an unknown type", JSON.stringify({ type: "party", step: 1 })],
  ["lacks a field", JSON.stringify({ ...stage, iteration: undefined })],
  ["has a field too many", JSON.stringify({ ...stage, time: 12 })],
  ["is empty", ""],
  ["is far too long", JSON.stringify({ ...stage, stage: "x".repeat(100_000) })],
])("refuses a line that %s and names it", (_name, line) => {
  const path = fileWith(`${JSON.stringify(started)}\n${line}\n${JSON.stringify(stage)}\n`);
  expect(() => readEvents(path)).toThrow(FileError);
  expect(() => readEvents(path)).toThrow(`${path}: line 2`);
});

it("refuses a log of another version, whatever its events look like", () => {
  const other = { type: "run-started", version: EVENTS_VERSION + 1, runs: "differently" };
  const path = fileWith(`${JSON.stringify(other)}\n`);
  expect(() => readEvents(path)).toThrow(FileError);
  expect(() => readEvents(path)).toThrow(`line 1 begins a log of version ${EVENTS_VERSION + 1}`);
});

it("refuses a result of more steps than a run tries, before it looks at them", () => {
  const { issues } = resultSchema.shape.steps.safeParse(Array.from({ length: 10_001 }, () => ({}))).error!;
  expect(issues.map(({ code }) => code)).toEqual(["too_big"]);
});

it("refuses a configuration that is larger than any", () => {
  expect(() => readConfig(fileWith("# long\n".repeat(20_000)))).toThrow("holds 140000 bytes, at most 100000 are read");
});

it("refuses a missing log and a missing result", () => {
  const path = join(temporaryFolder(), "none");
  expect(() => readEvents(path)).toThrow(FileError);
  expect(() => readResult(path)).toThrow(FileError);
});

it("refuses a malformed result and names the field", () => {
  expect(() => readResult(fileWith('{"version":2}'))).toThrow(FileError);
  expect(() => readResult(fileWith('{"version":2}'))).toThrow("version");
});

import { mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { FileError, NumericError } from "../../src/errors.ts";
import type { Emitted, Event } from "../../src/events.ts";
import { RunDirectory } from "../../src/run/directory.ts";
import { reconfigure, restore } from "../../src/run/generations.ts";
import { readEvents } from "../../src/run/read.ts";
import { type RecordOptions, record } from "../../src/run/record.ts";
import { temporaryFolder } from "./fixtures/child.ts";
import { exact } from "./fixtures/states.ts";
import { toy } from "./fixtures/toy.ts";

const STEPS = 40;
const program = "1.0.0";

function newRun(): RunDirectory {
  return RunDirectory.create(temporaryFolder(), "toy: true\n");
}

/** One session of the toy, from the run's checkpoint if there is one. */
async function session(directory: RunDirectory, options: Partial<RecordOptions> = {}) {
  const startedFrom = restore(directory, program);
  const events = toy({ steps: STEPS, from: startedFrom?.state });
  return record(directory, events, { program, checkpointEvery: 0, startedFrom, ...options });
}

/** A session that is told to stop once the event of this step is in the log. */
async function sessionUntil(directory: RunDirectory, step: number) {
  const abort = new AbortController();
  const onEvent = (event: Event) => {
    if (event.step === step) abort.abort();
  };
  return session(directory, { signal: abort.signal, onEvent });
}

/** The log and the final state of a run that nothing disturbed. */
async function undisturbed() {
  const directory = newRun();
  const recorded = await session(directory, { checkpointEvery: Number.POSITIVE_INFINITY });
  if (recorded.interrupted) throw new Error("nothing interrupts this run");
  return { log: readFileSync(directory.files.events), state: exact(recorded.result) };
}

it("records every event and returns the result", async () => {
  const directory = newRun();
  const seen: Event[] = [];
  const recorded = await session(directory, { onEvent: (event) => seen.push(event) });
  expect(recorded).toMatchObject({ interrupted: false, result: { step: STEPS } });
  expect(seen).toHaveLength(2 + STEPS + 1);
  expect(readEvents(directory.files.events)).toEqual(seen);
});

it("writes the fields of an event in one order, whatever order they come in", async () => {
  async function* shuffled(): AsyncGenerator<Emitted, null> {
    yield { iteration: 0, stage: "prune", step: 3, type: "stage-started" };
    return await Promise.resolve(null);
  }
  const directory = newRun();
  await record(directory, shuffled(), { program, checkpointEvery: 0 });
  expect(readFileSync(directory.files.events, "utf8")).toBe(
    '{"type":"stage-started","step":3,"stage":"prune","iteration":0}\n',
  );
});

it("stops at the next safe point when it is told to, and closes the algorithm", async () => {
  let closed = false;
  async function* endless(): AsyncGenerator<Emitted, never> {
    try {
      for (let step = 0; ; step += 1) {
        yield { type: "stage-started", step, stage: "prune", iteration: 0 };
        yield await Promise.resolve<Emitted>({ type: "checkpoint", state: () => step });
      }
    } finally {
      closed = true;
    }
  }
  const abort = new AbortController();
  const directory = newRun();
  const onEvent = (event: Event) => {
    if (event.step === 5) abort.abort();
  };
  const options = { program, checkpointEvery: Number.POSITIVE_INFINITY, signal: abort.signal, onEvent };
  const recorded = await record(directory, endless(), options);
  expect(recorded.interrupted).toBe(true);
  expect(closed).toBe(true);
  expect(restore(directory, program)?.state).toBe(5);
});

it("ends with the same log and state after any interruptions as without", async () => {
  const expected = await undisturbed();
  const directory = newRun();
  for (const step of [1, 2, 9, 20, 33]) {
    expect(await sessionUntil(directory, step)).toMatchObject({ interrupted: true });
  }
  const recorded = await session(directory);
  if (recorded.interrupted) throw new Error("nothing interrupts this session");
  expect(exact(recorded.result)).toEqual(expected.state);
  expect(readFileSync(directory.files.events)).toEqual(expected.log);
});

it("cuts what was logged after the checkpoint, a torn line included", async () => {
  const expected = await undisturbed();
  const directory = newRun();
  await sessionUntil(directory, 20);
  for (const file of [directory.files.events, directory.files.tensorboard]) {
    writeFileSync(file, '{"type":"train","step":21}\n{"type":"tra', { flag: "a" });
  }
  await session(directory);
  expect(readFileSync(directory.files.events)).toEqual(expected.log);
});

it("begins anew when it was killed before its first checkpoint", async () => {
  const expected = await undisturbed();
  const directory = newRun();
  writeFileSync(directory.files.events, expected.log.subarray(0, 500));
  await session(directory);
  expect(readFileSync(directory.files.events)).toEqual(expected.log);
});

it.each(["flipped", "emptied", "deleted"])(
  "goes on from the checkpoint before when the latest is %s",
  async (damage) => {
    const expected = await undisturbed();
    const directory = newRun();
    await sessionUntil(directory, 20);
    const { latest } = directory.files;
    const bytes = readFileSync(latest);
    bytes[bytes.length >> 1]! ^= 1;
    if (damage === "deleted") rmSync(latest);
    else writeFileSync(latest, damage === "flipped" ? bytes : "");
    const restored = restore(directory, program);
    expect(restored).toMatchObject({ state: { step: 19 } });
    // One that is only missing is what a kill between two renames leaves: nothing is lost and nothing to be told.
    if (damage === "deleted") expect(restored?.notice).toBeUndefined();
    else expect(restored?.notice).toContain(latest);
    await session(directory);
    expect(readFileSync(directory.files.events)).toEqual(expected.log);
  },
);

it("refuses to go on when both checkpoints are damaged, and leaves the log alone", async () => {
  const directory = newRun();
  await sessionUntil(directory, 20);
  const log = readFileSync(directory.files.events);
  writeFileSync(directory.files.latest, "damaged");
  writeFileSync(directory.files.previous, "damaged");
  await expect(session(directory)).rejects.toThrow(FileError);
  await expect(session(directory)).rejects.toThrow("no checkpoint can be used");
  expect(readFileSync(directory.files.events)).toEqual(log);
});

it("refuses to go on with another configuration", async () => {
  const directory = newRun();
  await sessionUntil(directory, 5);
  directory.close();
  writeFileSync(directory.files.config, "toy: false\n");
  const changed = RunDirectory.open(directory.path);
  expect(() => restore(changed, program)).toThrow(FileError);
  expect(() => restore(changed, program)).toThrow("config.yaml: was changed");
});

it("goes on with the configuration that it is given", async () => {
  const directory = newRun();
  await sessionUntil(directory, 5);
  reconfigure(directory, program, "toy: longer\n");
  directory.close();
  const changed = RunDirectory.open(directory.path);
  expect(changed.config).toBe("toy: longer\n");
  expect(restore(changed, program)).toMatchObject({ state: { step: 5 }, notice: undefined });
});

it("has its old configuration when it was killed before it had the new one", async () => {
  const directory = newRun();
  await sessionUntil(directory, 5);
  reconfigure(directory, program, "toy: longer\n");
  directory.close();
  writeFileSync(directory.files.config, "toy: true\n");
  expect(restore(RunDirectory.open(directory.path), program)).toMatchObject({ state: { step: 5 }, notice: undefined });
});

it("takes the checkpoint at an algorithm's end, however new the one before is", async () => {
  async function* ending(): AsyncGenerator<Emitted, null> {
    for (const step of [1, 2, 3]) yield { type: "checkpoint", state: () => step, last: step === 2 };
    return await Promise.resolve(null);
  }
  const directory = newRun();
  await record(directory, ending(), { program, checkpointEvery: Number.POSITIVE_INFINITY });
  expect(restore(directory, program)?.state).toBe(2);
});

it("refuses to go on with another version of the program and names both", async () => {
  const directory = newRun();
  await sessionUntil(directory, 5);
  expect(() => restore(directory, "1.1.0")).toThrow(/version 1\.0\.0, this is 1\.1\.0/);
});

it("refuses to go on with a log that has lost lines", async () => {
  const directory = newRun();
  await sessionUntil(directory, 5);
  writeFileSync(directory.files.events, "");
  await expect(session(directory)).rejects.toThrow(/events\.jsonl: is 0 bytes long/);
});

it("refuses an event with a number that is not finite, and names field and step", async () => {
  async function* broken(): AsyncGenerator<Emitted, null> {
    const score = { mean: Number.NaN, sd: 0, min: 0, episodes: 1 };
    yield { type: "teacher-evaluated", step: 8, environmentSteps: 1, score, passed: false };
    return await Promise.resolve(null);
  }
  const recorded = record(newRun(), broken(), { program, checkpointEvery: 0 });
  await expect(recorded).rejects.toThrow(NumericError);
  await expect(recorded).rejects.toThrow("event teacher-evaluated at step 8: score.mean");
});

it("passes on what the algorithm throws", async () => {
  async function* broken(): AsyncGenerator<Emitted, null> {
    yield { type: "stage-started", step: 0, stage: "prune", iteration: 0 };
    await Promise.resolve();
    throw new RangeError("from the algorithm");
  }
  await expect(record(newRun(), broken(), { program, checkpointEvery: 0 })).rejects.toThrow("from the algorithm");
});

it("keeps the checkpoints that there are when the next cannot be written, and names the file", async () => {
  const expected = await undisturbed();
  const directory = newRun();
  await sessionUntil(directory, 20);
  const { latest } = directory.files;
  // A folder in its place cannot be replaced by a file.
  mkdirSync(`${latest}.next`);
  await expect(session(directory)).rejects.toThrow(FileError);
  await expect(session(directory)).rejects.toThrow(latest);
  rmdirSync(`${latest}.next`);
  expect(restore(directory, program)).toMatchObject({ state: { step: 20 }, notice: undefined });
  await session(directory);
  expect(readFileSync(directory.files.events)).toEqual(expected.log);
});

it("keeps the good checkpoint when the run is killed soon after it went on from it", async () => {
  const directory = newRun();
  await sessionUntil(directory, 20);
  const { latest } = directory.files;
  writeFileSync(latest, "damaged");
  await sessionUntil(directory, 20);
  // What a kill between the two renames of the next checkpoint leaves.
  rmSync(latest);
  expect(restore(directory, program)).toMatchObject({ state: { step: 19 }, notice: undefined });
});

it("adds up the seconds of each stage over all sessions", async () => {
  const directory = newRun();
  const first = await sessionUntil(directory, 10);
  const { seconds } = await session(directory);
  const { teacher: before = Number.POSITIVE_INFINITY, ...others } = first.seconds;
  expect(others).toEqual({});
  expect(Object.keys(seconds)).toEqual(["teacher", "prune"]);
  const { teacher: after } = seconds;
  expect(after).toBeGreaterThan(before);
});

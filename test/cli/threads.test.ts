import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { newFolder, pops, remove, start, temporaryFolder } from "./fixtures/pops.ts";

const changes = [
  "teacher.hidden=[8]",
  "teacher.totalSteps=2000",
  "teacher.environments=5",
  "teacher.learningStarts=200",
  "teacher.gradientSteps=1",
  "teacher.batchSize=16",
  "teacher.evaluationInterval=500",
  "teacher.evaluationEpisodes=4",
  "teacher.stopScore=1000",
];
const settings = ["--preset", "dqn", ...changes.flatMap((change) => ["--set", change])];

const EVENTS = "events.jsonl";
const TEACHER = "policies/teacher.safetensors";

/** Bytes of a run in one thread. */
const expected = new Map<string, Buffer>();
const folder = newFolder();
const out = join(folder, "run");
beforeAll(async () => {
  const { code, stderr } = await pops("train", "LunarLander-v3", ...settings, "--workers", "1", "--out", out);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  for (const file of [EVENTS, TEACHER]) expected.set(file, readFileSync(join(out, file)));
});
afterAll(() => {
  remove(folder);
});

function expectSame(folder: string): void {
  for (const [file, bytes] of expected) expect(readFileSync(join(folder, file)).equals(bytes)).toBe(true);
}

it("trains with lanes in threads to the same bytes", async () => {
  const threaded = join(temporaryFolder(), "run");
  const ended = await pops("train", "LunarLander-v3", ...settings, "--workers", "2", "--out", threaded);
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  expectSame(threaded);
});

it.skipIf(process.platform === "win32")(
  "stops at Ctrl-C with lanes in threads, and goes on without threads to the same bytes (needs POSIX signals)",
  async () => {
    const stopped = join(temporaryFolder(), "run");
    const child = start("train", "LunarLander-v3", ...settings, "--workers", "3", "--out", stopped);
    expect(await child.reaches((output) => output.includes("Train the teacher"))).toBe(true);
    child.process.kill("SIGINT");
    expect(await child.ended).toMatchObject({ code: 130, stderr: "" });
    const resumed = await pops("train", "--resume", "--workers", "1", "--out", stopped);
    expect(resumed).toMatchObject({ code: 0, stderr: "" });
    expectSame(stopped);
  },
);

it("evaluates with lanes in threads to the same score", async () => {
  const evaluate = (workers: string) =>
    pops("evaluate", join(out, TEACHER), "--episodes", "7", "--workers", workers, "--json");
  const alone = await evaluate("1");
  expect(alone).toMatchObject({ code: 0, stderr: "" });
  expect(await evaluate("2")).toEqual(alone);
});

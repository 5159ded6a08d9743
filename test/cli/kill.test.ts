import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { stream } from "../../src/random/pcg64.ts";
import { newFolder, pops, remove, type Started, start } from "./fixtures/pops.ts";
import { tiny } from "./fixtures/tiny.ts";

const KILLS = 50;
const FILES = ["events.jsonl", "policies/policy.safetensors", "policies/teacher.safetensors", "policies/policy.onnx"];
/** Beginnings of the titles of a run's stages. */
const STAGES = ["Train the", "Prove the teacher", "Round 1: prune", "Round 1: teach", "Squeeze", "Prove the smallest"];

const folder = newFolder();
const expected = new Map<string, Buffer>();

beforeAll(async () => {
  const out = join(folder, "undisturbed");
  const { code, stderr } = await pops("run", "CartPole-v1", ...tiny(), "--out", out, "--workers", "1");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  for (const file of FILES) expected.set(file, readFileSync(join(out, file)));
});
afterAll(() => {
  remove(folder);
});

/** Begins the run when there is none, goes on with it else. */
function session(out: string): Started {
  const what = existsSync(join(out, "config.yaml")) ? ["--resume"] : ["CartPole-v1", ...tiny()];
  return start("run", ...what, "--out", out, "--checkpoint-every", "0.05", "--workers", "2");
}

async function appearance(path: string): Promise<true> {
  while (!existsSync(path)) await setTimeout(1);
  return true;
}

/** What a session is killed after, and the longest random wait behind it in milliseconds. */
type Moment = readonly [milestone: (child: Started, out: string) => Promise<boolean>, longest: number];

/** Kills of one run, in this order; then it is left to end. Each begins where the run is by its last checkpoint. */
function moments(stage: string): Moment[] {
  const goesOn: Moment = [(child) => child.reaches((output) => output !== ""), 600];
  return [
    // While the folder is being made.
    [(_, out) => appearance(out), 30],
    [(child) => child.reaches((output) => output.includes(`\n${stage}`)), 300],
    goesOn,
    goesOn,
    goesOn,
  ];
}

it(`ends with the same bytes after ${KILLS} kills at random moments as without any`, { timeout: 600_000 }, async () => {
  const random = stream(1, "kills");
  let kills = 0;
  for (let run = 0; kills < KILLS; run++) {
    const out = join(folder, `killed-${run}`);
    let ended = false;
    for (const [milestone, longest] of moments(STAGES[run % STAGES.length] ?? "")) {
      const child = session(out);
      if (await milestone(child, out)) {
        await Promise.race([child.ended, setTimeout(random.uniform(0, longest))]);
        child.process.kill("SIGKILL");
      }
      const { code, stderr } = await child.ended;
      expect({ code: code ?? 0, stderr }).toEqual({ code: 0, stderr: "" });
      ended = code === 0;
      if (ended) break;
      kills++;
    }
    if (!ended) expect(await session(out).ended).toMatchObject({ code: 0, stderr: "" });
    for (const [file, bytes] of expected) expect(readFileSync(join(out, file)).equals(bytes)).toBe(true);
    remove(out);
  }
});

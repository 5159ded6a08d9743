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

/** Stages that a session has begun, the one that it went on with not among them. */
function begun(output: string): number {
  return output.match(/^(?:Train|Prove|Round|Squeeze)/gm)?.length ?? 0;
}

async function appearance(path: string): Promise<true> {
  while (!existsSync(path)) await setTimeout(1);
  return true;
}

/*
 * The moments follow the run's own milestones, not the clock alone: so on a machine of any speed they reach every stage,
 * and every run comes to its end.
 */
it(`ends with the same bytes after ${KILLS} kills at random moments as without any`, { timeout: 900_000 }, async () => {
  const random = stream(1, "kills");
  let kills = 0;
  for (let run = 0; kills < KILLS || run < STAGES.length; run++) {
    const out = join(folder, `killed-${run}`);
    const stage = `\n${STAGES[run % STAGES.length] ?? ""}`;
    for (let count = 0; ; count++) {
      const child = session(out);
      const stages = random.integer(2);
      const [longest, milestone] =
        count === 0
          ? // While the folder is being made.
            [30, appearance(out)]
          : count === 1
            ? [300, child.reaches((output) => output.includes(stage))]
            : [stages === 0 ? 400 : 200, child.reaches((output) => output !== "" && begun(output) >= stages)];
      if (await milestone) {
        await Promise.race([child.ended, setTimeout(random.uniform(0, longest))]);
        child.process.kill("SIGKILL");
      }
      const { code, stderr } = await child.ended;
      expect(stderr).toBe("");
      if (code !== null) {
        expect(code).toBe(0);
        break;
      }
      kills++;
    }
    for (const [file, bytes] of expected) expect(readFileSync(join(out, file)).equals(bytes)).toBe(true);
    remove(out);
  }
});

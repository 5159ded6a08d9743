import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { z } from "zod";
import { python } from "../environment/fixtures/python.ts";

/** That are played in Python, and that the report has an interval for. */
const EPISODES = 100;

const playedSchema = z.object({
  decisions: z.number(),
  differing: z.number(),
  widest: z.number(),
  onnx: z.array(z.number()).length(EPISODES),
  sb3: z.array(z.number()).length(EPISODES),
});

/** Gaps between two outputs below which their order is that of rounding. */
const ROUNDING = 1e-4;

/** What the report states of the policy, the last of two columns, for the mean of as many other episodes. */
function statedInterval(report: string): [low: number, high: number] {
  const end = "(−?[\\d,.]+)";
  const row = new RegExp(`mean of ${EPISODES} other episodes .*?<td class="strong">${end} to ${end}</td>`).exec(report);
  const [low = Number.NaN, high = Number.NaN] = (row ?? [])
    .slice(1)
    .map((text) => Number(text.replaceAll(",", "").replace("−", "-")));
  return [low, high];
}

/**
 * Plays the answer of the run in `folder` in Python, as ONNX and as the archive that `pops export sb3` made of it: both decide
 * alike, and score within the interval that the run's report states for 100 other episodes.
 */
export function expectAgreement(folder: string, environment: string, algorithm: string, archive: string): void {
  const script = fileURLToPath(new URL("play.py", import.meta.url));
  const parameters = [script, environment, algorithm, join(folder, "policies/policy.onnx"), archive];
  const played = playedSchema.parse(JSON.parse(execFileSync(python, parameters, { encoding: "utf8" })));
  expect(played.decisions).toBeGreaterThan(1000);
  expect(played.widest).toBeLessThan(ROUNDING);
  expect(played.differing).toBeLessThanOrEqual(1e-4 * played.decisions);
  if (played.differing === 0) expect(played.sb3).toEqual(played.onnx);
  const [low, high] = statedInterval(readFileSync(join(folder, "report.html"), "utf8"));
  for (const returns of [played.onnx, played.sb3]) {
    const mean = returns.reduce((sum, value) => sum + value, 0) / EPISODES;
    expect(mean).toBeGreaterThanOrEqual(low);
    expect(mean).toBeLessThanOrEqual(high);
  }
}

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { z } from "zod";
import { readResult } from "../../src/run/read.ts";
import { python } from "../environment/fixtures/python.ts";

const playedSchema = z.object({
  decisions: z.number(),
  differing: z.number(),
  widest: z.number(),
  onnx: z.array(z.number()).length(100),
  sb3: z.array(z.number()).length(100),
});

/** Gaps between two outputs below which their order is that of rounding. */
const ROUNDING = 1e-4;
/** Standard errors by which two means of the same policy differ with a probability of 1 in 2,000. */
const ERRORS = 3.5;

function statistics(returns: readonly number[]): { mean: number; sd: number } {
  const mean = returns.reduce((sum, value) => sum + value, 0) / returns.length;
  const squares = returns.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, sd: Math.sqrt(squares / (returns.length - 1)) };
}

/**
 * Plays the answer of the run in `folder` in Python, as ONNX and as the archive that `pops export sb3` made of it: both decide
 * alike, and score as the run's proof says. The proof's interval is that of a mean over its own episodes; a mean over others
 * differs from it by the chance of both.
 */
export function expectAgreement(folder: string, environment: string, algorithm: string, archive: string): void {
  const script = fileURLToPath(new URL("play.py", import.meta.url));
  const parameters = [script, environment, algorithm, join(folder, "policies/policy.onnx"), archive];
  const played = playedSchema.parse(JSON.parse(execFileSync(python, parameters, { encoding: "utf8" })));
  expect(played.decisions).toBeGreaterThan(1000);
  expect(played.widest).toBeLessThan(ROUNDING);
  expect(played.differing).toBeLessThanOrEqual(1e-4 * played.decisions);
  if (played.differing === 0) expect(played.sb3).toEqual(played.onnx);
  const { objective, policy } = readResult(join(folder, "result.json"));
  for (const { mean, sd } of [statistics(played.onnx), statistics(played.sb3)]) {
    const error = Math.sqrt(sd ** 2 / 100 + policy.score.sd ** 2 / policy.score.episodes);
    expect(Math.abs(mean - policy.score.mean)).toBeLessThanOrEqual(ERRORS * error);
    expect(mean).toBeGreaterThanOrEqual(objective - ERRORS * error);
  }
}

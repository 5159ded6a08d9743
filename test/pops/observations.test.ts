import { beforeAll, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import { lower95 } from "../../src/evaluation/statistics.ts";
import { type Architecture, countsOf, dense, parameterCount } from "../../src/network/architecture.ts";
import type { Network } from "../../src/network/policy.ts";
import { logOf } from "../../src/observations/log.ts";
import type { Plain } from "../../src/plain.ts";
import { type PopsOptions, popsSchema } from "../../src/pops/options.ts";
import { type Outcome, pipeline } from "../../src/pops/pipeline.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";
import { type Drained, drain, expectEvents, only } from "../drain.ts";
import { cartPoleTeacher } from "./hand-made.ts";

/** 40 episodes of 50 observations each, which wander. */
const random = new Pcg64(5);
const observations = new Float32Array(4 * 2_000);
for (let row = 0; row < 2_000; row++) {
  for (let k = 0; k < 4; k++) {
    observations[4 * row + k] = (row % 50 === 0 ? 0 : 0.8 * observations[4 * (row - 1) + k]!) + random.normal();
  }
}
const episodes = Int32Array.from({ length: 2_000 }, (_, row) => Math.floor(row / 50));
const sha256 = "a".repeat(64);
const log = logOf([4], observations, episodes, sha256);

const options = popsSchema.parse({
  objective: 0.9,
  lowerBound: 0.6,
  maxIterations: 1,
  starts: 2,
  squeezeStarts: 1,
  squeezeGrowth: 2,
  prune: { updates: 100, gateInterval: 50, maskInterval: 10, patience: 2, finalSparsity: 0.5 },
  distill: { updates: 200, rounds: 2, roundUpdates: 100, batchSize: 64, learningRate: 0.02 },
});

interface Setting {
  readonly teacher?: Network;
  readonly change?: Partial<PopsOptions>;
  readonly workers?: number;
  readonly seed?: number;
  readonly resume?: Plain;
}
function compress({ teacher = cartPoleTeacher(), change, workers = 1, seed = 1, resume }: Setting = {}) {
  const network = { ...teacher, updates: 0 };
  const pops = { ...options, ...change };
  const plan = { observations: log, teacher: { network }, preset: "default", seed, workers, pops };
  return drain(pipeline(plan, resume));
}

let run: Drained<Outcome>;
beforeAll(async () => {
  run = await compress();
});

it("ends with a smaller policy whose agreement on held-out episodes has its lower bound above the objective", () => {
  const { answer } = run.result;
  expect(answer).toMatchObject({ smaller: true, objective: 0.9, sampled: null });
  expect(countsOf(answer!.architecture).weights).toBeLessThan(48);
  const { score, divergence, teacher } = answer!;
  // A quarter of the 40 episodes.
  expect(score.episodes).toBe(10);
  expect(score.lower95).toBeCloseTo(lower95(score), 12);
  expect(score.lower95).toBeGreaterThanOrEqual(0.9);
  expect(score.mean).toBeLessThanOrEqual(1);
  expect(divergence!.kl).toBeGreaterThan(0);
  expect(teacher.score).toMatchObject({ mean: 1, sd: 0, min: 1, lower95: 1, episodes: 10 });
});

it("tells in its log what it stood on, and names no environment", () => {
  const [started, stoodOn] = run.events;
  expect(started).not.toHaveProperty("environment");
  expect(stoodOn).toEqual({
    type: "observations",
    step: 0,
    sha256,
    by: "episode",
    training: { units: 24, observations: 1200 },
    selection: { units: 6, observations: 300 },
    proof: { units: 10, observations: 500 },
  });
  expectEvents(run.events, 0);
});

it("decides on the episodes of the selection, proves on those of the proof", () => {
  expect(new Set(only(run.events, "pruned").map(({ score }) => score.episodes))).toEqual(new Set([6]));
  const candidates = only(run.events, "candidate");
  expect(new Set(candidates.map(({ score }) => score.episodes))).toEqual(new Set([6]));
  for (const { score, passed } of candidates) expect(passed).toBe(score.mean >= 0.9 && lower95(score) >= 0.9);
  const proofs = only(run.events, "proof");
  expect(new Set(proofs.map(({ score }) => score.episodes))).toEqual(new Set([10]));
  expect(proofs.map((proof) => "divergence" in proof)).toEqual(proofs.map(({ role }) => role === "candidate"));
  expect(proofs.some((proof) => "sampled" in proof)).toBe(false);
});

it("teaches in rounds on the logged observations alone", () => {
  for (const [k, event] of run.events.entries()) {
    if (event.type !== "candidate") continue;
    expect([200, 300, 400]).toContain(event.step - run.events[k - 1]!.step);
  }
});

it("is the same with two workers", async () => {
  const { events, result } = await compress({ workers: 2 });
  expect(events).toEqual(run.events);
  expect(result).toEqual(run.result);
});

it("is the same after a resume from its checkpoints", async () => {
  const { checkpoints, events, result } = run;
  expect(checkpoints.length).toBeGreaterThan(3);
  for (const at of [0.2, 1]) {
    const { state, events: before } = checkpoints[Math.round(at * (checkpoints.length - 1))]!;
    const rest = await compress({ resume: state });
    expect(rest.events).toEqual(events.slice(before));
    expect(rest.result).toEqual(result);
  }
});

it("leaves the teacher where nothing smaller acts alike", async () => {
  const hard = { objective: 1, maxIterations: 1, squeezeStarts: 0, starts: 1 };
  const distill = { ...options.distill, updates: 1, rounds: 0 };
  const { result } = await compress({ change: { ...hard, distill } });
  expect(result.answer).toMatchObject({ smaller: false, score: { mean: 1 } });
  expect(result.answer).not.toHaveProperty("divergence");
});

it("compresses continuous actions within the tolerance", async () => {
  const architecture: Architecture = {
    ...dense(4, [8], 1, "gaussian", "tanh"),
    gaussian: { logStd: [-1], low: [-1], high: [1] },
  };
  // tanh of the sum of the observations, in eight equal units.
  const parameters = Float32Array.from({ length: parameterCount(architecture) }, (_, i) =>
    i < 32 ? 0.2 : i < 40 ? 0 : i < 48 ? 0.125 : 0,
  );
  const { result, events } = await compress({ teacher: { architecture, parameters }, change: { tolerance: 0.1 } });
  const { score, divergence, smaller } = result.answer!;
  expect(smaller).toBe(true);
  expect(score.lower95).toBeGreaterThanOrEqual(0.9);
  expect(divergence!.squaredError).toBeLessThan(0.1 ** 2);
  const strict = await compress({
    teacher: { architecture, parameters },
    change: { tolerance: 1e-6, maxIterations: 1, squeezeStarts: 0 },
  });
  expect(only(strict.events, "candidate")[0]!.score.mean).toBeLessThan(only(events, "candidate")[0]!.score.mean);
});

it("refuses a teacher that takes other observations", async () => {
  const architecture = dense(5, [], 2, "logits");
  const teacher = { architecture, parameters: new Float32Array(parameterCount(architecture)) };
  await expect(compress({ teacher })).rejects.toThrow(UsageError);
});

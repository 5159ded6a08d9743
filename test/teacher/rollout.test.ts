import { describe, expect, it } from "vitest";
import type { Environment } from "../../src/environment/environment.ts";
import { vectorOf } from "../../src/environment/vector.ts";
import { stream } from "../../src/random/pcg64.ts";
import { ActorCritic } from "../../src/teacher/actor-critic.ts";
import { gatherRows, Rollout, type RolloutOptions, transitionInputs } from "../../src/teacher/rollout.ts";
import { EpisodeReturns } from "../../src/teacher/teacher.ts";
import { input, sum } from "../../src/tensor/graph.ts";
import { Program } from "../../src/tensor/program.ts";
import { Identity } from "../environment/identity.ts";
import { Match } from "../environment/match.ts";
import { withStep } from "../environment/wrapped.ts";

const LANES = 3;
const STEPS = 10;
const ROWS = LANES * STEPS;
const options: RolloutOptions = {
  nSteps: STEPS,
  gamma: 0.5,
  gaeLambda: 0,
  normalizeObservations: false,
  clipRewards: null,
  normalizeRewards: false,
  normalizationClip: 10,
};

/**
 * One rollout by networks that are 0 everywhere but for the deviations of continuous actions, e, and the values, `slope` times
 * the last element of an observation. With it what the lanes saw, did and gave.
 */
async function play(create: () => Environment, change: Partial<RolloutOptions> = {}, slope = 0) {
  const inner = vectorOf(create().spec, create, LANES);
  const seen: number[] = [];
  const done: number[] = [];
  const rewards: number[] = [];
  const ended: boolean[] = [];
  const following: number[] = [];
  const lanes = withStep(inner, async (actions) => {
    seen.push(...inner.observations);
    done.push(...actions);
    await inner.step(actions);
    rewards.push(...inner.rewards);
    following.push(...inner.observations);
    for (const [lane, end] of inner.terminated.entries()) ended.push(end === 1 || inner.truncated[lane] === 1);
  });
  const model = new ActorCritic(inner.spec, {
    convolutions: [],
    hidden: [2],
    criticHidden: [],
    activation: "tanh",
    initializer: "orthogonal",
    critic: "separate",
    logStdInit: 1,
  });
  const parameters = new Float32Array(model.size);
  model.logStd(parameters).fill(1);
  parameters[model.size - 2] = slope;
  const rollout = await Rollout.create(model, lanes, { ...options, ...change });
  for (let lane = 0; lane < LANES; lane++) await lanes.reset(lane, lane);
  const returns = new EpisodeReturns(LANES);
  await rollout.play(parameters, stream(1, "exploration"), returns);
  const { targets } = await rollout.appraise(parameters);
  const inputs = { ...transitionInputs(model, ROWS, false), oldLogProb: input([ROWS]) };
  const program = await Program.compile({ inputs, outputs: { used: sum(inputs.oldLogProb) } });
  rollout.gather(
    Int32Array.from({ length: ROWS }, (_, row) => row),
    program,
  );
  const kept = {
    observations: [...program.floats("observations")],
    actions: [...(model.actor.gaussian ? program.floats("actions") : program.ints("actions"))],
    logProb: [...program.floats("oldLogProb")],
  };
  const { normalization } = rollout;
  await program.dispose();
  await rollout.dispose();
  return { seen, done, following, rewards, ended, kept, targets: [...targets], normalization, returns };
}

/** Mean and deviation, the population's with VecNormalize's epsilon, of numbers in two passes. */
function statisticsOf(values: readonly number[]): [mean: number, deviation: number] {
  const mean = values.reduce((total, x) => total + x, 0) / values.length;
  return [mean, Math.sqrt(values.reduce((total, x) => total + (x - mean) ** 2, 0) / values.length + 1e-8)];
}

const limited = (x: number, limit: number): number => Math.max(-limit, Math.min(limit, x));
const match = (): Match => new Match({ length: 4, offset: 20, scale: 3, weight: 7 });

function expectClose(actual: readonly number[], expected: readonly number[], digits = 5): void {
  expect(actual).toHaveLength(expected.length);
  for (const [i, value] of actual.entries()) expect(value).toBeCloseTo(expected[i]!, digits);
}

describe("a rollout", () => {
  it("keeps observations as they were seen and actions as they were done", async () => {
    const { seen, done, kept, rewards, targets } = await play(() => new Identity(3, 4));
    expect(kept.observations).toEqual(seen);
    expect(kept.actions).toEqual(done);
    expect(new Set(done)).toEqual(new Set([0, 1, 2]));
    // Values are 0: a value's target is the reward.
    expect(targets).toEqual(rewards);
    expectClose(kept.logProb, new Array<number>(ROWS).fill(Math.log(1 / 3)));
  });

  it("keeps continuous actions as they were drawn, with the density of the draw; what acts is within the bounds", async () => {
    const { done, kept } = await play(match);
    expect(done).toEqual(kept.actions.map((action) => limited(action, 1)));
    const outside = kept.actions.filter((action) => Math.abs(action) > 1);
    expect(outside.length).toBeGreaterThan(10);
    // Deviation e around 0.
    const density = (action: number): number => -0.5 * (action / Math.E) ** 2 - 1 - 0.5 * Math.log(2 * Math.PI);
    expectClose(kept.logProb, kept.actions.map(density));
  });

  it("counts the returns of episodes that ended", async () => {
    const { returns, rewards, ended } = await play(() => new Identity(3, 4));
    expect(returns.episodes).toBe(ended.filter(Boolean).length);
    expect(returns.episodes).toBe(2 * LANES);
    const finished = rewards.slice(0, 8 * LANES).reduce((total, x) => total + x, 0);
    expect(returns.mean).toBeCloseTo(finished / 6, 12);
  });

  it.each([10, 1])("normalises observations by all that were seen up to then, within %d", async (clip) => {
    const run = await play(match, { normalizeObservations: true, normalizationClip: clip });
    const expected = run.seen.map((x, row) => {
      const [mean, deviation] = statisticsOf(run.seen.slice(0, (Math.floor(row / LANES) + 1) * LANES));
      return limited((x - mean) / deviation, clip);
    });
    expectClose(run.kept.observations, expected, 4);
    const [mean, deviation] = statisticsOf(run.seen);
    expect(run.normalization!.mean[0]).toBeCloseTo(mean, 9);
    expect(run.normalization!.deviation[0]).toBeCloseTo(deviation, 9);
    expect(run.normalization!.clip).toBe(clip);
  });

  it("values the states that follow, final ones included, as if they were seen at that moment", async () => {
    const truncated = (): Match => new Match({ length: 4, end: "truncated", offset: 20, scale: 3 });
    const run = await play(truncated, { normalizeObservations: true }, 2);
    const expected = run.rewards.map((reward, row) => {
      const [mean, deviation] = statisticsOf(run.seen.slice(0, (Math.floor(row / LANES) + 1) * LANES));
      const value = (observation: number): number => 2 * ((observation - mean) / deviation);
      return reward + options.gamma * value(run.following[row]!);
    });
    expectClose(run.targets, expected, 4);
  });

  it.each([10, 0.5])(
    "divides rewards by the deviation of the discounted returns up to then, within %d",
    async (clip) => {
      const run = await play(match, { normalizeRewards: true, normalizationClip: clip });
      const discounted: number[] = [];
      const expected = run.rewards.map((_, row) => {
        const step = Math.floor(row / LANES);
        for (let at = discounted.length; at < (step + 1) * LANES; at++) {
          const before = at < LANES || run.ended[at - LANES] ? 0 : discounted[at - LANES]!;
          discounted.push(options.gamma * before + run.rewards[at]!);
        }
        return limited(run.rewards[row]! / statisticsOf(discounted)[1], clip);
      });
      expectClose(run.targets, expected, 4);
      expect(run.normalization).toBeUndefined();
      expect(run.ended.some(Boolean)).toBe(true);
    },
  );
});

it("rows are gathered in the order of a batch", () => {
  const to = new Float32Array(6);
  gatherRows(Float32Array.of(0, 1, 10, 11, 20, 21), 2, Int32Array.of(2, 0, 2), to);
  expect([...to]).toEqual([20, 21, 0, 1, 20, 21]);
});

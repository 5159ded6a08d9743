import { describe, expect, it } from "vitest";
import type { Environment, VectorEnvironment } from "../../src/environment/environment.ts";
import { box } from "../../src/environment/spaces.ts";
import { vectorOf } from "../../src/environment/vector.ts";
import { EnvironmentError, UsageError } from "../../src/errors.ts";
import type { Event } from "../../src/events.ts";
import { argmax } from "../../src/network/action.ts";
import { dense } from "../../src/network/architecture.ts";
import { predictor } from "../../src/network/predict.ts";
import { ActorCritic } from "../../src/teacher/actor-critic.ts";
import { type PpoOptions, type PpoState, ppoSchema, trainPpo } from "../../src/teacher/ppo.ts";
import type { Teacher } from "../../src/teacher/teacher.ts";
import { type Drained, drain, expectEvents, only } from "../drain.ts";
import { Identity } from "../environment/identity.ts";
import { Match, type MatchOptions } from "../environment/match.ts";
import { scripted } from "../environment/scripted.ts";

type Lanes = (size: number) => VectorEnvironment;
type Changes = Partial<PpoOptions>;

const lanesOf =
  (create: () => Environment): Lanes =>
  (size) =>
    vectorOf(create().spec, create, size);
const identity = lanesOf(() => new Identity());
const match = (options?: MatchOptions): Lanes => lanesOf(() => new Match(options));
const oneHot = (i: number): Float32Array => Float32Array.from({ length: 3 }, (_, k) => (k === i ? 1 : 0));

/** Rollouts of 128 steps, 8 updates each. */
const learning: Changes = {
  hidden: [16],
  totalSteps: 12_800,
  environments: 8,
  nSteps: 16,
  batchSize: 64,
  nEpochs: 4,
  learningRate: 0.01,
  gamma: 0.5,
  evaluationInterval: 1_280,
  evaluationEpisodes: 5,
  confirmationEpisodes: 10,
  stopScore: 8,
};
/** Seven rollouts of 12 steps; in them episodes end, evaluations happen, and 4 updates each are made. */
const short: Changes = {
  ...learning,
  hidden: [4],
  totalSteps: 84,
  environments: 3,
  nSteps: 4,
  batchSize: 6,
  nEpochs: 2,
  evaluationInterval: 30,
  evaluationEpisodes: 2,
  stopScore: 1e9,
};

const SEED = 5;

function train(options: Changes, makeLanes = identity, seed = SEED, resume?: PpoState): Promise<Drained<Teacher>> {
  return drain(trainPpo(makeLanes, ppoSchema.parse(options), seed, resume));
}

const statesOf = ({ checkpoints }: Drained<Teacher>): PpoState[] => checkpoints.map(({ state }) => state as PpoState);

describe("PPO with choices", () => {
  it.each<[string, Changes]>([
    ["a separate critic", {}],
    ["a shared critic", { critic: "shared" }],
    ["normalisation", { normalizeObservations: true, normalizeRewards: true }],
    ["the bonus for entropy, relu and Glorot's weights", { entCoef: 0.01, activation: "relu", initializer: "glorot" }],
    ["A2C's settings", { nEpochs: 1, clipRange: null, batchSize: 128, normalizeAdvantage: false, learningRate: 0.03 }],
  ])("(%s) solves the identity task", async (_, change) => {
    const { events, result } = await train({ ...learning, ...change });
    const predict = predictor(result);
    expect([0, 1, 2].map((state) => argmax(predict(oneHot(state))))).toEqual([0, 1, 2]);
    expect(only(events, "teacher-evaluated").at(-1)).toMatchObject({ passed: true, score: { mean: 8, episodes: 10 } });
    expect(result.architecture).toMatchObject({ input: [3], head: "logits" });
  });

  it("returns the actor alone", async () => {
    const { result } = await train(short);
    expect(result.architecture).toEqual(dense(3, [4], 3, "logits", "tanh"));
    expect(result.parameters).toHaveLength(4 * 4 + 5 * 3);
  });
});

describe("PPO with continuous actions", () => {
  const continuous: Changes = { ...learning, totalSteps: 38_400, logStdInit: -0.5, stopScore: -0.02 };
  /** What is seen is 996 to 1004, all but the same to a network; rewards are a hundred times larger. */
  const strange: MatchOptions = { offset: 1000, scale: 5, weight: 100 };

  it.each<[string, Changes, MatchOptions]>([
    ["a separate critic", {}, {}],
    ["a shared critic", { critic: "shared" }, {}],
    ["a learning rate that falls linearly", { learningRateSchedule: "linear" }, {}],
    [
      "observations and rewards that have to be normalised, a separate critic",
      { normalizeObservations: true, normalizeRewards: true, stopScore: -2 },
      strange,
    ],
    [
      "observations and rewards that have to be normalised, a shared critic",
      { normalizeObservations: true, normalizeRewards: true, stopScore: -2, critic: "shared" },
      strange,
    ],
  ])("(%s) learns to say which number it sees", async (_, change, task) => {
    const { events, result } = await train({ ...continuous, ...change }, match(task));
    expect(only(events, "teacher-evaluated").at(-1)).toMatchObject({ passed: true });
    const predict = predictor(result);
    const { offset = 0, scale = 1 } = task;
    for (const x of [-0.75, -0.4, 0, 0.4, 0.75]) {
      expect(Math.abs(predict(Float32Array.of(offset + scale * x))[0]! - x)).toBeLessThan(0.2);
    }
  });

  it("does not learn to without the normalisation of such observations and rewards", async () => {
    const { events } = await train({ ...continuous, totalSteps: 12_800, stopScore: -2 }, match(strange));
    expect(only(events, "teacher-evaluated").map(({ passed }) => passed)).not.toContain(true);
  });

  it("becomes surer: the deviations that ship are smaller than at the start", async () => {
    const { result } = await train({ ...continuous, stopScore: -0.005 }, match());
    expect(result.architecture.gaussian).toMatchObject({ low: [-1], high: [1] });
    expect(result.architecture.gaussian!.logStd[0]).toBeLessThan(-0.7);
  });

  it("refuses actions without finite bounds", async () => {
    const { spec } = new Match();
    const unbounded = { ...spec, actionSpace: box([Number.NEGATIVE_INFINITY], [1]) };
    const lanes: Lanes = (size) => vectorOf(unbounded, () => new Match(), size);
    await expect(train(short, lanes)).rejects.toThrow(EnvironmentError);
  });
});

// One step an episode. Terminated, nothing follows: under a policy that is right the value is 1. Truncated, what follows
// is worth 1 + 1/2 + 1/4 + ... = 2, half of which is added.
it.each<["terminated" | "truncated", number]>([
  ["terminated", 1],
  ["truncated", 2],
])("the critic learns the values of episodes that are %s", async (end, value) => {
  const options = ppoSchema.parse({
    ...learning,
    ...{ totalSteps: 12_800, evaluationInterval: 12_800, stopScore: 1e9, critic: "separate" },
  });
  const makeLanes = lanesOf(() => new Identity(3, 1, end));
  const run = await train(options, makeLanes);
  const model = new ActorCritic(makeLanes(1).spec, options);
  const { parameters } = statesOf(run).at(-1)!.trainer;
  const predict = predictor({ architecture: model.critic, parameters: parameters.slice(-(4 * 16 + 17)) });
  for (const state of [0, 1, 2]) expect(Math.abs(predict(oneHot(state))[0]! - value)).toBeLessThan(0.1);
});

describe("updates", () => {
  it("are nEpochs passes over each rollout in batches", async () => {
    const run = await train({ ...short, nEpochs: 3 });
    expect(statesOf(run).map(({ steps, trainer }) => [steps, trainer.steps])).toEqual(
      [1, 2, 3, 4, 5, 6, 7].map((k) => [12 * k, 6 * k]),
    );
    expect(run.result.updates).toBe(42);
  });

  it("of a rollout end early when the policy has gone 1.5 times targetKl", async () => {
    // 4 updates an epoch.
    const options = { ...short, totalSteps: 12, nEpochs: 5, batchSize: 3, learningRate: 0.1 };
    const updates = async (targetKl: number | null) => (await train({ ...options, targetKl })).result.updates;
    const [all, some, few] = [await updates(null), await updates(0.03), await updates(1e-4)];
    expect(all).toBe(20);
    // The first update is made on fresh data, whose KL is 0.
    expect(few).toBe(2);
    expect(some).toBeGreaterThan(few);
    expect(some).toBeLessThan(all);
  });

  it("begin anew with the next rollout after they ended early", async () => {
    const run = await train({ ...short, nEpochs: 10, learningRate: 0.1, targetKl: 1e-4 });
    const made = statesOf(run).map(({ trainer }) => trainer.steps);
    expect(made.map((steps, k) => steps - (made[k - 1] ?? 0)).every((steps) => steps >= 2)).toBe(true);
  });

  it("are refused when batches do not divide a rollout", async () => {
    await expect(train({ ...short, batchSize: 5 })).rejects.toThrow(
      new UsageError("teacher.batchSize", "5 does not divide a rollout's 12 transitions"),
    );
  });

  it("move parameters by no more than a limited gradient allows", async () => {
    // One update by Adam: every parameter moves by rate * g / (|g| + epsilon), nearly nothing where |g| is far below epsilon.
    const options = { ...short, totalSteps: 12, nEpochs: 1, batchSize: 12 };
    const moved = async (maxGradientNorm: number): Promise<number> => {
      const [state] = statesOf(await train({ ...options, maxGradientNorm }));
      const start = new ActorCritic(identity(1).spec, ppoSchema.parse(options)).initialize(SEED);
      return Math.max(...state!.trainer.parameters.map((value, i) => Math.abs(value - start[i]!)));
    };
    expect(await moved(0.5)).toBeCloseTo(0.01, 3);
    expect(await moved(1e-9)).toBeLessThan(0.01 * 1e-3);
  });
});

describe("the learning rate", () => {
  const rates = ({ events }: Drained<Teacher>) => only(events, "train").map(({ learningRate }) => learningRate);

  it("is constant", async () => {
    expect(rates(await train(short))).toEqual([0.01, 0.01, 0.01]);
  });

  it("falls by a straight line to nearly 0 with the last rollout when it is told to", async () => {
    // The rollouts that end at 36, 60 and 84 of 84 steps began at 24, 48 and 72.
    const expected = [24, 48, 72].map((steps) => 0.01 * (1 - steps / 84));
    for (const [k, rate] of rates(await train({ ...short, learningRateSchedule: "linear" })).entries()) {
      expect(rate).toBeCloseTo(expected[k]!, 12);
    }
  });
});

describe("events", () => {
  it("are valid, on an axis of updates that never falls", async () => {
    const { events } = await train({ ...short, normalizeObservations: true }, match());
    expectEvents(events, 0);
  });

  it("are a train and an evaluation at the first rollout's end after every evaluationInterval steps and at the end", async () => {
    const { events } = await train(short);
    expect(only(events, "train").map(({ environmentSteps }) => environmentSteps)).toEqual([36, 60, 84]);
    expect(only(events, "train").map(({ progress }) => progress)).toEqual([36 / 84, 60 / 84, 1]);
    expect(events.map(({ type }) => type)).toEqual([
      ...[1, 2, 3].flatMap(() => ["train", "teacher-evaluated"]),
      "teacher-trained",
    ]);
  });

  it("say how far the policy moved, how sure it is and how good the values are", async () => {
    const { events } = await train({ ...learning, totalSteps: 1_280, evaluationInterval: 128, stopScore: 1e9 });
    const trained = only(events, "train");
    expect(trained).toHaveLength(10);
    for (const { entropy, kl, clipFraction, policyLoss, valueLoss, explainedVariance, loss } of trained) {
      expect(entropy).toBeGreaterThan(0);
      expect(entropy).toBeLessThanOrEqual(Math.log(3));
      // Never negative but for rounding.
      expect(kl).toBeGreaterThan(-1e-6);
      expect(clipFraction).toBeGreaterThanOrEqual(0);
      expect(explainedVariance).toBeLessThanOrEqual(1);
      expect(loss).toBeCloseTo(policyLoss! + 0.5 * valueLoss!, 5);
    }
    expect(trained.at(-1)!.entropy).toBeLessThan(trained[0]!.entropy!);
    expect(trained[0]!.kl).toBeGreaterThan(1e-4);
    expect(trained[0]!.clipFraction).toBeGreaterThan(0);
  });

  it("count the entropy into the loss with its weight", async () => {
    const { events } = await train({ ...short, entCoef: 0.25, vfCoef: 2 });
    for (const { loss, policyLoss, valueLoss, entropy } of only(events, "train")) {
      expect(loss).toBeCloseTo(policyLoss! + 2 * valueLoss! - 0.25 * entropy!, 5);
    }
  });

  const trainedOf = (events: readonly Event[]) => only(events, "teacher-trained")[0]!;

  it("say that a separate critic is left behind", async () => {
    const { events, result } = await train({ ...short, criticHidden: [7, 6] });
    expect(trainedOf(events)).toEqual({
      type: "teacher-trained",
      step: result.updates,
      algorithm: "ppo",
      architecture: result.architecture,
      leftBehind: [{ name: "critic", layers: "3-7-6-1", weights: 3 * 7 + 7 * 6 + 6, biases: 14 }],
    });
  });

  it("say that a shared critic's output is left behind", async () => {
    const { events } = await train({ ...short, critic: "shared" });
    expect(trainedOf(events).leftBehind).toEqual([{ name: "critic", layers: "4-1", weights: 4, biases: 1 }]);
  });
});

describe("when training stops and what it returns", () => {
  const environments = 3;
  /** Training lanes, and one evaluation after the other with the given scores. */
  function looks(scores: readonly number[]): Lanes {
    const next = scores.values();
    return (size) => scripted(size === environments ? [0] : [next.next().value!], size);
  }
  const options = { ...short, confirmationEpisodes: 4, stopScore: 10 };
  const scoresOf = ({ events }: Drained<Teacher>) =>
    only(events, "teacher-evaluated").map(({ environmentSteps, score, passed }) => [
      environmentSteps,
      score.mean,
      passed,
    ]);

  it("is when a score that reaches stopScore is confirmed by more episodes", async () => {
    const run = await train(options, looks([10, 9, 10, 10]));
    expect(scoresOf(run)).toEqual([
      [36, 9, false],
      [60, 10, true],
    ]);
  });

  it("is the best evaluated network, the first among equals, when none is good enough", async () => {
    const run = await train(options, looks([1, 5, 5]));
    expect(scoresOf(run).map(([, mean]) => mean)).toEqual([1, 5, 5]);
    const cutThere = await train({ ...options, totalSteps: 60 }, looks([1, 5]));
    expect(run.result.parameters).toEqual(cutThere.result.parameters);
  });

  it("carries the statistics of the moment when that network was looked at", async () => {
    const normalized = { ...options, normalizeObservations: true, normalizationClip: 4 };
    const run = await train(normalized, looks([1, 5, 3]));
    const { count, mean } = statesOf(run)[4]!.observationStatistics;
    expect(count).toBe(60);
    expect(run.result.architecture.normalization).toMatchObject({ mean: [...mean], clip: 4 });
  });
});

const variants: [string, Changes, Lanes][] = [
  ["choices", {}, identity],
  ["a shared critic", { critic: "shared", learningRateSchedule: "linear", entCoef: 0.01 }, identity],
  ["truncated episodes", {}, lanesOf(() => new Identity(3, 5, "truncated"))],
  ["continuous actions", {}, match({ length: 3 })],
  [
    "continuous actions, normalised",
    { normalizeObservations: true, normalizeRewards: true, critic: "shared" },
    match({ length: 5, offset: 30, end: "truncated" }),
  ],
  ["A2C", { nEpochs: 1, clipRange: null, batchSize: 12 }, identity],
];

describe.each(variants)("(%s) determinism", (_, change, makeLanes) => {
  const options = { ...short, ...change };

  it("the same seed gives the same bits, another seed others", async () => {
    const run = await train(options, makeLanes);
    expect(await train(options, makeLanes)).toEqual(run);
    expect((await train(options, makeLanes, SEED + 1)).result.parameters).not.toEqual(run.result.parameters);
  });

  it("a resume from any checkpoint ends with the same events, checkpoints and bits", async () => {
    const whole = await train(options, makeLanes);
    expect(whole.checkpoints).toHaveLength(7);
    for (const [k, { state, events }] of whole.checkpoints.entries()) {
      const rest = await train(options, makeLanes, SEED, state as PpoState);
      expect(rest.events).toEqual(whole.events.slice(events));
      expect(rest.result).toEqual(whole.result);
      expect(statesOf(rest)).toEqual(statesOf(whole).slice(k + 1));
    }
  });
});

import { describe, expect, it } from "vitest";
import { checkEnvironment } from "../../src/environment/check.ts";
import type { VectorEnvironment } from "../../src/environment/environment.ts";
import { box } from "../../src/environment/spaces.ts";
import { vectorOf } from "../../src/environment/vector.ts";
import { UsageError } from "../../src/errors.ts";
import { stream } from "../../src/random/pcg64.ts";
import { ActorCritic } from "../../src/teacher/actor-critic.ts";
import { type DqnState, dqnSchema, trainDqn } from "../../src/teacher/dqn.ts";
import { type PpoState, ppoSchema, trainPpo } from "../../src/teacher/ppo.ts";
import { Rollout } from "../../src/teacher/rollout.ts";
import { EpisodeReturns, type Teacher } from "../../src/teacher/teacher.ts";
import { type Drained, drain, only } from "../drain.ts";
import { Dots } from "../environment/dots.ts";

const lanesOf =
  (create = () => new Dots()) =>
  (size: number): VectorEnvironment =>
    vectorOf(create().spec, create, size);
const network = { convolutions: [{ filters: 4, kernel: 3, stride: 1 }], hidden: [16] };
const judged = { evaluationEpisodes: 5, confirmationEpisodes: 10, stopScore: 18 };
const ppo = {
  ...network,
  activation: "relu" as const,
  critic: "shared" as const,
  totalSteps: 12_800,
  environments: 8,
  nSteps: 16,
  batchSize: 64,
  nEpochs: 4,
  learningRate: 0.005,
  gamma: 0.5,
  evaluationInterval: 1_280,
  ...judged,
};
const dqn = {
  ...network,
  totalSteps: 12_800,
  environments: 8,
  bufferSize: 2_000,
  learningStarts: 200,
  batchSize: 32,
  nSteps: 2,
  gamma: 0.5,
  learningRate: 0.003,
  targetUpdateInterval: 200,
  explorationSteps: 3_000,
  evaluationInterval: 1_280,
  ...judged,
};

const runPpo = (change: object, resume?: PpoState): Promise<Drained<Teacher>> =>
  drain(trainPpo(lanesOf(), ppoSchema.parse({ ...ppo, ...change }), 5, resume));
const runDqn = (change: object, resume?: DqnState): Promise<Drained<Teacher>> =>
  drain(trainDqn(lanesOf(), dqnSchema.parse({ ...dqn, ...change }), 5, resume));

it("have an environment that keeps the contract", () => {
  expect(checkEnvironment(() => new Dots())).toEqual([]);
});

describe("teachers of images", () => {
  it.each<[string, (lanes: (size: number) => VectorEnvironment) => Promise<Drained<Teacher>>]>([
    ["PPO", (lanes) => drain(trainPpo(lanes, ppoSchema.parse(ppo), 5))],
    ["DQN", (lanes) => drain(trainDqn(lanes, dqnSchema.parse(dqn), 5))],
  ])("refuse convolutions where channels come last: %s", async (_, train) => {
    const spec = { ...new Dots().spec, observationSpace: box(0, 255, [6, 6, 2]) };
    const refused = train((size) => vectorOf(spec, () => new Dots(), size));
    await expect(refused).rejects.toThrow(UsageError);
    await expect(refused).rejects.toThrow("architecture: Dots-v0: layer 1 is a convolution over observations of shape");
  });

  it.each<[string, () => Promise<Drained<Teacher>>]>([
    ["PPO", () => runPpo({})],
    ["DQN", () => runDqn({})],
    ["DQN with dueling heads and prioritized replay", () => runDqn({ dueling: true, prioritized: true })],
  ])("%s learns to look, and its score counts rewards as they are", async (_, run) => {
    const { events, result } = await run();
    expect(only(events, "teacher-evaluated").at(-1)).toMatchObject({ passed: true, score: { mean: 18 } });
    expect(result.architecture).toMatchObject({
      input: [2, 6, 6],
      normalization: { mean: [0], deviation: [255] },
      layers: [
        { kind: "conv", units: 4, kernel: [3, 3], stride: [1, 1] },
        { kind: "dense", units: 16 },
        { kind: "dense", units: 3 },
      ],
    });
  });

  it.each<[string, (resume?: PpoState & DqnState) => Promise<Drained<Teacher>>]>([
    ["PPO", (resume) => runPpo({ totalSteps: 640, evaluationInterval: 256, stopScore: 1e9 }, resume)],
    ["DQN", (resume) => runDqn({ totalSteps: 640, evaluationInterval: 256, stopScore: 1e9 }, resume)],
    [
      "DQN with prioritized replay",
      (resume) => runDqn({ prioritized: true, totalSteps: 640, evaluationInterval: 256, stopScore: 1e9 }, resume),
    ],
  ])("%s goes on from a checkpoint as if nothing had been", async (_, run) => {
    const whole = await run();
    const { state, events } = whole.checkpoints[Math.floor(whole.checkpoints.length / 2)]!;
    const rest = await run(state as PpoState & DqnState);
    expect(rest.events).toEqual(whole.events.slice(events));
    expect(rest.result).toEqual(whole.result);
  });
});

describe("a life lost", () => {
  /** Targets of values that are 1 everywhere, without discount: the rewards up to an end, and 1 where there is none. */
  async function targetsOf(
    training: { clipRewards: boolean; episodicLife: boolean },
    clipRewards: boolean | null = null,
  ): Promise<number[]> {
    const lanes = lanesOf(() => new Dots(training))(1);
    const options = ppoSchema.parse({ ...ppo, critic: "separate", nSteps: 9, gamma: 1, gaeLambda: 1, clipRewards });
    const model = new ActorCritic(lanes.spec, options);
    const parameters = new Float32Array(model.size);
    parameters[model.size - 1] = 1;
    const rollout = await Rollout.create(model, lanes, options);
    await lanes.reset(0, 1);
    const returns = new EpisodeReturns(1);
    await rollout.play(parameters, stream(1, "exploration"), returns);
    const { targets } = await rollout.appraise(parameters);
    await rollout.dispose();
    // Whatever training takes for an end, the episode's return is of nine steps.
    expect(returns.episodes).toBe(1);
    return [...targets];
  }

  it("ends what training looks ahead to, but not the episode", async () => {
    const whole = await targetsOf({ clipRewards: false, episodicLife: false });
    const lives = await targetsOf({ clipRewards: false, episodicLife: true });
    const rewards = whole.map((target, t) => target - (whole[t + 1] ?? 0));
    const upTo = (t: number): number => rewards.slice(t, 3 * Math.floor(t / 3) + 3).reduce((total, x) => total + x, 0);
    expect(rewards.every((reward) => reward === 0 || reward === 2)).toBe(true);
    expect(lives).toEqual(rewards.map((_, t) => upTo(t)));
  });

  it("is apart from the sign of rewards", async () => {
    const raw = await targetsOf({ clipRewards: false, episodicLife: true });
    const clipped = await targetsOf({ clipRewards: true, episodicLife: true });
    expect(clipped).toEqual(raw.map((target) => target / 2));
  });

  it.each([true, false])("leaves it to clipRewards: %s whether rewards are their signs", async (clipRewards) => {
    const asked = await targetsOf({ clipRewards: !clipRewards, episodicLife: true }, clipRewards);
    expect(asked).toEqual(await targetsOf({ clipRewards, episodicLife: true }));
  });
});

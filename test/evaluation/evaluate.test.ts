import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { makeEnvironment } from "../../src/environment/registry.ts";
import { makeVector, vectorOf } from "../../src/environment/vector.ts";
import { EnvironmentError, ShapeError, UsageError } from "../../src/errors.ts";
import { episodeSeed } from "../../src/evaluation/episode-seed.ts";
import { Evaluator } from "../../src/evaluation/evaluate.ts";
import { scoreOf, summarize } from "../../src/evaluation/statistics.ts";
import { argmax, boundActions, sampleChoice, sampleGaussian } from "../../src/network/action.ts";
import { type Architecture, dense } from "../../src/network/architecture.ts";
import { initialize } from "../../src/network/parameters.ts";
import { predictor } from "../../src/network/predict.ts";
import { stream } from "../../src/random/pcg64.ts";
import { Countdown } from "../environment/countdown.ts";

interface Player {
  readonly architecture: Architecture;
  readonly parameters: Float32Array;
}

const small = dense(4, [6], 2, "q-values", "tanh");
const beginner: Player = { architecture: small, parameters: initialize(small, "glorot", stream(1, "a")) };

/** Pushes to the side to which the pole leans and falls: weights [4, 2], biases [2]. */
const balancing: Player = {
  architecture: dense(4, [], 2, "logits"),
  parameters: Float32Array.of(-0.1, 0.1, -0.2, 0.2, -1, 1, -0.5, 0.5, 0, 0),
};

/** Returns of episodes 0 to `episodes` - 1 in CartPole with the given number of lanes. */
async function returnsOf(player: Player, lanes: number, episodes: number, seed = 1): Promise<number[]> {
  const evaluator = await Evaluator.create(player.architecture, makeVector("CartPole-v1", lanes));
  const returns = await evaluator.returns(player.parameters, seed, "held-out", episodes);
  await evaluator.dispose();
  return [...returns];
}

it.each([
  ["a policy that falls early or late", beginner],
  ["a policy that balances to the time limit", balancing],
])("gives the returns of a plain loop over one environment, for %s", async (_name, player) => {
  const predict = predictor(player);
  const expected = Array.from({ length: 12 }, (_, index) => {
    const environment = makeEnvironment("CartPole-v1");
    let observation = environment.reset(episodeSeed(1, "held-out", index));
    let total = 0;
    for (;;) {
      const step = environment.step(argmax(predict(observation)));
      total += step.reward;
      if (step.terminated || step.truncated) return total;
      observation = step.observation;
    }
  });
  expect(await returnsOf(player, 5, 12)).toEqual(expected);
});

it("episodes do not depend on how many more are asked for", async () => {
  const all = await returnsOf(beginner, 4, 20);
  const counts = fc.integer({ min: 1, max: 20 });
  const check = async (count: number): Promise<void> => {
    expect(await returnsOf(beginner, 4, count)).toEqual(all.slice(0, count));
  };
  await fc.assert(fc.asyncProperty(counts, check), { numRuns: 10 });
});

it("episodes do not depend on what was evaluated before", async () => {
  const evaluator = await Evaluator.create(small, makeVector("CartPole-v1", 3));
  const first = await evaluator.returns(beginner.parameters, 1, "held-out", 7);
  await evaluator.returns(initialize(small, "glorot", stream(6, "b")), 2, "other", 2);
  expect(await evaluator.returns(beginner.parameters, 1, "held-out", 7)).toEqual(first);
  await evaluator.dispose();
});

it("sums rewards until each episode's own end", async () => {
  // Always chooses action 1, the reward; the lanes end after 2 steps.
  const evaluator = await Evaluator.create(
    dense(2, [], 2, "q-values"),
    vectorOf(new Countdown(2).spec, () => new Countdown(2), 3),
  );
  const parameters = Float32Array.of(0, 0, 0, 0, 0, 1);
  expect([...(await evaluator.returns(parameters, 0, "a", 4))]).toEqual([2, 2, 2, 2]);
  await evaluator.dispose();
});

it("ends episodes at the time limit", async () => {
  const lanes = vectorOf(new Countdown(9, 4).spec, () => new Countdown(9, 4), 2);
  const evaluator = await Evaluator.create(dense(2, [], 2, "q-values"), lanes);
  expect([...(await evaluator.returns(Float32Array.of(0, 0, 0, 0, 0, 1), 0, "a", 2))]).toEqual([4, 4]);
  await evaluator.dispose();
});

it("gives scores of the same returns", async () => {
  const evaluator = await Evaluator.create(small, makeVector("CartPole-v1", 8));
  const returns = await evaluator.returns(beginner.parameters, 3, "proof", 10);
  expect(await evaluator.quick(beginner.parameters, 3, "proof", 10)).toEqual(summarize(returns));
  const score = await evaluator.score(beginner.parameters, 3, "proof", 10);
  expect(score).toEqual(scoreOf(returns, stream(3, "bootstrap/proof")));
  await evaluator.dispose();
});

it("leaves the parameters alone", async () => {
  const parameters = beginner.parameters.slice();
  await returnsOf({ architecture: small, parameters }, 2, 3);
  expect(parameters).toEqual(beginner.parameters);
});

describe("drawn actions", () => {
  /** Leans towards balancing, and draws: every episode falls at another time. */
  const undecided: Player = { ...balancing, parameters: balancing.parameters.map((x) => 2 * x) };
  const gaussian: Player = {
    architecture: {
      ...dense(3, [], 1, "gaussian"),
      normalization: { mean: [0, 0, 0], deviation: [0.7, 0.7, 3], clip: 5 },
      gaussian: { logStd: [0.5], low: [-2], high: [2] },
    },
    parameters: Float32Array.of(0.1, -0.5, -1, 0.2),
  };
  const episodes = 7;
  const SET = "held-out";

  async function drawn(environment: string, { architecture, parameters }: Player, lanes: number, seed = 1) {
    const evaluator = await Evaluator.create(architecture, makeVector(environment, lanes));
    const returns = await evaluator.returns(parameters, seed, SET, episodes, "sampled");
    await evaluator.dispose();
    return [...returns];
  }

  it.each([
    ["choices", "CartPole-v1", undecided],
    ["continuous actions within their bounds", "Pendulum-v1", gaussian],
  ])("(%s) give the returns of a plain loop over one environment with a stream an episode", async (_, id, player) => {
    const predict = predictor(player);
    const expected = Array.from({ length: episodes }, (__, index) => {
      const environment = makeEnvironment(id);
      const draws = stream(1, `actions/${SET}`, index);
      let observation = environment.reset(episodeSeed(1, SET, index));
      let total = 0;
      for (;;) {
        const outputs = predict(observation);
        const { gaussian: density } = player.architecture;
        const action = new Float32Array(1);
        if (density) {
          sampleGaussian(outputs, density.logStd, draws, action);
          boundActions(player.architecture, action);
        }
        const step = environment.step(density ? action : sampleChoice(outputs, draws));
        total += step.reward;
        if (step.terminated || step.truncated) return total;
        observation = step.observation;
      }
    });
    const returns = await drawn(id, player, 3);
    for (const [k, value] of returns.entries()) expect(value).toBeCloseTo(expected[k]!, 2);
    expect(new Set(returns).size).toBeGreaterThan(3);
  });

  it("are the same for the same seed and others for another", async () => {
    const returns = await drawn("CartPole-v1", undecided, 3);
    expect(await drawn("CartPole-v1", undecided, 3)).toEqual(returns);
    expect(await drawn("CartPole-v1", undecided, 3, 2)).not.toEqual(returns);
  });

  it.each([1, 2, 5, 7, 10])("do not depend on the number of lanes (%d)", async (lanes) => {
    expect(await drawn("CartPole-v1", undecided, lanes)).toEqual(await drawn("CartPole-v1", undecided, 3));
  });

  it("leave greedy episodes, before and after, as they are without", async () => {
    const greedy = await returnsOf(undecided, 3, episodes);
    const evaluator = await Evaluator.create(undecided.architecture, makeVector("CartPole-v1", 3));
    const before = await evaluator.returns(undecided.parameters, 1, SET, episodes);
    const sampled = await evaluator.returns(undecided.parameters, 1, SET, episodes, "sampled");
    const after = await evaluator.returns(undecided.parameters, 1, SET, episodes);
    await evaluator.dispose();
    expect([[...before], [...after]]).toEqual([greedy, greedy]);
    expect([...sampled]).not.toEqual(greedy);
  });

  it("of Q-values are the greedy ones", async () => {
    expect(await drawn("CartPole-v1", beginner, 3)).toEqual(await returnsOf(beginner, 3, episodes));
  });

  it("are scored over the same episodes as greedy ones, with the bounds of their own returns", async () => {
    const evaluator = await Evaluator.create(undecided.architecture, makeVector("CartPole-v1", 3));
    const score = await evaluator.score(undecided.parameters, 1, SET, episodes, "sampled");
    await evaluator.dispose();
    const returns = Float64Array.from(await drawn("CartPole-v1", undecided, 3));
    expect(score).toEqual(scoreOf(returns, stream(1, `bootstrap/${SET}`)));
  });
});

it("refuses an episode that does not end", async () => {
  const lanes = vectorOf(new Countdown(1e9).spec, () => new Countdown(1e9), 1);
  const evaluator = await Evaluator.create(dense(2, [], 2, "q-values"), lanes);
  const message =
    "an episode did not end in 50000 steps: limit them by its spec's maxEpisodeSteps, one of Gymnasium's by --env-wrapper 'TimeLimit={\"max_episode_steps\":1000}'";
  await expect(evaluator.returns(new Float32Array(6), 0, "a", 1)).rejects.toThrow(
    new EnvironmentError("Countdown-v0", message),
  );
  await evaluator.dispose();
});

it("refuses a network that does not fit the environment", async () => {
  const evaluator = Evaluator.create(dense(3, [], 2, "q-values"), makeVector("CartPole-v1", 1));
  await expect(evaluator).rejects.toThrow(UsageError);
});

it("refuses parameters of another network", async () => {
  const evaluator = await Evaluator.create(small, makeVector("CartPole-v1", 1));
  await expect(evaluator.returns(new Float32Array(3), 0, "a", 1)).rejects.toThrow(ShapeError);
  await evaluator.dispose();
});

it("seeds of episodes stay what they are, from one version to the next", () => {
  expect([0, 1, 2].map((index) => episodeSeed(0, "held-out", index))).toEqual([2571756410, 1759970925, 2258638814]);
  expect(episodeSeed(2 ** 53 - 1, "gate", 999)).toBe(4133603147);
});

it("episodes of other runs, sets and numbers have other seeds", () => {
  const seeds = [0, 1, 2].flatMap((seed) =>
    ["held-out", "gate"].flatMap((set) => Array.from({ length: 100 }, (_, index) => episodeSeed(seed, set, index))),
  );
  expect(new Set(seeds).size).toBe(600);
});

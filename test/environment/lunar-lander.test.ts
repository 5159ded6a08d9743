import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Action, Environment, Step } from "../../src/environment/environment.ts";
import { Craft } from "../../src/environment/lunar-lander/craft.ts";
import type { LunarLanderOptions } from "../../src/environment/lunar-lander/flight.ts";
import { LunarLander, lunarLanderContinuousV3, lunarLanderV3 } from "../../src/environment/lunar-lander.ts";
import { makeEnvironment, specOf } from "../../src/environment/registry.ts";
import { EnvironmentError, UsageError } from "../../src/errors.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";
import { heuristic } from "./heuristic.ts";
import { Recorder } from "./recorder.ts";

interface Bounds {
  readonly low: number[];
  readonly high: number[];
}

interface Trace {
  readonly id: "LunarLander-v3" | "LunarLanderContinuous-v3";
  readonly seed: number;
  readonly options: LunarLanderOptions;
  readonly actions: (number | number[])[];
  readonly observations: number[][];
  readonly rewards: number[];
  readonly terminated: boolean;
}

const fixture = new URL("../fixtures/gymnasium-lunar-lander.json", import.meta.url);
const recorded = JSON.parse(readFileSync(fixture, "utf8")) as {
  specs: {
    id: string;
    observations: Bounds;
    actions: Bounds | { n: number };
    max_episode_steps: number;
    reward_threshold: number;
  }[];
  draws: { seed: number; enable_wind?: boolean; draws: number[] }[];
  traces: Trace[];
  /** Random-policy episodes with seeds 0, 1, ... */
  random: { seed: number; actions: string; terminated: boolean; total_reward: number }[];
  /** Returns of the heuristic controller with seeds 0, 1, ... */
  heuristic: number[];
};

function landerOf(id: Trace["id"], options: LunarLanderOptions = {}): LunarLander {
  return new LunarLander(id === "LunarLander-v3" ? lunarLanderV3 : lunarLanderContinuousV3, options);
}

/** Remembers what it drew. */
class Logged extends Pcg64 {
  readonly drawn: number[] = [];
  override uniform(low: number, high: number): number {
    const value = super.uniform(low, high);
    this.drawn.push(value);
    return value;
  }
  override integer(n: number): number {
    const value = super.integer(n);
    this.drawn.push(value - 9999);
    return value;
  }
}

/** Largest difference of the observations of a trace before any contact, legs left out. */
function errorBeforeContact(environment: Environment, { seed, actions, observations }: Omit<Trace, "id">): number {
  let worst = 0;
  const compare = (actual: Float32Array, expected: readonly number[]): void => {
    for (let index = 0; index < 6; index++) worst = Math.max(worst, Math.abs(actual[index]! - expected[index]!));
  };
  compare(environment.reset(seed), observations[0]!);
  for (const [index, action] of actions.entries()) {
    const expected = observations[index + 1]!;
    // The last step of a crash is a contact of the body, which no flag shows.
    if (index === actions.length - 1 || expected[6] === 1 || expected[7] === 1) break;
    compare(environment.step(typeof action === "number" ? action : Float32Array.from(action)).observation, expected);
  }
  return worst;
}

describe("the bodies", () => {
  const { lander, legs } = new Craft(-10, Array<number>(12).fill(3), [0, 0]);

  it("have the masses of Box2D", () => {
    expect(lander.getMass()).toBeCloseTo(4.816667, 6);
    for (const leg of legs) expect(leg.getMass()).toBeCloseTo(0.0711111, 7);
  });

  it("have the centre of mass of Box2D", () => {
    expect(lander.getLocalCenter().x).toBeCloseTo(0, 12);
    expect(lander.getLocalCenter().y).toBeCloseTo(0.1013072, 7);
  });

  it("have the moments of inertia of Box2D", () => {
    // planck gives it about the origin, as Box2D does.
    const aboutOrigin = lander.getInertia();
    expect(aboutOrigin - lander.getMass() * lander.getLocalCenter().y ** 2).toBeCloseTo(0.7838807, 6);
    expect(legs[0].getInertia()).toBeCloseTo(0.00179095, 8);
  });
});

it.each(recorded.specs)("$id has the spaces, time limit and threshold of Gymnasium", (spec) => {
  const { observationSpace, actionSpace, maxEpisodeSteps, rewardThreshold } = specOf(spec.id);
  expect(observationSpace.shape).toEqual([8]);
  // Gymnasium has -0 for the low bound of the flags.
  expect(observationSpace.low.map((bound) => bound + 0)).toEqual(spec.observations.low.map((bound) => bound + 0));
  expect(observationSpace.high).toEqual(spec.observations.high);
  const actions = "n" in spec.actions ? { kind: "discrete" } : { kind: "box", shape: [2] };
  expect(actionSpace).toEqual({ ...actions, ...spec.actions });
  expect([maxEpisodeSteps, rewardThreshold]).toEqual([spec.max_episode_steps, spec.reward_threshold]);
});

it("LunarLander-v2 has no bounds, as in gym 0.10.9", () => {
  expect(specOf("LunarLander-v2").observationSpace.high).toEqual(Array(8).fill(Infinity));
});

it.each(recorded.draws)("a reset with seed $seed draws Gymnasium's numbers in its order", (expected) => {
  let random = new Logged(0);
  const options = { enableWind: expected.enable_wind ?? false };
  const environment = new LunarLander(lunarLanderV3, options, (seed) => {
    random = new Logged(seed);
    return random;
  });
  environment.reset(expected.seed);
  expect(random.drawn).toEqual(expected.draws);
});

describe.each(recorded.traces)("the Gymnasium episode of $id with seed $seed and $options", (trace) => {
  it("agrees within 1e-4 until the first contact", () => {
    expect(errorBeforeContact(landerOf(trace.id, trace.options), trace)).toBeLessThanOrEqual(1e-4);
  });

  it("gives the same rewards until the first contact, and ends at the same step", () => {
    const environment = landerOf(trace.id, trace.options);
    environment.reset(trace.seed);
    let before = true;
    for (const [index, action] of trace.actions.entries()) {
      const step = environment.step(typeof action === "number" ? action : Float32Array.from(action));
      const expected = trace.observations[index + 1]!;
      before &&= expected[6] === 0 && expected[7] === 0;
      // A shaping of 100 times the observations' error, twice.
      if (before) expect(Math.abs(step.reward - trace.rewards[index]!)).toBeLessThanOrEqual(2e-2);
      expect(step.terminated).toBe(trace.terminated && index === trace.actions.length - 1);
    }
  });
});

it("at least 95 of 100 random episodes of Gymnasium end at the same step, most with the same return", () => {
  const differences = recorded.random.map(({ seed, actions, terminated, total_reward: total }) => {
    const environment = landerOf("LunarLander-v3");
    environment.reset(seed);
    let sum = 0;
    for (const [index, action] of Array.from(actions, Number).entries()) {
      const step = environment.step(action);
      sum += step.reward;
      if (step.terminated !== (terminated && index === actions.length - 1)) return Infinity;
    }
    return Math.abs(sum - total);
  });
  expect(differences).toHaveLength(100);
  expect(differences.filter(Number.isFinite).length).toBeGreaterThanOrEqual(95);
  expect(differences.sort((a, b) => a - b)[50]).toBeLessThan(0.01);
});

it("the heuristic controller returns what it returns in Gymnasium, within two standard errors", () => {
  const returns = recorded.heuristic.map((_, seed) => {
    const environment = makeEnvironment("LunarLander-v3");
    let observation = environment.reset(seed);
    for (let sum = 0; ; ) {
      const step = environment.step(heuristic([...observation]));
      sum += step.reward;
      if (step.terminated || step.truncated) return sum;
      observation = step.observation;
    }
  });
  const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const mean = meanOf(recorded.heuristic);
  const variance = meanOf(recorded.heuristic.map((value) => (value - mean) ** 2));
  expect(returns).toHaveLength(300);
  expect(Math.abs(meanOf(returns) - mean)).toBeLessThanOrEqual(2 * Math.sqrt(variance / returns.length));
}, 120_000);

/** `count` steps of varied actions, with resets after ends; every number that comes out. */
function play(environment: Environment, count: number): number[] {
  const outcome: number[] = [];
  const discrete = environment.spec.actionSpace.kind === "discrete";
  for (let index = 0; index < count; index++) {
    const pair = Float32Array.of(Math.sin(index), Math.cos(3 * index));
    const { observation, reward, terminated, truncated } = environment.step(discrete ? (index * 7) % 4 : pair);
    outcome.push(...observation, reward, Number(terminated));
    if (terminated || truncated) outcome.push(...environment.reset());
  }
  return outcome;
}

describe.each(["LunarLander-v2", "LunarLander-v3", "LunarLanderContinuous-v3"])("%s", (id) => {
  it("goes on exactly from a saved state, over ends and unseeded resets", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(250), (seed, steps) => {
        const environment = makeEnvironment(id);
        environment.reset(seed);
        play(environment, steps);
        const state = structuredClone(environment.getState());
        const future = play(environment, 150);
        const restored = makeEnvironment(id);
        restored.setState(state);
        expect(restored.getState()).toEqual(state);
        expect(play(restored, 150)).toEqual(future);
        environment.setState(state);
        expect(play(environment, 150)).toEqual(future);
      }),
      { numRuns: 10 },
    );
  });

  it("refuses a step before the first reset and after the end", () => {
    const environment = makeEnvironment(id);
    const action: Action = id.includes("Continuous") ? new Float32Array(2) : 0;
    expect(() => environment.step(action)).toThrow(`${id}: step() needs an episode under way`);
    environment.reset(0);
    while (!environment.step(action).terminated);
    expect(() => environment.step(action)).toThrow("call reset() first, and after every end");
  });
});

it("goes on exactly from a state that was saved before the first reset", () => {
  const environment = landerOf("LunarLander-v3");
  environment.setState(landerOf("LunarLander-v3").getState());
  expect(() => environment.step(0)).toThrow("call reset() first");
  expect([...environment.reset()]).toEqual([...landerOf("LunarLander-v3").reset(0)]);
});

it.each([-1, 4, 1.5, Number.NaN])("refuses the discrete action %s and does not move", (action) => {
  const environment = landerOf("LunarLander-v3");
  environment.reset(0);
  const before = environment.getState();
  expect(() => environment.step(action)).toThrow("expected an integer from 0 to 3");
  expect(environment.getState()).toEqual(before);
});

it.each([
  [Float32Array.of(0, 1.5), "action[1] is 1.5, expected a number from -1 to 1"],
  [Float32Array.of(Number.NaN, 0), "action[0] is NaN, expected a number from -1 to 1"],
  [Float32Array.of(0), "action is an array of 1 numbers, expected an array of 2"],
])("refuses the continuous action %s and does not move", (action, message) => {
  const environment = landerOf("LunarLanderContinuous-v3");
  environment.reset(0);
  const before = environment.getState();
  expect(() => environment.step(action)).toThrow(`LunarLanderContinuous-v3: ${message}`);
  expect(environment.getState()).toEqual(before);
});

it("leaves an environment as it was when a state is refused half-way", () => {
  const environment = landerOf("LunarLander-v3");
  environment.reset(0);
  const before = environment.getState() as { actions: Float32Array };
  expect(() => {
    environment.setState({ ...before, actions: Float32Array.of(0, 9) });
  }).toThrow("action is 9");
  expect(environment.getState()).toEqual(before);
});

it("names environment, step and seed when a number is not finite", () => {
  class Broken extends Pcg64 {
    count = 0;
    override uniform(low: number, high: number): number {
      this.count++;
      return this.count > 18 ? Number.NaN : super.uniform(low, high);
    }
  }
  const environment = new LunarLander(lunarLanderV3, {}, (seed) => new Broken(seed));
  environment.reset(7);
  environment.step(2);
  const fail = (): Step => environment.step(2);
  expect(fail).toThrow(EnvironmentError);
  expect(fail).toThrow("step() needs an episode under way");
  environment.reset(7);
  environment.step(2);
  expect(fail).toThrow(/^LunarLander-v3: step 2 of episode 1 since seed 7: /);
});

it.each([
  [{ gravity: 0 }, "gravity: is 0"],
  [{ gravity: -12 }, "gravity: is -12"],
  [{ gravity: Number.NaN }, "gravity: is NaN"],
  [{ windPower: Infinity }, "windPower: is Infinity"],
  [{ turbulencePower: Number.NaN }, "turbulencePower: is NaN"],
])("refuses the options %j", (options, message) => {
  expect(() => landerOf("LunarLander-v3", options)).toThrow(UsageError);
  expect(() => landerOf("LunarLander-v3", options)).toThrow(message);
});

it("falls slower under less gravity", () => {
  const speedAfter = (gravity: number): number => {
    const environment = landerOf("LunarLander-v3", { gravity });
    environment.reset(0);
    for (let step = 0; step < 19; step++) environment.step(0);
    return environment.step(0).observation[3]!;
  };
  // 21 steps of 1/50 s under 9 m/s2 more, in units of 50 / (H / 2).
  expect(speedAfter(-1) - speedAfter(-10)).toBeCloseTo((9 * (21 / 50) * (20 / 3)) / 50, 3);
});

it("draws sky, legs, lander and flags, and flames of the engines that fired last", () => {
  const environment = landerOf("LunarLander-v3");
  const shapesOf = (): Recorder["shapes"] => {
    const surface = new Recorder();
    environment.render(surface);
    return surface.shapes;
  };
  expect(shapesOf()).toEqual([]);
  environment.reset(0);
  const quiet = shapesOf();
  expect(quiet.map(({ color }) => color)).toEqual([
    ...["#000000", "#8066e6", "#8066e6", "#8066e6"],
    ...["#ffffff", "#cccc00", "#ffffff", "#cccc00"],
  ]);
  // Poles of 50 pixels at the ends of the pad, 0.4 and 0.6 of the width, a quarter of the height above the bottom.
  expect(quiet[4]?.numbers.map(Math.round)).toEqual([240, 300, 240, 250, 1]);
  expect(quiet[6]?.numbers.map(Math.round)).toEqual([360, 300, 360, 250, 1]);
  const flames = [0, 1, 2, 3].map((action) => {
    environment.step(action);
    return shapesOf().filter(({ color }) => color === "#ff9933");
  });
  expect(flames.map((shapes) => shapes.length)).toEqual([0, 1, 1, 1]);
});

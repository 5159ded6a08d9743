import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Environment, Step } from "../../src/environment/environment.ts";
import { makeEnvironment, registrationOf, specOf } from "../../src/environment/registry.ts";
import { EnvironmentError } from "../../src/errors.ts";

interface RecordedSpec {
  readonly id: string;
  readonly low: (number | null)[];
  readonly high: (number | null)[];
  readonly actions: number;
  readonly max_episode_steps: number;
  readonly reward_threshold: number;
}

interface RecordedEpisode {
  readonly id: string;
  readonly seed: number;
  readonly start: number[];
  readonly start_observation: number[];
  readonly actions: string;
  /** States after the first steps; of long episodes not all are recorded. */
  readonly states: number[][];
  readonly total_reward: number;
  readonly last_reward: number;
  readonly last_observation: number[];
  readonly terminated: boolean;
  readonly truncated: boolean;
  readonly next_start: number[];
}

const fixture = new URL("../fixtures/gymnasium-classic-control.json", import.meta.url);
const { specs, episodes } = JSON.parse(readFileSync(fixture, "utf8")) as {
  specs: RecordedSpec[];
  episodes: RecordedEpisode[];
};
const ids = specs.map((spec) => spec.id);

/** The float64 state variables, out of the saved state. */
function variablesOf(environment: Environment): number[] {
  const state = environment.getState() as { variables: Float64Array };
  return [...state.variables];
}

function expectClose(actual: Iterable<number>, expected: readonly number[], tolerance: number): void {
  const differences = [...actual].map((value, index) => Math.abs(value - expected[index]!));
  expect(differences).toHaveLength(expected.length);
  expect(Math.max(...differences)).toBeLessThanOrEqual(tolerance);
}

/** All steps of a recorded episode, with copies of the observations. */
function replay(environment: Environment, { seed, actions }: RecordedEpisode): Step[] {
  environment.reset(seed);
  return Array.from(actions, (action) => {
    const step = environment.step(Number(action));
    return { ...step, observation: step.observation.slice() };
  });
}

describe.each(specs)("$id", (recorded) => {
  it("has the spaces, time limit and threshold of Gymnasium", () => {
    const { observationSpace, actionSpace, maxEpisodeSteps, rewardThreshold } = specOf(recorded.id);
    expect(observationSpace.low).toEqual(recorded.low.map((bound) => bound ?? -Infinity));
    expect(observationSpace.high).toEqual(recorded.high.map((bound) => bound ?? Infinity));
    expect(observationSpace.shape).toEqual([recorded.low.length]);
    expect(actionSpace).toEqual({ kind: "discrete", n: recorded.actions });
    expect(maxEpisodeSteps).toBe(recorded.max_episode_steps);
    expect(rewardThreshold).toBe(recorded.reward_threshold);
  });
});

describe.each(episodes)("the Gymnasium episode of $id with seed $seed", (recorded) => {
  const { id, seed } = recorded;
  // One step agrees to the last bits; the dynamics of Acrobot then amplify what is left.
  const tolerance = id === "Acrobot-v1" ? 1e-9 : 1e-12;

  it("starts from exactly the same state", () => {
    const environment = registrationOf(id).create();
    const observation = environment.reset(seed);
    expect(variablesOf(environment)).toEqual(recorded.start);
    // Acrobot's start is float32 in Gymnasium, and so is its sine: one unit in the last place.
    expectClose(observation, recorded.start_observation, id === "Acrobot-v1" ? 6e-8 : 0);
  });

  it("goes through the same states", () => {
    const environment = registrationOf(id).create();
    environment.reset(seed);
    for (const [index, expected] of recorded.states.entries()) {
      environment.step(Number(recorded.actions[index]));
      expectClose(variablesOf(environment), expected, tolerance);
    }
  });

  it("ends at the same step with the same flags, return and observation", () => {
    const steps = replay(makeEnvironment(id), recorded);
    const last = steps.at(-1)!;
    expect(steps.slice(0, -1).filter((step) => step.terminated || step.truncated)).toEqual([]);
    expect([last.terminated, last.truncated]).toEqual([recorded.terminated, recorded.truncated]);
    expect(last.reward).toBe(recorded.last_reward);
    expect(steps.reduce((sum, step) => sum + step.reward, 0)).toBe(recorded.total_reward);
    // Over 500 steps of Acrobot the last bits may grow to anything.
    if (recorded.states.length === steps.length) expectClose(last.observation, recorded.last_observation, 1e-6);
  });

  it("is followed by the same start when reset without a seed", () => {
    const environment = registrationOf(id).create();
    environment.reset(seed);
    environment.reset();
    expect(variablesOf(environment)).toEqual(recorded.next_start);
  });
});

describe.each(ids)("%s", (id) => {
  const actions = (specs.find((spec) => spec.id === id) ?? { actions: 0 }).actions;

  it("starts its first episode with seed 0 when none is given", () => {
    expect([...makeEnvironment(id).reset()]).toEqual([...makeEnvironment(id).reset(0)]);
  });

  it("refuses a step before the first reset", () => {
    expect(() => makeEnvironment(id).step(0)).toThrow(`${id}: step() needs an episode under way: call reset() first`);
    expect(() => registrationOf(id).create().step(0)).toThrow(EnvironmentError);
  });

  it("refuses a step after the time limit", () => {
    const environment = makeEnvironment(id);
    environment.reset(0);
    for (let step = environment.step(0); !(step.terminated || step.truncated); ) step = environment.step(0);
    expect(() => environment.step(0)).toThrow("call reset() first, and after every end");
  });

  it.each([-1, 0.5, Number.NaN, actions])("refuses the action %s and does not move", (action) => {
    const environment = makeEnvironment(id);
    environment.reset(0);
    const before = environment.getState();
    const bounds = `expected an integer from 0 to ${actions - 1}`;
    expect(() => environment.step(action)).toThrow(`${id}: action is ${action}, ${bounds}`);
    expect(environment.getState()).toEqual(before);
  });

  it("refuses an array as action", () => {
    const environment = makeEnvironment(id);
    environment.reset(0);
    expect(() => environment.step(Float32Array.of(1))).toThrow("action is an array, expected an integer");
  });

  it("goes on exactly from a saved state, over ends and unseeded resets", () => {
    const play = (environment: Environment, count: number): number[] => {
      const outcome: number[] = [];
      for (let index = 0; index < count; index++) {
        const { observation, reward, terminated, truncated } = environment.step((index * 7) % actions);
        outcome.push(...observation, reward, Number(terminated), Number(truncated));
        if (terminated || truncated) outcome.push(...environment.reset());
      }
      return [...outcome, ...environment.reset()];
    };
    fc.assert(
      fc.property(fc.nat(), fc.nat(250), (seed, steps) => {
        const environment = makeEnvironment(id);
        environment.reset(seed);
        play(environment, steps);
        environment.step(0);
        const state = structuredClone(environment.getState());
        const future = play(environment, 250);
        const restored = makeEnvironment(id);
        restored.setState(state);
        expect(play(restored, 250)).toEqual(future);
      }),
      { numRuns: 20 },
    );
  });

  it("keeps observations inside their space until the end", () => {
    const { low, high } = specOf(id).observationSpace;
    fc.assert(
      fc.property(fc.nat(), fc.array(fc.nat(actions - 1), { minLength: 1, maxLength: 200 }), (seed, choices) => {
        const environment = makeEnvironment(id);
        const seen = [environment.reset(seed).slice()];
        for (const choice of choices) {
          const { observation, terminated, truncated } = environment.step(choice);
          seen.push(observation.slice());
          if (terminated || truncated) break;
        }
        for (const observation of seen) {
          expect(observation.every((value, index) => value >= low[index]! && value <= high[index]!)).toBe(true);
        }
      }),
      { numRuns: 50 },
    );
  });

  it.each([null, {}, { elapsed: -1, running: true, environment: {} }, { elapsed: 1, running: true, environment: 3 }])(
    "refuses %j as a state",
    (state) => {
      expect(() => {
        makeEnvironment(id).setState(state);
      }).toThrow(`${id}: this state is not from getState()`);
    },
  );
});

it("refuses the state of another environment", () => {
  const state = makeEnvironment("MountainCar-v0").getState();
  expect(() => {
    makeEnvironment("CartPole-v1").setState(state);
  }).toThrow("expected 4 numbers");
});

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Environment } from "../../src/environment/environment.ts";
import { makeEnvironment, registrationOf, specOf } from "../../src/environment/registry.ts";
import { EnvironmentError } from "../../src/errors.ts";

interface Bounds {
  readonly low: number[];
  readonly high: number[];
}

const fixture = new URL("../fixtures/gymnasium-continuous-control.json", import.meta.url);
const { specs, episodes } = JSON.parse(readFileSync(fixture, "utf8")) as {
  specs: {
    id: string;
    observations: Bounds;
    actions: Bounds;
    max_episode_steps: number;
    reward_threshold: number | null;
  }[];
  episodes: {
    id: string;
    seed: number;
    start: number[];
    actions: number[];
    states: number[][];
    rewards: number[];
    last_observation: number[];
    terminated: boolean;
    truncated: boolean;
    next_start: number[];
  }[];
};

function variablesOf(environment: Environment): number[] {
  return [...(environment.getState() as { variables: Float64Array }).variables];
}

/** Largest difference between two lists. */
function difference(actual: readonly number[], expected: readonly number[]): number {
  expect(actual).toHaveLength(expected.length);
  return Math.max(...actual.map((value, index) => Math.abs(value - expected[index]!)));
}

it.each(specs)("$id has the spaces, time limit and threshold of Gymnasium", (recorded) => {
  const { observationSpace, actionSpace, maxEpisodeSteps, rewardThreshold } = specOf(recorded.id);
  const shapeOf = (bounds: Bounds): number[] => [bounds.low.length];
  expect(observationSpace).toEqual({
    kind: "box",
    shape: shapeOf(recorded.observations),
    ...recorded.observations,
  });
  expect(actionSpace).toEqual({ kind: "box", shape: shapeOf(recorded.actions), ...recorded.actions });
  expect(maxEpisodeSteps).toBe(recorded.max_episode_steps);
  expect(rewardThreshold ?? null).toBe(recorded.reward_threshold);
});

describe.each(episodes)("the Gymnasium episode of $id with seed $seed", (recorded) => {
  const { id, seed } = recorded;

  it("starts from exactly the same state, with and without a seed", () => {
    const environment = registrationOf(id).create();
    environment.reset(seed);
    expect(variablesOf(environment)).toEqual(recorded.start);
    environment.reset();
    expect(variablesOf(environment)).toEqual(recorded.next_start);
  });

  it("goes through the same states and rewards", () => {
    const environment = registrationOf(id).create();
    environment.reset(seed);
    for (const [index, action] of recorded.actions.entries()) {
      const { reward } = environment.step(Float32Array.of(action));
      expect(difference(variablesOf(environment), recorded.states[index]!)).toBeLessThanOrEqual(1e-9);
      expect(Math.abs(reward - recorded.rewards[index]!)).toBeLessThanOrEqual(1e-9);
    }
  });

  it("ends at the same step with the same flags and observation", () => {
    const environment = makeEnvironment(id);
    environment.reset(seed);
    const steps = recorded.actions.map((action) => {
      const step = environment.step(Float32Array.of(action));
      return { ...step, observation: [...step.observation] };
    });
    const last = steps.at(-1)!;
    expect(steps.slice(0, -1).filter((step) => step.terminated || step.truncated)).toEqual([]);
    expect([last.terminated, last.truncated]).toEqual([recorded.terminated, recorded.truncated]);
    expect(difference(last.observation, recorded.last_observation)).toBeLessThanOrEqual(1e-6);
  });
});

describe.each(specs)("$id", ({ id, actions }) => {
  const limit = actions.high[0]!;

  it.each([limit * 1.01, -limit * 1.01, Number.NaN])("refuses the action %s and does not move", (value) => {
    const environment = makeEnvironment(id);
    environment.reset(0);
    const before = environment.getState();
    const action = Float32Array.of(value);
    expect(() => environment.step(action)).toThrow(
      `${id}: action[0] is ${action[0]}, expected a number from ${-limit} to ${limit}`,
    );
    expect(environment.getState()).toEqual(before);
  });

  it("refuses a number, and an array of two", () => {
    const environment = makeEnvironment(id);
    environment.reset(0);
    expect(() => environment.step(0)).toThrow(EnvironmentError);
    expect(() => environment.step(Float32Array.of(0, 0))).toThrow("an array of 2 numbers, expected an array of 1");
  });

  it("goes on exactly from a saved state", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(150), fc.float({ min: -1, max: 1, noNaN: true }), (seed, steps, scale) => {
        const play = (environment: Environment, count: number): number[] =>
          Array.from({ length: count }, (_, index) => {
            const step = environment.step(Float32Array.of(limit * scale * Math.sin(index)));
            return [...step.observation, step.reward];
          }).flat();
        const environment = registrationOf(id).create();
        environment.reset(seed);
        play(environment, steps);
        const state = structuredClone(environment.getState());
        const restored = registrationOf(id).create();
        restored.setState(state);
        expect(play(restored, 20)).toEqual(play(environment, 20));
        expect([...restored.reset()]).toEqual([...environment.reset()]);
      }),
      { numRuns: 20 },
    );
  });
});

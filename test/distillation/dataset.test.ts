import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { collect, LabelledStates } from "../../src/distillation/dataset.ts";
import type { EnvironmentSpec } from "../../src/environment/environment.ts";
import { makeEnvironment } from "../../src/environment/registry.ts";
import { box } from "../../src/environment/spaces.ts";
import { makeVector, vectorOf } from "../../src/environment/vector.ts";
import { ShapeError } from "../../src/errors.ts";
import { compileForward } from "../../src/evaluation/evaluate.ts";
import { argmax } from "../../src/network/action.ts";
import { type Architecture, dense } from "../../src/network/architecture.ts";
import { initialize } from "../../src/network/parameters.ts";
import { predictor } from "../../src/network/predict.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";
import { Match } from "../environment/match.ts";
import { withStep } from "../environment/wrapped.ts";

/** States (k, k + 1/2) with labels -k, for k from `from` to `to` - 1. */
function rows(from: number, to: number): [observations: Float32Array, labels: Float32Array] {
  const k = Array.from({ length: to - from }, (_, i) => from + i);
  return [Float32Array.from(k.flatMap((n) => [n, n + 0.5])), Float32Array.from(k, (n) => -n)];
}

function filled(capacity: number, count: number): LabelledStates {
  const states = new LabelledStates(capacity, 2, 1);
  states.add(...rows(0, count));
  return states;
}

describe("labelled states", () => {
  it("are held up to the capacity, then the newest replace the oldest", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.array(fc.integer({ min: 0, max: 9 })), (capacity, additions) => {
        const states = new LabelledStates(capacity, 2, 1);
        let added = 0;
        for (const count of additions) {
          states.add(...rows(added, added + count));
          added += count;
        }
        const newest = Array.from({ length: Math.min(added, capacity) }, (_, i) => added - 1 - i);
        expect(states.size).toBe(newest.length);
        expect(new Set(states.labels)).toEqual(new Set(newest.map((k) => -k)));
        states.labels.forEach((label, i) => {
          expect([...states.observations.subarray(2 * i, 2 * i + 2)]).toEqual([-label, -label + 0.5]);
        });
      }),
    );
  });

  it("are sampled as pairs into the asked rows only, all of them in time", () => {
    const states = filled(5, 5);
    const random = new Pcg64(1);
    const seen = new Set<number>();
    for (let k = 0; k < 50; k++) {
      const observations = new Float32Array(8).fill(-1);
      const labels = new Float32Array(4).fill(9);
      states.sample(random, observations, labels, 1, 3);
      expect([observations[0], observations[1], observations[6], observations[7]]).toEqual([-1, -1, -1, -1]);
      expect([labels[0], labels[3]]).toEqual([9, 9]);
      for (const row of [1, 2]) {
        expect(observations[2 * row]).toBe(-labels[row]!);
        expect(observations[2 * row + 1]).toBe(-labels[row]! + 0.5);
        seen.add(-labels[row]!);
      }
    }
    expect(seen).toEqual(new Set([0, 1, 2, 3, 4]));
  });

  it.each([3, 5, 8])("go on after a round trip of their state as if there had been none (%d rows added)", (count) => {
    const original = filled(5, count);
    const copy = new LabelledStates(5, 2, 1);
    copy.setState(structuredClone(original.getState()));
    for (const states of [original, copy]) states.add(...rows(20, 22));
    expect(copy.getState()).toEqual(original.getState());
  });

  it("of a state hold its rows and have no room for more", () => {
    const state = filled(9, 4).getState();
    const states = LabelledStates.of(state, 2, 1);
    expect(states.capacity).toBe(4);
    expect([...states.labels]).toEqual([-0, -1, -2, -3]);
  });

  it("refuse a state that is larger than they are, or of another width", () => {
    const state = filled(9, 6).getState();
    expect(() => {
      new LabelledStates(5, 2, 1).setState(state);
    }).toThrow(ShapeError);
    expect(() => {
      new LabelledStates(9, 3, 1).setState(state);
    }).toThrow(ShapeError);
  });
});

describe("collecting", () => {
  const student = dense(4, [], 2, "logits");
  const studentParameters = Float32Array.of(0, 0.1, 0, 0.3, 0, 1, 0, 0.2, 0, 0);
  const teacher = dense(4, [5], 2, "q-values");
  const teacherParameters = initialize(teacher, "glorot", new Pcg64(4));
  const steps = 60;

  async function collected(exploration: number, acting?: "sampled"): Promise<LabelledStates> {
    const lanes = makeVector("CartPole-v1", 3);
    const player = await compileForward(student, 3);
    const labeller = await compileForward(teacher, 3);
    player.bind("parameters", studentParameters);
    labeller.bind("parameters", teacherParameters);
    const states = new LabelledStates(steps * 3, 4, 2);
    await collect(
      {
        ...{ player, architecture: student, teacher: labeller, lanes, steps, exploration, random: new Pcg64(8) },
        ...(acting && { acting }),
      },
      states,
    );
    await player.dispose();
    await labeller.dispose();
    return states;
  }

  it("labels every state with the teacher's outputs for it", async () => {
    const states = await collected(0.3);
    expect(states.size).toBe(steps * 3);
    const predict = predictor({ architecture: teacher, parameters: teacherParameters });
    for (let row = 0; row < states.size; row++) {
      const expected = predict(Float32Array.from(states.observations.subarray(4 * row, 4 * row + 4)));
      expect(states.labels[2 * row]).toBeCloseTo(expected[0]!, 5);
      expect(states.labels[2 * row + 1]).toBeCloseTo(expected[1]!, 5);
    }
  });

  it("visits the states of the player's own greedy episodes, one after the other", async () => {
    const states = await collected(0);
    const predict = predictor({ architecture: student, parameters: studentParameters });
    const random = new Pcg64(8);
    for (let lane = 0; lane < 3; lane++) {
      const environment = makeEnvironment("CartPole-v1");
      let observation = environment.reset(random.nextUint32()).slice();
      let ends = 0;
      for (let step = 0; step < steps; step++) {
        const row = 3 * step + lane;
        expect(states.observations.subarray(4 * row, 4 * row + 4)).toEqual(observation);
        const next = environment.step(argmax(predict(observation)));
        const ended = next.terminated || next.truncated;
        if (ended) ends++;
        observation = (ended ? environment.reset() : next.observation).slice();
      }
      expect(ends).toBeGreaterThan(0);
    }
  });

  it("visits the states of drawn actions where those are meant: both actions in a share of the softmax", async () => {
    const { observations } = await collected(0, "sampled");
    const predict = predictor({ architecture: student, parameters: studentParameters });
    let expected = 0;
    let pushedRight = 0;
    let count = 0;
    for (let row = 0; row + 3 < 3 * steps; row++) {
      const at = (k: number): Float32Array => Float32Array.from(observations.subarray(4 * k, 4 * k + 4));
      const [now, next] = [at(row), at(row + 3)];
      // A push changes the cart's velocity by about 0.2; other changes are new episodes.
      const change = next[1]! - now[1]!;
      if (Math.abs(Math.abs(change) - 0.195) > 0.02) continue;
      const [left, right] = predict(now);
      expected += 1 / (1 + Math.exp(left! - right!));
      if (change > 0) pushedRight++;
      count++;
    }
    expect(count).toBeGreaterThan(100);
    expect(pushedRight).toBeGreaterThan(0);
    expect(pushedRight).toBeLessThan(count);
    // Five standard deviations of so many draws.
    expect(Math.abs(pushedRight - expected)).toBeLessThan(2.5 * Math.sqrt(count));
  });

  it("leaves the greedy path when it explores", async () => {
    expect((await collected(0.5)).observations).not.toEqual((await collected(0)).observations);
  });

  describe("for continuous actions", () => {
    /** Always answers 5 and -5, far outside the bounds [-1, 1] and [0, 3]. */
    const architecture: Architecture = {
      ...dense(1, [], 2, "gaussian"),
      gaussian: { logStd: [0, 0], low: [-1, 0], high: [1, 3] },
    };
    const spec: EnvironmentSpec = {
      ...new Match().spec,
      actionSpace: box([-1, 0], [1, 3]),
    };

    async function actionsOf(exploration: number): Promise<{ actions: number[][]; states: LabelledStates }> {
      const actions: number[][] = [];
      const inner = vectorOf(spec, () => new Match(), 4);
      const lanes = withStep(inner, (given) => {
        for (let lane = 0; lane < 4; lane++) actions.push([...given.subarray(2 * lane, 2 * lane + 2)]);
        return inner.step(given);
      });
      const player = await compileForward(architecture, 4);
      player.bind("parameters", Float32Array.of(0, 0, 5, -5));
      const states = new LabelledStates(4 * 500, 1, 2);
      await collect(
        { player, architecture, teacher: player, lanes, steps: 500, exploration, random: new Pcg64(6) },
        states,
      );
      await player.dispose();
      return { actions, states };
    }

    it("plays the means within the bounds", async () => {
      const { actions } = await actionsOf(0);
      expect(new Set(actions.map(String))).toEqual(new Set(["1,0"]));
    });

    it("labels states with the means themselves, not with what acts", async () => {
      const { states } = await actionsOf(0.5);
      expect(new Set(states.labels)).toEqual(new Set([5, -5]));
    });

    it("explores the asked share of actions, uniformly within the bounds of each dimension", async () => {
      const { actions } = await actionsOf(0.5);
      const explored = actions.filter(([a, b]) => a !== 1 || b !== 0);
      // Within 4 standard deviations of a binomial.
      expect(Math.abs(explored.length - 1000)).toBeLessThan(4 * Math.sqrt(500));
      for (const [d, low, high] of [
        [0, -1, 1],
        [1, 0, 3],
      ] as const) {
        const tenths = new Array<number>(10).fill(0);
        for (const action of explored) {
          expect(action[d]).toBeGreaterThanOrEqual(low);
          expect(action[d]).toBeLessThanOrEqual(high);
          tenths[Math.min(9, Math.floor((10 * (action[d]! - low)) / (high - low)))]!++;
        }
        const expected = explored.length / 10;
        const chiSquare = tenths.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
        // The 99.9 % quantile with 9 degrees of freedom.
        expect(chiSquare).toBeLessThan(27.9);
      }
    });
  });
});

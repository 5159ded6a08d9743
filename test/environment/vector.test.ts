import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type {
  Action,
  Environment,
  EnvironmentSpec,
  Step,
  VectorEnvironment,
} from "../../src/environment/environment.ts";
import { environmentIds, makeEnvironment, specOf } from "../../src/environment/registry.ts";
import { box, sizeOf } from "../../src/environment/spaces.ts";
import { makeVector, vectorOf } from "../../src/environment/vector.ts";
import { EnvironmentError, UsageError } from "../../src/errors.ts";
import { Countdown } from "./countdown.ts";

/** A countdown whose action is a pair of numbers, the reward their sum. */
class PairCountdown extends Countdown {
  override readonly spec: EnvironmentSpec = { ...new Countdown().spec, actionSpace: box([-1, 0], [1, Infinity]) };
  override step(action: Action): Step {
    const [first, second] = action as Float32Array;
    return { ...super.step(0), reward: first! + second! };
  }
}

function rowOf(vector: VectorEnvironment, lane: number): number[] {
  const size = sizeOf(vector.spec.observationSpace);
  return [...vector.observations.subarray(lane * size, (lane + 1) * size)];
}

function snapshot({ observations, rewards, terminated, truncated }: VectorEnvironment): number[][] {
  return [[...observations], [...rewards], [...terminated], [...truncated]];
}

function countdowns(size: number): VectorEnvironment {
  const create = (): Environment => new Countdown(3);
  return vectorOf(create().spec, create, size);
}

async function resetAll(vector: VectorEnvironment, seed: number): Promise<void> {
  for (let lane = 0; lane < vector.size; lane++) await vector.reset(lane, seed + lane);
}

/** Action number `index` of lane `lane` in an action space: all choices in turn, or numbers all over the box. */
function actionOf({ actionSpace }: EnvironmentSpec, index: number, lane: number): Action {
  if (actionSpace.kind === "discrete") return (index + lane) % actionSpace.n;
  return Float32Array.from(actionSpace.low, (low, part) => {
    const share = ((index + 3 * lane + 5 * part) % 11) / 10;
    return low + (actionSpace.high[part]! - low) * share;
  });
}

describe.each(environmentIds())("a vector of %s", (id) => {
  const spec = specOf(id);

  it("does in each lane what a single environment does", async () => {
    const size = 3;
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.array(fc.nat(10), { maxLength: 60 }), async (seed, indices) => {
        const vector = makeVector(id, size);
        const singles = Array.from({ length: size }, () => makeEnvironment(id));
        await resetAll(vector, seed);
        for (const [lane, single] of singles.entries()) {
          expect(rowOf(vector, lane)).toEqual([...single.reset(seed + lane)]);
        }
        for (const index of indices) {
          const chosen = singles.map((_, lane) => actionOf(spec, index, lane));
          const numbers = chosen.flatMap((action) => (typeof action === "number" ? action : [...action]));
          await vector.step(spec.actionSpace.kind === "box" ? Float32Array.from(numbers) : Int32Array.from(numbers));
          for (const [lane, single] of singles.entries()) {
            const step = single.step(chosen[lane]!);
            expect(rowOf(vector, lane)).toEqual([...step.observation]);
            expect(vector.rewards[lane]).toBe(step.reward);
            expect(vector.terminated[lane]).toBe(Number(step.terminated));
            expect(vector.truncated[lane]).toBe(Number(step.truncated));
            if (!(step.terminated || step.truncated)) continue;
            await vector.reset(lane);
            expect(rowOf(vector, lane)).toEqual([...single.reset()]);
          }
        }
      }),
      { numRuns: spec.frameStack === undefined ? 15 : 3 },
    );
  });
});

describe("a vector", () => {
  it("leaves a lane that has ended as it is until that lane is reset", async () => {
    const vector = countdowns(2);
    await resetAll(vector, 0);
    await vector.step(Int32Array.of(1, 1));
    await vector.reset(1);
    await vector.step(Int32Array.of(1, 1));
    await vector.step(Int32Array.of(1, 1));
    const final = rowOf(vector, 0);
    expect([...vector.terminated]).toEqual([1, 0]);
    expect([...vector.rewards]).toEqual([1, 1]);
    // Whatever stands in place of an action for the ended lane is not looked at.
    await vector.step(Int32Array.of(99, 1));
    expect(rowOf(vector, 0)).toEqual(final);
    expect([...vector.rewards]).toEqual([0, 1]);
    expect([...vector.terminated]).toEqual([1, 1]);
  });

  it("clears reward and flags of a lane at its reset", async () => {
    const vector = countdowns(1);
    await vector.reset(0, 0);
    for (let step = 0; step < 3; step++) await vector.step(Int32Array.of(1));
    await vector.reset(0);
    expect([...vector.terminated, ...vector.truncated, ...vector.rewards]).toEqual([0, 0, 0]);
    expect(rowOf(vector, 0)[0]).toBe(3);
  });

  it("applies the time limit of the spec", async () => {
    const create = (): Environment => new Countdown(9, 2);
    const vector = vectorOf(create().spec, create, 1);
    await vector.reset(0, 0);
    await vector.step(Int32Array.of(0));
    await vector.step(Int32Array.of(0));
    expect([...vector.terminated, ...vector.truncated]).toEqual([0, 1]);
  });

  it("hands each lane its row of a box action", async () => {
    const create = (): Environment => new PairCountdown();
    const vector = vectorOf(create().spec, create, 2);
    await resetAll(vector, 0);
    await vector.step(Float32Array.of(0.5, 2, -1, 4));
    expect([...vector.rewards]).toEqual([2.5, 3]);
  });

  it("goes on exactly from a saved state, with lanes at different points", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(40), async (seed, steps) => {
        const size = 4;
        const play = async (vector: VectorEnvironment, count: number): Promise<number[][]> => {
          const outcome: number[][] = [];
          for (let step = 0; step < count; step++) {
            await vector.step(Int32Array.from({ length: size }, (_, lane) => (step >> lane) & 1));
            outcome.push(...snapshot(vector));
            // The last lane is left ended.
            for (let lane = 0; lane < size - 1; lane++) if (vector.terminated[lane] === 1) await vector.reset(lane);
          }
          return outcome;
        };
        const vector = makeVector("CartPole-v1", size);
        await resetAll(vector, seed);
        await play(vector, steps);
        const state = structuredClone(vector.getState());
        const present = snapshot(vector);
        const future = await play(vector, 40);
        const restored = makeVector("CartPole-v1", size);
        restored.setState(state);
        expect(snapshot(restored)).toEqual(present);
        expect(await play(restored, 40)).toEqual(future);
      }),
      { numRuns: 15 },
    );
  });

  it("refuses an action outside the space before any lane moves", async () => {
    const vector = makeVector("CartPole-v1", 2);
    await resetAll(vector, 0);
    const before = vector.getState();
    expect(() => vector.step(Int32Array.of(0, 2))).toThrow("CartPole-v1: action is 2, expected an integer from 0 to 1");
    expect(vector.getState()).toEqual(before);
  });

  it("refuses a box action outside the space, naming value and bounds", async () => {
    const create = (): Environment => new PairCountdown();
    const vector = vectorOf(create().spec, create, 1);
    await vector.reset(0, 0);
    expect(() => vector.step(Float32Array.of(2, 0))).toThrow("action[0] is 2, expected a number from -1 to 1");
    expect(() => vector.step(Float32Array.of(0, Number.NaN))).toThrow("action[1] is NaN");
  });

  it("refuses the wrong number of actions", async () => {
    const vector = countdowns(3);
    await resetAll(vector, 0);
    expect(() => vector.step(Int32Array.of(0))).toThrow("was given 1 numbers, expected 1 for each of 3 lanes");
  });

  it.each([-1, 2, 0.5])("refuses the lane %s", (lane) => {
    expect(() => countdowns(2).reset(lane)).toThrow(`lane is ${lane}, expected an integer from 0 to 1`);
  });

  it.each([0, -1, 1.5])("refuses the size %s", (size) => {
    expect(() => makeVector("CartPole-v1", size)).toThrow(UsageError);
  });

  it("refuses to step a lane that was never reset", () => {
    expect(() => makeVector("CartPole-v1", 1).step(Int32Array.of(0))).toThrow("call reset() first");
  });

  it("refuses an observation of another length than its space", () => {
    const spec = { ...new Countdown().spec, observationSpace: box([0], [3]) };
    const vector = vectorOf(spec, () => new Countdown(), 2);
    expect(() => vector.reset(0)).toThrow("returned an observation of 2 numbers, its space has 1");
  });

  it("refuses the state of a vector of another size", () => {
    const state = makeVector("CartPole-v1", 2).getState();
    expect(() => {
      makeVector("CartPole-v1", 3).setState(state);
    }).toThrow(EnvironmentError);
  });
});

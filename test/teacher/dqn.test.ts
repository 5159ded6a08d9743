import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { VectorEnvironment } from "../../src/environment/environment.ts";
import { box } from "../../src/environment/spaces.ts";
import { vectorOf } from "../../src/environment/vector.ts";
import { EnvironmentError } from "../../src/errors.ts";
import { argmax } from "../../src/network/action.ts";
import { type Architecture, dense, parameterCount } from "../../src/network/architecture.ts";
import { initialize } from "../../src/network/parameters.ts";
import { predictor } from "../../src/network/predict.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";
import { type DqnOptions, type DqnState, dqnSchema, foldDueling, trainDqn } from "../../src/teacher/dqn.ts";
import type { Teacher } from "../../src/teacher/teacher.ts";
import { type Drained, drain, only } from "../drain.ts";
import { Identity } from "../environment/identity.ts";
import { scripted } from "../environment/scripted.ts";

const lanesOf =
  (create: () => Identity) =>
  (size: number): VectorEnvironment =>
    vectorOf(create().spec, create, size);
const identity = lanesOf(() => new Identity());
const oneHot = (i: number): Float32Array => Float32Array.from({ length: 3 }, (_, k) => (k === i ? 1 : 0));

const learning: Partial<DqnOptions> = {
  hidden: [16],
  totalSteps: 8_000,
  environments: 8,
  bufferSize: 2_000,
  learningStarts: 100,
  gradientSteps: 1,
  batchSize: 32,
  learningRate: 5e-3,
  gamma: 0.5,
  targetUpdateInterval: 80,
  explorationSteps: 1_000,
  evaluationInterval: 400,
  evaluationEpisodes: 5,
  confirmationEpisodes: 10,
  stopScore: 8,
};
/** Ends after 28 lock-steps; in them episodes end, the buffer wraps, the target is copied, evaluations happen. */
const short: Partial<DqnOptions> = {
  ...learning,
  hidden: [4],
  totalSteps: 112,
  environments: 4,
  bufferSize: 60,
  learningStarts: 20,
  batchSize: 8,
  targetUpdateInterval: 28,
  evaluationInterval: 48,
  evaluationEpisodes: 2,
  stopScore: 1e9,
};

type Lanes = (size: number) => VectorEnvironment;

function train(
  options: Partial<DqnOptions>,
  makeLanes: Lanes = identity,
  seed = 5,
  resume?: DqnState,
): Promise<Drained<Teacher>> {
  return drain(trainDqn(makeLanes, dqnSchema.parse(options), seed, resume));
}

const variants: [string, Partial<DqnOptions>][] = [
  ["plain double", {}],
  ["without double", { double: false }],
  ["dueling", { dueling: true }],
  ["prioritized", { prioritized: true }],
  ["3-step", { nSteps: 3 }],
];

describe("DQN", () => {
  it.each(variants)("(%s) solves the identity task", async (_, variant) => {
    const { events, result } = await train({ ...learning, ...variant });
    const predict = predictor(result);
    expect([0, 1, 2].map((state) => argmax(predict(oneHot(state))))).toEqual([0, 1, 2]);
    expect(only(events, "teacher-evaluated").at(-1)).toMatchObject({ passed: true, score: { mean: 8, episodes: 10 } });
    expect(result.architecture).toEqual(dense(3, [16], 3, "q-values"));
  });

  // One step an episode. Terminated, nothing follows: Q is the reward. Truncated, the best that follows is worth
  // 1 + 1/2 + 1/4 + ... = 2, half of which is added.
  it.each<["terminated" | "truncated", number, number]>([
    ["terminated", 1, 0],
    ["truncated", 2, 1],
  ])("learns the values of episodes that are %s", async (end, right, wrong) => {
    const lanes = lanesOf(() => new Identity(3, 1, end));
    const options = {
      ...learning,
      totalSteps: 6_000,
      evaluationInterval: 6_000,
      stopScore: 1e9,
      explorationFinalEps: 0.5,
    };
    const { result } = await train(options, lanes);
    const predict = predictor(result);
    for (const state of [0, 1, 2]) {
      predict(oneHot(state)).forEach((q, action) => {
        expect(Math.abs(q - (action === state ? right : wrong))).toBeLessThan(0.15);
      });
    }
  });

  it("limits large errors by huberDelta", async () => {
    const loss = async (huberDelta: number): Promise<number> =>
      only((await train({ ...short, huberDelta })).events, "train")[0]!.loss;
    expect(await loss(1)).toBeGreaterThan(0.05);
    expect(await loss(1e-3)).toBeLessThan(0.005);
  });

  it("copies the online network into the target every targetUpdateInterval steps and at no other time", async () => {
    const { checkpoints } = await train(short);
    const states = checkpoints.map(({ state }) => state as DqnState);
    for (const [k, { steps, target, trainer }] of states.entries()) {
      const crossed = Math.floor(steps / 28) > Math.floor((steps - 4) / 28);
      if (crossed) expect(target).toEqual(trainer.parameters);
      else if (k > 0) expect(target).toEqual(states[k - 1]!.target);
    }
  });

  it("makes gradientSteps updates a lock-step once learning starts", async () => {
    const { result, checkpoints } = await train({ ...short, gradientSteps: 3 });
    expect((checkpoints[3]!.state as DqnState).trainer.steps).toBe(0);
    // Lock-steps 5 to 28 of 4 steps each.
    expect(result.updates).toBe(3 * 24);
  });

  it("explores less by a straight line", async () => {
    const { events } = await train({ ...short, explorationSteps: 100, explorationFinalEps: 0.1 });
    const epsilon = only(events, "train").map((event) => event.epsilon);
    // At 44, 92 and 108 steps, each before the last lock-step.
    for (const [k, expected] of [1 - 0.9 * 0.44, 1 - 0.9 * 0.92, 0.1].entries()) {
      expect(epsilon[k]).toBeCloseTo(expected, 12);
    }
  });

  it("refuses continuous actions", async () => {
    const { spec } = new Identity();
    const lanes = (size: number): VectorEnvironment =>
      vectorOf({ ...spec, actionSpace: box([0], [1]) }, () => new Identity(), size);
    await expect(train(learning, lanes)).rejects.toThrow(EnvironmentError);
  });
});

describe("when training stops and what it returns", () => {
  const environments = 4;
  const options = { ...short, environments, evaluationEpisodes: 2, confirmationEpisodes: 3 };
  /** Training lanes, and one evaluation after the other with the given scores. */
  function looks(scores: readonly number[]): Lanes {
    const next = scores.values();
    return (size) => scripted(size === environments ? [0] : [next.next().value!], size);
  }
  const scoresOf = ({ events }: Drained<Teacher>) =>
    only(events, "teacher-evaluated").map(({ environmentSteps, score, passed }) => [
      environmentSteps,
      score.mean,
      passed,
    ]);

  it("is when a score that reaches stopScore is confirmed by more episodes", async () => {
    // At 48 steps 10 is not confirmed, at 96 it is.
    const run = await train({ ...options, stopScore: 10 }, looks([10, 9, 10, 10]));
    expect(scoresOf(run)).toEqual([
      [48, 9, false],
      [96, 10, true],
    ]);
    expect(only(run.events, "teacher-evaluated").map(({ score }) => score.episodes)).toEqual([3, 3]);
  });

  it("is the best evaluated network when none is good enough, with a last look at the end", async () => {
    const run = await train({ ...options, stopScore: 10 }, looks([1, 5, 3]));
    expect(scoresOf(run)).toEqual([
      [48, 1, false],
      [96, 5, false],
      [112, 3, false],
    ]);
    const cutThere = await train({ ...options, stopScore: 10, totalSteps: 96 }, looks([1, 5]));
    expect(run.result.parameters).toEqual(cutThere.result.parameters);
    const resumed = await train({ ...options, stopScore: 10 }, looks([3]), 5, run.checkpoints[24]!.state as DqnState);
    expect(resumed.result).toEqual(run.result);
  });

  it("is that of a longer training when it goes on from an end between two evaluations", async () => {
    const whole = await train({ ...options, stopScore: 10, totalSteps: 144 }, looks([1, 5, 3]));
    const ended = await train({ ...options, stopScore: 10 }, looks([1, 5, 9]));
    const { state } = ended.checkpoints.at(-1)!;
    const longer = await train({ ...options, stopScore: 10, totalSteps: 144 }, looks([3]), 5, state as DqnState);
    expect(longer.result).toEqual(whole.result);
    expect(longer.checkpoints.at(-1)!.state).toEqual(whole.checkpoints.at(-1)!.state);
  });

  it("is the last network when there was no other evaluation", async () => {
    const { result, checkpoints } = await train({ ...options, totalSteps: 40 }, looks([1]));
    expect(result.parameters).toEqual((checkpoints.at(-1)!.state as DqnState).trainer.parameters);
  });
});

describe("determinism", () => {
  it.each(variants)("(%s) the same seed gives the same bits, another seed others", async (_, variant) => {
    const run = await train({ ...short, ...variant });
    expect(await train({ ...short, ...variant })).toEqual(run);
    expect((await train({ ...short, ...variant }, identity, 6)).result.parameters).not.toEqual(run.result.parameters);
  });

  it.each<[string, Partial<DqnOptions>]>([
    ["uniform replay", {}],
    ["prioritized replay", { prioritized: true, dueling: true }],
    ["3-step returns", { nSteps: 3 }],
  ])("(%s) a resume from any checkpoint ends with the same events and bits", async (_, variant) => {
    const options = { ...short, ...variant };
    const whole = await train(options);
    expect(whole.checkpoints).toHaveLength(28);
    for (const { state, events } of whole.checkpoints) {
      const rest = await train(options, identity, 5, state as DqnState);
      expect(rest.events).toEqual(whole.events.slice(events));
      expect(rest.result).toEqual(whole.result);
    }
  });
});

describe("folding a dueling network", () => {
  it("gives V + A - mean A for every input", () => {
    const shapes = fc.record({
      inputs: fc.integer({ min: 1, max: 4 }),
      hidden: fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 2 }),
      actions: fc.integer({ min: 1, max: 5 }),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(shapes, ({ inputs, hidden, actions, seed }) => {
        const random = new Pcg64(seed);
        const dueling: Architecture = dense(inputs, hidden, actions + 1, "q-values");
        const folded = dense(inputs, hidden, actions, "q-values");
        const parameters = initialize(dueling, "he", random).map((weight) => weight + random.uniform(-0.1, 0.1));
        const result = foldDueling(dueling, parameters, folded);
        expect(result).toHaveLength(parameterCount(folded));
        const observation = Float32Array.from({ length: inputs }, () => random.uniform(-2, 2));
        const [value, ...advantages] = predictor({ architecture: dueling, parameters })(observation);
        const average = advantages.reduce((total, a) => total + a, 0) / actions;
        predictor({ architecture: folded, parameters: result })(observation).forEach((q, action) => {
          expect(q).toBeCloseTo(value! + advantages[action]! - average, 4);
        });
      }),
    );
  });
});

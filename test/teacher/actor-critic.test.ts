import { describe, expect, it } from "vitest";
import type { EnvironmentSpec, Space } from "../../src/environment/environment.ts";
import { box, discrete } from "../../src/environment/spaces.ts";
import { EnvironmentError, UsageError } from "../../src/errors.ts";
import { checkFits, dense, parameterCount } from "../../src/network/architecture.ts";
import { predictor } from "../../src/network/predict.ts";
import { stream } from "../../src/random/pcg64.ts";
import { ActorCritic, type ActorCriticOptions } from "../../src/teacher/actor-critic.ts";
import { input } from "../../src/tensor/graph.ts";
import { Program } from "../../src/tensor/program.ts";

const options: ActorCriticOptions = {
  convolutions: [],
  hidden: [6, 5],
  criticHidden: null,
  activation: "tanh",
  initializer: "orthogonal",
  critic: "separate",
  logStdInit: -0.5,
};
const specOf = (actionSpace: Space): EnvironmentSpec => ({
  id: "Toy-v0",
  observationSpace: box([-1, -1, -1, -1], [1, 1, 1, 1]),
  actionSpace,
  maxEpisodeSteps: undefined,
  rewardThreshold: undefined,
});
const choices = specOf(discrete(3));
const continuous = specOf(box([-1, -2], [1, 2]));

const models: [string, EnvironmentSpec, Partial<ActorCriticOptions>][] = [
  ["choices, a separate critic", choices, {}],
  ["choices, a separate critic of its own size", choices, { criticHidden: [7] }],
  ["choices, a shared critic", choices, { critic: "shared" }],
  ["choices, a shared critic on a linear policy", choices, { critic: "shared", hidden: [] }],
  ["continuous actions, a separate critic", continuous, {}],
  ["continuous actions, a shared critic", continuous, { critic: "shared" }],
];

const rows = 7;
function observationsOf(): Float32Array {
  const random = stream(1, "observations");
  return Float32Array.from({ length: rows * 4 }, () => random.normal());
}

/** Outputs [rows, outputs] and values [rows] of the joint forward pass. */
async function opinions(model: ActorCritic, parameters: Float32Array, observations = observationsOf()) {
  const [flat, batch] = [input([model.size]), input([rows, 4])];
  const { outputs, values } = model.forward(flat, batch);
  const program = await Program.compile({ inputs: { flat, batch }, outputs: { outputs, values } });
  program.bind("flat", parameters);
  program.floats("batch").set(observations);
  await program.run();
  const result = { outputs: program.floats("outputs").slice(), values: program.floats("values").slice() };
  await program.dispose();
  return result;
}

/** All parameters, biases and standard deviations too, drawn anew: nothing is 0. */
function scattered(model: ActorCritic, name = "parameters"): Float32Array {
  const random = stream(2, name);
  return Float32Array.from({ length: model.size }, () => random.normal());
}

describe.each(models)("(%s) an actor-critic", (_, spec, change) => {
  const model = new ActorCritic(spec, { ...options, ...change });
  const size = spec === continuous ? 2 : 3;

  it("ships an actor that puts out what it does in training", async () => {
    const parameters = scattered(model);
    const policy = model.policy(parameters, undefined);
    expect(policy.parameters).toHaveLength(parameterCount(policy.architecture));
    const { outputs } = await opinions(model, parameters);
    const predict = predictor(policy);
    const observations = observationsOf();
    for (let row = 0; row < rows; row++) {
      for (const [i, value] of predict(observations.subarray(4 * row, 4 * row + 4)).entries()) {
        expect(outputs[row * size + i]).toBeCloseTo(value, 5);
      }
    }
  });

  it("ships an actor that fits the environment and is of the settings' size", () => {
    const { architecture } = model.policy(scattered(model), undefined);
    const head = spec === continuous ? "gaussian" : "logits";
    const { hidden, activation } = { ...options, ...change };
    expect(architecture.layers).toEqual(dense(4, hidden, size, head, activation).layers);
    expect(architecture.head).toBe(head);
    checkFits(architecture, spec);
  });

  it("puts every parameter to use: policy, deviations and critic are all there is", () => {
    const deviations = spec === continuous ? size : 0;
    const policy = parameterCount(model.actor);
    expect(model.size).toBe(policy + deviations + parameterCount(model.critic));
  });

  it("begins with nearly equal actions, whatever it sees, but not with nearly equal values", async () => {
    const { outputs, values } = await opinions(model, model.initialize(4));
    expect(Math.max(...outputs.map(Math.abs))).toBeLessThan(0.1);
    expect(Math.max(...outputs.map(Math.abs))).toBeGreaterThan(0);
    expect(Math.max(...values) - Math.min(...values)).toBeGreaterThan(0.1);
  });

  it("begins alike for the same seed and otherwise for another", () => {
    expect(model.initialize(4)).toEqual(model.initialize(4));
    expect(model.initialize(5)).not.toEqual(model.initialize(4));
  });

  it("ships numbers of its own: what training does to its own later changes no policy", () => {
    const parameters = scattered(model);
    const { architecture, parameters: shipped } = model.policy(parameters, undefined);
    const [kept, keptArchitecture] = [shipped.slice(), structuredClone(architecture)];
    parameters.fill(0);
    expect(shipped).toEqual(kept);
    expect(architecture).toEqual(keptArchitecture);
  });
});

it("values of a separate critic are those of its own network, which stands at the end", async () => {
  const model = new ActorCritic(continuous, { ...options, criticHidden: [7] });
  const parameters = scattered(model);
  const critic = { architecture: model.critic, parameters: parameters.slice(-parameterCount(model.critic)) };
  expect(model.critic).toEqual(dense(4, [7], 1, "q-values", "tanh"));
  const { values } = await opinions(model, parameters);
  const predict = predictor(critic);
  const observations = observationsOf();
  for (const [row, value] of values.entries()) {
    expect(predict(observations.subarray(4 * row, 4 * row + 4))[0]).toBeCloseTo(value, 5);
  }
});

it("refuses layers for a shared critic, which has the actor's", () => {
  const shared = { ...options, critic: "shared", criticHidden: [8] } as const;
  expect(() => new ActorCritic(choices, shared)).toThrow(
    new UsageError("teacher.criticHidden", "is for a separate critic; a shared one has the actor's layers"),
  );
});

it("keeps the deviations of a policy within what its file may hold", () => {
  const model = new ActorCritic(continuous, options);
  const parameters = new Float32Array(model.size).fill(90);
  expect(model.policy(parameters, undefined).architecture.gaussian?.logStd).toEqual([20, 20]);
});

it("a shared critic is one more output of the last hidden layer, and counts as such", () => {
  expect(new ActorCritic(choices, { ...options, critic: "shared" }).critic).toMatchObject(dense(5, [], 1, "q-values"));
  expect(new ActorCritic(choices, { ...options, critic: "shared", hidden: [] }).critic).toMatchObject(
    dense(4, [], 1, "q-values"),
  );
});

it("a shared critic of a policy without hidden layers sees every element of an observation of any shape", () => {
  const observationSpace = {
    kind: "box" as const,
    shape: [2, 3],
    low: Array<number>(6).fill(0),
    high: Array<number>(6).fill(1),
  };
  const model = new ActorCritic({ ...choices, observationSpace }, { ...options, critic: "shared", hidden: [] });
  expect(model.actor.input).toEqual([2, 3]);
  expect(parameterCount(model.critic)).toBe(7);
});

it("standard deviations begin with logStdInit and ship with the policy", () => {
  const model = new ActorCritic(continuous, options);
  const initial = model.initialize(1);
  expect([...model.logStd(initial)]).toEqual([-0.5, -0.5]);
  const parameters = scattered(model);
  const { architecture } = model.policy(parameters, undefined);
  const expected = { logStd: [...model.logStd(parameters)], low: [-1, -2], high: [1, 2] };
  expect(architecture.gaussian).toEqual(expected);
  expect(new Set(expected.logStd).size).toBe(2);
});

it("there are no standard deviations of choices", () => {
  const model = new ActorCritic(choices, options);
  expect(model.logStd(model.initialize(1))).toHaveLength(0);
  expect(model.policy(model.initialize(1), undefined).architecture.gaussian).toBeUndefined();
});

it("statistics ship with the policy", () => {
  const model = new ActorCritic(choices, options);
  const normalization = { mean: [1, 2, 3, 4], deviation: [1, 2, 3, 4], clip: 5 };
  expect(model.policy(scattered(model), normalization).architecture.normalization).toEqual(normalization);
  expect(model.policy(scattered(model), undefined).architecture.normalization).toBeUndefined();
});

it.each([
  ["low", box([-1, Number.NEGATIVE_INFINITY], [1, 1])],
  ["high", box([-1, -1], [Number.POSITIVE_INFINITY, 1])],
])("refuses continuous actions without a finite bound (%s)", (_, space) => {
  const build = () => new ActorCritic(specOf(space), options);
  expect(build).toThrow(EnvironmentError);
  expect(build).toThrow("PPO needs finite bounds of continuous actions");
});

import fc from "fast-check";
import { expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { compileForward } from "../../src/evaluation/evaluate.ts";
import { argmax, boundActions } from "../../src/network/action.ts";
import {
  type Architecture,
  dense,
  inputSize,
  layoutOf,
  outputSize,
  parameterCount,
} from "../../src/network/architecture.ts";
import { activationsOf, forward } from "../../src/network/forward.ts";
import { predictor } from "../../src/network/predict.ts";
import { takesRows } from "../../src/network/rows.ts";
import { stream } from "../../src/random/pcg64.ts";
import { input } from "../../src/tensor/graph.ts";
import { Program } from "../../src/tensor/program.ts";
import { architectures, manyFilters, randomParameters } from "./architectures.ts";

// 2-2-2 with relu: hidden weights [[1, -1], [2, 0.5]], biases [0.5, -1]; output weights [[1, -1], [3, 2]], biases [0, 10].
const network = dense(2, [2], 2, "q-values");
const parameters = Float32Array.of(1, -1, 2, 0.5, 0.5, -1, 1, -1, 3, 2, 0, 10);
// [1, 2]: hidden 1 + 4 + 0.5 = 5.5 and -1 + 1 - 1 = -1, that is 0; outputs 5.5 and -5.5 + 10.
// [-3, 1]: hidden -3 + 2 + 0.5, that is 0, and 3 + 0.5 - 1 = 2.5; outputs 7.5 and 5 + 10.
const byHand: [number[], number[]][] = [
  [
    [1, 2],
    [5.5, 4.5],
  ],
  [
    [-3, 1],
    [7.5, 15],
  ],
];

it.each(byHand)("one decision for %j is %j, by hand", (observation, outputs) => {
  const predict = predictor({ architecture: network, parameters });
  expect([...predict(Float32Array.from(observation))]).toEqual(outputs);
});

it("a batch has the same outputs by hand, and the greedy actions", async () => {
  const program = await compileForward(network, 2);
  program.bind("parameters", parameters);
  program.floats("observations").set(byHand.flatMap(([observation]) => observation));
  await program.run();
  expect([...program.floats("outputs")]).toEqual(byHand.flatMap(([, outputs]) => outputs));
  expect([...program.ints("actions")]).toEqual([0, 1]);
  await program.dispose();
});

it("observations are normalised and limited first: [5, -100, 7] by means [1, 0, 7], deviations [2, 10, 1] and clip 3", async () => {
  const architecture: Architecture = {
    ...dense(3, [], 3, "logits"),
    normalization: { mean: [1, 0, 7], deviation: [2, 10, 1], clip: 3 },
  };
  const same = Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0);
  const observation = Float32Array.of(5, -100, 7);
  expect([...predictor({ architecture, parameters: same })(observation)]).toEqual([2, -3, 0]);
  const program = await compileForward(architecture, 1);
  program.bind("parameters", same);
  program.bind("observations", observation);
  await program.run();
  expect([...program.floats("outputs")]).toEqual([2, -3, 0]);
  await program.dispose();
  expect([...observation]).toEqual([5, -100, 7]);
});

it("decides as a batched program does, whatever the architecture", async () => {
  const check = async (architecture: Architecture, rows: number, seed: number): Promise<void> => {
    const width = inputSize(architecture);
    const policy = { architecture, parameters: randomParameters(architecture, seed) };
    const random = stream(seed, "observations");
    const program = await compileForward(architecture, rows);
    program.bind("parameters", policy.parameters);
    const observations = program.floats("observations");
    for (let i = 0; i < observations.length; i++) observations[i] = random.normal();
    await program.run();
    const predict = predictor(policy);
    const last = { ...architecture.layers.at(-1)!, activation: "none" as const };
    let largest = 0;
    const sums = predictor(
      { ...policy, architecture: { ...architecture, layers: architecture.layers.with(-1, last) } },
      (_, values) => {
        largest = Math.max(largest, ...values.map(Math.abs));
      },
    );
    for (let row = 0; row < rows; row++) {
      const expected = predict(observations.subarray(row * width, (row + 1) * width));
      const size = outputSize(architecture);
      const actual = program.floats("outputs").subarray(row * size, (row + 1) * size);
      // Relative to the largest number on the way: its rounding does not shrink with a tanh behind it.
      largest = 0;
      sums(observations.subarray(row * width, (row + 1) * width));
      const scale = 1 + largest;
      for (const [i, value] of actual.entries()) expect(Math.abs(value - expected[i]!) / scale).toBeLessThan(1e-5);
      const action = actual.slice();
      boundActions(architecture, action);
      if (architecture.gaussian?.squash) {
        // The tanh of ONNX Runtime is float32's.
        const chosen = program.floats("actions").subarray(row * size, (row + 1) * size);
        for (const [i, value] of chosen.entries()) expect(Math.abs(value - action[i]!)).toBeLessThan(1e-5);
      } else if (architecture.gaussian) {
        expect(program.floats("actions").slice(row * size, (row + 1) * size)).toEqual(action);
      } else expect(program.ints("actions")[row]).toBe(argmax(actual));
    }
    await program.dispose();
  };
  await fc.assert(fc.asyncProperty(architectures, fc.integer({ min: 1, max: 5 }), fc.nat(), check));
});

it("shows what each convolution puts out with the channels first, also where they are computed side by side", async () => {
  const check = async (architecture: Architecture, seed: number): Promise<void> => {
    expect(takesRows(layoutOf(architecture))).toBe(true);
    const parameters = input([parameterCount(architecture)]);
    const observations = input([1, inputSize(architecture)]);
    const layers = activationsOf(architecture, parameters, observations);
    const outputs = Object.fromEntries(layers.map((layer, i) => [`${i}`, layer]));
    const program = await Program.compile({ inputs: { parameters, observations }, outputs });
    const policy = { architecture, parameters: randomParameters(architecture, seed) };
    program.bind("parameters", policy.parameters);
    const random = stream(seed, "observations");
    const observation = program.floats("observations");
    for (let i = 0; i < observation.length; i++) observation[i] = random.normal();
    await program.run();
    const expected: Float32Array[] = [];
    predictor(policy, (_, values) => expected.push(values.slice()))(observation);
    for (const [i, values] of expected.entries()) {
      const window = layoutOf(architecture)[i]!.window;
      expect(layers[i]!.shape).toEqual([1, ...(window?.to ?? [values.length])]);
      const scale = 1 + Math.max(...expected.slice(0, i + 1).flatMap((made) => [...made].map(Math.abs)));
      for (const [k, value] of program.floats(`${i}`).entries())
        expect(Math.abs(value - values[k]!) / scale).toBeLessThan(1e-5);
    }
    await program.dispose();
  };
  await fc.assert(fc.asyncProperty(manyFilters, fc.nat(), check), { numRuns: 30 });
});

it("reads its parameters at every decision", () => {
  const changing = parameters.slice();
  const predict = predictor({ architecture: network, parameters: changing });
  changing[10] = 100;
  expect(predict(Float32Array.of(1, 2))[0]).toBe(105.5);
});

it("finds the first of several largest values", () => {
  expect([[1], [1, 2, 2], [3, 3, 3], [-5, -1, -2]].map((values) => argmax(Float32Array.from(values)))).toEqual([
    0, 1, 0, 1,
  ]);
});

it("refuses an observation of another length", () => {
  const predict = predictor({ architecture: network, parameters });
  expect(() => predict(new Float32Array(3))).toThrow(new ShapeError("predict", "needs 2 numbers, got 3"));
});

it("refuses parameters of another architecture", () => {
  const message = "has 11 parameters, its architecture needs 12";
  expect(() => predictor({ architecture: network, parameters: new Float32Array(11) })).toThrow(
    new ShapeError("policy", message),
  );
});

it.each([
  ["parameters of another length", [11], [4, 2], "[11] and [4, 2]"],
  ["observations of another width", [12], [4, 3], "[12] and [4, 3]"],
  ["observations with another number of axes", [12], [4, 2, 1], "[12] and [4, 2, 1]"],
])("is not built for %s", (_name, numbers, rows, shapes) => {
  const message = `needs [12] parameters and [batch, 2] observations, got ${shapes}`;
  expect(() => forward(network, input(numbers), input(rows))).toThrow(new ShapeError("forward", message));
});

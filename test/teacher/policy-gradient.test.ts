import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  categorical,
  clippedSurrogate,
  type Distribution,
  diagonalGaussian,
} from "../../src/teacher/policy-gradient.ts";
import { gradient } from "../../src/tensor/gradient.ts";
import { input, mean, mul, neg, sum, type Tensor } from "../../src/tensor/graph.ts";
import { Program } from "../../src/tensor/program.ts";
import { hasPackages, python } from "../environment/fixtures/python.ts";

type Rows = readonly (readonly number[])[];

/** Values of the outputs, for float32 inputs of these numbers and int32 inputs where they are integers by type. */
async function compute(
  inputs: Readonly<Record<string, Tensor>>,
  outputs: Readonly<Record<string, Tensor>>,
  numbers: Readonly<Record<string, readonly number[]>>,
): Promise<Record<string, number[]>> {
  const program = await Program.compile({ inputs, outputs });
  for (const [name, values] of Object.entries(numbers)) {
    (inputs[name]!.dtype === "int32" ? program.ints(name) : program.floats(name)).set(values);
  }
  await program.run();
  const results = Object.fromEntries(Object.keys(outputs).map((name) => [name, [...program.floats(name)]]));
  await program.dispose();
  return results;
}

/** log pi(a|s) [rows], the entropy, and the gradients of their sums with respect to the logits, row by row. */
async function ofSoftmax(logits: Rows, actions: readonly number[]): Promise<Record<string, number[]>> {
  const x = input([logits.length, logits[0]!.length]);
  const a = input([logits.length], "int32");
  const { logProb, entropy } = categorical(x, a);
  const outputs = {
    logProb,
    entropy,
    logProbGradient: gradient(sum(logProb), [x])[0]!,
    entropyGradient: gradient(entropy, [x])[0]!,
  };
  return compute({ x, a }, outputs, { x: logits.flat(), a: actions });
}

/** The same of a Gaussian, with respect to its means and the logarithms of its deviations. */
async function ofGaussian(means: Rows, logStd: readonly number[], actions: Rows): Promise<Record<string, number[]>> {
  const shape = [means.length, logStd.length];
  const [m, s, a] = [input(shape), input([logStd.length]), input(shape)];
  const { logProb, entropy }: Distribution = diagonalGaussian(m, s, a);
  const [toMeans, toLogStd] = gradient(sum(logProb), [m, s]) as [Tensor, Tensor];
  const outputs = { logProb, entropy, toMeans, toLogStd, entropyToLogStd: gradient(entropy, [s])[0]! };
  return compute({ m, s, a }, outputs, { m: means.flat(), s: logStd, a: actions.flat() });
}

function softmax(x: readonly number[]): number[] {
  const exps = x.map((value) => Math.exp(value - Math.max(...x)));
  const total = exps.reduce((a, b) => a + b);
  return exps.map((value) => value / total);
}
const entropyOf = (p: readonly number[]): number => -p.reduce((total, x) => total + (x > 0 ? x * Math.log(x) : 0), 0);
const average = (x: readonly number[]): number => x.reduce((a, b) => a + b) / x.length;

function expectClose(actual: readonly number[], expected: readonly number[], digits = 5): void {
  expect(actual).toHaveLength(expected.length);
  for (const [i, value] of actual.entries()) expect(value).toBeCloseTo(expected[i]!, digits);
}

const number = fc.double({ min: -3, max: 3, noNaN: true });
const rowsOf = (columns: number): fc.Arbitrary<number[][]> =>
  fc.array(fc.array(number, { minLength: columns, maxLength: columns }), { minLength: 3, maxLength: 3 });

describe("a categorical distribution", () => {
  it("of the logits 0 and ln 3 gives its actions 1/4 and 3/4", async () => {
    const { logProb, entropy } = await ofSoftmax(
      [
        [0, Math.log(3)],
        [0, Math.log(3)],
      ],
      [0, 1],
    );
    expectClose(logProb!, [Math.log(0.25), Math.log(0.75)]);
    expectClose(entropy!, [-0.25 * Math.log(0.25) - 0.75 * Math.log(0.75)]);
  });

  it("has the entropy ln n where all n actions are equally likely, the mean over the rows", async () => {
    const { entropy } = await ofSoftmax(
      [
        [7, 7, 7],
        [100, 0, 0],
      ],
      [0, 0],
    );
    expectClose(entropy!, [Math.log(3) / 2]);
  });

  it("stays finite where one action is all but certain", async () => {
    const { logProb, entropy, logProbGradient, entropyGradient } = await ofSoftmax([[1000, 0]], [1]);
    expectClose(logProb!, [-1000]);
    expectClose(entropy!, [0]);
    expectClose(logProbGradient!, [-1, 1]);
    expectClose(entropyGradient!, [0, 0]);
  });

  it("is that of a float64 computation, gradients included", async () => {
    const actions = fc.array(fc.nat(3), { minLength: 3, maxLength: 3 });
    const check = async (logits: number[][], chosen: number[]): Promise<void> => {
      const actual = await ofSoftmax(logits, chosen);
      const p = logits.map(softmax);
      expectClose(
        actual["logProb"]!,
        p.map((row, i) => Math.log(row[chosen[i]!]!)),
      );
      expectClose(actual["entropy"]!, [average(p.map(entropyOf))]);
      // d log p_a / d x_j = [a = j] - p_j; d H / d x_j = -p_j (ln p_j + H), a third of it for each of 3 rows.
      expectClose(
        actual["logProbGradient"]!,
        p.flatMap((row, i) => row.map((value, j) => (chosen[i] === j ? 1 : 0) - value)),
      );
      expectClose(
        actual["entropyGradient"]!,
        p.flatMap((row) => row.map((value) => (-value * (Math.log(value) + entropyOf(row))) / 3)),
      );
    };
    await fc.assert(fc.asyncProperty(rowsOf(4), actions, check), { numRuns: 20 });
  });
});

describe("a diagonal Gaussian", () => {
  it("has at its mean the density 1 / sqrt(2 pi) a dimension of deviation 1, and the entropy ln(2 pi e) / 2", async () => {
    const { logProb, entropy } = await ofGaussian([[5, -2]], [0, 0], [[5, -2]]);
    expectClose(logProb!, [-Math.log(2 * Math.PI)]);
    expectClose(entropy!, [Math.log(2 * Math.PI * Math.E)]);
  });

  it("has two deviations from its mean e^-2 of that, whatever the deviation", async () => {
    const { logProb, entropy } = await ofGaussian([[1]], [Math.log(3)], [[7]]);
    expectClose(logProb!, [-2 - Math.log(3) - Math.log(2 * Math.PI) / 2]);
    expectClose(entropy!, [Math.log(3) + Math.log(2 * Math.PI * Math.E) / 2]);
  });

  it("is that of a float64 computation, gradients included", async () => {
    const logStds = fc.array(fc.double({ min: -1.5, max: 1, noNaN: true }), { minLength: 2, maxLength: 2 });
    const check = async (means: number[][], logStd: number[], actions: number[][]): Promise<void> => {
      const actual = await ofGaussian(means, logStd, actions);
      const std = logStd.map(Math.exp);
      const z = actions.map((row, i) => row.map((action, d) => (action - means[i]![d]!) / std[d]!));
      const density = (row: readonly number[]): number =>
        row.reduce(
          (product, value, d) => (product * Math.exp(-0.5 * value ** 2)) / (std[d]! * Math.sqrt(2 * Math.PI)),
          1,
        );
      // Squares of up to 27 deviations are added in float32.
      expectClose(
        actual["logProb"]!,
        z.map((row) => Math.log(density(row))),
        3,
      );
      const differential = std.map((value) => 0.5 * Math.log(2 * Math.PI * Math.E * value ** 2));
      expectClose(actual["entropy"]!, [differential.reduce((a, b) => a + b)]);
      expectClose(
        actual["toMeans"]!,
        z.flatMap((row) => row.map((value, d) => value / std[d]!)),
        3,
      );
      expectClose(
        actual["toLogStd"]!,
        std.map((_, d) => z.reduce((total, row) => total + row[d]! ** 2 - 1, 0)),
        2,
      );
      expectClose(actual["entropyToLogStd"]!, [1, 1]);
    };
    await fc.assert(fc.asyncProperty(rowsOf(2), logStds, rowsOf(2), check), { numRuns: 20 });
  });
});

const hasTorch = hasPackages(["torch"]);

it.skipIf(!hasTorch)(
  "both have the log-probabilities and entropies of torch.distributions (needs Python with torch)",
  async () => {
    const logits = [
      [0.3, -2, 1.5],
      [4, 4.25, -1],
    ];
    const chosen = [2, 0];
    const means = [
      [0.5, -1],
      [2, 0.25],
    ];
    const logStd = [-0.7, 0.4];
    const actions = [
      [1.25, -3],
      [1.9, 2],
    ];
    const program = `
import json, sys, torch
from torch.distributions import Categorical, Independent, Normal
given = {name: torch.tensor(values) for name, values in json.load(sys.stdin).items()}
softmax = Categorical(logits=given["logits"])
gaussian = Independent(Normal(given["means"], given["logStd"].exp()), 1)
print(json.dumps([
    [softmax.log_prob(given["chosen"]).tolist(), [softmax.entropy().mean().item()]],
    [gaussian.log_prob(given["actions"]).tolist(), [gaussian.entropy().mean().item()]],
]))`;
    const given = JSON.stringify({ logits, chosen, means, logStd, actions });
    const { stdout, stderr } = spawnSync(python, ["-c", program], { encoding: "utf8", input: given });
    expect(stderr).toBe("");
    const expected = JSON.parse(stdout) as [number[], number[]][];
    const actual = [await ofSoftmax(logits, chosen), await ofGaussian(means, logStd, actions)];
    for (const [k, { logProb, entropy }] of actual.entries()) {
      expectClose(logProb!, expected[k]![0]);
      expectClose(entropy!, expected[k]![1]);
    }
  },
);

/** The surrogate of rows with these ratios pi / pi_old and advantages, and the loss's gradient with respect to log pi. */
async function surrogateOf(
  ratios: readonly number[],
  advantages: readonly number[],
  clipRange: number | null,
): Promise<{ loss: number; kl: number; clipFraction: number; slopes: number[] }> {
  const shape = [ratios.length];
  const [now, old, a] = [input(shape), input(shape), input(shape)];
  const { loss, kl, clipFraction } = clippedSurrogate(now, old, a, clipRange);
  const outputs = { loss, kl, clipFraction, slopes: gradient(loss, [now])[0]! };
  // Whatever log pi_old is, only the difference counts.
  const before = ratios.map((_, i) => -1 - i);
  const after = ratios.map((ratio, i) => before[i]! + Math.log(ratio));
  const result = await compute({ now, old, a }, outputs, { now: after, old: before, a: advantages });
  const { slopes } = result as { slopes: number[] };
  return { loss: result["loss"]![0]!, kl: result["kl"]![0]!, clipFraction: result["clipFraction"]![0]!, slopes };
}

describe("the clipped surrogate", () => {
  // One row, clip range 0.2. Where it is not limited the loss is -r A, and so is its slope: d r / d log pi = r.
  it.each([
    ["1 for a good action", 1, 2, -2, -2],
    ["1 for a bad action", 1, -2, 2, 2],
    ["inside the range for a good action", 1.1, 2, -2.2, -2.2],
    ["inside the range for a bad action", 0.9, -2, 1.8, 1.8],
    ["above it for a good action, which is limited", 1.5, 2, -2.4, 0],
    ["above it for a bad action, which is not", 1.5, -2, 3, 3],
    ["below it for a good action, which is not", 0.5, 2, -1, -1],
    ["below it for a bad action, which is limited", 0.5, -2, 1.6, 0],
  ])("at a ratio of %s", async (_, ratio, advantage, loss, slope) => {
    const { loss: actual, slopes } = await surrogateOf([ratio], [advantage], 0.2);
    expect(actual).toBeCloseTo(loss, 5);
    expect(slopes[0]).toBeCloseTo(slope, 5);
  });

  it("is the mean over the rows", async () => {
    const { loss, slopes } = await surrogateOf([1.5, 0.5, 1.1, 1], [2, -2, 2, -3], 0.2);
    expect(loss).toBeCloseTo((-2.4 + 1.6 - 2.2 + 3) / 4, 5);
    expectClose(slopes, [0, 0, -2.2 / 4, 3 / 4]);
  });

  it("counts the rows outside the range, on either side, whatever their advantage", async () => {
    const { clipFraction } = await surrogateOf([1.21, 0.79, 1.5, 1.19, 0.81], [1, 1, -1, 1, 1], 0.2);
    expect(clipFraction).toBeCloseTo(3 / 5, 6);
  });

  it("estimates the KL from the old policy by r - 1 - ln r, which is never negative", async () => {
    const { kl } = await surrogateOf([2, 0.5], [0, 0], 0.2);
    expect(kl).toBeCloseTo((1 - Math.log(2) + (-0.5 - Math.log(0.5))) / 2, 6);
    expect((await surrogateOf([1, 1], [5, -5], 0.2)).kl).toBeCloseTo(0, 6);
    expect((await surrogateOf([1.01], [5], 0.2)).kl).toBeGreaterThan(0);
  });

  it("without a range is -mean(r A), and limits nothing", async () => {
    const { loss, slopes, clipFraction } = await surrogateOf([3, 0.1], [2, -2], null);
    expect(loss).toBeCloseTo(-(6 - 0.2) / 2, 5);
    expectClose(slopes, [-3, 0.1]);
    expect(clipFraction).toBe(0);
  });

  it.each([0.2, null])(
    "(clip range %s) has on fresh data the policy gradient, that of -mean(A log pi)",
    async (range) => {
      const logits = input([3, 4]);
      const actions = input([3], "int32");
      const advantages = input([3]);
      const old = input([3]);
      const { logProb } = categorical(logits, actions);
      const { loss } = clippedSurrogate(logProb, old, advantages, range);
      const a2c = neg(mean(mul(advantages, logProb)));
      const outputs = { ppo: gradient(loss, [logits])[0]!, a2c: gradient(a2c, [logits])[0]! };
      const numbers = {
        logits: [0.5, -1, 2, 0, 1, 1, 1, 1, -3, 0, 0.25, 4],
        actions: [2, 0, 1],
        advantages: [1, -2, 0.5],
      };
      const { logProb: fresh } = await ofSoftmax(
        [0, 1, 2].map((row) => numbers.logits.slice(4 * row, 4 * row + 4)),
        numbers.actions,
      );
      const inputs = { logits, actions, advantages, old };
      const { ppo, a2c: expected } = await compute(inputs, outputs, { ...numbers, old: fresh! });
      expectClose(ppo!, expected!);
      expect(Math.max(...expected!.map(Math.abs))).toBeGreaterThan(0.1);
    },
  );
});

import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { distillationLoss, gaussianLoss, paperLoss } from "../../src/distillation/loss.ts";
import type { Gaussian } from "../../src/network/architecture.ts";
import { gradient } from "../../src/tensor/gradient.ts";
import { input } from "../../src/tensor/graph.ts";
import { Program } from "../../src/tensor/program.ts";
import { hasPackages, python } from "../environment/fixtures/python.ts";

type Loss = typeof distillationLoss;

/** The loss of [rows, actions] teacher and student outputs. */
async function lossOf(
  loss: Loss,
  teacher: readonly (readonly number[])[],
  student: readonly (readonly number[])[],
  temperature: number,
): Promise<number> {
  const shape = [teacher.length, teacher[0]!.length];
  const [a, b] = [input(shape), input(shape)];
  const program = await Program.compile({ inputs: { a, b }, outputs: { loss: loss(a, b, temperature) } });
  program.floats("a").set(teacher.flat());
  program.floats("b").set(student.flat());
  await program.run();
  const value = program.floats("loss")[0]!;
  await program.dispose();
  return value;
}

const softmax = (x: readonly number[], temperature = 1): number[] => {
  const exps = x.map((value) => Math.exp((value - Math.max(...x)) / temperature));
  const total = exps.reduce((sum, value) => sum + value, 0);
  return exps.map((value) => value / total);
};

/** Sum of p log(p / q) with `epsilon` added to both, the mean over rows, in float64. */
function divergence(
  teacher: readonly number[][],
  student: readonly number[][],
  temperature: number,
  epsilon: number,
): number {
  const rows = teacher.map((row, k) => {
    const q = softmax(student[k]!);
    return softmax(row, temperature).reduce(
      (sum, p, a) => sum + (p + epsilon) * Math.log((p + epsilon) / (q[a]! + epsilon)),
      0,
    );
  });
  return rows.reduce((sum, row) => sum + row, 0) / rows.length;
}

const outputs = fc.array(fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 3, maxLength: 3 }), {
  minLength: 4,
  maxLength: 4,
});

describe("the distillation loss", () => {
  it("is KL(p || q): 3/4 ln(3/2) + 1/4 ln(1/2) for p = (3/4, 1/4) and a student that knows nothing", async () => {
    const expected = 0.75 * Math.log(1.5) + 0.25 * Math.log(0.5);
    expect(await lossOf(distillationLoss, [[Math.log(3), 0]], [[0, 0]], 1)).toBeCloseTo(expected, 6);
  });

  it("divides the teacher's outputs by the temperature, not the student's", async () => {
    const expected = 0.75 * Math.log(1.5) + 0.25 * Math.log(0.5);
    expect(await lossOf(distillationLoss, [[Math.log(3) / 10, 0]], [[0, 0]], 0.1)).toBeCloseTo(expected, 6);
    expect(await lossOf(distillationLoss, [[1, -1]], [[10, -10]], 0.1)).toBeCloseTo(0, 6);
  });

  it("is the mean over the batch", async () => {
    const one = await lossOf(distillationLoss, [[1, 0]], [[0, 0]], 1);
    expect(
      await lossOf(
        distillationLoss,
        [
          [1, 0],
          [0, 0],
        ],
        [
          [0, 0],
          [0, 0],
        ],
        1,
      ),
    ).toBeCloseTo(one / 2, 6);
  });

  it("stays finite where the tempered teacher is one-hot", async () => {
    // p = (1, 0): the loss is -log q of the first action.
    expect(await lossOf(distillationLoss, [[500, 0]], [[0, 0]], 0.01)).toBeCloseTo(Math.log(2), 6);
  });
});

describe("the original's loss", () => {
  it("adds 1e-5 to both distributions without renormalising", async () => {
    const expected = 0.75001 * Math.log(0.75001 / 0.50001) + 0.25001 * Math.log(0.25001 / 0.50001);
    expect(await lossOf(paperLoss, [[Math.log(3), 0]], [[0, 0]], 1)).toBeCloseTo(expected, 6);
    // p = (1, 0), q = (0, 1): ln(1.00001 / 0.00001) nearly, where the exact divergence is 200.
    expect(await lossOf(paperLoss, [[100, -100]], [[-100, 100]], 1)).toBeCloseTo(11.51292, 3);
  });
});

describe.each<[string, Loss, number]>([
  ["the distillation loss", distillationLoss, 0],
  ["the original's loss", paperLoss, 1e-5],
])("%s", (_, loss, epsilon) => {
  it("is that of a float64 computation", async () => {
    await fc.assert(
      fc.asyncProperty(outputs, outputs, fc.constantFrom(0.1, 0.5, 1, 2), async (teacher, student, temperature) => {
        const expected = divergence(teacher, student, temperature, epsilon);
        expect(await lossOf(loss, teacher, student, temperature)).toBeCloseTo(expected, 4);
      }),
      { numRuns: 20 },
    );
  });

  it("is 0 for a student that is the tempered teacher", async () => {
    await fc.assert(
      fc.asyncProperty(outputs, fc.constantFrom(0.1, 1), async (teacher, temperature) => {
        const student = teacher.map((row) => row.map((value) => value / temperature));
        expect(await lossOf(loss, teacher, student, temperature)).toBeCloseTo(0, 5);
      }),
      { numRuns: 20 },
    );
  });
});

/** The loss of [rows, dimensions] means and its gradient with respect to the student's, row by row. */
async function gaussianOf(
  teacher: readonly (readonly number[])[],
  student: readonly (readonly number[])[],
  gaussian: Gaussian,
): Promise<{ loss: number; slopes: number[] }> {
  const shape = [teacher.length, teacher[0]!.length];
  const [a, b] = [input(shape), input(shape)];
  const loss = gaussianLoss(a, b, gaussian);
  const outputs = { loss, slopes: gradient(loss, [b])[0]! };
  const program = await Program.compile({ inputs: { a, b }, outputs });
  program.floats("a").set(teacher.flat());
  program.floats("b").set(student.flat());
  await program.run();
  const result = { loss: program.floats("loss")[0]!, slopes: [...program.floats("slopes")] };
  await program.dispose();
  return result;
}

describe("the loss of Gaussian policies", () => {
  /** Deviations 1/2 and 2. */
  const logStd = [Math.log(0.5), Math.log(2)];
  const far: Gaussian = { logStd, low: [-100, -100], high: [100, 100] };
  const near: Gaussian = { logStd, low: [-1, -1], high: [1, 1] };
  const means = fc.array(fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 2, maxLength: 2 }), {
    minLength: 3,
    maxLength: 3,
  });

  /** KL(N(m, s) || N(n, t)) = ln(t / s) + (s^2 + (m - n)^2) / (2 t^2) - 1/2, summed over dimensions; the mean over rows. */
  function closedForm(teacher: readonly number[][], student: readonly number[][]): number {
    const std = logStd.map(Math.exp);
    const rows = teacher.map((row, k) =>
      row.reduce((sum, m, d) => {
        const [s, t] = [std[d]!, std[d]!];
        return sum + Math.log(t / s) + (s ** 2 + (m - student[k]![d]!) ** 2) / (2 * t ** 2) - 0.5;
      }, 0),
    );
    return rows.reduce((a, b) => a + b) / rows.length;
  }

  it("is half the squared distance in deviations: a mean that is off by one deviation costs 1/2", async () => {
    expect((await gaussianOf([[0, 0]], [[0.5, 0]], far)).loss).toBeCloseTo(0.5, 6);
    expect((await gaussianOf([[0, 0]], [[0.5, 4]], far)).loss).toBeCloseTo(0.5 + 2, 6);
  });

  it("is the closed-form KL within the bounds, the mean over the batch", async () => {
    const check = async (teacher: number[][], student: number[][]): Promise<void> => {
      const { loss } = await gaussianOf(teacher, student, far);
      const expected = closedForm(teacher, student);
      expect(Math.abs(loss - expected)).toBeLessThan(1e-5 * (1 + expected));
    };
    await fc.assert(fc.asyncProperty(means, means, check), { numRuns: 20 });
  });

  it("compares squashed means behind the tanh: far out, means that differ act alike", async () => {
    const squashed: Gaussian = { ...far, squash: true };
    const { loss, slopes } = await gaussianOf([[0.5, -1]], [[0.25, 2]], squashed);
    const [a, b] = [Math.tanh(0.25) - Math.tanh(0.5), Math.tanh(2) - Math.tanh(-1)];
    expect(loss).toBeCloseTo(((a / 0.5) ** 2 + (b / 2) ** 2) / 2, 5);
    expect(slopes[0]).toBeCloseTo((a / 0.5 ** 2) * (1 - Math.tanh(0.25) ** 2), 5);
    expect(slopes[1]).toBeCloseTo((b / 2 ** 2) * (1 - Math.tanh(2) ** 2), 5);
    expect((await gaussianOf([[20, 20]], [[30, 40]], squashed)).loss).toBe(0);
  });

  // One dimension of deviation 1/2 within [-1, 1]: the slope is 4 times what the student is off by.
  it.each([
    ["both within the bounds", 0.5, 0.75, 0.125, 1],
    ["both above", 3, 2, 0, 0],
    ["both above, the student by more", 2, 30, 0, 0],
    ["both below", -3, -2, 0, 0],
    ["the teacher above, the student at the bound", 3, 1, 0, 0],
    ["the teacher above, the student short of it: drawn to the bound", 3, 0.5, 0.5, -2],
    ["the teacher below, the student short of it: drawn to the bound", -3, -0.5, 0.5, 2],
    ["the teacher above, the student below", 3, -2, 18, -12],
    ["the teacher within, the student above: drawn back to the teacher", 0.5, 2, 4.5, 6],
    ["the teacher at the bound, the student above", 1, 1.5, 0.5, 2],
  ])("with %s: teacher %d, student %d", async (_, teacher, student, expected, slope) => {
    const one = { logStd: [Math.log(0.5)], low: [-1], high: [1] };
    const { loss, slopes } = await gaussianOf([[teacher]], [[student]], one);
    expect(loss).toBeCloseTo(expected, 5);
    expect(slopes[0]).toBeCloseTo(slope, 5);
  });

  it("never grows when teacher and student are limited to the bounds, where they act alike", async () => {
    const limited = (rows: readonly number[][]) => rows.map((row) => row.map((x) => Math.max(-1, Math.min(1, x))));
    const check = async (teacher: number[][], student: number[][]): Promise<void> => {
      const { loss } = await gaussianOf(teacher, student, near);
      const within = await gaussianOf(limited(teacher), limited(student), near);
      expect(within.loss).toBeLessThanOrEqual(loss * (1 + 1e-5) + 1e-6);
    };
    await fc.assert(fc.asyncProperty(means, means, check), { numRuns: 20 });
  });
});

const hasTorch = hasPackages(["torch"]);

it.skipIf(!hasTorch)("agrees with torch.distributions.kl_divergence (needs Python with torch)", async () => {
  const teacher = [
    [0.5, -1],
    [2, 0.25],
  ];
  const student = [
    [1, -1.5],
    [-0.5, 3],
  ];
  const logits = [
    [1, 0, -2],
    [0.5, 0.5, 3],
  ];
  const other = [
    [0, 0.25, 1],
    [-1, 2, 2],
  ];
  const logStd = [-0.4, 0.7];
  const program = `
import json, sys, torch
from torch.distributions import Categorical, Independent, Normal, kl_divergence
given = {name: torch.tensor(values) for name, values in json.load(sys.stdin).items()}
std = given["logStd"].exp()
gaussians = [Independent(Normal(given[name], std), 1) for name in ("teacher", "student")]
softmaxes = [Categorical(logits=logits) for logits in (given["logits"] / 0.5, given["other"])]
print(json.dumps([kl_divergence(*pair).mean().item() for pair in (gaussians, softmaxes)]))`;
  const given = JSON.stringify({ teacher, student, logits, other, logStd });
  const { stdout, stderr } = spawnSync(python, ["-c", program], { encoding: "utf8", input: given });
  expect(stderr).toBe("");
  const expected = JSON.parse(stdout) as [number, number];
  const { loss } = await gaussianOf(teacher, student, { logStd, low: [-9, -9], high: [9, 9] });
  expect(loss).toBeCloseTo(expected[0], 5);
  expect(await lossOf(distillationLoss, logits, other, 0.5)).toBeCloseTo(expected[1], 5);
});

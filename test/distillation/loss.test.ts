import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { distillationLoss, paperLoss } from "../../src/distillation/loss.ts";
import { input } from "../../src/tensor/graph.ts";
import { Program } from "../../src/tensor/program.ts";

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

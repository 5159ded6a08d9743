import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AgreementExamination, type LabelledUnits, label } from "../../src/distillation/agreement.ts";
import { compileDistillation, distillSchema } from "../../src/distillation/distill.ts";
import { type Architecture, dense, parameterCount } from "../../src/network/architecture.ts";
import { initialize } from "../../src/network/parameters.ts";
import { predictor } from "../../src/network/predict.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";

const temperatures = { temperature: 0.5, logitsTemperature: 2 };

/** Outputs are the two inputs. */
const identity = Float32Array.of(1, 0, 0, 1, 0, 0);
const choices = dense(2, [], 2, "logits");
const continuous: Architecture = {
  ...dense(2, [], 2, "gaussian"),
  gaussian: { logStd: [0, Math.log(2)], low: [-1, 0], high: [1, 4] },
};

function unitsOf(
  rows: readonly (readonly [observation: readonly number[], labels: readonly number[]])[][],
): LabelledUnits {
  const all = rows.flat();
  return {
    observations: Float32Array.from(all.flatMap(([observation]) => observation)),
    labels: Float32Array.from(all.flatMap(([, labels]) => labels)),
    starts: Int32Array.from([0, ...rows.map((_, k) => rows.slice(0, k + 1).flat().length)]),
  };
}

const none = unitsOf([
  [
    [
      [0, 0],
      [0, 0],
    ],
  ],
]);
function examinationOf(teacher: Architecture, proof: LabelledUnits, tolerance = 0.1): AgreementExamination {
  return new AgreementExamination({ teacher, parts: { selection: none, proof }, tolerance, temperatures });
}

async function measure(
  examination: AgreementExamination,
  student: Architecture,
  parameters: Float32Array = identity,
  count = 3,
  first = 0,
) {
  const examiner = await examination.examiner(student, "proof");
  const measured = await examiner.measure(parameters, "any", count, "greedy", first);
  await examiner.dispose();
  return [...measured];
}

describe("agreement with choices", () => {
  // The student chooses 0, 1, 0 (the first among equals), 0, 1, 0.
  const units = unitsOf([
    [
      [
        [1, 0],
        [5, 1],
      ],
      [
        [0, 1],
        [2, 4],
      ],
      [
        [1, 1],
        [3, 3],
      ],
      [
        [2, 1],
        [0, 1],
      ],
    ],
    [
      [
        [0, 1],
        [1, 0],
      ],
    ],
    [
      [
        [1, 0],
        [1, 0],
      ],
    ],
  ]);

  it("is the share of equal greedy actions in each unit, which counts once however long it is", async () => {
    expect(await measure(examinationOf(choices, units), choices)).toEqual([0.75, 0, 1]);
  });

  it("is measured of the units that are asked for", async () => {
    expect(await measure(examinationOf(choices, units), choices, identity, 2, 1)).toEqual([0, 1]);
    expect(await measure(examinationOf(choices, units), choices, identity, 1, 1)).toEqual([0]);
  });

  it("has all units that there are, and nothing to play", () => {
    const examination = examinationOf(choices, units);
    expect([examination.units("proof"), examination.units("selection")]).toEqual([3, 1]);
    expect(examination.makeLanes).toBeNull();
  });
});

describe("agreement with continuous actions", () => {
  it("is the share within the tolerance in every dimension, of what acts", async () => {
    // Ranges are 2 and 4, so a tolerance of 0.1 is 0.2 and 0.4.
    const units = unitsOf([
      [
        [
          [0.5, 2],
          [0.375, 2.25],
        ],
        [
          [0.5, 2],
          [0.75, 2],
        ],
        [
          [0.5, 2],
          [0.5, 2.5],
        ],
        // Both beyond the same bounds: they act alike.
        [
          [7, -3],
          [1.5, -9],
        ],
      ],
      [
        [
          [0.5, 2],
          [0.5, 2],
        ],
      ],
      [
        [
          [-1, 0],
          [1, 4],
        ],
      ],
    ]);
    expect(await measure(examinationOf(continuous, units), continuous)).toEqual([0.5, 1, 0]);
    expect(await measure(examinationOf(continuous, units, 0.2), continuous)).toEqual([1, 1, 0]);
    expect(await measure(examinationOf(continuous, units, 0), continuous)).toEqual([0.25, 1, 0]);
  });
});

describe("the divergence", () => {
  it("of logits is the mean KL over all observations", async () => {
    const rows = [
      [
        [1, 0],
        [2, 0],
      ],
      [
        [0, 3],
        [0, 0],
      ],
      [
        [1, 1],
        [4, 2],
      ],
    ] as const;
    const softmax = ([a, b]: readonly number[], t: number) => {
      const p = 1 / (1 + Math.exp(((b ?? 0) - (a ?? 0)) / t));
      return [p, 1 - p] as const;
    };
    const kl = rows.map(([student, teacher]) => {
      const [p, q] = [softmax(teacher, temperatures.logitsTemperature), softmax(student, 1)];
      return p[0] * Math.log(p[0] / q[0]) + p[1] * Math.log(p[1] / q[1]);
    });
    const units = unitsOf([[rows[0], rows[1]], [rows[2]]]);
    const found = await examinationOf(choices, units).divergence({ architecture: choices, parameters: identity });
    expect(found).toEqual({ kl: expect.closeTo(kl.reduce((a, b) => a + b) / 3, 6) as number });
  });

  it("of a Gaussian is that of the means, with the squared distance in ranges of the action beside it", async () => {
    const units = unitsOf([
      [
        [
          [0.5, 2],
          [0, 2],
        ],
      ],
      [
        [
          [0.5, 2],
          [0.5, 4],
        ],
      ],
    ]);
    const found = await examinationOf(continuous, units).divergence({ architecture: continuous, parameters: identity });
    expect(found).toEqual({
      kl: expect.closeTo((0.5 ** 2 / 2 + 2 ** 2 / (2 * 4)) / 2, 6) as number,
      squaredError: expect.closeTo((0.25 ** 2 + 0.5 ** 2) / 4, 6) as number,
    });
  });

  it("has no KL where the two have different deviations", async () => {
    const student: Architecture = { ...continuous, gaussian: { ...continuous.gaussian!, logStd: [0, 0] } };
    const units = unitsOf([
      [
        [
          [0.5, 2],
          [0, 2],
        ],
      ],
    ]);
    const found = await examinationOf(continuous, units).divergence({ architecture: student, parameters: identity });
    expect(found).toEqual({ squaredError: expect.closeTo(0.25 ** 2 / 2, 6) as number });
  });

  it.each(["q-values", "logits", "gaussian"] as const)("of %s is the loss that distillation lowers", async (head) => {
    const random = new Pcg64(3);
    const architecture: Architecture = head === "gaussian" ? continuous : dense(2, [], 2, head);
    const draw = (length: number) => Array.from({ length }, () => random.normal());
    const rows = Array.from({ length: 5 }, () => [draw(2), draw(2)] as const);
    const found = await examinationOf(architecture, unitsOf([[...rows]])).divergence({
      architecture,
      parameters: identity,
    });
    const trainer = await compileDistillation(architecture, distillSchema.parse({ ...temperatures, batchSize: 5 }));
    trainer.restart(identity);
    trainer.program.floats("observations").set(rows.flatMap(([observation]) => observation));
    trainer.program.floats("labels").set(rows.flatMap(([, labels]) => labels));
    expect(found.kl).toBeCloseTo(await trainer.update(1e-9), 5);
    await trainer.dispose();
  });
});

describe("labels", () => {
  it("are the outputs of the network, for any number of observations, and agree with themselves", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 2500 }), fc.nat(), async (rows, seed) => {
        const random = new Pcg64(seed);
        const architecture = dense(3, [4], 2, "q-values", "tanh");
        const teacher = { architecture, parameters: initialize(architecture, "glorot", random) };
        const observations = Float32Array.from({ length: 3 * rows }, () => random.normal());
        const labels = await label(teacher, observations);
        const predict = predictor(teacher);
        for (const row of [0, Math.floor(rows / 2), rows - 1]) {
          const outputs = predict(observations.subarray(3 * row, 3 * row + 3));
          for (const [k, output] of outputs.entries()) expect(labels[2 * row + k]).toBeCloseTo(output, 5);
        }
        const starts = Int32Array.of(0, Math.ceil(rows / 2), rows);
        const units =
          rows > 1 ? { observations, labels, starts } : { observations, labels, starts: Int32Array.of(0, rows) };
        const count = units.starts.length - 1;
        expect(teacher.parameters).toHaveLength(parameterCount(architecture));
        expect(await measure(examinationOf(architecture, units), architecture, teacher.parameters, count)).toEqual(
          new Array<number>(count).fill(1),
        );
      }),
      { numRuns: 10 },
    );
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  actionsOf,
  argmax,
  boundActions,
  greedyActions,
  sampleAction,
  sampleChoice,
  sampleGaussian,
} from "../../src/network/action.ts";
import { type Architecture, dense } from "../../src/network/architecture.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";
import { input } from "../../src/tensor/graph.ts";
import { Program } from "../../src/tensor/program.ts";

const choices = dense(1, [], 3, "logits");
/** Two dimensions within [-1, 1] and [0, 5]. */
const continuous: Architecture = {
  ...dense(1, [], 2, "gaussian"),
  gaussian: { logStd: [Math.log(0.5), Math.log(2)], low: [-1, 0], high: [1, 5] },
};

describe("a choice drawn from logits", () => {
  /** Counts of 10,000 draws. */
  function counts(logits: readonly number[]): number[] {
    const random = new Pcg64(3);
    const row = Float32Array.from(logits);
    const result = logits.map(() => 0);
    for (let k = 0; k < 10_000; k++) result[sampleChoice(row, random)]!++;
    return result;
  }

  it.each([[[0, 0, 0, 0]], [[1, -2, 0.5, 3]], [[-50, -49, -51, -48]], [[700, 701, 699, 698]]])(
    "comes as often as softmax(%j) says",
    (logits) => {
      const exps = logits.map((x) => Math.exp(x - Math.max(...logits)));
      const total = exps.reduce((a, b) => a + b);
      const chiSquare = counts(logits).reduce((sum, count, i) => {
        const expected = (10_000 * exps[i]!) / total;
        return sum + (count - expected) ** 2 / expected;
      }, 0);
      // The 99.9 % quantile with 3 degrees of freedom.
      expect(chiSquare).toBeLessThan(16.27);
    },
  );

  it("is the certain one where logits are extreme, wherever it stands", () => {
    expect(counts([3e38, 0, -3e38])).toEqual([10_000, 0, 0]);
    expect(counts([-3e38, 1000, 0])).toEqual([0, 10_000, 0]);
    expect(counts([-1e4, -1e4, 0])).toEqual([0, 0, 10_000]);
  });

  it("is the only one of one", () => {
    expect(sampleChoice(Float32Array.of(-7), new Pcg64(1))).toBe(0);
  });

  it("takes one number of the stream", () => {
    const [drawn, expected] = [new Pcg64(9), new Pcg64(9)];
    for (const logits of [[0, 0], [1000, 0, 0], [5]]) {
      sampleChoice(Float32Array.from(logits), drawn);
      expected.double();
    }
    expect(drawn.getState()).toEqual(expected.getState());
  });

  it("is one that there is, whatever the logits", () => {
    const logits = fc.float32Array({ minLength: 1, maxLength: 6, noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(logits, fc.nat(), (row, seed) => {
        const choice = sampleChoice(row, new Pcg64(seed));
        expect(row[choice]).toBeDefined();
      }),
    );
  });
});

describe("a draw from a Gaussian", () => {
  it("has its mean and its deviation in each dimension, and no correlation between them", () => {
    const random = new Pcg64(5);
    const draws = Array.from({ length: 20_000 }, () => {
      const into = new Float32Array(2);
      sampleGaussian(Float32Array.of(3, -1), continuous.gaussian!.logStd, random, into);
      return [(into[0]! - 3) / 0.5, (into[1]! + 1) / 2];
    });
    const moment = (of: (draw: readonly number[]) => number): number =>
      draws.reduce((total, draw) => total + of(draw), 0) / draws.length;
    // Within 4 standard errors of a standard normal's moments: deviations of x, x^2, x^3, x^4 are 1, sqrt 2, sqrt 15, sqrt 96.
    const error = 4 / Math.sqrt(draws.length);
    for (const d of [0, 1]) {
      expect(Math.abs(moment((x) => x[d]!))).toBeLessThan(error);
      expect(Math.abs(moment((x) => x[d]! ** 2) - 1)).toBeLessThan(error * Math.sqrt(2));
      expect(Math.abs(moment((x) => x[d]! ** 3))).toBeLessThan(error * Math.sqrt(15));
      expect(Math.abs(moment((x) => x[d]! ** 4) - 3)).toBeLessThan(error * Math.sqrt(96));
    }
    expect(Math.abs(moment(([a, b]) => a! * b!))).toBeLessThan(error);
  });

  it("is not limited to the bounds", () => {
    const into = new Float32Array(2);
    sampleGaussian(Float32Array.of(100, -100), [-20, -20], new Pcg64(1), into);
    expect([...into].map(Math.round)).toEqual([100, -100]);
  });
});

describe("limits", () => {
  it("are those of each dimension, row after row", () => {
    const actions = Float32Array.of(-3, -3, 0.5, 0.5, 3, 7, -1, 5);
    boundActions(continuous, actions);
    expect([...actions]).toEqual([-1, 0, 0.5, 0.5, 1, 5, -1, 5]);
  });

  it("are none where there are no bounds", () => {
    const actions = Float32Array.of(-3, 7);
    boundActions(choices, actions);
    expect([...actions]).toEqual([-3, 7]);
  });
});

describe("greedy actions of a batch", () => {
  async function greedy(architecture: Architecture, outputs: readonly number[][]): Promise<number[]> {
    const x = input([outputs.length, outputs[0]!.length]);
    const program = await Program.compile({ inputs: { x }, outputs: { actions: greedyActions(architecture, x) } });
    program.floats("x").set(outputs.flat());
    await program.run();
    const actions = [...actionsOf(architecture, program)];
    await program.dispose();
    return actions;
  }

  it("are the largest of each row, the first among equals, as for one row", async () => {
    const rows = [
      [1, 3, 2],
      [5, 5, 5],
      [-2, -1, -1],
    ];
    expect(await greedy(choices, rows)).toEqual([1, 0, 1]);
    expect(rows.map((row) => argmax(Float32Array.from(row)))).toEqual([1, 0, 1]);
  });

  it("are the means within the bounds", async () => {
    const rows = [
      [0.25, 2],
      [-1.5, -0.5],
      [1.5, 5.5],
    ];
    expect(await greedy(continuous, rows)).toEqual([0.25, 2, -1, 0, 1, 5]);
  });
});

describe("squashed actions", () => {
  /** Middles 0 and 2.5, halves of the ranges 1 and 2.5. */
  const squashed: Architecture = { ...continuous, gaussian: { ...continuous.gaussian!, squash: true } };

  it("are on the range by a tanh, row after row: its ends are reached far out", () => {
    const actions = Float32Array.of(0, 0, 0.5, -0.5, 40, -40);
    boundActions(squashed, actions);
    const half = Math.tanh(0.5);
    const expected = [0, 2.5, half, 2.5 - 2.5 * half, 1, 0];
    for (const [i, value] of expected.entries()) expect(actions[i]).toBeCloseTo(value, 6);
    expect(actions.every((value, i) => value >= [-1, 0][i % 2]! && value <= [1, 5][i % 2]!)).toBe(true);
  });

  it("are the same in a program, and never beyond the bounds", async () => {
    const x = input([3, 2]);
    const program = await Program.compile({ inputs: { x }, outputs: { actions: greedyActions(squashed, x) } });
    const means = [0, 0, 0.5, -0.5, 40, -40];
    program.floats("x").set(means);
    await program.run();
    const expected = Float32Array.from(means);
    boundActions(squashed, expected);
    for (const [i, value] of expected.entries()) expect(program.floats("actions")[i]).toBeCloseTo(value, 6);
    await program.dispose();
  });

  it("are drawn in front of the tanh", () => {
    const outputs = Float32Array.of(9, 9, 0.3, -0.2);
    const actions = new Float32Array(4);
    sampleAction(squashed, outputs, 1, new Pcg64(7), actions);
    const expected = new Float32Array(2);
    sampleGaussian(outputs.subarray(2), squashed.gaussian!.logStd, new Pcg64(7), expected);
    expect(actions[2]).toBeCloseTo(Math.tanh(expected[0]!), 6);
    expect(actions[3]).toBeCloseTo(2.5 + 2.5 * Math.tanh(expected[1]!), 6);
    expect(actions[0]).toBe(0);
  });
});

describe("the drawn action of a lane", () => {
  it("is a choice from its own row's logits", () => {
    const outputs = Float32Array.of(9, 0, 0, 0, 0, 9, 0, 1000, 0);
    const actions = Int32Array.of(-1, -1, -1);
    sampleAction(choices, outputs, 2, new Pcg64(1), actions);
    expect([...actions]).toEqual([-1, -1, 1]);
  });

  it("is a draw around its own row's means within the bounds", () => {
    const outputs = Float32Array.of(0, 0, 100, 2, 0, 0);
    const actions = new Float32Array(6).fill(-9);
    sampleAction(continuous, outputs, 1, new Pcg64(7), actions);
    const expected = new Float32Array(2);
    sampleGaussian(outputs.subarray(2, 4), continuous.gaussian!.logStd, new Pcg64(7), expected);
    expect(expected[0]).toBeGreaterThan(1);
    expect(Math.abs(expected[1]! - 2.5)).toBeLessThan(2.5);
    expect([...actions]).toEqual([-9, -9, 1, expected[1], -9, -9]);
  });

  it("of Q-values is the greedy one that stands there, and draws nothing", () => {
    const random = new Pcg64(1);
    const actions = Int32Array.of(2);
    sampleAction(dense(1, [], 3, "q-values"), Float32Array.of(9, 0, 0), 0, random, actions);
    expect([...actions]).toEqual([2]);
    expect(random.getState()).toEqual(new Pcg64(1).getState());
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { explainedVariance, generalizedAdvantages, type RolloutValues } from "../../src/teacher/advantages.ts";

/** One lane of three steps, gamma = lambda = 1/2; V of the state that the last step led to is 8. */
const lane = {
  lanes: 1,
  rewards: [1, 2, 4],
  values: [1, 2, 3],
  nextValues: [2, 3, 8],
  terminated: [0, 0, 0],
  ended: [0, 0, 0],
};
/** delta = 1, 1.5, 5; A = 1 + 2.75 / 4, 1.5 + 5 / 4, 5. */
const goesOn = [1.6875, 2.75, 5];
/** Step 1 ends the task: its delta is 2 - 2. What V says of the final state, 10, does not count. */
const terminated = { ...lane, nextValues: [2, 10, 8], terminated: [0, 1, 0], ended: [0, 1, 0] };
/** Step 1 is cut off in a state worth 10: its delta is 2 + 10 / 2 - 2, and nothing of step 2 is in it. */
const truncated = { ...terminated, terminated: [0, 0, 0] };

const advantagesOf = (rollout: RolloutValues, gamma = 0.5, lambda = 0.5): number[] => [
  ...generalizedAdvantages(rollout, gamma, lambda),
];

/** Rows of two lanes in turn. */
function interleaved(a: typeof lane, b: typeof lane): RolloutValues {
  const mixed = (key: "rewards" | "values" | "nextValues" | "terminated" | "ended"): number[] =>
    a[key].flatMap((value, t) => [value, b[key][t]!]);
  return {
    lanes: 2,
    rewards: mixed("rewards"),
    values: mixed("values"),
    nextValues: mixed("nextValues"),
    terminated: mixed("terminated"),
    ended: mixed("ended"),
  };
}

const END = { none: [0, 0], terminated: [1, 1], truncated: [0, 1] } as const;
const whole = fc.integer({ min: -8, max: 8 });
/** Rollouts of up to 4 lanes and 6 steps; V of the next state is that of the next row unless the episode ended. */
const rollouts: fc.Arbitrary<RolloutValues> = fc
  .record({
    lanes: fc.integer({ min: 1, max: 4 }),
    steps: fc.array(
      fc.array(fc.record({ reward: whole, value: whole, final: whole, end: fc.constantFrom(...Object.values(END)) }), {
        minLength: 4,
        maxLength: 4,
      }),
      { minLength: 1, maxLength: 6 },
    ),
  })
  .map(({ lanes, steps }) => {
    const rows = steps.flatMap((step) => step.slice(0, lanes));
    return {
      lanes,
      rewards: rows.map(({ reward }) => reward),
      values: rows.map(({ value }) => value),
      nextValues: rows.map(({ final, end }, row) => (end[1] ? final : (rows[row + lanes]?.value ?? final))),
      terminated: rows.map(({ end }) => end[0]),
      ended: rows.map(({ end }) => end[1]),
    };
  });

/** r + gamma V(s') - V(s) of one row. */
const errorOf = (
  { rewards, values, nextValues, terminated: over }: RolloutValues,
  row: number,
  gamma: number,
): number => rewards[row]! + gamma * (over[row] ? 0 : nextValues[row]!) - values[row]!;

/** The rows of the episode from `row` on, as far as they were played. */
function restOf({ lanes, rewards, ended }: RolloutValues, row: number): number[] {
  const rest: number[] = [];
  for (let at = row; at < rewards.length; at += lanes) {
    rest.push(at);
    if (ended[at]) break;
  }
  return rest;
}

function expectRows(rollout: RolloutValues, gamma: number, lambda: number, expected: (row: number) => number): void {
  for (const [row, advantage] of advantagesOf(rollout, gamma, lambda).entries()) {
    expect(advantage).toBeCloseTo(expected(row), 3);
  }
}

describe("generalised advantage estimation", () => {
  it("adds up discounted temporal differences to the end of the rollout, whose last state is bootstrapped", () => {
    expect(advantagesOf(lane)).toEqual(goesOn);
  });

  it("takes nothing to follow a termination", () => {
    expect(advantagesOf(terminated)).toEqual([1, 0, 5]);
  });

  it("bootstraps an episode that was cut off from its final state, not from the next episode", () => {
    expect(advantagesOf(truncated)).toEqual([2.25, 5, 5]);
  });

  it("keeps lanes apart", () => {
    expect(advantagesOf(interleaved(lane, truncated))).toEqual([1.6875, 2.25, 2.75, 5, 5, 5]);
    expect(advantagesOf(interleaved(terminated, lane))).toEqual([1, 1.6875, 0, 2.75, 5, 5]);
  });

  it("is the sum of (gamma lambda)^k delta_t+k over the rest of the episode", () => {
    fc.assert(
      fc.property(rollouts, fc.constantFrom(0.3, 0.9, 1), fc.constantFrom(0.5, 0.95), (rollout, gamma, lambda) => {
        expectRows(rollout, gamma, lambda, (row) =>
          restOf(rollout, row).reduce((sum, at, k) => sum + (gamma * lambda) ** k * errorOf(rollout, at, gamma), 0),
        );
      }),
    );
  });

  it("is the temporal difference for lambda 0", () => {
    fc.assert(
      fc.property(rollouts, (rollout) => {
        expectRows(rollout, 0.9, 0, (row) => errorOf(rollout, row, 0.9));
      }),
    );
  });

  it("is the discounted return, bootstrapped unless the task ended, less the value for lambda 1", () => {
    fc.assert(
      fc.property(rollouts, (rollout) => {
        expectRows(rollout, 0.9, 1, (row) => {
          const rest = restOf(rollout, row);
          const last = rest.at(-1)!;
          const played = rest.reduce((sum, at, k) => sum + 0.9 ** k * rollout.rewards[at]!, 0);
          const after = rollout.terminated[last] ? 0 : rollout.nextValues[last]!;
          return played + 0.9 ** rest.length * after - rollout.values[row]!;
        });
      }),
    );
  });

  it.each<[string, Partial<RolloutValues>]>([
    ["half a step", { lanes: 2 }],
    ["too few values", { values: [1, 2] }],
    ["too many values of next states", { nextValues: [1, 2, 3, 4] }],
    ["no terminations", { terminated: [] }],
    ["too few ends", { ended: [0, 0] }],
  ])("refuses %s", (_, wrong) => {
    expect(() => generalizedAdvantages({ ...lane, ...wrong }, 0.5, 0.5)).toThrow(ShapeError);
  });
});

describe("the explained variance", () => {
  const explained = (values: readonly number[], targets: readonly number[]): number =>
    explainedVariance(Float32Array.from(values), Float32Array.from(targets));

  it("is 1 less the variance of the errors over that of the targets: 1 - (3/16) / (5/4)", () => {
    expect(explained([1, 2, 3, 3], [1, 2, 3, 4])).toBeCloseTo(0.85, 12);
  });

  it("is 1 for values that are right but for a constant", () => {
    expect(explained([11, 12, 13, 14], [1, 2, 3, 4])).toBe(1);
  });

  it("is 0 for values that are all the same, and below for such as are worse", () => {
    expect(explained([7, 7, 7, 7], [1, 2, 3, 4])).toBe(0);
    expect(explained([4, 3, 2, 1], [1, 2, 3, 4])).toBe(-3);
  });

  it("is 0 where the targets do not vary, whatever they are", () => {
    const rows = fc.integer({ min: 1, max: 50 });
    fc.assert(
      fc.property(fc.float({ min: -1000, max: 1000, noNaN: true }), rows, (target, count) => {
        const values = Array.from({ length: count }, (_, i) => i);
        expect(explained(values, new Array<number>(count).fill(target))).toBe(0);
      }),
      // Rounded sums of these squares are not the square of the rounded mean.
      { examples: [0.1, 3.3, -77.7].map((x): [number, number] => [Math.fround(x), 1000]) },
    );
  });

  it("keeps its digits for targets that vary little around a large number", () => {
    // The errors are 0, 0, 0, 0, 0, 1: 1 - (5/36) / (35/12).
    const far = (numbers: readonly number[]): number[] => numbers.map((x) => 2 ** 23 + x);
    expect(explained(far([1, 2, 3, 4, 5, 5]), far([1, 2, 3, 4, 5, 6]))).toBeCloseTo(20 / 21, 9);
  });
});

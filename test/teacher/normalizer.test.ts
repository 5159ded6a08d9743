import fc from "fast-check";
import { expect, it } from "vitest";
import { RunningStatistics } from "../../src/teacher/normalizer.ts";

const row = fc.tuple(
  fc.double({ min: -100, max: 100, noNaN: true }),
  fc.double({ min: 999, max: 1001, noNaN: true }),
  fc.constant(0.1),
);
const rows = fc.array(row, { minLength: 2, maxLength: 30 });

function statisticsOf(...batches: readonly (readonly number[])[][]): RunningStatistics {
  const statistics = new RunningStatistics(3);
  for (const batch of batches) statistics.update(batch.flat());
  return statistics;
}

it("are mean and deviation of a two-pass computation", () => {
  fc.assert(
    fc.property(rows, (values) => {
      const statistics = statisticsOf(values);
      for (const i of [0, 1, 2]) {
        const column = values.map((value) => value[i]!);
        const mean = column.reduce((total, x) => total + x, 0) / column.length;
        const variance = column.reduce((total, x) => total + (x - mean) ** 2, 0) / column.length;
        expect(statistics.mean(i)).toBeCloseTo(mean, 9);
        expect(statistics.deviation(i)).toBeCloseTo(Math.sqrt(variance + 1e-8), 9);
      }
    }),
  );
});

it("are those of the population: 0 and 2 have the mean 1 and the deviation 1", () => {
  const statistics = new RunningStatistics(1);
  statistics.update([0, 2]);
  expect(statistics.mean(0)).toBe(1);
  expect(statistics.deviation(0)).toBeCloseTo(1, 7);
});

it("do not depend on how the rows come, to the bit", () => {
  fc.assert(
    fc.property(rows, fc.array(fc.nat(30), { maxLength: 4 }), (values, cuts) => {
      const borders = [0, ...cuts.map((cut) => Math.min(cut, values.length)).toSorted((a, b) => a - b), values.length];
      const batches = borders.slice(1).map((end, k) => values.slice(borders[k], end));
      expect(statisticsOf(...batches).getState()).toEqual(statisticsOf(values).getState());
    }),
  );
});

it("of a number that never changes are that number and a deviation that divides nothing by 0", () => {
  const statistics = new RunningStatistics(1);
  statistics.update(new Array<number>(1000).fill(0.1));
  expect(statistics.mean(0)).toBe(0.1);
  expect(statistics.deviation(0)).toBe(1e-4);
});

it("have the deviation 1 as long as one row says nothing of it", () => {
  const statistics = new RunningStatistics(2);
  expect([statistics.deviation(0), statistics.mean(0)]).toEqual([1, 0]);
  statistics.update([7, -3]);
  expect([statistics.deviation(0), statistics.mean(0), statistics.mean(1)]).toEqual([1, 7, -3]);
});

it("go on after a round trip of their state as if there had been none, and leave that state alone", () => {
  fc.assert(
    fc.property(rows, rows, (before, after) => {
      const whole = statisticsOf(before);
      const state = whole.getState();
      const copy = new RunningStatistics(3);
      copy.setState(structuredClone(state));
      const kept = structuredClone(state);
      for (const statistics of [whole, copy]) statistics.update(after.flat());
      expect(copy.getState()).toEqual(whole.getState());
      expect(state).toEqual(kept);
    }),
  );
});

it("are carried by a policy as they are now", () => {
  const statistics = statisticsOf([
    [0, 1000, 5],
    [2, 1000, 7],
  ]);
  const carried = statistics.normalization(10);
  const values = [0, 1, 2].map((i) => [statistics.mean(i), statistics.deviation(i)]);
  statistics.update([9, 9, 9]);
  expect(carried).toEqual({ mean: values.map(([mean]) => mean), deviation: values.map(([, sd]) => sd), clip: 10 });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import { type Architecture, dense } from "../../src/network/architecture.ts";
import { asTaken, logOf, type ObservationLog } from "../../src/observations/log.ts";
import { type ObservedUnits, splitLog, unitsOf } from "../../src/observations/split.ts";

/** Observations [row, 2 row] with these episodes. */
function logWith(rows: number, episodes: readonly number[] | null): ObservationLog {
  const observations = Float32Array.from({ length: 2 * rows }, (_, i) => Math.floor(i / 2) * (1 + (i % 2)));
  return logOf([2], observations, episodes && Int32Array.from(episodes), "0".repeat(64));
}
const sizes = ({ units }: ObservationLog): number[] => units.map(({ length }) => length);
const rowsOf = ({ observations }: ObservedUnits): number[] => [...observations].filter((_, i) => i % 2 === 0);

describe("what belongs together", () => {
  it("are episodes, wherever their rows stand, where there are 20", () => {
    const log = logWith(
      60,
      Array.from({ length: 60 }, (_, row) => row % 20),
    );
    expect(log.by).toBe("episode");
    expect(log.units.map((unit) => [...unit])).toEqual(Array.from({ length: 20 }, (_, k) => [k, k + 20, k + 40]));
  });

  it("are 100 blocks of neighbours where nothing is known of episodes", () => {
    const log = logWith(1050, null);
    expect(log.by).toBe("block");
    expect(sizes(log)).toHaveLength(100);
    expect(new Set(sizes(log))).toEqual(new Set([10, 11]));
    expect(log.units.flatMap((unit) => [...unit])).toEqual(Array.from({ length: 1050 }, (_, row) => row));
  });

  it("are blocks that no episode's end runs through where there are fewer than 20 episodes", () => {
    const log = logWith(
      1000,
      Array.from({ length: 1000 }, (_, row) => (row < 333 ? 0 : row < 337 ? 1 : 2)),
    );
    expect(log.by).toBe("block");
    const crossing = log.units.filter((unit) => unit.includes(332) !== unit.includes(331) && unit.includes(333));
    expect(crossing).toEqual([]);
    // 333 rows, 4, and 663: about 10 each, the short episode by itself.
    expect(log.units.find((unit) => unit.includes(334))).toEqual(Int32Array.of(333, 334, 335, 336));
    expect(sizes(log).reduce((total, size) => total + size, 0)).toBe(1000);
    expect(sizes(log).every((size) => size >= 4 && size <= 11)).toBe(true);
  });
});

describe("the parts of a log", () => {
  const anyLog = fc
    .record({
      rows: fc.integer({ min: 1000, max: 1500 }),
      episodes: fc.integer({ min: 1, max: 60 }),
      known: fc.boolean(),
    })
    .map(({ rows, episodes, known }) =>
      logWith(rows, known ? Array.from({ length: rows }, (_, row) => Math.floor((row * episodes) / rows)) : null),
    );

  it("hold every observation once, in whole units, each in its order", () => {
    fc.assert(
      fc.property(anyLog, fc.nat(), (log, seed) => {
        const { training, selection, proof } = splitLog(log, seed);
        const all = [training, selection, proof].flatMap(rowsOf).sort((a, b) => a - b);
        expect(all).toEqual(Array.from({ length: log.observations.length / 2 }, (_, row) => row));
        for (const part of [training, selection, proof]) {
          const rows = rowsOf(part);
          for (let k = 0; k + 1 < part.starts.length; k++) {
            const unit = rows.slice(part.starts[k], part.starts[k + 1]);
            expect(log.units.map((own) => [...own])).toContainEqual(unit);
          }
        }
      }),
      { numRuns: 20 },
    );
  });

  it("are 60, 15 and 25 in a hundred of the units", () => {
    const { training, selection, proof } = splitLog(logWith(1000, null), 1);
    expect([training, selection, proof].map(({ starts }) => starts.length - 1)).toEqual([60, 15, 25]);
  });

  it("leave at least two units for each bound", () => {
    const { selection, proof } = splitLog(
      logWith(
        1000,
        Array.from({ length: 1000 }, (_, row) => row % 20),
      ),
      1,
    );
    expect([selection, proof].map(({ starts }) => starts.length - 1)).toEqual([3, 5]);
  });

  it("are drawn by the seed, the same for the same", () => {
    const log = logWith(1000, null);
    expect(splitLog(log, 3)).toEqual(splitLog(log, 3));
    expect(rowsOf(splitLog(log, 3).proof)).not.toEqual(rowsOf(splitLog(log, 4).proof));
  });

  it("are all units where all are asked for", () => {
    const log = logWith(1000, null);
    const whole = unitsOf(log);
    expect(rowsOf(whole)).toEqual(Array.from({ length: 1000 }, (_, row) => row));
    expect(whole.starts.at(-1)).toBe(1000);
  });
});

describe("observations of a shape", () => {
  const log = (shape: readonly number[]): ObservationLog => ({ ...logWith(1000, null), shape });
  const images = (input: number[]): Architecture => ({ ...dense(1, [], 2, "logits"), input });

  it.each([
    [[4], [4]],
    [[2, 3], [6]],
    [[6], [2, 3]],
    [[1, 4], [4]],
    [
      [4, 1],
      [1, 4],
    ],
    [
      [2, 3],
      [2, 3],
    ],
  ])("%j fit a policy that takes %j", (shape, input) => {
    expect(asTaken(images(input), log(shape))).toEqual(log(shape));
  });

  it.each([
    [[5], [4], "holds observations of shape [5], but 4-2 takes [4]"],
    [[3, 2], [2, 3], "holds observations of shape [3, 2], but 2x3-2 takes [2, 3]"],
    [[84, 84, 4], [4, 84, 42], "holds observations of shape [84, 84, 4], but 4x84x42-2 takes [4, 84, 42]"],
  ])("%j do not fit a policy that takes %j", (shape, input, message) => {
    expect(() => {
      asTaken(images(input), log(shape));
    }).toThrow(new UsageError("--observations", message));
  });

  it("are turned where they are images whose channels come last", () => {
    // Two images of 1x3 pixels of 2 channels each.
    const numbers = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    const last = logOf([1, 3, 2], numbers, null, "0".repeat(64));
    const { shape, observations } = asTaken(images([2, 1, 3]), last);
    expect(shape).toEqual([2, 1, 3]);
    expect([...observations]).toEqual([1, 3, 5, 2, 4, 6, 7, 9, 11, 8, 10, 12]);
  });

  it("say nothing of a policy with one choice", () => {
    expect(() => asTaken(dense(4, [], 1, "q-values"), log([4]))).toThrow(
      "a choice of one, in which all policies agree",
    );
  });
});

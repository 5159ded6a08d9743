import { describe, expect, it } from "vitest";
import { FileError } from "../../src/errors.ts";
import { type NamedArray, numbered, recordedIn } from "../../src/observations/arrays.ts";

const array = (name: string, shape: readonly number[], values?: readonly number[], floating = true): NamedArray => ({
  name,
  shape,
  floating,
  read: (into) => {
    into.set(values ?? Array.from({ length: into.length }, (_, i) => i));
    return into;
  },
});
const recorded = (...arrays: NamedArray[]) => recordedIn(arrays, undefined, "log.npz");
const episodesWith = (...arrays: NamedArray[]) => recorded(array("obs", [6, 2]), ...arrays).episodes;

describe("the array of observations", () => {
  it("is the one that is called so", () => {
    const { shape, observations, episodes } = recorded(
      array("actions", [3, 5]),
      array("observations", [3, 2]),
      array("obs", [3, 4]),
    );
    expect([shape, [...observations], episodes]).toEqual([[2], [0, 1, 2, 3, 4, 5], null]);
  });

  it("is `obs` where there are no `observations`, whatever its numbers are", () => {
    expect(recorded(array("states", [3, 5]), array("obs", [3, 2, 2], undefined, false)).shape).toEqual([2, 2]);
  });

  it("is else the only one of floating-point numbers in two dimensions or more", () => {
    const others = [array("actions", [3, 1], undefined, false), array("rewards", [3])];
    expect(recorded(...others, array("x", [3, 4])).shape).toEqual([4]);
    expect(() => recorded(...others, array("x", [3, 4]), array("next", [3, 4]))).toThrow(
      "log.npz: has several arrays that may be observations (x [3, 4], next [3, 4]): name one with --observations-key",
    );
    expect(() => recorded(...others)).toThrow(
      "has no array of observations: expected one that is called observations or obs, or holds floating-point numbers; it has actions [3, 1], rewards [3]",
    );
  });

  it("is the one that was named", () => {
    const arrays = [array("observations", [3, 2]), array("next", [3, 4])];
    expect(recordedIn(arrays, "next", "x").shape).toEqual([4]);
    expect(() => recordedIn(arrays, "nexd", "x")).toThrow(
      'x: has no array "nexd"; it has observations [3, 2], next [3, 4]',
    );
  });

  it("of one dimension has observations of one number", () => {
    expect(recorded(array("obs", [3])).shape).toEqual([1]);
  });

  it.each([[[]], [[0, 4]], [[4, 0]]])("of shape %j is refused", (shape) => {
    expect(() => recorded(array("obs", shape))).toThrow(FileError);
  });

  it("of more numbers than are read is refused before they are", () => {
    const huge = { ...array("obs", [2 ** 27, 4]), read: () => expect.unreachable() };
    expect(() => recorded(huge)).toThrow("has more than the 268435456 numbers that are read");
  });
});

describe("episodes", () => {
  it.each<[what: string, arrays: NamedArray[], episodes: number[]]>([
    ["numbers, wherever their rows stand", [array("episode", [6], [7, 7, 2, 7, 2, 9])], [0, 0, 1, 0, 1, 2]],
    [
      "`episodes`, beside flags that say otherwise",
      [array("dones", [6], [1, 1, 1, 1, 1, 1]), array("episodes", [6], [1, 1, 1, 2, 2, 2])],
      [0, 0, 0, 1, 1, 1],
    ],
    ["starts, the first row being one anyway", [array("episode_starts", [6], [0, 0, 1, 1, 0, 0])], [0, 0, 1, 2, 2, 2]],
    [
      "ends of either kind",
      [array("terminals", [6], [0, 1, 0, 0, 0, 0]), array("timeouts", [6], [0, 0, 0, 1, 0, 0])],
      [0, 0, 1, 1, 2, 2],
    ],
    ["ends alone", [array("terminals", [6], [0, 0, 1, 0, 0, 1])], [0, 0, 0, 1, 1, 1]],
    [
      "Gymnasium's names",
      [array("terminations", [6, 1], [1, 0, 0, 0, 0, 0]), array("truncations", [6, 1], [0, 0, 1, 0, 0, 0])],
      [0, 1, 1, 2, 2, 2],
    ],
  ])("are told by %s", (_, arrays, episodes) => {
    expect([...(episodesWith(...arrays) ?? [])]).toEqual(episodes);
  });

  it("are not known where nothing tells of them", () => {
    expect(episodesWith(array("rewards", [6]))).toBeNull();
  });

  it("of several environments in lock-step run beside each other", () => {
    // Three steps of two environments: rows are step 0 of both, then step 1 of both, ...
    const obs = array("observations", [3, 2, 4]);
    const starts = recorded(obs, array("episode_starts", [3, 2], [1, 1, 0, 1, 1, 0]));
    expect([starts.shape, [...(starts.episodes ?? [])]]).toEqual([[4], [0, 1, 0, 2, 3, 2]]);
    const ends = recorded(obs, array("dones", [3, 2], [0, 1, 1, 0, 0, 0]));
    expect([...(ends.episodes ?? [])]).toEqual([0, 1, 0, 2, 3, 2]);
  });

  it("are told by whole numbers and by flags that are 0 or 1 alone", () => {
    expect(() => episodesWith(array("episode", [6], [0, 0, 0.5, 1, 1, 1]))).toThrow(
      'array "episode" of shape [6] holds 0.5, expected whole numbers of episodes',
    );
    expect(() => episodesWith(array("dones", [6], [0, 0, 1, 0, 2, 0]))).toThrow(
      'array "dones" of shape [6] holds 2, expected 0 or 1, or truth values',
    );
  });

  it("of another number of rows are refused", () => {
    expect(() => episodesWith(array("episode", [5]))).toThrow(
      'array "episode" of shape [5] says to which episode observations belong, but there are 6 of them',
    );
    expect(() => episodesWith(array("terminals", [2, 2]))).toThrow("there are 6 of them");
  });

  it("are counted by their first appearance, by name or number", () => {
    expect([...numbered(["b", "a", "b", "c"])]).toEqual([0, 1, 0, 2]);
  });
});

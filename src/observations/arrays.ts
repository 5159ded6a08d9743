import { FileError } from "../errors.ts";
import { elementsOf } from "../shape.ts";
import { MAX_ELEMENTS, MAX_EPISODES, MAX_ROWS, refuseEpisodes } from "./limits.ts";

/** An array of a file, whose numbers are read when they are asked for. */
export interface NamedArray {
  readonly name: string;
  readonly shape: readonly number[];
  /** Whether it holds floating-point numbers. */
  readonly floating: boolean;
  /**
   * Its numbers in row-major order, into an array of as many elements.
   * @throws FileError when they are no numbers, or cannot be read
   */
  readonly read: <Into extends Float32Array | Float64Array>(into: Into) => Into;
}

/** Observations of a file, and to which episode each belongs. */
export interface Recorded {
  /** Shape of one observation. */
  readonly shape: readonly number[];
  /** [rows, observation size] */
  readonly observations: Float32Array;
  /** [rows], counted from 0; `null` when the file does not say. */
  readonly episodes: Int32Array | null;
}

/** Names of observations, the first that is there counts. */
export const OBSERVATIONS = ["observations", "obs"];
/** One number or name of an episode for each observation. */
export const NUMBERS = ["episode", "episodes", "episode_id", "episode_ids"];
/** True for the first observation of an episode, as in Stable-Baselines3. */
const STARTS = ["episode_starts"];
/** True for the last observation of an episode; any of them ends it. D4RL has the first two, Gymnasium and others the rest. */
const ENDS = ["terminals", "timeouts", "terminations", "truncations", "terminated", "truncated", "dones"];

/**
 * The array of observations, and the episodes that others tell of. Steps of several environments in lock-step, [steps,
 * environments, ...], are told by flags of [steps, environments].
 * @param key its name, if it is neither `observations` nor `obs` nor the only one of floating-point numbers in two dimensions or more
 * @throws FileError when there is none, or none that alone could be meant
 */
export function recordedIn(arrays: readonly NamedArray[], key: string | undefined, path: string): Recorded {
  const chosen = choose(arrays, key, path);
  const { shape } = chosen;
  const [rows = 0] = shape;
  const flags = [...NUMBERS, ...STARTS, ...ENDS].flatMap((name) => arrays.filter((array) => array.name === name));
  const [steps, lanes = 1] = flags.find((array) => array !== chosen)?.shape ?? [];
  const inLanes = lanes > 1 && steps === rows && shape[1] === lanes && shape.length > 2;
  const each = inLanes ? lanes : 1;
  const observations = floatsOf(chosen, path);
  return {
    shape: shape.length === 1 ? [1] : shape.slice(inLanes ? 2 : 1),
    observations,
    episodes: episodesOf(arrays, rows * each, each, path),
  };
}

/** All numbers of an array that observations may have. */
export function floatsOf(array: NamedArray, path: string): Float32Array {
  const elements = elementsOf(array.shape);
  if (array.shape.length === 0 || elements === 0) {
    throw new FileError(path, `${named(array)} holds no observations: its first dimension is their number`);
  }
  // A product beyond 2^53 is inexact, but far above the limit.
  if (elements > MAX_ELEMENTS) {
    throw new FileError(path, `${named(array)} has more than the ${MAX_ELEMENTS} numbers that are read`);
  }
  if ((array.shape[0] ?? 0) > MAX_ROWS) {
    throw new FileError(path, `${named(array)} has more than the ${MAX_ROWS} rows that are read`);
  }
  return array.read(new Float32Array(elements));
}

const named = ({ name, shape }: NamedArray): string => `array ${JSON.stringify(name)} of shape [${shape.join(", ")}]`;

function choose(arrays: readonly NamedArray[], key: string | undefined, path: string): NamedArray {
  const list = (some: readonly NamedArray[]): string => {
    const shown = some.slice(0, 10).map((array) => `${array.name} [${array.shape.join(", ")}]`);
    return `${shown.join(", ")}${some.length > shown.length ? ` and ${some.length - shown.length} more` : ""}`;
  };
  if (key !== undefined) {
    const found = arrays.find(({ name }) => name === key);
    if (found) return found;
    throw new FileError(path, `has no array ${JSON.stringify(key)}; it has ${list(arrays) || "none"}`);
  }
  for (const usual of OBSERVATIONS) {
    const found = arrays.find(({ name }) => name === usual);
    if (found) return found;
  }
  const candidates = arrays.filter(({ shape, floating }) => floating && shape.length >= 2);
  const [only] = candidates;
  if (only && candidates.length === 1) return only;
  throw new FileError(
    path,
    only
      ? `has several arrays that may be observations (${list(candidates)}): name one with --observations-key`
      : `has no array of observations: expected one that is called observations or obs, or holds floating-point numbers; it has ${list(arrays) || "none"}`,
  );
}

/** Number of each row's episode, counted by first appearance; rows are [steps, lanes]. */
function episodesOf(arrays: readonly NamedArray[], rows: number, lanes: number, path: string): Int32Array | null {
  const valuesOf = (array: NamedArray, fits: (value: number) => boolean, expected: string): Float64Array => {
    const elements = elementsOf(array.shape);
    if (elements !== rows) {
      throw new FileError(
        path,
        `${named(array)} says to which episode observations belong, but there are ${rows} of them`,
      );
    }
    const values = array.read(new Float64Array(elements));
    const wrong = values.find((value) => !fits(value));
    if (wrong !== undefined) throw new FileError(path, `${named(array)} holds ${wrong}, expected ${expected}`);
    return values;
  };
  const called = (names: readonly string[]): NamedArray[] => arrays.filter(({ name }) => names.includes(name));
  const [numbers] = called(NUMBERS);
  if (numbers) return numbered(valuesOf(numbers, Number.isSafeInteger, "whole numbers of episodes"));
  const flagsOf = (array: NamedArray): Float64Array =>
    valuesOf(array, (value) => value === 0 || value === 1, "0 or 1, or truth values");
  const [starts] = called(STARTS).map(flagsOf);
  const ends = starts ? [] : called(ENDS).map(flagsOf);
  if (!starts && ends.length === 0) return null;
  const episodes = new Int32Array(rows);
  const current = new Int32Array(lanes);
  let count = 0;
  for (let row = 0; row < rows; row++) {
    const lane = row % lanes;
    const before = row - lanes;
    const begins = before < 0 || (starts ? starts[row] !== 0 : ends.some((flag) => flag[before] !== 0));
    if (begins) current[lane] = count++;
    episodes[row] = current[lane]!;
  }
  return episodes;
}

/** Numbers episodes from 0 by their first appearance. */
export function numbered(names: ArrayLike<number | string>): Int32Array {
  const numbers = new Map<number | string, number>();
  return Int32Array.from(names, (name) => {
    const known = numbers.get(name) ?? numbers.size;
    if (known >= MAX_EPISODES) refuseEpisodes();
    numbers.set(name, known);
    return known;
  });
}

import { FileError } from "../errors.ts";
import type { Normalization } from "../network/architecture.ts";
import { elementsOf } from "../shape.ts";
import { PickledDict, PickledObject, readPickle } from "./pickle.ts";
import { NUMPY_NAMES, numpyArray } from "./pickled-numpy.ts";

/** Spaces of Gymnasium and of gym, whose place it took. */
export const SPACE_NAMES = ["gymnasium", "gym"].flatMap((library) =>
  ["box.Box", "discrete.Discrete"].map((space) => `${library}.spaces.${space}`),
);
const VEC_NORMALIZE = "stable_baselines3.common.vec_env.vec_normalize.VecNormalize";
const RUNNING = "stable_baselines3.common.running_mean_std.RunningMeanStd";

/**
 * The statistics of observations in the file that Stable-Baselines3's `VecNormalize.save` wrote: (x - mean) / sqrt(var +
 * epsilon), limited to `clip_obs`. Nothing is executed.
 * @throws FileError when it is another file, or holds no statistics of observations that are arrays
 */
export function readVecNormalize(bytes: Uint8Array, path: string): Normalization {
  const allowed = new Set([...SPACE_NAMES, ...NUMPY_NAMES, VEC_NORMALIZE, RUNNING]);
  const root = readPickle(bytes, path, { allowed, hint: "expected what VecNormalize.save() wrote" });
  const state = root instanceof PickledObject && root.name === VEC_NORMALIZE ? root.state : null;
  if (!(state instanceof PickledDict)) throw new FileError(path, "is no VecNormalize: expected what its save() wrote");
  if (state.get("norm_obs") !== true) throw new FileError(path, "does not normalise observations: leave it out");
  const running = state.get("obs_rms");
  const moments = running instanceof PickledObject && running.state instanceof PickledDict ? running.state : undefined;
  const mean = numpyArray(moments?.get("mean"))?.data;
  const variance = numpyArray(moments?.get("var"))?.data;
  const [clip, epsilon] = ["clip_obs", "epsilon"].map((name) => {
    const value = state.get(name);
    return typeof value === "number" ? value : numpyArray(value)?.data[0];
  });
  if (!mean || mean.length !== variance?.length || clip === undefined || epsilon === undefined) {
    throw new FileError(path, "has no statistics of observations as arrays: dictionaries of observations are not read");
  }
  const deviation = variance.map((value) => Math.sqrt(value + epsilon));
  return { mean: [...mean], deviation, ...(clip !== Number.POSITIVE_INFINITY && { clip }) };
}

/** How observations are normalised that a file gives the network raw, and where that is from. */
export interface Statistics {
  readonly normalization: Normalization;
  readonly source: string;
}

/**
 * Statistics for observations of that shape. VecFrameStack around VecNormalize, as in RL Zoo, stacks what is normalised
 * already, in a row: then those of one observation hold for each.
 * @throws FileError when they are of observations of another size
 */
export function statisticsFor(
  { normalization, source }: Statistics,
  [size = 0, ...more]: readonly number[],
): Statistics {
  const { mean, deviation } = normalization;
  const frames = size / mean.length;
  const elements = elementsOf([size, ...more]);
  if (elements % mean.length !== 0) {
    throw new FileError(source, `holds statistics of ${mean.length} numbers, an observation has ${elements}`);
  }
  if (more.length > 0 || mean.length === 1 || frames === 1 || !Number.isInteger(frames)) {
    return { normalization, source: source.slice(0, 10_000) };
  }
  const repeated = (values: readonly number[]): number[] => Array.from({ length: frames }, () => values).flat();
  return {
    normalization: { ...normalization, mean: repeated(mean), deviation: repeated(deviation) },
    source: `${source.slice(0, 9_000)}, for each of ${frames} stacked observations`,
  };
}

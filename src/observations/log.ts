import { UsageError } from "../errors.ts";
import { type AnyArchitecture, describe, hasChannelsLast, inputSize, outputSize } from "../network/architecture.ts";
import { elementsOf } from "../shape.ts";
import { MAX_EPISODES, refuseEpisodes } from "./limits.ts";

/** Fewer episodes than these leave too few to hold out, and are cut into blocks. */
const LEAST_EPISODES = 20;
/** Blocks that a log without enough episodes is cut into. */
const BLOCKS = 100;
/** Fewer observations than these prove nothing. */
export const LEAST_OBSERVATIONS = 1_000;

/** Observations that somebody logged: all that is known of a task. */
export interface ObservationLog {
  /** Shape of one observation. */
  readonly shape: readonly number[];
  /** [rows, observation size], finite. */
  readonly observations: Float32Array;
  /** What belongs together: whole episodes, or blocks of neighbours where fewer than 20 episodes are known. */
  readonly by: "episode" | "block";
  /** Rows of each episode or block, in the order in which they were logged. */
  readonly units: readonly Int32Array[];
  /** SHA-256 of the file that they come from, hexadecimal. */
  readonly sha256: string;
}

/**
 * A log of [rows, observation size] numbers.
 * @param episodes [rows] number of each row's episode, counted from 0; `null` when nothing is known of episodes
 */
export function logOf(
  shape: readonly number[],
  observations: Float32Array,
  episodes: Int32Array | null,
  sha256: string,
): ObservationLog {
  const rows = observations.length / elementsOf(shape);
  const known = rowsOf(episodes ?? new Int32Array(rows));
  const by = known.length >= LEAST_EPISODES ? "episode" : "block";
  const units = by === "episode" ? known : known.flatMap((episode) => blocksOf(episode, rows / BLOCKS));
  return { shape, observations, by, units, sha256 };
}

/** Rows of each episode, in order. */
function rowsOf(episodes: Int32Array): Int32Array[] {
  const sizes: number[] = [];
  for (const episode of episodes) {
    if (episode >= MAX_EPISODES) refuseEpisodes();
    sizes[episode] = (sizes[episode] ?? 0) + 1;
  }
  const rows = Array.from(sizes, (size) => new Int32Array(size));
  const filled = new Int32Array(sizes.length);
  for (const [row, episode] of episodes.entries()) {
    const at = filled[episode] ?? 0;
    const into = rows[episode];
    if (into) into[at] = row;
    filled[episode] = at + 1;
  }
  return rows;
}

/** Cuts an episode into neighbours of about `length` rows, each as long as the others but for one row. */
function blocksOf(episode: Int32Array, length: number): Int32Array[] {
  const blocks = Math.min(episode.length, Math.max(1, Math.round(episode.length / length)));
  const at = (block: number): number => Math.round((block * episode.length) / blocks);
  return Array.from({ length: blocks }, (_, block) => episode.subarray(at(block), at(block + 1)));
}

/**
 * The observations as a policy takes them. Of the two shapes one may be flat: then the other is taken row by row, as
 * Gymnasium's FlattenObservation does. Images whose channels come last are turned, as Stable-Baselines3's VecTransposeImage
 * does.
 * @throws UsageError when they are of another size, or the policy's agreement with any other says nothing
 */
export function asTaken(architecture: AnyArchitecture, log: ObservationLog): ObservationLog {
  const { input, head } = architecture;
  const { shape } = log;
  if (head !== "gaussian" && outputSize(architecture) === 1) {
    throw new UsageError(
      "--observations",
      `${describe(architecture)} has one output, read as ${head}: a choice of one, in which all policies agree. ` +
        "If it is a continuous action, name the environment with --env",
    );
  }
  const sizes = shape.filter((size) => size !== 1);
  const flat = sizes.length <= 1 || input.length === 1;
  const elements = elementsOf(shape);
  if (inputSize(architecture) === elements && (flat || input.join() === shape.join())) return log;
  if (hasChannelsLast(shape, input)) {
    const [channels = 0, ...sides] = input;
    return { ...log, shape: input, observations: channelsFirst(log.observations, elementsOf(sides), channels) };
  }
  throw new UsageError(
    "--observations",
    `holds observations of shape [${shape.join(", ")}], but ${describe(architecture)} takes [${input.join(", ")}]`,
  );
}

function channelsFirst(images: Float32Array, pixels: number, channels: number): Float32Array {
  const turned = new Float32Array(images.length);
  for (let image = 0; image < images.length; image += pixels * channels) {
    for (let channel = 0; channel < channels; channel++) {
      const to = image + channel * pixels;
      for (let pixel = 0; pixel < pixels; pixel++) turned[to + pixel] = images[image + pixel * channels + channel]!;
    }
  }
  return turned;
}

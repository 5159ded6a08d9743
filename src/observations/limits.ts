import { UsageError } from "../errors.ts";

/** 1 GiB, as policies. */
export const MAX_FILE_BYTES = 2 ** 30;
/** Numbers of all observations: 1 GiB of float32. */
export const MAX_ELEMENTS = 2 ** 28;
/** What an archive's entries may hold together however small it is: observations compress better than weights. */
export const FREE_ARCHIVE_BYTES = 2 ** 29;
/** Observations, or lock-steps of them: eight times those of the largest logs in use. */
export const MAX_ROWS = 2 ** 24;
/** Each is a list of rows of its own. */
export const MAX_EPISODES = 1_000_000;
/** Of an array, and of one observation. */
export const MAX_DIMENSIONS = 8;
/** Of a line of text. */
export const MAX_LINE_BYTES = 2 ** 24;
/** Of the description in front of an array of numpy. */
export const MAX_NPY_HEADER_BYTES = 2 ** 16;

/** @throws UsageError for more than are read */
export function refuseEpisodes(): never {
  throw new UsageError("--observations", `has more than the ${MAX_EPISODES} episodes that are read`);
}

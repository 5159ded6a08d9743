import { existsSync, renameSync } from "node:fs";
import { dirname } from "node:path";
import { FileError, reasonOf } from "../errors.ts";
import { readBounded, writeAtomically } from "../files.ts";
import type { Plain } from "../plain.ts";
import { sha256 } from "../seal.ts";
import { type CheckpointHeader, decodeState, encodeState } from "./checkpoint.ts";
import type { RunDirectory } from "./directory.ts";

/** The longest array that every supported Node has. */
const MAX_CHECKPOINT_BYTES = 2 ** 32;

/** What a run goes on from. */
export interface Restored extends CheckpointHeader {
  readonly state: Plain;
  /** Set when the latest checkpoint was damaged and the one before it is used: what to tell the user. */
  readonly notice: string | undefined;
}

/**
 * Saves a checkpoint as the latest and keeps the one before it. At every moment one of the two is complete on the disk,
 * also when a power loss undoes one or both renames.
 *
 * @param config text of the configuration that it is for
 * @throws FileError when it cannot be written; the checkpoints that exist stay as they are
 */
export function saveCheckpoint(
  directory: RunDirectory,
  state: Plain,
  header: Omit<CheckpointHeader, "config">,
  config = directory.config,
): void {
  const { latest, previous } = directory.files;
  const next = `${latest}.next`;
  writeAtomically(next, encodeState(state, { ...header, config: sha256(config) }));
  try {
    if (existsSync(latest)) renameSync(latest, previous);
    renameSync(next, latest);
  } catch (error) {
    throw new FileError(latest, `could not be written: ${reasonOf(error)}`, { cause: error });
  }
}

/**
 * Gives a run another configuration, for which its state is one as well. Killed in between, it has the old one still.
 *
 * @throws FileError as `restore`
 */
export function reconfigure(directory: RunDirectory, program: string, config: string): void {
  const restored = restore(directory, program);
  if (restored) {
    const { state, lengths, seconds, stage } = restored;
    saveCheckpoint(directory, state, { program, lengths, seconds, stage }, config);
  }
  directory.reconfigure(config);
}

/**
 * The checkpoint that a run goes on from: the latest that is intact and of its configuration. `undefined` when the run was killed before its first.
 *
 * @throws FileError when no checkpoint is intact, or when the configuration or the program has changed since
 */
export function restore(directory: RunDirectory, program: string): Restored | undefined {
  const restored = newestIntact(directory);
  if (restored !== undefined && restored.program !== program) {
    throw new FileError(
      directory.files.latest,
      `is a checkpoint of version ${restored.program}, this is ${program}: go on with that version, or start a new run in another folder`,
    );
  }
  return restored;
}

function newestIntact(directory: RunDirectory): Restored | undefined {
  const { latest, previous, config } = directory.files;
  const digest = sha256(directory.config);
  const problems: string[] = [];
  let changed = false;
  // A process killed between the two renames of saveCheckpoint leaves the previous one alone: then that is the latest.
  for (const path of [latest, previous].filter((file) => existsSync(file))) {
    try {
      const { state, header } = decodeState(readBounded(path, MAX_CHECKPOINT_BYTES), path);
      // Of the latest alone when `reconfigure` was killed: the one before it is of the configuration that stands.
      if (header.config !== digest) {
        changed = true;
        continue;
      }
      // Over a damaged latest: it must not become the previous one of the next checkpoint.
      if (path === previous) renameSync(previous, latest);
      const [damage] = problems;
      return { ...header, state, notice: damage && `${damage}. The run goes on from the checkpoint before it` };
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      problems.push(error.message);
    }
  }
  if (changed) {
    throw new FileError(
      config,
      "was changed since the run began: put it back as it was, or start a new run in another folder",
    );
  }
  if (problems.length === 0) return undefined;
  throw new FileError(
    dirname(latest),
    `no checkpoint can be used (${problems.join("; ")}): start a new run in another folder, or delete this one to begin the run anew`,
  );
}

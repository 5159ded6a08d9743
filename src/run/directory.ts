import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { FileError, reasonOf, UsageError } from "../errors.ts";
import { writeAtomically } from "../files.ts";
import { lock } from "./lock.ts";
import { readConfig } from "./read.ts";
import type { Result } from "./result.ts";

/** Where everything of a run lies. */
export interface RunFiles {
  /** The effective configuration. A folder that has it is a run. */
  readonly config: string;
  readonly events: string;
  readonly tensorboard: string;
  readonly latest: string;
  readonly previous: string;
  /** Folder of the saved policies. */
  readonly policies: string;
  readonly result: string;
  readonly report: string;
  /** Present while a process works on the run. */
  readonly lock: string;
}

/** Where everything of the run in the folder `path` lies, whether it is there or not. */
export function runFiles(path: string): RunFiles {
  return {
    config: join(path, "config.yaml"),
    events: join(path, "events.jsonl"),
    tensorboard: join(path, "tensorboard", "events.out.tfevents.pops"),
    latest: join(path, "checkpoints", "latest.safetensors"),
    previous: join(path, "checkpoints", "previous.safetensors"),
    policies: join(path, "policies"),
    result: join(path, "result.json"),
    report: join(path, "report.html"),
    lock: join(path, "run.lock"),
  };
}

const FOLDERS = ["checkpoints", "policies", "tensorboard"];

/** What `writeAtomically` leaves when its process is killed in the midst of it. */
const LEFTOVER = /^\..+\.[0-9a-f-]{36}\.tmp$/;

/** A run's folder, held by this process until `close`. */
export class RunDirectory {
  readonly path: string;
  readonly files: RunFiles;
  #config: string;
  readonly #unlock: () => void;

  private constructor(path: string, config: string, unlock: () => void) {
    this.path = path;
    this.files = runFiles(path);
    this.#config = config;
    this.#unlock = unlock;
  }

  /**
   * Begins a run in a folder that is new or empty.
   *
   * @throws UsageError when the folder holds a run or anything else
   * @throws LockedError when another process is beginning a run there
   * @throws FileError when it cannot be written
   */
  static create(path: string, config: string): RunDirectory {
    refuseOccupied(path);
    return RunDirectory.#hold(path, (files) => {
      // Again: another process may have begun and ended a run since.
      refuseOccupied(path);
      writeAtomically(files.config, Buffer.from(config));
      return config;
    });
  }

  /**
   * Goes on with the run in a folder.
   *
   * @throws UsageError when the folder holds no run
   * @throws LockedError when another process holds it
   */
  static open(path: string): RunDirectory {
    if (!existsSync(runFiles(path).config)) {
      throw new UsageError(
        "--resume",
        `${path} is not a run: it has no config.yaml. Name the folder that --out named when the run began`,
      );
    }
    return RunDirectory.#hold(path, (files) => readConfig(files.config));
  }

  static #hold(path: string, configure: (files: RunFiles) => string): RunDirectory {
    const files = runFiles(path);
    makeFolder(path);
    const unlock = lock(files.lock);
    try {
      const config = configure(files);
      for (const folder of FOLDERS) makeFolder(join(path, folder));
      for (const folder of ["", ...FOLDERS]) removeLeftovers(join(path, folder));
      return new RunDirectory(path, config, unlock);
    } catch (error) {
      unlock();
      throw error;
    }
  }

  /** Text of `config.yaml`. */
  get config(): string {
    return this.#config;
  }

  /** Gives the run another `config.yaml`. */
  reconfigure(config: string): void {
    writeAtomically(this.files.config, Buffer.from(config));
    this.#config = config;
  }

  writeResult(result: Result): void {
    writeAtomically(this.files.result, Buffer.from(`${JSON.stringify(result, null, 2)}\n`));
  }

  /** Lets other processes have the folder. */
  close(): void {
    this.#unlock();
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw new FileError(path, `could not be made: ${reasonOf(error)}. Choose another folder with --out`, {
      cause: error,
    });
  }
}

function refuseOccupied(path: string): void {
  const files = runFiles(path);
  if (existsSync(files.config)) {
    throw new UsageError("--out", `${path} already holds a run: pass --resume to go on with it, or another --out`);
  }
  // A process that was killed while it began a run leaves its lock and perhaps an unfinished configuration.
  const occupants = namesIn(path).filter((name) => name !== basename(files.lock) && !LEFTOVER.test(name));
  if (occupants.length > 0) {
    throw new UsageError(
      "--out",
      `${path} is not empty (it has ${occupants[0] ?? ""}) and not a run: pass another --out`,
    );
  }
}

function namesIn(path: string): string[] {
  if (!existsSync(path)) return [];
  try {
    return readdirSync(path);
  } catch (error) {
    throw new UsageError("--out", `${path} cannot be used as a folder: ${reasonOf(error)}. Pass another --out`, {
      cause: error,
    });
  }
}

/** Only the holder of the lock writes here, so no unfinished file is still being written. */
function removeLeftovers(path: string): void {
  for (const name of namesIn(path)) if (LEFTOVER.test(name)) rmSync(join(path, name), { force: true });
}

import type { EnvironmentSpec, VectorEnvironment } from "./environment.ts";
import { GymnasiumProcesses } from "./gymnasium.ts";
import { type GymnasiumOptions, type GymnasiumReference, isInPython } from "./gymnasium-protocol.ts";
import { LaneThreads } from "./threads.ts";

/** An environment that is ready to be played, with the threads or processes that its lanes are shared out among. */
export interface OpenEnvironment {
  readonly spec: EnvironmentSpec;
  /** Of Gymnasium's: what a configuration records. */
  readonly gymnasium?: Pick<GymnasiumOptions, "spaces" | "versions">;
  /**
   * `size` environments that advance together.
   * @throws UsageError when `size` is not a positive integer.
   */
  vector(size: number): VectorEnvironment;
  /** Ends threads and processes. */
  close(): Promise<void>;
}

/** How an environment is opened. */
export interface OpenOptions {
  /** Threads or processes that may step lanes; their number never changes a result. */
  readonly workers: number;
  /** URLs of modules that register environments. */
  readonly modules?: readonly string[] | undefined;
  /** How an environment of Python's Gymnasium is made. */
  readonly gymnasium?: GymnasiumReference | undefined;
}

/**
 * Opens an environment: a registered one by its id, one of Python's Gymnasium by `gymnasium:` and its id, a game of ALE's by
 * `ale:` and its name.
 * @throws UsageError when there is none of that id, or Python or a package is missing
 */
export function openEnvironment(environment: string, options: OpenOptions): Promise<OpenEnvironment> {
  const { workers, modules = [], gymnasium = {} } = options;
  if (isInPython(environment)) return GymnasiumProcesses.open(environment, workers, gymnasium);
  return LaneThreads.start(environment, workers, modules);
}

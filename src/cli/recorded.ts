import type { EnvironmentSpec } from "../environment/environment.ts";
import { isPixels } from "../environment/spaces.ts";
import { recordObservations } from "../evaluation/recording.ts";
import { inputSize } from "../network/architecture.ts";
import type { AnyPolicy } from "../network/policy.ts";
import { checkObserved } from "../observations/log.ts";
import { readObservations } from "../observations/read.ts";
import { type EnvironmentFlags, environmentOf, openNamed } from "./environment.ts";

/** Where observations come from: a log, or episodes of the policy in its environment. */
export interface RecordedFlags extends EnvironmentFlags {
  readonly env?: string;
  readonly observations?: string;
  readonly observationsKey?: string;
  readonly seed: number;
}

/** Observations that a policy met. */
export interface Recorded {
  /** [rows, observation size] */
  readonly rows: Float32Array | Uint8Array;
  /** Whether they are bytes, as those of images. */
  readonly bytes: boolean;
  /** Of the environment that they were met in. */
  readonly spec?: EnvironmentSpec;
  /** Where they come from, for a file's provenance. */
  readonly source: string;
}

/**
 * Observations for a policy: those of a log, or the first `count` that it meets in the episodes of a set. It acts as it was
 * made for: by drawn actions, if its provenance says so.
 */
export async function recordedFor(
  policy: AnyPolicy,
  file: string,
  flags: RecordedFlags,
  set: string,
  count: number,
): Promise<Recorded> {
  if (flags.observations !== undefined) {
    const log = await readObservations(flags.observations, flags.observationsKey);
    checkObserved(policy.architecture, log);
    const rows = log.observations;
    const image = policy.architecture.input.length === 3;
    const bytes = image && rows.every((value) => Number.isInteger(value) && value >= 0 && value <= 255);
    const logged = rows.length / inputSize(policy.architecture);
    return { rows, bytes, source: `${logged} observations of a log, SHA-256 ${log.sha256}` };
  }
  const named = flags.env === undefined ? environmentOf(policy, file, flags) : ([flags.env, flags] as const);
  const opened = await openNamed(...named);
  try {
    const acting = policy.provenance["acting"] === "sampled" ? "sampled" : "greedy";
    const rows = await recordObservations(policy, opened, { seed: flags.seed, set, rows: count, acting });
    const { spec } = opened;
    const source = `${count} observations of its own on ${spec.id}, seed ${flags.seed}`;
    return { rows, bytes: isPixels(spec.observationSpace), spec, source };
  } finally {
    await opened.close();
  }
}

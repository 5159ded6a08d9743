import type { OpenEnvironment } from "../environment/open.ts";
import { UsageError } from "../errors.ts";
import { CALIBRATION, recordObservations } from "../evaluation/recording.ts";
import { inputSize } from "../network/architecture.ts";
import type { AnyPolicy } from "../network/policy.ts";
import { asTaken } from "../observations/log.ts";
import { readObservations } from "../observations/read.ts";
import { copyRow, type Observations } from "../replay/rows.ts";
import { integer } from "../report/format.ts";
import { type EnvironmentFlags, environmentOf, openNamed } from "./environment.ts";

/** Observations of a set, where nothing else is said. */
export const RECORDED = CALIBRATION.rows;

/** Where recorded observations come from. */
export interface RecordedFlags extends EnvironmentFlags {
  readonly env?: string;
  readonly observations?: string;
  readonly observationsKey?: string;
  readonly seed: number;
}

/** Two sets of observations that share no episode. */
const SETS = [CALIBRATION.set, "verification"] as const;
type RecordedSet = (typeof SETS)[number];

/** Where the observations of a policy come from. */
export interface Recorder {
  /**
   * [rows, observation size] of a set; bytes where they are images of whole numbers from 0 to 255. The same every time.
   * @throws EnvironmentError when the environment fails
   */
  record(set: RecordedSet): Promise<Observations>;
  /** In words, for people and for the provenance. */
  readonly source: string;
  /** What is played, if anything is; it is closed with the recorder. */
  readonly environment?: OpenEnvironment;
  close(): Promise<void>;
}

/**
 * Observations that a policy meets. It plays its environment, or the one that `--env` names, as it acts there: by its best
 * actions, or by draws where its proof was by draws; the seed and the set decide the episodes. Or they are taken from the log that
 * `--observations` names, of whose episodes or blocks each set has every other one: as many rows, evenly spread, or all where there
 * are fewer.
 *
 * @param rows of each set
 * @throws UsageError when there is neither a log nor an environment, or the policy does not fit it
 */
export async function openRecorder(
  policy: AnyPolicy,
  file: string,
  flags: RecordedFlags,
  rows: number,
): Promise<Recorder> {
  const { env, observations, observationsKey, seed } = flags;
  if (observations !== undefined) return logRecorder(policy, observations, observationsKey, rows);
  if (observationsKey !== undefined) throw new UsageError("--observations-key", "is for --observations");
  if (env === undefined && policy.environment === undefined) {
    throw new UsageError("--env", `${file} names no environment: state one, or a log with --observations`);
  }
  const opened = await (env === undefined ? openNamed(...environmentOf(policy, file, flags)) : openNamed(env, flags));
  const acting = policy.provenance["acting"] === "sampled" ? "sampled" : "greedy";
  return {
    record: (set) => recordObservations(policy, opened, { seed, set, rows, acting }),
    source: `${integer(rows)} observations of ${opened.spec.id}, seed ${seed}`,
    environment: opened,
    close: () => opened.close(),
  };
}

/** The observations of one set alone. */
export async function recordOne(
  policy: AnyPolicy,
  file: string,
  flags: RecordedFlags,
  rows: number,
): Promise<{ readonly observations: Observations; readonly source: string }> {
  const recorder = await openRecorder(policy, file, flags, rows);
  try {
    return { observations: await recorder.record(CALIBRATION.set), source: recorder.source };
  } finally {
    await recorder.close();
  }
}

async function logRecorder(
  { architecture }: AnyPolicy,
  file: string,
  key: string | undefined,
  wished: number,
): Promise<Recorder> {
  const log = asTaken(architecture, await readObservations(file, key));
  const width = inputSize(architecture);
  const whole = architecture.input.length === 3 && log.observations.every(isByte);
  const rowsOf = (set: RecordedSet): number[] =>
    log.units.flatMap((unit, index) => (SETS[index % SETS.length] === set ? Array.from(unit) : []));
  const rows = Math.min(wished, ...SETS.map((set) => rowsOf(set).length));
  return {
    record: (set) => {
      const all = rowsOf(set);
      const taken = new (whole ? Uint8Array : Float32Array)(rows * width);
      for (let row = 0; row < rows; row++) {
        copyRow(log.observations, all[Math.floor((row * all.length) / rows)] ?? 0, width, taken, row);
      }
      return Promise.resolve(taken);
    },
    source: `${integer(rows)} observations of a log, SHA-256 ${log.sha256}`,
    close: () => Promise.resolve(),
  };
}

const isByte = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= 255;

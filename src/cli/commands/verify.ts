import { UsageError, VerificationError } from "../../errors.ts";
import { checkFits, countsOf, describe } from "../../network/architecture.ts";
import type { Policy, Score } from "../../network/policy.ts";
import { integer } from "../../report/format.ts";
import { calibrationOf } from "../../verification/calibration.ts";
import { type Built, build, EXPORTS, type ExportName } from "../../verification/exports.ts";
import { scoreOf, type Verified, verify } from "../../verification/verify.ts";
import { openNamed } from "../environment.ts";
import { share } from "../progress.ts";
import { openRecorder, type RecordedFlags } from "../recorded.ts";
import { columns } from "../table.ts";
import { layersIn } from "./export.ts";

export interface VerifyFlags extends RecordedFlags {
  readonly exports?: string[];
  readonly rows: number;
  readonly episodes: number;
  readonly json?: boolean;
}

/** Ranges of single observations are for large networks: small ones lose their edge, and have to ask for them. */
const USUAL = EXPORTS.filter((name) => name !== "onnx-dynamic");

/** The exports that a list of names asks for: the usual ones without one. */
export function exportsOf(names: readonly string[] | undefined): ExportName[] {
  const wanted = names ?? USUAL;
  const strange = wanted.find((name) => !EXPORTS.some((known) => known === name));
  if (strange !== undefined)
    throw new UsageError("--exports", `there is no "${strange}"; known are ${EXPORTS.join(", ")}`);
  return EXPORTS.filter((known) => wanted.includes(known));
}

/** What an export was found to be, with what it takes. */
type Row = Verified & Pick<Built, "bytes" | "footprint" | "cortexM4">;

/**
 * Builds each export of a policy, and holds it against the policy on observations and in its environment.
 * @throws VerificationError when one is not what the policy is
 */
export async function verifyExports(file: string, flags: VerifyFlags): Promise<void> {
  const policy = await layersIn(file, "verify", "policy");
  const wanted = exportsOf(flags.exports);
  const recorder = await openRecorder(policy, file, flags, flags.rows);
  // A log has no environment of its own; one may be named beside it.
  const beside = recorder.environment || flags.env === undefined ? undefined : await openNamed(flags.env, flags);
  const environment = recorder.environment ?? beside;
  try {
    const calibration = calibrationOf(policy, await recorder.record("calibration"));
    const observations = await recorder.record("verification");
    if (environment) checkFits(policy.architecture, environment.spec);
    const asked = { policy, environment, observations, seed: flags.seed, episodes: flags.episodes };
    const score = await scoreOf(asked);
    const rows: Row[] = [];
    for (const name of wanted) {
      const built = await build(policy, name, calibration);
      try {
        const { bytes, footprint, cortexM4 } = built;
        rows.push({
          ...(await verify(built, { ...asked, score })),
          bytes,
          ...(footprint && { footprint }),
          ...(cortexM4 && { cortexM4 }),
        });
      } finally {
        await built.close();
      }
    }
    if (flags.json) {
      const said = {
        layers: describe(policy.architecture),
        ...countsOf(policy.architecture),
        observations: recorder.source,
      };
      process.stdout.write(`${JSON.stringify({ ...said, score, exports: rows })}\n`);
    } else print(policy, recorder.source, score, rows);
    const wrong = rows.filter(({ passed }) => !passed).map(({ name }) => name);
    if (wrong.length > 0) throw new VerificationError(`${wrong.join(", ")}: not what ${file} is`);
  } finally {
    await beside?.close();
    await recorder.close();
  }
}

function print({ architecture }: Policy, source: string, own: Score | undefined, rows: readonly Row[]): void {
  const played = own ? ["mean score", "lower bound"] : [];
  const scored = (score: Score | undefined): string[] =>
    score ? [score.mean.toFixed(2), score.lower95.toFixed(2)] : played.map(() => "");
  const size = (value: number | undefined): string => (value === undefined ? "" : integer(value));
  const lines = columns([
    ["export", "bytes", "RAM", "Cortex-M4", "max difference", "same action", ...played, ""],
    ["the policy itself", "", "", "", "", "", ...scored(own), ""],
    ...rows.map(({ name, bytes, footprint, cortexM4, difference, agreement, score, passed }) => [
      name,
      integer(bytes),
      size(footprint?.ram),
      size(cortexM4?.flash),
      difference.toExponential(1),
      share(agreement),
      ...scored(score),
      passed ? "passed" : "FAILED",
    ]),
  ]);
  process.stdout.write(
    `${describe(architecture)} (${countsOf(architecture).weights} weights) on ${source}${own ? `, ${own.episodes} greedy episodes` : ""}\n${lines.join("\n")}\n`,
  );
}

import { AgreementExamination, label } from "../../distillation/agreement.ts";
import { UsageError } from "../../errors.ts";
import { scoreOf } from "../../evaluation/statistics.ts";
import { isForeign, loadPolicy, loadTeacher } from "../../importing/load.ts";
import { checkFits, countsOf, describe, outputSize } from "../../network/architecture.ts";
import { asTaken } from "../../observations/log.ts";
import { readObservations } from "../../observations/read.ts";
import { unitsOf } from "../../observations/split.ts";
import { popsSchema } from "../../pops/options.ts";
import { stream } from "../../random/pcg64.ts";
import { namedEnvironment } from "../environment.ts";
import { type ForeignFlags, importOptions } from "../foreign.ts";
import { share } from "../progress.ts";

export interface AgreementFlags extends ForeignFlags {
  readonly teacher?: string;
  readonly observations?: string;
  readonly observationsKey?: string;
  readonly tolerance?: number;
  readonly sampled?: boolean;
  readonly seed: number;
  readonly json?: boolean;
}

/** How far two policies act alike on logged observations. Nothing is played, no return is measured. */
export async function compareOnObservations(file: string, flags: AgreementFlags): Promise<void> {
  const { teacher: teacherFile, observations: logFile, observationsKey, seed } = flags;
  if (teacherFile === undefined) throw new UsageError("--teacher", "is missing: name the policy to compare with");
  if (logFile === undefined) throw new UsageError("--observations", "is missing: name the file to compare on");
  if (flags.sampled) throw new UsageError("--sampled", "is for playing: on observations greedy actions are compared");
  const named = await namedEnvironment(flags);
  const options = importOptions(flags, named?.spec);
  // What is said of a foreign file is no claim about one that PoPS wrote beside it.
  const foreign = { policy: await isForeign(file), teacher: await isForeign(teacherFile) };
  const policy = await loadPolicy(file, foreign.policy || !foreign.teacher ? options : {});
  const teacher = await loadTeacher(teacherFile, foreign.teacher || !foreign.policy ? options : {});
  const log = asTaken(teacher.architecture, await readObservations(logFile, observationsKey));
  if (asTaken(policy.architecture, log) !== log) {
    throw new UsageError("--teacher", `takes images in another order than ${file}: their channels do not come first`);
  }
  if (named) for (const { architecture } of [policy, teacher]) checkFits(architecture, named.spec);
  const [own, other] = [policy, teacher].map(
    ({ architecture }) => `${outputSize(architecture)} ${architecture.gaussian ? "continuous numbers" : "choices"}`,
  );
  if (own !== other) throw new UsageError("--teacher", `chooses among ${other ?? ""}, ${file} among ${own ?? ""}`);

  const defaults = popsSchema.parse({ objective: 0, lowerBound: 0 });
  const { tolerance = defaults.tolerance } = flags;
  const units = unitsOf(log);
  const all = { ...units, labels: await label(teacher, units.observations) };
  const examination = new AgreementExamination({
    teacher: teacher.architecture,
    parts: { selection: all, proof: all },
    tolerance,
    temperatures: defaults.distill,
  });
  const count = examination.units("proof");
  const examiner = await examination.examiner(policy.architecture, "proof");
  const score = scoreOf(await examiner.measure(policy.parameters, "", count), stream(seed, "bootstrap/evaluate"));
  await examiner.dispose();
  const divergence = await examination.divergence(policy);

  const { architecture } = policy;
  const observations = { sha256: log.sha256, by: log.by, units: count, observations: all.starts.at(-1) ?? 0 };
  if (flags.json) {
    const measured = { measure: "agreement", tolerance, agreement: score, divergence };
    process.stdout.write(`${JSON.stringify({ observations, architecture, ...countsOf(architecture), ...measured })}\n`);
    return;
  }
  const { kl, squaredError } = divergence;
  const [low, high] = score.interval95;
  const tempered =
    teacher.architecture.head === "q-values" ? ` (the teacher's Q-values / ${defaults.distill.temperature})` : "";
  const lines = [
    `${describe(architecture)} (${countsOf(architecture).weights} weights) against ${describe(teacher.architecture)} on ${observations.observations} observations, ${count} ${log.by}s: no return is measured`,
    `  agreement ${share(score.mean)}  sd ${share(score.sd)}  min ${share(score.min)}${teacher.architecture.gaussian ? ` (within ${share(tolerance)} of the range)` : ""}`,
    `  95 % lower bound ${share(score.lower95)}, bootstrap interval ${share(low)} to ${share(high)}`,
    ...(kl === undefined ? [] : [`  KL ${kl.toPrecision(3)} nats${tempered}`]),
    ...(squaredError === undefined
      ? []
      : [`  mean squared error ${squaredError.toPrecision(3)}, in ranges of the action`]),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

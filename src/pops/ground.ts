import { AgreementExamination, type LabelledUnits, label } from "../distillation/agreement.ts";
import { collectTeacherStates, type DistillOptions, type TeacherStates } from "../distillation/distill.ts";
import type { GymnasiumReference } from "../environment/gymnasium-protocol.ts";
import { type OpenEnvironment, openEnvironment } from "../environment/open.ts";
import { EpisodeExamination, type Examination } from "../evaluation/examination.ts";
import type { Emitted } from "../events.ts";
import type { Acting } from "../network/action.ts";
import { checkFits } from "../network/architecture.ts";
import type { BlackBox, Network } from "../network/policy.ts";
import { asTaken, type ObservationLog } from "../observations/log.ts";
import { type ObservedUnits, splitLog } from "../observations/split.ts";
import type { Bits } from "../quantization/fixed-point.ts";

/** An environment by id: plain data, since functions don't cross threads. */
export interface EnvironmentSource {
  readonly environment: string;
  /** URLs of modules that register environments. */
  readonly modules?: readonly string[] | undefined;
  /** How an environment of Python's Gymnasium is made. */
  readonly gymnasium?: GymnasiumReference | undefined;
}

/** Logged observations as the teacher labelled them, in parts that share no episode and no block. */
export interface LabelledLog {
  readonly training: LabelledUnits;
  readonly selection: LabelledUnits;
  readonly proof: LabelledUnits;
}

/** What a compression stands on, as plain data of which each thread makes its own ground. */
export type Source = EnvironmentSource | { readonly labelled: LabelledLog };

/** What a ground has to know of the compression that stands on it. */
export interface GroundContext {
  readonly teacher: Network | BlackBox;
  readonly seed: number;
  readonly tolerance: number;
  readonly acting: Acting;
  /** Of weights in which candidates are tried and proven; `null` for float32. */
  readonly bits: Bits | null;
  readonly options: DistillOptions;
}

/** What a compression stands on: where its states come from, and how policies are tried. */
export interface Ground {
  readonly examination: Examination;
  /** States to learn from, labelled by the teacher; the same for the same seed. */
  teacherStates(): Promise<TeacherStates>;
  close(): Promise<void>;
}

/** Opens a source for this thread. */
export async function openGround(source: Source, context: GroundContext): Promise<Ground> {
  if ("labelled" in source) return logGround(source.labelled, context);
  const opened = await openEnvironment(source.environment, { workers: 1, ...source });
  return environmentGround(opened, context);
}

/**
 * An environment that is open.
 * @throws UsageError when the teacher does not fit it
 */
export function environmentGround(opened: OpenEnvironment, context: GroundContext): Ground {
  const makeLanes = (size: number) => opened.vector(size);
  checkFits(context.teacher.architecture, opened.spec);
  return {
    examination: new EpisodeExamination(makeLanes, context.seed, context.acting, context.bits),
    teacherStates: () => collectTeacherStates({ ...context, makeLanes }),
    close: () => opened.close(),
  };
}

function logGround({ training, selection, proof }: LabelledLog, context: GroundContext): Ground {
  const { teacher, tolerance, options: temperatures } = context;
  const parts = { selection, proof };
  const states = { training: { ...training, next: 0 }, heldOut: { ...selection, next: 0 } };
  return {
    examination: new AgreementExamination({ teacher: teacher.architecture, parts, tolerance, temperatures }),
    teacherStates: () => Promise.resolve(states),
    close: () => Promise.resolve(),
  };
}

/**
 * Splits a log and lets the teacher label it.
 * @throws UsageError when the teacher takes observations of another shape
 */
export async function labelLog(log: ObservationLog, { teacher, seed }: GroundContext): Promise<LabelledLog> {
  const labelled = async (units: ObservedUnits): Promise<LabelledUnits> => ({
    ...units,
    labels: await label(teacher, units.observations),
  });
  const { training, selection, proof } = splitLog(asTaken(teacher.architecture, log), seed);
  return {
    training: await labelled(training),
    selection: await labelled(selection),
    proof: await labelled(proof),
  };
}

/** What a compression on logged observations rests on, as its log tells it. */
export function observedIn({ sha256, by }: ObservationLog, labelled: LabelledLog, step: number): Emitted {
  const sizeOf = ({ starts }: LabelledLog["training"]) => ({
    units: starts.length - 1,
    observations: starts.at(-1) ?? 0,
  });
  const { training, selection, proof } = labelled;
  const parts = { training: sizeOf(training), selection: sizeOf(selection), proof: sizeOf(proof) };
  return { type: "observations", step, sha256, by, ...parts };
}

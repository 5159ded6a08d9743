import type { VectorEnvironment } from "../environment/environment.ts";
import { type OpenEnvironment, openEnvironment } from "../environment/open.ts";
import { type Emitted, EVENTS_VERSION } from "../events.ts";
import type { ObservationLog } from "../observations/log.ts";
import type { Plain } from "../plain.ts";
import { type DqnOptions, type DqnState, trainDqn } from "../teacher/dqn.ts";
import { type PpoOptions, type PpoState, trainPpo } from "../teacher/ppo.ts";
import type { Teacher } from "../teacher/teacher.ts";
import { useThreads } from "../tensor/program.ts";
import type { EnvironmentSource } from "./ground.ts";
import type { PopsOptions } from "./options.ts";
import { type Answer, type PopsContext, type PopsState, pops } from "./pops.ts";
import { withCheckpoints } from "./stage.ts";

/** Options of a teacher; `algorithm` says which. */
type TeacherOptions = DqnOptions | PpoOptions;

interface Shared {
  readonly preset: string;
  readonly seed: number;
  /** Threads (Gymnasium: processes) for the lanes of a slow environment, and threads for students; their number never changes a result. */
  readonly workers: number;
  /** Tells that there is no time for more tries (`PopsContext`). */
  readonly outOfTime?: (() => boolean) | undefined;
}

/** Of a run in an environment: `environment` is a registered id, or `gymnasium:` and one of Python's Gymnasium. */
export interface EnvironmentPlan extends Shared, EnvironmentSource {
  /** How to train a teacher, or one that is there. */
  readonly teacher: { readonly options: TeacherOptions } | { readonly network: Teacher };
  /** How to compress it; `undefined` to stop after the teacher. */
  readonly pops: PopsOptions | undefined;
}

/** Of a compression on logged observations alone. */
export interface ObservationPlan extends Shared {
  readonly observations: ObservationLog;
  readonly teacher: { readonly network: Teacher };
  readonly pops: PopsOptions;
}

/** What a run does, by its effective configuration. */
export type Plan = EnvironmentPlan | ObservationPlan;

/** What a plan leads to; `answer` is `undefined` when it stops after the teacher. */
export interface Outcome {
  readonly teacher: Teacher;
  readonly answer: Answer | undefined;
}

/** State of a whole run: the stage under way, and the teacher once there is one. */
type PlanState =
  | { readonly stage: "teacher"; readonly inner: Plain }
  | { readonly stage: "pops"; readonly teacher: Plain; readonly inner: Plain };

const state = (plan: PlanState): PlanState => plan;

/**
 * Trains the teacher unless there is one, then compresses it. The whole of `pops run` without files and printing.
 *
 * @param resume the state of a checkpoint that the same plan yielded
 * @param onTeacher told the trained teacher before anything is done with it; again after each resume that finds it trained
 * @throws ObjectiveError when the teacher itself misses the objective
 */
export async function* pipeline(
  plan: Plan,
  resume?: Plain,
  onTeacher?: (teacher: Teacher) => void,
): AsyncGenerator<Emitted, Outcome> {
  useThreads(plan.workers);
  if ("observations" in plan) return yield* onObservations(plan, resume, onTeacher);
  const opened = await openEnvironment(plan.environment, plan);
  try {
    return yield* stages(plan, opened, resume, onTeacher);
  } finally {
    await opened.close();
  }
}

async function* stages(
  plan: EnvironmentPlan,
  opened: OpenEnvironment,
  resume?: Plain,
  onTeacher?: (teacher: Teacher) => void,
): AsyncGenerator<Emitted, Outcome> {
  const saved = resume as PlanState | undefined;
  const { environment, gymnasium, seed, workers, outOfTime, modules = [] } = plan;
  const makeLanes = (size: number): VectorEnvironment => opened.vector(size);
  if (!saved) yield startOf(plan, environment);
  let teacher: Teacher;
  if ("network" in plan.teacher) {
    teacher = plan.teacher.network;
  } else if (saved?.stage === "pops") {
    teacher = saved.teacher as unknown as Teacher;
  } else {
    if (!saved) yield { type: "stage-started", step: 0, stage: "teacher", iteration: 0 };
    const { options } = plan.teacher;
    const inner = saved?.inner;
    const training =
      options.algorithm === "ppo"
        ? trainPpo(makeLanes, options, seed, inner as PpoState | undefined)
        : trainDqn(makeLanes, options, seed, inner as DqnState | undefined);
    teacher = yield* withCheckpoints(training, (inner) => state({ stage: "teacher", inner }));
  }
  onTeacher?.(teacher);
  if (!plan.pops) return { teacher, answer: undefined };
  const source = { environment, modules, gymnasium, opened };
  return yield* compression({ ...source, options: plan.pops, seed, workers, outOfTime }, teacher, saved);
}

async function* onObservations(
  plan: ObservationPlan,
  resume?: Plain,
  onTeacher?: (teacher: Teacher) => void,
): AsyncGenerator<Emitted, Outcome> {
  if (!resume) yield startOf(plan);
  const { network } = plan.teacher;
  onTeacher?.(network);
  const { observations, seed, workers, outOfTime, pops: options } = plan;
  return yield* compression(
    { observations, options, seed, workers, outOfTime },
    network,
    resume as PlanState | undefined,
  );
}

function startOf({ seed, preset }: Shared, environment?: string): Emitted {
  const where = environment === undefined ? {} : { environment };
  return { type: "run-started", step: 0, version: EVENTS_VERSION, ...where, seed, preset };
}

type Omitting<Context, Keys extends PropertyKey> = Context extends unknown ? Omit<Context, Keys> : never;

async function* compression(
  context: Omitting<PopsContext, "teacher" | "stepsBefore">,
  teacher: Teacher,
  saved: PlanState | undefined,
): AsyncGenerator<Emitted, Outcome> {
  const { architecture, parameters, updates } = teacher;
  const compressing = pops(
    { ...context, teacher: { architecture, parameters }, stepsBefore: updates },
    saved?.stage === "pops" ? (saved.inner as PopsState) : undefined,
  );
  const plainTeacher = { architecture, parameters, updates };
  const answer = yield* withCheckpoints(compressing, (inner) => state({ stage: "pops", teacher: plainTeacher, inner }));
  return { teacher, answer };
}

import type { VectorEnvironment } from "../environment/environment.ts";
import { type OpenEnvironment, openEnvironment } from "../environment/open.ts";
import { type Emitted, EVENTS_VERSION } from "../events.ts";
import type { BlackBox } from "../network/policy.ts";
import type { ObservationLog } from "../observations/log.ts";
import type { Plain } from "../plain.ts";
import { type DqnOptions, type DqnState, trainDqn } from "../teacher/dqn.ts";
import { type PpoOptions, type PpoState, trainPpo } from "../teacher/ppo.ts";
import type { Teacher } from "../teacher/teacher.ts";
import { useThreads } from "../tensor/program.ts";
import type { PopsContext } from "./context.ts";
import type { EnvironmentSource } from "./ground.ts";
import type { PopsOptions } from "./options.ts";
import { type Answer, pops } from "./pops.ts";
import { withCheckpoints } from "./stage.ts";
import type { PopsState } from "./state.ts";

/** Options of a teacher; `algorithm` says which. */
type TeacherOptions = DqnOptions | PpoOptions;

interface Shared {
  readonly preset: string;
  readonly seed: number;
  /** Threads for the lanes of a slow environment, and for students; their number never changes a result. */
  readonly workers: number;
  /** Tells that there is no time for more tries (`PopsContext`). */
  readonly outOfTime?: (() => boolean) | undefined;
  /** Measures policies in C (`PopsContext`). */
  readonly bytesOf?: PopsContext["bytesOf"];
}

/** Of a run in an environment: `environment` is a registered id, or `gymnasium:` and one of Python's Gymnasium. */
export interface EnvironmentPlan extends Shared, EnvironmentSource {
  /** How to train a teacher, or one that is there. */
  readonly teacher: { readonly options: TeacherOptions } | { readonly network: Teacher | BlackBox };
  /** How to compress it; `undefined` to stop after the teacher. */
  readonly pops: PopsOptions | undefined;
}

/** Of a compression on logged observations alone. */
interface ObservationPlan extends Shared {
  readonly observations: ObservationLog;
  readonly teacher: { readonly network: Teacher | BlackBox };
  readonly pops: PopsOptions;
}

/** What a run does, by its effective configuration. */
export type Plan = EnvironmentPlan | ObservationPlan;

/** What a plan leads to; `answer` is `undefined` when it stops after the teacher. */
export interface Outcome {
  readonly teacher: Teacher | BlackBox;
  readonly answer: Answer | undefined;
}

/** State of a whole run: the stage under way, and the teacher if it was trained. */
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
  if ("observations" in plan) return yield* onObservations(plan, resume);
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
  const { environment, gymnasium, seed, workers, outOfTime, bytesOf, modules = [] } = plan;
  const makeLanes = (size: number): VectorEnvironment => opened.vector(size);
  if (!saved) yield startOf(plan, environment);
  let teacher: Teacher | BlackBox;
  let trained: Teacher | undefined;
  if ("network" in plan.teacher) {
    teacher = plan.teacher.network;
  } else {
    teacher = trained = yield* training(plan.teacher.options, makeLanes, seed, saved);
    onTeacher?.(trained);
  }
  if (!plan.pops) return { teacher, answer: undefined };
  const source = { environment, modules, gymnasium, opened };
  return yield* compression(
    { ...source, options: plan.pops, seed, workers, outOfTime, bytesOf },
    teacher,
    trained,
    saved,
  );
}

async function* training(
  options: TeacherOptions,
  makeLanes: (size: number) => VectorEnvironment,
  seed: number,
  saved: PlanState | undefined,
): AsyncGenerator<Emitted, Teacher> {
  // A run that compresses already has trained its teacher.
  if (saved?.stage === "pops") return saved.teacher as unknown as Teacher;
  if (!saved) yield { type: "stage-started", step: 0, stage: "teacher", iteration: 0 };
  const inner = saved?.inner;
  const events =
    options.algorithm === "ppo"
      ? trainPpo(makeLanes, options, seed, inner as PpoState | undefined)
      : trainDqn(makeLanes, options, seed, inner as DqnState | undefined);
  return yield* withCheckpoints(events, (inner) => state({ stage: "teacher", inner }));
}

async function* onObservations(plan: ObservationPlan, resume?: Plain): AsyncGenerator<Emitted, Outcome> {
  if (!resume) yield startOf(plan);
  const { network } = plan.teacher;
  const { observations, seed, workers, outOfTime, pops: options } = plan;
  return yield* compression(
    { observations, options, seed, workers, outOfTime },
    network,
    undefined,
    resume as PlanState | undefined,
  );
}

function startOf({ seed, preset }: Shared, environment?: string): Emitted {
  const where = environment === undefined ? {} : { environment };
  return { type: "run-started", step: 0, version: EVENTS_VERSION, ...where, seed, preset };
}

type Omitting<Context, Keys extends PropertyKey> = Context extends unknown ? Omit<Context, Keys> : never;

/** @param trained the teacher again if it was trained: checkpoints keep it, one that was there already is the plan's */
async function* compression(
  context: Omitting<PopsContext, "teacher" | "stepsBefore">,
  teacher: Teacher | BlackBox,
  trained: Teacher | undefined,
  saved: PlanState | undefined,
): AsyncGenerator<Emitted, Outcome> {
  const stepsBefore = "updates" in teacher ? teacher.updates : 0;
  const compressing = pops(
    { ...context, teacher, stepsBefore },
    saved?.stage === "pops" ? (saved.inner as PopsState) : undefined,
  );
  const kept = trained ? { ...trained } : null;
  const answer = yield* withCheckpoints(compressing, (inner) => state({ stage: "pops", teacher: kept, inner }));
  return { teacher, answer };
}

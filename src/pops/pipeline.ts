import type { VectorEnvironment } from "../environment/environment.ts";
import type { GymnasiumReference } from "../environment/gymnasium-protocol.ts";
import { type OpenEnvironment, openEnvironment } from "../environment/open.ts";
import { type Emitted, EVENTS_VERSION } from "../events.ts";
import type { Plain } from "../plain.ts";
import { type DqnOptions, type DqnState, trainDqn } from "../teacher/dqn.ts";
import { type PpoOptions, type PpoState, trainPpo } from "../teacher/ppo.ts";
import type { Teacher } from "../teacher/teacher.ts";
import { useThreads } from "../tensor/program.ts";
import { type Answer, type PopsOptions, type PopsState, pops } from "./pops.ts";
import { withCheckpoints } from "./stage.ts";

/** Options of a teacher; `algorithm` says which. */
type TeacherOptions = DqnOptions | PpoOptions;

/** What a run does, by its effective configuration. */
export interface Plan {
  /** A registered id, or `gymnasium:` and one of Python's Gymnasium. */
  readonly environment: string;
  /** How an environment of Gymnasium's is made. */
  readonly gymnasium?: GymnasiumReference | undefined;
  readonly preset: string;
  readonly seed: number;
  /** Threads (Gymnasium: processes) for the lanes of a slow environment, and threads for students; their number never changes a result. */
  readonly workers: number;
  /** URLs of modules that register the environment, for the worker threads; none are needed for the package's own. */
  readonly modules?: readonly string[];
  /** How to train a teacher, or one that is there. */
  readonly teacher: { readonly options: TeacherOptions } | { readonly network: Teacher };
  /** How to compress it; `undefined` to stop after the teacher. */
  readonly pops: PopsOptions | undefined;
}

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
  const opened = await openEnvironment(plan.environment, plan);
  try {
    return yield* stages(plan, opened, resume, onTeacher);
  } finally {
    await opened.close();
  }
}

async function* stages(
  plan: Plan,
  opened: OpenEnvironment,
  resume?: Plain,
  onTeacher?: (teacher: Teacher) => void,
): AsyncGenerator<Emitted, Outcome> {
  const saved = resume as PlanState | undefined;
  const { environment, gymnasium, seed, workers, modules = [] } = plan;
  const makeLanes = (size: number): VectorEnvironment => opened.vector(size);
  if (!saved) {
    yield { type: "run-started", step: 0, version: EVENTS_VERSION, environment, seed, preset: plan.preset };
  }
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
  const { architecture, parameters, updates } = teacher;
  const compressing = pops(
    {
      environment,
      teacher: { architecture, parameters },
      options: plan.pops,
      seed,
      workers,
      modules,
      gymnasium,
      opened,
      stepsBefore: updates,
    },
    saved?.stage === "pops" ? (saved.inner as PopsState) : undefined,
  );
  const plainTeacher = { architecture, parameters, updates };
  const answer = yield* withCheckpoints(compressing, (inner) => state({ stage: "pops", teacher: plainTeacher, inner }));
  return { teacher, answer };
}

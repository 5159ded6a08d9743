import type { DistillContext, Distilled, DistillJob } from "../distillation/distill.ts";
import { normalizationOf } from "../distillation/normalization.ts";
import type { OpenEnvironment } from "../environment/open.ts";
import { UsageError } from "../errors.ts";
import type { Divergence, Examination } from "../evaluation/examination.ts";
import type { Emitted, EventOf } from "../events.ts";
import {
  type Architecture,
  type BlackBoxArchitecture,
  countsOf,
  describe,
  hiddenWidths,
  inputSize,
  type Normalization,
} from "../network/architecture.ts";
import type { BlackBox, Network, Score } from "../network/policy.ts";
import type { ObservationLog } from "../observations/log.ts";
import type { Plain } from "../plain.ts";
import { type PruneState, prune } from "../pruning/prune.ts";
import { BITS, type Bits } from "../quantization/fixed-point.ts";
import type { Observations } from "../replay/rows.ts";
import { redundancyOf } from "../shrinking/redundancy.ts";
import { ladder, resizeByUnits, resizeByWeights } from "../shrinking/resize.ts";
import { slice, strongestUnits } from "../shrinking/slice.ts";
import {
  type EnvironmentSource,
  environmentGround,
  type Ground,
  labelLog,
  observedIn,
  openGround,
  type Source,
} from "./ground.ts";
import type { PopsOptions } from "./options.ts";
import { Pool } from "./pool.ts";
import { bestThatFits, objectiveOf, type Proof, proveCandidate, proveTeacher } from "./proof.ts";
import { firstPassing, type JobsState } from "./search.ts";
import { withCheckpoints } from "./stage.ts";
import { firstStudent } from "./student.ts";

export type { Network } from "../network/policy.ts";

/** The smallest policy that was proven to hold the objective, and its proof. It has no parameters where it is a black box, the teacher. */
export type Answer = Proven & (Network | { readonly architecture: BlackBoxArchitecture; readonly parameters: null });

interface Proven {
  readonly score: Score;
  /** Of drawn actions on the same episodes; `null` for Q-values. */
  readonly sampled: Score | null;
  /** From the teacher, where the proof was on logged observations. */
  readonly divergence?: Divergence;
  readonly teacher: Proof;
  /** What it had to hold. */
  readonly objective: number;
  /** False when nothing smaller passed: the answer is the teacher. */
  readonly smaller: boolean;
}

/** A network in plain data. */
interface SavedNetwork {
  readonly [key: string]: Plain;
  readonly architecture: Plain;
  readonly parameters: Float32Array;
}

/** Everything that the loop knows, at any safe point. */
export interface PopsState {
  [key: string]: Plain;
  /** `loop`: prune, or distil when there is a `next`. */
  phase: "loop" | "squeeze" | "proof";
  /** Gradient updates since the run began. */
  step: number;
  iteration: number;
  /** Architecture of the network that is pruned first: the teacher's, or the first student's. */
  first: Plain;
  /** The smallest network that passed so far, where pruning goes on; `null` before the first student did. */
  current: SavedNetwork | null;
  /** The next architecture, and where its students start from. */
  next: { readonly architecture: Plain; readonly parameters: Float32Array | null } | null;
  /** All that passed, by descending weights. */
  passing: readonly SavedNetwork[];
  /** Starts that failed, by layers: they would fail again. */
  failed: Readonly<Record<string, number>>;
  /** Squeeze search: every rung up to `low` failed, `high` and above passed. */
  low: number;
  high: number | null;
  /** Architecture of a network that passed, from which the ladder is made. */
  top: Plain;
  /** Candidates whose proof failed. */
  disproved: number;
  /** The teacher's, `null` before it. */
  proof: Proof | null;
  /** Of the stage that is under way. */
  prune: PruneState | null;
  jobs: JobsState | null;
}

const save = (network: Network): SavedNetwork => ({
  architecture: network.architecture,
  parameters: network.parameters,
});
const load = (saved: SavedNetwork): Network => ({
  architecture: saved.architecture as Architecture,
  parameters: saved.parameters,
});

/** What is compressed, and with which means. */
interface Compression {
  readonly teacher: Network | BlackBox;
  readonly options: PopsOptions;
  readonly seed: number;
  /** Worker threads for students, at least 1; their number never changes a result. */
  readonly workers: number;
  /** Updates made before, on the run's step axis. */
  readonly stepsBefore: number;
  /** Tells that there is no time for more tries: what has passed by then is proven. The caller has the clock. */
  readonly outOfTime?: (() => boolean) | undefined;
  /** Code and constants that a network takes as it is exported, for `maxBytes`. The caller has the compiler. */
  readonly bytesOf?: ((network: Network) => Promise<number>) | undefined;
}

const bitsOf = ({ quantize }: PopsOptions): Bits | null => quantize && BITS[quantize];

/** Policies are tried by playing an environment. */
export interface PopsInEnvironment extends Compression, EnvironmentSource {
  /** The environment that the main thread plays; without it one is opened, for one thread, and closed. */
  readonly opened?: OpenEnvironment;
}

/** Policies are tried by their agreement with the teacher on logged observations: no return is measured. */
interface PopsOnObservations extends Compression {
  readonly observations: ObservationLog;
}

/** What is compressed, on what, and with which means. */
export type PopsContext = PopsInEnvironment | PopsOnObservations;

/** With the means of trying policies. */
type Examining = Compression & { readonly examination: Examination; readonly timeIsUp: () => boolean };

/** With what students are to be like. */
type Teaching = Examining & {
  /** A smaller architecture as a student of it is: with its own normalisation, if it gets one. */
  readonly asStudent: (architecture: Architecture) => Architecture;
};

/**
 * PoPS (Livne & Cohen 2020): prune a copy of the network under the teacher's supervision, measure what was redundant, build a
 * smaller network, teach it by distillation, repeat until no smaller one passes; then search below the last passing size, and
 * prove the smallest policy on episodes that no decision has seen. docs/pops.md lists every deviation from the paper.
 *
 * @throws ObjectiveError when the teacher itself misses the objective
 */
export async function* pops(context: PopsContext, resume?: PopsState): AsyncGenerator<Emitted, Answer> {
  const { teacher, options, seed, stepsBefore: step } = context;
  const { tolerance, acting } = options;
  const bits = bitsOf(options);
  const ground = { teacher, seed, tolerance, acting, bits, options: options.distill };
  if (acting === "sampled" && ("observations" in context || teacher.architecture.head === "q-values")) {
    throw new UsageError("pops.acting", "sampled actions are drawn from logits or a Gaussian, in an environment");
  }
  if (bits !== null && "observations" in context) {
    throw new UsageError("pops.quantize", "is for environments: on logged observations no quantised policy is tried");
  }
  if (options.maxBytes !== null && (bits === null || !context.bytesOf)) {
    throw new UsageError("pops.maxBytes", "needs pops.quantize, and what measures a policy in C");
  }
  if ("observations" in context) {
    const labelled = await labelLog(context.observations, ground);
    if (!resume) yield observedIn(context.observations, labelled, step);
    return yield* compress(context, { labelled }, await openGround({ labelled }, ground), resume);
  }
  const { environment, modules, gymnasium, opened } = context;
  const source = { environment, modules, gymnasium };
  if (opened) return yield* compress(context, source, environmentGround(opened, ground), resume);
  const own = await openGround(source, ground);
  try {
    return yield* compress(context, source, own, resume);
  } finally {
    await own.close();
  }
}

async function* compress(
  compression: Compression,
  source: Source,
  ground: Ground,
  resume?: PopsState,
): AsyncGenerator<Emitted, Answer> {
  const { teacher, options, seed } = compression;
  const { examination } = ground;
  const examining: Examining = { ...compression, examination, timeIsUp: compression.outOfTime ?? (() => false) };
  const s: PopsState = resume ? { ...resume } : begin(compression);
  const proof = s.proof ?? (yield* proveTeacher(examining, s.step));
  s.proof = proof;
  const shared = { teacher, options: options.distill, objective: objectiveOf(options, proof), seed };
  const states = await ground.teacherStates();
  const asStudent = dressing(options, states.training.observations);
  const context: Teaching = { ...examining, asStudent };
  if (!resume && s.next) s.next = { ...s.next, architecture: asStudent(s.next.architecture as Architecture) };
  const distilling: DistillContext = { ...shared, examination, states };
  const pool = new Pool(
    { ...shared, states, source, tolerance: options.tolerance, acting: options.acting, bits: bitsOf(options) },
    context.workers,
  );
  const checkpoint = (): Emitted => {
    const state = { ...s };
    return { type: "checkpoint", state: () => state };
  };
  try {
    while (s.phase === "loop") {
      if (s.next) yield* distillRound(context, pool, s, s.next);
      else if (s.current) yield* pruneRound(context, distilling, s, load(s.current));
      if (context.timeIsUp()) s.phase = "proof";
      yield checkpoint();
    }
    for (;;) {
      while (s.phase === "squeeze") {
        yield* squeezeRound(context, pool, s);
        if (context.timeIsUp()) s.phase = "proof";
        yield checkpoint();
      }
      const answer = yield* proofRound(context, pool, s, proof);
      if (answer) return answer;
      yield checkpoint();
    }
  } finally {
    await pool.close();
  }
}

/** What `asStudent` does. */
function dressing(options: PopsOptions, observations: Observations): Teaching["asStudent"] {
  if (options.normalization === "teacher") return (architecture) => architecture;
  const cached = new Map<boolean, Normalization>();
  return (architecture) => {
    const image = architecture.layers[0]?.kind === "conv";
    const normalization = cached.get(image) ?? normalizationOf(observations, inputSize(architecture), image);
    cached.set(image, normalization);
    return { ...architecture, normalization };
  };
}

function begin({ teacher, options, stepsBefore }: Compression): PopsState {
  const student = firstStudent(teacher, options);
  return {
    phase: "loop",
    step: stepsBefore,
    iteration: student ? 0 : 1,
    first: student ?? teacher.architecture,
    // A relu on the outputs (the authors' CartPole teacher has one) would leave students with dead outputs.
    current:
      student || "model" in teacher ? null : save({ ...teacher, architecture: withLinearOutput(teacher.architecture) }),
    next: student && { architecture: student, parameters: null },
    passing: [],
    failed: {},
    low: -1,
    high: null,
    top: null,
    disproved: 0,
    proof: null,
    prune: null,
    jobs: null,
  };
}

function withLinearOutput(architecture: Architecture): Architecture {
  const { layers } = architecture;
  return {
    ...architecture,
    layers: layers.map((layer, l) => (l === layers.length - 1 ? { ...layer, activation: "none" } : layer)),
  };
}

/** Prunes the current network and decides the next size. */
async function* pruneRound(
  context: Teaching,
  distilling: DistillContext,
  s: PopsState,
  current: Network,
): AsyncGenerator<Emitted, void> {
  const { options } = context;
  const { iteration } = s;
  const { architecture } = current;
  if (hiddenWidths(architecture).length === 0) {
    // A linear policy has no unit to lose.
    startSqueeze(context, s);
    return;
  }
  if (s.prune === null) yield { type: "stage-started", step: s.step, stage: "prune", iteration, architecture };
  const pruning = prune(
    { ...distilling, lowerBound: options.lowerBound, timeIsUp: context.timeIsUp },
    options.prune,
    current,
    iteration,
    s.step,
    s.prune ?? undefined,
  );
  const pruned = yield* withCheckpoints(pruning, (inner) => ({ ...s, prune: inner as PruneState }));
  s.step += pruned.updates;
  s.prune = null;
  const layers = redundancyOf(architecture, pruned.parameters);
  const nonZero = layers.reduce((total, layer) => total + layer.nonZero, 0);
  const sparsity = 1 - nonZero / countsOf(architecture).weights;
  yield { type: "redundancy", step: s.step, iteration, architecture, sparsity, layers };
  const smaller =
    options.rule === "units"
      ? resizeByUnits(architecture, layers)
      : resizeByWeights(architecture, s.first as Architecture, layers);
  if (!smaller) {
    startSqueeze(context, s);
    return;
  }
  const to = context.asStudent(smaller);
  const toWeights = countsOf(to).weights;
  yield {
    type: "resized",
    step: s.step,
    iteration,
    from: architecture,
    to,
    fromWeights: countsOf(architecture).weights,
    toWeights,
  };
  const live = slice(architecture, pruned.parameters);
  const parameters = options.init === "slice" ? strongestUnits(live.architecture, live.parameters, to) : null;
  s.next = { architecture: to, parameters: parameters ?? null };
}

/** Teaches the next network; one that passes becomes the current one, else the loop is over. */
async function* distillRound(
  context: Teaching,
  pool: Pool,
  s: PopsState,
  next: NonNullable<PopsState["next"]>,
): AsyncGenerator<Emitted, void> {
  const { options, teacher } = context;
  const { iteration } = s;
  const architecture = next.architecture as Architecture;
  const { parameters } = next;
  if (s.jobs === null) yield { type: "stage-started", step: s.step, stage: "distill", iteration, architecture };
  const jobs = Array.from(
    { length: options.starts },
    (_, start): DistillJob => ({
      architecture,
      start,
      // Only the first start is the pruned network's; the others are random.
      ...(parameters && start === 0 && { parameters }),
    }),
  );
  const found = yield* tryStudents(context, pool, jobs, "distill", s);
  const before = countsOf((s.current?.architecture as Architecture | undefined) ?? teacher.architecture).weights;
  const change = (before - countsOf(architecture).weights) / countsOf(teacher.architecture).weights;
  if (found) {
    s.current = save({ architecture, parameters: found.parameters });
    s.passing = [...s.passing, s.current];
  } else {
    s.failed = { ...s.failed, [describe(architecture)]: options.starts };
  }
  s.next = null;
  s.iteration++;
  if (!found || change < options.minimumChange || s.iteration > options.maxIterations) startSqueeze(context, s);
}

/** The search below the smallest network that passed and above `least` weights. */
function startSqueeze({ options, asStudent }: Teaching, s: PopsState, least = 0): void {
  s.phase = options.squeezeStarts > 0 ? "squeeze" : "proof";
  s.top = asStudent((s.passing.at(-1) ?? s.current ?? { architecture: s.first }).architecture as Architecture);
  const rungs = ladder(s.top as Architecture, options.squeezeGrowth);
  s.low = rungs.findLastIndex((rung) => countsOf(rung).weights <= least);
  s.high = null;
}

/** One rung of the search below the last passing size: bisection of the ladder, as if what passes were monotone in size. */
async function* squeezeRound(context: Teaching, pool: Pool, s: PopsState): AsyncGenerator<Emitted, void> {
  const { options } = context;
  const rungs = ladder(s.top as Architecture, options.squeezeGrowth);
  const high = s.high ?? rungs.length;
  const rung = Math.floor((s.low + high) / 2);
  const architecture = rungs[rung];
  if (!architecture || high - s.low <= 1) {
    s.phase = "proof";
    return;
  }
  if (s.jobs === null) yield { type: "stage-started", step: s.step, stage: "squeeze", iteration: 0, architecture };
  const layers = describe(architecture);
  const tried = s.failed[layers] ?? 0;
  const jobs = Array.from(
    { length: Math.max(0, options.squeezeStarts - tried) },
    (_, start): DistillJob => ({ architecture, start: tried + start }),
  );
  const found = yield* tryStudents(context, pool, jobs, "squeeze", s);
  if (found) {
    s.high = rung;
    s.passing = [...s.passing, save({ architecture, parameters: found.parameters })];
  } else {
    s.low = rung;
    s.failed = { ...s.failed, [layers]: tried + jobs.length };
  }
}

/**
 * The choice of the final policy: the smallest that passed plays fresh episodes, and is the answer when the lower bound of
 * its mean reaches the objective; else the search goes on between it and the next larger one that passed. The teacher is the
 * last resort: a failing policy is never the answer.
 */
async function* proofRound(
  context: Teaching,
  pool: Pool,
  s: PopsState,
  teacherProof: Proof,
): AsyncGenerator<Emitted, Answer | undefined> {
  const { teacher, options } = context;
  const objective = objectiveOf(options, teacherProof);
  yield { type: "stage-started", step: s.step, stage: "proof", iteration: 0 };
  const smallest = s.passing.at(-1);
  const candidate = smallest && load(smallest);
  const proof = candidate ? yield* proveCandidate(context, pool, candidate, objective, s.disproved, s.step) : undefined;
  if (candidate && !proof?.passed) {
    s.passing = s.passing.slice(0, -1);
    s.disproved++;
    if (s.passing.length > 0) startSqueeze(context, s, countsOf(candidate.architecture).weights);
    return undefined;
  }
  const fitting =
    candidate && proof
      ? yield* bestThatFits(
          context,
          pool,
          { network: candidate, proof },
          s.passing.slice(0, -1).map(load),
          objective,
          s.disproved,
          s.step,
        )
      : undefined;
  const answer = fitting?.network ?? teacher;
  const { architecture } = answer;
  const { score, sampled, divergence } = fitting?.proof ?? teacherProof;
  const smaller = candidate !== undefined;
  const { weights } = countsOf(architecture);
  const teacherWeights = countsOf(teacher.architecture).weights;
  const ratio = weights / teacherWeights;
  yield { type: "answer", step: s.step, architecture, weights, teacherWeights, ratio, score, smaller };
  const proven = { score, sampled, ...(divergence && { divergence }) };
  const known = { ...proven, teacher: teacherProof, objective, smaller };
  return "model" in answer
    ? { architecture: answer.architecture, parameters: null, ...known }
    : { architecture: answer.architecture, parameters: answer.parameters, ...known };
}

/** Tries students side by side; gives the first that passes. Events come in the jobs' order, for any number of workers. */
async function* tryStudents(
  { timeIsUp }: Examining,
  pool: Pool,
  jobs: readonly DistillJob[],
  stage: EventOf<"candidate">["stage"],
  s: PopsState,
): AsyncGenerator<Emitted, Distilled | undefined> {
  const search = firstPassing(pool, jobs, s.jobs, timeIsUp);
  let next = await search.next();
  // Nothing of these jobs is in the log before all that is needed is known: a checkpoint in between repeats no event.
  for (; !next.done; next = await search.next()) {
    const state: PopsState = { ...s, jobs: next.value };
    yield { type: "checkpoint", state: () => state };
  }
  const iteration = stage === "distill" ? s.iteration : 0;
  for (const { job, result } of next.value) {
    const { architecture, start } = job;
    const { updates, loss, agreement, score, passed } = result;
    const { weights } = countsOf(architecture);
    s.step += updates;
    const { step } = s;
    yield { type: "candidate", step, stage, iteration, start, architecture, weights, loss, agreement, score, passed };
  }
  s.jobs = null;
  const last = next.value.at(-1)?.result;
  return last?.passed ? last : undefined;
}

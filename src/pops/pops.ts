import { z } from "zod";
import {
  collectTeacherStates,
  type DistillContext,
  type Distilled,
  type DistillJob,
  type DistillState,
  distillSchema,
} from "../distillation/distill.ts";
import { makeVector } from "../environment/vector.ts";
import { ObjectiveError } from "../errors.ts";
import { Evaluator } from "../evaluation/evaluate.ts";
import type { Emitted, EventOf } from "../events.ts";
import { type Architecture, checkFits, countsOf, describe } from "../network/architecture.ts";
import type { Score } from "../network/policy.ts";
import type { Plain } from "../plain.ts";
import { type PruneState, prune, pruneSchema } from "../pruning/prune.ts";
import { redundancyOf } from "../shrinking/redundancy.ts";
import { ladder, resizeByUnits, resizeByWeights } from "../shrinking/resize.ts";
import { slice, strongestUnits } from "../shrinking/slice.ts";
import { Pool } from "./pool.ts";
import { withCheckpoints } from "./stage.ts";

const count = z.number().int().min(1);

export const popsSchema = z.strictObject({
  objective: z.number().describe("mean return that a policy has to hold"),
  lowerBound: z.number().describe("mean return below which pruning pauses"),
  maxIterations: count.max(100).default(10).describe("rounds of prune, shrink, distil"),
  starts: count.max(100).default(4).describe("random starts of the student in a round; the first that passes is taken"),
  rule: z.enum(["units", "weights"]).default("units").describe("next size from live units, or by the original's formula from weights"),
  init: z.enum(["random", "slice"]).default("random").describe("the student's starting weights: random, or the pruned network's strongest units"),
  minimumChange: z.number().min(0).max(1).default(0).describe("fraction of the teacher's weights; rounds end when one removes less"),
  squeezeStarts: z.number().int().min(0).max(1000).default(8).describe("random starts a size in the search below the last passing size; 0 for no search"),
  squeezeGrowth: z.number().min(1).max(4).default(1.15).describe("least ratio of weights between sizes of that search"),
  teacherEpisodes: count.min(2).default(100).describe("held-out episodes of the teacher's score"),
  proofEpisodes: count.min(2).default(1_000).describe("held-out episodes of the final proof"),
  prune: pruneSchema.prefault({}),
  distill: distillSchema.prefault({}),
});

export type PopsOptions = z.infer<typeof popsSchema>;

export interface Network {
  readonly architecture: Architecture;
  readonly parameters: Float32Array;
}

export interface Answer extends Network {
  readonly score: Score;
  readonly teacherScore: Score;
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
  phase: "teacher-proof" | "prune" | "distill" | "squeeze" | "proof";
  /** Gradient updates since the run began. */
  step: number;
  iteration: number;
  /** The smallest network that passed so far: where pruning goes on. */
  current: SavedNetwork;
  /** The next architecture, and where its students start from. */
  next: { readonly architecture: Plain; readonly parameters: Float32Array | null } | null;
  /** All that passed, by descending weights. */
  passing: readonly SavedNetwork[];
  /** Squeeze search: every rung up to `low` failed, `high` and above passed. */
  low: number;
  high: number | null;
  /** Architecture of the last passing network of the loop, from which the ladder is made. */
  top: Plain;
  teacherScore: Score | null;
  /** Of the stage that is under way. */
  prune: PruneState | null;
  jobs: JobsState | null;
}

interface JobsState {
  readonly [key: string]: Plain;
  readonly done: readonly { readonly index: number; readonly result: Plain }[];
  readonly partial: readonly { readonly index: number; readonly state: Plain }[];
}

const save = (network: Network): SavedNetwork => ({ architecture: network.architecture, parameters: network.parameters });
const load = (saved: SavedNetwork): Network => ({
  architecture: saved.architecture as Architecture,
  parameters: saved.parameters,
});

export interface PopsContext {
  readonly environment: string;
  readonly teacher: Network;
  readonly options: PopsOptions;
  readonly seed: number;
  /** Worker threads for students; their number never changes a result. */
  readonly workers: number;
  /** Updates made before, on the run's step axis. */
  readonly stepsBefore: number;
}

/**
 * PoPS (Livne & Cohen 2020): prune a copy of the network under the teacher's supervision, measure what was redundant, build a
 * smaller network, teach it by distillation, repeat until no smaller one passes; then search below the last passing size, and
 * prove the smallest policy on episodes that no decision has seen. docs/pops.md lists every deviation from the paper.
 *
 * @throws ObjectiveError when the teacher itself misses the objective
 */
export async function* pops(context: PopsContext, resume?: PopsState): AsyncGenerator<Emitted, Answer> {
  const { environment, teacher, options, seed } = context;
  const makeLanes = (size: number) => makeVector(environment, size);
  checkFits(teacher.architecture, makeLanes(1).spec);
  const s: PopsState = resume ? { ...resume } : begin(context);
  const { objective } = options;

  if (s.teacherScore === null) {
    yield { type: "stage-started", step: s.step, stage: "proof", iteration: 0, architecture: teacher.architecture };
    const score = await proofScore(context, teacher, "teacher", options.teacherEpisodes);
    s.teacherScore = score;
    const passed = score.mean >= objective;
    yield { type: "proof", step: s.step, role: "teacher", architecture: teacher.architecture, weights: countsOf(teacher.architecture).weights, score, objective, passed };
    if (!passed) {
      throw new ObjectiveError(
        `the teacher's mean over ${score.episodes} held-out episodes is ${score.mean.toFixed(2)}, the objective is ${objective}: ` +
          "train it longer, or state a lower objective with --set pops.objective=...",
      );
    }
    s.phase = "prune";
  }
  const shared = { teacher, options: options.distill, objective, seed };
  const states = await collectTeacherStates({ ...shared, makeLanes });
  const distilling: DistillContext = { ...shared, makeLanes, states };
  const pool = new Pool({ ...shared, states, environment }, context.workers);
  const checkpoint = (): Emitted => {
    const state = { ...s };
    return { type: "checkpoint", state: () => state };
  };
  try {
    while (s.phase === "prune" || s.phase === "distill") {
      if (s.phase === "prune") yield* pruneRound(context, distilling, s);
      else yield* distillRound(context, pool, s);
      yield checkpoint();
    }
    while (s.phase === "squeeze") {
      yield* squeezeRound(context, pool, s);
      yield checkpoint();
    }
  } finally {
    await pool.close();
  }
  return yield* proveAnswer(context, s);
}

function begin(context: PopsContext): PopsState {
  return {
    phase: "teacher-proof",
    step: context.stepsBefore,
    iteration: 1,
    // A relu on the outputs (the authors' CartPole teacher has one) would leave students with dead outputs.
    current: save({ ...context.teacher, architecture: withLinearOutput(context.teacher.architecture) }),
    next: null,
    passing: [],
    low: -1,
    high: null,
    top: null,
    teacherScore: null,
    prune: null,
    jobs: null,
  };
}

function withLinearOutput(architecture: Architecture): Architecture {
  const { layers } = architecture;
  return { ...architecture, layers: layers.map((layer, l) => (l === layers.length - 1 ? { ...layer, activation: "none" } : layer)) };
}

/** Prunes the current network and decides the next size. */
async function* pruneRound(context: PopsContext, distilling: DistillContext, s: PopsState): AsyncGenerator<Emitted, void> {
  const { options, teacher } = context;
  const { iteration } = s;
  const current = load(s.current);
  const { architecture } = current;
  if (s.prune === null) yield { type: "stage-started", step: s.step, stage: "prune", iteration, architecture };
  const pruning = prune(
    { ...distilling, lowerBound: options.lowerBound },
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
  const to =
    options.rule === "units" ? resizeByUnits(architecture, layers) : resizeByWeights(architecture, teacher.architecture, layers);
  if (!to) {
    startSqueeze(options, s);
    return;
  }
  const toWeights = countsOf(to).weights;
  yield { type: "resized", step: s.step, iteration, from: architecture, to, fromWeights: countsOf(architecture).weights, toWeights };
  const live = slice(architecture, pruned.parameters);
  const parameters = options.init === "slice" ? strongestUnits(live.architecture, live.parameters, to) : null;
  s.next = { architecture: to, parameters: parameters ?? null };
  s.phase = "distill";
}

/** Teaches the next network; one that passes becomes the current one, else the loop is over. */
async function* distillRound(context: PopsContext, pool: Pool, s: PopsState): AsyncGenerator<Emitted, void> {
  const { options, teacher } = context;
  const { iteration } = s;
  const architecture = s.next!.architecture as Architecture;
  const parameters = s.next!.parameters;
  if (s.jobs === null) yield { type: "stage-started", step: s.step, stage: "distill", iteration, architecture };
  const jobs = Array.from({ length: options.starts }, (_, start): DistillJob => ({
    architecture,
    start,
    // Only the first start is the pruned network's; the others are random.
    ...(parameters && start === 0 && { parameters }),
  }));
  const found = yield* firstPassing(pool, jobs, "distill", s);
  const before = countsOf(s.current.architecture as Architecture).weights;
  const change = (before - countsOf(architecture).weights) / countsOf(teacher.architecture).weights;
  if (found) {
    s.current = save({ architecture, parameters: found.parameters });
    s.passing = [...s.passing, s.current];
  }
  s.next = null;
  s.iteration++;
  if (found && change >= options.minimumChange && s.iteration <= options.maxIterations) s.phase = "prune";
  else startSqueeze(options, s);
}

function startSqueeze(options: PopsOptions, s: PopsState): void {
  s.phase = options.squeezeStarts > 0 ? "squeeze" : "proof";
  s.top = s.current.architecture;
}

/**
 * One rung of the search below the last passing size: the linear policy first, since it is the end of the road when it
 * passes, then bisection of the ladder.
 */
async function* squeezeRound(context: PopsContext, pool: Pool, s: PopsState): AsyncGenerator<Emitted, void> {
  const { options } = context;
  const rungs = ladder(s.top as Architecture, options.squeezeGrowth);
  const high = s.high ?? rungs.length;
  if (high - s.low <= 1) {
    s.phase = "proof";
    return;
  }
  const rung = s.low === -1 && high === rungs.length ? 0 : Math.floor((s.low + high) / 2);
  const architecture = rungs[rung]!;
  if (s.jobs === null) yield { type: "stage-started", step: s.step, stage: "squeeze", iteration: 0, architecture };
  const jobs = Array.from({ length: options.squeezeStarts }, (_, start): DistillJob => ({ architecture, start }));
  const found = yield* firstPassing(pool, jobs, "squeeze", s);
  if (found) {
    s.high = rung;
    s.passing = [...s.passing, save({ architecture, parameters: found.parameters })];
  } else {
    s.low = rung;
  }
}

/**
 * Runs jobs side by side and gives the first, in the jobs' order, that passes. Their events come in that order too, so the
 * log is the same for any number of workers.
 */
async function* firstPassing(
  pool: Pool,
  jobs: readonly DistillJob[],
  stage: EventOf<"candidate">["stage"],
  s: PopsState,
): AsyncGenerator<Emitted, Distilled | undefined> {
  const done = new Map<number, Distilled>();
  const partial = new Map<number, DistillState>();
  for (const { index, result } of s.jobs?.done ?? []) done.set(index, result as unknown as Distilled);
  for (const { index, state } of s.jobs?.partial ?? []) partial.set(index, state as DistillState);
  const stepBefore = s.step;
  const getState = (): PopsState => ({
    ...s,
    step: stepBefore,
    jobs: {
      done: [...done].map(([index, result]) => ({ index, result: result as unknown as Plain })),
      partial: [...partial].map(([index, state]) => ({ index, state })),
    },
  });
  let wake: () => void = () => undefined;
  let failure: unknown;
  for (const [index, job] of jobs.entries()) {
    if (done.has(index)) continue;
    const onProgress = (state: DistillState): void => {
      partial.set(index, state);
      wake();
    };
    pool.submit(job, partial.get(index), onProgress).then(
      (result) => {
        partial.delete(index);
        done.set(index, result);
        wake();
      },
      (error: unknown) => {
        failure = error;
        wake();
      },
    );
  }
  // Nothing of these jobs is in the log before all that is needed is known: a checkpoint in between repeats no event.
  let first = 0;
  for (;;) {
    while (done.has(first) && !done.get(first)!.passed) first++;
    if (first >= jobs.length || done.get(first)?.passed) break;
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    if (failure !== undefined) throw failure;
    await woken;
    yield { type: "checkpoint", state: getState };
  }
  pool.cancel();
  for (const [index, job] of jobs.slice(0, first + 1).entries()) {
    const { updates, loss, agreement, score, passed } = done.get(index)!;
    s.step += updates;
    const { architecture, start } = job;
    const { weights } = countsOf(architecture);
    const iteration = stage === "distill" ? s.iteration : 0;
    yield { type: "candidate", step: s.step, stage, iteration, start, architecture, weights, loss, agreement, score, passed };
  }
  s.jobs = null;
  return first < jobs.length ? done.get(first) : undefined;
}

async function proofScore(context: PopsContext, network: Network, name: string, episodes: number): Promise<Score> {
  const { environment, seed } = context;
  const evaluator = await Evaluator.create(network.architecture, makeVector(environment, Math.min(100, episodes)));
  const score = await evaluator.score(network.parameters, seed, `proof/${name}`, episodes);
  await evaluator.dispose();
  return score;
}

/**
 * The choice of the final policy: the smallest that passed so far is played on fresh episodes, and is the answer when its
 * lower bound reaches the objective; else the next larger. The teacher is the last resort: a failing policy is never the answer.
 */
async function* proveAnswer(context: PopsContext, s: PopsState): AsyncGenerator<Emitted, Answer> {
  const { teacher, options } = context;
  const { objective } = options;
  const teacherWeights = countsOf(teacher.architecture).weights;
  const teacherScore = s.teacherScore!;
  yield { type: "stage-started", step: s.step, stage: "proof", iteration: 0 };
  const candidates = s.passing.map(load).toSorted((a, b) => countsOf(a.architecture).weights - countsOf(b.architecture).weights);
  for (const [index, candidate] of candidates.entries()) {
    const { architecture } = candidate;
    const { weights } = countsOf(architecture);
    const score = await proofScore(context, candidate, `${describe(architecture)}/${index}`, options.proofEpisodes);
    const passed = score.lower95 >= objective;
    yield { type: "proof", step: s.step, role: "candidate", architecture, weights, score, objective, passed };
    if (!passed) continue;
    yield { type: "answer", step: s.step, architecture, weights, teacherWeights, ratio: weights / teacherWeights, score, smaller: true };
    return { ...candidate, score, teacherScore, smaller: true };
  }
  const { architecture } = teacher;
  yield { type: "answer", step: s.step, architecture, weights: teacherWeights, teacherWeights, ratio: 1, score: teacherScore, smaller: false };
  return { ...teacher, score: teacherScore, teacherScore, smaller: false };
}

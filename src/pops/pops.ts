import type { DistillContext, DistillJob } from "../distillation/distill.ts";
import { normalizationOf } from "../distillation/normalization.ts";
import { UsageError } from "../errors.ts";
import type { Divergence } from "../evaluation/examination.ts";
import type { Emitted } from "../events.ts";
import {
  type Architecture,
  type BlackBoxArchitecture,
  countsOf,
  describe,
  hiddenWidths,
  inputSize,
  type Normalization,
} from "../network/architecture.ts";
import type { Network, Score } from "../network/policy.ts";
import { type PruneState, prune } from "../pruning/prune.ts";
import { BITS, type Bits } from "../quantization/fixed-point.ts";
import type { Observations } from "../replay/rows.ts";
import { redundancyOf } from "../shrinking/redundancy.ts";
import { resizeByUnits, resizeByWeights } from "../shrinking/resize.ts";
import { slice, strongestUnits } from "../shrinking/slice.ts";
import { tryStudents } from "./candidates.ts";
import type { Compression, Examining, PopsContext, Teaching } from "./context.ts";
import { environmentGround, type Ground, labelLog, observedIn, openGround, type Source } from "./ground.ts";
import type { PopsOptions } from "./options.ts";
import { Pool } from "./pool.ts";
import { bestThatFits, objectiveOf, type Proof, proveCandidate, proveTeacher } from "./proof.ts";
import { squeezeRound, startSqueeze } from "./squeeze.ts";
import { withCheckpoints } from "./stage.ts";
import { begin, load, type PopsState, save } from "./state.ts";

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

const bitsOf = ({ quantize }: PopsOptions): Bits | null => quantize && BITS[quantize];

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

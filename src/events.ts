import { z } from "zod";
import { anyArchitectureSchema, architectureSchema } from "./network/architecture.ts";
import { scoreSchema } from "./network/policy.ts";
import type { Plain } from "./plain.ts";

/** Raised when the meaning of an event changes. Readers refuse logs of another version. */
export const EVENTS_VERSION = 2;

const count = z.number().int().min(0);
const quick = z.strictObject({ mean: z.number(), sd: z.number(), min: z.number(), episodes: count });

/** A part of logged observations: how many episodes or blocks, and observations in them. */
const observed = z.strictObject({ units: count, observations: count });

/** Logged observations in parts that have no episode or block in common. */
export const observationsSchema = z.strictObject({
  /** Of the file. */
  sha256: z.string(),
  /** What was held out as a whole. */
  by: z.enum(["episode", "block"]),
  training: observed,
  selection: observed,
  proof: observed,
});

/** Of a policy from its teacher, on the observations of a proof. */
export const divergenceSchema = z.strictObject({
  kl: z.number().exactOptional(),
  squaredError: z.number().exactOptional(),
});

/** Per layer: weights and units in the network that was pruned, and what is left of them. */
const redundancyLayer = z.strictObject({
  name: z.string(),
  weights: count,
  nonZero: count,
  units: count,
  liveUnits: count,
  /** Of a convolution: what its non-zero weights span of the kernel. */
  liveKernel: z.tuple([count, count]).exactOptional(),
});

/**
 * Everything a run records, one JSON object a line of `events.jsonl`. `step` is the number of gradient updates since the
 * run began, over all stages and resumes; it never falls. No event holds a time of day: equal runs have equal logs.
 */
export const eventSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("run-started"),
    step: count,
    version: count,
    /** Id; a run on logged observations has none. */
    environment: z.string().exactOptional(),
    seed: count,
    preset: z.string(),
  }),
  /**
   * What a run without an environment stands on. All scores of such a run are agreements with the teacher, and no return is
   * measured.
   */
  z.strictObject({
    type: z.literal("observations"),
    step: count,
    ...observationsSchema.shape,
  }),
  /** A stage begins. `iteration` counts rounds of the PoPS loop from 1; 0 outside it. */
  z.strictObject({
    type: z.literal("stage-started"),
    step: count,
    stage: z.enum(["teacher", "prune", "distill", "squeeze", "proof"]),
    iteration: count,
    architecture: anyArchitectureSchema.optional(),
  }),
  /**
   * Teacher training. `progress` is the fraction of the step budget that is used. DQN states `epsilon`, and its `loss` is the
   * mean since the last one; PPO states the parts of its loss and how far its updates moved the policy, means over the updates
   * of the last rollout.
   */
  z.strictObject({
    type: z.literal("train"),
    step: count,
    environmentSteps: count,
    episodes: count,
    progress: z.number(),
    loss: z.number(),
    epsilon: z.number().optional(),
    policyLoss: z.number().optional(),
    valueLoss: z.number().optional(),
    entropy: z.number().optional(),
    kl: z.number().optional(),
    clipFraction: z.number().optional(),
    explainedVariance: z.number().optional(),
    learningRate: z.number().optional(),
    /** Mean return of the last 100 training episodes. */
    episodeReturn: z.number(),
  }),
  /** Greedy evaluation of the teacher in training, on its own evaluation episodes. */
  z.strictObject({
    type: z.literal("teacher-evaluated"),
    step: count,
    environmentSteps: count,
    score: quick,
    passed: z.boolean(),
  }),
  /** The end of training: what ships is the policy of `architecture`; what training made beside it stays behind. */
  z.strictObject({
    type: z.literal("teacher-trained"),
    step: count,
    algorithm: z.enum(["dqn", "ppo"]),
    architecture: architectureSchema,
    leftBehind: z.array(z.strictObject({ name: z.string(), layers: z.string(), weights: count, biases: count })),
  }),
  /** One gate of iterative policy pruning. `paused`: the pruning clock stands still while the score recovers. */
  z.strictObject({
    type: z.literal("pruned"),
    step: count,
    iteration: count,
    progress: z.number(),
    sparsity: z.number(),
    nonZero: count,
    loss: z.number(),
    score: quick,
    paused: z.boolean(),
    saved: z.boolean(),
  }),
  /** What iterative policy pruning found redundant: the sparsest network that held the objective. */
  z.strictObject({
    type: z.literal("redundancy"),
    step: count,
    iteration: count,
    architecture: architectureSchema,
    sparsity: z.number(),
    layers: z.array(redundancyLayer),
  }),
  /** The next, smaller architecture. */
  z.strictObject({
    type: z.literal("resized"),
    step: count,
    iteration: count,
    from: architectureSchema,
    to: architectureSchema,
    fromWeights: count,
    toWeights: count,
  }),
  /** A smaller network was taught by distillation and tried. `start` numbers its random start. */
  z.strictObject({
    type: z.literal("candidate"),
    step: count,
    stage: z.enum(["distill", "squeeze"]),
    iteration: count,
    start: count,
    architecture: architectureSchema,
    weights: count,
    loss: z.number(),
    /** With the teacher, on held-out states of it: fraction with the same action, or 1 less the mean distance in ranges of it. */
    agreement: z.number(),
    score: quick,
    passed: z.boolean(),
  }),
  /** A policy was tried on fresh held-out episodes. `role`: the teacher, or a candidate for the answer. */
  z.strictObject({
    type: z.literal("proof"),
    step: count,
    role: z.enum(["teacher", "candidate"]),
    architecture: anyArchitectureSchema,
    weights: count,
    score: scoreSchema,
    /** When actions are drawn instead of the greedy ones, on the same episodes; a proof by greedy actions that failed has none. */
    sampled: scoreSchema.exactOptional(),
    /** From the teacher, on logged observations; candidates only. */
    divergence: divergenceSchema.exactOptional(),
    objective: z.number(),
    passed: z.boolean(),
  }),
  /** The end: the smallest policy that passed. */
  z.strictObject({
    type: z.literal("answer"),
    step: count,
    architecture: anyArchitectureSchema,
    weights: count,
    teacherWeights: count,
    ratio: z.number(),
    score: scoreSchema,
    /** False when nothing smaller passed and the answer is of the teacher's own size. */
    smaller: z.boolean(),
  }),
]);

/** Any line of `events.jsonl`. */
export type Event = z.infer<typeof eventSchema>;
/** The event of one type: `EventOf<"proof">`. */
export type EventOf<Type extends Event["type"]> = Extract<Event, { type: Type }>;
/** Mean, standard deviation (n - 1) and minimum of the returns of some episodes: for gates and curves, not for proofs. */
export type QuickScore = z.infer<typeof quick>;

/** A safe point of an algorithm: `state()` gives everything that a fresh call needs to go on bit-exactly. Never recorded as an event. */
export interface Checkpoint {
  readonly type: "checkpoint";
  readonly state: () => Plain;
  /** The end of a stage that may be made longer: saved, however new the checkpoint before it is. */
  readonly last?: boolean;
}

/** What an algorithm yields. */
export type Emitted = Event | Checkpoint;

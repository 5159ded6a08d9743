import { z } from "zod";
import { divergenceSchema, observationsSchema } from "../events.ts";
import { ACTING } from "../network/action.ts";
import { anyArchitectureSchema } from "../network/architecture.ts";
import { scoreSchema } from "../network/policy.ts";

const count = z.number().int().min(0);

/** One side of the comparison. Every size stands beside the others: none of them tells the story alone. */
const sideSchema = z.strictObject({
  architecture: anyArchitectureSchema,
  /** Units of each layer, input first: `4-256-256-128-2`. */
  layers: z.string(),
  weights: count,
  biases: count,
  /** Weights that are not exactly 0. */
  nonZero: count,
  /** float32 bytes of all parameters. */
  bytes: count,
  /** Multiply-adds of one forward pass. */
  macs: count,
  /** Median time of one decision (batch 1, plain typed arrays, this machine), in microseconds. */
  latencyMicros: z.number(),
  score: scoreSchema,
  /** Score on the same episodes of actions that are drawn from the policy's distribution; Q-values have none. */
  sampled: scoreSchema.exactOptional(),
  /** From the teacher, on held-out observations: of a policy that nothing else was measured of. */
  divergence: divergenceSchema.exactOptional(),
});

/** Policies that a run may have tried: looked at before they are, since what is wrong with each is collected. */
const MAX_STEPS = 10_000;
const step = z.strictObject({
  stage: z.enum(["teacher", "prune", "distill", "squeeze", "proof"]),
  iteration: count,
  layers: z.string(),
  weights: count,
  score: z.number(),
  episodes: count,
  passed: z.boolean(),
});

/** `result.json` of a run directory. */
export const resultSchema = z.strictObject({
  version: z.literal(1),
  /** Id; a run on logged observations has none. */
  environment: z.string().exactOptional(),
  /** What scores are: mean returns of episodes, or agreements with the teacher on logged observations; then no return was measured. */
  measure: z.enum(["return", "agreement"]).default("return"),
  /** How the policies acted. */
  acting: z.enum(ACTING).default("greedy"),
  /** What a run without an environment stands on. */
  observations: z
    .strictObject({ file: z.string(), ...observationsSchema.shape, tolerance: z.number() })
    .exactOptional(),
  seed: count,
  preset: z.string(),
  /** Score (return, or agreement) that the answer's lower bound has to reach. */
  objective: z.number(),
  teacher: sideSchema,
  policy: sideSchema,
  /** policy.weights / teacher.weights. */
  ratio: z.number(),
  /** The export in which policies were tried and proven, where that was not float32: whole numbers in C. */
  target: z.enum(["c-int8", "c-int16"]).exactOptional(),
  /** False when nothing smaller passed: the answer is the teacher itself. */
  smaller: z.boolean(),
  /** Every policy that was tried, in order. */
  steps: z.array(z.unknown()).max(MAX_STEPS).pipe(z.array(step)),
  /** Wall-clock seconds spent in each stage, over all sessions of the run. */
  seconds: z.record(z.string(), z.number()),
  versions: z.record(z.string(), z.string()),
});

/** What a finished run found out: teacher and policy side by side. */
export type Result = z.infer<typeof resultSchema>;
/** Sizes, latency and score of one policy. */
export type Side = Result["teacher"];

import { z } from "zod";
import { distillSchema } from "../distillation/distill.ts";
import { ACTING } from "../network/action.ts";
import { pruneSchema } from "../pruning/prune.ts";
import { FIXED_FORMS } from "../quantization/fixed-point.ts";
import { networkShape } from "../teacher/teacher.ts";

const count = z.number().int().min(1);

const { convolutions, hidden, activation } = networkShape([], "relu");

/** The network that a compression begins with where that is no copy of the teacher. */
const studentSchema = z.strictObject({
  convolutions: convolutions.describe("convolutions of the first student, over image observations"),
  hidden: hidden
    .unwrap()
    .nullable()
    .default(null)
    .describe(
      "units of the hidden layers of a first student, which the teacher teaches before pruning begins; null: a copy of the teacher instead, of a black box a size below its own",
    ),
  activation: activation.describe("activation of the first student's hidden layers"),
});

/** Options of the PoPS loop: `popsSchema.parse({ objective, lowerBound })` fills in the defaults. */
export const popsSchema = z.strictObject({
  objective: z
    .number()
    .describe(
      "mean return that the teacher has to reach and a policy has to hold; on logged observations the agreement",
    ),
  retention: z
    .number()
    .positive()
    .max(1)
    .nullable()
    .default(null)
    .describe(
      "share of the teacher's mean that a policy has to hold instead of the objective; a negative mean may grow by as much",
    ),
  lowerBound: z.number().describe("mean return below which pruning pauses; on logged observations the agreement"),
  acting: z
    .enum(ACTING)
    .default("greedy")
    .describe("how policies act when they are scored: by their best action, or as drawn from logits or a Gaussian"),
  tolerance: z
    .number()
    .min(0)
    .max(1)
    .default(0.05)
    .describe(
      "on logged observations: distance of continuous actions, in ranges of each dimension, up to which they agree",
    ),
  student: studentSchema.prefault({}),
  maxIterations: count.max(100).default(10).describe("rounds of prune, shrink, distil"),
  starts: count.max(100).default(4).describe("random starts of the student in a round; the first that passes is taken"),
  rule: z
    .enum(["units", "weights"])
    .default("units")
    .describe("next size from live units, or by the original's formula from weights"),
  init: z
    .enum(["random", "slice"])
    .default("random")
    .describe("the student's starting weights: random, or the pruned network's strongest units"),
  normalization: z
    .enum(["teacher", "states"])
    .default("teacher")
    .describe("of a student's observations: as the teacher's, or by mean and deviation of the teacher's states"),
  minimumChange: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe("fraction of the teacher's weights; rounds end when one removes less"),
  squeezeStarts: z
    .number()
    .int()
    .min(0)
    .max(1000)
    .default(8)
    .describe("random starts a size in the search below the last passing size; 0 for no search"),
  squeezeGrowth: z.number().min(1).max(4).default(1.15).describe("least ratio of weights between sizes of that search"),
  teacherEpisodes: count.min(2).default(100).describe("held-out episodes of the teacher's score"),
  proofEpisodes: count.min(2).default(1_000).describe("held-out episodes of the final proof"),
  quantize: z
    .enum(FIXED_FORMS)
    .nullable()
    .default(null)
    .describe("weights of policies as they are tried and proven, in whole numbers; null for float32"),
  maxBytes: count
    .nullable()
    .default(null)
    .describe("code and constants that the quantised policy may have in C; of those that fit the best is taken"),
  prune: pruneSchema.prefault({}),
  distill: distillSchema.prefault({}),
});

/** Options of the PoPS loop, checked and complete. */
export type PopsOptions = z.infer<typeof popsSchema>;

import { z } from "zod";
import { ShapeError } from "../errors.ts";
import {
  type AnyArchitecture,
  type Architecture,
  architectureSchema,
  type BlackBoxArchitecture,
  blackBoxSchema,
  layoutOf,
  parameterCount,
} from "./architecture.ts";
import { interfaceSchema, misfit } from "./interface.ts";
import { countNonZero } from "./parameters.ts";

/** Mean return over episodes that played no part in making the policy, with its uncertainty. */
export const scoreSchema = z.strictObject({
  mean: z.number(),
  /** Standard deviation over episodes (n - 1). */
  sd: z.number().min(0),
  min: z.number(),
  /** One-sided 95 % lower confidence bound of the mean. */
  lower95: z.number(),
  /** Two-sided 95 % bootstrap interval of the mean. */
  interval95: z.tuple([z.number(), z.number()]),
  episodes: z.number().int().min(1),
});

/** Mean return over held-out episodes, with its uncertainty. */
export type Score = z.infer<typeof scoreSchema>;

/** Limits of what a policy says of an environment of Gymnasium's: characters of an option, and wrappers. */
export const MAX_WORDS = 10_000;
export const MAX_WRAPPERS = 100;

/** What travels with every policy, whatever it is. */
const shared = {
  /** Environment id that the policy was made for. */
  environment: z.string().max(200).optional(),
  /** How an environment of Python's Gymnasium was made beside its id, in the words of the command line's options. */
  gymnasium: z
    .strictObject({
      module: z.string().max(MAX_WORDS).optional(),
      kwargs: z.string().max(MAX_WORDS).optional(),
      wrappers: z.array(z.string().max(MAX_WORDS)).max(MAX_WRAPPERS).optional(),
    })
    .optional(),
  /** Score on held-out episodes of that environment. */
  score: scoreSchema.optional(),
  /** Who made it, from what, with which settings: free text by key. */
  provenance: z.record(z.string().max(100), z.string().max(10_000)),
  /** How its ONNX file is called, where it takes another one's place. */
  interface: interfaceSchema.exactOptional(),
};

function checkInterface(
  { interface: face, architecture }: Pick<PolicyMetadata, "interface"> & { architecture: AnyArchitecture },
  context: z.RefinementCtx,
): void {
  const wrong = face && misfit(face, architecture);
  if (wrong !== undefined) context.addIssue({ code: "custom", path: ["interface"], message: wrong });
}

/** What travels with the numbers inside every policy file. */
export const policyMetadataSchema = z
  .strictObject({ architecture: architectureSchema, ...shared })
  .superRefine(checkInterface);

/** Of a black box. */
export const blackBoxMetadataSchema = z
  .strictObject({ architecture: blackBoxSchema, ...shared })
  .superRefine(checkInterface);

/** What travels with a black box. */
export type BlackBoxMetadata = z.infer<typeof blackBoxMetadataSchema>;
/** What travels with the numbers of a policy. */
export type PolicyMetadata = z.infer<typeof policyMetadataSchema>;

/** A policy: what it is and its numbers. `parameters` is flat, laid out as `layoutOf(architecture)` says. */
export interface Policy extends PolicyMetadata {
  readonly parameters: Float32Array;
}

/** A network without anything beside it: what it is and its numbers. */
export type Network = Pick<Policy, "architecture" | "parameters">;

/** A policy that only answers: an ONNX model as PoPS writes it anew and runs it. It cannot be pruned. */
export interface BlackBox {
  readonly architecture: BlackBoxArchitecture;
  readonly model: Uint8Array;
  /** Observations that it is given at once, at most. */
  readonly rows: number;
}

/** A black box with what travels with it, and the file that it was. */
export interface BlackBoxPolicy extends BlackBox, BlackBoxMetadata {
  readonly architecture: BlackBoxArchitecture;
  readonly file: Uint8Array;
}

/** What can be played and imitated. */
export type AnyPolicy = Policy | BlackBoxPolicy;

/** Weights that are not exactly 0. */
export function nonZeroOf(policy: AnyPolicy): number {
  return "model" in policy ? policy.architecture.model.nonZero : countNonZero(policy.architecture, policy.parameters);
}

/** Refuses parameters of the wrong length and NaN or infinite weights; names the layer and the index. */
export function checkParameters(architecture: Architecture, parameters: Float32Array): void {
  const expected = parameterCount(architecture);
  if (parameters.length !== expected) {
    throw new ShapeError("policy", `has ${parameters.length} parameters, its architecture needs ${expected}`);
  }
  const at = parameters.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  const layer = layoutOf(architecture).find(({ biases }) => at < biases.offset + biases.length);
  const part = layer !== undefined && at < layer.biases.offset ? "weight" : "bias";
  const index = layer === undefined ? at : at - (part === "weight" ? layer.weights.offset : layer.biases.offset);
  throw new ShapeError(
    "policy",
    `${part} ${index} of layer ${layer?.name ?? "?"} is ${parameters[at]}, expected a finite number`,
  );
}

import { z } from "zod";
import { ShapeError } from "../errors.ts";
import { checkParameters, type Policy, policyMetadataSchema } from "../network/policy.ts";

/**
 * The `pops` entry of a policy file: what reading it needs beside the numbers, as JSON.
 *
 * @throws ShapeError when the policy could not be read again: metadata out of bounds, parameters missing or not finite
 */
export function metadataOf(policy: Policy): string {
  const { architecture, environment, gymnasium, score, provenance } = policy;
  const parsed = policyMetadataSchema.safeParse({ architecture, environment, gymnasium, score, provenance });
  if (!parsed.success) throw new ShapeError("policy", `metadata is malformed: ${z.prettifyError(parsed.error)}`);
  checkParameters(architecture, policy.parameters);
  return JSON.stringify(parsed.data);
}

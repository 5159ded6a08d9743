import { z } from "zod";
import { ShapeError } from "../errors.ts";
import {
  type BlackBoxMetadata,
  blackBoxMetadataSchema,
  checkParameters,
  type Policy,
  policyMetadataSchema,
} from "../network/policy.ts";

/**
 * The `pops` entry of a policy file: what reading it needs beside the numbers, as JSON.
 *
 * @throws ShapeError when the policy could not be read again: metadata out of bounds, parameters missing or not finite
 */
export function metadataOf(policy: Policy | BlackBoxMetadata): string {
  const { architecture, environment, gymnasium, score, provenance, interface: face } = policy;
  const metadata = { architecture, environment, gymnasium, score, provenance, ...(face && { interface: face }) };
  const parsed = ("model" in architecture ? blackBoxMetadataSchema : policyMetadataSchema).safeParse(metadata);
  if (!parsed.success) throw new ShapeError("policy", `metadata is malformed: ${z.prettifyError(parsed.error)}`);
  if ("parameters" in policy) checkParameters(policy.architecture, policy.parameters);
  return JSON.stringify(parsed.data);
}

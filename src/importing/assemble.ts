import { z } from "zod";
import { FileError, reasonOf, ShapeError } from "../errors.ts";
import { layoutOf } from "../network/architecture.ts";
import { checkParameters, type Policy, type PolicyMetadata } from "../network/policy.ts";

/** The `pops` entry of a policy file's metadata. */
export function parseMetadata<Metadata>(json: string | undefined, schema: z.ZodType<Metadata>, path: string): Metadata {
  if (json === undefined) throw new FileError(path, "has no pops metadata");
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new FileError(path, `the pops metadata is not JSON: ${reasonOf(error)}`, { cause: error });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new FileError(path, `the pops metadata is malformed: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** A named array of a file. */
interface Part {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/**
 * The policy of which a file holds one `<layer>.weight` [inputs, outputs] and `<layer>.bias` [outputs] a layer.
 *
 * @param parts the file's float32 tensors by name
 * @throws FileError when one is missing, of another shape, left over, or not finite
 */
export function assemblePolicy(metadata: PolicyMetadata, parts: ReadonlyMap<string, Part>, path: string): Policy {
  const layers = layoutOf(metadata.architecture);
  const found = layers.flatMap(({ name, inputs, outputs }) => [
    take(parts, `${name}.weight`, [inputs, outputs], path),
    take(parts, `${name}.bias`, [outputs], path),
  ]);
  if (parts.size !== found.length) {
    throw new FileError(path, `holds ${parts.size} tensors, its architecture has ${found.length}`);
  }
  // Only now: the sizes that the architecture claims are those that the file really holds.
  return finitePolicy({ ...metadata, parameters: concatenate(found) }, path);
}

function take(parts: ReadonlyMap<string, Part>, name: string, shape: readonly number[], path: string): Float32Array {
  const part = parts.get(name);
  if (part === undefined) throw new FileError(path, `tensor "${name}" is missing`);
  if (part.shape.join() !== shape.join()) {
    throw new FileError(
      path,
      `tensor "${name}" has shape [${part.shape.join(", ")}], its architecture says [${shape.join(", ")}]`,
    );
  }
  return part.data;
}

/** The policy itself, unless a number of it is NaN or infinite: then a FileError. */
export function finitePolicy(policy: Policy, path: string): Policy {
  try {
    checkParameters(policy.architecture, policy.parameters);
  } catch (error) {
    if (error instanceof ShapeError) throw new FileError(path, error.message, { cause: error });
    throw error;
  }
  return policy;
}

export function concatenate(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

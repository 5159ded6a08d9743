import { FileError } from "../errors.ts";
import { transposed } from "../network/parameters.ts";
import type { Policy } from "../network/policy.ts";
import { checkSeal, NO_DIGEST } from "../seal.ts";
import type { OnnxModel } from "../tensor/onnx-model.ts";
import { decodeModel } from "../tensor/onnx-reader.ts";
import { assemblePolicy, parseMetadata } from "./assemble.ts";

/** Initialisers that repeat what the metadata holds: statistics of a normalisation, bounds of actions. */
const derived = ["normalization.", "action."];

/** Whether a model claims to be a policy of PoPS. */
export function isOwnOnnx({ metadata }: OnnxModel): boolean {
  return metadata["pops"] !== undefined;
}

/**
 * The policy in an `.onnx` file that PoPS wrote (`policyToOnnx`): the digest is the last entry of the file.
 *
 * @throws FileError when it is not such a file or a single bit differs
 */
export function policyFromOnnx(bytes: Uint8Array, path: string): Policy {
  const { graph, metadata } = decodeModel(bytes, path);
  const { pops, sha256 } = metadata;
  if (pops === undefined) {
    throw new FileError(
      path,
      "is an ONNX model without a PoPS policy (no metadata entry pops): only ONNX files that PoPS exported can be read",
    );
  }
  checkSeal(bytes, bytes.length - NO_DIGEST.length, sha256, path);
  const parts = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const { name, dtype, dims, data } of graph.initializers) {
    if (derived.some((prefix) => name.startsWith(prefix))) continue;
    if (dtype !== "float32") throw new FileError(path, `initializer "${name}" has type ${dtype}, expected float32`);
    if (parts.has(name)) throw new FileError(path, `initializer "${name}" stands twice`);
    parts.set(name, filtersLast(dims, data));
  }
  return assemblePolicy(parseMetadata(pops, path), parts, path);
}

/** A convolution's weights [filters, channels, kernel height, kernel width] as a policy has them: [the rest, filters]. */
function filtersLast(dims: readonly number[], data: Float32Array): { shape: readonly number[]; data: Float32Array } {
  const [filters, ...rest] = dims;
  if (filters === undefined || rest.length !== 3) return { shape: dims, data };
  const inputs = rest.reduce((product, size) => product * size, 1);
  return { shape: [inputs, filters], data: transposed(data, filters, inputs) };
}

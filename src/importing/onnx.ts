import { FileError } from "../errors.ts";
import { rangesOf } from "../network/action.ts";
import { type Architecture, layoutOf, outputSize } from "../network/architecture.ts";
import { type Interface, ownInterface, reshaping } from "../network/interface.ts";
import { transposed } from "../network/parameters.ts";
import { type AnyPolicy, blackBoxMetadataSchema, type Policy, policyMetadataSchema } from "../network/policy.ts";
import { checkSeal, NO_DIGEST } from "../seal.ts";
import { elementsOf } from "../shape.ts";
import type { OnnxModel, OnnxTensor } from "../tensor/onnx-model.ts";
import { decodeModel } from "../tensor/onnx-reader.ts";
import { assemblePolicy, parseMetadata } from "./assemble.ts";
import { blackBoxOf } from "./black-box.ts";

/** Beginnings of the names of initialisers that repeat what the metadata holds. */
const DERIVED = /^(?:normalization|action|interface)\./;

/**
 * The initialisers of an exported policy that repeat what its metadata holds: statistics of the normalisation, bounds of the
 * actions, shapes of the interface. Not every graph needs all of them.
 */
export function derivedInitializers(architecture: Architecture, face: Interface): Map<string, OnnxTensor> {
  const { input, normalization, gaussian } = architecture;
  const tensors = new Map<string, OnnxTensor>();
  const floats = (name: string, values: readonly number[], dims: readonly number[] = [values.length]): void => {
    tensors.set(name, { name, dtype: "float32", dims, data: Float32Array.from(values) });
  };
  const sizes = (name: string, data: readonly number[]): void => {
    tensors.set(name, { name, dtype: "int64", dims: [data.length], data });
  };
  const images = layoutOf(architecture)[0]?.window !== undefined;
  if (normalization && !face.normalized) {
    const { mean, deviation, clip } = normalization;
    for (const [name, values] of Object.entries({ mean, deviation })) {
      floats(`normalization.${name}`, values, images && values.length > 1 ? input : undefined);
    }
    if (clip !== undefined) floats("normalization.low", [-clip], []);
    if (clip !== undefined) floats("normalization.high", [clip], []);
  }
  if (gaussian) {
    const { low, high } = gaussian;
    for (const [name, values] of Object.entries({ ...rangesOf(gaussian), low, high })) floats(`action.${name}`, values);
  }
  if (images) sizes("interface.observation", [-1, ...input]);
  for (const [index, output] of face.outputs.entries()) {
    const to = reshaping(output, face.input.dims[0], outputSize(architecture));
    if (Array.isArray(to)) sizes(`interface.${index}`, to);
  }
  return tensors;
}

/** Whether a model claims to be a policy of PoPS. */
export function isOwnOnnx({ metadata }: OnnxModel): boolean {
  return metadata["pops"] !== undefined;
}

/** The entry of a model's metadata that says by which scheme it is quantised, where it is. */
export const QUANTIZATION = "quantization";

/**
 * The policy in an `.onnx` file that PoPS wrote (`policyToOnnx`): the digest is the last entry of the file.
 *
 * @throws FileError when it is not such a file, a single bit differs, or it is quantised
 */
export function policyFromOnnx(bytes: Uint8Array, path: string): Policy {
  const policy = anyPolicyFromOnnx(bytes, path);
  if ("parameters" in policy) return policy;
  throw new FileError(
    path,
    "is quantised: it can be played and imitated, but has no float32 layers; take the policy that it was made of",
  );
}

/** The policy in an `.onnx` file that PoPS wrote; one that is quantised (`policyToQuantizedOnnx`) is a black box. */
export function anyPolicyFromOnnx(bytes: Uint8Array, path: string): AnyPolicy {
  const { graph, metadata } = decodeModel(bytes, path);
  const { pops, sha256, [QUANTIZATION]: quantization } = metadata;
  if (pops === undefined) {
    throw new FileError(
      path,
      "is an ONNX model without a PoPS policy (no metadata entry pops): only ONNX files that PoPS exported can be read",
    );
  }
  checkSeal(bytes, bytes.length - NO_DIGEST.length, sha256, path);
  if (quantization !== undefined) {
    const box = parseMetadata(pops, blackBoxMetadataSchema, path);
    return { ...box, ...blackBoxOf(box.architecture, bytes, path), file: bytes };
  }
  const parsed = parseMetadata(pops, policyMetadataSchema, path);
  const parts = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  const repeated = new Map<string, OnnxTensor>();
  for (const tensor of graph.initializers) {
    const { dtype, dims, data } = tensor;
    // Underscores keep it apart from an input or output of that name.
    const name = tensor.name.replace(/_+$/, "");
    if (parts.has(name) || repeated.has(name)) throw new FileError(path, `initializer "${name}" stands twice`);
    if (DERIVED.test(name)) {
      repeated.set(name, tensor);
      continue;
    }
    if (dtype !== "float32") throw new FileError(path, `initializer "${name}" has type ${dtype}, expected float32`);
    parts.set(name, filtersLast(dims, data));
  }
  const policy = assemblePolicy(parsed, parts, path);
  checkRepeated(policy, repeated, path);
  return policy;
}

/** What stands in the graph and in the metadata has to be the same: the graph acts elsewhere, the metadata here. */
function checkRepeated(
  { architecture, interface: face }: Policy,
  found: ReadonlyMap<string, OnnxTensor>,
  path: string,
): void {
  const expected = derivedInitializers(architecture, face ?? ownInterface(architecture));
  const equal = (a: OnnxTensor, b: OnnxTensor): boolean =>
    a.dtype === b.dtype && a.dims.join() === b.dims.join() && Array.from(a.data).join() === Array.from(b.data).join();
  for (const [name, tensor] of found) {
    const own = expected.get(name);
    if (!own || !equal(own, tensor)) throw new FileError(path, `initializer "${name}" is not what its metadata says`);
  }
  const missing = [...expected.keys()].find((name) => name.startsWith("normalization.") && !found.has(name));
  if (missing !== undefined) throw new FileError(path, `initializer "${missing}" is missing`);
}

/** A convolution's weights [filters, channels, kernel height, kernel width] as a policy has them: [the rest, filters]. */
function filtersLast(dims: readonly number[], data: Float32Array): { shape: readonly number[]; data: Float32Array } {
  const [filters, ...rest] = dims;
  if (filters === undefined || rest.length !== 3) return { shape: dims, data };
  const inputs = elementsOf(rest);
  return { shape: [inputs, filters], data: transposed(data, filters, inputs) };
}

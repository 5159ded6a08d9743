import { FileError } from "../errors.ts";
import { type AnyPolicy, blackBoxMetadataSchema, type Policy, policyMetadataSchema } from "../network/policy.ts";
import { decodeSafetensors, type SafetensorsFile } from "../safetensors.ts";
import { checkSeal } from "../seal.ts";
import { assemblePolicy, parseMetadata } from "./assemble.ts";
import { blackBoxOf } from "./black-box.ts";

export const POLICY_FORMAT = "pops-policy";
export const POLICY_VERSION = "1";

/** The tensor that holds the file of a black box, byte for byte. */
export const BLACK_BOX = "model";

/** The digest is the first entry of the file, so it stands at one place: after the 8 bytes of header length and this. */
export const DIGEST_OFFSET = 8 + '{"__metadata__":{"sha256":"'.length;

/** Whether a file claims to be a policy of PoPS. */
export function isOwnSafetensors({ metadata }: SafetensorsFile): boolean {
  return metadata["format"] === POLICY_FORMAT;
}

/**
 * The policy in a `.safetensors` file that PoPS wrote (`policyToSafetensors`).
 *
 * @throws FileError when it is not such a file, another version wrote it, a single bit differs, or it holds a black box
 */
export function policyFromSafetensors(bytes: Uint8Array, path: string): Policy {
  const policy = anyPolicyFromSafetensors(bytes, path);
  if ("parameters" in policy) return policy;
  throw new FileError(path, "holds a black box, which has no layers: expected a policy of layers");
}

/** The policy or black box in a `.safetensors` file that PoPS wrote. */
export function anyPolicyFromSafetensors(bytes: Uint8Array, path: string): AnyPolicy {
  const {
    tensors,
    metadata: { format, version, pops, sha256 },
  } = decodeSafetensors(bytes, path);
  if (format !== POLICY_FORMAT) {
    throw new FileError(
      path,
      `is a safetensors file without a PoPS policy (format ${JSON.stringify(format)}, expected "${POLICY_FORMAT}")`,
    );
  }
  checkSeal(bytes, DIGEST_OFFSET, sha256, path);
  if (version !== POLICY_VERSION) {
    throw new FileError(
      path,
      `has policy version ${version}, this program reads ${POLICY_VERSION}: use a newer pops-rl`,
    );
  }
  const file = tensors.get(BLACK_BOX);
  if (file !== undefined) {
    const { data } = file;
    if (!(data instanceof Uint8Array) || tensors.size !== 1) throw new FileError(path, "holds more than a black box");
    const metadata = parseMetadata(pops, blackBoxMetadataSchema, path);
    return { ...metadata, ...blackBoxOf(metadata.architecture, data, path), file: data };
  }
  const parts = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [name, { shape, dtype, data }] of tensors) {
    if ((dtype !== "F32" && dtype !== "F16") || !(data instanceof Float32Array)) {
      throw new FileError(path, `tensor "${name}" has dtype ${dtype}, expected F32 or F16`);
    }
    parts.set(name, { shape, data });
  }
  return assemblePolicy(parseMetadata(pops, policyMetadataSchema, path), parts, path);
}

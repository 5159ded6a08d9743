import { BLACK_BOX, DIGEST_OFFSET, POLICY_FORMAT, POLICY_VERSION } from "../importing/policy-safetensors.ts";
import { layoutOf } from "../network/architecture.ts";
import type { AnyPolicy, Policy } from "../network/policy.ts";
import { encodeSafetensors, type Safetensor } from "../safetensors.ts";
import { NO_DIGEST, seal } from "../seal.ts";
import { metadataOf } from "./metadata.ts";

/**
 * A policy as a `.safetensors` file: float32 `<layer>.weight` [inputs, outputs] and `<layer>.bias` [outputs] for each
 * layer (`dense_1`, ..., `output`); metadata `sha256` (of the file with 64 zeros in its place), `format`, `version` and
 * `pops` (architecture, environment, score, provenance and interface as JSON). Of a black box it holds `model`, the bytes of
 * its file. Equal policies give equal bytes.
 *
 * @throws ShapeError when parameters are missing or not finite, or the metadata is out of bounds
 */
export function policyToSafetensors(policy: AnyPolicy): Uint8Array<ArrayBuffer> {
  const pops = metadataOf(policy);
  const tensors =
    "model" in policy
      ? new Map<string, Safetensor>([[BLACK_BOX, { shape: [policy.file.length], data: policy.file }]])
      : layersOf(policy);
  const bytes = encodeSafetensors(tensors, { sha256: NO_DIGEST, format: POLICY_FORMAT, version: POLICY_VERSION, pops });
  seal(bytes, DIGEST_OFFSET);
  return bytes;
}

function layersOf(policy: Policy): Map<string, Safetensor> {
  const tensors = new Map<string, Safetensor>();
  for (const { name, inputs, outputs, weights, biases } of layoutOf(policy.architecture)) {
    const part = ({ offset, length }: typeof weights): Float32Array =>
      policy.parameters.subarray(offset, offset + length);
    tensors.set(`${name}.weight`, { shape: [inputs, outputs], data: part(weights) });
    tensors.set(`${name}.bias`, { shape: [outputs], data: part(biases) });
  }
  return tensors;
}

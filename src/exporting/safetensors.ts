import { ShapeError } from "../errors.ts";
import { BLACK_BOX, DIGEST_OFFSET, POLICY_FORMAT, POLICY_VERSION } from "../importing/policy-safetensors.ts";
import { layoutOf } from "../network/architecture.ts";
import type { AnyPolicy, Policy } from "../network/policy.ts";
import { encodeSafetensors, halfToNumber, numberToHalf, type Safetensor } from "../safetensors.ts";
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
  return written(policy, false);
}

/**
 * The same with float16 numbers, in about half the bytes: each is rounded to the nearest, and read again as exactly that. It is
 * another policy, so the score does not go with it, unless nothing had to be rounded; the provenance says so.
 *
 * @throws ShapeError as `policyToSafetensors`, and when a number is beyond half precision
 */
export function policyToHalfSafetensors(policy: Policy): Uint8Array<ArrayBuffer> {
  const { parameters, provenance } = policy;
  const rounded = parameters.map((value) => halfToNumber(numberToHalf(value)));
  const beyond = rounded.findIndex((value, index) => !Number.isFinite(value) && Number.isFinite(parameters[index]));
  if (beyond >= 0) {
    throw new ShapeError(
      "policyToHalfSafetensors",
      `parameter ${beyond} is ${parameters[beyond]}, half precision ends at 65504: write float32, without --half`,
    );
  }
  if (rounded.every((value, index) => value === parameters[index])) return written(policy, true);
  const said = { ...provenance, precision: "rounded to half precision" };
  return written({ ...policy, score: undefined, provenance: said, parameters: rounded }, true);
}

function written(policy: AnyPolicy, half: boolean): Uint8Array<ArrayBuffer> {
  const pops = metadataOf(policy);
  const tensors =
    "model" in policy
      ? new Map<string, Safetensor>([[BLACK_BOX, { shape: [policy.file.length], data: policy.file }]])
      : layersOf(policy, half);
  const bytes = encodeSafetensors(tensors, { sha256: NO_DIGEST, format: POLICY_FORMAT, version: POLICY_VERSION, pops });
  seal(bytes, DIGEST_OFFSET);
  return bytes;
}

function layersOf(policy: Policy, half: boolean): Map<string, Safetensor> {
  const tensors = new Map<string, Safetensor>();
  for (const { name, inputs, outputs, weights, biases } of layoutOf(policy.architecture)) {
    const part = ({ offset, length }: typeof weights): Float32Array =>
      policy.parameters.subarray(offset, offset + length);
    tensors.set(`${name}.weight`, { shape: [inputs, outputs], data: part(weights), half });
    tensors.set(`${name}.bias`, { shape: [outputs], data: part(biases), half });
  }
  return tensors;
}

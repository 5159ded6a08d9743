import { expect, it } from "vitest";
import { FileError } from "../../src/errors.ts";
import { policyToSafetensors } from "../../src/exporting/safetensors.ts";
import { DIGEST_OFFSET, policyFromSafetensors } from "../../src/importing/policy-safetensors.ts";
import { decodeSafetensors, encodeSafetensors, type Safetensor } from "../../src/safetensors.ts";
import { NO_DIGEST, seal } from "../../src/seal.ts";
import { small } from "./fixtures/policies.ts";

const written = decodeSafetensors(policyToSafetensors(small), "x");

/** The file of `small` with other tensors or metadata and a digest that fits. */
function sealed(changes: {
  tensors?: Record<string, Safetensor | undefined>;
  metadata?: Record<string, string>;
}): Uint8Array {
  const tensors = new Map<string, Safetensor>(written.tensors);
  for (const [name, tensor] of Object.entries(changes.tensors ?? {})) {
    if (tensor === undefined) tensors.delete(name);
    else tensors.set(name, tensor);
  }
  const bytes = encodeSafetensors(tensors, { ...written.metadata, ...changes.metadata, sha256: NO_DIGEST });
  seal(bytes, DIGEST_OFFSET);
  return bytes;
}

const { architecture, provenance } = small;
const huge = { ...architecture, input: [1_000_000, 1_000_000, 1_000_000, 1_000_000] };
const wide = { ...architecture, input: [1_000_000], layers: [{ kind: "dense", units: 1_000_000, activation: "relu" }] };

it.each([
  ["a missing tensor", { tensors: { "output.bias": undefined } }, 'tensor "output.bias" is missing'],
  ["a tensor too many", { tensors: { extra: { shape: [1], data: new Float32Array(1) } } }, "holds 5 tensors"],
  [
    "a transposed tensor",
    { tensors: { "output.weight": { shape: [2, 4], data: new Float32Array(8) } } },
    "has shape [2, 4]",
  ],
  [
    "another dtype",
    { tensors: { "output.bias": { shape: [2], data: new Float64Array(2) } } },
    "has dtype F64, expected F32 or F16",
  ],
  [
    "NaN",
    { tensors: { "output.bias": { shape: [2], data: Float32Array.of(0, Number.NaN) } } },
    "bias 1 of layer output is NaN",
  ],
  ["a later version", { metadata: { version: "2" } }, "has policy version 2"],
  ["another format", { metadata: { format: "pt" } }, 'format "pt", expected "pops-policy"'],
  ["metadata that is no JSON", { metadata: { pops: "{" } }, "pops metadata is not JSON"],
  [
    "metadata with an unknown key",
    { metadata: { pops: JSON.stringify({ architecture, provenance, x: 1 }) } },
    "malformed",
  ],
  [
    "an architecture beyond 2^53",
    { metadata: { pops: JSON.stringify({ architecture: huge, provenance }) } },
    "has shape",
  ],
  [
    "an architecture beyond memory",
    { metadata: { pops: JSON.stringify({ architecture: wide, provenance }) } },
    "says [1000000, 1000000]",
  ],
])("refuses %s", (_name, changes, message) => {
  expect(() => policyFromSafetensors(sealed(changes), "evil")).toThrow(FileError);
  expect(() => policyFromSafetensors(sealed(changes), "evil")).toThrow(message);
});

it("refuses a file of others", () => {
  const bytes = encodeSafetensors(written.tensors, {});
  expect(() => policyFromSafetensors(bytes, "foreign")).toThrow("without a PoPS policy (format undefined");
});

it("refuses a policy without its digest", () => {
  const { sha256, ...metadata } = written.metadata;
  expect(sha256).toHaveLength(64);
  expect(() => policyFromSafetensors(encodeSafetensors(written.tensors, metadata), "x")).toThrow("has no sha256");
});

it("refuses a policy without pops metadata", () => {
  const { pops, sha256, ...metadata } = written.metadata;
  const bytes = encodeSafetensors(written.tensors, { sha256: NO_DIGEST, ...metadata });
  seal(bytes, DIGEST_OFFSET);
  expect([pops, sha256]).not.toContain(undefined);
  expect(() => policyFromSafetensors(bytes, "x")).toThrow("has no pops metadata");
});

it("refuses every single flipped bit", () => {
  const bytes = policyToSafetensors(small);
  for (let at = 0; at < 8 * bytes.length; at += 1) {
    const flipped = bytes.slice();
    flipped[at >> 3] = flipped[at >> 3]! ^ (1 << (at & 7));
    expect(() => policyFromSafetensors(flipped, "x")).toThrow(FileError);
  }
});

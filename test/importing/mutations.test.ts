import { expect, it } from "vitest";
import { FileError } from "../../src/errors.ts";
import { policyToOnnx } from "../../src/exporting/onnx.ts";
import { policyToSafetensors } from "../../src/exporting/safetensors.ts";
import { policyFromOnnx } from "../../src/importing/onnx.ts";
import { DIGEST_OFFSET, policyFromSafetensors } from "../../src/importing/policy-safetensors.ts";
import { decodeTfCheckpoint } from "../../src/importing/tf-checkpoint.ts";
import { policyFromTfVariables } from "../../src/importing/tf-policy.ts";
import type { Policy } from "../../src/network/policy.ts";
import { stream } from "../../src/random/pcg64.ts";
import { decodeSafetensors } from "../../src/safetensors.ts";
import { NO_DIGEST, seal } from "../../src/seal.ts";
import { decodeModel } from "../../src/tensor/onnx-reader.ts";
import { mutate } from "./fixtures/mutate.ts";
import { exact, small, smallGaussian } from "./fixtures/policies.ts";
import { denseVariables, writeCheckpoint } from "./fixtures/tf-writer.ts";

const TRIALS = 10_000;

/** Runs `read` and returns what it read, or `undefined` when it refused with a FileError; anything else is thrown on. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof FileError && error.path.startsWith("hostile") && error.message.length < 5000) return undefined;
    throw error;
  }
}

/** `read` on each of 10,000 mutations gives an equal policy or a FileError; most are refused. */
function expectEqualOrRefused(bytes: Uint8Array, name: string, read: (mutated: Uint8Array) => Policy): void {
  const random = stream(1, name);
  const expected = exact(read(bytes));
  let refused = 0;
  for (let trial = 0; trial < TRIALS; trial += 1) {
    const policy = attempt(() => read(mutate(bytes, random)));
    if (policy === undefined) refused += 1;
    else expect(exact(policy)).toBe(expected);
  }
  expect(refused).toBeGreaterThan(0.8 * TRIALS);
}

/** `read` on each of 10,000 mutations returns or throws a FileError. */
function expectTypedOnly(name: string, read: (random: ReturnType<typeof stream>) => unknown): void {
  const random = stream(2, name);
  for (let trial = 0; trial < TRIALS; trial += 1) attempt(() => read(random));
}

const policies = [
  ["Q-values", small],
  ["a Gaussian of normalised observations", smallGaussian],
] as const;
const safetensors = policyToSafetensors(small);
const onnx = policyToOnnx(small);
const variables = denseVariables({ fc_1: [3, 4], fc_2: [4, 4], logits: [4, 2] });
const { index, shards } = writeCheckpoint(variables);

function readTf(indexBytes: Uint8Array, data: readonly Uint8Array[] = shards): Policy {
  return policyFromTfVariables(decodeTfCheckpoint(indexBytes, data, "hostile"), {}, "hostile");
}

it.each(policies)("reads a mutated safetensors policy (%s) as it was or refuses it", (_, policy) => {
  expectEqualOrRefused(policyToSafetensors(policy), "safetensors", (bytes) => policyFromSafetensors(bytes, "hostile"));
});

it.each(policies)("reads a mutated ONNX policy (%s) as it was or refuses it", (_, policy) => {
  expectEqualOrRefused(policyToOnnx(policy), "onnx", (bytes) => policyFromOnnx(bytes, "hostile"));
});

it("reads a mutated TensorFlow index as it was or refuses it", () => {
  expectEqualOrRefused(index, "tf-index", (bytes) => readTf(bytes));
});

it("reads mutated TensorFlow data as it was or refuses it", () => {
  expectEqualOrRefused(shards[0]!, "tf-data", (bytes) => readTf(index, [bytes]));
});

it.each(policies)(
  "throws only FileErrors on mutated safetensors policies (%s) whose digest was made to fit",
  (_, policy) => {
    const whole = policyToSafetensors(policy);
    expectTypedOnly("safetensors-sealed", (random) => {
      const bytes = mutate(whole, random);
      if (bytes.length > DIGEST_OFFSET + NO_DIGEST.length) seal(bytes, DIGEST_OFFSET);
      return policyFromSafetensors(bytes, "hostile");
    });
  },
);

it.each(policies)("throws only FileErrors on mutated ONNX policies (%s) whose digest was made to fit", (_, policy) => {
  const whole = policyToOnnx(policy);
  expectTypedOnly("onnx-sealed", (random) => {
    const bytes = mutate(whole, random);
    if (bytes.length > NO_DIGEST.length) seal(bytes, bytes.length - NO_DIGEST.length);
    return policyFromOnnx(bytes, "hostile");
  });
});

it("throws only FileErrors on TensorFlow indices whose CRCs were made to fit", () => {
  expectTypedOnly("tf-sealed", (random) => {
    const tampered = writeCheckpoint(variables, {
      tamper: (block) => (random.integer(3) > 0 ? block : mutate(block, random)),
    });
    return readTf(tampered.index);
  });
});

it("throws only FileErrors on mutated safetensors and ONNX files of others", () => {
  expectTypedOnly("codecs", (random) => [
    attempt(() => decodeSafetensors(mutate(safetensors, random), "hostile")),
    attempt(() => decodeModel(mutate(onnx, random), "hostile")),
  ]);
});

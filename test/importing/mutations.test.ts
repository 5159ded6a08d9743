import { expect, it } from "vitest";
import { FileError, NumericError } from "../../src/errors.ts";
import { policyToOnnx } from "../../src/exporting/onnx.ts";
import { policyToSafetensors } from "../../src/exporting/safetensors.ts";
import { blackBoxFromOnnx } from "../../src/importing/black-box.ts";
import { policyFromForeignOnnx } from "../../src/importing/foreign-onnx.ts";
import { policyFromOnnx } from "../../src/importing/onnx.ts";
import { moves } from "../../src/importing/onnx-moves.ts";
import { operations } from "../../src/importing/onnx-operations.ts";
import { DIGEST_OFFSET, policyFromSafetensors } from "../../src/importing/policy-safetensors.ts";
import { policyFromSb3 } from "../../src/importing/sb3.ts";
import { policyFromStateDict, stateDictOf } from "../../src/importing/state-dict.ts";
import { decodeTfCheckpoint } from "../../src/importing/tf-checkpoint.ts";
import { policyFromTfVariables } from "../../src/importing/tf-policy.ts";
import { readTorch } from "../../src/importing/torch.ts";
import { readVecNormalize } from "../../src/importing/vec-normalize.ts";
import { ZipArchive } from "../../src/importing/zip.ts";
import { inputSize } from "../../src/network/architecture.ts";
import { BlackBoxProgram } from "../../src/network/black-box.ts";
import type { Policy } from "../../src/network/policy.ts";
import { stream } from "../../src/random/pcg64.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/safetensors.ts";
import { NO_DIGEST, seal } from "../../src/seal.ts";
import { encodeModel } from "../../src/tensor/onnx-model.ts";
import { decodeModel } from "../../src/tensor/onnx-reader.ts";
import { sb3Of, torchOf, vecNormalizeOf, zipOf } from "./fixtures/foreign-writer.ts";
import { motley } from "./fixtures/graphs.ts";
import { mutate, mutateGraph } from "./fixtures/mutate.ts";
import { exact, small, smallGaussian, smallImages } from "./fixtures/policies.ts";
import { denseVariables, writeCheckpoint } from "./fixtures/tf-writer.ts";

/** Mutations of each reader's file; `npm run test:long` takes 100,000 of every one. */
const LONG = process.env["POPS_LONG"] === "1";
const TRIALS = LONG ? 100_000 : 10_000;
const GRAPHS = LONG ? 100_000 : 2_000;
const PATIENCE = LONG ? 3_600_000 : 120_000;

/** Runs `read` and returns what it read, or `undefined` when it refused with a FileError; anything else is thrown on. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof FileError && error.path.startsWith("hostile") && error.message.length < 5000) return undefined;
    throw error;
  }
}

/** `read` on each of the mutations gives an equal policy or a FileError; most are refused. */
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

/** `read` on each of the mutations returns or throws a FileError. */
function expectTypedOnly(name: string, read: (random: ReturnType<typeof stream>) => unknown): void {
  const random = stream(2, name);
  for (let trial = 0; trial < TRIALS; trial += 1) attempt(() => read(random));
}

const policies = [
  ["Q-values", small],
  ["a Gaussian of normalised observations", smallGaussian],
  ["convolutions", smallImages],
] as const;
const safetensors = policyToSafetensors(small);
const onnx = policyToOnnx(small);
const variables = {
  ...denseVariables({ fc_2: [8, 4], logits: [4, 2] }),
  "conv_1/weights": { shape: [3, 3, 1, 2], data: Float32Array.from({ length: 18 }, (_, i) => i / 10) },
  "conv_1/biases": { shape: [2], data: Float32Array.of(3, 4) },
};
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

const torch = torchOf(small, ["q_net.q_net.0", "q_net.q_net.2"]);
const sb3 = sb3Of("stable_baselines3.dqn.policies.DQNPolicy", torch, 3, false);
const torchImages = torchOf(smallImages, [
  ...[0, 2, 4].map((number) => `q_net.features_extractor.cnn.${number}`),
  "q_net.features_extractor.linear.0",
  "q_net.q_net.0",
]);
const sb3Images = sb3Of("stable_baselines3.dqn.policies.CnnPolicy", torchImages, smallImages.architecture.input, false);
const statistics = vecNormalizeOf([0.5, -1, 2], [1, 2, 3]);
const foreign = encodeModel({ ...decodeModel(onnx, "x"), metadata: {} });
const foreignImages = encodeModel({ ...decodeModel(policyToOnnx(smallImages), "x"), metadata: {} });

/** `read` on each mutation returns or throws a FileError; no file format protects these bytes. */
function expectTypedMutations(name: string, bytes: Uint8Array, read: (mutated: Uint8Array) => unknown): void {
  expect(read(bytes)).toBeDefined();
  expectTypedOnly(name, (random) => read(mutate(bytes, random)));
}

it.each([
  ["vectors", sb3],
  ["images", sb3Images],
])("reads a mutated file of Stable-Baselines3 as it was or refuses it: %s", (_, bytes) => {
  expectEqualOrRefused(bytes, "sb3", (mutated) => policyFromSb3(mutated, "hostile"));
});

it("throws only FileErrors on files of Stable-Baselines3 whose pickles and weights were mutated inside", () => {
  expectTypedOnly("sb3-inside", (random) => {
    const weights = random.integer(2) === 0 ? torch : mutate(torch, random);
    const whole = sb3Of("stable_baselines3.sac.policies.SACPolicy", weights, 3, true);
    const data = new ZipArchive(whole, "hostile").read("data")!;
    const json = Buffer.from(mutate(data, random));
    return policyFromSb3(
      zipOf([
        { name: "data", content: json },
        { name: "policy.pth", content: weights },
      ]),
      "hostile",
    );
  });
});

it.each([
  ["dense layers", torch],
  ["convolutions", torchImages],
])(
  "reads a mutated state dict of PyTorch (%s) as it was or refuses it; throws only FileErrors where its checksums fit",
  (_, whole) => {
    const read = (bytes: Uint8Array): Policy => policyFromStateDict(readTorch(bytes, "hostile"), {}, "x", "hostile");
    expectEqualOrRefused(whole, "torch", read);
    const archive = new ZipArchive(whole, "hostile");
    const entries = archive.names.map((name) => ({ name, content: archive.read(name)! }));
    expectTypedOnly("torch-pickle", (random) => {
      const [pickle, ...rest] = entries;
      return read(zipOf([{ name: pickle!.name, content: mutate(pickle!.content, random) }, ...rest]));
    });
  },
);

it("throws only FileErrors on mutated statistics of VecNormalize", () => {
  expectTypedMutations("vec-normalize", statistics, (bytes) => readVecNormalize(bytes, "hostile"));
});

it("throws only FileErrors on mutated safetensors and ONNX models of others", () => {
  expectTypedMutations("foreign-onnx", foreign, (bytes) =>
    policyFromForeignOnnx(decodeModel(bytes, "hostile"), "hostile", {}),
  );
  expectTypedMutations("foreign-onnx-images", foreignImages, (bytes) =>
    policyFromForeignOnnx(decodeModel(bytes, "hostile"), "hostile", {}),
  );
  expectTypedMutations("foreign-safetensors", encodeSafetensors(readTorch(torch, "x"), {}), (bytes) =>
    policyFromStateDict(stateDictOf(decodeSafetensors(bytes, "hostile")), {}, "x", "hostile"),
  );
});

/** Outputs of a file as a black box; `undefined` when it was refused, or stopped because of NaN. */
async function attemptToPlay(bytes: Uint8Array): Promise<Float32Array | undefined> {
  try {
    const box = await blackBoxFromOnnx(bytes, "hostile", {}, "a test");
    const program = await BlackBoxProgram.compile(box, 3);
    try {
      const observations = program.floats("observations");
      for (let i = 0; i < 3 * inputSize(box.architecture); i++) observations[i] = 3 * Math.sin(i);
      await program.run();
      return program.floats("outputs").slice();
    } finally {
      await program.dispose();
    }
  } catch (error) {
    if (error instanceof NumericError) return undefined;
    if (error instanceof FileError && error.path === "hostile" && error.message.length < 5000) return undefined;
    throw error;
  }
}

it(
  "refuses mutated black boxes or runs them: then they give numbers, and end",
  async () => {
    const whole = motley();
    const random = stream(3, "black-box");
    expect(await attemptToPlay(whole)).toBeDefined();
    let played = 0;
    for (let trial = 0; trial < TRIALS; trial += 1) {
      const outputs = await attemptToPlay(mutate(whole, random));
      if (outputs === undefined) continue;
      played += 1;
      expect(outputs.every(Number.isFinite)).toBe(true);
    }
    expect(played).toBeGreaterThan(0.05 * TRIALS);
  },
  PATIENCE,
);

it(
  "refuses black boxes whose graphs were changed, or runs them: then they give numbers, and end",
  async () => {
    const whole = decodeModel(motley(), "x");
    const random = stream(4, "black-box-graphs");
    const operators = [...Object.keys(operations), ...Object.keys(moves)];
    let played = 0;
    for (let trial = 0; trial < GRAPHS; trial += 1) {
      const outputs = await attemptToPlay(encodeModel(mutateGraph(whole, operators, random)));
      if (outputs === undefined) continue;
      played += 1;
      expect(outputs.every(Number.isFinite)).toBe(true);
    }
    expect(played).toBeGreaterThan(0.05 * GRAPHS);
  },
  PATIENCE,
);

it("has taken less than 2 GiB of memory for all of this", () => {
  expect(process.resourceUsage().maxRSS).toBeLessThan(2 * 1024 * 1024);
});

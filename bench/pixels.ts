/**
 * `npm run bench -- pixels`: the training step of the paper's convolutional network beside PyTorch's in the same run, on
 * one thread and on two (set POPS_PYTHON to a Python that has torch; python3 otherwise); and one decision of a policy file,
 * in plain typed arrays and as its ONNX export, beside that network in ONNX Runtime.
 */

import { policyToOnnx } from "../src/exporting/onnx.ts";
import { loadPolicy } from "../src/importing/load.ts";
import { type Architecture, describe, inputSize } from "../src/network/architecture.ts";
import { initialize } from "../src/network/parameters.ts";
import type { Policy } from "../src/network/policy.ts";
import { predictor } from "../src/network/predict.ts";
import { stream } from "../src/random/pcg64.ts";
import { InferenceSession, Tensor as OrtTensor } from "../src/tensor/onnxruntime.ts";
import { useThreads } from "../src/tensor/program.ts";
import { median, printMachine, repeat, startPeer } from "./measure.ts";
import { trainingStep } from "./training-step.ts";

const convolution = (units: number, kernel: number, stride: number): Architecture["layers"][number] => ({
  kind: "conv",
  units,
  kernel: [kernel, kernel],
  stride: [stride, stride],
  activation: "relu",
});

/** Mnih et al. 2015, with Pong's three actions: the paper's 1,684,992 weights. */
const nature: Architecture = {
  input: [4, 84, 84],
  normalization: { mean: [0], deviation: [255] },
  layers: [
    convolution(32, 8, 4),
    convolution(64, 4, 2),
    convolution(64, 3, 1),
    { kind: "dense", units: 512, activation: "relu" },
    { kind: "dense", units: 3, activation: "none" },
  ],
  head: "q-values",
};

interface Answer {
  readonly millis: number;
  readonly torch: string;
}

async function trainingSteps(): Promise<void> {
  const peer = await startPeer<Answer>("pixels-peer.py", { batch: 2, threads: 1, steps: 1 });
  console.log(
    peer
      ? `Training step of ${describe(nature)}, milliseconds (PyTorch ${peer.first.torch} in the same run, alternating)\n`
      : `Training step of ${describe(nature)}, milliseconds. PyTorch is missing: point POPS_PYTHON at a Python that has it.\n`,
  );
  console.log("| batch | threads | pops-rl | PyTorch | ratio |\n|---|---|---|---|---|");
  for (const [batch, threads, steps] of [
    [32, 1, 5],
    [32, 2, 5],
    [256, 1, 1],
    [256, 2, 1],
  ] as const) {
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      useThreads(threads);
      ours.push(await trainingStep(nature, { batch, steps, warmUp: steps, bytes: true }));
      useThreads(1);
      if (peer) theirs.push((await peer.ask({ batch, threads, steps })).millis);
    }
    const other = peer ? `${median(theirs).toFixed(1)} | ${(median(theirs) / median(ours)).toFixed(2)}` : "missing |";
    console.log(`| ${batch} | ${threads} | ${median(ours).toFixed(1)} | ${other} |`);
  }
  peer?.close();
}

const DECISIONS = 100;

/** Microseconds of one decision by ONNX Runtime on one thread, from the exported model. */
async function byRuntime(policy: Policy, observation: Float32Array): Promise<number> {
  const options = { intraOpNumThreads: 1, interOpNumThreads: 1 };
  const session = await InferenceSession.create(policyToOnnx(policy), options);
  const feeds = { observation: new OrtTensor("float32", observation, [1, ...policy.architecture.input]) };
  const { wall } = await repeat(async () => {
    for (let i = 0; i < DECISIONS; i++) await session.run(feeds);
  });
  await session.release();
  return (1000 * wall) / DECISIONS;
}

async function byArrays(policy: Policy, observation: Float32Array): Promise<number> {
  const predict = predictor(policy);
  const { wall } = await repeat(() => {
    for (let i = 0; i < DECISIONS; i++) predict(observation);
  });
  return (1000 * wall) / DECISIONS;
}

async function decisions(compact: Policy): Promise<void> {
  const random = stream(1, "bench");
  const observation = Float32Array.from({ length: inputSize(nature) }, () => random.integer(256));
  const parameters = initialize(nature, "he", random);
  const teacher = await byRuntime({ architecture: nature, parameters, provenance: {} }, observation);
  const rows = [
    [describe(nature), "ONNX Runtime, one thread", teacher],
    [describe(compact.architecture), "ONNX Runtime, one thread", await byRuntime(compact, observation)],
    [describe(compact.architecture), "plain typed arrays", await byArrays(compact, observation)],
  ] as const;
  console.log("\nOne decision (batch 1), microseconds\n\n| network | by | time | times faster |\n|---|---|---|---|");
  for (const [network, by, time] of rows) {
    console.log(`| ${network} | ${by} | ${time.toFixed(1)} | ${(teacher / time).toFixed(1)} |`);
  }
}

printMachine();
await trainingSteps();
const [file] = process.argv.slice(2);
if (file !== undefined) await decisions(await loadPolicy(file));

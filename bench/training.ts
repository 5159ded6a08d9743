/**
 * `npm run bench -- training`: the training step beside PyTorch's in the same run when Python has torch (set POPS_PYTHON to its
 * interpreter; python3 otherwise), evaluation, and one decision.
 */
import { measureLatency } from "../src/cli/latency.ts";
import { makeVector } from "../src/environment/vector.ts";
import { Evaluator } from "../src/evaluation/evaluate.ts";
import { dense, describe, parameterCount } from "../src/network/architecture.ts";
import { initialize } from "../src/network/parameters.ts";
import { stream } from "../src/random/pcg64.ts";
import { median, printMachine, repeat, startPeer } from "./measure.ts";
import { trainingStep } from "./training-step.ts";

const WARM_UP = 100;

interface Answer {
  readonly micros: number;
  readonly torch: string;
}

printMachine();
const peer = await startPeer<Answer>("peer.py", { hidden: [8], batch: 8, steps: 10 });
console.log(
  peer
    ? `Training step, one thread, microseconds (PyTorch ${peer.first.torch} in the same run, alternating)\n`
    : "Training step, one thread, microseconds. PyTorch is missing: point POPS_PYTHON at a Python that has torch 2.13.\n",
);
console.log("| network | batch | pops-rl | PyTorch | ratio |\n|---|---|---|---|---|");
for (const [hidden, batch, steps] of [
  [[256, 256, 128], 128, 200],
  [[64, 64], 64, 1000],
  [[8, 8, 8], 128, 1000],
] as const) {
  // Three times each, in turns, so that a passing load hits both.
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let turn = 0; turn < 3; turn++) {
    ours.push(1000 * (await trainingStep(dense(4, hidden, 2, "q-values"), { batch, steps, warmUp: WARM_UP })));
    if (peer) theirs.push((await peer.ask({ hidden, batch, steps })).micros);
  }
  const other = peer ? `${median(theirs).toFixed(0)} | ${(median(theirs) / median(ours)).toFixed(2)}` : "missing |";
  console.log(`| 4-${hidden.join("-")}-2 | ${batch} | ${median(ours).toFixed(0)} | ${other} |`);
}
peer?.close();

console.log(
  "\nEvaluation of 100 greedy CartPole-v1 episodes (policies that balance for 500 steps), milliseconds\n\n| network | time |\n|---|---|",
);
for (const hidden of [[256, 256, 128], []]) {
  const architecture = dense(4, hidden, 2, "q-values");
  const parameters = balancing(architecture);
  const evaluator = await Evaluator.create(architecture, makeVector("CartPole-v1", 100));
  const { mean: score } = await evaluator.quick(parameters, 1, "bench", 100);
  const { wall } = await repeat(async () => {
    await evaluator.quick(parameters, 1, "bench", 100);
  });
  console.log(`| ${describe(architecture)} (mean ${score.toFixed(0)}) | ${wall.toFixed(0)} |`);
  await evaluator.dispose();
}

console.log("\nOne decision (batch 1, plain typed arrays), microseconds\n\n| network | time |\n|---|---|");
for (const hidden of [[256, 256, 128], [64, 64], [4, 3], []]) {
  const architecture = dense(4, hidden, 2, "q-values");
  const parameters = initialize(architecture, "he", stream(1, "bench"));
  console.log(
    `| ${describe(architecture)} | ${(await measureLatency({ architecture, parameters, provenance: {} })).toFixed(3)} |`,
  );
}

/** A policy that balances CartPole whatever its size: push towards the side to which position and angle, with their speeds, lean. */
function balancing(architecture: ReturnType<typeof dense>): Float32Array {
  const parameters = new Float32Array(parameterCount(architecture));
  const lean = [0.1, 0.3, 1, 1];
  const widths = architecture.layers.map((layer) => layer.units);
  let offset = 0;
  let inputs = 4;
  for (const [l, units] of widths.entries()) {
    const last = l === widths.length - 1;
    for (let i = 0; i < inputs; i++) {
      // Units 0 and 1 carry the positive and negative part through the relus.
      if (l === 0) {
        parameters[offset + i * units] = last ? 0 : (lean[i] ?? 0);
        parameters[offset + i * units + 1] = (last ? 1 : -1) * (lean[i] ?? 0);
      } else if (i < 2) {
        parameters[offset + i * units + (last ? 1 - i : i)] = 1;
      }
    }
    offset += (inputs + 1) * units;
    inputs = units;
  }
  return parameters;
}

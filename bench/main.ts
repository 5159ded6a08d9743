/**
 * `npm run bench`: medians of repeated runs on this machine, the training step beside PyTorch's in the same run when
 * Python has torch (set POPS_PYTHON to its interpreter; python3 otherwise).
 */
import { spawn } from "node:child_process";
import { availableParallelism, cpus } from "node:os";
import { createInterface } from "node:readline";
import { measureLatency } from "../src/cli/latency.ts";
import { makeVector } from "../src/environment/vector.ts";
import { Evaluator } from "../src/evaluation/evaluate.ts";
import { dense, describe, parameterCount } from "../src/network/architecture.ts";
import { forward } from "../src/network/forward.ts";
import { initialize } from "../src/network/parameters.ts";
import { stream } from "../src/random/pcg64.ts";
import { huber, input, mean, select, sub } from "../src/tensor/graph.ts";
import { adam } from "../src/tensor/optimizer.ts";
import { Trainer } from "../src/tensor/trainer.ts";

const REPEATS = 9;
const WARM_UP = 100;

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

async function repeat(work: () => Promise<void> | void): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < REPEATS; i++) {
    const start = performance.now();
    await work();
    times.push(performance.now() - start);
  }
  return median(times);
}

/** Microseconds of a Q-learning step: forward, Huber loss on the chosen action, backward, gradient norm <= 10, Adam. */
async function trainingStep(hidden: readonly number[], batch: number, steps: number): Promise<number> {
  const architecture = dense(4, hidden, 2, "q-values");
  const observations = input([batch, 4]);
  const actions = input([batch], "int32");
  const goals = input([batch]);
  const trainer = await Trainer.create({
    size: parameterCount(architecture),
    inputs: { observations, actions, goals },
    objective: (parameters) => ({
      loss: mean(huber(sub(select(forward(architecture, parameters, observations), actions), goals))),
    }),
    optimizer: adam(),
    maxGradientNorm: 10,
  });
  const random = stream(1, "bench");
  trainer.restart(initialize(architecture, "he", random));
  const fill = (values: Float32Array): void => {
    for (let i = 0; i < values.length; i++) values[i] = random.normal();
  };
  fill(trainer.program.floats("observations"));
  fill(trainer.program.floats("goals"));
  const choices = trainer.program.ints("actions");
  for (let i = 0; i < choices.length; i++) choices[i] = random.integer(2);
  const run = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) await trainer.update(1e-4);
  };
  await run(WARM_UP);
  const milliseconds = await repeat(() => run(steps));
  await trainer.dispose();
  return (1000 * milliseconds) / steps;
}

interface Peer {
  readonly version: string;
  readonly micros: (hidden: readonly number[], batch: number, steps: number) => Promise<number>;
  readonly close: () => void;
}

/** PyTorch in a child process that answers one case at a time; `undefined` when it is missing. */
async function startPeer(): Promise<Peer | undefined> {
  const python = process.env["POPS_PYTHON"] ?? "python3";
  const child = spawn(python, [new URL("./peer.py", import.meta.url).pathname], { stdio: ["pipe", "pipe", "ignore"] });
  child.on("error", () => undefined);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (hidden: readonly number[], batch: number, steps: number) => {
    child.stdin.write(`${JSON.stringify({ hidden, batch, steps })}\n`);
    const line = await lines.next();
    return line.done ? undefined : (JSON.parse(line.value) as { micros: number; torch: string });
  };
  child.stdin.on("error", () => undefined);
  const first = await ask([8], 8, 10);
  if (!first) return undefined;
  return {
    version: first.torch,
    micros: async (...work) => (await ask(...work))?.micros ?? Number.NaN,
    close: () => child.stdin.end(),
  };
}

console.log(
  `${cpus()[0]?.model ?? "unknown processor"}, ${availableParallelism()} cores, Node ${process.versions.node}, ${new Date().toISOString().slice(0, 10)}\n`,
);
const peer = await startPeer();
console.log(
  peer
    ? `Training step, one thread, microseconds (PyTorch ${peer.version} in the same run, alternating)\n`
    : "Training step, one thread, microseconds. PyTorch is missing: point POPS_PYTHON at a Python that has torch 2.13.\n",
);
console.log("| network | batch | pops-rl | PyTorch | ratio |\n|---|---|---|---|---|");
for (const [hidden, batch, steps] of [
  [[256, 256, 128], 128, 200],
  [[64, 64], 64, 1000],
  [[8, 8, 8], 128, 1000],
] as const) {
  // Twice each, in turns, so that a passing load hits both.
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let turn = 0; turn < 3; turn++) {
    ours.push(await trainingStep(hidden, batch, steps));
    if (peer) theirs.push(await peer.micros(hidden, batch, steps));
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
  const time = await repeat(async () => {
    await evaluator.quick(parameters, 1, "bench", 100);
  });
  console.log(`| ${describe(architecture)} (mean ${score.toFixed(0)}) | ${time.toFixed(0)} |`);
  await evaluator.dispose();
}

console.log("\nOne decision (batch 1, plain typed arrays), microseconds\n\n| network | time |\n|---|---|");
for (const hidden of [[256, 256, 128], [64, 64], [4, 3], []]) {
  const architecture = dense(4, hidden, 2, "q-values");
  const parameters = initialize(architecture, "he", stream(1, "bench"));
  console.log(
    `| ${describe(architecture)} | ${measureLatency({ architecture, parameters, provenance: {} }).toFixed(3)} |`,
  );
}

console.log(
  "\nEnvironment steps a second, one thread, 64 lanes, random actions\n\n| environment | steps/s |\n|---|---|",
);
for (const id of ["CartPole-v1", "Acrobot-v1", "MountainCar-v0"]) {
  const lanes = makeVector(id, 64);
  const random = stream(1, "bench");
  const choices = lanes.spec.actionSpace.kind === "discrete" ? lanes.spec.actionSpace.n : 1;
  const actions = Array.from({ length: 97 }, () => Int32Array.from({ length: 64 }, () => random.integer(choices)));
  for (let lane = 0; lane < 64; lane++) void lanes.reset(lane, lane);
  const rounds = 2000;
  const time = await repeat(() => {
    for (let i = 0; i < rounds; i++) {
      void lanes.step(actions[i % actions.length] ?? new Int32Array(64));
      for (let lane = 0; lane < 64; lane++) if (lanes.terminated[lane] || lanes.truncated[lane]) void lanes.reset(lane);
    }
  });
  console.log(`| ${id} | ${((rounds * 64) / time / 1000).toFixed(1)} M |`);
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

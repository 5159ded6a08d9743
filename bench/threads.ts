/**
 * `npm run bench:threads`: LunarLander-v3 with its lanes in one thread and shared out among two, in turns, so that a passing
 * load hits both. Steps a second count lanes that are running. The control says what two threads are worth on the machine at
 * all: on one with two cores to itself 2, on a shared one less.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { distillSchema } from "../src/distillation/distill.ts";
import type { VectorEnvironment } from "../src/environment/environment.ts";
import { LaneThreads } from "../src/environment/threads.ts";
import { compileForward, Evaluator } from "../src/evaluation/evaluate.ts";
import { dense, describe } from "../src/network/architecture.ts";
import { initialize } from "../src/network/parameters.ts";
import { Pool } from "../src/pops/pool.ts";
import { stream } from "../src/random/pcg64.ts";
import { median, printMachine } from "./measure.ts";

const ENVIRONMENT = "LunarLander-v3";
const TURNS = 9;

const architecture = dense(8, [64, 64], 4, "q-values");
const parameters = initialize(architecture, "he", stream(1, "bench"));

/** Lock-steps of random actions beside the forward pass that would choose them; episodes that end begin anew. */
async function rollout(lanes: VectorEnvironment, steps: number): Promise<number> {
  const program = await compileForward(architecture, lanes.size);
  program.bind("parameters", parameters);
  program.bind("observations", lanes.observations);
  const random = stream(1, "bench", lanes.size);
  for (let lane = 0; lane < lanes.size; lane++) await lanes.reset(lane, random.nextUint32());
  const start = performance.now();
  for (let step = 0; step < steps; step++) {
    await program.run();
    await lanes.step(Int32Array.from({ length: lanes.size }, () => random.integer(4)));
    for (let lane = 0; lane < lanes.size; lane++) {
      if (lanes.terminated[lane] || lanes.truncated[lane]) await lanes.reset(lane);
    }
  }
  const seconds = (performance.now() - start) / 1000;
  await program.dispose();
  await lanes.close();
  return (steps * lanes.size) / seconds;
}

/** Seconds of 100 greedy episodes of a policy that has learned nothing. */
async function evaluation(lanes: VectorEnvironment): Promise<number> {
  const evaluator = await Evaluator.create(architecture, lanes);
  const start = performance.now();
  await evaluator.returns(parameters, 1, "bench", lanes.size);
  const seconds = (performance.now() - start) / 1000;
  await evaluator.dispose();
  return seconds;
}

/** Seconds of 1,000 greedy episodes in batches of 100, as the pool of a compression plays a proof. */
async function proof(pool: Pool): Promise<number> {
  const start = performance.now();
  const batch = { architecture, parameters, set: "bench", episodes: 100, lanes: 100, acting: "greedy" } as const;
  await Promise.all(Array.from({ length: 10 }, (_, k) => pool.play({ ...batch, first: 100 * k })));
  return (performance.now() - start) / 1000;
}

function poolOf(workers: number): Pool {
  const none = { next: 0, observations: new Float32Array(0), labels: new Float32Array(0) };
  const states = { training: none, heldOut: none };
  const teacher = { architecture, parameters };
  const options = distillSchema.parse({});
  const shared = {
    teacher,
    states,
    options,
    objective: 0,
    seed: 1,
    tolerance: 0,
    acting: "greedy" as const,
    bits: null,
  };
  return new Pool({ ...shared, source: { environment: ENVIRONMENT } }, workers);
}

/** Seconds of the same arithmetic twice: one time after the other, or in two threads at once. */
const CONTROL = `
  const { parentPort } = require("node:worker_threads");
  parentPort.on("message", (loops) => {
    let x = 0;
    for (let i = 0; i < loops; i++) x = Math.fround(x * 0.999 + (i % 7));
    parentPort.postMessage(x);
  });`;
const controls = [new Worker(CONTROL, { eval: true }), new Worker(CONTROL, { eval: true })] as const;
async function control(threads: readonly Worker[]): Promise<number> {
  const start = performance.now();
  const loops = 1e8 / threads.length;
  await Promise.all(
    threads.map(async (thread) => {
      thread.postMessage(loops);
      await once(thread, "message");
    }),
  );
  return (performance.now() - start) / 1000;
}

const one = await LaneThreads.start(ENVIRONMENT, 1, []);
const two = await LaneThreads.start(ENVIRONMENT, 2, []);

async function compare<Means>(
  alone: Means,
  shared: Means,
  work: (means: Means) => Promise<number>,
): Promise<readonly [number, number]> {
  const results: [number[], number[]] = [[], []];
  // The first turn warms up.
  for (let turn = 0; turn <= TURNS; turn++) {
    const pair = [await work(alone), await work(shared)] as const;
    if (turn > 0) for (const k of [0, 1] as const) results[k].push(pair[k]);
  }
  return [median(results[0]), median(results[1])];
}

printMachine();
console.log(`${ENVIRONMENT}, ${describe(architecture)}, medians of ${TURNS} turns\n`);
console.log("| work | 1 worker | 2 workers | ratio |\n|---|---|---|---|");
for (const lanes of [16, 32]) {
  const [alone, shared] = await compare(one, two, (threads) => rollout(threads.vector(lanes), 12_800 / lanes));
  console.log(
    `| random rollouts, ${lanes} lanes, steps/s | ${alone.toFixed(0)} | ${shared.toFixed(0)} | ${(shared / alone).toFixed(2)} |`,
  );
}
const seconds = (work: string, [alone, shared]: readonly [number, number]): void => {
  console.log(`| ${work}, s | ${alone.toFixed(2)} | ${shared.toFixed(2)} | ${(alone / shared).toFixed(2)} |`);
};
seconds("control: arithmetic alone", await compare([controls[0]], controls, control));
seconds("100 episodes", await compare(one, two, (threads) => evaluation(threads.vector(100))));
const pools = [poolOf(1), poolOf(2)] as const;
seconds("1,000 episodes of a proof", await compare(...pools, proof));
await Promise.all([
  ...[one, two, ...pools].map((means) => means.close()),
  ...controls.map((thread) => thread.terminate()),
]);

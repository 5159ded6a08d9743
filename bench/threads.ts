/**
 * `npm run bench:threads`: LunarLander-v3 with its lanes in one thread and shared out among two, in turns, so that a passing
 * load hits both. Steps a second count lanes that are running.
 */
import { availableParallelism, cpus } from "node:os";
import type { VectorEnvironment } from "../src/environment/environment.ts";
import { LaneThreads } from "../src/environment/threads.ts";
import { compileForward, Evaluator } from "../src/evaluation/evaluate.ts";
import { dense, describe } from "../src/network/architecture.ts";
import { initialize } from "../src/network/parameters.ts";
import { stream } from "../src/random/pcg64.ts";

const ENVIRONMENT = "LunarLander-v3";
const TURNS = 9;

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

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

const one = await LaneThreads.start(ENVIRONMENT, 1, []);
const two = await LaneThreads.start(ENVIRONMENT, 2, []);

async function compare(work: (threads: LaneThreads) => Promise<number>): Promise<readonly [number, number]> {
  const results: [number[], number[]] = [[], []];
  // The first turn warms up.
  for (let turn = 0; turn <= TURNS; turn++) {
    const pair = [await work(one), await work(two)] as const;
    if (turn > 0) for (const k of [0, 1] as const) results[k].push(pair[k]);
  }
  return [median(results[0]), median(results[1])];
}

console.log(
  `${cpus()[0]?.model ?? "unknown processor"}, ${availableParallelism()} cores, Node ${process.versions.node}, ${new Date().toISOString().slice(0, 10)}\n`,
);
console.log(`${ENVIRONMENT}, ${describe(architecture)}, medians of ${TURNS} turns\n`);
console.log("| work | 1 worker | 2 workers | ratio |\n|---|---|---|---|");
for (const lanes of [16, 32]) {
  const [alone, shared] = await compare((threads) => rollout(threads.vector(lanes), 12_800 / lanes));
  console.log(
    `| random rollouts, ${lanes} lanes, steps/s | ${alone.toFixed(0)} | ${shared.toFixed(0)} | ${(shared / alone).toFixed(2)} |`,
  );
}
const [alone, shared] = await compare((threads) => evaluation(threads.vector(100)));
console.log(`| 100 episodes, s | ${alone.toFixed(2)} | ${shared.toFixed(2)} | ${(alone / shared).toFixed(2)} |`);
await Promise.all([one.close(), two.close()]);

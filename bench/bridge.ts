/**
 * `npm run bench:bridge`: environment steps a second over the Gymnasium bridge, resets included, beside the vector that
 * Gymnasium or the environment's package brings, in the same run (POPS_PYTHON names the interpreter; python3 otherwise).
 */
import { availableParallelism } from "node:os";
import type { VectorEnvironment } from "../src/environment/environment.ts";
import type { GymnasiumReference } from "../src/environment/gymnasium-protocol.ts";
import { openEnvironment } from "../src/environment/open.ts";
import { PopsError } from "../src/errors.ts";
import { stream } from "../src/random/pcg64.ts";
import { median, printMachine, startPeer } from "./measure.ts";

/** Turns of ours and theirs, so that a passing load hits both. */
const TURNS = 9;

interface Case {
  readonly id: string;
  readonly lanes: number;
  /** Steps of one turn. */
  readonly steps: number;
  readonly peer: "SyncVectorEnv" | "AtariVectorEnv";
  readonly gymnasium: GymnasiumReference;
  readonly note: string;
}

/** What AtariVectorEnv does by itself: of four frames one grey picture of 84 x 84, and the last four of these. */
const atari: GymnasiumReference = {
  kwargs: { frameskip: 1, repeat_action_probability: 0 },
  wrappers: [{ name: "AtariPreprocessing" }, { name: "FrameStackObservation", kwargs: { stack_size: 4 } }],
};

const cases: readonly Case[] = [
  { id: "CartPole-v1", lanes: 16, steps: 48_000, peer: "SyncVectorEnv", gymnasium: {}, note: "" },
  { id: "LunarLander-v3", lanes: 16, steps: 16_000, peer: "SyncVectorEnv", gymnasium: {}, note: "" },
  { id: "ALE/Pong-v5", lanes: 8, steps: 4_000, peer: "AtariVectorEnv", gymnasium: atari, note: "same preprocessing" },
];

/** Steps a second of a turn of random actions; episodes that end begin anew. */
async function play(vector: VectorEnvironment, rounds: number): Promise<number> {
  const { actionSpace } = vector.spec;
  if (actionSpace.kind !== "discrete") throw new Error(`${vector.spec.id} has no choices`);
  const random = stream(1, "bench");
  const actions = Array.from({ length: rounds }, () =>
    Int32Array.from({ length: vector.size }, () => random.integer(actionSpace.n)),
  );
  for (let lane = 0; lane < vector.size; lane++) await vector.reset(lane, lane);
  const start = performance.now();
  for (const chosen of actions) {
    await vector.step(chosen);
    for (let lane = 0; lane < vector.size; lane++) {
      if (vector.terminated[lane] || vector.truncated[lane]) await vector.reset(lane);
    }
  }
  return (1000 * rounds * vector.size) / (performance.now() - start);
}

const count = (rate: number): string => (100 * Math.round(rate / 100)).toLocaleString("en-US");

interface Answer {
  readonly versions: string;
  /** Steps a second, or what is missing. */
  readonly rate: number | string;
}

const processes = [...new Set([1, availableParallelism()])];
const peer = await startPeer<Answer>("bridge-peer.py", {
  id: "CartPole-v1",
  lanes: 1,
  steps: 1,
  peer: "SyncVectorEnv",
});
printMachine();
console.log(
  peer
    ? `${peer.first.versions}; medians of ${TURNS} turns\n`
    : "Gymnasium is missing: POPS_PYTHON has to name a Python that has it.\n",
);
const columns = processes.map((n) => `bridge, ${n} process${n === 1 ? "" : "es"}`);
console.log(`| environment | lanes | ${columns.join(" | ")} | beside it | its rate | ratio |`);
console.log(`|---|---|${columns.map(() => "---|").join("")}---|---|---|`);
for (const { id, lanes, steps, peer: name, gymnasium, note } of cases) {
  const ours = processes.map((): number[] => []);
  const theirs: (number | string)[] = [];
  let missing: string | undefined;
  try {
    const opened = await Promise.all(
      processes.map((workers) => openEnvironment(`gymnasium:${id}`, { workers, gymnasium })),
    );
    const vectors = opened.map((environment) => environment.vector(lanes));
    // The first turn warms up.
    for (let turn = 0; turn <= TURNS; turn++) {
      for (const [k, vector] of vectors.entries()) {
        const rate = await play(vector, turn === 0 ? 50 : steps / lanes);
        if (turn > 0) ours[k]?.push(rate);
      }
      const answer = turn > 0 ? await peer?.ask({ id, lanes, steps, peer: name }) : undefined;
      if (answer) theirs.push(answer.rate);
    }
    for (const environment of opened) await environment.close();
  } catch (error) {
    if (!(error instanceof PopsError)) throw error;
    missing = error.message;
  }
  if (missing !== undefined) {
    console.log(
      `| ${id} | ${lanes} | ${processes.map(() => "missing").join(" | ")} | ${missing.replace(/\s+/g, " ")} | | |`,
    );
    continue;
  }
  const rates = ours.map(median);
  const numbers = theirs.filter((rate) => typeof rate === "number");
  const other = numbers.length > 0 ? median(numbers) : undefined;
  const ratios = rates.map((rate) => (other === undefined ? "" : (rate / other).toFixed(2))).join(", ");
  const reason = other === undefined ? String(theirs[0] ?? "missing") : count(other);
  const title = note === "" ? name : `${name}, ${note}`;
  console.log(`| ${id} | ${lanes} | ${rates.map(count).join(" | ")} | ${title} | ${reason} | ${ratios} |`);
}
peer?.close();

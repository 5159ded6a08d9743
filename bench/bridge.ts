/**
 * `npm run bench:bridge`: environment steps a second over the Gymnasium bridge, resets included, beside the vector that
 * Gymnasium or the environment's package brings, in the same run (POPS_PYTHON names the interpreter; python3 otherwise).
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { VectorEnvironment } from "../src/environment/environment.ts";
import type { GymnasiumReference } from "../src/environment/gymnasium-protocol.ts";
import { openEnvironment } from "../src/environment/open.ts";
import { PopsError } from "../src/errors.ts";
import { stream } from "../src/random/pcg64.ts";
import { median, printMachine, startPeer, type Times } from "./measure.ts";

/** Turns of ours and theirs, so that a passing load hits both. */
const TURNS = 7;

interface Case {
  /** As `openEnvironment` takes it. */
  readonly environment: string;
  /** As Gymnasium knows it. */
  readonly id: string;
  readonly lanes: number;
  /** Steps of one turn. */
  readonly steps: number;
  readonly peer: "SyncVectorEnv" | "AtariVectorEnv";
  readonly gymnasium: GymnasiumReference;
}

const gymnasiumCase = (id: string) =>
  ({ environment: `gymnasium:${id}`, id, peer: "SyncVectorEnv", gymnasium: {} }) as const;

const pong = { id: "ALE/Pong-v5", lanes: 8, steps: 4_000 } as const;
/** What AtariVectorEnv and `ale:Pong` give: of four frames one gray picture of 84 x 84, and the last four of these. */
const pythonPreprocessing: GymnasiumReference = {
  kwargs: { frameskip: 1, repeat_action_probability: 0 },
  wrappers: [{ name: "AtariPreprocessing" }, { name: "FrameStackObservation", kwargs: { stack_size: 4 } }],
};

const cases: readonly Case[] = [
  { ...gymnasiumCase("CartPole-v1"), lanes: 16, steps: 96_000 },
  { ...gymnasiumCase("LunarLander-v3"), lanes: 16, steps: 16_000 },
  { ...pong, environment: "ale:Pong", peer: "AtariVectorEnv", gymnasium: {} },
  { ...pong, environment: "gymnasium:ALE/Pong-v5", peer: "AtariVectorEnv", gymnasium: pythonPreprocessing },
  { ...pong, environment: "gymnasium:ALE/Pong-v5", peer: "SyncVectorEnv", gymnasium: pythonPreprocessing },
];

/** Child processes of this one; none where the system has no /proc. */
function children(): string[] {
  const threads = "/proc/self/task";
  if (!existsSync(threads)) return [];
  return readdirSync(threads).flatMap((thread) =>
    readFileSync(`${threads}/${thread}/children`, "utf8").split(" ").filter(Boolean),
  );
}

/** Milliseconds of processor time that this process and its children, Gymnasium's side apart, have used. */
function used(others: readonly string[]): number {
  const ours = children().filter((child) => !others.includes(child));
  const ticks = ours.map((child) => {
    const fields = readFileSync(`/proc/${child}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return Number(fields[11]) + Number(fields[12]);
  });
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000 + 10 * ticks.reduce((total, count) => total + count, 0);
}

/** Steps a second of a turn of random actions, by the clock and of processor time; episodes that end begin anew. */
async function play(vector: VectorEnvironment, rounds: number, others: readonly string[]): Promise<Times> {
  const { actionSpace } = vector.spec;
  if (actionSpace.kind !== "discrete") throw new Error(`${vector.spec.id} has no choices`);
  const random = stream(1, "bench");
  const actions = Array.from({ length: rounds }, () =>
    Int32Array.from({ length: vector.size }, () => random.integer(actionSpace.n)),
  );
  for (let lane = 0; lane < vector.size; lane++) await vector.reset(lane, lane);
  const start = performance.now();
  const before = used(others);
  for (const chosen of actions) {
    await vector.step(chosen);
    for (let lane = 0; lane < vector.size; lane++) {
      if (vector.terminated[lane] || vector.truncated[lane]) await vector.reset(lane);
    }
  }
  const steps = 1000 * rounds * vector.size;
  return { wall: steps / (performance.now() - start), cpu: steps / (used(others) - before) };
}

const count = (rate: number): string => (100 * Math.round(rate / 100)).toLocaleString("en-US");

interface Answer {
  readonly versions: string;
  /** Steps a second, or what is missing. */
  readonly rate: Times | string;
}

/** Medians of several rates; `undefined` of none. */
function middle(rates: readonly Times[]): Times | undefined {
  if (rates.length === 0) return undefined;
  return { wall: median(rates.map(({ wall }) => wall)), cpu: median(rates.map(({ cpu }) => cpu)) };
}

const processes = [...new Set([1, availableParallelism()])];
const peer = await startPeer<Answer>("bridge-peer.py", {
  id: "CartPole-v1",
  lanes: 1,
  steps: 1,
  peer: "SyncVectorEnv",
});
const others = children();
printMachine();
console.log(
  peer
    ? `${peer.first.versions}; medians of ${TURNS} turns\n`
    : "Gymnasium is missing: POPS_PYTHON has to name a Python that has it.\n",
);
console.log("Steps a second by the clock, and a second of processor time of all processes (CPU)\n");
const columns = processes.map((n) => `bridge, ${n} process${n === 1 ? "" : "es"} | CPU`);
console.log(`| environment | lanes | ${columns.join(" | ")} | beside it | its rate | CPU | ratios | of CPU |`);
console.log(`|---|---|${columns.map(() => "---|---|").join("")}---|---|---|---|---|`);
for (const { environment, id, lanes, steps, peer: name, gymnasium } of cases) {
  const ours = processes.map((): Times[] => []);
  const theirs: (Times | string)[] = [];
  try {
    const opened = await Promise.all(
      processes.map((count) =>
        openEnvironment(environment, { workers: 1, gymnasium: { ...gymnasium, processes: count } }),
      ),
    );
    const vectors = opened.map((environment) => environment.vector(lanes));
    // The first turn warms up.
    for (let turn = 0; turn <= TURNS; turn++) {
      for (const [k, vector] of vectors.entries()) {
        const rate = await play(vector, steps / lanes, others);
        if (turn > 0) ours[k]?.push(rate);
      }
      const answer = await peer?.ask({ id, lanes, steps, peer: name, ...gymnasium });
      if (turn > 0 && answer) theirs.push(answer.rate);
    }
    for (const environment of opened) await environment.close();
  } catch (error) {
    if (!(error instanceof PopsError)) throw error;
    console.log(`${environment}: ${error.message}`);
    continue;
  }
  const rates = ours.flatMap((rates) => middle(rates) ?? []);
  const other = middle(theirs.filter((rate) => typeof rate !== "string"));
  const cells = rates.map(({ wall, cpu }) => `${count(wall)} | ${count(cpu)}`);
  const reason = other
    ? `${count(other.wall)} | ${count(other.cpu)}`
    : `${theirs.find((rate) => typeof rate === "string") ?? "missing"} |`;
  const ratio = (of: keyof Times): string =>
    rates.map((rate) => (other ? (rate[of] / other[of]).toFixed(2) : "")).join(", ");
  console.log(
    `| ${environment} | ${lanes} | ${cells.join(" | ")} | ${name} | ${reason} | ${ratio("wall")} | ${ratio("cpu")} |`,
  );
}
peer?.close();

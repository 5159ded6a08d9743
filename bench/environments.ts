/**
 * `npm run bench -- environments`: environment steps a second, resets included, beside Python Gymnasium's own in the same run
 * when Python has gymnasium with box2d (set POPS_PYTHON to its interpreter; python3 otherwise).
 */
import type { VectorEnvironment } from "../src/environment/environment.ts";
import { makeVector } from "../src/environment/vector.ts";
import { stream } from "../src/random/pcg64.ts";
import { heuristic } from "../test/environment/heuristic.ts";
import { median, printMachine, repeat, startPeer, type Times } from "./measure.ts";

/** Turns of ours and Gymnasium's, so that a passing load hits both. */
const TURNS = 3;

type Actions = Int32Array | Float32Array;

/** Steps a second by the clock, and a second of processor time. */
type Rate = Times;

interface Answer {
  readonly gymnasium: string;
  readonly rate: Rate | null;
}

/** Numbers of steps that take some tenths of a second: ours, Gymnasium's. */
interface Case {
  readonly id: string;
  readonly lanes: number;
  readonly policy: "random" | "landing";
  readonly steps: readonly [ours: number, theirs: number];
}

const cases: readonly Case[] = [
  { id: "CartPole-v1", lanes: 64, policy: "random", steps: [2_560_000, 25_600] },
  { id: "Acrobot-v1", lanes: 64, policy: "random", steps: [640_000, 6400] },
  { id: "MountainCar-v0", lanes: 64, policy: "random", steps: [2_560_000, 25_600] },
  { id: "Pendulum-v1", lanes: 64, policy: "random", steps: [1_280_000, 12_800] },
  { id: "LunarLander-v3", lanes: 16, policy: "random", steps: [9600, 9600] },
  { id: "LunarLander-v3", lanes: 16, policy: "landing", steps: [9600, 9600] },
];

const MODES = ["single", "sync", "vector_entry_point"] as const;

function begin(vector: VectorEnvironment): void {
  for (let lane = 0; lane < vector.size; lane++) void vector.reset(lane, lane);
}

function advance(vector: VectorEnvironment, actions: Actions): void {
  void vector.step(actions);
  for (let lane = 0; lane < vector.size; lane++) {
    if (vector.terminated[lane] || vector.truncated[lane]) void vector.reset(lane);
  }
}

/** One set of actions a lock-step. Those of the controller are played once here and then again: its time does not count. */
function actionsOf(vector: VectorEnvironment, { policy, lanes }: Case, rounds: number): Actions[] {
  const random = stream(1, "bench");
  begin(vector);
  return Array.from({ length: rounds }, () => {
    const { actionSpace } = vector.spec;
    if (policy === "landing") {
      const rows = Array.from({ length: lanes }, (_, lane) => vector.observations.subarray(8 * lane, 8 * lane + 8));
      const chosen = Int32Array.from(rows, (row) => heuristic([...row]));
      advance(vector, chosen);
      return chosen;
    }
    if (actionSpace.kind === "discrete") return Int32Array.from({ length: lanes }, () => random.integer(actionSpace.n));
    const numbers = Array.from({ length: lanes }, () =>
      actionSpace.low.map((low, part) => random.uniform(low, actionSpace.high[part] ?? low)),
    );
    return Float32Array.from(numbers.flat());
  });
}

async function measure(task: Case): Promise<Rate> {
  const vector = makeVector(task.id, task.lanes);
  const rounds = task.steps[0] / task.lanes;
  const actions = actionsOf(vector, task, rounds);
  const { wall, cpu } = await repeat(() => {
    begin(vector);
    for (const chosen of actions) advance(vector, chosen);
  });
  return { wall: (1000 * task.steps[0]) / wall, cpu: (1000 * task.steps[0]) / cpu };
}

/** Medians of several rates; `undefined` of none. */
function middle(rates: readonly Rate[]): Rate | undefined {
  if (rates.length === 0) return undefined;
  return { wall: median(rates.map(({ wall }) => wall)), cpu: median(rates.map(({ cpu }) => cpu)) };
}

function count(rate: number): string {
  return rate >= 1e6 ? `${(rate / 1e6).toFixed(1)} M` : (100 * Math.round(rate / 100)).toLocaleString("en-US");
}

const { id, lanes, policy } = cases[0]!;
const peer = await startPeer<Answer>("environments-peer.py", { id, lanes, policy, mode: "single", steps: 100 });
printMachine();
console.log(
  "Environment steps a second on one thread, resets included: by the clock, and a second of processor time (CPU)\n",
);
console.log(
  peer
    ? `Gymnasium ${peer.first.gymnasium} in the same run, alternating; ratio: of the CPU rates, to the fastest of Gymnasium's\n`
    : "Gymnasium is missing: point POPS_PYTHON at a Python that has gymnasium[box2d] 1.3.\n",
);
console.log(
  "| environment | policy | lanes | pops-rl | pops-rl, CPU | `make`, CPU | `make_vec` sync, CPU | own vector, CPU | ratio |",
);
console.log("|---|---|---|---|---|---|---|---|---|");
for (const task of cases) {
  const { id, lanes, policy } = task;
  const ours: Rate[] = [];
  const theirs = MODES.map((): Rate[] => []);
  for (let turn = 0; turn < TURNS; turn++) {
    ours.push(await measure(task));
    for (const [index, mode] of MODES.entries()) {
      const answer = await peer?.ask({ id, lanes, policy, mode, steps: task.steps[1] });
      if (answer?.rate) theirs[index]?.push(answer.rate);
    }
  }
  const own = middle(ours);
  const others = theirs.map(middle);
  const best = Math.max(...others.map((rate) => rate?.cpu ?? 0));
  const cells = others.map((rate) => (rate ? count(rate.cpu) : peer ? "none" : "missing"));
  const ratio = own && best > 0 ? (own.cpu / best).toFixed(1) : "";
  console.log(
    `| ${id} | ${policy} | ${lanes} | ${count(own?.wall ?? 0)} | ${count(own?.cpu ?? 0)} | ${cells.join(" | ")} | ${ratio} |`,
  );
}
peer?.close();

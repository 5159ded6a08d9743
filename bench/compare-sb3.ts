/**
 * `npm run bench:sb3`: learning curves of this project's PPO and of Stable-Baselines3's at the same settings. POPS_PYTHON
 * names a Python that has stable-baselines3 and gymnasium with box2d.
 *
 *   npm run bench:sb3                                      trains whatever the results do not have yet, with 3 seeds
 *   npm run bench:sb3 -- --seeds 2 LunarLander-v3          only these
 *   npm run bench:sb3 -- --draw                            draws the picture and prints the tables of docs/results.md
 *
 * A run's points are kept when it is done, so that a later call goes on where this one was stopped, and runs whose lines
 * were deleted are done again.
 */
import { spawn } from "node:child_process";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { z } from "zod";
import { makeVector } from "../src/environment/vector.ts";
import { type PpoOptions, ppoSchema, trainPpo } from "../src/teacher/ppo.ts";
import { drawCurves, resultsTable } from "./learning-curves.ts";

const RESULTS = new URL("./results/sb3-comparison.jsonl", import.meta.url);
const PICTURE = new URL("../docs/images/ppo-sb3.svg", import.meta.url);

/** Those of RL Baselines3 Zoo, but for constant rates and clip ranges on CartPole and Gaussian noise on Pendulum. */
const SETTINGS = {
  "CartPole-v1": settings({
    totalSteps: 100_096,
    environments: 8,
    nSteps: 32,
    batchSize: 256,
    nEpochs: 20,
    learningRate: 1e-3,
    gamma: 0.98,
    gaeLambda: 0.8,
    evaluationInterval: 5_000,
  }),
  "Pendulum-v1": settings({
    totalSteps: 200_704,
    environments: 4,
    nSteps: 1_024,
    nEpochs: 10,
    learningRate: 1e-3,
    gamma: 0.9,
    gaeLambda: 0.95,
    evaluationInterval: 8_192,
  }),
  "LunarLander-v3": settings({
    totalSteps: 491_520,
    environments: 16,
    nSteps: 1_024,
    nEpochs: 4,
    gamma: 0.999,
    gaeLambda: 0.98,
    entCoef: 0.01,
    evaluationInterval: 49_152,
  }),
};

type Settings = ReturnType<typeof settings>;

/** What both sides are told. */
function settings(own: Partial<PpoOptions>) {
  return {
    hidden: [64, 64],
    activation: "tanh",
    initializer: "orthogonal",
    logStdInit: 0,
    batchSize: 64,
    learningRate: 3e-4,
    clipRange: 0.2,
    normalizeAdvantage: true,
    entCoef: 0,
    vfCoef: 0.5,
    maxGradientNorm: 0.5,
    evaluationEpisodes: 20,
    ...own,
  };
}

const measured = z.strictObject({
  step: z.number(),
  /** Mean return of the greedy policy over `evaluationEpisodes` episodes. */
  score: z.number(),
  /** Since the run's start, evaluations included. */
  seconds: z.number(),
  cpuSeconds: z.number(),
});
type Measured = z.infer<typeof measured>;

const point = z.strictObject({
  side: z.enum(["pops-rl", "Stable-Baselines3"]),
  environment: z.string(),
  seed: z.number(),
  ...measured.shape,
});
const header = z.strictObject({
  machine: z.string(),
  date: z.string(),
  versions: z.array(z.string()),
  settings: z.record(z.string(), z.unknown()),
});

async function* trainOurs(environment: string, settings: Settings, seed: number): AsyncGenerator<Measured> {
  // No score ends a training early.
  const options = ppoSchema.parse({
    ...settings,
    critic: "separate",
    learningRateSchedule: "constant",
    stopScore: 1e9,
  });
  const start = performance.now();
  const before = process.cpuUsage();
  for await (const event of trainPpo((size) => makeVector(environment, size), options, seed)) {
    if (event.type !== "teacher-evaluated") continue;
    const { user, system } = process.cpuUsage(before);
    const score = round(event.score.mean, 3);
    const seconds = round((performance.now() - start) / 1e3, 1);
    yield { step: event.environmentSteps, score, seconds, cpuSeconds: round((user + system) / 1e6, 1) };
  }
}

/** Lines that compare-sb3.py prints: its versions, then the evaluations of a job if there is one. */
async function* python(job?: object): AsyncGenerator {
  const script = new URL("./compare-sb3.py", import.meta.url).pathname;
  const child = spawn(process.env["POPS_PYTHON"] ?? "python3", [script], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise<number | null>((resolve, reject) => child.on("error", reject).on("close", resolve));
  child.stdin.end(job === undefined ? "" : `${JSON.stringify(job)}\n`);
  for await (const line of createInterface({ input: child.stdout })) yield JSON.parse(line);
  const code = await ended;
  if (code !== 0) throw new Error(`compare-sb3.py ended with code ${code}: does POPS_PYTHON have what it imports?`);
}

async function* trainTheirs(environment: string, settings: Settings, seed: number): AsyncGenerator<Measured> {
  for await (const line of python({ environment, seed, settings })) {
    const parsed = measured.safeParse(line);
    if (parsed.success) yield parsed.data;
  }
}

const sides = [
  ["pops-rl", trainOurs],
  ["Stable-Baselines3", trainTheirs],
] as const;

async function versions(): Promise<string[]> {
  for await (const line of python()) return z.object({ versions: z.array(z.string()) }).parse(line).versions;
  throw new Error("compare-sb3.py printed nothing");
}

async function train(environments: readonly string[], seeds: number): Promise<void> {
  const unknown = environments.find((environment) => !(environment in SETTINGS));
  if (unknown !== undefined) throw new Error(`there are no settings for ${unknown}`);
  if (!existsSync(RESULTS)) {
    const machine = `${cpus()[0]?.model ?? "unknown processor"}, ${availableParallelism()} cores`;
    const date = new Date().toISOString().slice(0, 10);
    const all = [`Node ${process.versions.node}`, ...(await versions())];
    writeFileSync(RESULTS, `${JSON.stringify({ machine, date, versions: all, settings: SETTINGS })}\n`);
  }
  const { about, points } = readResults();
  if (JSON.stringify(about.settings) !== JSON.stringify(SETTINGS)) {
    throw new Error(`${RESULTS.pathname} is of other settings: delete it to begin anew`);
  }
  for (const [environment, shared] of Object.entries(SETTINGS)) {
    if (environments.length > 0 && !environments.includes(environment)) continue;
    for (let seed = 1; seed <= seeds; seed++) {
      for (const [side, run] of sides) {
        const is = { side, environment, seed };
        if (points.some((p) => p.side === side && p.environment === environment && p.seed === seed)) continue;
        const lines: string[] = [];
        for await (const found of run(environment, shared, seed)) {
          lines.push(`${JSON.stringify({ ...is, ...found })}\n`);
          console.log(side, environment, seed, found.step, found.score, `${found.seconds} s`);
        }
        appendFileSync(RESULTS, lines.join(""));
      }
    }
  }
}

/** The points ordered by environment and side, whenever they were measured. */
function readResults() {
  const [first = "", ...lines] = readFileSync(RESULTS, "utf8").trim().split("\n");
  const found = lines.map((line) => point.parse(JSON.parse(line)));
  const points = Object.keys(SETTINGS).flatMap((environment) =>
    sides.flatMap(([side]) => found.filter((p) => p.environment === environment && p.side === side)),
  );
  return { about: header.parse(JSON.parse(first)), points };
}

function round(value: number, decimals: number): number {
  return Number(value.toFixed(decimals));
}

const { values, positionals } = parseArgs({
  options: { draw: { type: "boolean" }, seeds: { type: "string", default: "3" } },
  allowPositionals: true,
});
if (!values.draw) await train(positionals, Number(values.seeds));
const { points } = readResults();
writeFileSync(PICTURE, drawCurves(points));
console.log(resultsTable(points));

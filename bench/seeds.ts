/**
 * Runs the command line once a seed, as a user does, and prints a table for docs/results.md.
 *
 *   npm run bench:seeds -- run CartPole-v1 --seeds 10
 *   npm run bench:seeds -- compress --teacher teacher.safetensors --seeds 10
 *
 * Everything that is not `--seeds <n>` or `--first <n>` goes to `pops`.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Result, resultSchema } from "../src/run/result.ts";
import { printMachine } from "./measure.ts";

interface SeedRun {
  readonly seed: number;
  readonly result: Result | undefined;
  readonly seconds: number;
  readonly peakMegabytes: number;
  readonly message: string;
}

const PROGRAM = ["--import", "tsx", "src/cli/main.ts"];

/** Largest resident size that a process had so far, in MB (Linux). */
function peakMemory(pid: number): number {
  try {
    const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
    return Number(line?.[1] ?? 0) / 1000;
  } catch {
    return 0;
  }
}

async function runSeed(args: readonly string[], seed: number): Promise<SeedRun> {
  const folder = mkdtempSync(join(tmpdir(), "pops-seed-"));
  const start = performance.now();
  const child = spawn(process.execPath, [
    ...PROGRAM,
    ...args,
    "--seed",
    String(seed),
    "--json",
    "--out",
    join(folder, "run"),
  ]);
  let output = "";
  let errors = "";
  let peakMegabytes = 0;
  child.stdout.on("data", (data: Buffer) => (output += data.toString()));
  child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
  const poll = setInterval(() => {
    peakMegabytes = Math.max(peakMegabytes, peakMemory(child.pid ?? 0));
  }, 100);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  clearInterval(poll);
  const seconds = (performance.now() - start) / 1000;
  rmSync(folder, { recursive: true });
  const result = code === 0 ? resultSchema.parse(JSON.parse(output)) : undefined;
  return { seed, result, seconds, peakMegabytes, message: errors.trim().split("\n").at(-1) ?? "" };
}

function take(args: string[], flag: string, fallback: number): number {
  const at = args.indexOf(flag);
  return at < 0 ? fallback : Number(args.splice(at, 2)[1]);
}

const args = process.argv.slice(2);
const seeds = take(args, "--seeds", 10);
const first = take(args, "--first", 1);

printMachine();
console.log(
  "| seed | teacher mean (95 % lower bound) | layers | weights | % | policy mean (lower bound) | held-out episodes | teacher s | rest s | all s | peak MB |",
);
console.log("|---|---|---|---|---|---|---|---|---|---|---|");
const runs: SeedRun[] = [];
for (let seed = first; seed < first + seeds; seed++) {
  const run = await runSeed(args, seed);
  runs.push(run);
  const { result, seconds, peakMegabytes } = run;
  if (!result) {
    console.log(`| ${seed} | failed: ${run.message} | | | | | | | | ${seconds.toFixed(1)} | |`);
    continue;
  }
  const { teacher, policy } = result;
  const training = result.seconds["teacher"] ?? 0;
  console.log(
    `| ${seed} | ${teacher.score.mean.toFixed(1)} (${teacher.score.lower95.toFixed(1)}) | ${policy.layers} | ${policy.weights} | ${(100 * result.ratio).toPrecision(2)} ` +
      `| ${policy.score.mean.toFixed(1)} (${policy.score.lower95.toFixed(1)}) | ${policy.score.episodes} ` +
      `| ${training.toFixed(1)} | ${((result.seconds["total"] ?? 0) - training).toFixed(1)} | ${seconds.toFixed(1)} | ${peakMegabytes.toFixed(0)} |`,
  );
}
const done = runs.flatMap(({ result }) => (result ? [result] : []));
const weights = done.map(({ policy }) => policy.weights).toSorted((a, b) => a - b);
const passed = done.filter(({ policy, objective }) => policy.score.lower95 >= objective).length;
const slowest = Math.max(...runs.map(({ seconds }) => seconds));
console.log(
  `\n${passed} of ${runs.length} answers pass; weights ${weights.join(", ")}; slowest ${slowest.toFixed(1)} s; ` +
    `peak ${Math.max(...runs.map(({ peakMegabytes }) => peakMegabytes)).toFixed(0)} MB`,
);

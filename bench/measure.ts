/** What the benchmarks share: medians of repeated runs, the machine, Python's side. */
import { spawn } from "node:child_process";
import { availableParallelism, cpus } from "node:os";
import { createInterface } from "node:readline";

const REPEATS = 9;

export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** Medians of repeated runs, in milliseconds: by the clock, and of this process on all cores. */
export interface Times {
  readonly wall: number;
  readonly cpu: number;
}

export async function repeat(work: () => Promise<void> | void): Promise<Times> {
  const wall: number[] = [];
  const cpu: number[] = [];
  for (let i = 0; i < REPEATS; i++) {
    const start = performance.now();
    const used = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(used);
    wall.push(performance.now() - start);
    cpu.push((user + system) / 1000);
  }
  return { wall: median(wall), cpu: median(cpu) };
}

/** Processor, cores, version of Node and date, as published figures state them. */
export function machine(): string {
  const processor = cpus()[0]?.model ?? "unknown processor";
  const date = new Date().toISOString().slice(0, 10);
  return `${processor}, ${availableParallelism()} cores, Node ${process.versions.node}, ${date}`;
}

export function printMachine(): void {
  console.log(`${machine()}\n`);
}

/** A Python program of this folder that answers each line of JSON with one. */
export interface Peer<Answer> {
  /** The answer to the case that it was started with. */
  readonly first: Answer;
  readonly ask: (question: object) => Promise<Answer>;
  readonly close: () => void;
}

/** The interpreter is POPS_PYTHON, python3 otherwise; `undefined` when it or a package is missing. */
export async function startPeer<Answer>(script: string, first: object): Promise<Peer<Answer> | undefined> {
  const python = process.env["POPS_PYTHON"] ?? "python3";
  const child = spawn(python, [new URL(script, import.meta.url).pathname], { stdio: ["pipe", "pipe", "ignore"] });
  child.on("error", () => undefined);
  child.stdin.on("error", () => undefined);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (question: object): Promise<Answer | undefined> => {
    child.stdin.write(`${JSON.stringify(question)}\n`);
    const line = await lines.next();
    return line.done ? undefined : (JSON.parse(line.value) as Answer);
  };
  const answer = await ask(first);
  if (answer === undefined) return undefined;
  return {
    first: answer,
    ask: async (question) => {
      const next = await ask(question);
      if (next === undefined) throw new Error(`${script} ended before it answered ${JSON.stringify(question)}`);
      return next;
    },
    close: () => child.stdin.end(),
  };
}

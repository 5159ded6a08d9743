import { existsSync } from "node:fs";
import { join } from "node:path";
import pc from "picocolors";
import { UsageError } from "../errors.ts";
import { loadPolicy } from "../importing/load.ts";
import type { Policy } from "../network/policy.ts";
import { type Outcome, type Plan, pipeline } from "../pops/pipeline.ts";
import { RunDirectory } from "../run/directory.ts";
import { restore } from "../run/generations.ts";
import { record } from "../run/record.ts";
import { type Config, formatConfig, parseConfig } from "./config.ts";
import { finish, saveTeacher } from "./finish.ts";
import { Progress } from "./progress.ts";
import { comparison } from "./table.ts";
import { VERSION } from "./version.ts";

/** Exit code after Ctrl-C, as shells have it: 128 + SIGINT. */
export const INTERRUPTED = 130;

const CHECKPOINT_SECONDS = 10;

/** The first free `runs/<environment>-<n>`. */
export function freeRunPath(environment: string): string {
  for (let n = 1; ; n++) {
    const path = join("runs", `${environment}-${n}`);
    if (!existsSync(path)) return path;
  }
}

/** How this program was started, for commands that are printed. */
const SELF = import.meta.url.endsWith(".ts") ? "npm run pops --" : "npx pops";

export interface SessionOptions {
  readonly out: string;
  readonly workers: number;
  readonly json: boolean;
}

/** Begins a run in a new folder. `teacher` is a policy that is there already, for `compress`. */
export async function start(config: Config, options: SessionOptions, teacher?: Policy): Promise<number> {
  const directory = RunDirectory.create(options.out, formatConfig(config));
  try {
    if (teacher) saveTeacher(directory, config, { ...teacher, updates: 0 });
    return await session(directory, config, options);
  } finally {
    directory.close();
  }
}

/** Goes on with the run of a folder; its own configuration decides. */
export async function resume(command: Config["command"], options: SessionOptions): Promise<number> {
  const directory = RunDirectory.open(options.out);
  try {
    const config = parseConfig(directory.config, directory.files.config);
    if (config.command !== command) {
      throw new UsageError("--resume", `${options.out} was begun by "pops ${config.command}": resume it with that command`);
    }
    return await session(directory, config, options);
  } finally {
    directory.close();
  }
}

async function planOf(directory: RunDirectory, config: Config, workers: number): Promise<Plan> {
  const { environment, preset, seed, command } = config;
  const pops = command === "train" ? undefined : config.pops;
  if (command !== "compress") return { environment, preset, seed, workers, pops, teacher: { options: config.teacher } };
  const { architecture, parameters } = await loadPolicy(join(directory.files.policies, "teacher.safetensors"));
  return { environment, preset, seed, workers, pops, teacher: { network: { architecture, parameters, updates: 0 } } };
}

async function session(directory: RunDirectory, config: Config, options: SessionOptions): Promise<number> {
  const { json, out } = options;
  const progress = new Progress(json ? process.stderr : process.stdout, config.pops.objective);
  const stop = stopOnSignal(progress);
  try {
    const plan = await planOf(directory, config, options.workers);
    const startedFrom = restore(directory, VERSION);
    if (startedFrom?.notice !== undefined) progress.line(pc.yellow(startedFrom.notice));
    const done = await record(directory, pipeline(plan, startedFrom?.state), {
      program: VERSION,
      checkpointEvery: CHECKPOINT_SECONDS,
      startedFrom,
      signal: stop.signal,
      onEvent: progress.show,
    });
    progress.clear();
    if (done.interrupted) {
      progress.line(`Saved. Go on with: ${SELF} ${config.command} --resume --out ${out}`);
      return INTERRUPTED;
    }
    report(directory, config, done.result, done.seconds, progress, json);
    return 0;
  } finally {
    stop.release();
    progress.clear();
  }
}

function report(
  directory: RunDirectory,
  config: Config,
  outcome: Outcome,
  seconds: Readonly<Record<string, number>>,
  progress: Progress,
  json: boolean,
): void {
  if (!outcome.answer) {
    saveTeacher(directory, config, outcome.teacher);
    const path = join(directory.files.policies, "teacher.safetensors");
    if (json) process.stdout.write(`${JSON.stringify({ teacher: path, seconds })}\n`);
    else progress.line(`\nTeacher: ${path}\nCompress it with: ${SELF} compress --teacher ${path}`);
    return;
  }
  const { result, files } = finish(directory, config, { teacher: outcome.teacher, answer: outcome.answer }, seconds);
  if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else progress.line(`\n${comparison(result)}\n\n${files.map((file) => `  ${file}`).join("\n")}`);
}

/** The first Ctrl-C asks the run to stop at its next safe point, the second ends the process at once. */
function stopOnSignal(progress: Progress): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED);
    progress.line("Stopping at the next safe point (once more to stop at once)...");
    controller.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return {
    signal: controller.signal,
    release: () => {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
}

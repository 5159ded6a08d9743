import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { EnvironmentError, UsageError } from "../errors.ts";
import { VERSION } from "../exporting/version.ts";
import { loadTeacher } from "../importing/load.ts";
import type { AnyPolicy } from "../network/policy.ts";
import { type Outcome, type Plan, pipeline } from "../pops/pipeline.ts";
import { RunDirectory } from "../run/directory.ts";
import { restore } from "../run/generations.ts";
import { readResult } from "../run/read.ts";
import { record } from "../run/record.ts";
import type { Result } from "../run/result.ts";
import type { Teacher } from "../teacher/teacher.ts";
import { type Config, formatConfig, parseConfig } from "./config.ts";
import { finish, type GivenTeacher, saveTeacher, teacherPath } from "./finish.ts";
import { Progress } from "./progress.ts";
import { comparison } from "./table.ts";
import { aboutTeacher } from "./teacher.ts";
import { shellWord } from "./terminal.ts";

/** Exit code after Ctrl-C, as shells have it: 128 + SIGINT. */
const INTERRUPTED = 130;

/** The first free `runs/<environment>-<n>`, in which what is no letter of a file's name becomes a hyphen. */
export function freeRunPath(environment: string): string {
  for (let n = 1; ; n++) {
    const path = join("runs", `${environment.replace(/[^\w.-]+/g, "-")}-${n}`);
    if (!existsSync(path)) return path;
  }
}

/** How this program was started, for commands that are printed. */
const SELF = import.meta.url.endsWith(".ts") ? "npm run pops --" : "npx pops";

export interface SessionOptions {
  readonly out: string;
  readonly workers: number;
  /** Seconds between checkpoints. */
  readonly checkpointEvery: number;
  readonly json: boolean;
  /** Seconds for this session. */
  readonly budget?: number | undefined;
  /** URLs of modules that register environments. */
  readonly modules: readonly string[];
  /** Seconds that Gymnasium's environments may take for an answer. */
  readonly timeout?: number | undefined;
}

/** Begins a run in a new folder. `teacher` is a policy that is there already, for `compress`. */
export async function start(config: Config, options: SessionOptions, teacher?: AnyPolicy): Promise<number> {
  const directory = RunDirectory.create(options.out, formatConfig(config));
  try {
    if (teacher) saveTeacher(directory, config, teacher);
    return await session(directory, config, options);
  } finally {
    directory.close();
  }
}

/** What the command line says of a run that it goes on with. */
interface Expected {
  readonly command: Config["command"];
  readonly environment: string | undefined;
}

/** Goes on with the run of a folder; its own configuration decides, and the command line may not say otherwise. */
export async function resume(expected: Expected, options: SessionOptions, teacher?: AnyPolicy): Promise<number> {
  const directory = RunDirectory.open(options.out);
  try {
    const config = parseConfig(directory.config, directory.files.config);
    if (config.command !== expected.command) {
      throw new UsageError(
        "--resume",
        `${options.out} was begun by "pops ${config.command}": resume it with that command`,
      );
    }
    if (expected.environment !== undefined && expected.environment !== config.environment) {
      throw new UsageError(
        "--resume",
        `${options.out} is a run of ${config.environment}, not of ${expected.environment}`,
      );
    }
    if (config.command === "compress") keepTeacher(directory, config, teacher);
    return await session(directory, config, options);
  } finally {
    directory.close();
  }
}

/** The run goes on with its own copy of the teacher, save when it was killed before it had made one. */
function keepTeacher(directory: RunDirectory, config: Config, teacher: AnyPolicy | undefined): void {
  const copied = existsSync(teacherPath(directory));
  if (copied && teacher) {
    throw new UsageError("--teacher", "cannot be given with --resume: the run has its own copy of its teacher");
  }
  if (copied) return;
  if (!teacher) {
    throw new UsageError("--teacher", "the run was killed before it copied its teacher: name the file once more");
  }
  saveTeacher(directory, config, teacher);
}

/** Share of a budget after which nothing more is tried: proofs need the rest. */
const SEARCHING = 0.8;

/** Tells when the search has to end; nothing where there is no budget. */
function deadline(budget: number | undefined): (() => boolean) | undefined {
  if (budget === undefined) return undefined;
  const end = performance.now() + 1000 * SEARCHING * budget;
  return () => performance.now() > end;
}

/** @param given the teacher that was there already */
function planOf(config: Config, options: SessionOptions, given: AnyPolicy | undefined): Plan {
  const { environment, preset, seed, command } = config;
  const { workers, modules, timeout } = options;
  const pops = command === "train" ? undefined : config.pops;
  const gymnasium = config.gymnasium && { ...config.gymnasium, timeout };
  const shared = { environment, gymnasium, preset, seed, workers, modules, pops, outOfTime: deadline(options.budget) };
  if (given === undefined) return { ...shared, teacher: { options: config.teacher } };
  if ("model" in given) {
    const { architecture, model, rows } = given;
    return { ...shared, teacher: { network: { architecture, model, rows } } };
  }
  const { architecture, parameters } = given;
  return { ...shared, teacher: { network: { architecture, parameters, updates: 0 } } };
}

async function session(directory: RunDirectory, config: Config, options: SessionOptions): Promise<number> {
  const { json, out } = options;
  const progress = new Progress(json ? process.stderr : process.stdout);
  if (existsSync(directory.files.result)) {
    progress.line(`${out} is finished:`);
    show(directory, readResult(directory.files.result), progress, json);
    return 0;
  }
  const stop = stopOnSignal(progress);
  try {
    const given = config.command === "compress" ? await loadTeacher(teacherPath(directory)) : undefined;
    const plan = planOf(config, options, given);
    const startedFrom = restore(directory, VERSION);
    progress.title(
      `${config.environment}, seed ${config.seed}, preset ${config.preset}: ${out}${startedFrom ? " (goes on)" : ""}`,
    );
    if (startedFrom?.notice !== undefined) progress.line(startedFrom.notice);
    for (const line of given ? aboutTeacher(given, config.pops) : []) progress.line(line);
    const events = pipeline(plan, startedFrom?.state, (teacher) => {
      saveTeacher(directory, config, teacher);
    });
    const done = await record(directory, events, {
      program: VERSION,
      checkpointEvery: options.checkpointEvery,
      startedFrom,
      signal: stop.signal,
      onEvent: progress.show,
    });
    if (done.interrupted) {
      progress.line(`Saved. Go on with: ${resumeCommand(config, options)}`);
      return INTERRUPTED;
    }
    const { teacher, answer } = done.result;
    // Without a file it was trained here.
    await report(directory, config, given ?? (teacher as Teacher), answer, done.seconds, progress, json);
    return 0;
  } catch (error) {
    if (error instanceof EnvironmentError) {
      progress.line(
        `Saved up to the last checkpoint. Go on, once the cause is gone, with: ${resumeCommand(config, options)}`,
      );
    }
    throw error;
  } finally {
    stop.release();
    progress.clear();
  }
}

function resumeCommand(config: Config, { out, modules }: SessionOptions): string {
  const imports = modules.flatMap((url) => ["--import", shellWord(relative("", fileURLToPath(url)))]);
  return [SELF, config.command, "--resume --out", shellWord(out), ...imports].join(" ");
}

async function report(
  directory: RunDirectory,
  config: Config,
  teacher: GivenTeacher,
  answer: Outcome["answer"],
  seconds: Readonly<Record<string, number>>,
  progress: Progress,
  json: boolean,
): Promise<void> {
  if (!answer) {
    const path = teacherPath(directory);
    if (json) process.stdout.write(`${JSON.stringify({ teacher: path, seconds })}\n`);
    else progress.line(`\n  ${path}\n\nCompress it with: ${SELF} compress --teacher ${shellWord(path)}`);
    return;
  }
  show(directory, await finish(directory, config, teacher, answer, seconds), progress, json);
}

function show({ files }: RunDirectory, result: Result, progress: Progress, json: boolean): void {
  if (json) {
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  const policy = join(files.policies, "policy");
  const written = [`${policy}.safetensors`, `${policy}.onnx`, files.result, files.report];
  progress.line(`\n${comparison(result)}\n\n${written.map((file) => `  ${file}`).join("\n")}`);
}

/** Signals closer together than this are one. */
const SAME_SIGNAL_MS = 1_000;

/** The first Ctrl-C asks the run to stop at its next safe point, the second ends the process at once. */
function stopOnSignal(progress: Progress): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  let asked = 0;
  const onSignal = (): void => {
    if (controller.signal.aborted) {
      // A terminal's Ctrl-C arrives twice where npm or tsx pass it on as well.
      if (performance.now() - asked < SAME_SIGNAL_MS) return;
      // Not process.exit: that ends worker threads inside native calls, which aborts with a message of its own.
      process.kill(process.pid, "SIGKILL");
    }
    asked = performance.now();
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

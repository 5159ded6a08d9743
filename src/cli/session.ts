import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { isAbsolute, join } from "node:path";
import { isModule } from "../environment/module.ts";
import { EnvironmentError, FileError, UsageError } from "../errors.ts";
import { VERSION } from "../exporting/version.ts";
import { loadPolicy } from "../importing/load.ts";
import type { Policy } from "../network/policy.ts";
import { type Outcome, type Plan, pipeline } from "../pops/pipeline.ts";
import { RunDirectory } from "../run/directory.ts";
import { restore } from "../run/generations.ts";
import { readResult } from "../run/read.ts";
import { record } from "../run/record.ts";
import type { Result } from "../run/result.ts";
import { type Config, formatConfig, parseConfig } from "./config.ts";
import { digestOf, type OwnModule, ownEnvironment } from "./environment.ts";
import { finish, saveTeacher, teacherPath } from "./finish.ts";
import { Progress } from "./progress.ts";
import { comparison } from "./table.ts";
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
export const SELF = import.meta.url.endsWith(".ts") ? "npm run pops --" : "npx pops";

export interface SessionOptions {
  readonly out: string;
  /** As many as there are cores, if not given; processes of Gymnasium's environments are fewer then. */
  readonly workers: number | undefined;
  /** Seconds between checkpoints. */
  readonly checkpointEvery: number;
  readonly json: boolean;
  /** Seconds that Gymnasium's environments may take for an answer. */
  readonly timeout?: number | undefined;
}

/**
 * Begins a run in a new folder. `module` is that of the user's own environment; `teacher` is a policy that is there already, for
 * `compress`.
 */
export async function start(
  config: Config,
  options: SessionOptions,
  module: OwnModule | undefined,
  teacher?: Policy,
): Promise<number> {
  const directory = RunDirectory.create(options.out, formatConfig(config));
  const progress = progressOf(options);
  try {
    if (teacher) saveTeacher(directory, config, teacher);
    return await session(directory, config, options, progress, module);
  } finally {
    directory.close();
  }
}

/** What the command line says of a run that it goes on with. */
interface Expected {
  readonly command: Config["command"];
  /** An id, or the path of a module. */
  readonly environment: string | undefined;
}

/** Goes on with the run of a folder; its own configuration decides, and the command line may not say otherwise. */
export async function resume(expected: Expected, options: SessionOptions, teacher?: Policy): Promise<number> {
  const directory = RunDirectory.open(options.out);
  try {
    const config = parseConfig(directory.config, directory.files.config);
    if (config.command !== expected.command) {
      throw new UsageError(
        "--resume",
        `${options.out} was begun by "pops ${config.command}": resume it with that command`,
      );
    }
    const named = expected.environment;
    const isNamed = named !== undefined && config.module !== undefined && isModule(named);
    if (named !== undefined && !isNamed && named !== config.environment) refuseOther(options, config, named);
    if (config.command === "compress") keepTeacher(directory, config, teacher);
    const progress = progressOf(options);
    if (existsSync(directory.files.result)) {
      progress.line(`${options.out} is finished:`);
      show(directory, readResult(directory.files.result), progress, options.json);
      return 0;
    }
    const module = await moduleOf(config, options, isNamed ? named : undefined, progress);
    return await session(directory, config, options, progress, module);
  } finally {
    directory.close();
  }
}

function refuseOther({ out }: SessionOptions, config: Config, other: string): never {
  throw new UsageError("--resume", `${out} is a run of ${config.environment}, not of ${other}`);
}

/**
 * Runs the module of the user's own environment, if it is one: that of the configuration, or the one that the command line
 * names. What a run has learned is of the environment that it began with, so another one has to be meant.
 */
async function moduleOf(
  config: Config,
  options: SessionOptions,
  named: string | undefined,
  progress: Progress,
): Promise<OwnModule | undefined> {
  if (config.module === undefined) return undefined;
  const saved = config.module.path;
  const path = named ?? (isAbsolute(saved) ? saved : join(options.out, saved));
  const again = "name it on the command line as well, with --env";
  if (!existsSync(path))
    throw new FileError(path, `is the run's environment, and is gone: if it is elsewhere now, ${again}`);
  const changed = digestOf(path) !== config.module.sha256;
  if (changed && named === undefined) {
    throw new EnvironmentError(
      path,
      `has changed since the run began. Restore it, begin a new run, or, to go on in the changed environment, ${again}`,
    );
  }
  const { spec, module } = await ownEnvironment(path);
  if (spec.id !== config.environment) refuseOther(options, config, `${spec.id}, which ${path} is now`);
  if (changed) progress.line(`${path} has changed since the run began: its seed alone no longer repeats the result`);
  return module;
}

/** The run goes on with its own copy of the teacher, save when it was killed before it had made one. */
function keepTeacher(directory: RunDirectory, config: Config, teacher: Policy | undefined): void {
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

async function planOf(
  directory: RunDirectory,
  config: Config,
  options: SessionOptions,
  module: OwnModule | undefined,
): Promise<Plan> {
  const { environment, preset, seed, command } = config;
  const { workers = availableParallelism(), workers: processes, timeout } = options;
  const pops = command === "train" ? undefined : config.pops;
  const gymnasium = config.gymnasium && { ...config.gymnasium, timeout, processes };
  const modules = module ? [module.url] : [];
  const shared = { environment, gymnasium, preset, seed, workers, modules, pops };
  if (command !== "compress") return { ...shared, teacher: { options: config.teacher } };
  const { architecture, parameters } = await loadPolicy(teacherPath(directory));
  return { ...shared, teacher: { network: { architecture, parameters, updates: 0 } } };
}

function progressOf({ json }: SessionOptions): Progress {
  return new Progress(json ? process.stderr : process.stdout);
}

async function session(
  directory: RunDirectory,
  config: Config,
  options: SessionOptions,
  progress: Progress,
  module: OwnModule | undefined,
): Promise<number> {
  const { json, out } = options;
  const stop = stopOnSignal(progress);
  try {
    const plan = await planOf(directory, config, options, module);
    const startedFrom = restore(directory, VERSION);
    progress.title(
      `${config.environment}, seed ${config.seed}, preset ${config.preset}: ${out}${startedFrom ? " (goes on)" : ""}`,
    );
    if (startedFrom?.notice !== undefined) progress.line(startedFrom.notice);
    const events = pipeline(plan, startedFrom?.state, (teacher) => {
      if (config.command !== "compress") saveTeacher(directory, config, teacher);
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
    report(directory, config, done.result, done.seconds, progress, json);
    return 0;
  } catch (error) {
    if (error instanceof EnvironmentError) {
      // To mend a module changes it, which has to be meant.
      const again = module ? ` --env ${shellWord(module.path)}` : "";
      progress.line(
        `Saved up to the last checkpoint. Go on, once the cause is gone, with: ${resumeCommand(config, options)}${again}`,
      );
    }
    throw error;
  } finally {
    stop.release();
    progress.clear();
  }
}

function resumeCommand({ command }: Config, { out }: SessionOptions): string {
  return [SELF, command, "--resume --out", shellWord(out)].join(" ");
}

function report(
  directory: RunDirectory,
  config: Config,
  { teacher, answer }: Outcome,
  seconds: Readonly<Record<string, number>>,
  progress: Progress,
  json: boolean,
): void {
  if (!answer) {
    const path = teacherPath(directory);
    if (json) process.stdout.write(`${JSON.stringify({ teacher: path, seconds })}\n`);
    else progress.line(`\n  ${path}\n\nCompress it with: ${SELF} compress ${shellWord(path)}`);
    return;
  }
  show(directory, finish(directory, config, teacher, answer, seconds), progress, json);
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

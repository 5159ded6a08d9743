import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { EnvironmentError, FileError, UsageError } from "../errors.ts";
import { VERSION } from "../exporting/version.ts";
import { loadPolicy } from "../importing/load.ts";
import type { Policy } from "../network/policy.ts";
import type { ObservationLog } from "../observations/log.ts";
import { readObservations } from "../observations/read.ts";
import { type Outcome, type Plan, pipeline } from "../pops/pipeline.ts";
import { measureOf } from "../report/measure.ts";
import { RunDirectory } from "../run/directory.ts";
import { restore } from "../run/generations.ts";
import { readResult } from "../run/read.ts";
import { record } from "../run/record.ts";
import type { Result } from "../run/result.ts";
import { type Config, formatConfig, parseConfig, subjectOf } from "./config.ts";
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
const SELF = import.meta.url.endsWith(".ts") ? "npm run pops --" : "npx pops";

export interface SessionOptions {
  readonly out: string;
  readonly workers: number;
  /** Seconds between checkpoints. */
  readonly checkpointEvery: number;
  readonly json: boolean;
  /** URLs of modules that register environments. */
  readonly modules: readonly string[];
  /** Seconds that Gymnasium's environments may take for an answer. */
  readonly timeout?: number | undefined;
}

/** What `compress` begins with. */
interface Given {
  readonly teacher?: Policy;
  /** What is compressed on, where it is no environment. */
  readonly observations?: ObservationLog;
}

/** Begins a run in a new folder. */
export async function start(config: Config, options: SessionOptions, given: Given = {}): Promise<number> {
  const directory = RunDirectory.create(options.out, formatConfig(config));
  try {
    if (given.teacher) saveTeacher(directory, config, given.teacher);
    return await session(directory, config, options, given.observations);
  } finally {
    directory.close();
  }
}

/** What the command line says of a run that it goes on with. */
export interface Expected {
  readonly command: Config["command"];
  readonly environment?: string | undefined;
  /** For a run that was killed before it copied its teacher. */
  readonly teacher?: Policy | undefined;
  /** Where the file of observations lies now, if it was moved. */
  readonly observations?: string | undefined;
}

/** Goes on with the run of a folder; its own configuration decides, and the command line may not say otherwise. */
export async function resume(expected: Expected, options: SessionOptions): Promise<number> {
  const directory = RunDirectory.open(options.out);
  try {
    const config = parseConfig(directory.config, directory.files.config);
    if (config.command !== expected.command) {
      throw new UsageError(
        "--resume",
        `${options.out} was begun by "pops ${config.command}": resume it with that command`,
      );
    }
    const environment = "environment" in config ? config.environment : undefined;
    if (expected.environment !== undefined && expected.environment !== environment) {
      throw new UsageError(
        "--resume",
        `${options.out} is a run of ${subjectOf(config)}, not of ${expected.environment}`,
      );
    }
    if (expected.observations !== undefined && environment !== undefined) {
      throw new UsageError("--observations", `${options.out} is a run of ${environment}, not of observations`);
    }
    if (config.command === "compress") keepTeacher(directory, config, expected.teacher);
    const ended = existsSync(directory.files.result);
    const observations = ended ? undefined : await sameObservations(config, expected.observations);
    return await session(directory, config, options, observations);
  } finally {
    directory.close();
  }
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
  observations: ObservationLog | undefined,
): Promise<Plan> {
  const { preset, seed, command } = config;
  const { workers, modules, timeout } = options;
  const shared = { preset, seed, workers };
  const given = async () => {
    const { architecture, parameters } = await loadPolicy(teacherPath(directory));
    return { network: { architecture, parameters, updates: 0 } };
  };
  if (observations) return { ...shared, observations, pops: config.pops, teacher: await given() };
  if (!("environment" in config)) throw new Error("a run on observations was planned without them");
  const pops = command === "train" ? undefined : config.pops;
  const gymnasium = config.gymnasium && { ...config.gymnasium, timeout };
  const teacher = command === "compress" ? await given() : { options: config.teacher };
  return { ...shared, environment: config.environment, gymnasium, modules, pops, teacher };
}

/** The very observations that a run began with, from where they lie now. `undefined` for a run in an environment. */
async function sameObservations(config: Config, moved: string | undefined): Promise<ObservationLog | undefined> {
  if (!("observations" in config)) return undefined;
  const { file, key, sha256 } = config.observations;
  const path = moved ?? file;
  const log = await readObservations(path, key);
  if (log.sha256 === sha256) return log;
  throw new FileError(
    path,
    `is not the file that the run began with (its SHA-256 is ${log.sha256}, not ${sha256}): ` +
      "name the original with --observations, or start a new run in another folder",
  );
}

async function session(
  directory: RunDirectory,
  config: Config,
  options: SessionOptions,
  observations?: ObservationLog,
): Promise<number> {
  const { json, out } = options;
  const stream = json ? process.stderr : process.stdout;
  if (existsSync(directory.files.result)) {
    const result = readResult(directory.files.result);
    const progress = new Progress(stream, measureOf(result));
    progress.line(`${out} is finished:`);
    show(directory, result, progress, json);
    return 0;
  }
  const progress = new Progress(stream, observations && { kind: "agreement", unit: observations.by });
  const stop = stopOnSignal(progress);
  try {
    const plan = await planOf(directory, config, options, observations);
    const startedFrom = restore(directory, VERSION);
    progress.title(
      `${subjectOf(config)}, seed ${config.seed}, preset ${config.preset}: ${out}${startedFrom ? " (goes on)" : ""}`,
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
    else progress.line(`\n  ${path}\n\nCompress it with: ${SELF} compress --teacher ${shellWord(path)}`);
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

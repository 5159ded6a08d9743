import { existsSync, mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { isAbsolute, join } from "node:path";
import { isModule } from "../environment/module.ts";
import { EnvironmentError, FileError, UsageError } from "../errors.ts";
import { VERSION } from "../exporting/version.ts";
import { loadTeacher } from "../importing/load.ts";
import type { AnyPolicy, BlackBox } from "../network/policy.ts";
import type { ObservationLog } from "../observations/log.ts";
import { readObservations } from "../observations/read.ts";
import { type Outcome, type Plan, pipeline } from "../pops/pipeline.ts";
import { type Measure, measureOf } from "../report/measure.ts";
import { RunDirectory } from "../run/directory.ts";
import { reconfigure, restore } from "../run/generations.ts";
import { readResult } from "../run/read.ts";
import { record } from "../run/record.ts";
import type { Result } from "../run/result.ts";
import type { Teacher } from "../teacher/teacher.ts";
import { bytesIn } from "./c-files.ts";
import { type Config, extendConfig, formatConfig, parseConfig, subjectOf } from "./config.ts";
import { digestOf, type OwnModule, ownEnvironment } from "./environment.ts";
import { finish, type GivenTeacher, saveTeacher, teacherPath } from "./finish.ts";
import { Progress } from "./progress.ts";
import { stopsBy, strayOf } from "./strays.ts";
import { comparison } from "./table.ts";
import { aboutTeacher } from "./teacher.ts";
import { shellWord } from "./terminal.ts";

/** Exit code after Ctrl-C, as shells have it: 128 + SIGINT. */
const INTERRUPTED = 130;

/** Folder of the runs without --out. */
export const RUNS = "runs";

/**
 * Makes the first free `runs/<environment>-<n>`, in which what is no letter of a file's name becomes a hyphen: of several
 * processes each has its own.
 */
export function newRunPath(environment: string): string {
  for (let n = 1; ; n++) {
    const path = join(RUNS, `${environment.replace(/[^\w.-]+/g, "-")}-${n}`);
    if (existsSync(path)) continue;
    try {
      mkdirSync(RUNS, { recursive: true });
      mkdirSync(path);
      return path;
    } catch {
      // Taken in between; or it cannot be made, which whoever begins the run there is told.
      if (!existsSync(path)) return path;
    }
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
  /** Seconds for this session. */
  readonly budget?: number | undefined;
  /** Seconds that Gymnasium's environments may take for an answer. */
  readonly timeout?: number | undefined;
}

/** What a run is given beside its configuration. */
export interface Given {
  /** A policy that is there already, for `compress`. */
  readonly teacher?: AnyPolicy | undefined;
  /** What is compressed on, where it is no environment. */
  readonly observations?: ObservationLog | undefined;
  /** That of the user's own environment. */
  readonly module?: OwnModule | undefined;
}

/** Begins a run in a new folder. */
export async function start(config: Config, options: SessionOptions, given: Given): Promise<number> {
  const directory = RunDirectory.create(options.out, formatConfig(config));
  try {
    if (given.teacher) saveTeacher(directory, config, given.teacher);
    return await session(directory, config, options, given);
  } finally {
    directory.close();
  }
}

/** What the command line says of a run that it goes on with. */
interface Expected {
  readonly command: Config["command"];
  /** An id, or the path of a module. */
  readonly environment: string | undefined;
  /** Settings by which a training is to go on for longer. */
  readonly set: readonly string[] | undefined;
}

/**
 * Goes on with the run of a folder; its own configuration decides, and the command line may not say otherwise. Observations that
 * are given have to be those that the run began with, under whatever name.
 */
export async function resume(expected: Expected, options: SessionOptions, given: Given): Promise<number> {
  const directory = RunDirectory.open(options.out);
  try {
    let config = parseConfig(directory.config, directory.files.config);
    if (config.command !== expected.command) {
      throw new UsageError(
        "--resume",
        `${options.out} was begun by "pops ${config.command}": resume it with that command`,
      );
    }
    if (given.observations && "environment" in config) {
      throw new UsageError("--observations", `${options.out} is a run of ${config.environment}, not of observations`);
    }
    const named = expected.environment;
    const own = "environment" in config ? config.module : undefined;
    const isNamed = named !== undefined && own !== undefined && isModule(named);
    if (named !== undefined && !isNamed && named !== subjectOf(config)) refuseOther(options, config, named);
    if (expected.set && config.command === "train") {
      config = extendConfig(config, expected.set);
      reconfigure(directory, VERSION, formatConfig(config));
    }
    if (config.command === "compress") keepTeacher(directory, config, given.teacher);
    if (existsSync(directory.files.result)) {
      const result = readResult(directory.files.result);
      const progress = progressOf(options, measureOf(result));
      progress.line(`${options.out} is finished:`);
      show(directory, result, progress, options.json);
      return 0;
    }
    const module = await moduleOf(config, options, isNamed ? named : undefined);
    return await session(directory, config, options, { ...given, module });
  } finally {
    directory.close();
  }
}

function refuseOther({ out }: SessionOptions, config: Config, other: string): never {
  throw new UsageError("--resume", `${out} is a run of ${subjectOf(config)}, not of ${other}`);
}

/**
 * Runs the module of the user's own environment, if it is one: that of the configuration, or the one that the command line
 * names. What a run has learned is of the environment that it began with, so another one has to be meant.
 */
async function moduleOf(
  config: Config,
  options: SessionOptions,
  named: string | undefined,
): Promise<OwnModule | undefined> {
  if (!("environment" in config) || config.module === undefined) return undefined;
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
  if (changed) {
    progressOf(options).line(`${path} has changed since the run began: its seed alone no longer repeats the result`);
  }
  return module;
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

/** What a run is of; `teacher` is one that was there already. */
function planOf(
  config: Config,
  options: SessionOptions,
  teacher: AnyPolicy | undefined,
  observations: ObservationLog | undefined,
  module: OwnModule | undefined,
): Plan {
  const { preset, seed, command } = config;
  const { workers = availableParallelism(), workers: processes, timeout } = options;
  const shared = { preset, seed, workers, outOfTime: deadline(options.budget), bytesOf: bytesIn(config) };
  const network = teacher && networkOf(teacher);
  if (!("environment" in config)) {
    if (!observations || !network)
      throw new Error("a run on observations was planned without them, or without a teacher");
    return { ...shared, observations, pops: config.pops, teacher: { network } };
  }
  const pops = command === "train" ? undefined : config.pops;
  const gymnasium = config.gymnasium && { ...config.gymnasium, timeout, processes };
  const modules = module ? [module.url] : [];
  const source = { environment: config.environment, gymnasium, modules };
  return { ...shared, ...source, pops, teacher: network ? { network } : { options: config.teacher } };
}

function networkOf(teacher: AnyPolicy): Teacher | BlackBox {
  if ("model" in teacher) {
    const { architecture, model, rows } = teacher;
    return { architecture, model, rows };
  }
  const { architecture, parameters } = teacher;
  return { architecture, parameters, updates: 0 };
}

/** The observations that a run stands on: the very ones that it began with. `undefined` for a run in an environment. */
async function observationsOf(config: Config, given: ObservationLog | undefined): Promise<ObservationLog | undefined> {
  if (!("observations" in config)) return undefined;
  const { file, key, sha256 } = config.observations;
  const log = given ?? (await readObservations(file, key));
  if (log.sha256 === sha256) return log;
  throw new FileError(
    given ? "--observations" : file,
    `${given ? "is another file than the run began with" : "was changed since the run began"} (its SHA-256 is ${log.sha256}, ` +
      `not ${sha256}): name the original with --observations, or start a new run in another folder`,
  );
}

function progressOf({ json }: SessionOptions, measure?: Measure): Progress {
  return new Progress(json ? process.stderr : process.stdout, measure);
}

async function session(
  directory: RunDirectory,
  config: Config,
  options: SessionOptions,
  given: Given,
): Promise<number> {
  const { json, out } = options;
  const { module } = given;
  const observations = await observationsOf(config, given.observations);
  const progress = progressOf(options, observations && { kind: "agreement", unit: observations.by });
  const stop = stopOnSignal(progress);
  try {
    const kept = config.command === "compress" ? await loadTeacher(teacherPath(directory)) : undefined;
    const plan = planOf(config, options, kept, observations, module);
    const startedFrom = restore(directory, VERSION);
    progress.title(
      `${subjectOf(config)}, seed ${config.seed}, preset ${config.preset}: ${out}${startedFrom ? " (goes on)" : ""}`,
    );
    if (startedFrom?.notice !== undefined) progress.line(startedFrom.notice);
    for (const line of kept ? aboutTeacher(kept, config.pops) : []) progress.line(line);
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
    stop.throwStray();
    if (done.interrupted) {
      progress.line(`Saved. Go on with: ${resumeCommand(config, options)}`);
      return INTERRUPTED;
    }
    const { teacher, answer } = done.result;
    // Without a file it was trained here.
    await report(directory, config, kept ?? (teacher as Teacher), answer, done.seconds, progress, json);
    stop.throwStray();
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
    else progress.line(`\n  ${path}\n\nCompress it with: ${SELF} compress ${shellWord(path)}`);
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
  const code = result.target ? [`${policy}.c`] : [];
  const written = [`${policy}.safetensors`, `${policy}.onnx`, ...code, files.result, files.report];
  progress.line(`\n${comparison(result)}\n\n${written.map((file) => `  ${file}`).join("\n")}`);
}

/** Signals closer together than this are one. */
const SAME_SIGNAL_MS = 1_000;

interface Stop {
  readonly signal: AbortSignal;
  /** Throws what an environment, most likely, threw outside of its methods. */
  readonly throwStray: () => void;
  readonly release: () => void;
}

/**
 * The first Ctrl-C asks the run to stop at its next safe point, the second ends the process at once. An error that nobody
 * catches asks for the same, as does output that nobody reads any more.
 */
function stopOnSignal(progress: Progress): Stop {
  const controller = new AbortController();
  let asked: number | undefined;
  let stray: Error | undefined;
  const onStray = (thrown: unknown): void => {
    stray ??= strayOf(thrown);
    controller.abort();
  };
  const onSignal = (): void => {
    if (asked !== undefined) {
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
  process.on("uncaughtException", onStray);
  stopsBy(() => {
    controller.abort();
  });
  return {
    signal: controller.signal,
    throwStray: () => {
      if (stray !== undefined) throw stray;
    },
    release: () => {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
      process.off("uncaughtException", onStray);
      stopsBy(undefined);
    },
  };
}

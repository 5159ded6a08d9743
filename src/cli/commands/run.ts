import { parse, resolve } from "node:path";
import { UsageError } from "../../errors.ts";
import { loadPolicy } from "../../importing/load.ts";
import { checkFits } from "../../network/architecture.ts";
import { checkObserved } from "../../observations/log.ts";
import { readObservations } from "../../observations/read.ts";
import { type Config, resolveConfig, resolveObservationConfig } from "../config.ts";
import { type EnvironmentFlags, givenOption, knownEnvironment } from "../environment.ts";
import { importOptions } from "../foreign.ts";
import { type Expected, freeRunPath, resume, type SessionOptions, start } from "../session.ts";

export interface RunFlags extends EnvironmentFlags {
  readonly preset?: string;
  readonly quick?: boolean;
  readonly set?: readonly string[];
  readonly seed?: number;
  readonly out?: string;
  readonly resume?: boolean;
  readonly workers: number;
  readonly checkpointEvery: number;
  readonly json?: boolean;
  readonly teacher?: string;
  readonly env?: string;
  readonly vecNormalize?: string;
  readonly observations?: string;
  readonly observationsKey?: string;
}

function sessionOptions(flags: RunFlags, out: string, modules: readonly string[]): SessionOptions {
  const { workers, checkpointEvery, json = false, envTimeout: timeout } = flags;
  return { out, workers, checkpointEvery, json, modules, timeout };
}

/** `--quick` is short for the preset of that name. */
function presetOf({ preset, quick }: RunFlags): string | undefined {
  if (quick && preset !== undefined) throw new UsageError("--quick", "is a preset of its own: give it or --preset");
  return quick ? "quick" : preset;
}

/** Goes on with a run. What its configuration holds cannot be given again: it could be another one. */
function goOn(expected: Expected, flags: RunFlags, modules: readonly string[]): Promise<number> {
  if (flags.out === undefined) throw new UsageError("--resume", "name the run's folder with --out");
  const keys = (["preset", "quick", "set", "seed"] as const).filter((key) => flags[key] !== undefined);
  const other = flags.observationsKey === undefined ? givenOption(flags) : "--observations-key";
  const given = keys[0] === undefined ? other : `--${keys[0]}`;
  if (given !== undefined) throw new UsageError(given, "cannot be given with --resume: the run's config.yaml decides");
  return resume(expected, sessionOptions(flags, flags.out, modules));
}

async function begin(
  command: "run" | "train",
  environment: string | undefined,
  flags: RunFlags,
  modules: readonly string[],
): Promise<number> {
  if (flags.resume) return goOn({ command, environment }, flags, modules);
  if (environment === undefined) throw new UsageError("environment", 'is missing; "pops environments" lists them');
  const preset = presetOf(flags);
  const known = await knownEnvironment(environment, flags);
  const config = resolveConfig({ ...flags, ...known, preset, environment, command });
  return start(config, sessionOptions(flags, flags.out ?? freeRunPath(environment), modules));
}

export async function run(
  environment: string | undefined,
  flags: RunFlags,
  modules: readonly string[],
): Promise<number> {
  return begin("run", environment, flags, modules);
}

export async function train(
  environment: string | undefined,
  flags: RunFlags,
  modules: readonly string[],
): Promise<number> {
  return begin("train", environment, flags, modules);
}

export async function compress(flags: RunFlags, modules: readonly string[]): Promise<number> {
  const teacher = flags.teacher === undefined ? undefined : await loadPolicy(flags.teacher, await importOptions(flags));
  const { observations: file, observationsKey: key } = flags;
  if (flags.resume) {
    return goOn({ command: "compress", environment: flags.env, teacher, observations: file }, flags, modules);
  }
  if (teacher === undefined) throw new UsageError("--teacher", "is missing: name the policy file to compress");
  if (file !== undefined) {
    const observations = await readObservations(file, key);
    checkObserved(teacher.architecture, observations);
    const source = { file: resolve(file), ...(key !== undefined && { key }), sha256: observations.sha256 };
    const config = resolveObservationConfig(source, { ...flags, preset: presetOf(flags) });
    const out = flags.out ?? freeRunPath(parse(file).name);
    return start(config, sessionOptions(flags, out, modules), { teacher, observations });
  }
  if (key !== undefined) throw new UsageError("--observations-key", "is for --observations: name the file with it");
  const environment = flags.env ?? teacher.environment;
  if (environment === undefined)
    throw new UsageError(
      "--env",
      `${flags.teacher ?? ""} names no environment: state one, or logged observations with --observations`,
    );
  const preset = presetOf(flags);
  const known = await knownEnvironment(environment, flags);
  checkFits(teacher.architecture, known.spec);
  const config = resolveConfig({ ...flags, ...known, preset, environment, command: "compress" });
  return start(config, sessionOptions(flags, flags.out ?? freeRunPath(environment), modules), { teacher });
}

import { join, parse, resolve } from "node:path";
import type { EnvironmentSpec } from "../../environment/environment.ts";
import { UsageError } from "../../errors.ts";
import { loadTeacher } from "../../importing/load.ts";
import { checkFits } from "../../network/architecture.ts";
import type { AnyPolicy } from "../../network/policy.ts";
import { asTaken } from "../../observations/log.ts";
import { readObservations } from "../../observations/read.ts";
import { firstStudent } from "../../pops/student.ts";
import { type Config, resolveConfig, resolveObservationConfig } from "../config.ts";
import {
  type EnvironmentFlags,
  environmentOf,
  givenOption,
  type KnownEnvironment,
  knownEnvironment,
  namedEnvironment,
} from "../environment.ts";
import { importOptions } from "../foreign.ts";
import { type Given, newRunPath, RUNS, resume, type SessionOptions, start } from "../session.ts";

export interface RunFlags extends EnvironmentFlags {
  readonly preset?: string;
  readonly quick?: boolean;
  readonly set?: readonly string[];
  readonly seed?: number;
  readonly out?: string;
  readonly resume?: boolean;
  readonly checkpointEvery: number;
  readonly budget?: number;
  readonly json?: boolean;
  readonly teacher?: string;
  readonly env?: string;
  readonly vecNormalize?: string;
  readonly observations?: string;
  readonly observationsKey?: string;
  readonly head?: string;
  readonly target?: string;
  readonly maxBytes?: number;
}

/** Settings that an export to prove policies in stands for, in front of those that are given. */
function targetSettings({ target, maxBytes }: RunFlags): string[] {
  if (target === undefined) {
    if (maxBytes !== undefined) throw new UsageError("--max-bytes", "is for --target: name c-int8 or c-int16");
    return [];
  }
  const form = /^c-(int8|int16)$/.exec(target)?.[1];
  if (form === undefined) throw new UsageError("--target", `there is no "${target}"; known are c-int8, c-int16`);
  return [`pops.quantize=${form}`, ...(maxBytes === undefined ? [] : [`pops.maxBytes=${maxBytes}`])];
}

function sessionOptions(flags: RunFlags, out: string): SessionOptions {
  const { workers, checkpointEvery, json = false, envTimeout: timeout, budget } = flags;
  return { out, workers, checkpointEvery, json, timeout, budget };
}

/** `--quick` is short for the preset of that name. */
function presetOf({ preset, quick }: RunFlags): string | undefined {
  if (quick && preset !== undefined) throw new UsageError("--quick", "is a preset of its own: give it or --preset");
  return quick ? "quick" : preset;
}

/** Goes on with a run. What its configuration holds cannot be given again: it could be another one. */
function goOn(command: Config["command"], environment: string | undefined, flags: RunFlags, given: Given = {}) {
  if (flags.out === undefined) throw new UsageError("--resume", "name the run's folder with --out");
  const options = {
    preset: "--preset",
    quick: "--quick",
    seed: "--seed",
    target: "--target",
    maxBytes: "--max-bytes",
    // Of a training some may be: it goes on for longer.
    ...(command !== "train" && { set: "--set" as const }),
  } as const;
  const key = (Object.keys(options) as (keyof typeof options)[]).find((name) => flags[name] !== undefined);
  const option = key === undefined ? givenOption(flags) : options[key];
  if (option !== undefined)
    throw new UsageError(option, "cannot be given with --resume: the run's config.yaml decides");
  return resume({ command, environment, set: flags.set }, sessionOptions(flags, flags.out), given);
}

/** Begins a run in an environment. */
function begin(command: Config["command"], known: KnownEnvironment, flags: RunFlags, teacher?: AnyPolicy) {
  const set = [...targetSettings(flags), ...(flags.set ?? [])];
  // Any folder of its depth: there is none yet where none is named.
  const out = flags.out ?? join(RUNS, "new");
  const config = resolveConfig({ ...flags, set, ...known, preset: presetOf(flags), command, out });
  // Refused before there is a folder.
  if (teacher) firstStudent(teacher, config.pops);
  return start(config, sessionOptions(flags, flags.out ?? newRunPath(known.spec.id)), {
    teacher,
    module: known.module,
  });
}

/** What stands once, as an argument or behind an option. */
function once(argument: string | undefined, option: string | undefined, name: string): string | undefined {
  if (argument !== undefined && option !== undefined) throw new UsageError(name, `${argument} is named already`);
  return argument ?? option;
}

export async function train(
  command: "run" | "train",
  environment: string | undefined,
  flags: RunFlags,
): Promise<number> {
  const meant = once(environment, flags.env, "--env");
  if (flags.resume) return goOn(command, meant, flags);
  if (meant === undefined) throw new UsageError("environment", 'is missing; "pops environments" lists them');
  return begin(command, await knownEnvironment(meant, flags), flags);
}

/** Compresses against logged observations. The environment, if one is named, says what the policy's file leaves open. */
async function compressOnObservations(
  file: string,
  policy: string,
  spec: EnvironmentSpec | undefined,
  flags: RunFlags,
): Promise<number> {
  const { observationsKey: key } = flags;
  if (flags.target !== undefined)
    throw new UsageError("--target", "is for environments: on logged observations no quantised policy is tried");
  const recorded = await readObservations(file, key);
  const teacher = await loadTeacher(policy, importOptions(flags, spec));
  const observations = asTaken(teacher.architecture, recorded);
  if (spec) checkFits(teacher.architecture, spec);
  const source = { file: resolve(file), ...(key !== undefined && { key }), sha256: observations.sha256 };
  const config = resolveObservationConfig(source, { ...flags, preset: presetOf(flags) });
  firstStudent(teacher, config.pops);
  return start(config, sessionOptions(flags, flags.out ?? newRunPath(parse(file).name)), { teacher, observations });
}

export async function compress(policy: string | undefined, flags: RunFlags): Promise<number> {
  const file = once(policy, flags.teacher, "--teacher");
  const { observations: log, observationsKey: key } = flags;
  if (log === undefined && key !== undefined) {
    throw new UsageError("--observations-key", "is for --observations: name the file with it");
  }
  // Without observations the policy's file may name it as well.
  const named = flags.env === undefined && log === undefined ? undefined : await namedEnvironment(flags);
  if (flags.resume) {
    const observations = log === undefined ? undefined : await readObservations(log, key);
    const teacher = file === undefined ? undefined : await loadTeacher(file, importOptions(flags, named?.spec));
    return goOn("compress", log === undefined ? flags.env : undefined, flags, { teacher, observations });
  }
  if (file === undefined) throw new UsageError("policy", "is missing: name the file to compress");
  if (log !== undefined) return compressOnObservations(log, file, named?.spec, flags);
  const teacher = await loadTeacher(file, importOptions(flags, named?.spec));
  const known = named ?? (await knownEnvironment(...environmentOf(teacher, file, flags)));
  checkFits(teacher.architecture, known.spec);
  return begin("compress", known, flags, teacher);
}

import { UsageError } from "../../errors.ts";
import { loadPolicy } from "../../importing/load.ts";
import { checkFits } from "../../network/architecture.ts";
import type { Policy } from "../../network/policy.ts";
import { type Config, resolveConfig } from "../config.ts";
import {
  type EnvironmentFlags,
  environmentOf,
  givenOption,
  type KnownEnvironment,
  knownEnvironment,
} from "../environment.ts";
import { importOptions } from "../foreign.ts";
import { freeRunPath, resume, type SessionOptions, start } from "../session.ts";

export interface RunFlags extends EnvironmentFlags {
  readonly preset?: string;
  readonly quick?: boolean;
  readonly set?: readonly string[];
  readonly seed?: number;
  readonly out?: string;
  readonly resume?: boolean;
  readonly checkpointEvery: number;
  readonly json?: boolean;
  readonly teacher?: string;
  readonly env?: string;
  readonly vecNormalize?: string;
}

function sessionOptions(flags: RunFlags, out: string): SessionOptions {
  const { workers, checkpointEvery, json = false, envTimeout: timeout } = flags;
  return { out, workers, checkpointEvery, json, timeout };
}

/** `--quick` is short for the preset of that name. */
function presetOf({ preset, quick }: RunFlags): string | undefined {
  if (quick && preset !== undefined) throw new UsageError("--quick", "is a preset of its own: give it or --preset");
  return quick ? "quick" : preset;
}

/** Goes on with a run. What its configuration holds cannot be given again: it could be another one. */
function goOn(command: Config["command"], environment: string | undefined, flags: RunFlags, teacher?: Policy) {
  if (flags.out === undefined) throw new UsageError("--resume", "name the run's folder with --out");
  const keys = (["preset", "quick", "set", "seed"] as const).filter((key) => flags[key] !== undefined);
  const given = keys[0] === undefined ? givenOption(flags) : `--${keys[0]}`;
  if (given !== undefined) throw new UsageError(given, "cannot be given with --resume: the run's config.yaml decides");
  return resume({ command, environment }, sessionOptions(flags, flags.out), teacher);
}

/** Begins a run in an environment. */
function begin(command: Config["command"], known: KnownEnvironment, flags: RunFlags, teacher?: Policy) {
  const out = flags.out ?? freeRunPath(known.spec.id);
  const config = resolveConfig({ ...flags, ...known, preset: presetOf(flags), command, out });
  return start(config, sessionOptions(flags, out), known.module, teacher);
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

export async function compress(policy: string | undefined, flags: RunFlags): Promise<number> {
  const file = once(policy, flags.teacher, "--teacher");
  if (file === undefined) {
    if (flags.resume) return goOn("compress", flags.env, flags);
    throw new UsageError("policy", "is missing: name the file to compress");
  }
  const named = flags.env === undefined ? undefined : await knownEnvironment(flags.env, flags);
  const teacher = await loadPolicy(file, importOptions(flags, named?.spec));
  if (flags.resume) return goOn("compress", flags.env, flags, teacher);
  const known = named ?? (await knownEnvironment(...environmentOf(teacher, file, flags)));
  checkFits(teacher.architecture, known.spec);
  return begin("compress", known, flags, teacher);
}

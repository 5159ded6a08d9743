import { UsageError } from "../../errors.ts";
import { loadPolicy } from "../../importing/load.ts";
import { checkFits } from "../../network/architecture.ts";
import { specOf } from "../../environment/registry.ts";
import { type Config, resolveConfig } from "../config.ts";
import { freeRunPath, resume, type SessionOptions, start } from "../session.ts";

export interface RunFlags {
  readonly preset: string;
  readonly set: readonly string[];
  readonly seed: number;
  readonly out?: string;
  readonly resume?: boolean;
  readonly workers: number;
  readonly json?: boolean;
  readonly teacher?: string;
  readonly env?: string;
}

function sessionOptions(flags: RunFlags, out: string): SessionOptions {
  return { out, workers: flags.workers, json: flags.json === true };
}

function goOn(command: Config["command"], flags: RunFlags): Promise<number> {
  if (flags.out === undefined) throw new UsageError("--resume", "name the run's folder with --out");
  return resume(command, sessionOptions(flags, flags.out));
}

function begin(command: "run" | "train", environment: string | undefined, flags: RunFlags): Promise<number> {
  if (flags.resume) return goOn(command, flags);
  if (environment === undefined) throw new UsageError("environment", 'is missing; "pops environments" lists them');
  const config = resolveConfig({ ...flags, environment, command });
  return start(config, sessionOptions(flags, flags.out ?? freeRunPath(environment)));
}

export async function run(environment: string | undefined, flags: RunFlags): Promise<number> {
  return begin("run", environment, flags);
}

export async function train(environment: string | undefined, flags: RunFlags): Promise<number> {
  return begin("train", environment, flags);
}

export async function compress(flags: RunFlags): Promise<number> {
  if (flags.resume) return goOn("compress", flags);
  if (flags.teacher === undefined) throw new UsageError("--teacher", "is missing: name the policy file to compress");
  const teacher = await loadPolicy(flags.teacher);
  const environment = flags.env ?? teacher.environment;
  if (environment === undefined) throw new UsageError("--env", `${flags.teacher} names no environment: state one`);
  checkFits(teacher.architecture, specOf(environment));
  const config = resolveConfig({ ...flags, environment, command: "compress" });
  return start(config, sessionOptions(flags, flags.out ?? freeRunPath(environment)), teacher);
}

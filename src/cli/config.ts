import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse, stringify } from "yaml";
import { z } from "zod";
import { gymnasiumId, gymnasiumSchema } from "../environment/gymnasium-protocol.ts";
import { nearest } from "../environment/nearest.ts";
import { environmentIds, specOf } from "../environment/registry.ts";
import { FileError, reasonOf, UsageError } from "../errors.ts";
import { popsSchema } from "../pops/options.ts";
import { dqnSchema } from "../teacher/dqn.ts";
import { ppoSchema } from "../teacher/ppo.ts";
import type { KnownEnvironment } from "./environment.ts";

/** Options of every teacher by its algorithm. */
const teacherSchemas = { dqn: dqnSchema, ppo: ppoSchema } as const;
const ALGORITHMS = ["dqn", "ppo"] as const;

/** The effective configuration of a run: everything that decides its result. It is saved as `config.yaml`. */
const configSchema = z.strictObject({
  environment: z.string(),
  /** How an environment of Python's Gymnasium is made, and what it was when the run began. */
  gymnasium: gymnasiumSchema.optional(),
  preset: z.string(),
  seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  /** What to do: both stages, or one of them. */
  command: z.enum(["run", "train", "compress"]),
  teacher: z.discriminatedUnion("algorithm", [dqnSchema, ppoSchema]),
  pops: popsSchema,
});

export type Config = z.infer<typeof configSchema>;

const PRESETS = new URL("../../presets/", import.meta.url);
/** Errors on one line, no warnings on standard error. */
const PLAIN_YAML = { prettyErrors: false, logLevel: "error" } as const;
const OPEN_OBJECT = z.record(z.string(), z.unknown());

/** Plain settings by name: `teacher` and `pops`, parts of them left out. */
type Settings = Record<string, unknown>;

/** Presets of a file by name; `like` instead names another file that has them. */
function readPresets(name: string): Record<string, Settings> {
  const path = fileURLToPath(new URL(`${name}.yaml`, PRESETS));
  const names = readdirSync(PRESETS).map((file) => file.replace(/\.yaml$/, ""));
  if (!names.includes(name)) return {};
  try {
    const { like, ...presets } = z
      .object({ like: z.string().optional() })
      .catchall(OPEN_OBJECT)
      .parse(parse(readFileSync(path, "utf8")));
    return like === undefined ? presets : readPresets(like);
  } catch (error) {
    throw new FileError(path, `is no preset file: ${reasonOf(error)}`, { cause: error });
  }
}

/** Gymnasium's environments have the presets of ours of the same id. */
function taskOf(environment: string): string {
  return gymnasiumId(environment) ?? environment;
}

/** Names of the presets that an environment has. `default` is always there. */
function presetNames(environment: string): string[] {
  return [
    ...new Set(["default", ...Object.keys(readPresets("shared")), ...Object.keys(readPresets(taskOf(environment)))]),
  ];
}

function merge(base: Settings, over: Settings): Settings {
  const result: Settings = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = OPEN_OBJECT.safeParse(result[key]);
    const above = OPEN_OBJECT.safeParse(value);
    result[key] = below.success && above.success ? merge(below.data, above.data) : value;
  }
  return result;
}

/** What a teacher's settings say of the task, not of how it is learned: they outlive a change of the algorithm. */
const OF_THE_TASK = ["hidden", "activation", "stopScore", "evaluationEpisodes", "confirmationEpisodes"];

/** `over` on top of `base`. Settings of an algorithm that `over` gives up go with it. */
function overlay(base: Settings, over: Settings): Settings {
  const teacher = OPEN_OBJECT.parse(base["teacher"] ?? {});
  const algorithm = OPEN_OBJECT.safeParse(over["teacher"]).data?.["algorithm"];
  if (algorithm === undefined || algorithm === teacher["algorithm"]) return merge(base, over);
  const kept = Object.fromEntries(Object.entries(teacher).filter(([key]) => OF_THE_TASK.includes(key)));
  return merge({ ...base, teacher: kept }, over);
}

/** Every key that `--set` takes, as `a.b.c`, with its description; of teachers' only those of one algorithm, if it is given. */
export function settingKeys(algorithm?: (typeof ALGORITHMS)[number]): Map<string, string> {
  const keys = new Map<string, string>();
  const visit = (schema: unknown, path: string): void => {
    if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
      const inner: unknown = schema.unwrap();
      if (inner instanceof z.ZodObject) {
        visit(inner, path);
        return;
      }
    }
    if (schema instanceof z.ZodObject) {
      for (const [key, value] of Object.entries(schema.shape)) visit(value, path === "" ? key : `${path}.${key}`);
    } else if (schema instanceof z.ZodType) {
      keys.set(path, schema.description ?? "");
    }
  };
  for (const name of algorithm === undefined ? ALGORITHMS : [algorithm]) visit(teacherSchemas[name], "teacher");
  visit(configSchema.shape.pops, "pops");
  return keys;
}

function unknownKey(key: string): string {
  const keys = [...settingKeys().keys()];
  const meant = nearest(key, keys) ?? keys.find((known) => known.endsWith(`.${key.split(".").at(-1) ?? ""}`));
  const hint = meant === undefined ? `see "pops settings"` : `did you mean "${meant}"?`;
  return `there is no setting "${key}"; ${hint}`;
}

/** `a.b=value` as nested settings; values are YAML (numbers, booleans, lists, words). */
function parseSetting(setting: string): Settings {
  const [, key, text] = /^([^=]+)=(.*)$/s.exec(setting) ?? [];
  if (key === undefined || text === undefined)
    throw new UsageError("--set", `"${setting}" is not of the form key=value`);
  if (!settingKeys().has(key)) throw new UsageError("--set", unknownKey(key));
  let value: unknown;
  try {
    value = parse(text, PLAIN_YAML);
  } catch (error) {
    throw new UsageError("--set", `the value of ${key} is not YAML: ${reasonOf(error)}`, { cause: error });
  }
  return key.split(".").reduceRight<unknown>((inner, part) => ({ [part]: inner }), value) as Settings;
}

/** The configuration, or the first thing that is wrong with it. */
function validate(raw: unknown): Config | string {
  const parsed = configSchema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  if (issue?.code === "unrecognized_keys") {
    const key = [...issue.path, issue.keys[0]].join(".");
    const algorithm = ALGORITHMS.find((name) => settingKeys(name).has(key));
    if (algorithm === undefined) return unknownKey(key);
    return `${key} is a setting of ${algorithm} alone: set teacher.algorithm=${algorithm}, or leave it out`;
  }
  return `${issue?.path.join(".") ?? ""}: ${issue?.message.replace("Invalid input: ", "") ?? "is not valid"}`;
}

export interface ConfigRequest extends Partial<KnownEnvironment> {
  readonly environment: string;
  readonly command: Config["command"];
  readonly preset?: string | undefined;
  readonly seed?: number | undefined;
  readonly set?: readonly string[] | undefined;
}

/**
 * The effective configuration: defaults, then the preset (what all environments share, then the environment's own), then `--set`.
 * The objective is the environment's published threshold unless a preset or a setting states another.
 */
export function resolveConfig(request: ConfigRequest): Config {
  const { environment, gymnasium, command, preset = "default", seed = 1, set = [] } = request;
  const { spec = specOf(environment) } = request;
  const continuous = spec.actionSpace.kind === "box";
  const names = presetNames(environment);
  if (!names.includes(preset)) {
    const meant = nearest(preset, names);
    throw new UsageError(
      "--preset",
      `${environment} has no preset "${preset}"; ${meant === undefined ? `it has ${names.join(", ")}` : `did you mean "${meant}"?`}`,
    );
  }
  const own = readPresets(taskOf(environment));
  const layers: Settings[] = [
    own["default"] ?? {},
    ...(preset === "default" ? [] : [readPresets("shared")[preset] ?? {}, own[preset] ?? {}]),
    // All of them at once: in what order they stand does not matter.
    set.map(parseSetting).reduce(merge, {}),
  ];
  const threshold = spec.rewardThreshold;
  const algorithm = continuous ? "ppo" : "dqn";
  const base: Settings =
    threshold === undefined
      ? { teacher: { algorithm } }
      : { teacher: { algorithm, stopScore: threshold }, pops: { objective: threshold, lowerBound: threshold } };
  const raw = layers.reduce(overlay, { ...base, environment, ...(gymnasium && { gymnasium }), preset, seed, command });
  const pops = OPEN_OBJECT.safeParse(raw["pops"]);
  if (!pops.success || pops.data["objective"] === undefined) {
    throw new UsageError(
      "--set",
      `${environment} has no published threshold: state --set pops.objective=..., pops.lowerBound=... and teacher.stopScore=...`,
    );
  }
  const config = validate(raw);
  if (typeof config === "string") throw new UsageError("--set", config);
  if (continuous && config.teacher.algorithm === "dqn") {
    throw new UsageError("teacher.algorithm", `${environment} has continuous actions, DQN needs choices: use ppo`);
  }
  return config;
}

/** The text of `config.yaml`. */
export function formatConfig(config: Config): string {
  return stringify(config);
}

/** Reads `config.yaml` back. */
export function parseConfig(text: string, path: string): Config {
  let raw: unknown;
  try {
    raw = parse(text, PLAIN_YAML);
  } catch (error) {
    throw new FileError(path, `is not YAML: ${reasonOf(error)}`, { cause: error });
  }
  const config = validate(raw);
  if (typeof config === "string") throw new FileError(path, `is not a configuration of this version: ${config}`);
  return config;
}

/** Ids with their presets, for `pops environments`. */
export function listEnvironments(): { id: string; presets: string[] }[] {
  return environmentIds().map((id) => ({ id, presets: presetNames(id) }));
}

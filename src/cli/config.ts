import { readdirSync, readFileSync } from "node:fs";
import { basename, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parse, stringify } from "yaml";
import { z } from "zod";
import type { EnvironmentSpec } from "../environment/environment.ts";
import { aleGame, gymnasiumId, gymnasiumSchema } from "../environment/gymnasium-protocol.ts";
import { nearest } from "../environment/nearest.ts";
import { environmentIds } from "../environment/registry.ts";
import { FileError, reasonOf, UsageError } from "../errors.ts";
import { popsSchema } from "../pops/options.ts";
import { dqnSchema } from "../teacher/dqn.ts";
import { ppoSchema } from "../teacher/ppo.ts";
import type { KnownEnvironment } from "./environment.ts";

/** Options of every teacher by its algorithm. */
const teacherSchemas = { dqn: dqnSchema, ppo: ppoSchema } as const;
const ALGORITHMS = ["dqn", "ppo"] as const;

const preset = z.string();
const seed = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

/** Of a run in an environment. */
const environmentConfigSchema = z
  .strictObject({
    environment: z.string(),
    /** How an environment of Python's Gymnasium is made, and what it was when the run began. */
    gymnasium: gymnasiumSchema.optional(),
    /** The module of an environment of the user's own: its path from the run's folder, and its content when the run began. */
    module: z.strictObject({ path: z.string(), sha256: z.string() }).optional(),
    preset,
    seed,
    /** What to do: both stages, or one of them. */
    command: z.enum(["run", "train", "compress"]),
    teacher: z.discriminatedUnion("algorithm", [dqnSchema, ppoSchema]),
    pops: popsSchema,
  })
  .refine(
    ({ command, teacher, pops }) => command !== "run" || teacher.algorithm !== "dqn" || pops.acting === "greedy",
    {
      path: ["pops", "acting"],
      message: "sampled actions are drawn from logits or a Gaussian, and a DQN has neither",
    },
  );

const share = z.number().min(0).max(1);

/** Of a compression on logged observations. */
const observationConfigSchema = z.strictObject({
  observations: z.strictObject({
    /** Absolute path. */
    file: z.string(),
    /** Name of the array, where it is none of the usual ones. */
    key: z.string().optional(),
    /** Of the file: a run goes on with the very same observations. */
    sha256: z.string().length(64),
  }),
  preset,
  seed,
  command: z.literal("compress"),
  pops: popsSchema.extend({ objective: share, lowerBound: share }),
});

type EnvironmentConfig = z.infer<typeof environmentConfigSchema>;
type ObservationConfig = z.infer<typeof observationConfigSchema>;

/** The effective configuration of a run: everything that decides its result. It is saved as `config.yaml`. */
export type Config = EnvironmentConfig | ObservationConfig;

const PRESETS = new URL("../../presets/", import.meta.url);
/** Presets of compressions on logged observations. */
const OBSERVATIONS = "observations";
/** Errors on one line, no warnings on standard error. */
const PLAIN_YAML = { prettyErrors: false, logLevel: "error" } as const;
const OPEN_OBJECT = z.record(z.string(), z.unknown());
const PRESETS_BY_NAME = z.record(z.string(), OPEN_OBJECT);

/** Plain settings by name: `teacher` and `pops`, parts of them left out. */
type Settings = Record<string, unknown>;

/** Presets of a file by name, on top of those of another file where `like` names one. */
function readPresets(name: string): Record<string, Settings> {
  const path = fileURLToPath(new URL(`${name}.yaml`, PRESETS));
  const names = readdirSync(PRESETS).map((file) => file.replace(/\.yaml$/, ""));
  if (!names.includes(name)) return {};
  try {
    const { like, ...presets } = z
      .object({ like: z.string().optional() })
      .catchall(OPEN_OBJECT)
      .parse(parse(readFileSync(path, "utf8")));
    return like === undefined ? presets : PRESETS_BY_NAME.parse(merge(readPresets(like), presets));
  } catch (error) {
    throw new FileError(path, `is no preset file: ${reasonOf(error)}`, { cause: error });
  }
}

/** Gymnasium's environments have the presets of ours of the same id, games of ALE's those of ours of the same name. */
export function taskOf(environment: string): string {
  const game = aleGame(environment);
  return game === undefined ? (gymnasiumId(environment) ?? environment) : `${game}-v0`;
}

/** Names of the presets that an environment has. `default` is always there. */
export function presetNames(environment: string): string[] {
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
  visit(popsSchema, "pops");
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
function validate<Kind extends Config>(schema: z.ZodType<Kind>, raw: unknown): Kind | string {
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  if (issue?.code === "unrecognized_keys") {
    const key = [...issue.path, issue.keys[0]].join(".");
    if (key === "teacher") return "teacher.* is for training a teacher; here it is given";
    const algorithm = ALGORITHMS.find((name) => settingKeys(name).has(key));
    if (algorithm === undefined) return unknownKey(key);
    return `${key} is a setting of ${algorithm} alone: set teacher.algorithm=${algorithm}, or leave it out`;
  }
  return `${issue?.path.join(".") ?? ""}: ${issue?.message.replace("Invalid input: ", "") ?? "is not valid"}`;
}

/** What may be said of any run. */
interface Request {
  readonly preset?: string | undefined;
  readonly seed?: number | undefined;
  readonly set?: readonly string[] | undefined;
  /** The run's folder, from which paths are counted; the working folder without it. */
  readonly out?: string | undefined;
}

export interface ConfigRequest extends Request, KnownEnvironment {
  readonly command: Config["command"];
}

/** Defaults, then the preset (what all tasks share, then the task's own), then `--set`. */
function settingsOf(base: Settings, task: string, { preset = "default", seed = 1, set = [] }: Request): Settings {
  const names = presetNames(task);
  if (!names.includes(preset)) {
    const meant = nearest(preset, names);
    throw new UsageError(
      "--preset",
      `${task} has no preset "${preset}"; ${meant === undefined ? `it has ${names.join(", ")}` : `did you mean "${meant}"?`}`,
    );
  }
  const presets = readPresets(taskOf(task));
  const layers: Settings[] = [
    presets["default"] ?? {},
    ...(preset === "default" ? [] : [readPresets("shared")[preset] ?? {}, presets[preset] ?? {}]),
    // All of them at once: in what order they stand does not matter.
    set.map(parseSetting).reduce(merge, {}),
  ];
  return layers.reduce(overlay, { ...base, preset, seed });
}

/** What an environment says by itself: which algorithm, and the threshold at which its task counts as solved. */
function baseOf({ actionSpace, rewardThreshold: threshold }: EnvironmentSpec): Settings {
  const algorithm = actionSpace.kind === "box" ? "ppo" : "dqn";
  if (threshold === undefined) return { teacher: { algorithm } };
  return { teacher: { algorithm, stopScore: threshold }, pops: { objective: threshold, lowerBound: threshold } };
}

/**
 * The effective configuration of a run in an environment. The objective is the environment's published threshold unless a
 * preset or a setting states another.
 */
export function resolveConfig(request: ConfigRequest): EnvironmentConfig {
  const { spec, gymnasium, module: own, command, out = "" } = request;
  const environment = spec.id;
  const module = own && { path: relative(out, own.path).replaceAll("\\", "/"), sha256: own.sha256 };
  const made = { environment, ...(gymnasium && { gymnasium }), ...(module && { module }) };
  const raw = settingsOf({ ...baseOf(spec), ...made, command }, environment, request);
  const objective = OPEN_OBJECT.safeParse(raw["pops"]).data?.["objective"];
  if (objective === undefined) {
    const scores = command === "compress" ? "" : " and teacher.stopScore=...";
    throw new UsageError(
      "--set",
      `${environment} has no published threshold: state --set pops.objective=..., pops.lowerBound=...${scores}` +
        (own ? ", or give its spec a rewardThreshold" : ""),
    );
  }
  // Nothing is trained in a compression.
  const stopScore = command === "compress" ? { stopScore: objective } : {};
  const config = validate(environmentConfigSchema, merge({ teacher: stopScore }, raw));
  if (typeof config === "string") throw new UsageError("--set", config);
  if (spec.actionSpace.kind === "box" && config.teacher.algorithm === "dqn") {
    throw new UsageError("teacher.algorithm", `${environment} has continuous actions, DQN needs choices: use ppo`);
  }
  return config;
}

/** The effective configuration of a compression on logged observations. */
export function resolveObservationConfig(
  observations: ObservationConfig["observations"],
  request: Request,
): ObservationConfig {
  const raw = settingsOf({ observations, command: "compress" }, OBSERVATIONS, request);
  const config = validate(observationConfigSchema, raw);
  if (typeof config === "string") throw new UsageError("--set", config);
  return config;
}

/** What may still change once a training has begun: when it ends. */
const EXTENSIBLE = ["teacher.totalSteps", "teacher.stopScore"];

/**
 * The configuration of a training that ends elsewhere than it was begun: after other `totalSteps` (after those it has made
 * already, if they are more), or at a higher `stopScore`. A lower one may have been reached by a look that nothing confirmed.
 *
 * @throws UsageError for other settings, and for a lower `stopScore`
 */
export function extendConfig(config: EnvironmentConfig, set: readonly string[]): EnvironmentConfig {
  const settings = set.map(parseSetting).reduce(merge, {});
  const other = set.find((setting) => !EXTENSIBLE.includes(setting.split("=")[0] ?? ""));
  if (other !== undefined)
    throw new UsageError(
      "--set",
      `${other} cannot be given with --resume; ${EXTENSIBLE.join(" and ")} say when a training ends`,
    );
  const changed = validate(environmentConfigSchema, merge(config, settings));
  if (typeof changed === "string") throw new UsageError("--set", changed);
  const { stopScore } = config.teacher;
  if (changed.teacher.stopScore < stopScore) {
    const advice = "it can be raised; to end a training, lower teacher.totalSteps";
    throw new UsageError("--set", `teacher.stopScore was ${stopScore}: ${advice}`);
  }
  return changed;
}

/** What a run is about, in a word: its environment's id, or the name of its file of observations. */
export function subjectOf(config: Config): string {
  return "environment" in config ? config.environment : basename(config.observations.file);
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
  const onObservations = OPEN_OBJECT.safeParse(raw).data?.["observations"] !== undefined;
  const config = validate<Config>(onObservations ? observationConfigSchema : environmentConfigSchema, raw);
  if (typeof config === "string") throw new FileError(path, `is not a configuration of this version: ${config}`);
  return config;
}

/** Ids with their presets, for `pops environments`. */
export function listEnvironments(): { id: string; presets: string[] }[] {
  return environmentIds().map((id) => ({ id, presets: presetNames(id) }));
}

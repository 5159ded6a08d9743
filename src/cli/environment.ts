import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { checkEnvironment } from "../environment/check.ts";
import type { EnvironmentSpec } from "../environment/environment.ts";
import {
  type GymnasiumOptions,
  type GymnasiumReference,
  gymnasiumSchema,
  isInPython,
} from "../environment/gymnasium-protocol.ts";
import { EXPORT, importEnvironment, isModule } from "../environment/module.ts";
import { type OpenEnvironment, openEnvironment } from "../environment/open.ts";
import { environmentIds, register, specOf } from "../environment/registry.ts";
import { guarded } from "../environment/vector.ts";
import { EnvironmentError, reasonOf, UsageError } from "../errors.ts";
import { readBounded } from "../files.ts";
import { type AnyPolicy, MAX_WORDS, MAX_WRAPPERS, type Policy } from "../network/policy.ts";
import { sha256 } from "../seal.ts";
import { admit } from "./strays.ts";
import { shellWord } from "./terminal.ts";

/** What the command line says of an environment beside its id. */
export interface EnvironmentFlags {
  readonly envModule?: string;
  readonly envKwargs?: string;
  readonly envWrapper?: readonly string[];
  readonly envTimeout?: number;
  readonly workers?: number;
}

/** Those that decide what is played, by their names on the command line. */
const DECIDING = { envModule: "--env-module", envKwargs: "--env-kwargs", envWrapper: "--env-wrapper" } as const;

/** The first option that decides what is played, if any is given. */
export function givenOption(flags: EnvironmentFlags): string | undefined {
  const key = (["envModule", "envKwargs", "envWrapper"] as const).find((name) => flags[name] !== undefined);
  return key && DECIDING[key];
}

function parameters(option: string, text: string): GymnasiumOptions["kwargs"] {
  if (text.length > MAX_WORDS) throw new UsageError(option, `is longer than ${MAX_WORDS} characters`);
  try {
    const parsed = gymnasiumSchema.shape.kwargs.safeParse(JSON.parse(text));
    if (parsed.success) return parsed.data;
  } catch (error) {
    // Not JSON, or nested so deeply that the stack ends.
    throw new UsageError(option, `${text} is not JSON (${reasonOf(error)}): give an object, {"name":value}`, {
      cause: error,
    });
  }
  throw new UsageError(option, `${text} is no object: give one, {"name":value}`);
}

/** `Name`, or `Name={"argument":value}`. */
function wrapper(text: string): GymnasiumOptions["wrappers"][number] {
  const [, name = "", json] = /^([^=]*)(?:=(.*))?$/s.exec(text) ?? [];
  return { name, kwargs: json === undefined ? {} : parameters(DECIDING.envWrapper, json) };
}

/** How an environment of Gymnasium's is made; `undefined` for one of the package's or the user's own. */
function gymnasiumOf(environment: string, flags: EnvironmentFlags): GymnasiumReference | undefined {
  if (!isInPython(environment)) {
    const given = givenOption(flags) ?? (flags.envTimeout === undefined ? undefined : "--env-timeout");
    if (given !== undefined) {
      const hint = isModule(environment) ? "" : `: did you mean gymnasium:${environment}?`;
      throw new UsageError(given, `is for environments of Python's Gymnasium${hint}`);
    }
    return undefined;
  }
  const { envModule: module, envKwargs, envWrapper = [], envTimeout: timeout, workers: processes } = flags;
  if (envWrapper.length > MAX_WRAPPERS)
    throw new UsageError(DECIDING.envWrapper, `is given over ${MAX_WRAPPERS} times`);
  return {
    ...(module !== undefined && { module }),
    kwargs: envKwargs === undefined ? {} : parameters(DECIDING.envKwargs, envKwargs),
    wrappers: envWrapper.map(wrapper),
    timeout,
    processes,
  };
}

/** A module of the user's own that has been run. */
export interface OwnModule {
  readonly path: string;
  readonly url: string;
  /** Of the file itself, not of what it imports. */
  readonly sha256: string;
}

/** What is known of an environment before it is played. */
export interface KnownEnvironment {
  /** Its `id` names the environment from here on. */
  readonly spec: EnvironmentSpec;
  /** How it is made, with its spaces and versions: what a configuration holds of it. */
  readonly gymnasium?: GymnasiumOptions;
  readonly module?: OwnModule;
}

type OwnEnvironment = KnownEnvironment & { readonly module: OwnModule };

const MAX_MODULE_BYTES = 10_000_000;

/** SHA-256 of a module's file. */
export function digestOf(path: string): string {
  return sha256(readBounded(path, MAX_MODULE_BYTES));
}

/** By URL: what is looked at twice is run once. */
const own = new Map<string, OwnEnvironment>();

/**
 * Runs a module of the user's own, checks the environment that it exports, and makes it known by the id of its spec.
 * @throws FileError when there is no such file
 * @throws EnvironmentError when it fails, exports none, or the environment breaks its contract
 * @throws UsageError when the id is taken
 */
export async function ownEnvironment(path: string): Promise<OwnEnvironment> {
  const url = pathToFileURL(resolve(path)).href;
  const before = own.get(url);
  if (before) return before;
  const sha256 = digestOf(path);
  admit(path);
  const made = await importEnvironment(url, path);
  if (made === undefined) throw new EnvironmentError(path, `has no default export: ${EXPORT}`);
  const problems = checkEnvironment(made.create);
  if (problems.length > 0) {
    const list = problems.map((problem, i) => (problems.length > 1 ? `(${i + 1}) ${problem}` : problem));
    throw new EnvironmentError(path, `breaks the contract of environments: ${list.join(" ")}`);
  }
  const { spec } = guarded(path, () => made.create());
  register({ ...made, spec });
  const known = { spec, module: { path, url, sha256 } };
  own.set(url, known);
  return known;
}

/**
 * Looks at an environment that the command line names: a module is run and checked, for one of Gymnasium's a Python process
 * is started and ended.
 * @throws UsageError when there is none of that id, or the flags are wrong
 */
export async function knownEnvironment(environment: string, flags: EnvironmentFlags): Promise<KnownEnvironment> {
  const reference = gymnasiumOf(environment, flags);
  if (isModule(environment)) return ownEnvironment(environment);
  if (/^\.{0,2}[\\/]/.test(environment)) {
    const advice = "those in Python are named gymnasium:<id>, with --env-module";
    throw new UsageError("environment", `${environment} is no module (.ts, .mts, .js, .mjs); ${advice}`);
  }
  if (reference === undefined) return { spec: specOf(environment) };
  const opened = await openEnvironment(environment, { workers: 1, gymnasium: { ...reference, processes: 1 } });
  await opened.close();
  const { module, kwargs, wrappers } = reference;
  const made = { ...(module !== undefined && { module }), kwargs, wrappers };
  return { spec: opened.spec, gymnasium: gymnasiumSchema.parse({ ...made, ...opened.gymnasium }) };
}

/**
 * The environment that `--env` names, if it names one, where nothing else could.
 * @throws UsageError as `knownEnvironment`, and when options say how one is made that is not named
 */
export async function namedEnvironment(
  flags: EnvironmentFlags & { readonly env?: string },
): Promise<KnownEnvironment | undefined> {
  if (flags.env !== undefined) return knownEnvironment(flags.env, flags);
  const option = givenOption(flags);
  if (option !== undefined) throw new UsageError(option, "is for an environment: name it with --env");
  return undefined;
}

/**
 * Opens an environment that the command line names.
 * @throws as `knownEnvironment` does
 */
export async function openNamed(environment: string, flags: EnvironmentFlags): Promise<OpenEnvironment> {
  const gymnasium = gymnasiumOf(environment, flags);
  const { workers = availableParallelism() } = flags;
  if (!isModule(environment)) return openEnvironment(environment, { workers, gymnasium });
  const { spec, module } = await ownEnvironment(environment);
  return openEnvironment(spec.id, { workers, modules: [module.url] });
}

/** How an environment of Gymnasium's was made, as a policy's file says it: in the words of the options. */
export function wordsOf(gymnasium: GymnasiumOptions | undefined): Pick<Policy, "gymnasium"> {
  if (!gymnasium) return {};
  const { module, kwargs, wrappers } = gymnasium;
  const given = (values: GymnasiumOptions["kwargs"]): boolean => Object.keys(values).length > 0;
  const words = {
    ...(module !== undefined && { module }),
    ...(given(kwargs) && { kwargs: JSON.stringify(kwargs) }),
    ...(wrappers.length > 0 && {
      wrappers: wrappers.map(({ name, kwargs }) => (given(kwargs) ? `${name}=${JSON.stringify(kwargs)}` : name)),
    }),
  };
  return Object.keys(words).length > 0 ? { gymnasium: words } : {};
}

/** Whether there is a text among the values, at whatever depth. */
function hasText(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).some(hasText);
  return typeof value === "string";
}

/**
 * The environment that a policy's file names, and the options for it: those of the command line, and of the file where the
 * command line says nothing. A file makes no code run and names no path: modules, texts in arguments, and environments of the
 * user's own have to be given.
 * @throws UsageError when it names none that is known here, or one that needs such an option
 */
export function environmentOf<Flags extends EnvironmentFlags>(
  policy: AnyPolicy,
  file: string,
  flags: Flags,
): [string, Flags] {
  const { environment, gymnasium: words } = policy;
  if (environment === undefined) throw new UsageError("--env", `${file} names no environment: state one`);
  if (!isInPython(environment) && !environmentIds().includes(environment)) {
    const advice = "name its module, --env ./my-env.ts, or another environment";
    throw new UsageError("--env", `${file} is for "${environment}", which is not one of PoPS' own: ${advice}`);
  }
  if (words === undefined) return [environment, flags];
  const { module, kwargs, wrappers } = words;
  const refuse = (option: string, text: string): never => {
    const advice = "a file does not decide what is run: give it, or state the environment anew with --env";
    throw new UsageError(option, `${file} is for ${environment} made with ${option} ${shellWord(text)}; ${advice}`);
  };
  if (module !== undefined && flags.envModule === undefined) refuse(DECIDING.envModule, module);
  if (kwargs !== undefined && flags.envKwargs === undefined && hasText(parameters(DECIDING.envKwargs, kwargs)))
    refuse(DECIDING.envKwargs, kwargs);
  const texts = (flags.envWrapper ? [] : (wrappers ?? [])).filter((text) => hasText(wrapper(text).kwargs));
  if (texts[0] !== undefined) refuse(DECIDING.envWrapper, texts[0]);
  const said = { ...(kwargs !== undefined && { envKwargs: kwargs }), ...(wrappers && { envWrapper: wrappers }) };
  return [environment, { ...said, ...flags }];
}

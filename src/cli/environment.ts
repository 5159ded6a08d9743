import type { EnvironmentSpec } from "../environment/environment.ts";
import {
  type GymnasiumOptions,
  type GymnasiumReference,
  gymnasiumSchema,
  isInPython,
} from "../environment/gymnasium-protocol.ts";
import { openEnvironment } from "../environment/open.ts";
import { specOf } from "../environment/registry.ts";
import { reasonOf, UsageError } from "../errors.ts";

/** What the command line says of an environment beside its id. */
export interface EnvironmentFlags {
  readonly envModule?: string;
  readonly envKwargs?: string;
  readonly envWrapper?: readonly string[];
  readonly envTimeout?: number;
}

/** Those that decide what is played, by their names on the command line. */
const DECIDING = { envModule: "--env-module", envKwargs: "--env-kwargs", envWrapper: "--env-wrapper" } as const;

/** The first option that decides what is played, if any is given. */
export function givenOption(flags: EnvironmentFlags): string | undefined {
  const key = (["envModule", "envKwargs", "envWrapper"] as const).find((name) => flags[name] !== undefined);
  return key && DECIDING[key];
}

function parameters(option: string, text: string): GymnasiumOptions["kwargs"] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(option, `${text} is not JSON (${reasonOf(error)}): give an object, {"name":value}`, {
      cause: error,
    });
  }
  const parsed = gymnasiumSchema.shape.kwargs.safeParse(value);
  if (!parsed.success) throw new UsageError(option, `${text} is no object: give one, {"name":value}`);
  return parsed.data;
}

/** `Name`, or `Name={"argument":value}`. */
function wrapper(text: string): GymnasiumOptions["wrappers"][number] {
  const [, name = "", json] = /^([^=]*)(?:=(.*))?$/s.exec(text) ?? [];
  return { name, kwargs: json === undefined ? {} : parameters(DECIDING.envWrapper, json) };
}

/** How an environment of Gymnasium's is made; `undefined` for one of the package's or the user's own. */
export function gymnasiumOf(environment: string, flags: EnvironmentFlags): GymnasiumReference | undefined {
  if (!isInPython(environment)) {
    const given = givenOption(flags) ?? (flags.envTimeout === undefined ? undefined : "--env-timeout");
    if (given !== undefined) {
      throw new UsageError(given, `is for environments of Python's Gymnasium: did you mean gymnasium:${environment}?`);
    }
    return undefined;
  }
  const { envModule: module, envKwargs, envWrapper = [], envTimeout: timeout } = flags;
  return {
    ...(module !== undefined && { module }),
    kwargs: envKwargs === undefined ? {} : parameters(DECIDING.envKwargs, envKwargs),
    wrappers: envWrapper.map(wrapper),
    ...(timeout !== undefined && { timeout }),
  };
}

/** What is known of an environment before it is played. */
export interface KnownEnvironment {
  readonly spec: EnvironmentSpec;
  /** How it is made, with its spaces and versions: what a configuration holds of it. */
  readonly gymnasium?: GymnasiumOptions;
}

/**
 * Looks at an environment; for one of Gymnasium's a Python process is started and ended.
 * @throws UsageError when there is none of that id, or the flags are wrong
 */
export async function knownEnvironment(environment: string, flags: EnvironmentFlags): Promise<KnownEnvironment> {
  const reference = gymnasiumOf(environment, flags);
  if (reference === undefined) return { spec: specOf(environment) };
  const opened = await openEnvironment(environment, { workers: 1, gymnasium: reference });
  await opened.close();
  const { module, kwargs, wrappers } = reference;
  const made = { ...(module !== undefined && { module }), kwargs, wrappers };
  return { spec: opened.spec, gymnasium: gymnasiumSchema.parse({ ...made, ...opened.gymnasium }) };
}

/** What this program and the Python process of the Gymnasium bridge (`gymnasium-bridge.py`) say to each other. */

import { z } from "zod";
import { EnvironmentError, type PopsError, UsageError } from "../errors.ts";
import { sha256 } from "../seal.ts";
import type { BoxSpace, EnvironmentSpec, Space } from "./environment.ts";
import { nearest } from "./nearest.ts";
import { sizeOf } from "./spaces.ts";

/** Ids that begin so are Python Gymnasium's, and games of the Arcade Learning Environment, which are preprocessed here. */
const GYMNASIUM = "gymnasium:";
const ALE = "ale:";

const parametersSchema = z.record(z.string(), z.json());

/** How an environment is made, beside its id: plain data, for configurations and threads. */
export const gymnasiumSchema = z.strictObject({
  /** Python module that registers the environment when it is imported. */
  module: z.string().optional(),
  /** Keyword arguments of `gymnasium.make`. */
  kwargs: parametersSchema.default({}),
  /** Wrappers of `gymnasium.wrappers`, the innermost first. */
  wrappers: z.array(z.strictObject({ name: z.string(), kwargs: parametersSchema.default({}) })).default([]),
  /** The spaces that it had when a run began, as `fingerprintOf` has them: others are refused. */
  spaces: z.strictObject({ observation: z.string(), action: z.string() }).optional(),
  /** Versions then, for people to see. */
  versions: z.record(z.string(), z.string()).optional(),
});

export type GymnasiumOptions = z.infer<typeof gymnasiumSchema>;

/** The id that Gymnasium knows; `undefined` when the environment is not Gymnasium's. */
export function gymnasiumId(environment: string): string | undefined {
  return environment.startsWith(GYMNASIUM) ? environment.slice(GYMNASIUM.length) : undefined;
}

/** The name of a game of ALE's, for example `MsPacman`; `undefined` when the environment is none. */
export function aleGame(environment: string): string | undefined {
  return environment.startsWith(ALE) ? environment.slice(ALE.length) : undefined;
}

/** Whether the environment is played in a Python process. */
export function isInPython(environment: string): boolean {
  return gymnasiumId(environment) !== undefined || aleGame(environment) !== undefined;
}

/** How an environment of Gymnasium's is made and waited for: what a plan says of it. */
export interface GymnasiumReference extends Partial<Omit<GymnasiumOptions, "wrappers">> {
  readonly wrappers?: readonly Partial<GymnasiumOptions["wrappers"][number]>[] | undefined;
  /** Seconds that a Python process may take for an answer; 60 if not given. */
  readonly timeout?: number | undefined;
  /**
   * Processes that share the lanes; their number never changes a result. If not given, as many as `workers` where observations
   * have several dimensions, since to draw pictures takes longer than to hand them over, else one.
   */
  readonly processes?: number | undefined;
}

/** How a Python process is to play a game of ALE's. */
export interface GameRequest {
  readonly name: string;
  /** Places in the game's minimal set of actions; all of it if `null`. */
  readonly actions: readonly number[] | null;
  /** Whether FIRE is pressed at the beginning; where it is among the actions if `null`. */
  readonly fire: boolean | null;
  /** Frames a step. */
  readonly skip: number;
  /** Steps after which an episode is truncated. */
  readonly limit: number;
  /** With what probability a frame repeats the action of the one before. */
  readonly sticky: number;
}

/** The first request, in JSON. `module:id` as Gymnasium takes it is refused: a policy file must not name what is imported. */
export function openRequest(
  environment: string,
  reference: GymnasiumReference,
  game: GameRequest | undefined,
): Uint8Array {
  const { module, kwargs = {}, wrappers = [] } = reference;
  const id = gymnasiumId(environment) ?? "";
  if (id.includes(":")) {
    throw new UsageError("environment", `"${id}" names a module: give it with --env-module, and here the id alone`);
  }
  if (module !== undefined && !/^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*$/.test(module)) {
    throw new UsageError("--env-module", `"${module}" is no module's name: give it as Python's import takes it`);
  }
  if (module?.endsWith(".py")) {
    throw new UsageError("--env-module", `"${module}" is a file's name: Python imports it as "${module.slice(0, -3)}"`);
  }
  const text = JSON.stringify({
    id,
    module: module ?? null,
    kwargs,
    wrappers: wrappers.map(({ name, kwargs = {} }) => ({ name, kwargs })),
    game: game ?? null,
  });
  return request(OPEN, 0, new TextEncoder().encode(text));
}

/** Operations of requests. */
const OPEN = 0;
export const CREATE = 1;
export const RESET = 2;
export const STEP = 3;
export const CLOSE = 4;
/** Bytes in front of a request: length of what follows, operation, number of the vector. */
export const REQUEST_BYTES = 12;
/** Bytes in front of an answer: length of what follows, and its kind. */
export const ANSWER_BYTES = 8;
/** Kinds of answers: what was asked for, a refusal, and one that another answer follows without a request. */
export const REFUSED = 1;
export const FOLLOWED = 2;
/** What a step does with a lane besides nothing: a step, or a step and, when that ends the episode, the next one's beginning. */
export const PLAY = 1;
export const PLAY_ON = 2;
/** Flags of a lane after a step. */
export const TERMINATED = 1;
export const TRUNCATED = 2;
export const LIFE_LOST = 4;

/** A request with its head; without a content it has none. */
export function request(operation: number, vector: number, content = new Uint8Array()): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(REQUEST_BYTES + content.length);
  const head = new DataView(frame.buffer);
  head.setUint32(0, content.length, true);
  head.setUint32(4, operation, true);
  head.setUint32(8, vector, true);
  frame.set(content, REQUEST_BYTES);
  return frame;
}

/** The request to make the lanes of a vector, whose observations go to a place in shared memory, if one is given. */
export function creationRequest(vector: number, lanes: number, place: number | undefined): Uint8Array {
  const content = new DataView(new ArrayBuffer(12));
  content.setUint32(0, lanes, true);
  content.setBigInt64(4, BigInt(place ?? -1), true);
  return request(CREATE, vector, new Uint8Array(content.buffer));
}

const count = z.number().int().min(1);
/** One number where all are the same, `null` for infinity. */
const boundsSchema = z.union([z.number(), z.null(), z.array(z.number().nullable())]);
const boxSchema = z.object({
  kind: z.literal("box"),
  shape: z.array(count).min(1),
  dtype: z.string(),
  low: boundsSchema,
  high: boundsSchema,
});
const openedSchema = z.object({
  versions: z.record(z.string(), z.string()),
  observation: boxSchema,
  /** Of which an observation is a stack, along its first axis. */
  frames: count,
  action: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("discrete"), n: count, start: z.number().int() }),
    boxSchema,
  ]),
  maxEpisodeSteps: count.nullable(),
  rewardThreshold: z.number().nullable(),
  /** At the beginning of a game. */
  lives: z.number().int().min(0),
});

/** What a Python process says of its environment. */
export type Opened = z.infer<typeof openedSchema>;

const index = z.number().int().min(0);
const whereaboutsSchema = z.object({ operation: index, vector: index, lane: index });

/** Where a Python process is: what it does, and for which lane of its share of a vector. */
export type Whereabouts = z.infer<typeof whereaboutsSchema>;

/** Bytes of `whereaboutsOf`. */
export const WHEREABOUTS_BYTES = 12;

/** What is in shared memory. */
export function whereaboutsOf(bytes: Uint8Array): Whereabouts {
  const [operation = 0, vector = 0, lane = 0] = new Uint32Array(bytes.slice().buffer);
  return { operation, vector, lane };
}

/** A request that was not granted. `kind` says where the fault is. */
const refusalSchema = z.object({
  kind: z.enum(["python", "id", "module", "kwargs", "wrapper", "spaces", "environment"]),
  message: z.string(),
  names: z.array(z.string()),
  at: whereaboutsSchema,
  traceback: z.string(),
});

export type Refusal = z.infer<typeof refusalSchema>;

function parse<Value>(environment: string, schema: z.ZodType<Value>, bytes: Uint8Array): Value {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new EnvironmentError(environment, "its Python process answered with something that is not JSON");
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new EnvironmentError(
    environment,
    `its Python process answered what it must not: ${z.prettifyError(parsed.error)}`,
  );
}

export function parseOpened(environment: string, bytes: Uint8Array): Opened {
  return parse(environment, openedSchema, bytes);
}

export function parseRefusal(environment: string, bytes: Uint8Array): Refusal {
  return parse(environment, refusalSchema, bytes);
}

const FIELDS = {
  python: "POPS_PYTHON",
  id: "environment",
  module: "--env-module",
  kwargs: "--env-kwargs",
  wrapper: "--env-wrapper",
  spaces: "environment",
} as const;

/** The error that a refusal stands for. */
export function errorOfRefusal(environment: string, refusal: Refusal, where = ""): PopsError {
  const { kind, message, names } = refusal;
  const options = { cause: refusal.traceback };
  if (kind === "environment") return new EnvironmentError(environment, `${where}${message}`, options);
  if (kind === "spaces") return new UsageError(FIELDS[kind], `${environment}: its ${message}`, options);
  const [prefix, name] = environment.split(/(?<=:)/, 2);
  const meant = nearest((kind === "id" ? name : message.split(" ")[0]) ?? "", names);
  if (kind === "id" && meant !== undefined) {
    return new UsageError(FIELDS[kind], `there is no environment "${environment}"; did you mean "${prefix}${meant}"?`);
  }
  const unknown = kind === "id" ? "; if a package of its own registers it, name that with --env-module" : "";
  const hint = meant === undefined ? unknown : `; did you mean "${meant}"?`;
  return new UsageError(FIELDS[kind], `${message}${hint}`, options);
}

type WireBox = z.infer<typeof boxSchema>;

function boxOf({ shape, dtype, low, high }: WireBox): BoxSpace {
  const size = sizeOf({ kind: "box", shape, low: [], high: [] });
  const expand = (bounds: WireBox["low"], infinity: number): number[] => {
    const numbers = Array.isArray(bounds) ? bounds : Array.from({ length: size }, () => bounds);
    return numbers.map((bound) => Math.fround(bound ?? infinity));
  };
  return {
    kind: "box",
    shape,
    low: expand(low, Number.NEGATIVE_INFINITY),
    high: expand(high, Number.POSITIVE_INFINITY),
    ...(dtype !== "float32" && { dtype }),
  };
}

/** Whether observations travel as bytes, or else as float32 numbers. */
export function isBytes({ dtype }: Opened["observation"]): boolean {
  return dtype === "uint8";
}

export function specOfOpened(environment: string, { observation, frames, action, ...limits }: Opened): EnvironmentSpec {
  const actionSpace: Space = action.kind === "box" ? boxOf(action) : { kind: "discrete", n: action.n };
  const observationSpace = boxOf(observation);
  for (const { shape, low, high } of [observationSpace, ...(actionSpace.kind === "box" ? [actionSpace] : [])]) {
    const size = sizeOf({ kind: "box", shape, low, high });
    if (low.length !== size || high.length !== size) {
      throw new EnvironmentError(environment, `a space of shape [${shape.join(", ")}] has ${low.length} bounds`);
    }
  }
  return {
    id: environment,
    observationSpace,
    actionSpace,
    maxEpisodeSteps: limits.maxEpisodeSteps ?? undefined,
    rewardThreshold: limits.rewardThreshold ?? undefined,
    ...(isBytes(observation) && { frameStack: frames }),
  };
}

/** Spaces in few words that are equal when the spaces are. */
export function fingerprintOf({ observation, action }: Opened): NonNullable<GymnasiumOptions["spaces"]> {
  const ofBox = ({ shape, dtype, low, high }: WireBox): string => {
    const digest = sha256(JSON.stringify([low, high])).slice(0, 16);
    return `${dtype} [${shape.join(", ")}], bounds ${digest}`;
  };
  const ofAction = action.kind === "box" ? ofBox(action) : `${action.n} choices from ${action.start}`;
  return { observation: ofBox(observation), action: ofAction };
}

/** @throws EnvironmentError when the spaces are others than those that are expected. */
export function checkSpaces(environment: string, opened: Opened, expected: GymnasiumOptions["spaces"]): void {
  if (expected === undefined) return;
  const found = fingerprintOf(opened);
  for (const part of ["observation", "action"] as const) {
    if (found[part] === expected[part]) continue;
    const { versions } = opened;
    const by = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
    throw new EnvironmentError(
      environment,
      `its ${part} space is ${found[part]} now (${by.join(", ")}), it was ${expected[part]}: ` +
        "use the versions of then, or begin a new run",
    );
  }
}

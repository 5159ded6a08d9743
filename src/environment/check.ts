import { reasonOf } from "../errors.ts";
import { type Pcg64, stream } from "../random/pcg64.ts";
import type { Action, BoxSpace, Environment, EnvironmentSpec, Space } from "./environment.ts";
import { sizeOf } from "./spaces.ts";
import { placeOf } from "./vector.ts";

/** Steps of random play that are inspected. */
const INSPECTED_STEPS = 1000;
/** Random steps after which an episode that may go on for ever counts as endless. */
const ENDLESS_STEPS = 10_000;
/** Random steps that are played twice when a seed or a saved state has to reproduce them. */
const REPLAYED_STEPS = 50;
/** Of observations and actions. */
const MAX_DIMENSIONS = 4;
/** What names of run folders are made of, too. */
const ID = /^[\w.-][\w./-]{0,99}$/;

/** Problems found so far, the first of each kind: one fault repeats at every step. */
type Problems = Map<string, string>;

function report(problems: Problems, kind: string, sentence: string): void {
  if (!problems.has(kind)) problems.set(kind, sentence);
}

/**
 * Checks a user's environment against the contract of `Environment`, as Gymnasium's and Stable-Baselines3's checkers do.
 * Returns one sentence a problem, that says what is wrong and what to change; none means that all is well. Plays some
 * thousand random steps at most; the same environment always gives the same list.
 * @param create Makes a new environment at each call, as given to `register`: without its time limit.
 */
export function checkEnvironment(create: () => Environment): string[] {
  const problems: Problems = new Map();
  const attempt = (what: string, check: (create: () => Environment, problems: Problems) => void): void => {
    try {
      check(create, problems);
    } catch (error) {
      const thrown = `"${reasonOf(error)}"${placeOf(error)}`;
      report(problems, what, `${what} threw ${thrown}; it must not throw when it is used as documented`);
    }
  };
  attempt("create()", () => {
    const environment: unknown = create();
    checkParts(environment, problems);
    if (problems.size === 0) checkSpec((environment as Environment).spec, problems);
    // Each stage relies on the ones before it: what it found after their faults would be their consequences.
    const stages = [
      ["reset() or step()", checkPlay],
      ["reset() or step()", checkSeeds],
      ["getState() or setState()", checkStates],
    ] as const;
    for (const [what, check] of stages) {
      if (problems.size === 0) attempt(what, check);
    }
  });
  return [...problems.values()];
}

/** A program in plain JavaScript may give anything. */
function checkParts(environment: unknown, problems: Problems): void {
  if (!isObject(environment)) {
    report(problems, "parts", `create() gives ${String(environment)}; let it give an environment`);
    return;
  }
  if (environment instanceof Promise) {
    report(problems, "parts", "create() gives a promise; let it give an environment at once");
    return;
  }
  const missing = ["reset", "step", "getState", "setState"].filter((name) => typeof environment[name] !== "function");
  if (!isObject(environment["spec"])) missing.unshift("spec");
  if (missing.length === 0) return;
  report(problems, "parts", `the environment has no ${missing.join(", ")}; give it all parts of Environment`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function checkSpec(spec: EnvironmentSpec, problems: Problems): void {
  const id: unknown = spec.id;
  if (typeof id !== "string" || !ID.test(id)) {
    const given = id === "" ? "empty" : String(id);
    report(
      problems,
      "id",
      `spec.id is ${given}; give the environment a name such as MyTask-v0: letters, digits, - _ . /`,
    );
  }
  const { maxEpisodeSteps: limit, rewardThreshold: threshold } = spec;
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1)) {
    report(
      problems,
      "limit",
      `spec.maxEpisodeSteps is ${limit}; make it a positive integer, or undefined for no limit`,
    );
  }
  if (threshold !== undefined && !Number.isFinite(threshold)) {
    report(problems, "threshold", `spec.rewardThreshold is ${threshold}; make it a finite number, or undefined`);
  }
  const kindOf = (space: unknown): unknown => (isObject(space) ? space["kind"] : space);
  const kind = kindOf(spec.observationSpace);
  if (kind === "box") checkBox("observationSpace", spec.observationSpace, problems);
  else report(problems, "box", `spec.observationSpace.kind is ${String(kind)}; make it box, with shape, low and high`);
  if (spec.frameStack !== undefined) checkFrames(spec.frameStack, spec.observationSpace, problems);
  const { actionSpace } = spec;
  const acting = kindOf(actionSpace);
  if (acting !== "box" && acting !== "discrete") {
    report(problems, "actions", `spec.actionSpace.kind is ${String(acting)}; make it discrete, with n, or box`);
  } else if (actionSpace.kind === "box") {
    checkBox("actionSpace", actionSpace, problems);
  } else if (!(Number.isInteger(actionSpace.n) && actionSpace.n >= 1)) {
    report(problems, "actions", `spec.actionSpace.n is ${actionSpace.n}; make it a positive integer`);
  }
}

function checkFrames(frames: number, space: unknown, problems: Problems): void {
  const shape = isObject(space) ? space["shape"] : undefined;
  const first: unknown = Array.isArray(shape) ? shape[0] : undefined;
  if (typeof first === "number" && Number.isInteger(first / frames)) return;
  const advice = "make it a divisor, or leave frameStack out";
  report(problems, "frames", `spec.frameStack is ${frames}, the observation's first axis ${String(first)}; ${advice}`);
}

function checkBox(name: "observationSpace" | "actionSpace", space: BoxSpace, problems: Problems): void {
  const { shape, low, high } = space;
  const lists: unknown[] = [shape, low, high];
  if (!lists.every(Array.isArray)) {
    report(problems, name, `spec.${name} has no shape, low and high; make it with box(low, high, shape)`);
    return;
  }
  if (
    shape.length === 0 ||
    shape.length > MAX_DIMENSIONS ||
    shape.some((size) => !(Number.isInteger(size) && size >= 1))
  ) {
    report(
      problems,
      name,
      `spec.${name}.shape is [${shape.join(", ")}]; make it a list of 1 to ${MAX_DIMENSIONS} positive integers`,
    );
    return;
  }
  const size = sizeOf(space);
  if (low.length !== size || high.length !== size) {
    report(
      problems,
      name,
      `spec.${name} has shape [${shape.join(", ")}] but ${low.length} low and ${high.length} high bounds; give ${size} of each`,
    );
    return;
  }
  // A policy's actions are limited to their bounds, so these have to be finite and apart.
  const acts = name === "actionSpace";
  const right = (low: number, high: number): boolean =>
    acts ? Number.isFinite(high - low) && low < high : low <= high;
  const wrong = low.findIndex((bound, index) => !right(bound, high[index]!));
  if (wrong < 0) return;
  const bounds = `low[${wrong}] = ${low[wrong]} and high[${wrong}] = ${high[wrong]}`;
  const advice = acts
    ? "finite bounds, each low one below its high one"
    : "every low bound a number not above its high bound";
  report(problems, name, `spec.${name} has ${bounds}; make ${advice}`);
}

/** Random play: every observation, reward and flag, and whether episodes end. */
function checkPlay(create: () => Environment, problems: Problems): void {
  const environment = create();
  const { spec } = environment;
  const random = stream(0, "check-environment");
  const frames = new FrameCheck(spec, problems);
  const begin = (observation: Float32Array, where: string): void => {
    checkObservation(spec, observation, where, problems);
    frames.begin(observation, where);
  };
  begin(environment.reset(0), "reset()");
  let elapsed = 0;
  let ended = false;
  for (let step = 1; step <= INSPECTED_STEPS || (!ended && step <= ENDLESS_STEPS); step++) {
    const { observation, reward, terminated, truncated } = environment.step(sample(spec.actionSpace, random));
    checkObservation(spec, observation, `step ${step}`, problems);
    frames.go(observation, `step ${step}`);
    checkReward(reward, step, problems);
    checkFlag("terminated", terminated, step, problems);
    checkFlag("truncated", truncated, step, problems);
    if (problems.size > 0) return;
    elapsed++;
    const limited = spec.maxEpisodeSteps !== undefined && elapsed >= spec.maxEpisodeSteps;
    if (!(terminated || truncated || limited)) continue;
    ended = true;
    elapsed = 0;
    begin(environment.reset(), `the reset() after step ${step}`);
  }
  if (ended || spec.maxEpisodeSteps !== undefined) return;
  report(
    problems,
    "endless",
    `no episode ended in ${ENDLESS_STEPS} random steps; set spec.maxEpisodeSteps, or return terminated or truncated`,
  );
}

/** What `spec.frameStack` says of observations, along an episode; nothing without it. */
class FrameCheck {
  readonly #frames: number;
  readonly #problems: Problems;
  #before = new Float32Array();

  constructor({ frameStack = 0 }: EnvironmentSpec, problems: Problems) {
    this.#frames = frameStack;
    this.#problems = problems;
  }

  begin(observation: Float32Array, where: string): void {
    if (this.#frames === 0) return;
    const size = observation.length / this.#frames;
    if (observation.some((value, index) => value !== observation[index % size])) {
      report(
        this.#problems,
        "frames",
        `the observation of ${where} is not one picture ${this.#frames} times; repeat it`,
      );
    }
    this.#keep(observation, where);
  }

  go(observation: Float32Array, where: string): void {
    if (this.#frames === 0) return;
    const before = this.#before.subarray(observation.length / this.#frames);
    if (before.some((value, index) => value !== observation[index])) {
      const advice = "drop the oldest and add one at the end";
      report(this.#problems, "frames", `the pictures of ${where} are not the last ones moved up by one; ${advice}`);
    }
    this.#keep(observation, where);
  }

  #keep(observation: Float32Array, where: string): void {
    if (observation.some((value) => value !== (value & 255))) {
      report(
        this.#problems,
        "frames",
        `a pixel of ${where} is no whole number from 0 to 255, as spec.frameStack promises`,
      );
    }
    this.#before = observation.slice();
  }
}

function checkObservation(spec: EnvironmentSpec, observation: unknown, where: string, problems: Problems): void {
  const kind = "observation";
  if (!(observation instanceof Float32Array)) {
    const given = observation instanceof Promise ? "a promise, " : "";
    report(problems, kind, `the observation of ${where} is ${given}not a Float32Array; return one`);
    return;
  }
  const { low, high } = spec.observationSpace;
  if (observation.length !== low.length) {
    report(
      problems,
      kind,
      `the observation of ${where} has ${observation.length} numbers, spec.observationSpace has ${low.length}; make them equal`,
    );
    return;
  }
  for (let index = 0; index < observation.length; index++) {
    const value = observation[index]!;
    if (!Number.isFinite(value)) {
      report(problems, kind, `observation[${index}] of ${where} is ${value}; return finite numbers only`);
    } else if (value < Math.fround(low[index]!) || value > Math.fround(high[index]!)) {
      const bounds = `from ${low[index]} to ${high[index]}`;
      report(
        problems,
        kind,
        `observation[${index}] of ${where} is ${value}, not ${bounds}; clip it or widen the space`,
      );
    }
  }
}

function checkReward(reward: unknown, step: number, problems: Problems): void {
  if (typeof reward === "number" && Number.isFinite(reward)) return;
  report(problems, "reward", `the reward of step ${step} is ${String(reward)}; return a finite number`);
}

function checkFlag(name: string, flag: unknown, step: number, problems: Problems): void {
  if (typeof flag === "boolean") return;
  report(problems, name, `${name} of step ${step} is ${String(flag)}; return true or false`);
}

/** The same seed and actions give the same episodes in two environments, whatever happens in the other one. */
function checkSeeds(create: () => Environment, problems: Problems): void {
  const environment = create();
  const twin = create();
  const actions = sampleMany(environment.spec.actionSpace);
  const first = environment.reset(7).slice();
  if (!sameNumbers(first, environment.reset(7))) {
    const advice = "draw all randomness from a generator that reset(seed) makes anew";
    report(problems, "seed", `reset(7) twice gives two different first observations; ${advice}`);
    return;
  }
  const head = actions.slice(0, REPLAYED_STEPS / 2);
  const tail = actions.slice(REPLAYED_STEPS / 2);
  const opening = play(environment, head, 7);
  // Another environment in between must not disturb this one.
  play(twin, actions, 8);
  const played = [...opening, ...play(environment, tail)];
  if (same(played, [...play(twin, head, 7), ...play(twin, tail)])) return;
  const advice =
    "draw all randomness from a generator that reset(seed) makes anew, and share nothing between environments";
  report(problems, "seed", `the same seed and actions give different episodes in two environments; ${advice}`);
}

/** A saved state brings the same future, in the environment that it was taken from and in a new one. */
function checkStates(create: () => Environment, problems: Problems): void {
  const environment = create();
  const actions = sampleMany(environment.spec.actionSpace);
  play(environment, actions.slice(0, 5), 3);
  const state = environment.getState();
  const fault = impurity(state, "getState()");
  if (fault !== undefined) {
    report(problems, "plain", `${fault}; return plain data only: JSON values and typed arrays`);
    return;
  }
  const copy = structuredClone(state);
  const future = play(environment, actions);
  environment.setState(copy);
  if (!same(future, play(environment, actions))) {
    const advice = "save and restore everything that the future depends on, the random generator included";
    report(problems, "state", `after setState(getState()) the same actions lead elsewhere; ${advice}`);
    return;
  }
  const other = create();
  other.setState(copy);
  if (!same(future, play(other, actions))) {
    const advice = "a new environment must need nothing but the saved state to go on";
    report(problems, "state", `setState() on a new environment does not bring the saved future; ${advice}`);
  }
  environment.setState(state);
  if (!same(future, play(environment, actions))) {
    report(problems, "state", "the result of getState() changes with later steps; return copies of buffers");
  }
}

/** Rows of numbers that were to be seen. */
type Outcome = readonly ArrayLike<number>[];

/**
 * Everything that `actions` lead to, from the present state or from `reset(seed)`: observations, rewards, flags, ending
 * with a `reset()`, so that the generator counts too. Resets after each end.
 */
function play(environment: Environment, actions: readonly Action[], seed?: number): Outcome {
  const outcome: ArrayLike<number>[] = seed === undefined ? [] : [environment.reset(seed).slice()];
  for (const action of actions) {
    const step = environment.step(action);
    outcome.push(step.observation.slice(), [step.reward, Number(step.terminated), Number(step.truncated)]);
    if (step.terminated || step.truncated) outcome.push(environment.reset().slice());
  }
  if (seed === undefined) outcome.push(environment.reset().slice());
  return outcome;
}

function same(a: Outcome, b: Outcome): boolean {
  return a.length === b.length && a.every((row, index) => sameNumbers(row, b[index]!));
}

function sameNumbers(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) if (!Object.is(a[index], b[index])) return false;
  return true;
}

function sample(space: Space, random: Pcg64): Action {
  if (space.kind === "discrete") return random.integer(space.n);
  return Float32Array.from(space.low, (low, index) => random.uniform(low, space.high[index]!));
}

function sampleMany(space: Space): Action[] {
  const random = stream(1, "check-environment");
  return Array.from({ length: REPLAYED_STEPS }, () => sample(space, random));
}

/** What in `value` is not plain data, and where; `undefined` when all is. */
function impurity(value: unknown, where: string): string | undefined {
  if (value === null || ["boolean", "string"].includes(typeof value)) return undefined;
  if (typeof value === "number") return Number.isFinite(value) ? undefined : `${where} is ${value}`;
  const arrays = [Float32Array, Float64Array, Int32Array, Uint32Array, Uint8Array];
  if (arrays.some((array) => value instanceof array)) return undefined;
  if (Array.isArray(value)) return firstOf(value.map((item, index) => impurity(item, `${where}[${index}]`)));
  if (typeof value !== "object") return `${where} is ${typeof value}`;
  if (Object.getPrototypeOf(value) !== Object.prototype) return `${where} is an object of a class`;
  return firstOf(Object.entries(value).map(([key, item]) => impurity(item, `${where}.${key}`)));
}

function firstOf(faults: readonly (string | undefined)[]): string | undefined {
  return faults.find((fault) => fault !== undefined);
}

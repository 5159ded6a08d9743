import { z } from "zod";
import { EnvironmentError, reasonOf, UsageError } from "../errors.ts";
import type { Plain } from "../plain.ts";
import { Pcg64 } from "../random/pcg64.ts";
import { notRunning } from "./classic-control.ts";
import type { Action, Environment, Step } from "./environment.ts";
import { Flight, type FlightRandom, type LunarLanderOptions, type Thrust } from "./lunar-lander/flight.ts";
import { renderFlight } from "./lunar-lander/render.ts";
import { box, checkAction, discrete, sizeOf } from "./spaces.ts";
import { parseState, partState } from "./state.ts";
import type { Surface } from "./surface.ts";

const open = Array<number>(8).fill(Infinity);
const unbounded = box(
  open.map((bound) => -bound),
  open,
);
const high = [2.5, 2.5, 10, 10, 2 * Math.PI, 10, 1, 1];
const bounded = box(
  high.map((bound, index) => (index < 6 ? -bound : 0)),
  high,
);

const limits = {
  maxEpisodeSteps: 1000,
  rewardThreshold: 200,
  picture: { width: 600, height: 400, stepsPerSecond: 50 },
};
/** As in gym 0.10.9, on which the paper was run: the task of v3, observations without bounds. */
export const lunarLanderV2 = {
  id: "LunarLander-v2",
  observationSpace: unbounded,
  actionSpace: discrete(4),
  ...limits,
};
export const lunarLanderV3 = {
  id: "LunarLander-v3",
  observationSpace: bounded,
  actionSpace: discrete(4),
  ...limits,
};
export const lunarLanderContinuousV3 = {
  id: "LunarLanderContinuous-v3",
  observationSpace: bounded,
  actionSpace: box([-1, -1], [1, 1]),
  ...limits,
};

type LunarLanderSpec = typeof lunarLanderV3 | typeof lunarLanderContinuousV3;

const index = z.number().int().min(0);
const stateSchema = z.strictObject({
  random: partState,
  seed: index,
  episode: index,
  actions: z.instanceof(Float32Array).nullable(),
});

function thrustOf(action: Action): Thrust {
  if (typeof action === "number") return { main: action === 2 ? 1 : 0, side: action % 2 === 1 ? action - 2 : 0 };
  const main = action[0]!;
  const side = action[1]!;
  return { main: main > 0 ? (main + 1) / 2 : 0, side: Math.abs(side) > 0.5 ? side : 0 };
}

/** @throws UsageError when gravity is not between -12 and 0, or a power is not finite. */
function complete(given: LunarLanderOptions): Required<LunarLanderOptions> {
  const options = { gravity: -10, enableWind: false, windPower: 15, turbulencePower: 1.5, ...given };
  if (!(options.gravity > -12 && options.gravity < 0)) {
    throw new UsageError("gravity", `is ${options.gravity}, expected a number above -12 and below 0`);
  }
  for (const name of ["windPower", "turbulencePower"] as const) {
    if (!Number.isFinite(options[name])) throw new UsageError(name, `is ${options[name]}, expected a finite number`);
  }
  return options;
}

/**
 * Land between two flags. Observation: position relative to the pad, velocity, angle (rad), angular velocity, each in
 * Gymnasium's units, and whether each leg touches the ground. Discrete actions: no engine (0), left (1), main (2), right
 * (3). Continuous ones, both in [-1, 1]: main engine, off up to 0, then 50 to 100 %; side engines, left below -0.5, right
 * above 0.5, else off. Reward: progress in distance, speed and angle to rest on the pad, 10 for each leg on the ground,
 * less 0.3 for a step of the main engine and 0.03 for one of a side engine; -100 for a crash or for leaving sideways,
 * +100 for coming to rest; either ends the episode.
 * Source: Gymnasium 1.3, with Box2D 2.3's solver in double precision instead of single: docs/environments.md.
 */
export class LunarLander implements Environment {
  readonly spec: LunarLanderSpec;
  readonly #options: Required<LunarLanderOptions>;
  readonly #generator: (seed: number) => FlightRandom;
  #random: FlightRandom;
  /** State of the generator before the draws of the present episode. */
  #start: Plain = null;
  #seed = 0;
  /** Episodes since the seed was given. */
  #episode = 0;
  /** All numbers of all actions of the present episode. */
  #actions: number[] = [];
  #flight: Flight | undefined;
  #running = false;

  /**
   * @param generator Source of all draws of a seed; numpy's by default.
   * @throws UsageError when an option is outside its range.
   */
  constructor(
    spec: LunarLanderSpec,
    options: LunarLanderOptions = {},
    generator: (seed: number) => FlightRandom = (seed) => new Pcg64(seed),
  ) {
    this.spec = spec;
    this.#options = complete(options);
    this.#generator = generator;
    this.#random = generator(0);
  }

  reset(seed?: number): Float32Array {
    if (seed !== undefined) {
      this.#random = this.#generator(seed);
      this.#seed = seed;
      this.#episode = 0;
    }
    this.#episode++;
    this.#start = this.#random.getState();
    this.#actions = [];
    // If the start is refused, no episode is under way.
    this.#running = false;
    const flight = this.#guard(() => new Flight(this.#random, this.#options));
    this.#flight = flight;
    this.#checkNumbers(flight.observation, 0);
    this.#running = true;
    return flight.observation;
  }

  step(action: Action): Step {
    const flight = this.#flight;
    if (!this.#running || flight === undefined) throw notRunning(this.spec.id);
    checkAction(this.spec, action);
    if (typeof action === "number") this.#actions.push(action);
    else this.#actions.push(...action);
    const { reward, terminated } = this.#guard(() => flight.advance(thrustOf(action)));
    this.#running = !terminated;
    this.#checkNumbers(flight.observation, reward);
    return { observation: flight.observation, reward, terminated, truncated: false };
  }

  /**
   * The generator's state before the present episode and the actions since: a physics world has no state that could be
   * copied bit by bit, so `setState` plays the episode again. That costs what its steps cost (15 to 30 microseconds
   * each) and 4 bytes an action number.
   */
  getState(): Plain {
    const begun = this.#flight !== undefined;
    return {
      random: begun ? this.#start : this.#random.getState(),
      seed: this.#seed,
      // Counted by the reset that `setState` does.
      episode: begun ? this.#episode - 1 : this.#episode,
      actions: begun ? Float32Array.from(this.#actions) : null,
    };
  }

  setState(state: Plain): void {
    const { random, seed, episode, actions } = parseState(this.spec.id, stateSchema, state);
    const size = sizeOf(this.spec.actionSpace);
    if (actions !== null && actions.length % size !== 0) {
      throw new EnvironmentError(this.spec.id, `a saved state has ${actions.length} numbers for actions of ${size}`);
    }
    // In a generator and a flight of their own: a state that is refused half-way leaves this environment as it was.
    const replayed = new LunarLander(this.spec, this.#options, this.#generator);
    replayed.#random.setState(random);
    replayed.#seed = seed;
    replayed.#episode = episode;
    if (actions !== null) {
      replayed.reset();
      for (let first = 0; first < actions.length; first += size) {
        replayed.step(this.spec.actionSpace.kind === "discrete" ? actions[first]! : actions.slice(first, first + size));
      }
    }
    this.#random = replayed.#random;
    this.#start = replayed.#start;
    this.#seed = seed;
    this.#episode = replayed.#episode;
    this.#actions = replayed.#actions;
    this.#flight = replayed.#flight;
    this.#running = replayed.#running;
  }

  /** Draws nothing before the first reset. */
  render(surface: Surface): void {
    if (this.#flight !== undefined) renderFlight(surface, this.#flight.craft, this.#flight.thrust);
  }

  /** planck may break on numbers that are not finite. */
  #guard<Result>(run: () => Result): Result {
    try {
      return run();
    } catch (error) {
      throw this.#broken(`the physics failed: ${reasonOf(error)}`, error);
    }
  }

  #checkNumbers(observation: Float32Array, reward: number): void {
    if (Number.isFinite(reward) && observation.every(Number.isFinite)) return;
    throw this.#broken(`observation [${observation.join(", ")}] and reward ${reward}, expected finite numbers`);
  }

  #broken(what: string, cause?: unknown): EnvironmentError {
    this.#running = false;
    const step = this.#actions.length / sizeOf(this.spec.actionSpace);
    const place = `step ${step} of episode ${this.#episode} since seed ${this.#seed}`;
    return new EnvironmentError(this.spec.id, `${place}: ${what}`, { cause });
  }
}

import { z } from "zod";
import { EnvironmentError } from "../errors.ts";
import type { Plain } from "../plain.ts";
import { Pcg64 } from "../random/pcg64.ts";
import type { Action, Environment, EnvironmentSpec, Step } from "./environment.ts";
import { checkAction, sizeOf } from "./spaces.ts";
import { float64, parseState, partState } from "./state.ts";
import type { Surface } from "./surface.ts";

/**
 * What Gymnasium's classic-control tasks share: a few float64 state variables, actions of one number (a choice or a
 * box of one), float32 observations, a PCG64 generator that only `reset` draws from. The time limit is the business of `TimeLimit`.
 */
export abstract class ClassicControl implements Environment {
  readonly spec: EnvironmentSpec;
  /** The state variables. */
  protected readonly state: Float64Array;
  protected readonly observation: Float32Array;
  #random = new Pcg64(0);
  /** Whether `step` is allowed: from `reset` to the end of the episode. */
  #running = false;

  constructor(spec: EnvironmentSpec, variables: number) {
    this.spec = spec;
    this.state = new Float64Array(variables);
    this.observation = new Float32Array(sizeOf(spec.observationSpace));
  }

  /** Sets the state variables to a start state. */
  protected abstract begin(random: Pcg64): void;
  /** Advances the state variables by one step with a choice or a number of the box; true when the episode has ended. */
  protected abstract advance(action: number): boolean;
  /** Reward of a step. */
  protected abstract reward(terminated: boolean): number;
  /** Writes the observation of the present state. */
  protected abstract observe(): void;
  abstract render(surface: Surface): void;

  reset(seed?: number): Float32Array {
    if (seed !== undefined) this.#random = new Pcg64(seed);
    this.begin(this.#random);
    this.#running = true;
    this.observe();
    return this.observation;
  }

  step(action: Action): Step {
    if (!this.#running) throw notRunning(this.spec.id);
    checkAction(this.spec, action);
    const terminated = this.advance(typeof action === "number" ? action : action[0]!);
    this.#running = !terminated;
    this.observe();
    return { observation: this.observation, reward: this.reward(terminated), terminated, truncated: false };
  }

  getState(): Plain {
    return { variables: this.state.slice(), running: this.#running, random: this.#random.getState() };
  }

  setState(state: Plain): void {
    const schema = z.strictObject({ variables: float64(this.state.length), running: z.boolean(), random: partState });
    const { variables, running, random } = parseState(this.spec.id, schema, state);
    this.#random.setState(random);
    this.state.set(variables);
    this.#running = running;
    this.observe();
  }
}

/** `step` without an episode that is under way. */
export function notRunning(environment: string): EnvironmentError {
  return new EnvironmentError(
    environment,
    "step() needs an episode under way: call reset() first, and after every end",
  );
}

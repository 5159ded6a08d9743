import { z } from "zod";
import type { Plain } from "../plain.ts";
import { notRunning } from "./classic-control.ts";
import type { Action, Environment, EnvironmentSpec, Step } from "./environment.ts";
import { parseState, partState } from "./state.ts";
import type { Surface } from "./surface.ts";

const stateSchema = z.strictObject({ elapsed: z.number().int().min(0), running: z.boolean(), environment: partState });

/**
 * Truncates episodes after a number of steps, as Gymnasium's wrapper does: an episode that ends by itself in its last
 * allowed step is both terminated and truncated. Refuses `step` after either end, whatever the environment does.
 */
export class TimeLimit implements Environment {
  readonly spec: EnvironmentSpec;
  readonly render?: (surface: Surface) => void;
  readonly #environment: Environment;
  readonly #limit: number;
  #elapsed = 0;
  #running = false;

  constructor(environment: Environment, maxEpisodeSteps: number) {
    this.spec = { ...environment.spec, maxEpisodeSteps };
    this.#environment = environment;
    this.#limit = maxEpisodeSteps;
    if (environment.render !== undefined) this.render = environment.render.bind(environment);
  }

  reset(seed?: number): Float32Array {
    const observation = this.#environment.reset(seed);
    this.#elapsed = 0;
    this.#running = true;
    return observation;
  }

  step(action: Action): Step {
    if (!this.#running) throw notRunning(this.spec.id);
    const step = this.#environment.step(action);
    this.#elapsed++;
    if (this.#elapsed < this.#limit) {
      this.#running = !(step.terminated || step.truncated);
      return step;
    }
    this.#running = false;
    return { ...step, truncated: true };
  }

  getState(): Plain {
    return { elapsed: this.#elapsed, running: this.#running, environment: this.#environment.getState() };
  }

  setState(state: Plain): void {
    const { elapsed, running, environment } = parseState(this.spec.id, stateSchema, state);
    this.#environment.setState(environment);
    this.#elapsed = elapsed;
    this.#running = running;
  }
}

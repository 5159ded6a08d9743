import type { Action, Environment, EnvironmentSpec, Step } from "../../src/environment/environment.ts";
import { box, discrete } from "../../src/environment/spaces.ts";
import type { Plain } from "../../src/plain.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";

/**
 * The simplest correct environment: the observation is the number of steps left and a random number; an action of 0 or 1
 * is the reward; ends at zero. It trusts its caller: it refuses nothing.
 */
export class Countdown implements Environment {
  readonly spec: EnvironmentSpec;
  protected left = 0;
  protected random = new Pcg64(0);
  readonly #from: number;

  constructor(from = 3, maxEpisodeSteps?: number) {
    this.#from = from;
    this.spec = {
      id: "Countdown-v0",
      observationSpace: box([0, 0], [from, 1]),
      actionSpace: discrete(2),
      maxEpisodeSteps,
      rewardThreshold: undefined,
    };
  }

  reset(seed?: number): Float32Array {
    if (seed !== undefined) this.random = new Pcg64(seed);
    this.left = this.#from;
    return this.#observe();
  }

  step(action: Action): Step {
    this.left--;
    return { observation: this.#observe(), reward: Number(action), terminated: this.left === 0, truncated: false };
  }

  getState(): Plain {
    return { left: this.left, random: this.random.getState() };
  }

  setState(state: Plain): void {
    const { left, random } = state as { left: number; random: Plain };
    this.left = left;
    this.random.setState(random);
  }

  #observe(): Float32Array {
    return Float32Array.of(this.left, this.random.double());
  }
}

import type { Action, Environment, EnvironmentSpec, Step } from "../../src/environment/environment.ts";
import { box, discrete } from "../../src/environment/spaces.ts";
import type { Plain } from "../../src/plain.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";

/**
 * Shows one of `n` states as a one-hot vector. The reward is 1 when the action is the state's number, else 0; the next state
 * is random. Ends after `length` steps, by termination or truncation.
 */
export class Identity implements Environment {
  readonly spec: EnvironmentSpec;
  readonly #n: number;
  readonly #length: number;
  readonly #end: "terminated" | "truncated";
  #random = new Pcg64(0);
  #state = 0;
  #elapsed = 0;

  constructor(n = 3, length = 8, end: "terminated" | "truncated" = "terminated") {
    this.#n = n;
    this.#length = length;
    this.#end = end;
    this.spec = {
      id: "Identity-v0",
      observationSpace: box(new Array<number>(n).fill(0), new Array<number>(n).fill(1)),
      actionSpace: discrete(n),
      maxEpisodeSteps: undefined,
      rewardThreshold: undefined,
    };
  }

  reset(seed?: number): Float32Array {
    if (seed !== undefined) this.#random = new Pcg64(seed);
    this.#elapsed = 0;
    return this.#draw();
  }

  step(action: Action): Step {
    const reward = action === this.#state ? 1 : 0;
    this.#elapsed++;
    const ended = this.#elapsed === this.#length;
    return {
      observation: this.#draw(),
      reward,
      terminated: ended && this.#end === "terminated",
      truncated: ended && this.#end === "truncated",
    };
  }

  getState(): Plain {
    return { state: this.#state, elapsed: this.#elapsed, random: this.#random.getState() };
  }

  setState(state: Plain): void {
    const saved = state as { state: number; elapsed: number; random: Plain };
    this.#state = saved.state;
    this.#elapsed = saved.elapsed;
    this.#random.setState(saved.random);
  }

  #draw(): Float32Array {
    this.#state = this.#random.integer(this.#n);
    return Float32Array.from({ length: this.#n }, (_, i) => (i === this.#state ? 1 : 0));
  }
}

import type { Action, Environment, EnvironmentSpec, Step } from "../../src/environment/environment.ts";
import { box } from "../../src/environment/spaces.ts";
import type { Plain } from "../../src/plain.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";

export interface MatchOptions {
  /** Steps of an episode. */
  readonly length?: number;
  readonly end?: "terminated" | "truncated";
  /** What is seen of a number x is offset + scale * x. */
  readonly offset?: number;
  readonly scale?: number;
  /** The reward is -weight (action - x)^2. */
  readonly weight?: number;
}

/**
 * Shows a number x from -0.8 to 0.8 in units of its own; the action, from -1 to 1, is to be x itself. The next number is
 * random. The best return is 0, that of always answering 0 about -0.21 a step.
 */
export class Match implements Environment {
  readonly spec: EnvironmentSpec;
  readonly #options: Required<MatchOptions>;
  #random = new Pcg64(0);
  #x = 0;
  #elapsed = 0;

  constructor(options: MatchOptions = {}) {
    this.#options = { length: 4, end: "terminated", offset: 0, scale: 1, weight: 1, ...options };
    const { offset, scale } = this.#options;
    this.spec = {
      id: "Match-v0",
      observationSpace: box([offset - scale], [offset + scale]),
      actionSpace: box([-1], [1]),
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
    const { length, end, weight } = this.#options;
    const reward = -weight * ((action as Float32Array)[0]! - this.#x) ** 2;
    this.#elapsed++;
    const ended = this.#elapsed === length;
    return {
      observation: this.#draw(),
      reward,
      terminated: ended && end === "terminated",
      truncated: ended && end === "truncated",
    };
  }

  getState(): Plain {
    return { x: this.#x, elapsed: this.#elapsed, random: this.#random.getState() };
  }

  setState(state: Plain): void {
    const saved = state as { x: number; elapsed: number; random: Plain };
    this.#x = saved.x;
    this.#elapsed = saved.elapsed;
    this.#random.setState(saved.random);
  }

  #draw(): Float32Array {
    this.#x = this.#random.uniform(-0.8, 0.8);
    return Float32Array.of(this.#options.offset + this.#options.scale * this.#x);
  }
}

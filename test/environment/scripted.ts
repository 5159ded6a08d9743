import type { Environment, EnvironmentSpec, Step, VectorEnvironment } from "../../src/environment/environment.ts";
import { box, discrete } from "../../src/environment/spaces.ts";
import { vectorOf } from "../../src/environment/vector.ts";
import type { Plain } from "../../src/plain.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";

const spec: EnvironmentSpec = {
  id: "Scripted-v0",
  observationSpace: box([0, 0, 0], [1, 1, 1]),
  actionSpace: discrete(3),
  maxEpisodeSteps: undefined,
  rewardThreshold: undefined,
};

/** Episodes of one step whose returns are laid down, whatever the policy does; the last return goes on for ever. 3 random numbers to see, 3 actions. */
class Scripted implements Environment {
  readonly spec = spec;
  readonly #returns: readonly number[];
  #random = new Pcg64(0);
  #episode = -1;

  constructor(returns: readonly number[]) {
    this.#returns = returns;
  }

  reset(seed?: number): Float32Array {
    if (seed !== undefined) this.#random = new Pcg64(seed);
    this.#episode++;
    return this.#observe();
  }

  step(): Step {
    const reward = this.#returns[Math.min(this.#episode, this.#returns.length - 1)]!;
    return { observation: this.#observe(), reward, terminated: true, truncated: false };
  }

  getState(): Plain {
    return { episode: this.#episode, random: this.#random.getState() };
  }

  setState(state: Plain): void {
    const saved = state as { episode: number; random: Plain };
    this.#episode = saved.episode;
    this.#random.setState(saved.random);
  }

  #observe(): Float32Array {
    return Float32Array.from({ length: 3 }, () => this.#random.double());
  }
}

/** Lanes whose k-th episodes all return `returns[k]`. */
export function scripted(returns: readonly number[], size: number): VectorEnvironment {
  return vectorOf(spec, () => new Scripted(returns), size);
}

/** One lane for each list of `returns`. */
export function scriptedLanes(returns: readonly (readonly number[])[]): VectorEnvironment {
  const next = returns.values();
  return vectorOf(spec, () => new Scripted(next.next().value!), returns.length);
}

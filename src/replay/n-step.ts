import type { Plain } from "../plain.ts";

/** Receives a finished n-step transition. Both observations are valid during the call only. */
export type Sink = (
  observation: Float32Array,
  action: number,
  reward: number,
  nextObservation: Float32Array,
  discount: number,
) => void;

/**
 * n-step returns of one lane (Sutton 1988; Mnih et al. 2016): r_t + gamma r_t+1 + ... + gamma^(n-1) r_t+n-1, bootstrapped
 * with gamma^n. Windows are cut at the end of an episode: the last ones are shorter and bootstrap with gamma^k of their
 * own length k after truncation, and not at all after termination.
 */
export class NStep {
  readonly #n: number;
  readonly #gamma: number;
  readonly #sink: Sink;
  #observations: Float32Array[] = [];
  #actions: number[] = [];
  #rewards: number[] = [];

  constructor(n: number, gamma: number, sink: Sink) {
    this.#n = n;
    this.#gamma = gamma;
    this.#sink = sink;
  }

  /** Takes one step. What it has to keep it copies. */
  push(
    observation: Float32Array,
    action: number,
    reward: number,
    nextObservation: Float32Array,
    terminated: boolean,
    truncated: boolean,
  ): void {
    if (this.#n === 1) {
      this.#sink(observation, action, reward, nextObservation, terminated ? 0 : this.#gamma);
      return;
    }
    this.#observations.push(observation.slice());
    this.#actions.push(action);
    this.#rewards.push(reward);
    const ended = terminated || truncated;
    while (this.#rewards.length > 0 && (ended || this.#rewards.length === this.#n)) {
      const total = this.#rewards.reduceRight((after, r) => r + this.#gamma * after, 0);
      const discount = terminated ? 0 : this.#gamma ** this.#rewards.length;
      this.#sink(this.#observations.shift()!, this.#actions.shift()!, total, nextObservation, discount);
      this.#rewards.shift();
    }
  }

  getState(): NStepState {
    return {
      observations: this.#observations.map((x) => x.slice()),
      actions: [...this.#actions],
      rewards: [...this.#rewards],
    };
  }

  setState(state: NStepState): void {
    this.#observations = state.observations.map((x) => x.slice());
    this.#actions = [...state.actions];
    this.#rewards = [...state.rewards];
  }
}

export interface NStepState {
  readonly [key: string]: Plain;
  readonly observations: readonly Float32Array[];
  readonly actions: readonly number[];
  readonly rewards: readonly number[];
}

import {
  type Action,
  box,
  discrete,
  type Environment,
  type EnvironmentSpec,
  Pcg64,
  type Plain,
  type Step,
} from "pops-rl";

/** A ball on a tray, in the wind: keep it in the middle. */
export default class MyEnv implements Environment {
  readonly spec: EnvironmentSpec = {
    id: "MyEnv-v0",
    // The ball's place and speed. A picture would be box(0, 255, [4, 84, 84]).
    observationSpace: box([-2, -1], [2, 1]),
    // Tilt the tray to the left, not at all, to the right. Numbers would be box([-1], [1]), with finite bounds.
    actionSpace: discrete(3),
    maxEpisodeSteps: 100,
    // The mean return at which the task counts as solved: what the small policy has to hold.
    rewardThreshold: 90,
  };
  // All randomness comes from here, so that a seed repeats its episode.
  #random = new Pcg64(0);
  #place = 0;
  #speed = 0;

  reset(seed?: number): Float32Array {
    if (seed !== undefined) this.#random = new Pcg64(seed);
    this.#place = this.#random.uniform(-0.5, 0.5);
    this.#speed = 0;
    return this.#observe();
  }

  step(action: Action): Step {
    const tilt = Number(action) - 1;
    const wind = this.#random.uniform(-0.02, 0.02);
    this.#speed = Math.min(Math.max(this.#speed + 0.05 * tilt + wind, -1), 1);
    this.#place += this.#speed;
    return {
      observation: this.#observe(),
      reward: 1 - Math.abs(this.#place),
      // The task is over: the ball has fallen. `truncated` is for an end that is not the task's; the limit of steps is added.
      terminated: Math.abs(this.#place) > 1,
      truncated: false,
    };
  }

  // Everything that the future depends on, as JSON values and typed arrays: a run is saved in the middle of episodes.
  getState(): Plain {
    return { random: this.#random.getState(), place: this.#place, speed: this.#speed };
  }

  setState(state: Plain): void {
    const { random, place, speed } = state as { random: Plain; place: number; speed: number };
    this.#random.setState(random);
    this.#place = place;
    this.#speed = speed;
  }

  #observe(): Float32Array {
    return Float32Array.of(this.#place, this.#speed);
  }
}

import type { Action, Environment, EnvironmentSpec, Step } from "../../src/environment/environment.ts";
import { discrete, grid } from "../../src/environment/spaces.ts";
import type { Plain } from "../../src/plain.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";

const STACK = 2;
const SIDE = 6;
const CHOICES = 3;

/**
 * A dot in one of three columns of a picture, two pictures in a row: the reward is 2 when the action is the column of the
 * newest one, else 0. A life is lost every third step; episodes have nine.
 */
export class Dots implements Environment {
  readonly spec: EnvironmentSpec;
  #random = new Pcg64(0);
  #observation = new Float32Array(STACK * SIDE * SIDE);
  #column = 0;
  #elapsed = 0;

  constructor(training = { clipRewards: true, episodicLife: true }) {
    this.spec = {
      id: "Dots-v0",
      observationSpace: grid([STACK, SIDE, SIDE], 0, 255),
      frameStack: STACK,
      training,
      actionSpace: discrete(CHOICES),
      maxEpisodeSteps: undefined,
      rewardThreshold: undefined,
    };
  }

  reset(seed?: number): Float32Array {
    if (seed !== undefined) this.#random = new Pcg64(seed);
    this.#elapsed = 0;
    const picture = this.#draw();
    for (let k = 0; k < STACK; k++) this.#observation.set(picture, k * SIDE * SIDE);
    return this.#observation;
  }

  step(action: Action): Step {
    const reward = action === this.#column ? 2 : 0;
    this.#elapsed++;
    this.#observation.copyWithin(0, SIDE * SIDE);
    this.#observation.set(this.#draw(), (STACK - 1) * SIDE * SIDE);
    const terminated = this.#elapsed === 9;
    const lifeLost = this.#elapsed % 3 === 0 && !terminated;
    return { observation: this.#observation, reward, terminated, truncated: false, lifeLost };
  }

  #draw(): Float32Array {
    this.#column = this.#random.integer(CHOICES);
    const picture = new Float32Array(SIDE * SIDE);
    picture[SIDE * this.#random.integer(SIDE) + 2 * this.#column] = 255;
    return picture;
  }

  getState(): Plain {
    const { column, elapsed } = { column: this.#column, elapsed: this.#elapsed };
    return { column, elapsed, observation: this.#observation.slice(), random: this.#random.getState() };
  }

  setState(state: Plain): void {
    const saved = state as { column: number; elapsed: number; observation: Float32Array; random: Plain };
    this.#column = saved.column;
    this.#elapsed = saved.elapsed;
    this.#observation = saved.observation.slice();
    this.#random.setState(saved.random);
  }
}

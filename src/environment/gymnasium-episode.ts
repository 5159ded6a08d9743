import { z } from "zod";
import type { Plain } from "../plain.ts";
import { Pcg64 } from "../random/pcg64.ts";
import { parseState, partState } from "./state.ts";

/** Choices, or numbers of a box. */
export type Actions = Int32Array | Float32Array;

const seed = z.number().int().min(0);
const episodeSchema = z.strictObject({
  seed,
  next: seed,
  actions: z.union([z.instanceof(Int32Array), z.instanceof(Float32Array)]),
  random: partState,
});

/** What leads to where a lane is: the seed of its episode and the actions since. */
export class Episode {
  readonly seed: number;
  /** Draws the seeds of the episodes that are begun without one. */
  readonly random: Pcg64;
  /** The seed of the next one. */
  readonly next: number;
  readonly #width: number;
  #actions: Actions;
  #length = 0;

  constructor(seed: number, random: Pcg64, width: number, actions: Actions, next = random.nextUint32()) {
    this.seed = seed;
    this.random = random;
    this.next = next;
    this.#width = width;
    this.#actions = actions;
    this.#length = actions.length;
  }

  /** @throws EnvironmentError when the state is not from `getState`. */
  static from(environment: string, state: Plain, width: number): Episode {
    const { seed, next, actions, random } = parseState(environment, episodeSchema, state);
    const generator = new Pcg64(0);
    generator.setState(random);
    return new Episode(seed, generator, width, actions, next);
  }

  get steps(): number {
    return this.#length / this.#width;
  }

  /** The action of a step. */
  at(step: number): Actions {
    return this.#actions.subarray(step * this.#width, (step + 1) * this.#width);
  }

  add(actions: Actions, lane: number): void {
    const width = this.#width;
    if (this.#length + width > this.#actions.length) {
      const room = 2 * Math.max(this.#actions.length, 32 * width);
      const grown = this.#actions instanceof Int32Array ? new Int32Array(room) : new Float32Array(room);
      grown.set(this.#actions);
      this.#actions = grown;
    }
    for (let k = 0; k < width; k++) this.#actions[this.#length + k] = actions[lane * width + k]!;
    this.#length += width;
  }

  getState(): Plain {
    const { seed, next, random } = this;
    return { seed, next, actions: this.#actions.slice(0, this.#length), random: random.getState() };
  }
}

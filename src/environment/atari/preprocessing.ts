import { z } from "zod";
import type { Plain } from "../../plain.ts";
import { Pcg64 } from "../../random/pcg64.ts";
import { notRunning } from "../classic-control.ts";
import type { Action, Environment, EnvironmentSpec, Step } from "../environment.ts";
import { box, checkAction } from "../spaces.ts";
import { parseState, partState } from "../state.ts";
import type { Surface } from "../surface.ts";
import type { FrameGame } from "./frame-game.ts";
import { FrameStack, lumaOf, SIDE, STACK } from "./frame-stack.ts";

/** Frames that an action is repeated for. */
export const FRAME_SKIP = 4;
/** An episode begins after 1 to so many frames without action. */
const MAX_NO_OPS = 30;

/** What every environment of preprocessed frames has: the observations, and ALE's limit of 108,000 frames. */
export const atariSpec = {
  observationSpace: box(0, 255, [STACK, SIDE, SIDE]),
  maxEpisodeSteps: 108_000 / FRAME_SKIP,
  frameStack: STACK,
  picture: { width: 160, height: 210, stepsPerSecond: 60 / FRAME_SKIP },
};

/** What an episode begins with, by the next numbers of a generator: the game's seed, and the frames without action. */
export function beginningOf(random: Pcg64): { readonly seed: number; readonly noOps: number } {
  return { seed: random.nextUint32(), noOps: 1 + random.integer(MAX_NO_OPS) };
}

const stateSchema = z.strictObject({
  random: partState,
  game: partState,
  pictures: z.instanceof(Uint8Array).refine((pictures) => pictures.length === STACK * SIDE * SIDE, "has another size"),
  running: z.boolean(),
});

/**
 * A game of frames as an environment, preprocessed as by DeepMind (Mnih et al. 2015; OpenAI Baselines' `wrap_deepmind`
 * without FIRE at the start): an episode begins after 1 to 30 frames without action; each action is repeated for 4 frames,
 * whose points are summed; an observation is `FrameStack`'s of the last two of them. Rewards are the game's own, and an
 * episode is a whole game: what training changes of that is said by `spec.training`.
 */
export class AtariPreprocessing implements Environment {
  readonly spec: EnvironmentSpec;
  readonly #game: FrameGame;
  readonly #actions: readonly number[];
  readonly #stack: FrameStack;
  #random = new Pcg64(0);
  #running = false;

  /** @param actions the game's action of each choice */
  constructor(spec: EnvironmentSpec, game: FrameGame, actions: readonly number[]) {
    this.spec = spec;
    this.#game = game;
    this.#actions = actions;
    this.#stack = new FrameStack(game.width, game.height, Uint8Array.from(game.palette, lumaOf), 2);
  }

  reset(seed?: number): Float32Array {
    if (seed !== undefined) this.#random = new Pcg64(seed);
    const { seed: own, noOps } = beginningOf(this.#random);
    this.#game.reset(own);
    for (let frame = 0; frame < noOps; frame++) this.#game.step(0);
    for (const frame of this.#stack.frames) this.#game.draw(frame);
    this.#stack.fill();
    this.#running = true;
    return this.#stack.observation;
  }

  step(action: Action): Step {
    if (!this.#running) throw notRunning(this.spec.id);
    checkAction(this.spec, action);
    const game = this.#game;
    const [earlier, later] = this.#stack.frames;
    const { lives } = game;
    let reward = 0;
    let over = false;
    for (let frame = 1; frame <= FRAME_SKIP && !over; frame++) {
      reward += game.step(this.#actions[action as number]!);
      over = game.over;
      if (frame === FRAME_SKIP - 1 || over) game.draw(earlier);
      if (frame === FRAME_SKIP || over) game.draw(later);
    }
    this.#stack.push();
    this.#running = !over;
    return {
      observation: this.#stack.observation,
      reward,
      terminated: over,
      truncated: false,
      lifeLost: game.lives < lives && !over,
    };
  }

  getState(): Plain {
    return {
      random: this.#random.getState(),
      game: this.#game.getState(),
      pictures: this.#stack.getState(),
      running: this.#running,
    };
  }

  setState(state: Plain): void {
    const { random, game, pictures, running } = parseState(this.spec.id, stateSchema, state);
    this.#random.setState(random);
    this.#game.setState(game);
    this.#stack.setState(pictures);
    this.#running = running;
  }

  /** The game's own picture in its colors, stretched to the surface. */
  render(surface: Surface): void {
    const { width, height, palette } = this.#game;
    const frame = new Uint8Array(width * height);
    this.#game.draw(frame);
    const across = surface.width / width;
    const down = surface.height / height;
    const alike = (row: number, other: number): boolean => {
      const others = frame.subarray(other * width, (other + 1) * width);
      return others.every((index, x) => index === frame[row * width + x]);
    };
    surface.clear(palette[0]!);
    // Rectangles as wide as a color goes on in a row, and as high as rows are alike.
    for (let y = 0, next = 0; y < height; y = next) {
      for (next = y + 1; next < height && alike(y, next); next++);
      for (let x = 0, end = 0; x < width; x = end) {
        const index = frame[y * width + x]!;
        for (end = x + 1; end < width && frame[y * width + end] === index; end++);
        const [left, right] = [x * across, end * across];
        const [top, bottom] = [y * down, next * down];
        surface.polygon([left, top, right, top, right, bottom, left, bottom], palette[index]!);
      }
    }
  }
}

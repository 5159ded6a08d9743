import { z } from "zod";
import type { Plain } from "../../plain.ts";
import { Pcg64 } from "../../random/pcg64.ts";
import { notRunning } from "../classic-control.ts";
import type { Action, Environment, EnvironmentSpec, Step } from "../environment.ts";
import { box, checkAction, discrete } from "../spaces.ts";
import { parseState, partState } from "../state.ts";
import type { Color, Surface } from "../surface.ts";

/** Rows and columns of a board. */
export const SIDE = 10;
export const CELLS = SIDE * SIDE;

export interface BoardGameOptions {
  /** Probability that the action before is played instead of the chosen one; 0.1 if not given. */
  readonly stickyActionProbability?: number;
}

/** A game's pieces and what they look like: one plane of the observation each, later ones drawn over earlier ones. */
export type Planes = readonly { readonly name: string; readonly color: Color }[];

/** What a board game of these `planes` and `actions` is like. MinAtar has no time limit; 1,000 steps are gymnax's. */
export function boardSpec(id: string, planes: Planes, actions: number): EnvironmentSpec {
  return {
    id,
    observationSpace: box(0, 1, [planes.length, SIDE, SIDE]),
    actionSpace: discrete(actions),
    maxEpisodeSteps: 1000,
    rewardThreshold: undefined,
    frameStack: 1,
    picture: { width: 160, height: 160, stepsPerSecond: 10 },
  };
}

/** Cells of a board, 0 or 1, row-major. */
export const boardSchema = z
  .instanceof(Uint8Array)
  .refine((cells) => cells.length === CELLS && cells.every((cell) => cell <= 1), `expected ${CELLS} cells of 0 or 1`);

/**
 * Games in the style of MinAtar (Young & Tian 2019): an Atari game in outline on a board of 10 x 10 cells. An observation is
 * one plane a kind of piece, [planes, 10, 10], 1 where there is such a piece and 0 elsewhere. With some probability the action
 * before is played again instead of the chosen one; before the first it was 0, which is no action in every game.
 */
export abstract class BoardGame<State extends Plain> implements Environment {
  readonly spec: EnvironmentSpec;
  protected readonly observation: Float32Array;
  readonly #planes: Planes;
  readonly #stateSchema;
  readonly #sticky: number;
  #random = new Pcg64(0);
  #action = 0;
  #running = false;
  /** To be set by `advance` when the game is lost. */
  protected lost = false;

  constructor(spec: EnvironmentSpec, planes: Planes, stateSchema: z.ZodType<State>, options: BoardGameOptions) {
    this.spec = spec;
    this.observation = new Float32Array(planes.length * CELLS);
    this.#planes = planes;
    this.#sticky = options.stickyActionProbability ?? 0.1;
    this.#stateSchema = z.strictObject({
      random: partState,
      action: z.number().int().min(0),
      running: z.boolean(),
      game: stateSchema,
    });
  }

  /** Sets up a new game. */
  protected abstract begin(random: Pcg64): void;
  /** Plays one action, and returns its reward. */
  protected abstract advance(action: number): number;
  /** Writes the pieces into the observation, which is all 0. */
  protected abstract observe(): void;
  /** A copy of the game's state. */
  protected abstract save(): State;
  protected abstract restore(state: State): void;

  reset(seed?: number): Float32Array {
    if (seed !== undefined) this.#random = new Pcg64(seed);
    this.begin(this.#random);
    this.#action = 0;
    this.#running = true;
    this.lost = false;
    this.#show();
    return this.observation;
  }

  step(action: Action): Step {
    if (!this.#running) throw notRunning(this.spec.id);
    checkAction(this.spec, action);
    if (this.#random.double() >= this.#sticky) this.#action = action as number;
    const reward = this.advance(this.#action);
    const { lost } = this;
    this.#running = !lost;
    this.#show();
    return { observation: this.observation, reward, terminated: lost, truncated: false };
  }

  getState(): Plain {
    return {
      random: this.#random.getState(),
      action: this.#action,
      running: this.#running,
      game: this.save(),
    };
  }

  setState(state: Plain): void {
    const { random, action, running, game } = parseState(this.spec.id, this.#stateSchema, state);
    this.#random.setState(random);
    this.#action = action;
    this.#running = running;
    this.lost = false;
    this.restore(game);
    this.#show();
  }

  #show(): void {
    this.observation.fill(0);
    this.observe();
  }

  /** Every piece as a square, stretched to the surface. */
  render(surface: Surface): void {
    const across = surface.width / SIDE;
    const down = surface.height / SIDE;
    surface.clear("#000000");
    for (const [plane, { color }] of this.#planes.entries()) {
      for (let cell = 0; cell < CELLS; cell++) {
        if (this.observation[plane * CELLS + cell] === 0) continue;
        const [left, top] = [(cell % SIDE) * across, Math.floor(cell / SIDE) * down];
        const [right, bottom] = [left + across, top + down];
        surface.polygon([left, top, right, top, right, bottom, left, bottom], color);
      }
    }
  }
}

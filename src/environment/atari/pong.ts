import { z } from "zod";
import type { Plain } from "../../plain.ts";
import type { EnvironmentSpec } from "../environment.ts";
import { discrete } from "../spaces.ts";
import { parseState } from "../state.ts";
import type { FrameGame } from "./frame-game.ts";
import { PALETTE, PongPicture } from "./pong-picture.ts";
import { AtariPreprocessing, atariSpec } from "./preprocessing.ts";

/** The resistance of a paddle as ALE turns it: so much a frame, in ohms, between two ends. */
const TURN = 23_000;
const LEAST = 27_450;
const MOST = 790_196;
/** Cycles of the processor until a paddle's capacitor is charged, an ohm; those between discharge and picture; those of two lines, after which the cartridge looks again. */
const CYCLES_PER_OHM = 1.6 * 0.01e-6 * 1.19e6;
const LEAD = 590;
const CYCLES_PER_LINES = 152;

/** What the paddle that nobody turns reads. */
const UNUSED_READING = 110;

/** Frames from the reset to the first serve, and from a point to the next. */
const FIRST_WAIT = 59;
const WAIT = 63;
/** Serves start here. */
const CENTER = 128;
const WINNING_SCORE = 21;

const int = z.number().int();
const stateSchema = z.strictObject({
  frame: int,
  x: int,
  y: int,
  across: int,
  down: int,
  enemy: int,
  player: int,
  measured: int,
  resistance: int,
  reading: int,
  fire: z.boolean(),
  wait: int,
  scored: z.boolean(),
  scores: z.tuple([int, int]),
  shown: z.tuple([int, int]),
});
type PongState = z.infer<typeof stateSchema>;

/** ALE's state after its reset. */
const START: PongState = {
  // The cartridge's counter of frames, of which only the remainder by 8 counts.
  frame: 71,
  x: 0,
  y: 0,
  across: -1,
  down: 1,
  enemy: 22,
  player: 109,
  measured: 109,
  resistance: LEAST + Math.floor((MOST - LEAST) / 2),
  reading: UNUSED_READING,
  fire: false,
  wait: FIRST_WAIT,
  scored: false,
  scores: [0, 0],
  shown: [0, 0],
};

/**
 * Pong of the Atari 2600 as ALE plays it, after rules measured from ALE: the same ball, paddles and scores, frame by
 * frame, for the same actions (docs/environments.md). Nothing in it is random.
 *
 * Positions are those in the console's memory: the ball is at pixel (x - 49, y - 14), tops of the paddles at y - 15 (enemy)
 * and about y - 14 (player). Actions: 0 none, 1 FIRE, 2 up, 3 down, 4 up and FIRE, 5 down and FIRE.
 */
export class Pong implements FrameGame {
  readonly width = 160;
  readonly height = 210;
  readonly palette = PALETTE;
  readonly lives = 0;
  readonly #picture = new PongPicture();
  #state: PongState = structuredClone(START);

  get over(): boolean {
    return Math.max(...this.#state.scores) === WINNING_SCORE;
  }

  reset(): void {
    this.#state = structuredClone(START);
  }

  step(action: number): number {
    const state = this.#state;
    state.frame++;
    state.shown[0] = state.scores[0];
    state.shown[1] = state.scores[1];
    if (state.wait > 0 && --state.wait === 0) this.#serve();
    const reward = this.#moveBall();
    this.#moveEnemy();
    this.#movePlayer(action);
    state.fire = action === 1 || action >= 4;
    return reward;
  }

  /** Towards whom the last point went against, up or down as the ball last flew. */
  #serve(): void {
    const state = this.#state;
    state.x = CENTER;
    state.y = CENTER;
    state.enemy = CENTER;
    state.down = state.down < 0 ? -1 : 1;
    state.across = Math.sign(state.across);
  }

  /** What the ball touched in the last picture decides where it flies. Returns the point that it makes. */
  #moveBall(): number {
    const state = this.#state;
    if (state.scored) {
      state.scored = false;
      state.y = 0;
    }
    if (state.y === 0) return 0;
    if (state.x <= 52 || state.x >= 205) {
      const lost = state.x >= 205;
      state.scores[lost ? 0 : 1]++;
      state.scored = true;
      state.wait = WAIT;
      return lost ? -1 : 1;
    }
    const onPlayer = state.y - 2 * Math.ceil(state.player / 2);
    const onEnemy = state.y - state.enemy;
    let bounce = 0;
    if (state.y <= 45) {
      state.down = Math.abs(state.down);
      bounce = 1;
    } else if (state.y >= 206) {
      state.down = -Math.abs(state.down);
      bounce = -1;
    } else if (state.x >= 188 && state.x <= 192 && onPlayer >= -2 && onPlayer <= 15) {
      state.down = deflection(state.y - state.player);
      // Only the player makes the ball faster, with FIRE.
      state.across = -Math.min(4, Math.abs(state.across) + (state.fire ? 1 : 0));
    } else if (state.x >= 64 && state.x <= 68 && onEnemy >= -4 && onEnemy <= 14) {
      state.down = deflection(onEnemy);
      state.across = Math.abs(state.across);
    }
    state.x += state.across;
    state.y += state.down + bounce;
    return 0;
  }

  /** Follows the ball, 7 frames of 8; without a ball it goes up. */
  #moveEnemy(): void {
    const state = this.#state;
    if (state.frame % 8 === 1) return;
    state.enemy = Math.max(0, state.enemy + 2 * Math.sign(state.y - state.enemy));
  }

  /** Moves to the mean of its place and where it is turned to, which is read every other frame and shows a frame later. */
  #movePlayer(action: number): void {
    const state = this.#state;
    const turn = action < 2 ? 0 : action % 2 === 0 ? -TURN : TURN;
    state.resistance = Math.max(LEAST, Math.min(MOST, state.resistance + turn));
    state.player = state.measured;
    if (state.frame % 2 === 1) {
      state.reading = UNUSED_READING;
      return;
    }
    const cycles = Math.floor(state.resistance * CYCLES_PER_OHM) + LEAD;
    state.reading = Math.max(38, Math.min(204, 2 * Math.floor(cycles / CYCLES_PER_LINES)));
    state.measured = (state.measured + state.reading) >> 1;
  }

  draw(frame: Uint8Array): void {
    // The console's colors before a game begins are still there in the first frame.
    this.#picture.draw(frame, this.#state, this.#state.frame - START.frame < 2);
  }

  getState(): Plain {
    return structuredClone(this.#state);
  }

  setState(state: Plain): void {
    this.#state = parseState("Pong", stateSchema, state);
  }
}

/** Pixels a frame that the ball falls after a hit, by how far it is below the paddle. */
function deflection(offset: number): number {
  return Math.floor((offset + 3) / 4) - 2;
}

const limits = {
  ...atariSpec,
  /** The paper's objective. */
  rewardThreshold: 18,
  training: { clipRewards: true, episodicLife: false },
};
/** As in the paper, three actions; its first was FIRE, which mostly does nothing: here no action. */
export const pongV0: EnvironmentSpec = { id: "Pong-v0", ...limits, actionSpace: discrete(3) };
/** All of ALE's actions, FIRE included. */
export const pongFireV0: EnvironmentSpec = { id: "PongFire-v0", ...limits, actionSpace: discrete(6) };

/** Pong with the actions of its spec: ALE's first ones without FIRE, or all. */
export function makePong(spec: EnvironmentSpec): AtariPreprocessing {
  return new AtariPreprocessing(spec, new Pong(), spec === pongV0 ? [0, 2, 3] : [0, 1, 2, 3, 4, 5]);
}

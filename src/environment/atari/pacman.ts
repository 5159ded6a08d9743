import { z } from "zod";
import type { Plain } from "../../plain.ts";
import { Pcg64 } from "../../random/pcg64.ts";
import type { EnvironmentSpec } from "../environment.ts";
import { discrete } from "../spaces.ts";
import { parseState, partState } from "../state.ts";
import type { FrameGame } from "./frame-game.ts";
import { BLINKY, chooseWay, FRONT, HOMES, MODES } from "./pacman-ghosts.ts";
import {
  COLUMNS,
  type Direction,
  DOWN,
  exitsOf,
  LEFT,
  MOUTHS,
  type Mover,
  move,
  moverAt,
  opposite,
  PARTS,
  PELLETS,
  RIGHT,
  ROWS,
  TILE,
  TILES,
  tileAt,
  tileOf,
  UP,
} from "./pacman-maze.ts";
import { PALETTE, PacManPicture } from "./pacman-picture.ts";
import { AtariPreprocessing, atariSpec } from "./preprocessing.ts";

/** Frames a second. */
const SECOND = 60;
/** Frames for which nobody moves when a maze or a life begins. */
const READY = 15;
const LIVES = 3;

/** Points. */
const PELLET = 10;
const POWER_PELLET = 50;
const FIRST_GHOST = 200;
/** By level; the last one from the seventh on. */
const FRUITS = [100, 200, 500, 700, 1000, 2000, 5000];
const BONUS_LIFE_AT = 10_000;

/** Parts of a tile a frame: 0.75 pixels across. Ghosts are faster from level to level, to a limit; frightened half as fast. */
const PLAYER_SPEED = 12;
const FRUIT_SPEED = 6;
const ghostSpeed = (level: number): number => Math.min(10 + level, 13);

/** Frames from the start of a life until each ghost leaves the jail, and from when one was eaten. */
const RELEASES = [0, 7 * SECOND, 5 * SECOND, SECOND];
const JAILED = 10 * SECOND;
/** Frames of the modes; the length of a chase is drawn. */
const SCATTER = 7 * SECOND;
const CHASE = { from: 18 * SECOND, to: 22 * SECOND };
/** Frames for which ghosts are frightened in the first level, and the last of these, in which they blink. */
const FRIGHTENED = 17 * SECOND;
const BLINKING = 4 * SECOND;
/** What each next level leaves of that. */
const shortening = (level: number): number => 0.85 ** (level - 1);
/** Pellets after which a fruit comes, and for how many frames. */
const FRUIT_AFTER = [50, 100];
const FRUIT_STAYS = 15 * SECOND;
/** Pixels at which two centers touch. */
const REACH = 6;
const START = tileAt(9, 8);
const ALL_PELLETS = PELLETS.filter((pellet) => pellet > 0).length;
/** Where each action is to lead. */
const WANTED: readonly (Direction | undefined)[] = [undefined, undefined, UP, RIGHT, LEFT, DOWN];

const count = z.number().int().min(0);
const mover = {
  x: count.lt(COLUMNS * PARTS),
  y: count.lt(ROWS * PARTS),
  direction: z.literal([UP, LEFT, DOWN, RIGHT]),
};
const ghost = z.strictObject({ ...mover, jailed: count, frightened: z.boolean() });
const stateSchema = z.strictObject({
  level: count.min(1),
  lives: count,
  score: count,
  /** Frames until anybody moves. */
  ready: count,
  mode: z.enum(MODES),
  modeLeft: count,
  frightenedLeft: count,
  /** Ghosts eaten since the last power pellet. */
  eaten: count,
  /** By tile: 0 none, 1 a pellet, 2 a power pellet. */
  pellets: z.instanceof(Uint8Array).refine((pellets) => pellets.length === TILES, `expected ${TILES} tiles`),
  pelletsEaten: count,
  player: z.strictObject(mover),
  ghosts: z.array(ghost).length(4),
  fruit: z.strictObject({ ...mover, left: count }).nullable(),
});
export type PacManState = z.infer<typeof stateSchema>;

/** Everybody in their places. */
function lineUp(): Omit<PacManState, "level" | "lives" | "score" | "pellets" | "pelletsEaten"> {
  return {
    ready: READY,
    mode: "random",
    modeLeft: SCATTER,
    frightenedLeft: 0,
    eaten: 0,
    player: moverAt(START, LEFT),
    ghosts: HOMES.map((home, index) => ({
      ...moverAt(index === BLINKY ? FRONT : home, index === BLINKY ? LEFT : UP),
      jailed: RELEASES[index]!,
      frightened: false,
    })),
    fruit: null,
  };
}

function newGame(): PacManState {
  return { level: 1, lives: LIVES, score: 0, pellets: Uint8Array.from(PELLETS), pelletsEaten: 0, ...lineUp() };
}

/** Whether two are within reach, along the board. */
function touch(a: Mover, b: Mover): boolean {
  const across = ((a.x - b.x) * TILE.width) / PARTS;
  const along = ((a.y - b.y) * TILE.height) / PARTS;
  return across ** 2 + along ** 2 < REACH ** 2;
}

/**
 * A maze game in the manner of Ms. Pac-Man on the Atari 2600: its scores, times, speeds and the ways of its ghosts as far as
 * they are known, a maze of our own. It is not ALE's game (docs/environments.md).
 *
 * Actions, as ALE numbers them: 0 none (the player goes on), 2 up, 3 right, 4 left, 5 down.
 */
export class PacMan implements FrameGame {
  readonly width = 160;
  readonly height = 210;
  readonly palette = PALETTE;
  readonly #picture = new PacManPicture();
  #random = new Pcg64(0);
  #state: PacManState = newGame();

  get over(): boolean {
    return this.#state.lives === 0;
  }

  get lives(): number {
    return this.#state.lives;
  }

  reset(seed: number): void {
    this.#random = new Pcg64(seed);
    this.#state = newGame();
  }

  step(action: number): number {
    const state = this.#state;
    if (state.ready > 0) {
      state.ready--;
      return 0;
    }
    const before = state.score;
    this.#countDown();
    this.#movePlayer(WANTED[action]);
    this.#moveGhosts();
    this.#moveFruit();
    this.#eat();
    const caught = this.#meetGhosts();
    if (before < BONUS_LIFE_AT && state.score >= BONUS_LIFE_AT) state.lives++;
    if (caught) {
      state.lives--;
      if (state.lives > 0) Object.assign(state, lineUp());
    } else if (state.pelletsEaten === ALL_PELLETS) {
      state.level++;
      state.pellets.set(PELLETS);
      state.pelletsEaten = 0;
      Object.assign(state, lineUp());
    }
    return state.score - before;
  }

  /** While ghosts are frightened, their mode waits. */
  #countDown(): void {
    const state = this.#state;
    if (state.frightenedLeft > 0) {
      state.frightenedLeft--;
      if (state.frightenedLeft === 0) for (const ghost of state.ghosts) ghost.frightened = false;
      return;
    }
    state.modeLeft--;
    if (state.modeLeft > 0) return;
    const chase = state.mode !== "chase";
    state.mode = chase ? "chase" : "scatter";
    state.modeLeft = chase ? CHASE.from + this.#random.integer(CHASE.to - CHASE.from + 1) : SCATTER;
  }

  /** Back at once; to the sides at the next center where there is a way. */
  #movePlayer(wanted: Direction | undefined): void {
    const { player } = this.#state;
    if (wanted === opposite(player.direction)) player.direction = wanted;
    move(player, PLAYER_SPEED, (tile) => {
      const exits = exitsOf(tile);
      if (wanted !== undefined && exits.includes(wanted)) return wanted;
      return exits.includes(player.direction) ? player.direction : undefined;
    });
  }

  #eat(): void {
    const state = this.#state;
    const tile = tileOf(state.player);
    const pellet = state.pellets[tile]!;
    if (pellet === 0) return;
    state.pellets[tile] = 0;
    state.score += pellet === 1 ? PELLET : POWER_PELLET;
    state.pelletsEaten++;
    if (FRUIT_AFTER.includes(state.pelletsEaten)) {
      const mouth = MOUTHS[this.#random.integer(MOUTHS.length)]!;
      state.fruit = { ...moverAt(mouth, mouth % COLUMNS === 0 ? RIGHT : LEFT), left: FRUIT_STAYS };
    }
    if (pellet === 1) return;
    state.frightenedLeft = Math.floor(FRIGHTENED * shortening(state.level));
    state.eaten = 0;
    for (const ghost of state.ghosts) ghost.frightened = ghost.jailed === 0 && state.frightenedLeft > 0;
  }

  #moveGhosts(): void {
    const state = this.#state;
    const speed = ghostSpeed(state.level);
    for (const [index, ghost] of state.ghosts.entries()) {
      if (ghost.jailed > 0) {
        ghost.jailed--;
        continue;
      }
      move(ghost, ghost.frightened ? speed >> 1 : speed, (tile) => chooseWay(index, tile, state, this.#random));
    }
  }

  /** Whether one of them caught the player. */
  #meetGhosts(): boolean {
    const state = this.#state;
    for (const [index, ghost] of state.ghosts.entries()) {
      if (ghost.jailed > 0 || !touch(ghost, state.player)) continue;
      if (!ghost.frightened) return true;
      state.score += FIRST_GHOST * 2 ** state.eaten;
      state.eaten++;
      Object.assign(ghost, moverAt(HOMES[index]!, UP), { jailed: JAILED, frightened: false });
    }
    return false;
  }

  #moveFruit(): void {
    const state = this.#state;
    const { fruit } = state;
    if (fruit === null) return;
    move(fruit, FRUIT_SPEED, (tile) => {
      const ways = exitsOf(tile).filter((way) => way !== opposite(fruit.direction));
      return ways[this.#random.integer(ways.length)];
    });
    fruit.left--;
    if (touch(fruit, state.player)) state.score += FRUITS[Math.min(state.level, FRUITS.length) - 1]!;
    else if (fruit.left > 0) return;
    state.fruit = null;
  }

  draw(frame: Uint8Array): void {
    const { frightenedLeft } = this.#state;
    const blink = frightenedLeft < BLINKING * shortening(this.#state.level) && frightenedLeft % 16 < 8;
    this.#picture.draw(frame, this.#state, blink);
  }

  getState(): Plain {
    return { random: this.#random.getState(), game: structuredClone(this.#state) };
  }

  setState(state: Plain): void {
    const schema = z.strictObject({ random: partState, game: stateSchema });
    const { random, game } = parseState("PacMan", schema, state);
    this.#random.setState(random);
    this.#state = structuredClone(game);
  }
}

export const pacManV0: EnvironmentSpec = {
  id: "PacMan-v0",
  ...atariSpec,
  actionSpace: discrete(5),
  rewardThreshold: undefined,
  training: { clipRewards: true, episodicLife: true },
};

/** Actions: none (0), up (1), right (2), left (3), down (4). */
export function makePacMan(): AtariPreprocessing {
  return new AtariPreprocessing(pacManV0, new PacMan(), [0, 2, 3, 4, 5]);
}

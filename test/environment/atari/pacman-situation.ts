import { PacMan, type PacManState } from "../../../src/environment/atari/pacman.ts";
import { type Direction, moverAt, tileAt } from "../../../src/environment/atari/pacman-maze.ts";
import type { Plain } from "../../../src/plain.ts";

export type Ghost = PacManState["ghosts"][number];

/** Longer than any test plays. */
const FOR_EVER = 1_000_000;

/** The game's state, without that of its generator. */
export function stateOf(game: PacMan): PacManState {
  return (game.getState() as unknown as { game: PacManState }).game;
}

/** A ghost at the center of a tile, free and not frightened. */
export function ghostAt(column: number, row: number, direction: Direction): Ghost {
  return { ...moverAt(tileAt(column, row), direction), jailed: 0, frightened: false };
}

/** A fresh game in which nobody waits and all ghosts stay in jail, but for what `changes` says. */
export function situation(changes: Partial<PacManState>, seed = 0): PacMan {
  const game = new PacMan();
  game.reset(seed);
  const { random } = game.getState() as { random: Plain };
  const state = stateOf(game);
  const ghosts = state.ghosts.map((ghost) => ({ ...ghost, jailed: FOR_EVER }));
  game.setState({ random, game: { ...state, ready: 0, modeLeft: FOR_EVER, ghosts, ...changes } });
  return game;
}

/** All in jail but some. */
export function ghostsWith(free: Readonly<Record<number, Ghost>>): Ghost[] {
  return stateOf(situation({})).ghosts.map((ghost, index) => free[index] ?? ghost);
}

/** Plays an action for so many frames; returns the points of each. */
export function play(game: PacMan, frames: number, action = 0): number[] {
  return Array.from({ length: frames }, () => game.step(action));
}

/** Points of many frames. */
export function points(game: PacMan, frames: number, action = 0): number {
  return play(game, frames, action).reduce((sum, won) => sum + won, 0);
}

/** A maze without pellets but at the given tiles. */
export function pellets(tiles: Readonly<Record<number, 1 | 2>>): Uint8Array<ArrayBuffer> {
  const maze = new Uint8Array(280);
  for (const [tile, pellet] of Object.entries(tiles)) maze[Number(tile)] = pellet;
  return maze;
}

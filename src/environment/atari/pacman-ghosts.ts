import type { Pcg64 } from "../../random/pcg64.ts";
import {
  ACROSS,
  ALONG,
  COLUMNS,
  type Direction,
  ghostExitsOf,
  type Mover,
  nextTile,
  opposite,
  ROWS,
  tileAt,
  tileOf,
} from "./pacman-maze.ts";

/** Ghosts by their numbers, which are also the order in which they move. */
export const BLINKY = 0;
export const PINKY = 1;
export const INKY = 2;
export const SUE = 3;

/** What moves ghosts that are not frightened. */
export const MODES = ["random", "chase", "scatter"] as const;
export type Mode = (typeof MODES)[number];

export interface Ghost extends Mover {
  /** Frames until it leaves the jail; 0 outside. */
  jailed: number;
  frightened: boolean;
}

/** Where each ghost is kept: the jail's four tiles. */
export const HOMES = [tileAt(10, 6), tileAt(10, 7), tileAt(9, 7), tileAt(9, 6)] as const;
/** Where the first one, who is free from the beginning, starts: in front of the jail. */
export const FRONT = tileAt(10, 5);

interface Place {
  readonly column: number;
  readonly row: number;
}

const CORNERS: readonly Place[] = [
  { column: COLUMNS - 2, row: 0 },
  { column: 1, row: 0 },
  { column: COLUMNS - 2, row: ROWS - 1 },
  { column: 1, row: ROWS - 1 },
];

function placeOf(mover: Mover): Place {
  const tile = tileOf(mover);
  return { column: tile % COLUMNS, row: Math.floor(tile / COLUMNS) };
}

/** A place some tiles in front of somebody, which may be beyond the board. */
function ahead(mover: Mover, tiles: number): Place {
  const { column, row } = placeOf(mover);
  return { column: column + tiles * ACROSS[mover.direction], row: row + tiles * ALONG[mover.direction] };
}

function distance(a: Place, b: Place): number {
  return Math.abs(a.column - b.column) + Math.abs(a.row - b.row);
}

/**
 * Where a chasing ghost is heading: Blinky to the player, Pinky four tiles in front of it, Inky to the point on the other
 * side of the place two tiles in front of the player from Blinky, Sue to the player from more than eight tiles away and else
 * to her corner.
 */
function targetOf(index: number, ghosts: readonly Ghost[], player: Mover): Place {
  if (index === BLINKY) return placeOf(player);
  if (index === PINKY) return ahead(player, 4);
  if (index === INKY) {
    const middle = ahead(player, 2);
    const blinky = placeOf(ghosts[BLINKY]!);
    return { column: 2 * middle.column - blinky.column, row: 2 * middle.row - blinky.row };
  }
  const far = distance(placeOf(ghosts[SUE]!), placeOf(player)) > 8;
  return far ? placeOf(player) : CORNERS[SUE]!;
}

/**
 * Where a ghost goes on from a tile: never back and into no tunnel. Frightened or in the mode `random` it draws; else it takes
 * the way whose next tile is nearest to its target by |columns| + |rows|, of equal ones the first of up, left, down, right.
 */
export function chooseWay(
  index: number,
  tile: number,
  { ghosts, player, mode }: { readonly ghosts: readonly Ghost[]; readonly player: Mover; readonly mode: Mode },
  random: Pcg64,
): Direction | undefined {
  const ghost = ghosts[index]!;
  const ways = ghostExitsOf(tile).filter((way) => way !== opposite(ghost.direction));
  if (ghost.frightened || mode === "random") return ways[random.integer(ways.length)];
  const target = mode === "chase" ? targetOf(index, ghosts, player) : CORNERS[index]!;
  const lengths = ways.map((way) => {
    const next = nextTile(tile, way);
    return distance({ column: next % COLUMNS, row: Math.floor(next / COLUMNS) }, target);
  });
  return ways[lengths.indexOf(Math.min(...lengths))];
}

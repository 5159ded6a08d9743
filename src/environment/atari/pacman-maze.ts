/** Columns and rows of tiles. */
export const COLUMNS = 20;
export const ROWS = 14;
export const TILES = COLUMNS * ROWS;
/** Pixels of a tile. */
export const TILE = { width: 8, height: 12 } as const;

/**
 * The left half of the maze, of which the right one is the mirror image: # wall, . pellet, o power pellet, - jail, space path
 * without a pellet. Paths that leave the board at one side come in again at the other.
 */
const LEFT_HALF = [
  "#.........",
  "#.##.#.#.#",
  "#o.......#",
  "##.#.##.##",
  "##.#.##.##",
  " .........",
  "#.##.##.#-",
  "#.##.##.#-",
  "#........ ",
  "#.##.###.#",
  " ........#",
  "#.#.##.#.#",
  "#o#.##.#.#",
  "#.........",
];

/** Rows of 20 signs, as above. */
const MAP = LEFT_HALF.map((half) => Array.from({ length: COLUMNS }, (_, k) => half[Math.min(k, COLUMNS - 1 - k)]!));

/** Up, left, down, right. */
export type Direction = 0 | 1 | 2 | 3;
export const UP = 0;
export const LEFT = 1;
export const DOWN = 2;
export const RIGHT = 3;
export const DIRECTIONS: readonly Direction[] = [UP, LEFT, DOWN, RIGHT];
/** Columns and rows that one step in each direction leads. */
export const ACROSS = [0, -1, 0, 1] as const;
export const ALONG = [-1, 0, 1, 0] as const;

export function opposite(direction: Direction): Direction {
  return ((direction + 2) % 4) as Direction;
}

/** Number of the tile; columns beyond the sides are those of the other side. */
export function tileAt(column: number, row: number): number {
  return row * COLUMNS + ((column + COLUMNS) % COLUMNS);
}

/** The next tile in a direction. */
export function nextTile(tile: number, direction: Direction): number {
  return tileAt((tile % COLUMNS) + ACROSS[direction], Math.floor(tile / COLUMNS) + ALONG[direction]);
}

/** What is in each tile, as in the map. */
export const PLAN: readonly string[] = MAP.flat();

/** Pellets of a fresh maze, by tile: 0 none, 1 a pellet, 2 a power pellet. */
export const PELLETS: readonly number[] = PLAN.map((sign) => (sign === "." ? 1 : sign === "o" ? 2 : 0));

/** Tiles at the sides from which a path leaves the board. */
export const MOUTHS: readonly number[] = [...PLAN.keys()].filter((tile) => {
  const column = tile % COLUMNS;
  return PLAN[tile] === " " && (column === 0 || column === COLUMNS - 1);
});

/** Directions that lead along a path from each tile, tunnels included; from a jail, up. */
const EXITS: readonly (readonly Direction[])[] = PLAN.map((sign, tile) => {
  if (sign === "#") return [];
  if (sign === "-") return [UP];
  return DIRECTIONS.filter((direction) => {
    const row = Math.floor(tile / COLUMNS) + ALONG[direction];
    return row >= 0 && row < ROWS && !"#-".includes(PLAN[nextTile(tile, direction)]!);
  });
});

export function exitsOf(tile: number): readonly Direction[] {
  return EXITS[tile]!;
}

/** Those of them that stay on the board. */
const EXITS_OF_GHOSTS = EXITS.map((exits, tile) =>
  exits.filter((direction) => !MOUTHS.includes(nextTile(tile, direction))),
);

export function ghostExitsOf(tile: number): readonly Direction[] {
  return EXITS_OF_GHOSTS[tile]!;
}

/** Parts of a tile in which places are measured, along both axes. */
export const PARTS = 128;
const CENTER = PARTS / 2;
const WIDTH = COLUMNS * PARTS;

/** Somebody on the paths. */
export interface Mover {
  /** Parts from the left and the upper edge of the board. */
  x: number;
  y: number;
  direction: Direction;
}

/** At the center of a tile. */
export function moverAt(tile: number, direction: Direction): Mover {
  return {
    x: (tile % COLUMNS) * PARTS + CENTER,
    y: Math.floor(tile / COLUMNS) * PARTS + CENTER,
    direction,
  };
}

export function tileOf({ x, y }: Mover): number {
  return tileAt(Math.floor(x / PARTS), Math.floor(y / PARTS));
}

/** Moves so many parts along the paths. At each center `choose` says where to turn; `undefined` is to stay there. */
export function move(mover: Mover, parts: number, choose: (tile: number) => Direction | undefined): void {
  for (let left = parts; left > 0; ) {
    let toCenter = partsToCenter(mover);
    if (toCenter === 0) {
      const chosen = choose(tileOf(mover));
      if (chosen === undefined) return;
      mover.direction = chosen;
      toCenter = PARTS;
    }
    const step = Math.min(left, toCenter);
    mover.x = (mover.x + step * ACROSS[mover.direction] + WIDTH) % WIDTH;
    mover.y += step * ALONG[mover.direction];
    left -= step;
  }
}

/** How far the next center ahead is; 0 at a center. */
function partsToCenter({ x, y, direction }: Mover): number {
  const place = direction === LEFT || direction === RIGHT ? x : y;
  const ahead = direction === RIGHT || direction === DOWN ? CENTER - place : place - CENTER;
  return ((ahead % PARTS) + PARTS) % PARTS;
}

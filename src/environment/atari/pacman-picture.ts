import type { Color } from "../surface.ts";
import type { Ghost } from "./pacman-ghosts.ts";
import { COLUMNS, type Direction, LEFT, type Mover, PARTS, PLAN, RIGHT, ROWS, TILE, UP } from "./pacman-maze.ts";
import { DIGITS } from "./pong-picture.ts";

const WIDTH = 160;
/** Rows of the board; there is a wall above and below. */
const TOP = 2;
const BOTTOM = TOP + ROWS * TILE.height;

/** 0 is black, around the board. */
const PATH = 1;
const WALL = 2;
const PLAYER = 3;
/** Of the first ghost; the others follow. */
const GHOST = 4;
const FRIGHTENED = 8;
const BLINK = 9;
const SCORE = 10;
const LIFE = 11;
/** Of the first level's fruit; the others follow. */
const FRUIT = 12;

/** Those of Ms. Pac-Man in ALE: none, path, wall and pellet, player, four ghosts, frightened ones, score, lives, cherry; the others are ours. */
export const PALETTE: readonly Color[] = [
  "#000000",
  "#001c88",
  "#e46f6f",
  "#d2a44a",
  "#c84848",
  "#c659b3",
  "#54b899",
  "#b47a30",
  "#4248c8",
  "#ececec",
  "#c3903d",
  "#bbbb35",
  "#b83232",
  "#e04050",
  "#e08030",
  "#c8a060",
  "#60b040",
  "#a0c840",
  "#e8e050",
];
/** From so high a level on all have the last one. */
const FRUIT_COLORS = PALETTE.length - FRUIT;

/** 8 x 10 pixels, one number a row, its highest bit at the left. The player looks right, and up. */
const CLOSED = [0x3c, 0x7e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7e, 0x3c];
const OPEN_RIGHT = [0x3c, 0x7e, 0xfc, 0xf8, 0xf0, 0xf0, 0xf8, 0xfc, 0x7e, 0x3c];
const OPEN_UP = [0x00, 0x42, 0xc3, 0xe7, 0xff, 0xff, 0xff, 0xff, 0x7e, 0x3c];
const GHOST_SHAPE = [0x3c, 0x7e, 0xff, 0x99, 0x99, 0xff, 0xff, 0xff, 0xff, 0xa5];
const FRUIT_SHAPE = [0x08, 0x10, 0x10, 0x3c, 0x7e, 0x7e, 0x7e, 0x7e, 0x3c, 0x18];

/** What of the game's state is seen. */
interface Seen {
  readonly level: number;
  readonly lives: number;
  readonly score: number;
  readonly pellets: Uint8Array;
  readonly player: Mover;
  readonly ghosts: readonly Ghost[];
  readonly fruit: Mover | null;
}

function fill(frame: Uint8Array, x: number, y: number, width: number, height: number, color: number): void {
  for (let row = y; row < y + height; row++) frame.fill(color, row * WIDTH + x, row * WIDTH + x + width);
}

/** A digit of 3 x 5 cells, a cell of 2 x 2 pixels. */
function drawDigit(frame: Uint8Array, digit: number, x: number, y: number): void {
  for (const [row, bits] of DIGITS[digit]!.entries()) {
    for (let column = 0; column < 3; column++) {
      if ((bits >> (2 - column)) & 1) fill(frame, x + 2 * column, y + 2 * row, 2, 2, SCORE);
    }
  }
}

/** A picture around the place of a mover; what is beyond a side is not seen. */
function drawSprite(frame: Uint8Array, { x, y }: Mover, shape: readonly number[], color: number, turned: Turn): void {
  const left = Math.floor((x * TILE.width) / PARTS) - 4;
  const top = TOP + Math.floor((y * TILE.height) / PARTS) - 5;
  for (let row = 0; row < shape.length; row++) {
    const bits = shape[turned.down ? shape.length - 1 - row : row]!;
    for (let column = 0; column < 8; column++) {
      const at = left + column;
      if (at >= 0 && at < WIDTH && (bits >> (turned.left ? column : 7 - column)) & 1) {
        frame[(top + row) * WIDTH + at] = color;
      }
    }
  }
}

interface Turn {
  readonly left: boolean;
  readonly down: boolean;
}
const UPRIGHT: Turn = { left: false, down: false };

function shapeOfPlayer(direction: Direction, open: boolean): readonly number[] {
  if (!open) return CLOSED;
  return direction === LEFT || direction === RIGHT ? OPEN_RIGHT : OPEN_UP;
}

/** The board in rows 0 to 171 of 210, lives, fruit and score below. */
export class PacManPicture {
  /** The board without anything that changes. */
  readonly #board = new Uint8Array(210 * WIDTH);

  constructor() {
    fill(this.#board, 0, 0, WIDTH, BOTTOM + TOP, WALL);
    for (const [tile, sign] of PLAN.entries()) {
      const [x, y] = [(tile % COLUMNS) * TILE.width, TOP + Math.floor(tile / COLUMNS) * TILE.height];
      if (sign !== "#") fill(this.#board, x, y, TILE.width, TILE.height, PATH);
      // The jail's door, and the wall below it.
      if (sign === "-" && PLAN[tile - COLUMNS] !== "-") fill(this.#board, x, y, TILE.width, 2, WALL);
      if (sign === "-" && PLAN[tile + COLUMNS] !== "-") fill(this.#board, x, y + TILE.height - 2, TILE.width, 2, WALL);
    }
  }

  /** @param blink whether frightened ghosts are light */
  draw(frame: Uint8Array, { level, lives, score, pellets, player, ghosts, fruit }: Seen, blink: boolean): void {
    frame.set(this.#board);
    for (let tile = 0; tile < pellets.length; tile++) {
      if (pellets[tile] === 0) continue;
      const x = (tile % COLUMNS) * TILE.width + 2;
      const y = TOP + Math.floor(tile / COLUMNS) * TILE.height;
      if (pellets[tile] === 1) fill(frame, x, y + 5, 4, 2, WALL);
      else fill(frame, x, y + 3, 4, 7, WALL);
    }
    const fruitColor = FRUIT + Math.min(level, FRUIT_COLORS) - 1;
    if (fruit !== null) drawSprite(frame, fruit, FRUIT_SHAPE, fruitColor, UPRIGHT);
    for (const [index, ghost] of ghosts.entries()) {
      const color = ghost.frightened ? (blink ? BLINK : FRIGHTENED) : GHOST + index;
      drawSprite(frame, ghost, GHOST_SHAPE, color, UPRIGHT);
    }
    const { direction } = player;
    const open = Math.floor((player.x + player.y) / (PARTS / 2)) % 2 === 0;
    const turned = { left: direction === LEFT, down: direction !== LEFT && direction !== RIGHT && direction !== UP };
    drawSprite(frame, player, shapeOfPlayer(direction, open), PLAYER, turned);
    // Lives beside the one that is played.
    for (let life = 0; life < lives - 1; life++) fill(frame, 8 + 8 * life, 176, 4, 7, LIFE);
    fill(frame, 144, 176, 6, 8, fruitColor);
    for (let rest = score, x = 112; rest > 0 || x === 112; rest = Math.floor(rest / 10), x -= 8) {
      drawDigit(frame, rest % 10, x, 190);
    }
  }
}

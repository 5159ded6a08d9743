import type { Color } from "../surface.ts";

const WIDTH = 160;
/** Rows of the field, between the walls. */
const TOP = 34;
const BOTTOM = 194;
const WALL = 10;

const BLACK = 0;
const BACKGROUND = 1;
const WHITE = 2;
const PLAYER = 3;
const ENEMY = 4;
/** What is added for the colors before a game. */
const BEFORE = 4;

/** ALE's colors: none, background, ball and walls, player, enemy; the last four before a game. */
export const PALETTE: readonly Color[] = [
  "#000000",
  "#904811",
  "#ececec",
  "#5cba5c",
  "#d5824a",
  "#6d762b",
  "#355f18",
  "#656fe4",
  "#d2b656",
];

/** Digits of 3 x 5 cells, a cell of 4 x 4 pixels; one number a row, its highest of three bits at the left. */
export const DIGITS = [
  [7, 5, 5, 5, 7],
  [2, 2, 2, 2, 2],
  [7, 1, 7, 4, 7],
  [7, 1, 3, 1, 7],
  [5, 5, 7, 1, 1],
  [7, 4, 7, 1, 7],
  [4, 4, 7, 5, 7],
  [7, 1, 1, 1, 1],
  [7, 5, 7, 5, 7],
  [7, 5, 7, 1, 1],
];
const CELL = 4;

function fill(frame: Uint8Array, x: number, y: number, width: number, height: number, color: number): void {
  for (let row = y; row < y + height; row++) frame.fill(color, row * WIDTH + x, row * WIDTH + x + width);
}

function drawNumber(frame: Uint8Array, value: number, x: number, color: number): void {
  const digits = value < 10 ? [undefined, value] : [Math.floor(value / 10), value % 10];
  for (const [place, digit] of digits.entries()) {
    for (const [row, bits] of (digit === undefined ? [] : DIGITS[digit]!).entries()) {
      for (let column = 0; column < 3; column++) {
        if ((bits >> (2 - column)) & 1) {
          fill(frame, x + CELL * (4 * place + column), 1 + CELL * row, CELL, CELL, color);
        }
      }
    }
  }
}

/** What of Pong's state is seen; positions as in `Pong`. */
interface Seen {
  readonly x: number;
  /** 0 while there is no ball. */
  readonly y: number;
  readonly enemy: number;
  readonly player: number;
  /** Scores of the enemy and the player. */
  readonly shown: readonly [number, number];
}

/** ALE's picture of Pong, 210 rows of 160 pixels. */
export class PongPicture {
  /** Everything that stands still, with the scores of `#scores`. */
  readonly #still = new Uint8Array(210 * WIDTH);
  #scores: readonly [number, number] = [-1, -1];

  draw(frame: Uint8Array, { x, y, enemy, player, shown }: Seen, before: boolean): void {
    if (shown[0] !== this.#scores[0] || shown[1] !== this.#scores[1]) this.#prepare(shown[0], shown[1]);
    frame.set(this.#still);
    drawInField(frame, 16, enemy - 15, 4, 16, ENEMY);
    drawInField(frame, 140, 2 * Math.ceil(player / 2) - 14, 4, 16, PLAYER);
    // The ball is switched on while the line is drawn: far to the right it comes a line earlier.
    const early = y % 2 === 1 && x >= 182 ? 1 : 0;
    if (y > 0) drawInField(frame, x - 49, y - 14 - early, 2, 4, WHITE);
    if (before) for (let pixel = 0; pixel < frame.length; pixel++) if (frame[pixel] !== BLACK) frame[pixel]! += BEFORE;
  }

  #prepare(enemy: number, player: number): void {
    const frame = this.#still.fill(BACKGROUND);
    fill(frame, 0, TOP - WALL, WIDTH, WALL, WHITE);
    fill(frame, 0, BOTTOM, WIDTH, 16, WHITE);
    fill(frame, 0, 0, 8, 1, BLACK);
    drawNumber(frame, enemy, 20, ENEMY);
    drawNumber(frame, player, 100, PLAYER);
    this.#scores = [enemy, player];
  }
}

function drawInField(frame: Uint8Array, x: number, y: number, width: number, height: number, color: number): void {
  const top = Math.max(TOP, y);
  fill(frame, x, top, width, Math.min(BOTTOM, y + height) - top, color);
}

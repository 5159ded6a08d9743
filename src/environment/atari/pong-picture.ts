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
  /** Half the line at which the cartridge found the paddle charged. */
  readonly reading: number;
  /** Scores of the enemy and the player. */
  readonly shown: readonly [number, number];
}

/** ALE's picture of Pong, 210 rows of 160 pixels. */
export class PongPicture {
  /** Everything that stands still, with the scores of `#scores`. */
  readonly #still = new Uint8Array(210 * WIDTH);
  #scores: readonly [number, number] = [-1, -1];

  draw(frame: Uint8Array, seen: Seen, before: boolean): void {
    const { enemy, player, shown } = seen;
    if (shown[0] !== this.#scores[0] || shown[1] !== this.#scores[1]) this.#prepare(shown[0], shown[1]);
    frame.set(this.#still);
    drawInField(frame, 16, enemy - 15, 4, 16, ENEMY);
    drawInField(frame, 140, playerTop(player), 4, 16, PLAYER);
    if (seen.y > 0) for (let side = 0; side < 2; side++) drawBall(frame, seen, seen.x - 49 + side);
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

/** The player's paddle is drawn in pairs of rows. */
function playerTop(player: number): number {
  return 2 * Math.ceil(player / 2) - 14;
}

/**
 * A column of the ball. The cartridge switches the ball on and off while a row is drawn, at a column that depends on what
 * else it has to do in that row: further right the switch works in the same row, else in the next.
 */
function drawBall(frame: Uint8Array, { y, enemy, player, reading }: Seen, column: number): void {
  const switchAt = (row: number): number => {
    const even = row % 2 === 0;
    const intoPlayer = row - playerTop(player) + (even ? 0 : 1);
    const intoEnemy = row - (enemy - 15);
    let from = even ? 139 : 158;
    if (row - reading > -14) from -= 6;
    if (intoPlayer >= 0 && intoPlayer < 16) from -= 3;
    if (even && intoEnemy >= -1 && intoEnemy < 15) from -= 3;
    return column >= from ? row : row + 1;
  };
  const top = switchAt(y - 15);
  fill(frame, column, top, 1, switchAt(y - 11) - top, WHITE);
}

function drawInField(frame: Uint8Array, x: number, y: number, width: number, height: number, color: number): void {
  const top = Math.max(TOP, y);
  fill(frame, x, top, width, Math.min(BOTTOM, y + height) - top, color);
}

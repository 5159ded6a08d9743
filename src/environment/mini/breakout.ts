import { z } from "zod";
import type { Pcg64 } from "../../random/pcg64.ts";
import { BoardGame, type BoardGameOptions, boardSchema, boardSpec, CELLS, type Planes, SIDE } from "./board-game.ts";

const PLANES: Planes = [
  { name: "paddle", color: "#4c72b0" },
  { name: "ball", color: "#ffffff" },
  { name: "trail", color: "#777777" },
  { name: "brick", color: "#c44e52" },
];
const LAST = SIDE - 1;
/** Bricks stand in rows 1 to 3. */
const WALL_FROM = SIDE;
const WALL_TO = 4 * SIDE;

const coordinate = z.number().int().min(0).max(LAST);
const direction = z.union([z.literal(-1), z.literal(1)]);
const stateSchema = z.strictObject({
  paddle: coordinate,
  x: coordinate,
  y: coordinate,
  lastX: coordinate,
  lastY: coordinate,
  across: direction,
  down: direction,
  struck: z.boolean(),
  bricks: boardSchema,
});
type BreakoutState = z.infer<typeof stateSchema>;

export const miniBreakoutV0 = boardSpec("MiniBreakout-v0", PLANES, 3);

/**
 * Breakout in the style of MinAtar: a ball that flies along diagonals breaks bricks, 1 point each; the paddle in the last
 * row has to meet it. Planes: paddle, ball, trail (where the ball was), brick. Actions: none (0), left (1), right (2).
 */
export class MiniBreakout extends BoardGame<BreakoutState> {
  #state: BreakoutState = {
    ...{ paddle: 4, x: 0, y: 3, lastX: 0, lastY: 3, across: 1, down: 1, struck: false },
    bricks: new Uint8Array(CELLS),
  };

  constructor(options: BoardGameOptions = {}) {
    super(miniBreakoutV0, PLANES, stateSchema, options);
  }

  /** The ball comes from the left or the right edge, in the lowest row of bricks. */
  protected override begin(random: Pcg64): void {
    const state = this.#state;
    const left = random.integer(2) === 0;
    state.paddle = 4;
    state.x = left ? 0 : LAST;
    state.y = 3;
    state.lastX = state.x;
    state.lastY = state.y;
    state.across = left ? 1 : -1;
    state.down = 1;
    state.struck = false;
    state.bricks.fill(0).fill(1, WALL_FROM, WALL_TO);
  }

  protected override advance(action: number): number {
    const state = this.#state;
    const { bricks } = state;
    if (action === 1) state.paddle = Math.max(0, state.paddle - 1);
    else if (action === 2) state.paddle = Math.min(LAST, state.paddle + 1);
    state.lastX = state.x;
    state.lastY = state.y;
    // Whatever turns the ball in one direction keeps it from moving in that direction for this step.
    const x = state.x + state.across;
    if (x < 0 || x > LAST) state.across = opposite(state.across);
    else state.x = x;
    const y = state.y + state.down;
    const struck = y >= 0 && bricks[y * SIDE + state.x] === 1;
    // Behind a brick that it has just broken the ball flies through others.
    const broken = struck && !state.struck;
    state.struck = struck;
    if (broken) bricks[y * SIDE + state.x] = 0;
    if (y < LAST && y >= 0 && !broken) {
      state.y = y;
      return 0;
    }
    if (y === LAST) {
      if (!bricks.includes(1)) bricks.fill(1, WALL_FROM, WALL_TO);
      if (state.lastX !== state.paddle) {
        this.lost = state.x !== state.paddle;
        if (this.lost) {
          state.y = y;
          return 0;
        }
        // Met by its corner: back where it came from.
        state.across = opposite(state.across);
      }
    }
    state.down = opposite(state.down);
    return broken ? 1 : 0;
  }

  protected override observe(): void {
    const { paddle, x, y, lastX, lastY, bricks } = this.#state;
    this.observation[LAST * SIDE + paddle] = 1;
    this.observation[CELLS + y * SIDE + x] = 1;
    this.observation[2 * CELLS + lastY * SIDE + lastX] = 1;
    for (let cell = WALL_FROM; cell < WALL_TO; cell++) this.observation[3 * CELLS + cell] = bricks[cell]!;
  }

  protected override save(): BreakoutState {
    return { ...this.#state, bricks: this.#state.bricks.slice() };
  }

  protected override restore(state: BreakoutState): void {
    this.#state = { ...state, bricks: state.bricks.slice() };
  }
}

function opposite(direction: 1 | -1): 1 | -1 {
  return direction === 1 ? -1 : 1;
}

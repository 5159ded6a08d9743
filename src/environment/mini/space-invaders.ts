import { z } from "zod";
import { BoardGame, type BoardGameOptions, boardSchema, boardSpec, CELLS, type Planes, SIDE } from "./board-game.ts";

const PLANES: Planes = [
  { name: "cannon", color: "#4c72b0" },
  { name: "alien", color: "#55a868" },
  { name: "alien moving left", color: "#55a868" },
  { name: "alien moving right", color: "#55a868" },
  { name: "friendly bullet", color: "#ffffff" },
  { name: "enemy bullet", color: "#c44e52" },
];
const LAST = SIDE - 1;
/** The cannon's row, its first cell. */
const GROUND = LAST * SIDE;

/** Steps from a move of the aliens to the next: in the first wave, and in the fastest. */
const SLOWEST = 12;
const FASTEST = 6;
/** Steps from a shot of the aliens to the next. */
const SHOT_INTERVAL = 10;
/** Steps from a shot of the cannon to the next. */
const COOLDOWN = 5;

const count = z.number().int().min(0);
const stateSchema = z.strictObject({
  cannon: count.max(LAST),
  across: z.union([z.literal(-1), z.literal(1)]),
  /** Steps from a move to the next while there are as many aliens, and until the next. */
  interval: count,
  untilMove: count,
  untilShot: count,
  cooldown: count,
  aliens: boardSchema,
  friendly: boardSchema,
  enemy: boardSchema,
});
type InvadersState = z.infer<typeof stateSchema>;

export const miniSpaceInvadersV0 = boardSpec("MiniSpaceInvaders-v0", PLANES, 4);

/** A wave: 4 rows of 6. */
function fillWave(aliens: Uint8Array): void {
  aliens.fill(0);
  for (let row = 0; row < 4; row++) aliens.fill(1, row * SIDE + 2, row * SIDE + 8);
}

/**
 * Space Invaders in the style of MinAtar: aliens come down row by row and shoot; the cannon shoots them, 1 point each. An alien or
 * a bullet that reaches the cannon, or an alien that would leave the board below, ends the game. The fewer aliens of a wave
 * are left, the faster they move; each next wave is faster, to a limit. Planes: cannon, alien, alien moving left, alien
 * moving right, friendly bullet, enemy bullet. Actions: none (0), left (1), right (2), fire (3).
 */
export class MiniSpaceInvaders extends BoardGame<InvadersState> {
  #state: InvadersState = {
    ...{ cannon: 5, across: -1, interval: SLOWEST, untilMove: SLOWEST, untilShot: SHOT_INTERVAL, cooldown: 0 },
    ...{ aliens: new Uint8Array(CELLS), friendly: new Uint8Array(CELLS), enemy: new Uint8Array(CELLS) },
  };

  constructor(options: BoardGameOptions = {}) {
    super(miniSpaceInvadersV0, PLANES, stateSchema, options);
  }

  protected override begin(): void {
    const state = this.#state;
    state.cannon = 5;
    state.across = -1;
    state.interval = SLOWEST;
    state.untilMove = SLOWEST;
    state.untilShot = SHOT_INTERVAL;
    state.cooldown = 0;
    state.friendly.fill(0);
    state.enemy.fill(0);
    fillWave(state.aliens);
  }

  protected override advance(action: number): number {
    const state = this.#state;
    const { aliens, friendly, enemy } = state;
    if (action === 1) state.cannon = Math.max(0, state.cannon - 1);
    else if (action === 2) state.cannon = Math.min(LAST, state.cannon + 1);
    else if (action === 3 && state.cooldown === 0) {
      friendly[GROUND + state.cannon] = 1;
      state.cooldown = COOLDOWN;
    }
    friendly.copyWithin(0, SIDE).fill(0, GROUND);
    enemy.copyWithin(SIDE, 0, GROUND).fill(0, 0, SIDE);
    const place = GROUND + state.cannon;
    this.lost = enemy[place] === 1 || aliens[place] === 1;
    if (state.untilMove === 0) {
      this.#moveAliens();
      this.lost ||= aliens[place] === 1;
    }
    if (state.untilShot === 0) {
      state.untilShot = SHOT_INTERVAL;
      this.#shoot();
    }
    let reward = 0;
    for (let cell = 0; cell < CELLS; cell++) {
      if (friendly[cell] === 0 || aliens[cell] === 0) continue;
      aliens[cell] = 0;
      friendly[cell] = 0;
      reward++;
    }
    if (state.cooldown > 0) state.cooldown--;
    state.untilMove--;
    state.untilShot--;
    if (!aliens.includes(1)) {
      state.interval = Math.max(FASTEST, state.interval - 1);
      fillWave(aliens);
    }
    return reward;
  }

  /** One cell to the side, or, at the edge, one down and about; the game is lost when they cannot go further down. */
  #moveAliens(): void {
    const state = this.#state;
    const { aliens } = state;
    let left = 0;
    let atEdge = false;
    const edge = state.across < 0 ? 0 : LAST;
    for (let cell = 0; cell < CELLS; cell++) {
      if (aliens[cell] === 0) continue;
      left++;
      atEdge ||= cell % SIDE === edge;
    }
    state.untilMove = Math.min(left, state.interval);
    let by: number = state.across;
    if (atEdge) {
      state.across = state.across === 1 ? -1 : 1;
      this.lost ||= aliens.includes(1, GROUND);
      by = SIDE;
    }
    // Round and round: only of a lost game aliens come in again above.
    const before = aliens.slice();
    for (let cell = 0; cell < CELLS; cell++) aliens[(cell + by + CELLS) % CELLS] = before[cell]!;
  }

  /** The lowest alien of the column nearest to the cannon shoots; of two equally near columns the left one. */
  #shoot(): void {
    const { cannon, aliens, enemy } = this.#state;
    for (let distance = 0; distance <= LAST; distance++) {
      for (const column of [cannon - distance, cannon + distance]) {
        if (column < 0 || column > LAST) continue;
        for (let cell = GROUND + column; cell >= 0; cell -= SIDE) {
          if (aliens[cell] !== 1) continue;
          enemy[cell] = 1;
          return;
        }
      }
    }
  }

  protected override observe(): void {
    const { cannon, across, aliens, friendly, enemy } = this.#state;
    const { observation } = this;
    const moving = (across < 0 ? 2 : 3) * CELLS;
    observation[GROUND + cannon] = 1;
    for (let cell = 0; cell < CELLS; cell++) {
      observation[CELLS + cell] = aliens[cell]!;
      observation[moving + cell] = aliens[cell]!;
      observation[4 * CELLS + cell] = friendly[cell]!;
      observation[5 * CELLS + cell] = enemy[cell]!;
    }
  }

  protected override save(): InvadersState {
    const { aliens, friendly, enemy, ...numbers } = this.#state;
    return { ...numbers, aliens: aliens.slice(), friendly: friendly.slice(), enemy: enemy.slice() };
  }

  protected override restore({ aliens, friendly, enemy, ...numbers }: InvadersState): void {
    this.#state = { ...numbers, aliens: aliens.slice(), friendly: friendly.slice(), enemy: enemy.slice() };
  }
}

import { describe, expect, it } from "vitest";
import { MiniSpaceInvaders } from "../../../src/environment/mini/space-invaders.ts";

const NONE = 0;
const LEFT = 1;
const FIRE = 3;

interface Situation {
  readonly cannon?: number;
  readonly across?: number;
  readonly interval?: number;
  readonly untilMove?: number;
  readonly untilShot?: number;
  readonly cooldown?: number;
  /** Cells. */
  readonly aliens?: readonly number[];
  readonly friendly?: readonly number[];
  readonly enemy?: readonly number[];
}

const PIECES = ["aliens", "friendly", "enemy"] as const;

function board(cells: readonly number[]): Uint8Array {
  const result = new Uint8Array(100);
  for (const cell of cells) result[cell] = 1;
  return result;
}

/** What one action leads to from a situation; what it leaves out is that of a new game, without bullets and shots. */
function play(situation: Situation, action = NONE): Required<Situation> & { reward: number; lost: boolean } {
  const environment = new MiniSpaceInvaders({ stickyActionProbability: 0 });
  environment.reset(0);
  const saved = environment.getState() as { game: Record<string, unknown> };
  const boards = Object.fromEntries(
    PIECES.flatMap((name) => (situation[name] === undefined ? [] : [[name, board(situation[name])]])),
  );
  const game = { ...saved.game, ...situation, ...boards } as Record<string, number | Uint8Array>;
  environment.setState({ ...saved, game });
  const { reward, terminated } = environment.step(action);
  const after = (environment.getState() as { game: Record<string, number | Uint8Array> }).game;
  const cells = Object.fromEntries(
    PIECES.map((name) => {
      const pieces = after[name] as Uint8Array;
      return [name, [...pieces.keys()].filter((cell) => pieces[cell] === 1)];
    }),
  );
  return { ...after, ...cells, reward, lost: terminated } as Required<Situation> & { reward: number; lost: boolean };
}

const WAVE = [0, 1, 2, 3].flatMap((row) => [2, 3, 4, 5, 6, 7].map((column) => 10 * row + column));

describe("the aliens", () => {
  it("begin as 4 rows of 6", () => {
    expect(play({}).aliens).toEqual(WAVE);
  });

  it("move a cell when their time has come, and wait for the interval of the wave", () => {
    const { aliens, untilMove } = play({ untilMove: 0, interval: 12 });
    expect(aliens).toEqual(WAVE.map((cell) => cell - 1));
    expect(untilMove).toBe(11);
  });

  it("move sooner when fewer are left than the interval has steps", () => {
    expect(play({ untilMove: 0, aliens: [33, 34, 35] }).untilMove).toBe(2);
  });

  it("turn about a row lower when one is at the edge", () => {
    expect(play({ untilMove: 0, across: -1, aliens: [30, 45] })).toMatchObject({ across: 1, aliens: [40, 55] });
    expect(play({ untilMove: 0, across: 1, aliens: [39, 45] })).toMatchObject({ across: -1, aliens: [49, 55] });
  });

  it("win when they would leave the board below", () => {
    expect(play({ untilMove: 0, across: 1, aliens: [39, 91] }).lost).toBe(true);
  });

  it("win when one reaches the cannon", () => {
    expect(play({ cannon: 5, untilMove: 0, across: -1, aliens: [96, 33] }).lost).toBe(true);
    expect(play({ cannon: 5, untilMove: 5, aliens: [94, 33] }, LEFT).lost).toBe(true);
  });

  it("shoot from the lowest of the nearest column, the left one of two", () => {
    expect(play({ cannon: 5, untilShot: 0, aliens: [13, 23, 17, 37] }).enemy).toEqual([23]);
    expect(play({ cannon: 6, untilShot: 0, aliens: [13, 23, 17, 37] }).enemy).toEqual([37]);
  });

  it("shoot every 10 steps", () => {
    expect(play({ untilShot: 0 }).untilShot).toBe(9);
    expect(play({ untilShot: 1 }).enemy).toEqual([]);
  });

  it.each([
    [12, 11],
    [7, 6],
    [6, 6],
  ])("come again when all are shot, after an interval of %i at one of %i", (interval, next) => {
    const after = play({ interval, aliens: [45], friendly: [55], untilMove: 5 });
    expect(after).toMatchObject({ aliens: WAVE, interval: next, reward: 1, lost: false });
  });
});

describe("bullets", () => {
  it("of the cannon fly up and out", () => {
    expect(play({ friendly: [50, 9] }).friendly).toEqual([40]);
  });

  it("of the cannon take the alien that they meet for a point, and are gone with it", () => {
    const after = play({ friendly: [45, 77], untilMove: 5 });
    expect(after).toMatchObject({ reward: 1, friendly: [67], aliens: WAVE.filter((cell) => cell !== 35) });
  });

  it("of the cannon leave it at most every 5 steps", () => {
    expect(play({ cooldown: 0 }, FIRE)).toMatchObject({ friendly: [85], cooldown: 4 });
    expect(play({ cooldown: 1 }, FIRE)).toMatchObject({ friendly: [], cooldown: 0 });
  });

  it("of the aliens fly down and end the game in the cannon's place", () => {
    expect(play({ cannon: 5, enemy: [74, 94] })).toMatchObject({ enemy: [84], lost: false });
    expect(play({ cannon: 5, enemy: [85] }).lost).toBe(true);
    expect(play({ cannon: 5, enemy: [85] }, LEFT).lost).toBe(false);
  });
});

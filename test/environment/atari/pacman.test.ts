import { describe, expect, it } from "vitest";
import { PacMan } from "../../../src/environment/atari/pacman.ts";
import { DOWN, LEFT, moverAt, PELLETS, RIGHT, tileAt, tileOf, UP } from "../../../src/environment/atari/pacman-maze.ts";
import { type Ghost, ghostAt, ghostsWith, pellets, play, points, situation, stateOf } from "./pacman-situation.ts";

/** Actions as ALE numbers them. */
const NONE = 0;
const GO_UP = 2;
const GO_RIGHT = 3;
const GO_LEFT = 4;
const GO_DOWN = 5;
const SECOND = 60;
/** A place with walls above and below, in the row above the jail. */
const LANE = tileAt(5, 5);

describe("the player", () => {
  it("moves 0.75 pixels a frame across: 6 tiles of 8 pixels in 64 frames, and as many tiles along", () => {
    const across = situation({ player: moverAt(tileAt(9, 0), LEFT) });
    play(across, 64);
    expect(stateOf(across).player).toEqual(moverAt(tileAt(3, 0), LEFT));
    const along = situation({ player: moverAt(tileAt(1, 5), DOWN) });
    play(along, 32);
    expect(stateOf(along).player).toEqual(moverAt(tileAt(1, 8), DOWN));
  });

  it("goes on without an action, and stops at a wall", () => {
    const game = situation({ player: moverAt(tileAt(3, 0), LEFT) });
    play(game, 100);
    expect(stateOf(game).player).toEqual(moverAt(tileAt(1, 0), LEFT));
  });

  it("turns at the next center where there is a way, if the action lasts till then", () => {
    const early = situation({ player: moverAt(LANE, LEFT) });
    play(early, 5, GO_DOWN);
    play(early, 30);
    expect(tileOf(stateOf(early).player)).toBe(tileAt(2, 5));
    const lasting = situation({ player: moverAt(LANE, LEFT) });
    play(lasting, 32, GO_DOWN);
    expect(stateOf(lasting).player).toEqual(moverAt(tileAt(4, 7), DOWN));
  });

  it("turns back at once", () => {
    const game = situation({ player: moverAt(LANE, LEFT) });
    play(game, 5);
    play(game, 5, GO_RIGHT);
    expect(stateOf(game).player).toEqual(moverAt(LANE, RIGHT));
  });

  it("keeps going when the action leads into a wall", () => {
    const game = situation({ player: moverAt(LANE, LEFT) });
    play(game, 8, GO_UP);
    expect(stateOf(game).player.direction).toBe(LEFT);
    expect(stateOf(game).player.x).toBe(moverAt(LANE, LEFT).x - 8 * 12);
  });

  it("passes the tunnel from one side to the other", () => {
    const game = situation({ player: moverAt(tileAt(0, 5), LEFT) });
    play(game, 32, GO_LEFT);
    expect(stateOf(game).player).toEqual(moverAt(tileAt(17, 5), LEFT));
  });

  it("waits 15 frames when a life begins", () => {
    const game = new PacMan();
    game.reset(0);
    play(game, 15, GO_LEFT);
    expect(stateOf(game).player).toEqual(moverAt(tileAt(9, 8), LEFT));
    play(game, 1, GO_LEFT);
    expect(stateOf(game).player.x).toBe(moverAt(tileAt(9, 8), LEFT).x - 12);
  });
});

describe("pellets", () => {
  it("are worth 10 points, power pellets 50, and are gone", () => {
    const game = situation({ player: moverAt(tileAt(3, 2), LEFT) });
    expect(points(game, 5)).toBe(10);
    expect(points(game, 10)).toBe(10);
    expect(points(game, 10)).toBe(50);
    expect([1, 2, 3].map((column) => stateOf(game).pellets[tileAt(column, 2)])).toEqual([0, 0, 0]);
    expect(points(game, 20, GO_RIGHT)).toBe(0);
  });

  it("are all there again in the next level, with everybody in their places, when the last one is eaten", () => {
    const game = situation({
      player: moverAt(tileAt(3, 2), LEFT),
      pellets: pellets({ [tileAt(2, 2)]: 1 }),
      pelletsEaten: 155,
    });
    expect(points(game, 6)).toBe(10);
    const { level, lives, ready, player, pelletsEaten, pellets: maze } = stateOf(game);
    expect({ level, lives, ready, pelletsEaten }).toEqual({ level: 2, lives: 3, ready: 15, pelletsEaten: 0 });
    expect(player).toEqual(moverAt(tileAt(9, 8), LEFT));
    expect([...maze]).toEqual(PELLETS);
  });

  it("bring an extra life at 10,000 points, once", () => {
    const game = situation({ player: moverAt(tileAt(6, 2), LEFT), score: 9980 });
    play(game, 5);
    expect(stateOf(game)).toMatchObject({ score: 9_990, lives: 3 });
    play(game, 10);
    expect(stateOf(game)).toMatchObject({ score: 10_000, lives: 4 });
    play(game, 11);
    expect(stateOf(game)).toMatchObject({ score: 10_010, lives: 4 });
  });
});

describe("a ghost", () => {
  it("costs a life where it touches the player, and all begin anew in the same maze", () => {
    const game = situation({
      player: moverAt(LANE, LEFT),
      ghosts: ghostsWith({ 0: ghostAt(4, 5, RIGHT) }),
    });
    play(game, 2);
    expect(stateOf(game)).toMatchObject({ lives: 2, ready: 15, level: 1, mode: "random", score: 10 });
    expect(stateOf(game).player).toEqual(moverAt(tileAt(9, 8), LEFT));
    expect(stateOf(game).pellets[LANE]).toBe(0);
    expect(game.over).toBe(false);
  });

  it.each([
    [96, 3],
    [95, 2],
  ])("that is %i parts of 128, of 8 pixels, away leaves %i lives: touching is less than 6 pixels", (parts, lives) => {
    // The player stands at a wall, the ghost goes away from it, 11 parts in the frame that is played.
    const corner = moverAt(tileAt(1, 0), LEFT);
    const ghost = { ...ghostAt(1, 0, RIGHT), x: corner.x + parts - 11 };
    const game = situation({ player: corner, ghosts: ghostsWith({ 0: ghost }) });
    play(game, 1);
    expect(game.lives).toBe(lives);
  });

  it("ends the game with the last life", () => {
    const game = situation({
      lives: 1,
      player: moverAt(LANE, LEFT),
      ghosts: ghostsWith({ 0: ghostAt(4, 5, RIGHT) }),
    });
    play(game, 2);
    expect(game.over).toBe(true);
    expect(game.lives).toBe(0);
  });

  it("leaves the jail upwards after its time: none, 7, 5 and 1 seconds", () => {
    const game = new PacMan();
    game.reset(0);
    expect(stateOf(game).ghosts.map(({ jailed }) => jailed)).toEqual([0, 7 * SECOND, 5 * SECOND, SECOND]);
    const sue = situation({ ghosts: ghostsWith({ 3: { ...ghostAt(9, 6, UP), jailed: 1 } }) });
    play(sue, 1);
    expect(stateOf(sue).ghosts[3]).toEqual(ghostAt(9, 6, UP));
    play(sue, 11);
    expect(stateOf(sue).ghosts[3]?.y).toBe(ghostAt(9, 6, UP).y - 11 * 11);
    expect(stateOf(sue).ghosts[3]?.x).toBe(ghostAt(9, 6, UP).x);
  });

  it.each([
    [1, false, 11],
    [2, false, 12],
    [3, false, 13],
    [9, false, 13],
    [1, true, 5],
    [3, true, 6],
  ])("moves in level %i, frightened %s, %i parts a frame", (level, frightened, parts) => {
    const game = situation({
      level,
      frightenedLeft: frightened ? 100 : 0,
      ghosts: ghostsWith({ 0: { ...ghostAt(5, 0, RIGHT), frightened } }),
    });
    play(game, 1);
    expect(stateOf(game).ghosts[0]?.x).toBe(ghostAt(5, 0, RIGHT).x + parts);
  });
});

describe("a power pellet", () => {
  const beside = { player: moverAt(tileAt(2, 2), LEFT) };

  it("frightens the ghosts that are out for 17 seconds", () => {
    const game = situation({ ...beside, ghosts: ghostsWith({ 0: ghostAt(18, 13, UP) }) });
    play(game, 6);
    expect(stateOf(game).ghosts.map(({ frightened }) => frightened)).toEqual([true, false, false, false]);
    play(game, 17 * SECOND - 1);
    expect(stateOf(game).ghosts[0]?.frightened).toBe(true);
    play(game, 1);
    expect(stateOf(game).ghosts[0]?.frightened).toBe(false);
  });

  it("frightens for 0.85 of the time in each next level", () => {
    const game = situation({ ...beside, level: 3 });
    play(game, 6);
    expect(stateOf(game).frightenedLeft).toBe(Math.floor(17 * SECOND * 0.85 * 0.85));
  });

  it("makes ghosts worth 200, 400, 800 and 1,600, and sends each to jail for 10 seconds", () => {
    const scared = (column: number): Ghost => ({ ...ghostAt(column, 5, RIGHT), frightened: true });
    const game = situation({
      player: moverAt(LANE, LEFT),
      pellets: pellets({ [tileAt(1, 0)]: 1 }),
      frightenedLeft: 1000,
      ghosts: [scared(5), scared(5), scared(5), scared(5)],
    });
    expect(points(game, 1)).toBe(3000);
    for (const ghost of stateOf(game).ghosts) expect(ghost).toMatchObject({ jailed: 10 * SECOND, frightened: false });
    expect(game.lives).toBe(3);
  });

  it("begins again at 200", () => {
    const game = situation({ ...beside, eaten: 3, frightenedLeft: 100 });
    play(game, 6);
    expect(stateOf(game).eaten).toBe(0);
  });

  it("does not frighten a ghost that was eaten", () => {
    const game = situation({ ...beside, ghosts: ghostsWith({ 0: { ...ghostAt(10, 6, UP), jailed: 7 } }) });
    play(game, 8);
    expect(stateOf(game).ghosts[0]).toMatchObject({ jailed: 0, frightened: false });
  });
});

describe("the modes of ghosts", () => {
  it("are random for 7 seconds, then chases of 18 to 22 seconds and scatters of 7 in turns", () => {
    const lengths = new Set<number>();
    for (let seed = 0; seed < 30; seed++) {
      const game = situation({ modeLeft: 7 * SECOND }, seed);
      play(game, 7 * SECOND - 1);
      expect(stateOf(game).mode).toBe("random");
      play(game, 1);
      expect(stateOf(game).mode).toBe("chase");
      const { modeLeft } = stateOf(game);
      lengths.add(modeLeft);
      play(game, modeLeft);
      expect(stateOf(game)).toMatchObject({ mode: "scatter", modeLeft: 7 * SECOND });
      play(game, 7 * SECOND);
      expect(stateOf(game).mode).toBe("chase");
    }
    expect(Math.min(...lengths)).toBeGreaterThanOrEqual(18 * SECOND);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(22 * SECOND);
    expect(lengths.size).toBeGreaterThan(20);
  });

  it("wait while ghosts are frightened", () => {
    const game = situation({ frightenedLeft: 100, modeLeft: 50 });
    play(game, 100);
    expect(stateOf(game).modeLeft).toBe(50);
    play(game, 1);
    expect(stateOf(game).modeLeft).toBe(49);
  });
});

describe("a fruit", () => {
  it.each([49, 99])("comes through a tunnel with the next pellet after %i", (pelletsEaten) => {
    const entrances = new Set<number>();
    for (let seed = 0; seed < 30; seed++) {
      const game = situation({ player: moverAt(tileAt(3, 2), LEFT), pelletsEaten }, seed);
      play(game, 6);
      const { fruit } = stateOf(game);
      if (fruit !== null) entrances.add(tileOf(fruit));
    }
    expect([...entrances].sort((a, b) => a - b)).toEqual([tileAt(0, 5), tileAt(19, 5), tileAt(0, 10), tileAt(19, 10)]);
  });

  it("does not come with others", () => {
    const game = situation({ player: moverAt(tileAt(3, 2), LEFT), pelletsEaten: 50 });
    play(game, 6);
    expect(stateOf(game).fruit).toBeNull();
  });

  it.each([
    [1, 100],
    [2, 200],
    [3, 500],
    [4, 700],
    [5, 1000],
    [6, 2000],
    [7, 5000],
    [8, 5000],
  ])("is worth in level %i %i points", (level, worth) => {
    const game = situation({
      level,
      player: moverAt(LANE, LEFT),
      pellets: pellets({ [tileAt(1, 0)]: 1 }),
      fruit: { ...moverAt(LANE, LEFT), left: 100 },
    });
    expect(points(game, 1)).toBe(worth);
    expect(stateOf(game).fruit).toBeNull();
  });

  it("leaves after its time", () => {
    const game = situation({
      player: moverAt(tileAt(1, 0), LEFT),
      fruit: { ...moverAt(tileAt(12, 13), LEFT), left: 2 },
    });
    play(game, 1);
    expect(stateOf(game).fruit).not.toBeNull();
    play(game, 1);
    expect(stateOf(game).fruit).toBeNull();
  });
});

describe("a game", () => {
  it("is the same with the same seed and actions, and another one with another seed", () => {
    const record = (seed: number): string => {
      const game = new PacMan();
      game.reset(seed);
      for (let frame = 0; frame < 3000 && !game.over; frame++) game.step([NONE, 2, 3, 4, 5][(frame >> 4) % 5]!);
      return JSON.stringify(stateOf(game));
    };
    expect(record(1)).toBe(record(1));
    expect(record(1)).not.toBe(record(2));
  });
});

import { describe, expect, it } from "vitest";
import { PacMan, type PacManState } from "../../../src/environment/atari/pacman.ts";
import {
  DIRECTIONS,
  type Direction,
  exitsOf,
  LEFT,
  moverAt,
  nextTile,
  TILES,
  tileAt,
  tileOf,
} from "../../../src/environment/atari/pacman-maze.ts";
import { checkEnvironment } from "../../../src/environment/check.ts";
import { makeEnvironment, registrationOf } from "../../../src/environment/registry.ts";
import { Pcg64 } from "../../../src/random/pcg64.ts";
import { Recorder } from "../recorder.ts";
import { ghostAt, ghostsWith, pellets, situation, stateOf } from "./pacman-situation.ts";

const CHOICES = 5;
/** The game's action of each direction: up, left, down, right. */
const ACTION_OF: Readonly<Record<Direction, number>> = { 0: 2, 1: 4, 2: 5, 3: 3 };

/** Steps from the nearest of the given tiles to every tile. */
function distances(from: Iterable<number>, open: (tile: number) => boolean): Int32Array {
  const steps = new Int32Array(TILES).fill(TILES);
  const queue = [...from];
  for (const tile of queue) steps[tile] = 0;
  for (const tile of queue) {
    for (const way of exitsOf(tile)) {
      const next = nextTile(tile, way);
      if (steps[next]! < TILES || !open(next)) continue;
      steps[next] = steps[tile]! + 1;
      queue.push(next);
    }
  }
  return steps;
}

/** Towards the nearest pellet or frightened ghost on paths that no other ghost is near; away from ghosts if there is none. */
function greedy({ player, ghosts, pellets }: PacManState): number {
  const here = tileOf(player);
  const free = ghosts.filter(({ jailed }) => jailed === 0);
  const danger = distances(free.filter(({ frightened }) => !frightened).map(tileOf), () => true);
  const prey = free.filter(({ frightened }) => frightened).map(tileOf);
  const food = [...prey, ...[...pellets.keys()].filter((tile) => pellets[tile]! > 0)];
  const safe = (tile: number): boolean => danger[tile]! > 3;
  const steps = distances(food.filter(safe), safe);
  const ways = exitsOf(here);
  const value = (way: Direction): number => {
    const next = nextTile(here, way);
    return safe(next) && steps[next]! < TILES ? 1000 - steps[next]! : danger[next]!;
  };
  const best = ways.reduce((a, b) => (value(b) > value(a) ? b : a));
  return ACTION_OF[best];
}

/** Points of a whole game, of at most 6,000 frames, whose player chooses every fourth frame. */
function score(seed: number, choose: (state: PacManState) => number): number {
  const game = new PacMan();
  game.reset(seed);
  let points = 0;
  let action = 0;
  for (let frame = 0; frame < 6000 && !game.over; frame++) {
    if (frame % 4 === 0) action = choose(stateOf(game));
    points += game.step(action);
  }
  return points;
}

function mean(scores: readonly number[]): number {
  return scores.reduce((sum, one) => sum + one, 0) / scores.length;
}

describe("a player", () => {
  const seeds = [0, 1, 2, 3, 4];

  it("that acts at random wins some hundred points", () => {
    const random = new Pcg64(1);
    const scores = seeds.map((seed) => score(seed, () => [0, 2, 3, 4, 5][random.integer(CHOICES)]!));
    expect(mean(scores)).toBeGreaterThan(200);
    expect(mean(scores)).toBeLessThan(900);
  });

  it("that goes to the nearest pellet and keeps away from ghosts wins some thousand", () => {
    const scores = seeds.map((seed) => score(seed, greedy));
    expect(mean(scores)).toBeGreaterThan(3000);
  });
});

describe("PacMan-v0", () => {
  it("keeps the contract of environments", () => {
    expect(checkEnvironment(registrationOf("PacMan-v0").create)).toEqual([]);
  });

  it("goes on bit by bit from a saved state, over lives and games, in another environment too", () => {
    const random = new Pcg64(3);
    const environment = makeEnvironment("PacMan-v0");
    environment.reset(5);
    const advance = (one: ReturnType<typeof makeEnvironment>, action: number): unknown[] => {
      const { observation, reward, terminated, truncated, lifeLost } = one.step(action);
      const first = [
        Buffer.from(Uint8Array.from(observation)).toString("base64"),
        reward,
        terminated,
        truncated,
        lifeLost,
      ];
      if (terminated) one.reset();
      return first;
    };
    for (let step = 0; step < 200; step++) advance(environment, random.integer(CHOICES));
    const twin = makeEnvironment("PacMan-v0");
    twin.setState(structuredClone(environment.getState()));
    let ends = 0;
    for (let step = 0; step < 800; step++) {
      const action = random.integer(CHOICES);
      const outcome = advance(environment, action);
      expect(advance(twin, action)).toEqual(outcome);
      if (outcome[2] === true) ends++;
    }
    expect(ends).toBeGreaterThan(0);
    expect(twin.getState()).toEqual(environment.getState());
  });

  it("says when a life is lost, and ends with the last one", () => {
    const environment = makeEnvironment("PacMan-v0");
    environment.reset(0);
    const random = new Pcg64(0);
    let lost = 0;
    for (let ended = false; !ended; ) {
      const { lifeLost, terminated } = environment.step(random.integer(CHOICES));
      if (lifeLost) lost++;
      ended = terminated;
    }
    expect(lost).toBe(2);
  });

  it("starts differently after another number of frames without action", () => {
    const environment = makeEnvironment("PacMan-v0");
    const starts = new Set<string>();
    for (let seed = 0; seed < 20; seed++) starts.add(Uint8Array.from(environment.reset(seed)).join());
    expect(starts.size).toBeGreaterThan(5);
  });

  it("is drawn in its colors on any surface", () => {
    const environment = makeEnvironment("PacMan-v0");
    environment.reset(0);
    const surface = new Recorder();
    environment.render?.(surface);
    expect(new Set(surface.shapes.map(({ color }) => color))).toEqual(
      new Set([
        "#000000",
        "#001c88",
        "#e46f6f",
        "#d2a44a",
        "#c84848",
        "#c659b3",
        "#54b899",
        "#b47a30",
        "#b83232",
        "#bbbb35",
        "#c3903d",
      ]),
    );
  });
});

describe("the picture", () => {
  /** Colors of the pixels in a rectangle. */
  function colors(game: PacMan, x: number, y: number, width: number, height: number): Set<string> {
    const frame = new Uint8Array(game.width * game.height);
    game.draw(frame);
    const found = new Set<string>();
    for (let row = y; row < y + height; row++) {
      for (let column = x; column < x + width; column++) found.add(game.palette[frame[row * game.width + column]!]!);
    }
    return found;
  }

  /** Those of a tile, of 8 x 12 pixels. */
  function tileColors(game: PacMan, column: number, row: number): Set<string> {
    return colors(game, 8 * column, 2 + 12 * row, 8, 12);
  }

  const path = "#001c88";
  const wall = "#e46f6f";
  const player = "#d2a44a";

  it("shows walls, paths with pellets, and paths without", () => {
    const game = situation({ pellets: pellets({ [tileAt(3, 0)]: 1 }) });
    expect(tileColors(game, 0, 0)).toEqual(new Set([wall]));
    expect(tileColors(game, 3, 0)).toEqual(new Set([path, wall]));
    expect(tileColors(game, 4, 0)).toEqual(new Set([path]));
  });

  it("shows power pellets larger than pellets", () => {
    const light = (pellet: 1 | 2): number => {
      const game = situation({ pellets: pellets({ [tileAt(3, 0)]: pellet }) });
      const frame = new Uint8Array(160 * 210);
      game.draw(frame);
      let lit = 0;
      for (let y = 2; y < 14; y++) for (let x = 24; x < 32; x++) if (game.palette[frame[y * 160 + x]!] === wall) lit++;
      return lit;
    };
    expect(light(1)).toBe(8);
    expect(light(2)).toBe(28);
  });

  it("shows the player where it is, at the sides of a tunnel cut off", () => {
    const game = situation({ player: moverAt(tileAt(3, 0), LEFT), pellets: pellets({ [tileAt(1, 13)]: 1 }) });
    expect(tileColors(game, 3, 0)).toEqual(new Set([path, player]));
    expect(tileColors(game, 5, 0)).toEqual(new Set([path]));
    const leaving = situation({
      player: { ...moverAt(tileAt(0, 5), LEFT), x: 0 },
      pellets: pellets({ [tileAt(1, 13)]: 1 }),
    });
    expect(colors(leaving, 0, 62, 4, 12)).toEqual(new Set([path, player]));
    expect(colors(leaving, 152, 62, 8, 12)).toEqual(new Set([path]));
  });

  it("turns the player's mouth where it goes", () => {
    const at = (direction: Direction): string => {
      const game = situation({ player: moverAt(tileAt(5, 5), direction), pellets: pellets({ [tileAt(1, 13)]: 1 }) });
      const frame = new Uint8Array(160 * 210);
      game.draw(frame);
      return frame.subarray(62 * 160, 74 * 160).join();
    };
    expect(new Set(DIRECTIONS.map(at)).size).toBe(4);
  });

  it("shows each ghost in its color, frightened ones in theirs, and these blinking at the end", () => {
    const seen = (frightened: boolean, frightenedLeft: number): Set<string> => {
      const ghosts = ghostsWith({ 1: { ...ghostAt(3, 0, LEFT), frightened } });
      return tileColors(situation({ ghosts, frightenedLeft, pellets: pellets({ [tileAt(1, 13)]: 1 }) }), 3, 0);
    };
    expect(seen(false, 0)).toEqual(new Set([path, "#c659b3"]));
    expect(seen(true, 1000)).toEqual(new Set([path, "#4248c8"]));
    expect(seen(true, 20)).toEqual(new Set([path, "#ececec"]));
    expect(seen(true, 12)).toEqual(new Set([path, "#4248c8"]));
  });

  it("shows lives beside the one that is played, and the score", () => {
    const shown = (changes: Partial<PacManState>): string => {
      const frame = new Uint8Array(160 * 210);
      situation(changes).draw(frame);
      return frame.subarray(172 * 160).join();
    };
    expect(new Set([shown({ lives: 1 }), shown({ lives: 2 }), shown({ lives: 3 })]).size).toBe(3);
    expect(new Set([shown({ score: 0 }), shown({ score: 10 }), shown({ score: 110 })]).size).toBe(3);
  });
});

import { describe, expect, it } from "vitest";
import { chooseWay, INKY, type Mode, PINKY, SUE } from "../../../src/environment/atari/pacman-ghosts.ts";
import {
  DIRECTIONS,
  type Direction,
  DOWN,
  exitsOf,
  ghostExitsOf,
  LEFT,
  MOUTHS,
  moverAt,
  nextTile,
  opposite,
  PELLETS,
  PLAN,
  RIGHT,
  tileAt,
  tileOf,
  UP,
} from "../../../src/environment/atari/pacman-maze.ts";
import { Pcg64 } from "../../../src/random/pcg64.ts";
import { type Ghost, ghostAt, situation, stateOf } from "./pacman-situation.ts";

/** A crossing of four ways, of which three are open to who comes along. */
const CROSSING = tileAt(4, 5);

interface Scene {
  readonly player: readonly [column: number, row: number, direction: Direction];
  /** Blinky's tile, if it matters. */
  readonly blinky?: readonly [column: number, row: number];
  readonly mode?: Mode;
}

/** Where a ghost that comes to a crossing in a direction goes on. */
function wayOf(index: number, tile: number, direction: Direction, { player, blinky = [1, 0], mode = "chase" }: Scene) {
  const ghosts: Ghost[] = [0, 1, 2, 3].map(() => ghostAt(blinky[0], blinky[1], LEFT));
  ghosts[index] = { ...ghosts[index]!, ...moverAt(tile, direction) };
  const [column, row, facing] = player;
  return chooseWay(index, tile, { ghosts, player: moverAt(tileAt(column, row), facing), mode }, new Pcg64(0));
}

describe("the maze", () => {
  const paths = [...PLAN.keys()].filter((tile) => ".o ".includes(PLAN[tile]!));

  it("has about as many pellets as that of Ms. Pac-Man: 152 and 4 power pellets", () => {
    expect(PELLETS.filter((pellet) => pellet === 1)).toHaveLength(152);
    expect(PELLETS.filter((pellet) => pellet === 2)).toHaveLength(4);
  });

  it("is one piece, the player's way and back", () => {
    const reached = new Set([tileAt(9, 8)]);
    for (const tile of reached) for (const way of exitsOf(tile)) reached.add(nextTile(tile, way));
    expect([...reached].sort((a, b) => a - b)).toEqual(paths);
    for (const tile of paths) {
      for (const way of exitsOf(tile)) expect(exitsOf(nextTile(tile, way))).toContain(opposite(way));
    }
  });

  it("has no dead ends, for ghosts neither", () => {
    for (const tile of paths) {
      expect(exitsOf(tile).length).toBeGreaterThanOrEqual(2);
      if (!MOUTHS.includes(tile)) expect(ghostExitsOf(tile).length).toBeGreaterThanOrEqual(2);
    }
  });

  it("leads from the jail up, and not into it", () => {
    for (const tile of [...PLAN.keys()].filter((tile) => PLAN[tile] === "-")) {
      expect(exitsOf(tile)).toEqual([UP]);
      expect(
        DIRECTIONS.filter(
          (way) => PLAN[nextTile(tile, way)] !== "-" && exitsOf(nextTile(tile, way)).includes(opposite(way)),
        ),
      ).toEqual([]);
    }
  });
});

describe("a chasing ghost", () => {
  it("Blinky heads for the player", () => {
    expect(wayOf(0, CROSSING, LEFT, { player: [4, 12, UP] })).toBe(DOWN);
    expect(wayOf(0, CROSSING, LEFT, { player: [4, 0, UP] })).toBe(UP);
    expect(wayOf(0, CROSSING, RIGHT, { player: [18, 5, UP] })).toBe(RIGHT);
  });

  it("Pinky heads for four tiles in front of the player", () => {
    // The player is one tile above, and three below is where it will be.
    expect(wayOf(PINKY, CROSSING, LEFT, { player: [4, 4, DOWN] })).toBe(DOWN);
    expect(wayOf(0, CROSSING, LEFT, { player: [4, 4, DOWN] })).toBe(UP);
  });

  it("Inky heads for the other side of two tiles in front of the player, as far from there as Blinky", () => {
    // Two in front of the player is (4, 6); Blinky is at (4, 2), so the target is (4, 10).
    expect(wayOf(INKY, CROSSING, LEFT, { player: [4, 4, DOWN], blinky: [4, 2] })).toBe(DOWN);
    // Blinky at (4, 9): the target is (4, 3).
    expect(wayOf(INKY, CROSSING, LEFT, { player: [4, 4, DOWN], blinky: [4, 9] })).toBe(UP);
  });

  it("Sue heads for the player from more than 8 tiles away, else for her corner", () => {
    expect(wayOf(SUE, CROSSING, LEFT, { player: [9, 0, UP] })).toBe(UP);
    expect(wayOf(SUE, CROSSING, LEFT, { player: [4, 0, UP] })).toBe(LEFT);
  });

  it("takes the first of up, left, down, right of equal ways", () => {
    expect(wayOf(0, CROSSING, RIGHT, { player: [6, 3, UP] })).toBe(UP);
    expect(wayOf(0, CROSSING, UP, { player: [2, 3, UP] })).toBe(UP);
    expect(wayOf(0, CROSSING, DOWN, { player: [2, 7, UP] })).toBe(LEFT);
  });

  it("does not turn back", () => {
    expect(wayOf(0, CROSSING, LEFT, { player: [18, 5, UP] })).not.toBe(RIGHT);
  });
});

describe("a scattering ghost", () => {
  it.each([
    [0, UP],
    [PINKY, UP],
    [INKY, DOWN],
    [SUE, LEFT],
  ])("%i heads for its own corner", (index, way) => {
    expect(wayOf(index, CROSSING, LEFT, { player: [9, 8, UP], mode: "scatter" })).toBe(way);
  });
});

describe("a frightened ghost", () => {
  it("draws its way at each crossing", () => {
    const ghosts = [0, 1, 2, 3].map(() => ({ ...ghostAt(4, 5, LEFT), frightened: true }));
    const random = new Pcg64(1);
    const scene = { ghosts, player: moverAt(tileAt(4, 0), UP), mode: "chase" as const };
    const drawn = Array.from({ length: 300 }, () => chooseWay(0, CROSSING, scene, random));
    for (const way of [UP, LEFT, DOWN]) {
      const times = drawn.filter((other) => other === way).length;
      expect(times).toBeGreaterThan(70);
      expect(times).toBeLessThan(130);
    }
    expect(drawn).not.toContain(RIGHT);
  });
});

describe("all ghosts", () => {
  it("never turn back on their way and never enter a tunnel", () => {
    for (const frightenedLeft of [0, 3000]) {
      const free = [0, 1, 2, 3].map(() => ({ ...ghostAt(15, 5, LEFT), frightened: frightenedLeft > 0 }));
      // The player stands in a tunnel's mouth, where nobody comes.
      const game = situation({ player: moverAt(tileAt(0, 5), LEFT), ghosts: free, frightenedLeft, modeLeft: 300 });
      let before = stateOf(game).ghosts;
      let turned = 0;
      let left = 0;
      for (let frame = 0; frame < 2000; frame++) {
        game.step(frame % 2 === 0 ? 4 : 3);
        const { ghosts } = stateOf(game);
        for (const [index, ghost] of ghosts.entries()) {
          if (ghost.direction === opposite(before[index]!.direction)) turned++;
          if (MOUTHS.includes(tileOf(ghost))) left++;
        }
        before = ghosts;
      }
      expect({ turned, left, lives: game.lives }).toEqual({ turned: 0, left: 0, lives: 3 });
    }
  });
});

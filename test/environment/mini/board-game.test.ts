import { readFileSync } from "node:fs";
import { inflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { checkEnvironment } from "../../../src/environment/check.ts";
import type { Environment } from "../../../src/environment/environment.ts";
import type { BoardGameOptions } from "../../../src/environment/mini/board-game.ts";
import { MiniBreakout } from "../../../src/environment/mini/breakout.ts";
import { MiniSpaceInvaders } from "../../../src/environment/mini/space-invaders.ts";
import { registrationOf } from "../../../src/environment/registry.ts";
import { Recorder } from "../recorder.ts";

const fixture = z
  .object({
    episodes: z.array(
      z.object({
        game: z.enum(["breakout", "space_invaders"]),
        actions: z.string(),
        rewards: z.string(),
        ended: z.boolean(),
        boards: z.string(),
      }),
    ),
  })
  .parse(JSON.parse(readFileSync(new URL("../../fixtures/minatar.json", import.meta.url), "utf8")));

const games = {
  breakout: (options: BoardGameOptions): Environment => new MiniBreakout(options),
  space_invaders: (options: BoardGameOptions): Environment => new MiniSpaceInvaders(options),
};

/** Numbers of the cells that are 1, planes outermost. */
function cellsOf(observation: Float32Array): number[] {
  return [...observation.keys()].filter((cell) => observation[cell] === 1);
}

/** The same from eight cells a byte, the first one highest. */
function unpacked(bytes: Uint8Array): number[] {
  return Array.from({ length: bytes.length * 8 }, (_, cell) => cell).filter(
    (cell) => ((bytes[cell >> 3] ?? 0) >> (7 - (cell & 7))) & 1,
  );
}

describe("MinAtar's episodes", () => {
  it.each(fixture.episodes.map((episode, index) => ({ ...episode, index, steps: episode.actions.length })))(
    "$game, episode $index of $steps steps: every board, reward and end",
    (episode) => {
      const environment = games[episode.game]({ stickyActionProbability: 0 });
      const boards = inflateSync(Buffer.from(episode.boards, "base64"));
      const width = boards.length / (episode.steps + 1);
      const boardAt = (step: number): number[] => unpacked(boards.subarray(step * width, (step + 1) * width));
      const starts = [0, 1, 2, 3, 4, 5].map((seed) => cellsOf(environment.reset(seed)).join());
      environment.reset(starts.indexOf(boardAt(0).join()));
      for (let step = 0; step < episode.steps; step++) {
        const { observation, reward, terminated } = environment.step(Number(episode.actions[step]));
        expect(cellsOf(observation)).toEqual(boardAt(step + 1));
        expect(reward).toBe(Number(episode.rewards[step]));
        expect(terminated).toBe(episode.ended && step === episode.steps - 1);
      }
    },
  );
});

describe.each(["MiniBreakout-v0", "MiniSpaceInvaders-v0"])("%s", (id) => {
  it("keeps the contract of environments", () => {
    expect(checkEnvironment(registrationOf(id).create)).toEqual([]);
  });
});

describe("sticky actions", () => {
  /** Where the cannon goes in 9 steps, in which nothing can hit it. */
  function places(options: BoardGameOptions, seed: number, actions: readonly number[]): number[] {
    const environment = new MiniSpaceInvaders(options);
    environment.reset(seed);
    return actions.map(
      (action) => environment.step(action).observation.findIndex((cell, at) => at >= 90 && cell === 1) - 90,
    );
  }

  it("repeat the action before, in a tenth of the steps", () => {
    let repeated = 0;
    for (let seed = 0; seed < 500; seed++) {
      const [, second] = places({}, seed, [0, 1]);
      if (second === 5) repeated++;
    }
    expect(repeated).toBeGreaterThan(30);
    expect(repeated).toBeLessThan(70);
  });

  it("of probability 1 never leave the action before the first, which is none", () => {
    expect(places({ stickyActionProbability: 1 }, 0, [1, 1, 2])).toEqual([5, 5, 5]);
  });

  it("do not reach over from the episode before", () => {
    const environment = new MiniSpaceInvaders();
    for (let seed = 0; seed < 100; seed++) {
      environment.reset(seed);
      const first = cellsOf(environment.step(1).observation);
      for (let step = 0; step < 3; step++) environment.step(2);
      environment.reset(seed);
      expect(cellsOf(environment.step(1).observation)).toEqual(first);
    }
  });

  it("of probability 0 play what was chosen", () => {
    expect(places({ stickyActionProbability: 0 }, 0, [1, 1, 2, 0])).toEqual([4, 3, 4, 4]);
  });
});

describe("the picture", () => {
  it("is a square a piece, in the color of its kind", () => {
    const environment = new MiniBreakout();
    environment.reset(0);
    const surface = new Recorder();
    environment.render(surface);
    expect(surface.cleared).toBe("#000000");
    // Paddle, ball, trail, 30 bricks; the trail begins where the ball is.
    expect(surface.shapes).toHaveLength(33);
    expect(surface.shapes[0]).toEqual({
      kind: "polygon",
      color: "#4c72b0",
      numbers: [240, 360, 300, 360, 300, 400, 240, 400],
    });
    expect(surface.shapes[3]).toEqual({
      kind: "polygon",
      color: "#c44e52",
      numbers: [0, 40, 60, 40, 60, 80, 0, 80],
    });
  });
});

import { describe, expect, it } from "vitest";
import { MiniBreakout } from "../../../src/environment/mini/breakout.ts";

interface Game {
  readonly paddle: number;
  readonly x: number;
  readonly y: number;
  readonly across: number;
  readonly down: number;
  readonly struck: boolean;
  readonly bricks: Uint8Array;
}

/** The state after one action from the given one, with the bricks at the given cells. */
function play(
  situation: Partial<Game>,
  bricks: readonly number[],
  action = 0,
): Game & { reward: number; lost: boolean } {
  const environment = new MiniBreakout({ stickyActionProbability: 0 });
  environment.reset(0);
  const saved = environment.getState() as unknown as { game: Game };
  const cells = new Uint8Array(100);
  for (const cell of bricks) cells[cell] = 1;
  environment.setState({ ...saved, game: { ...saved.game, ...situation, bricks: cells } });
  const { reward, terminated } = environment.step(action);
  const { game } = environment.getState() as unknown as { game: Game };
  return { ...game, reward, lost: terminated };
}

describe("the ball", () => {
  it("starts at the left or the right edge in row 3, and flies inwards and down", () => {
    const starts = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const environment = new MiniBreakout();
      environment.reset(seed);
      const { game } = environment.getState() as unknown as { game: Game };
      starts.add([game.x, game.y, game.across, game.down].join());
    }
    expect([...starts].sort()).toEqual(["0,3,1,1", "9,3,-1,1"]);
  });

  it("flies along diagonals", () => {
    expect(play({ x: 4, y: 6, across: -1, down: -1 }, [])).toMatchObject({ x: 3, y: 5, across: -1, down: -1 });
  });

  it("is turned by a side wall, along which it moves for that step", () => {
    expect(play({ x: 9, y: 5, across: 1, down: 1 }, [])).toMatchObject({ x: 9, y: 6, across: -1, down: 1 });
  });

  it("is turned by the top", () => {
    expect(play({ x: 4, y: 0, across: 1, down: -1 }, [])).toMatchObject({ x: 5, y: 0, across: 1, down: 1 });
  });

  it("breaks a brick for a point and turns back without entering its row", () => {
    const after = play({ x: 4, y: 4, across: 1, down: -1 }, [35, 25]);
    expect(after).toMatchObject({ x: 5, y: 4, down: 1, reward: 1, struck: true });
    expect(after.bricks[35]).toBe(0);
    expect(after.bricks[25]).toBe(1);
  });

  it("flies through a brick right after it has broken one", () => {
    const after = play({ x: 4, y: 2, across: 1, down: 1, struck: true }, [35]);
    expect(after).toMatchObject({ x: 5, y: 3, reward: 0, struck: true });
    expect(after.bricks[35]).toBe(1);
  });
});

describe("the paddle", () => {
  it.each([
    [0, 4],
    [1, 3],
    [2, 5],
  ])("moves by action %i to column %i", (action, column) => {
    expect(play({ paddle: 4, x: 4, y: 5 }, [], action).paddle).toBe(column);
  });

  it.each([
    [0, 1],
    [9, 2],
  ])("stays on the board at column %i", (column, action) => {
    expect(play({ paddle: column, x: 4, y: 5 }, [], action).paddle).toBe(column);
  });

  it("below the ball turns it up", () => {
    const after = play({ paddle: 4, x: 4, y: 8, across: 1, down: 1 }, [15]);
    expect(after).toMatchObject({ x: 5, y: 8, across: 1, down: -1, lost: false });
  });

  it("where the ball flies to turns it back where it came from", () => {
    const after = play({ paddle: 5, x: 4, y: 8, across: 1, down: 1 }, [15]);
    expect(after).toMatchObject({ x: 5, y: 8, across: -1, down: -1, lost: false });
  });

  it("elsewhere loses the game", () => {
    expect(play({ paddle: 6, x: 4, y: 8, across: 1, down: 1 }, [15])).toMatchObject({ x: 5, y: 9, lost: true });
  });
});

describe("the wall", () => {
  it("is built anew when the ball comes down and no brick is left", () => {
    const { bricks } = play({ paddle: 4, x: 4, y: 8, across: 1, down: 1 }, []);
    expect(bricks.indexOf(1)).toBe(10);
    expect(bricks.reduce((sum, brick) => sum + brick, 0)).toBe(30);
  });

  it("is not while a brick is left", () => {
    const { bricks } = play({ paddle: 4, x: 4, y: 8, across: 1, down: 1 }, [15]);
    expect(bricks.reduce((sum, brick) => sum + brick, 0)).toBe(1);
  });
});

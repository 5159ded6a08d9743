import { describe, expect, it } from "vitest";
import { Pong } from "../../../src/environment/atari/pong.ts";
import { checkEnvironment } from "../../../src/environment/check.ts";
import { makeEnvironment, registrationOf } from "../../../src/environment/registry.ts";

/** What `Pong.getState` returns, as far as it is looked at here. */
interface Place {
  readonly y: number;
  /** Where the player's paddle is in the next frame. */
  readonly measured: number;
}

/** Plays a game with the game's actions; returns its points and frames. */
function play(act: (place: Place) => number): { points: number; frames: number } {
  const pong = new Pong();
  pong.reset();
  let points = 0;
  let frames = 0;
  for (; !pong.over && frames < 30_000; frames++) points += pong.step(act(pong.getState() as unknown as Place));
  return { points, frames };
}

describe("Pong", () => {
  it("is lost 0 to 21 without an action, in about 3,060 frames", () => {
    const { points, frames } = play(() => 0);
    expect(points).toBe(-21);
    expect(frames).toBeGreaterThan(2_900);
    expect(frames).toBeLessThan(3_200);
  });

  it("is won by a paddle that follows the ball and hits it with its upper edge", () => {
    // From there the ball leaves steeply, which the enemy is too slow for.
    const follow = ({ y, measured }: Place): number =>
      y === 0 || Math.abs(y - measured) < 3 ? 0 : y < measured ? 2 : 3;
    expect(play(follow).points).toBe(21);
  });
});

describe.each(["Pong-v0", "PongFire-v0"])("%s", (id) => {
  it("keeps the contract of environments", () => {
    expect(checkEnvironment(registrationOf(id).create)).toEqual([]);
  });
});

describe("Pong-v0", () => {
  it("starts differently with another number of frames without action, and equally with the same seed", () => {
    const environment = makeEnvironment("Pong-v0");
    const ends = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      environment.reset(seed);
      ends.add(JSON.stringify(environment.getState()));
    }
    expect(ends.size).toBe(20);
  });
});

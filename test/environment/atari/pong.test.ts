import { crc32 } from "node:zlib";
import { describe, expect, it } from "vitest";
import { lumaOf } from "../../../src/environment/atari/frame-stack.ts";
import { Pong } from "../../../src/environment/atari/pong.ts";
import { makeEnvironment } from "../../../src/environment/registry.ts";
import { EnvironmentError } from "../../../src/errors.ts";
import { Recorder } from "../recorder.ts";
import { recording, unpack } from "./recording.ts";

/** What `Pong.getState` returns, as far as it is looked at here. */
interface State {
  readonly x: number;
  /** 0 while there is no ball. */
  readonly y: number;
  readonly enemy: number;
  readonly player: number;
  /** Where the player's paddle is in the next frame. */
  readonly measured: number;
  readonly scores: readonly [number, number];
}

function stateOf(pong: Pong): State {
  return pong.getState() as unknown as State;
}

/** Plays a game with the game's actions; returns its points and frames. */
function play(act: (state: State) => number): { points: number; frames: number } {
  const pong = new Pong();
  let points = 0;
  let frames = 0;
  for (; !pong.over; frames++) points += pong.step(act(stateOf(pong)));
  return { points, frames };
}

/** ALE's checksum of the picture of a game. */
function checksum(pong: Pong): number {
  const frame = new Uint8Array(pong.width * pong.height);
  pong.draw(frame);
  const luma = pong.palette.map(lumaOf);
  return crc32(frame.map((index) => luma[index]!));
}

describe.each([...recording.traces.entries()])("in game %i of ALE's, Pong", (_, trace) => {
  const actions = unpack(trace.actions);

  it("moves ball and paddles and scores as ALE does, frame by frame", () => {
    const pong = new Pong();
    const played: number[][] = [];
    const recorded: number[][] = [];
    const memory = unpack(trace.memory);
    for (const [frame, action] of actions.entries()) {
      if (pong.over) pong.reset();
      pong.step(action);
      const { x, y, enemy, player, scores } = stateOf(pong);
      played.push([y > 0 ? x : 0, y, enemy, player, ...scores]);
      const [ballX, ...others] = memory.subarray(6 * frame, 6 * frame + 6);
      recorded.push([others[0]! > 0 ? ballX! : 0, ...others]);
    }
    const first = played.findIndex((values, frame) => values.join() !== recorded[frame]!.join());
    expect({ first, played: played[first] }).toEqual({ first: -1, played: recorded[first] });
  });

  it("gives ALE's rewards", () => {
    const pong = new Pong();
    const rewards = Int8Array.from(actions, (action) => {
      if (pong.over) pong.reset();
      return pong.step(action);
    });
    expect(rewards).toEqual(new Int8Array(unpack(trace.rewards).buffer));
  });

  it("draws ALE's pictures, every pixel", () => {
    const pong = new Pong();
    const pictures = new Uint32Array(unpack(trace.pictures).buffer);
    const others: number[] = [];
    for (const [frame, action] of actions.entries()) {
      if (pong.over) pong.reset();
      pong.step(action);
      if (frame % trace.every === 0 && checksum(pong) !== pictures[frame / trace.every]) others.push(frame);
    }
    expect(others).toEqual([]);
  });
});

describe("Pong", () => {
  it("is lost 0 to 21 without an action, in about 3,060 frames", () => {
    const { points, frames } = play(() => 0);
    expect(points).toBe(-21);
    expect(Math.abs(frames - 3_060)).toBeLessThan(100);
  });

  it("is won 21 to 0 by a paddle that follows the ball and hits it with its upper edge", () => {
    // From there the ball leaves steeply, which the enemy is too slow for.
    const follow = ({ y, measured }: State): number =>
      y === 0 || Math.abs(y - measured) < 3 ? 0 : y < measured ? 2 : 3;
    expect(play(follow).points).toBe(21);
  });

  it("goes on from a saved state as if nothing had been, and refuses a state of something else", () => {
    const pong = new Pong();
    for (let frame = 0; frame < 500; frame++) pong.step(frame % 6);
    const copy = new Pong();
    copy.setState(pong.getState());
    for (let frame = 0; frame < 500; frame++) {
      pong.step((frame >> 2) % 6);
      copy.step((frame >> 2) % 6);
    }
    expect(copy.getState()).toEqual(pong.getState());
    expect(checksum(copy)).toBe(checksum(pong));
    expect(() => {
      pong.setState({ y: 5 });
    }).toThrow(EnvironmentError);
  });
});

describe("Pong-v0", () => {
  it("draws field, walls, paddle and score", () => {
    const environment = makeEnvironment("Pong-v0");
    environment.reset(0);
    const surface = new Recorder();
    environment.render?.(surface);
    const colors = new Set(surface.shapes.map(({ color }) => color));
    expect([...colors].toSorted()).toEqual(["#000000", "#5cba5c", "#904811", "#d5824a", "#ececec"]);
    // The upper wall, across the field.
    const wall = { kind: "polygon", color: "#ececec", numbers: [0, 24, 600, 24, 600, 34, 0, 34] };
    expect(
      surface.shapes.map(({ numbers: [x0, y0, x1, y1, x2, y2, ...others], ...shape }) => {
        const rows = [y0!, y1!, y2!, others[1]!].map((y) => Math.round((y * 210) / 400));
        return { ...shape, numbers: [x0, rows[0], x1, rows[1], x2, rows[2], others[0], rows[3]] };
      }),
    ).toContainEqual(wall);
  });

  it("moves up with action 1 and down with action 2, as PongFire-v0 with 2 and 3", () => {
    const threeActions = makeEnvironment("Pong-v0");
    const allActions = makeEnvironment("PongFire-v0");
    threeActions.reset(3);
    allActions.reset(3);
    for (const [action, same] of [
      [1, 2],
      [2, 3],
      [0, 0],
    ] as const) {
      for (let step = 0; step < 20; step++) {
        expect(crc32(threeActions.step(action).observation)).toBe(crc32(allActions.step(same).observation));
      }
    }
  });

  it("is played as ALE plays it, preprocessed, after 1 to 30 frames without action by seed", () => {
    const environment = makeEnvironment("Pong-v0");
    const chosen = recording.choices.map((choice) => Math.max(0, choice - 1));
    const found = new Set<number>();
    for (let seed = 0; seed < 40; seed++) {
      let sum = crc32(Uint8Array.from(environment.reset(seed)));
      const rewards: number[] = [];
      for (const action of chosen) {
        const step = environment.step(action);
        sum = crc32(Uint8Array.from(step.observation), sum);
        rewards.push(step.reward);
      }
      const episode = recording.episodes.findIndex((recorded) => recorded.checksum === sum);
      expect(recording.episodes[episode]?.rewards).toEqual(rewards);
      found.add(episode);
    }
    expect(found.size).toBeGreaterThan(20);
  });
});

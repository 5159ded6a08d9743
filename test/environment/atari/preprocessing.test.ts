import { describe, expect, it } from "vitest";
import type { FrameGame } from "../../../src/environment/atari/frame-game.ts";
import { AtariPreprocessing, atariSpec } from "../../../src/environment/atari/preprocessing.ts";
import { checkEnvironment } from "../../../src/environment/check.ts";
import { withTimeLimit } from "../../../src/environment/registry.ts";
import { discrete } from "../../../src/environment/spaces.ts";
import { vectorOf } from "../../../src/environment/vector.ts";
import type { Plain } from "../../../src/plain.ts";
import { Recorder } from "../recorder.ts";

/** Grays 0, 100, 200 and 50 in turn, a frame each. */
const PALETTE = ["#000000", "#646464", "#c8c8c8", "#323232"] as const;

/**
 * The whole picture has the color of the number of frames since the reset. A frame's points are its action's number times
 * 10. The first life is lost at frame 50, the second and last at frame 63.
 */
class Blink implements FrameGame {
  readonly width = 160;
  readonly height = 210;
  readonly palette = PALETTE;
  frames = 0;
  seed = 0;

  get lives(): number {
    return this.frames < 50 ? 2 : this.over ? 0 : 1;
  }

  get over(): boolean {
    return this.frames >= 63;
  }

  reset(seed: number): void {
    this.seed = seed;
    this.frames = 0;
  }

  step(action: number): number {
    this.frames++;
    return 10 * action;
  }

  draw(frame: Uint8Array): void {
    frame.fill(this.frames % 4);
  }

  getState(): Plain {
    return { frames: this.frames, seed: this.seed };
  }

  setState(state: Plain): void {
    Object.assign(this, state);
  }
}

const spec = { id: "Blink-v0", ...atariSpec, actionSpace: discrete(2), rewardThreshold: undefined };

function make(): { game: Blink; environment: AtariPreprocessing } {
  const game = new Blink();
  return { game, environment: new AtariPreprocessing(spec, game, [0, 3]) };
}

/** An environment whose episode has begun with so many frames without action. */
function begun(noOps: number): { game: Blink; environment: AtariPreprocessing } {
  const made = make();
  for (let seed = 0; ; seed++) {
    made.environment.reset(seed);
    if (made.game.frames === noOps) return made;
  }
}

/** The gray of each of the four pictures. */
function grays(observation: Float32Array): number[] {
  return [0, 1, 2, 3].map((picture) => observation[picture * 84 * 84 + 1234]!);
}

describe("preprocessing of frames", () => {
  it("keeps the contract of environments", () => {
    expect(checkEnvironment(() => make().environment)).toEqual([]);
  });

  it("begins with 1 to 30 frames without action, and another seed of the game", () => {
    const { game, environment } = make();
    const noOps = new Set<number>();
    const seeds = new Set<number>();
    for (let seed = 0; seed < 300; seed++) {
      environment.reset(seed);
      noOps.add(game.frames);
      seeds.add(game.seed);
    }
    expect([...noOps].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, index) => index + 1));
    expect(seeds.size).toBe(300);
  });

  it("repeats an action for 4 frames and sums their points, as they are", () => {
    const { game, environment } = begun(3);
    expect(environment.step(1).reward).toBe(4 * 30);
    expect(game.frames).toBe(7);
    expect(environment.step(0).reward).toBe(0);
  });

  it("shows the lighter of the last two frames, after one picture four times", () => {
    // The first observation is frame 3 alone; then frames 6 and 7, 10 and 11, ...: grays 200 and 50.
    const { environment } = begun(3);
    expect(grays(environment.step(0).observation)).toEqual([50, 50, 50, 200]);
    expect(grays(environment.step(0).observation)).toEqual([50, 50, 200, 200]);
    // Frames 8 and 9: grays 0 and 100.
    const other = begun(5).environment;
    expect(grays(other.step(0).observation)).toEqual([100, 100, 100, 100]);
  });

  it("says that a life is lost unless it is the last, with which the episode ends at once", () => {
    const { game, environment } = begun(2);
    const flags: string[] = [];
    for (;;) {
      const { lifeLost, terminated, truncated, reward, observation } = environment.step(1);
      if (lifeLost) flags.push(`life lost at ${game.frames}`);
      expect(truncated).toBe(false);
      if (!terminated) continue;
      flags.push(`over at ${game.frames} with ${reward}`);
      // Frame 63 alone.
      expect(grays(observation).at(-1)).toBe(50);
      break;
    }
    expect(flags).toEqual(["life lost at 50", "over at 63 with 30"]);
    expect(() => environment.step(0)).toThrow("reset");
  });

  it("draws the game's colors", () => {
    const { environment } = begun(2);
    const surface = new Recorder();
    environment.render(surface);
    expect(surface.shapes).toEqual([{ kind: "polygon", color: "#c8c8c8", numbers: [0, 0, 600, 0, 600, 400, 0, 400] }]);
  });
});

describe("a vector", () => {
  it("has the flag of a lost life until the next step or reset", async () => {
    const vector = vectorOf(spec, () => make().environment, 2);
    await vector.reset(0, 0);
    await vector.reset(1, 0);
    const step = () => vector.step(Int32Array.of(0, 0));
    while (vector.lifeLost[0] === 0) await step();
    expect([...vector.lifeLost]).toEqual([1, 1]);
    await vector.reset(1, 0);
    expect([...vector.lifeLost]).toEqual([1, 0]);
    await step();
    expect([...vector.lifeLost]).toEqual([0, 0]);
  });
});

describe("a time limit", () => {
  it("lets the flag of a lost life through", () => {
    const environment = withTimeLimit(new AtariPreprocessing({ ...spec, maxEpisodeSteps: 12 }, new Blink(), [0, 1]));
    const seed = Array.from({ length: 100 }, (_, index) => index).find((candidate) => {
      const made = make();
      made.environment.reset(candidate);
      return made.game.frames === 3;
    });
    environment.reset(seed);
    for (let step = 0; step < 11; step++) expect(environment.step(0).lifeLost).toBe(false);
    expect(environment.step(0)).toMatchObject({ lifeLost: true, terminated: false, truncated: true });
  });
});

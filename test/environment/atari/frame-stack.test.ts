import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FrameStack, lumaOf } from "../../../src/environment/atari/frame-stack.ts";
import { recording, unpack } from "./recording.ts";

const AREA = 84 * 84;
const gray = Uint8Array.from({ length: 256 }, (_, value) => value);

function newest(stack: FrameStack): number[] {
  return [...stack.observation.subarray(3 * AREA)];
}

describe("a stack of frames", () => {
  it.each(recording.areas)("shrinks noise of $height rows as OpenCV does, within 1", ({ height, picture }) => {
    const stack = new FrameStack(160, height, gray, 2);
    for (const frame of stack.frames) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < 160; x++) frame[y * 160 + x] = (x * x * 31 + y * y * 17 + x * y * 7) >> 4;
      }
    }
    stack.fill();
    const ours = newest(stack);
    const difference = [...unpack(picture)].map((value, pixel) => Math.abs(value - ours[pixel]!));
    expect(Math.max(...difference)).toBeLessThanOrEqual(1);
    // Halves that floating point rounds otherwise.
    expect(difference.filter((value) => value > 0).length).toBeLessThan(AREA / 100);
  });

  it("takes the lighter pixel of both frames, in gray", () => {
    const stack = new FrameStack(160, 210, Uint8Array.of(0, 100, 60), 2);
    stack.frames[0].fill(1, 0, 16_800);
    stack.frames[1].fill(2);
    stack.fill();
    expect(newest(stack)).toEqual(Array.from({ length: AREA }, (_, pixel) => (pixel < AREA / 2 ? 100 : 60)));
  });

  it("takes a single frame for both", () => {
    const [single, pair] = [1, 2].map((count) => new FrameStack(160, 210, gray, count as 1 | 2));
    for (const shown of [3, 7]) {
      for (const stack of [single!, pair!]) {
        for (const frame of stack.frames) for (let at = 0; at < frame.length; at++) frame[at] = (at * shown) >> 4;
        stack.push();
      }
      expect(newest(single!)).toEqual(newest(pair!));
    }
  });

  it("begins with one picture four times, and then drops the oldest for a new one", () => {
    const stack = new FrameStack(160, 210, gray, 2);
    const show = (value: number): void => {
      for (const frame of stack.frames) frame.fill(value);
    };
    const shown = (): number[] => [0, 1, 2, 3].map((place) => stack.observation[place * AREA + 17]!);
    show(5);
    stack.fill();
    expect(shown()).toEqual([5, 5, 5, 5]);
    show(9);
    stack.push();
    show(255);
    stack.push();
    expect(shown()).toEqual([5, 5, 9, 255]);
  });

  it("shows the same whatever was shown before", () => {
    const change = fc.record({ frame: fc.nat(1), from: fc.nat(33_599), length: fc.nat(500), value: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(fc.array(change, { maxLength: 5 }), { minLength: 1, maxLength: 5 }), (pictures) => {
        const used = new FrameStack(160, 210, gray, 2);
        for (const changes of pictures) {
          for (const { frame, from, length, value } of changes) used.frames[frame]!.fill(value, from, from + length);
          used.push();
        }
        const fresh = new FrameStack(160, 210, gray, 2);
        for (const [which, frame] of used.frames.entries()) fresh.frames[which]!.set(frame);
        fresh.push();
        expect(newest(used)).toEqual(newest(fresh));
      }),
      { numRuns: 30 },
    );
  });
});

describe("the gray of a color", () => {
  it.each([
    ["#000000", 0],
    ["#ffffff", 255],
    ["#904811", 87],
    ["#5cba5c", 147],
    ["#d5824a", 148],
  ] as const)("of %s is %i", (color, expected) => {
    expect(lumaOf(color)).toBe(expected);
  });
});

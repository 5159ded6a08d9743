import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stream } from "../../src/random/pcg64.ts";
import { PrioritizedReplay } from "../../src/replay/prioritized.ts";
import { FrameStore } from "../../src/replay/store.ts";
import { type Batch, ReplayBuffer } from "../../src/replay/uniform.ts";

const STACK = 3;
const FRAME = 5;
const WIDTH = STACK * FRAME;

/** Stacks as an environment shows them: episodes of the given lengths in one lane, each with an end of its own. */
function* play(
  lengths: readonly number[],
  seed: number,
): Generator<{ from: Float32Array; to: Float32Array }, undefined> {
  const random = stream(seed, "frames");
  const frame = (): number[] => Array.from({ length: FRAME }, () => random.integer(256));
  for (const length of lengths) {
    const first = frame();
    let stack = Float32Array.from([...first, ...first, ...first]);
    for (let step = 0; step < length; step++) {
      const next = Float32Array.from([...stack.subarray(FRAME), ...frame()]);
      yield { from: stack, to: next };
      stack = next;
    }
  }
}

function batchOf(rows: number): Batch {
  return {
    observations: new Uint8Array(rows * WIDTH),
    actions: new Int32Array(rows),
    rewards: new Float32Array(rows),
    nextObservations: new Uint8Array(rows * WIDTH),
    discounts: new Float32Array(rows),
  };
}

const episodes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 20 });

it("gives back every observation that it holds, of lanes that take turns too", () => {
  fc.assert(
    fc.property(fc.array(episodes, { minLength: 1, maxLength: 3 }), (lanes) => {
      const store = new FrameStore(2000, WIDTH, STACK, 2000);
      const running = lanes.map((lengths, lane) => play(lengths, lane));
      const kept: Float32Array[] = [];
      for (let left = running.length; left > 0; ) {
        left = 0;
        for (const lane of running) {
          const next = lane.next();
          if (next.done) continue;
          left++;
          for (const observation of [next.value.from, next.value.to]) {
            store.set(kept.length, observation);
            kept.push(observation);
          }
        }
      }
      const read = new Uint8Array(WIDTH);
      for (const [slot, observation] of kept.entries()) {
        store.read(slot, read, 0);
        expect([...read]).toEqual([...observation]);
      }
    }),
    { numRuns: 50 },
  );
});

it("keeps a frame once: as many as were shown, not as many as stand in stacks", () => {
  const store = new FrameStore(2000, WIDTH, STACK, 2000);
  let slot = 0;
  for (const { from, to } of play([400, 300, 200], 1)) {
    store.set(slot++, from);
    store.set(slot++, to);
  }
  // 900 steps, and the first frame of 3 episodes.
  expect(store.getState(slot).frames?.written).toBe(903);
});

describe("a ring that is too small for all frames", () => {
  /** Episodes of one step show two frames each. */
  const short = (count: number): number[] => Array.from({ length: count }, () => 1);

  it("does not hold what it has overwritten, and says so", () => {
    const store = new FrameStore(8000, WIDTH, STACK, 500);
    let slot = 0;
    for (const { from, to } of play(short(4000), 2)) {
      store.set(slot++, from);
      store.set(slot++, to);
    }
    expect(store.holds(0)).toBe(false);
    expect(store.holds(slot - 1)).toBe(true);
  });

  it("is never sampled where the frames are gone", () => {
    const replay = new ReplayBuffer(4000, WIDTH, STACK);
    const prioritized = new PrioritizedReplay(4000, WIDTH, { alpha: 0.6, epsilon: 1e-6 }, STACK);
    const seen = new Map<number, string>();
    let number = 0;
    for (const { from, to } of play(short(4000), 3)) {
      replay.add(from, number, 0, to, 1);
      prioritized.add(from, number, 0, to, 1);
      seen.set(number++, [...from, ...to].join());
    }
    const random = stream(1, "sample");
    const batch = batchOf(500);
    const check = (): void => {
      for (const [row, action] of batch.actions.entries()) {
        const part = (values: ArrayLike<number>): number[] => Array.from(values).slice(row * WIDTH, (row + 1) * WIDTH);
        expect([...part(batch.observations), ...part(batch.nextObservations)].join()).toBe(seen.get(action));
      }
    };
    replay.sample(random, batch);
    check();
    prioritized.sample(random, 0.4, batch, new Float32Array(500), new Int32Array(500));
    check();
  });
});

it("goes on from its state as if nothing had been", () => {
  const transitions = [...play([50, 1, 40, 30], 4)];
  const whole = new ReplayBuffer(100, WIDTH, STACK);
  const first = new ReplayBuffer(100, WIDTH, STACK);
  for (const [i, { from, to }] of transitions.entries()) {
    whole.add(from, i, i, to, 1);
    if (i < 60) first.add(from, i, i, to, 1);
  }
  const second = new ReplayBuffer(100, WIDTH, STACK);
  second.setState(structuredClone(first.getState()));
  for (const [i, { from, to }] of transitions.entries()) if (i >= 60) second.add(from, i, i, to, 1);
  expect(second.getState()).toEqual(whole.getState());
});

it("does not take the state of rows", () => {
  const rows = new ReplayBuffer(10, WIDTH);
  rows.add(new Float32Array(WIDTH), 0, 0, new Float32Array(WIDTH), 1);
  expect(() => {
    new ReplayBuffer(10, WIDTH, STACK).setState(rows.getState());
  }).toThrow("replay: a state of 30 bytes does not fit frames of 5 bytes");
});

it("takes 100,000 transitions of Atari in less than 750 MB", () => {
  const bytes = process.memoryUsage().arrayBuffers;
  const replay = new ReplayBuffer(100_000, 4 * 84 * 84, 4);
  expect(replay.size).toBe(0);
  expect(process.memoryUsage().arrayBuffers - bytes).toBeLessThan(750e6);
});

import fc from "fast-check";
import { expect, it } from "vitest";
import { NStep } from "../../src/replay/n-step.ts";

interface Finished {
  readonly from: number;
  readonly action: number;
  readonly reward: number;
  readonly to: number;
  readonly discount: number;
}

type End = "terminated" | "truncated" | "running";

interface Episode {
  readonly rewards: readonly number[];
  readonly end: End;
}

function collect(n: number, gamma: number): [NStep, Finished[]] {
  const finished: Finished[] = [];
  const window = new NStep(n, gamma, (observation, action, reward, next, discount) => {
    finished.push({ from: observation[0]!, action, reward, to: next[0]!, discount });
  });
  return [window, finished];
}

/** Observation t of episode e is [100 e + t], its action t. One buffer is used again and again, as environments do. */
function play(window: NStep, { rewards, end }: Episode, episode = 0, first = 0): void {
  const before = new Float32Array(1);
  const after = new Float32Array(1);
  for (let t = first; t < rewards.length; t++) {
    before[0] = 100 * episode + t;
    after[0] = 100 * episode + t + 1;
    const last = t === rewards.length - 1;
    window.push(before, t, rewards[t]!, after, last && end === "terminated", last && end === "truncated");
  }
}

it("sums n discounted rewards and bootstraps with gamma^n", () => {
  const [window, finished] = collect(3, 0.5);
  play(window, { rewards: [1, 2, 4, 8], end: "running" });
  // 1 + 0.5 * 2 + 0.25 * 4 = 3; 2 + 0.5 * 4 + 0.25 * 8 = 6.
  expect(finished).toEqual([
    { from: 0, action: 0, reward: 3, to: 3, discount: 0.125 },
    { from: 1, action: 1, reward: 6, to: 4, discount: 0.125 },
  ]);
});

it("cuts windows where an episode terminates, and bootstraps nothing there", () => {
  const [window, finished] = collect(3, 0.5);
  play(window, { rewards: [1, 2, 4, 8], end: "terminated" });
  expect(finished).toEqual([
    { from: 0, action: 0, reward: 3, to: 3, discount: 0.125 },
    { from: 1, action: 1, reward: 6, to: 4, discount: 0 },
    { from: 2, action: 2, reward: 8, to: 4, discount: 0 },
    { from: 3, action: 3, reward: 8, to: 4, discount: 0 },
  ]);
});

it("cuts windows where an episode is truncated, and bootstraps with gamma to their own length", () => {
  const [window, finished] = collect(3, 0.5);
  play(window, { rewards: [1, 2], end: "truncated" });
  expect(finished).toEqual([
    { from: 0, action: 0, reward: 2, to: 2, discount: 0.25 },
    { from: 1, action: 1, reward: 2, to: 2, discount: 0.5 },
  ]);
});

it("passes single steps through when n is 1", () => {
  const [window, finished] = collect(1, 0.9);
  play(window, { rewards: [1, 2], end: "truncated" });
  play(window, { rewards: [3], end: "terminated" }, 1);
  expect(finished).toEqual([
    { from: 0, action: 0, reward: 1, to: 1, discount: 0.9 },
    { from: 1, action: 1, reward: 2, to: 2, discount: 0.9 },
    { from: 100, action: 0, reward: 3, to: 101, discount: 0 },
  ]);
});

it("termination counts when both flags are set", () => {
  const [window, finished] = collect(2, 0.5);
  window.push(Float32Array.of(0), 0, 1, Float32Array.of(1), true, true);
  expect(finished.map(({ discount }) => discount)).toEqual([0]);
});

const episodes = fc.array(
  fc.record({
    rewards: fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 8 }),
    end: fc.constantFrom<End>("terminated", "truncated"),
  }),
  { minLength: 1, maxLength: 4 },
);
const settings = fc.tuple(fc.integer({ min: 1, max: 6 }), fc.constantFrom(0, 0.5, 0.99, 1));

/** Sutton's definition, window by window. */
function definition(n: number, gamma: number, { rewards, end }: Episode, episode: number): Finished[] {
  return rewards.map((_, t) => {
    const length = Math.min(n, rewards.length - t);
    const terminated = t + length === rewards.length && end === "terminated";
    return {
      from: 100 * episode + t,
      action: t,
      reward: rewards.slice(t, t + length).reduce((total, reward, i) => total + gamma ** i * reward, 0),
      to: 100 * episode + t + length,
      discount: terminated ? 0 : gamma ** length,
    };
  });
}

it("gives every step of every episode exactly one window, by definition", () => {
  fc.assert(
    fc.property(settings, episodes, ([n, gamma], all) => {
      const [window, finished] = collect(n, gamma);
      for (const [i, episode] of all.entries()) play(window, episode, i);
      const expected = all.flatMap((episode, i) => definition(n, gamma, episode, i));
      expect(finished.map((one) => ({ ...one, reward: 0 }))).toEqual(expected.map((one) => ({ ...one, reward: 0 })));
      for (const [i, { reward }] of finished.entries()) expect(reward).toBeCloseTo(expected[i]!.reward, 10);
    }),
  );
});

it("goes on from a state in the middle of an episode", () => {
  fc.assert(
    fc.property(settings, episodes, fc.nat(7), ([n, gamma], [episode], at) => {
      const { rewards, end } = episode!;
      const [whole, expected] = collect(n, gamma);
      play(whole, { rewards, end });
      const [first, finished] = collect(n, gamma);
      play(first, { rewards: rewards.slice(0, Math.min(at, rewards.length - 1)), end: "running" });
      const state = first.getState();
      const [second, later] = collect(n, gamma);
      play(second, { rewards: [5, 5], end: "running" });
      later.length = 0;
      second.setState(structuredClone(state));
      play(second, { rewards, end }, 0, Math.min(at, rewards.length - 1));
      expect([...finished, ...later]).toEqual(expected);
    }),
  );
});

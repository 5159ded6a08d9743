import { describe, expect, it } from "vitest";
import { TimeLimit } from "../../src/environment/time-limit.ts";
import { EnvironmentError } from "../../src/errors.ts";
import { Countdown } from "./countdown.ts";

/** Flags of the steps up to the first end. */
function flagsOf(environment: TimeLimit): string[] {
  environment.reset(0);
  const flags: string[] = [];
  for (;;) {
    const { terminated, truncated } = environment.step(1);
    flags.push(`${terminated}/${truncated}`);
    if (terminated || truncated) return flags;
  }
}

describe("TimeLimit", () => {
  it("truncates in the last allowed step", () => {
    expect(flagsOf(new TimeLimit(new Countdown(5), 3))).toEqual(["false/false", "false/false", "false/true"]);
  });

  it("leaves an episode that ends before the limit alone", () => {
    expect(flagsOf(new TimeLimit(new Countdown(2), 3))).toEqual(["false/false", "true/false"]);
  });

  it("reports both ends when the episode ends by itself in the last allowed step", () => {
    expect(flagsOf(new TimeLimit(new Countdown(3), 3))).toEqual(["false/false", "false/false", "true/true"]);
  });

  it("keeps observation and reward of a truncated step", () => {
    const environment = new TimeLimit(new Countdown(5), 1);
    environment.reset(0);
    const { observation, reward } = environment.step(1);
    expect(observation[0]).toBe(4);
    expect(reward).toBe(1);
  });

  it("counts anew after a reset", () => {
    const environment = new TimeLimit(new Countdown(9), 2);
    expect(flagsOf(environment)).toHaveLength(2);
    expect(flagsOf(environment)).toHaveLength(2);
  });

  it("says its limit in the spec", () => {
    expect(new TimeLimit(new Countdown(), 7).spec.maxEpisodeSteps).toBe(7);
  });

  it.each([2, 5])("refuses a step after the end of a countdown from %i under a limit of 3", (from) => {
    const environment = new TimeLimit(new Countdown(from), 3);
    flagsOf(environment);
    expect(() => environment.step(0)).toThrow(EnvironmentError);
  });

  it("saves and restores the number of steps that are left", () => {
    const environment = new TimeLimit(new Countdown(9), 3);
    environment.reset(0);
    environment.step(0);
    const restored = new TimeLimit(new Countdown(9), 3);
    restored.setState(structuredClone(environment.getState()));
    expect(restored.step(0).truncated).toBe(false);
    expect(restored.step(0).truncated).toBe(true);
  });

  it("cannot be rendered when the environment cannot", () => {
    expect(new TimeLimit(new Countdown(), 3).render).toBeUndefined();
  });
});

import { describe, expect, it } from "vitest";
import { nearest } from "../../src/environment/nearest.ts";
import { environmentIds, makeEnvironment, register, specOf } from "../../src/environment/registry.ts";
import { UsageError } from "../../src/errors.ts";
import { Countdown } from "./countdown.ts";

describe("the registry", () => {
  it("knows the classic-control tasks", () => {
    expect(environmentIds()).toEqual(
      expect.arrayContaining(["CartPole-v0", "CartPole-v1", "Acrobot-v1", "MountainCar-v0"]),
    );
  });

  it("makes every environment that it lists, under its own id", () => {
    for (const id of environmentIds()) {
      expect(makeEnvironment(id).spec.id).toBe(id);
      expect(specOf(id).id).toBe(id);
    }
  });

  it("makes a registered environment with its time limit, and refuses its id the next time", () => {
    const create = (): Countdown => new Countdown(9, 2);
    register({ spec: create().spec, create });
    const environment = makeEnvironment("Countdown-v0");
    environment.reset(0);
    environment.step(0);
    expect(environment.step(0).truncated).toBe(true);
    expect(() => {
      register({ spec: create().spec, create });
    }).toThrow('environment: "Countdown-v0" is registered already');
  });

  it("suggests the nearest id for an unknown one", () => {
    expect(() => makeEnvironment("CartPol-v1")).toThrow(UsageError);
    expect(() => specOf("CartPol-v1")).toThrow(
      'environment: there is no environment "CartPol-v1"; did you mean "CartPole-v1"?',
    );
  });

  it("lists the known ids when none is near", () => {
    expect(() => specOf("Chess")).toThrow("known are CartPole-v0, CartPole-v1, ");
  });
});

describe("nearest", () => {
  it.each([
    ["train", ["run", "train"], "train"],
    ["trian", ["run", "train"], "train"],
    ["tran", ["run", "train"], "train"],
    ["trrain", ["run", "train"], "train"],
    ["ACROBOT", ["CartPole-v1", "Acrobot-v1"], "Acrobot-v1"],
    ["b", ["a", "c"], undefined],
    ["", [], undefined],
  ])("of %j among %j is %j", (word, candidates, expected) => {
    expect(nearest(word, candidates)).toBe(expected);
  });

  it("takes the first of equally near candidates", () => {
    expect(nearest("seet", ["seed", "seek"])).toBe("seed");
  });

  it("takes the nearest rather than the first", () => {
    expect(nearest("CartPole-v1", ["CartPole-v0", "CartPole-v1"])).toBe("CartPole-v1");
  });
});

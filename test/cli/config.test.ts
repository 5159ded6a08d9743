import { describe, expect, it } from "vitest";
import { formatConfig, parseConfig, resolveConfig } from "../../src/cli/config.ts";
import { environmentIds, specOf } from "../../src/environment/registry.ts";
import { dqnSchema } from "../../src/teacher/dqn.ts";
import { ppoSchema } from "../../src/teacher/ppo.ts";

const resolve = (environment: string, set: readonly string[] = [], preset = "default") =>
  resolveConfig({ spec: specOf(environment), command: "run", preset, set });

describe("the teacher's algorithm", () => {
  it.each(environmentIds())("of %s is one that can do with its actions", (id) => {
    if (specOf(id).actionSpace.kind === "box") expect(resolve(id).teacher.algorithm).toBe("ppo");
    else expect(["dqn", "ppo"]).toContain(resolve(id).teacher.algorithm);
  });

  it.each(environmentIds().filter((id) => specOf(id).frameStack !== undefined))(
    "of %s sees with convolutions",
    (id) => {
      expect(resolve(id).teacher.convolutions).not.toEqual([]);
    },
  );

  it("when switched takes the other's defaults, and keeps of the preset what is of the task", () => {
    const { teacher: ppo } = resolve("LunarLander-v3");
    const { teacher: dqn } = resolve("LunarLander-v3", ["teacher.algorithm=dqn"]);
    const { hidden, activation, stopScore, evaluationEpisodes, confirmationEpisodes } = ppo;
    const kept = { hidden, activation, stopScore, evaluationEpisodes, confirmationEpisodes };
    expect(dqn).toEqual(dqnSchema.parse({ algorithm: "dqn", ...kept }));
  });

  it("when switched from DQN drops its settings likewise", () => {
    const { teacher: dqn } = resolve("CartPole-v1");
    const { teacher: ppo } = resolve("CartPole-v1", ["teacher.algorithm=ppo"]);
    const { hidden, stopScore } = dqn;
    expect(ppo).toEqual(ppoSchema.parse({ algorithm: "ppo", hidden, stopScore }));
  });

  it("when switched takes settings of the other that stand beside it, in any order", () => {
    const settings = ["teacher.nSteps=7", "teacher.algorithm=ppo", "teacher.batchSize=56"];
    const { teacher } = resolve("CartPole-v1", settings);
    expect(teacher).toMatchObject({ algorithm: "ppo", nSteps: 7, batchSize: 56, gaeLambda: 0.95 });
    expect(resolve("CartPole-v1", settings.toReversed()).teacher).toEqual(teacher);
  });

  it("that is set to what it is anyway changes nothing", () => {
    expect(resolve("LunarLander-v3", ["teacher.algorithm=ppo"])).toEqual(resolve("LunarLander-v3"));
  });

  it("of a preset replaces that of the default one", () => {
    const { teacher } = resolve("LunarLander-v3", [], "dqn");
    expect(teacher.algorithm).toBe("dqn");
    expect(teacher.hidden).toEqual(resolve("LunarLander-v3").teacher.hidden);
  });
});

it("a compression in an environment without a threshold wants no score at which training stops", () => {
  const { rewardThreshold, ...spec } = specOf("CartPole-v1");
  expect(rewardThreshold).toBe(475);
  const of = (command: "run" | "compress", set: readonly string[]) =>
    resolveConfig({ spec: { ...spec, id: "Mine-v0" }, command, set });
  const scores = ["pops.objective=40", "pops.lowerBound=30"];
  expect(of("compress", scores).pops).toMatchObject({ objective: 40, lowerBound: 30 });
  expect(() => of("compress", [])).toThrow("state --set pops.objective=..., pops.lowerBound=...");
  expect(() => of("run", scores)).toThrow("teacher.stopScore");
});

it.each(environmentIds())("the configuration of %s is read back from config.yaml as it was", (id) => {
  const stated = specOf(id).rewardThreshold === undefined ? [] : ["pops.retention=0.9"];
  const config = resolve(id, stated);
  expect(parseConfig(formatConfig(config), "config.yaml")).toEqual(config);
});

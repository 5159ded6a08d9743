import { expect, it } from "vitest";
import { environmentIds } from "../../src/environment/registry.ts";
import { dqnSchema } from "../../src/teacher/dqn.ts";
import { ppoSchema } from "../../src/teacher/ppo.ts";
import { pops } from "./fixtures/pops.ts";

it("lists environments with spaces, limits and presets", async () => {
  expect(await pops("environments")).toEqual({
    code: 0,
    stderr: "",
    stdout: [
      "environment               observation     action  step limit  solved at                     presets",
      "CartPole-v0                       [4]  2 choices         200        195       default, paper, quick",
      "CartPole-v1                       [4]  2 choices         500        475       default, paper, quick",
      "Acrobot-v1                        [6]  3 choices         500       -100       default, paper, quick",
      "MountainCar-v0                    [2]  3 choices         200       -110       default, paper, quick",
      "MountainCarContinuous-v0          [2]        [1]         999         90       default, paper, quick",
      "Pendulum-v1                       [3]        [1]         200       none       default, paper, quick",
      "LunarLander-v2                    [8]  4 choices        1000        200  default, paper, quick, dqn",
      "LunarLander-v3                    [8]  4 choices        1000        200  default, paper, quick, dqn",
      "LunarLanderContinuous-v3          [8]        [2]        1000        200       default, paper, quick",
      "Pong-v0                   [4, 84, 84]  3 choices       27000         18       default, paper, quick",
      "PongFire-v0               [4, 84, 84]  6 choices       27000         18       default, paper, quick",
      "PacMan-v0                 [4, 84, 84]  5 choices       27000       none       default, paper, quick",
      "MiniBreakout-v0           [4, 10, 10]  3 choices        1000       none       default, paper, quick",
      "MiniSpaceInvaders-v0      [6, 10, 10]  4 choices        1000       none       default, paper, quick",
      "",
      "gymnasium:<id>   any environment of Python's Gymnasium",
      "ale:<game>       a game of the Arcade Learning Environment, preprocessed: ale:Pong, ale:MsPacman",
      "",
    ].join("\n"),
  });
});

it("lists environments as one JSON array", async () => {
  const { stdout } = await pops("environments", "--json");
  const rows = JSON.parse(stdout) as { id: string; presets: string[] }[];
  expect(rows.map(({ id }) => id)).toEqual(environmentIds());
  expect(rows[1]).toMatchObject({
    rewardThreshold: 475,
    actionSpace: { kind: "discrete", n: 2 },
    presets: ["default", "paper", "quick"],
  });
  const picture = { kind: "box", shape: [4, 84, 84], low: 0, high: 255 };
  expect(rows.find(({ id }) => id === "Pong-v0")).toMatchObject({ observationSpace: picture, frameStack: 4 });
});

it("lists every setting with its value and what it means", async () => {
  const { code, stdout, stderr } = await pops("settings", "Acrobot-v1");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const lines = stdout.trimEnd().split("\n");
  for (const line of lines) expect(line).toMatch(/^(teacher|pops)(\.\w+)+ = \S.* {2}# \S/);
  expect(lines).toContain(
    "pops.objective = -100  # mean return that the teacher has to reach and a policy has to hold; on logged observations the agreement",
  );
});

it("lists the settings of a preset", async () => {
  const { stdout } = await pops("settings", "--preset", "paper");
  expect(stdout).toContain('\npops.rule = "weights"  #');
});

it("lists the settings of the teacher's algorithm alone", async () => {
  const keysOf = async (...parameters: string[]): Promise<string[]> =>
    [...(await pops("settings", ...parameters)).stdout.matchAll(/^teacher\.(\w+) =/gm)].map(([, key]) => key!);
  expect((await keysOf("LunarLander-v3")).toSorted()).toEqual(Object.keys(ppoSchema.shape).toSorted());
  expect((await keysOf("LunarLander-v3", "--preset", "dqn")).toSorted()).toEqual(
    Object.keys(dqnSchema.shape).toSorted(),
  );
});

it.each(["MountainCar-v0", "LunarLander-v3"])(
  "accepts its own list of settings of %s as settings",
  async (environment) => {
    const { stdout } = await pops("settings", environment);
    const settings = stdout
      .trimEnd()
      .split("\n")
      .flatMap((line) => ["--set", line.replace(/ {2}#.*/, "").replace(" = ", "=")]);
    // The first thing after the settings that is wrong.
    const ended = await pops("run", environment, ...settings, "--out", "/dev/null/run");
    expect(ended.stderr).toMatch(/^pops: \/dev\/null\/run: could not be made: /);
  },
);

it("prints its version, and help with every command", async () => {
  expect(await pops("--version")).toEqual({ code: 0, stdout: "0.1.0\n", stderr: "" });
  const { code, stdout } = await pops("--help");
  expect(code).toBe(0);
  const commands = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name);
  expect(commands).toEqual([
    "run",
    "train",
    "compress",
    "evaluate",
    "inspect",
    "export",
    "verify",
    "analyze",
    "import",
    "new",
    "zoo",
    "environments",
    "settings",
    "help",
  ]);
});

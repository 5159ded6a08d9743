import { spawnSync } from "node:child_process";
import { crc32 } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import type { VectorEnvironment } from "../../../src/environment/environment.ts";
import type { GymnasiumReference } from "../../../src/environment/gymnasium-protocol.ts";
import { type OpenEnvironment, openEnvironment } from "../../../src/environment/open.ts";
import { makeVector } from "../../../src/environment/vector.ts";
import { UsageError } from "../../../src/errors.ts";
import { stream } from "../../../src/random/pcg64.ts";
import { python } from "../fixtures/python.ts";

const withAle = spawnSync(python, ["-c", "import gymnasium, numpy, ale_py"]).status === 0;

const opened: OpenEnvironment[] = [];
async function open(game: string, kwargs: GymnasiumReference["kwargs"] = {}, workers = 1): Promise<OpenEnvironment> {
  const environment = await openEnvironment(`ale:${game}`, { workers, gymnasium: { kwargs } });
  opened.push(environment);
  return environment;
}
afterEach(async () => {
  await Promise.all(opened.splice(0).map((environment) => environment.close()));
});

async function begin(vector: VectorEnvironment, seed: number): Promise<void> {
  for (let lane = 0; lane < vector.size; lane++) await vector.reset(lane, seed + lane);
}

/** Everything that a vector shows, of its observations the checksum. */
function shown({ observations, rewards, terminated, truncated, lifeLost }: VectorEnvironment): object {
  return [crc32(Uint8Array.from(observations)), [...rewards], [...terminated], [...truncated], [...lifeLost]];
}

/** What a vector shows in lock-steps of actions that are held for some steps. */
async function play(vector: VectorEnvironment, steps: number, name = "play"): Promise<object[]> {
  const { actionSpace } = vector.spec;
  const random = stream(1, name);
  const actions = new Int32Array(vector.size);
  const seen: object[] = [];
  for (let step = 0; step < steps; step++) {
    if (step % 5 === 0)
      for (let lane = 0; lane < vector.size; lane++)
        actions[lane] = random.integer(actionSpace.kind === "discrete" ? actionSpace.n : 0);
    await vector.step(actions);
    seen.push(shown(vector));
  }
  return seen;
}

describe.skipIf(!withAle)("ALE's games (needs Python with gymnasium[atari], which POPS_PYTHON names)", () => {
  it("Pong is ours, bit for bit, for the same seeds and actions, in any number of processes", async () => {
    const ours = makeVector("Pong-v0", 3);
    const theirs = (await open("Pong", {}, 2)).vector(3);
    const { id, ...spec } = theirs.spec;
    expect(id).toBe("ale:Pong");
    expect({ ...spec, id: "Pong-v0" }).toEqual(ours.spec);
    await begin(ours, 7);
    await begin(theirs, 7);
    expect(shown(theirs)).toEqual(shown(ours));
    expect(await play(theirs, 250)).toEqual(await play(ours, 250));
  });

  it("have all of their actions, or those that are asked for", async () => {
    expect((await open("MsPacman")).spec.actionSpace).toEqual({ kind: "discrete", n: 9 });
    expect((await open("Pong", { actions: [0, 1, 2, 3, 4, 5] })).spec.actionSpace).toEqual({ kind: "discrete", n: 6 });
  });

  it("say that a life is lost, but for the last one, and go on", async () => {
    const environment = await open("MsPacman");
    expect(environment.spec.training).toEqual({ clipRewards: true, episodicLife: true });
    const vector = environment.vector(1);
    await begin(vector, 3);
    let lost = 0;
    let points = 0;
    while (!vector.terminated[0]) {
      await vector.step(Int32Array.of(3));
      lost += vector.lifeLost[0]!;
      points += vector.rewards[0]!;
    }
    // Of three lives; points are the game's own.
    expect(lost).toBe(2);
    expect(vector.lifeLost[0]).toBe(0);
    expect(points).toBeGreaterThan(50);
    expect(points % 10).toBe(0);
  });

  it.each([
    ["after a reset Freeway goes on otherwise than after another", "Freeway", 60],
    ["TicTacToe3d leaves frames unfinished while it thinks", "TicTacToe3d", 0],
  ])("begin alike whatever was played before: %s", async (_, game, steps) => {
    const vector = (await open(game)).vector(1);
    await begin(vector, 1);
    const first = await play(vector, 100);
    await begin(vector, 4);
    await play(vector, steps, "something else");
    await begin(vector, 1);
    expect(await play(vector, 100)).toEqual(first);
  });

  it("go on from a saved state in another process, bit for bit", async () => {
    const first = (await open("Breakout", { repeat_action_probability: 0.25 })).vector(2);
    await begin(first, 5);
    await play(first, 60);
    const saved = structuredClone(first.getState());
    const second = (await open("Breakout", { repeat_action_probability: 0.25 })).vector(2);
    second.setState(saved);
    expect(await play(second, 40, "further")).toEqual(await play(first, 40, "further"));
  });

  it("repeat actions at random, by seed, if they are to", async () => {
    const sticky = (await open("Pong", { repeat_action_probability: 0.25 })).vector(2);
    await begin(sticky, 7);
    const once = await play(sticky, 60);
    await begin(sticky, 7);
    expect(await play(sticky, 60)).toEqual(once);
    const plain = (await open("Pong")).vector(2);
    await begin(plain, 7);
    expect(await play(plain, 60)).not.toEqual(once);
  });

  it("are begun by FIRE where it is among the actions", async () => {
    // Breakout's ball flies once FIRE is pressed, and is lost without an action: so lives are.
    const livesLost = async (kwargs: GymnasiumReference["kwargs"]): Promise<number> => {
      const vector = (await open("Breakout", kwargs)).vector(1);
      await begin(vector, 2);
      let lost = 0;
      for (let step = 0; step < 60; step++) {
        await vector.step(Int32Array.of(0));
        lost += vector.lifeLost[0]!;
      }
      return lost;
    };
    expect(await livesLost({})).toBe(1);
    expect(await livesLost({ use_fire_reset: false })).toBe(0);
    expect(await livesLost({ actions: [0, 2, 3] })).toBe(0);
    expect(await livesLost({ actions: [0, 2, 3], use_fire_reset: true })).toBe(1);
  });

  it.each<[string, GymnasiumReference, string]>([
    ["Pongg", {}, 'environment: there is no environment "ale:Pongg"; did you mean "ale:Pong"?'],
    ["ms_pacman", {}, 'did you mean "ale:MsPacman"?'],
    ["Pong", { kwargs: { frameskip: 1 } }, 'Unrecognized key: "frameskip"'],
    ["Pong", { kwargs: { actions: [] } }, "actions"],
    ["Pong", { kwargs: { actions: [0, 6] } }, "actions has 6, the game knows 0 NOOP, 1 FIRE, 2 RIGHT"],
    ["Pong", { wrappers: [{ name: "FlattenObservation" }] }, "--env-wrapper: is not for games"],
    ["Pong", { module: "my_module" }, "--env-module: is not for games"],
  ])("%s with %j is refused with what to do", async (game, gymnasium, message) => {
    const opening = openEnvironment(`ale:${game}`, { workers: 1, gymnasium });
    await expect(opening).rejects.toThrow(UsageError);
    await expect(opening).rejects.toThrow(message);
  });
});

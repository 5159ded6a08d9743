import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { VectorEnvironment } from "../../src/environment/environment.ts";
import type { GymnasiumReference } from "../../src/environment/gymnasium-protocol.ts";
import { type OpenEnvironment, openEnvironment } from "../../src/environment/open.ts";
import { makeVector } from "../../src/environment/vector.ts";
import { EnvironmentError, UsageError } from "../../src/errors.ts";
import type { Plain } from "../../src/plain.ts";
import { stream } from "../../src/random/pcg64.ts";
import { interpreterIn, isAlive, modules, NEEDS, python, withGymnasium } from "./fixtures/python.ts";

const opened: OpenEnvironment[] = [];
async function open(id: string, gymnasium: GymnasiumReference = {}, processes = 1): Promise<OpenEnvironment> {
  const environment = await openEnvironment(`gymnasium:${id}`, { workers: 1, gymnasium: { processes, ...gymnasium } });
  opened.push(environment);
  return environment;
}
const walk = (kwargs: NonNullable<GymnasiumReference["kwargs"]> = {}, processes = 1, more: GymnasiumReference = {}) =>
  open("Walk-v0", { module: "bridged", kwargs, ...more }, processes);

const folder = mkdtempSync(join(tmpdir(), "pops-bridge-"));
beforeAll(() => {
  vi.stubEnv("PYTHONPATH", modules);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  vi.stubEnv("PYTHONPATH", modules);
  await Promise.all(opened.splice(0).map((environment) => environment.close()));
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

function actionsOf({ spec, size }: VectorEnvironment, random: ReturnType<typeof stream>): Int32Array | Float32Array {
  const { actionSpace } = spec;
  if (actionSpace.kind === "discrete") return Int32Array.from({ length: size }, () => random.integer(actionSpace.n));
  const { low, high } = actionSpace;
  return Float32Array.from({ length: size * low.length }, (_, i) =>
    random.uniform(low[i % low.length]!, high[i % low.length]!),
  );
}

/** Runs a command where /dev/shm holds a megabyte; its status is another than 0 where that cannot be had. */
function inSmallMemory(...command: readonly string[]): SpawnSyncReturns<string> {
  const script = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"';
  return spawnSync("unshare", ["--map-root-user", "--mount", "sh", "-c", script, "sh", ...command], {
    encoding: "utf8",
  });
}

/** Everything that a vector shows in lock-steps of random actions; episodes that end begin anew. */
async function play(vector: VectorEnvironment, steps: number, random = stream(1, "bridge")): Promise<number[]> {
  const seen: number[] = [];
  for (let step = 0; step < steps; step++) {
    await vector.step(actionsOf(vector, random));
    seen.push(...vector.observations, ...vector.rewards, ...vector.terminated, ...vector.truncated);
    for (let lane = 0; lane < vector.size; lane++) {
      if (vector.terminated[lane] || vector.truncated[lane]) await vector.reset(lane);
    }
    seen.push(...vector.observations);
  }
  return seen;
}

async function begin(vector: VectorEnvironment): Promise<void> {
  for (let lane = 0; lane < vector.size; lane++) await vector.reset(lane, 100 + lane);
}

interface Next {
  readonly [key: string]: Plain;
  readonly next: number;
}

const distance = (a: Iterable<number>, b: Float32Array | Float64Array): number =>
  Math.max(...[...a].map((value, i) => Math.abs(value - b[i]!)));

describe.skipIf(!withGymnasium)(`Gymnasium's environments (${NEEDS})`, () => {
  it.each([
    ["CartPole-v1", 60, 1e-6],
    ["Pendulum-v1", 60, 1e-6],
    ["LunarLander-v3", 60, 1e-4],
  ])("bridged %s is ours for the same seeds and actions", async (id, steps, tolerance) => {
    const bridged = (await open(id, {}, 2)).vector(3);
    const own = makeVector(id, 3);
    const { id: name, ...spec } = bridged.spec;
    // Gymnasium does not say how an environment is shown.
    const { id: ownName, picture, ...ownSpec } = own.spec;
    expect([name, ownName]).toEqual([`gymnasium:${id}`, id]);
    expect({ ...spec, picture }).toEqual({ ...ownSpec, picture });
    const random = stream(2, "bridge");
    for (let lane = 0; lane < 3; lane++) {
      await bridged.reset(lane, 40 + lane);
      await own.reset(lane, 40 + lane);
    }
    expect(distance(bridged.observations, own.observations)).toBeLessThanOrEqual(tolerance);
    let ends = 0;
    for (let step = 0; step < steps; step++) {
      const actions = actionsOf(own, random);
      await bridged.step(actions);
      await own.step(actions);
      expect(bridged.terminated).toEqual(own.terminated);
      expect(bridged.truncated).toEqual(own.truncated);
      expect(distance(bridged.observations, own.observations)).toBeLessThanOrEqual(tolerance);
      // Rewards of the lander are differences of shaping, a hundred times an observation.
      expect(distance(bridged.rewards, own.rewards)).toBeLessThanOrEqual(100 * tolerance);
      for (let lane = 0; lane < 3; lane++) {
        if (!own.terminated[lane] && !own.truncated[lane]) continue;
        ends++;
        await bridged.reset(lane, 1000 + step);
        await own.reset(lane, 1000 + step);
      }
    }
    if (id === "CartPole-v1") expect(ends).toBeGreaterThan(3);
  });

  it.each([2, 3, 8])("play the same in %s processes as in one", async (workers) => {
    const alone = (await walk()).vector(5);
    const shared = (await walk({}, workers)).vector(5);
    await begin(alone);
    await begin(shared);
    const expected = await play(alone, 30);
    expect(await play(shared, 30)).toEqual(expected);
    expect(shared.getState()).toEqual(alone.getState());
  });

  it.each([
    ["one process", [2], undefined, 1],
    ["as many as there are workers where they draw pictures", [1, 1], undefined, 3],
    ["as many as are stated", [1, 1], 2, 2],
  ])("are in %s", async (_, shape, processes, expected) => {
    const gymnasium = { module: "bridged", kwargs: { shape }, processes };
    const environment = await openEnvironment("gymnasium:Process-v0", { workers: 3, gymnasium });
    opened.push(environment);
    const vector = environment.vector(6);
    await begin(vector);
    expect(new Set(vector.observations).size).toBe(expected);
  });

  it("play the same whether their observations come by shared memory or by the pipe", async () => {
    // 12 kB a lane: two lanes in one process come by memory, a lane in each of two by pipes. The second episodes end at step 24,
    // when the third ones begin at once.
    const memory = (await walk({ width: 3000 })).vector(2);
    const pipes = (await walk({ width: 3000 }, 2)).vector(2);
    await begin(memory);
    await begin(pipes);
    expect(await play(memory, 40)).toEqual(await play(pipes, 40));
  });

  it.skipIf(inSmallMemory("true").status !== 0)(
    "go by the pipe when shared memory is full (needs a system on which anyone may mount)",
    () => {
      const fixture = fileURLToPath(new URL("./fixtures/small-memory.ts", import.meta.url));
      const { status, stdout, stderr } = inSmallMemory(process.execPath, "--import", "tsx", fixture);
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      const [first, second] = JSON.parse(stdout) as unknown[];
      expect(second).toEqual(first);
    },
  );

  it("keep the final observation of an episode until they are reset, and step no further", async () => {
    const vector = (await walk()).vector(2);
    await begin(vector);
    const zeros = new Int32Array(2);
    for (let step = 0; step < 11; step++) await vector.step(zeros);
    await vector.reset(1);
    await vector.step(zeros);
    expect([...vector.terminated]).toEqual([1, 0]);
    const last = vector.observations.slice(0, 2);
    await vector.step(zeros);
    expect(vector.observations.slice(0, 2)).toEqual(last);
    expect([...vector.rewards]).toEqual([0, 5]);
    expect([...vector.terminated]).toEqual([1, 0]);
  });

  it("give choices the numbers that they have in Gymnasium", async () => {
    const vector = (await walk()).vector(3);
    await begin(vector);
    await vector.step(Int32Array.of(0, 1, 2));
    expect([...vector.rewards]).toEqual([5, 6, 7]);
    await expect(vector.step(Int32Array.of(0, 1, 3))).rejects.toThrow("action is 3, expected an integer from 0 to 2");
  });

  it("take pictures of bytes, and numbers at the very bounds of a float64 box", async () => {
    const environment = await open("Picture-v0", { module: "bridged" });
    const { spec } = environment;
    expect(spec.observationSpace.shape).toEqual([3, 5, 2]);
    expect(new Set([...spec.observationSpace.low, ...spec.observationSpace.high])).toEqual(new Set([0, 255]));
    const vector = environment.vector(2);
    await begin(vector);
    const actions = Float32Array.of(0.1, 0.7, -0.1, 0);
    await vector.step(actions);
    expect(vector.observations.every((byte) => Number.isInteger(byte) && byte >= 0 && byte <= 255)).toBe(true);
    const sums = [0, 1].map((lane) =>
      vector.observations.subarray(30 * lane, 30 * lane + 30).reduce((a, b) => a + b, 0),
    );
    expect(vector.rewards[0]).toBeCloseTo(sums[0]! + 0.1 + 0.7, 6);
    // The lower bound in float32 is below that in float64.
    expect(vector.rewards[1]).toBe(sums[1]! - 0.1);
  });

  it.each<[string, GymnasiumReference["wrappers"], number]>([
    ["a picture", [], 1],
    ["a stack of them", [{ name: "FrameStackObservation", kwargs: { stack_size: 4 } }], 4],
    [
      "a stack in a row",
      [{ name: "FrameStackObservation", kwargs: { stack_size: 4 } }, { name: "FlattenObservation" }],
      1,
    ],
  ])("say of bytes that they are %s, which is how they are kept", async (_, wrappers, frames) => {
    const { spec } = await open("Picture-v0", { module: "bridged", wrappers });
    expect(spec.frameStack).toBe(frames);
  });

  it("take whole numbers of another type for bytes", async () => {
    const pictures = await Promise.all(
      ["bytes", "floats"].map(async (of) => {
        const vector = (await open("Picture-v0", { module: "bridged", kwargs: { of } })).vector(2);
        await begin(vector);
        const { length } = vector.observations;
        return play(vector, 3).then((seen) => [length, ...seen]);
      }),
    );
    expect(pictures[1]).toEqual(pictures[0]);
  });

  it.each([
    ["parts", "float64"],
    ["nothing", "float64"],
    ["large", "int64"],
  ])("refuse for bytes what is none: %s", async (of, dtype) => {
    const vector = (await open("Picture-v0", { module: "bridged", kwargs: { of } })).vector(1);
    await expect(vector.reset(0, 7)).rejects.toThrow(
      `reset(7): an observation of ${dtype} with numbers that are no bytes was returned, its space has uint8`,
    );
  });

  it("are made with keyword arguments and wrappers", async () => {
    const wrappers = [
      { name: "FrameStackObservation", kwargs: { stack_size: 4 } },
      { name: "FlattenObservation" },
      { name: "TimeLimit", kwargs: { max_episode_steps: 7 } },
    ];
    const environment = await walk({ width: 3 }, 1, { wrappers });
    const { spec } = environment;
    expect(spec.observationSpace.shape).toEqual([12]);
    expect(spec).toMatchObject({ maxEpisodeSteps: 7, rewardThreshold: 70 });
    const vector = environment.vector(1);
    await begin(vector);
    for (let step = 0; step < 7; step++) await vector.step(Int32Array.of(0));
    expect([...vector.terminated, ...vector.truncated]).toEqual([0, 1]);
  });

  it("go on from a saved state in other processes, in another number of them, bit for bit", async () => {
    const first = (await walk({}, 2)).vector(5);
    await begin(first);
    await play(first, 17);
    const saved = structuredClone(first.getState());
    const expected = await play(first, 20, stream(3, "bridge"));
    const second = (await walk({}, 3)).vector(5);
    second.setState(saved);
    expect(second.getState()).toEqual(saved);
    expect(await play(second, 20, stream(3, "bridge"))).toEqual(expected);
  });

  it("whose future is not in seed and actions are noticed when they go on", async () => {
    const first = (await walk({ fault: "careless" })).vector(2);
    await begin(first);
    await first.step(Int32Array.of(0, 0));
    const second = (await walk({ fault: "careless" })).vector(2);
    second.setState(first.getState());
    await expect(second.step(Int32Array.of(0, 0))).rejects.toThrow(/step 1 of the episode with seed 100: played again/);
  });

  it("refuse a state that is not theirs", async () => {
    const vector = (await walk()).vector(1);
    await begin(vector);
    expect(() => {
      vector.setState(makeVector("CartPole-v1", 1).getState());
    }).toThrow(EnvironmentError);
  });

  it.each([
    ["raise", "step 3 of the episode with seed 101: RuntimeError: a bug of the user's (bridged.py, line "],
    ["file", "step 3 of the episode with seed 101: FileNotFoundError: "],
    ["reward", "step 3 of the episode with seed 101: the reward is NaN, expected a finite number"],
    ["observation", "step 3 of the episode with seed 101: observation[1] is Infinity, expected a finite number"],
    ["shape", "step 3 of the episode with seed 101: an observation of shape [3] was returned, its space has [2]"],
    ["nothing", "step 3 of the episode with seed 101: the reward is None of type NoneType, expected a number"],
    ["text", "step 3 of the episode with seed 101: the reward is 'abc' of type str, expected a number"],
    ["attributes", "step 3 of the episode with seed 101: RuntimeError: with attributes (bridged.py, line "],
    ["exit", "step 3 of the episode with seed 101: its Python process ended with exit code 3"],
    ["quit", "step 3 of the episode with seed 101: its Python process ended with exit code 4"],
    ["kill", "step 3 of the episode with seed 101: its Python process was killed by SIGKILL"],
  ])("that go wrong end with an EnvironmentError: %s", async (fault, message) => {
    // The lane that goes wrong is in another process than the one that does not.
    const vector = (await walk({ fault }, 2)).vector(2);
    await begin(vector);
    for (let step = 0; step < 2; step++) await vector.step(Int32Array.of(0, 0));
    // Lane 0 is a step behind.
    await vector.reset(0, 5);
    const failing = vector.step(Int32Array.of(0, 0));
    await expect(failing).rejects.toThrow(EnvironmentError);
    await expect(failing).rejects.toThrow(`gymnasium:Walk-v0: ${message}`);
  });

  it("that cannot begin end with an EnvironmentError that names the seed", async () => {
    const vector = (await walk({ fault: "reset" })).vector(1);
    await expect(vector.reset(0, 7)).rejects.toThrow("reset(7): RuntimeError: cannot begin");
  });

  it.each([
    ["raises", "sixth", "RuntimeError: cannot begin (bridged.py, line "],
    ["exits", "sixth exit", "its Python process ended with exit code 5"],
  ])("name the seed of the one that %s, of several that begin at once", async (_, fault, message) => {
    const vector = (await walk({ fault })).vector(2);
    await begin(vector);
    // The second episodes are begun without seeds, and so the third ones as soon as those end.
    await Promise.all([vector.reset(0), vector.reset(1)]);
    const { lanes } = vector.getState() as { readonly [key: string]: Plain; readonly lanes: readonly Next[] };
    for (let step = 0; step < 12; step++) await vector.step(Int32Array.of(0, 0));
    await expect(vector.reset(0)).rejects.toThrow(`gymnasium:Walk-v0: reset(${lanes[1]!.next}): ${message}`);
  });

  it("of the old API are told what reset has to return", async () => {
    const vector = (await walk({ fault: "old" })).vector(1);
    await expect(vector.reset(0, 7)).rejects.toThrow(
      "reset(7): ndarray was returned; reset has to return (observation, info), in the old API it was the observation alone",
    );
  });

  it.each([
    ["by a wrapper of Gymnasium's", "Walk-v0"],
    ["by this program", "Endless-v0"],
  ])("of the old API are told what step has to return, when it is noticed %s", async (_, id) => {
    const vector = (await open(id, { module: "bridged", kwargs: { fault: "done", at: 1 } })).vector(1);
    await begin(vector);
    await expect(vector.step(Int32Array.of(0))).rejects.toThrow(
      "ValueError: not enough values to unpack (expected 5, got 4); step has to return (observation, reward, terminated, " +
        "truncated, info), in the old API it was (observation, reward, done, info) (",
    );
  });

  it("may start processes by multiprocessing, which imports the bridge's file in them", async () => {
    const vector = (await walk({ fault: "spawn" })).vector(1);
    await begin(vector);
    await expect(play(vector, 5)).resolves.toBeDefined();
  });

  it("take with them what they have started, when their process ends", async () => {
    const left = join(folder, "left");
    vi.stubEnv("WALK_LEFT", left);
    const vector = (await walk({ fault: "leave" })).vector(1);
    await begin(vector);
    await expect(play(vector, 5)).rejects.toThrow("its Python process ended with exit code 3");
    const pid = Number(readFileSync(left, "utf8"));
    await expect.poll(() => isAlive(pid), { timeout: 20_000 }).toBe(false);
  });

  it("go on at Ctrl-C, which is for the run to obey", async () => {
    const vector = (await walk({ fault: "interrupt" })).vector(1);
    await begin(vector);
    await expect(play(vector, 5)).resolves.toBeDefined();
  });

  it("that fail when they are closed are played all the same", async () => {
    const vector = (await walk({ fault: "close" })).vector(1);
    await begin(vector);
    await expect(play(vector, 5)).resolves.toBeDefined();
    await expect(vector.close()).resolves.toBeUndefined();
  });

  it("that hang are given up after the time limit", async () => {
    const vector = (await walk({ fault: "hang" }, 1, { timeout: 5 })).vector(1);
    await begin(vector);
    for (let step = 0; step < 2; step++) await vector.step(Int32Array.of(0));
    await expect(vector.step(Int32Array.of(0))).rejects.toThrow(
      "step 3 of the episode with seed 100: its Python process gave no answer for 5 s",
    );
  });

  it.each<[string, string, GymnasiumReference, string]>([
    [
      "CartPol-v1",
      "unknown ids",
      {},
      'environment: there is no environment "gymnasium:CartPol-v1"; did you mean "gymnasium:CartPole-v1"?',
    ],
    ["CartPole-v9", "unknown versions", {}, "It provides versioned environments: [ `v0`, `v1` ]"],
    ["Nowhere/Game-v0", "unknown namespaces", {}, "Namespace Nowhere not found"],
    ["Cart Pole", "malformed ids", {}, "Malformed environment ID"],
    ["os:CartPole-v1", "modules in ids", {}, "give it with --env-module"],
    ["Walk-v0", "missing modules", { module: "no_such_module" }, "--env-module: Python has no module no_such_module"],
    ["Walk-v0", "paths for modules", { module: "./walk.py" }, '--env-module: "./walk.py" is no module\'s name'],
    ["CartPole-v1", "unknown arguments", { kwargs: { lenght: 1 } }, "--env-kwargs: cannot be made: TypeError"],
    ["CartPole-v1", "unknown wrappers", { wrappers: [{ name: "TimeLimt" }] }, 'did you mean "TimeLimit"?'],
    [
      "CartPole-v1",
      "wrong arguments of wrappers",
      { wrappers: [{ name: "TimeLimit" }] },
      "--env-wrapper: TimeLimit cannot be applied: TypeError",
    ],
    [
      "CartPole-v1",
      "wrappers with statistics",
      { wrappers: [{ name: "NormalizeObservation" }] },
      "use --set teacher.normalizeObservations=true",
    ],
    ["CartPole-v1", "wrappers that reset", { wrappers: [{ name: "Autoreset" }] }, "Autoreset resets by itself"],
    [
      "FrozenLake-v1",
      "discrete observations",
      {},
      "its observations are Discrete(16), expected a Box of 1 to 4 dimensions; --env-wrapper FlattenObservation",
    ],
    ["Strange-v0", "dictionaries", { module: "bridged", kwargs: { space: "dictionary" } }, "its observations are Dict"],
    [
      "Strange-v0",
      "several choices",
      { module: "bridged", kwargs: { space: "several" } },
      "its actions are MultiDiscrete([2 3])",
    ],
    [
      "Strange-v0",
      "unbounded actions",
      { module: "bridged", kwargs: { space: "unbounded" } },
      "its actions have no finite bounds",
    ],
    [
      "Strange-v0",
      "actions that are always the same",
      { module: "bridged", kwargs: { space: "still" } },
      "its actions have low bounds that are not below the high ones",
    ],
  ])("%s: %s are refused with what to do", async (id, _, reference, message) => {
    const refused = open(id, reference);
    await expect(refused).rejects.toThrow(UsageError);
    await expect(refused).rejects.toThrow(message);
  });

  it("with other spaces than those recorded are refused", async () => {
    const { gymnasium } = await walk();
    const reference = { ...gymnasium };
    await expect(walk({}, 2, reference)).resolves.toBeDefined();
    const other = walk({ width: 3 }, 2, reference);
    await expect(other).rejects.toThrow(EnvironmentError);
    await expect(other).rejects.toThrow(
      /its observation space is float64 \[3\], .* now \(python .*\), it was float64 \[2\]/,
    );
  });

  it("whose module has a syntax error are refused with its file and line", async () => {
    vi.stubEnv("PYTHONPATH", folder);
    writeFileSync(join(folder, "broken.py"), "import gymnasium\n\nx = = 1\n");
    await expect(open("Walk-v0", { module: "broken" })).rejects.toThrow(
      "--env-module: broken failed: SyntaxError: invalid syntax (broken.py, line 3)",
    );
  });

  it.each([
    ["exits when it is imported", "import os\nos._exit(3)", "its Python process ended with exit code 3"],
    ["ends when it is imported", "import sys\nsys.exit('no licence')", "its Python process ended with exit code 1"],
    [
      "crashes when it makes one",
      "import ctypes, gymnasium\ngymnasium.register('Walk-v0', lambda: ctypes.string_at(0))",
      "its Python process was killed by SIGSEGV",
    ],
  ])("whose module %s end with an EnvironmentError, and Python is not blamed", async (name, text, message) => {
    vi.stubEnv("PYTHONPATH", folder);
    const module = name.replaceAll(" ", "_");
    writeFileSync(join(folder, `${module}.py`), text);
    const failed = open("Walk-v0", { module });
    await expect(failed).rejects.toThrow(EnvironmentError);
    await expect(failed).rejects.toThrow(`gymnasium:Walk-v0: ${message}`);
  });

  it("are found with PYTHONSAFEPATH too", async () => {
    vi.stubEnv("PYTHONSAFEPATH", "1");
    await expect(walk()).resolves.toBeDefined();
  });

  it("whose package is missing are refused with Gymnasium's advice for the interpreter in use", async () => {
    vi.stubEnv("PYTHONPATH", folder);
    writeFileSync(join(folder, "Box2D.py"), "raise ImportError('none')\n");
    const refused = open("LunarLander-v3");
    await expect(refused).rejects.toThrow(UsageError);
    await expect(refused).rejects.toThrow(
      /POPS_PYTHON: Box2D is not installed, .* `\S*python\S* -m pip install swig` .* `\S*python\S* -m pip install "gymnasium\[box2d\]"`/,
    );
  });

  it.skipIf(process.platform === "win32").each([
    [
      "older",
      `exec '${python}' -c 'import sys, runpy; sys.version_info = (3, 8, 10); sys.argv = sys.argv[2:]; runpy.run_path(sys.argv[0], run_name="__main__")' "$@"`,
      /is Python 3.8, expected 3.9 or later/,
    ],
    ["bare", `exec '${python}' -S -E "$@"`, /the package numpy is missing; install it with: \S+ -m pip install numpy/],
    [
      "another",
      `cat "$2"`,
      /POPS_PYTHON: \S+another is no Python: it printed ".{1,100}" and ended with exit code 0; expected a Python from 3.9 with gymnasium$/,
    ],
    ["none", "exit 7", /none ended with exit code 7 before it answered; expected a Python from 3.9 with gymnasium/],
  ])("in an interpreter that is unfit are refused: %s (needs a POSIX shell)", async (name, command, message) => {
    vi.stubEnv("POPS_PYTHON", interpreterIn(folder, name, command));
    const refused = open("CartPole-v1");
    await expect(refused).rejects.toThrow(UsageError);
    await expect(refused).rejects.toThrow(message);
  });
});

it.skipIf(process.platform === "win32")(
  "an interpreter that never answers is given up, with what it started (needs a POSIX shell)",
  async () => {
    const number = join(folder, "number");
    vi.stubEnv("POPS_PYTHON", interpreterIn(folder, "endless", `sleep 600 & echo $! > '${number}'; wait`));
    await expect(open("CartPole-v1", { timeout: 5 })).rejects.toThrow("its Python process gave no answer for 5 s");
    const pid = Number(readFileSync(number, "utf8"));
    await expect.poll(() => isAlive(pid), { timeout: 20_000 }).toBe(false);
  },
);

it("without Python, Gymnasium's environments are refused with what to do", async () => {
  vi.stubEnv("POPS_PYTHON", join(folder, "missing"));
  const refused = open("CartPole-v1");
  await expect(refused).rejects.toThrow(UsageError);
  await expect(refused).rejects.toThrow(
    /missing cannot be started .*: install Python 3.9 or later with gymnasium, or name/,
  );
});

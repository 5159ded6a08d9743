import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { VectorEnvironment } from "../../src/environment/environment.ts";
import { specOf } from "../../src/environment/registry.ts";
import { sizeOf } from "../../src/environment/spaces.ts";
import { LaneThreads } from "../../src/environment/threads.ts";
import { LaneVector, makeVector } from "../../src/environment/vector.ts";
import { EnvironmentError, UsageError } from "../../src/errors.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";
import { BREAK, EXIT, THROW } from "./fragile-module.ts";

const modules = [new URL("fragile-module.ts", import.meta.url).href];

const started: LaneThreads[] = [];
async function start(id: string, workers: number): Promise<LaneThreads> {
  const threads = await LaneThreads.start(id, workers, modules);
  started.push(threads);
  return threads;
}
afterAll(async () => {
  for (const threads of started) await threads.close();
});

function snapshot({ observations, rewards, terminated, truncated }: VectorEnvironment): number[][] {
  return [[...observations], [...rewards], [...terminated], [...truncated]];
}

/** Random actions that the space has. */
function actionsOf(vector: VectorEnvironment, random: Pcg64): Int32Array | Float32Array {
  const { actionSpace } = vector.spec;
  if (actionSpace.kind === "discrete") {
    const choices = Math.min(actionSpace.n, vector.spec.id === "Fragile-v0" ? 2 : actionSpace.n);
    return Int32Array.from({ length: vector.size }, () => random.integer(choices));
  }
  return Float32Array.from({ length: vector.size * sizeOf(actionSpace) }, () => random.uniform(-1, 1));
}

async function resetAll(vector: VectorEnvironment, seed: number): Promise<void> {
  for (let lane = 0; lane < vector.size; lane++) await vector.reset(lane, seed + lane);
}

/** Plays with the actions and resets that `seed` draws; some lanes stay ended for a while. All that was to be seen. */
async function play(vector: VectorEnvironment, seed: number, steps: number): Promise<number[][]> {
  const random = new Pcg64(seed);
  const seen: number[][] = [];
  for (let step = 0; step < steps; step++) {
    await vector.step(actionsOf(vector, random));
    seen.push(...snapshot(vector));
    for (let lane = 0; lane < vector.size; lane++) {
      const ended = vector.terminated[lane] === 1 || vector.truncated[lane] === 1;
      const draw = random.double();
      if (ended && draw < 0.3) await vector.reset(lane);
      else if (draw > 0.98) await vector.reset(lane, random.nextUint32());
    }
    seen.push([...vector.observations]);
  }
  return seen;
}

describe.each(["LunarLander-v3", "LunarLanderContinuous-v3", "Fragile-v0"])("lanes of %s in threads", (id) => {
  const counts = [1, 2, 3];
  let runs: LaneThreads[];
  beforeAll(async () => {
    runs = await Promise.all(counts.map((workers) => start(id, workers)));
  });

  it("do the same as lanes in one thread, bit for bit, for any number of workers", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 7 }), async (seed, size) => {
        const reference = makeVector(id, size);
        await resetAll(reference, seed);
        const beginning = snapshot(reference);
        const expected = await play(reference, seed, 120);
        for (const threads of runs) {
          const vector = threads.vector(size);
          await resetAll(vector, seed);
          expect(snapshot(vector)).toEqual(beginning);
          expect(await play(vector, seed, 120)).toEqual(expected);
          expect(vector.getState()).toEqual(reference.getState());
          await vector.close();
        }
      }),
      { numRuns: 8 },
    );
  });

  it("go on exactly from a state of any number of workers, lanes in one thread included", async () => {
    const size = 5;
    const makers = [(): VectorEnvironment => makeVector(id, size), ...runs.map((run) => () => run.vector(size))];
    const first = makeVector(id, size);
    await resetAll(first, 3);
    await play(first, 3, 90);
    const states = [structuredClone(first.getState())];
    const present = snapshot(first);
    for (const make of makers) {
      const vector = make();
      vector.setState(states.at(-1)!);
      expect(snapshot(vector)).toEqual(present);
      states.push(structuredClone(vector.getState()));
    }
    for (const state of states) expect(state).toEqual(states[0]);
    const future = await play(first, 4, 60);
    for (const make of makers) {
      const vector = make();
      vector.setState(states.at(-1)!);
      expect(await play(vector, 4, 60)).toEqual(future);
    }
  });
});

describe("lanes in threads", () => {
  let threads: LaneThreads;
  beforeAll(async () => {
    threads = await start("Fragile-v0", 3);
  });

  /** Three lanes, one in each thread, at their beginning. */
  async function three(): Promise<VectorEnvironment> {
    const vector = threads.vector(3);
    await resetAll(vector, 0);
    return vector;
  }

  it("of several vectors don't disturb each other", async () => {
    const [one, other] = [threads.vector(4), threads.vector(4)];
    await resetAll(one, 1);
    await resetAll(other, 2);
    const alone = makeVector("Fragile-v0", 4);
    await resetAll(alone, 1);
    for (let step = 0; step < 4; step++) {
      const actions = Int32Array.of(0, 1, 1, step & 1);
      await one.step(actions);
      await other.step(new Int32Array(4));
      await alone.step(actions);
      expect(snapshot(one)).toEqual(snapshot(alone));
    }
  });

  it("refuse an action outside the space before any lane moves, wherever the lane is", async () => {
    const vector = await three();
    const before = vector.getState();
    for (const lane of [0, 1, 2]) {
      const actions = new Int32Array(3);
      actions[lane] = 7;
      await expect(vector.step(actions)).rejects.toThrow("Fragile-v0: action is 7, expected an integer from 0 to 4");
    }
    await expect(vector.step(new Int32Array(2))).rejects.toThrow("was given 2 numbers, expected 1 for each of 3 lanes");
    expect(vector.getState()).toEqual(before);
  });

  it.each([0, 1, 2])("throw the error of an environment as it was, from lane %s", async (lane) => {
    const vector = await three();
    const actions = new Int32Array(3);
    actions[lane] = BREAK;
    const error: unknown = await Promise.resolve(vector.step(actions)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(EnvironmentError);
    expect((error as Error).message).toBe("Fragile-v0: broke with 9 steps left");
  });

  it.each([0, 1, 2])("throw a bug of an environment as an error of that environment, from lane %s", async (lane) => {
    const vector = await three();
    const actions = new Int32Array(3);
    actions[lane] = THROW;
    const error: unknown = await Promise.resolve(vector.step(actions)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(EnvironmentError);
    // Where it was: nobody mends a bug without that.
    expect(error).toMatchObject({
      message: "Fragile-v0: TypeError: a bug of the user's (fragile-module.ts, line 23)",
    });
    const { cause } = error as Error;
    expect(cause instanceof Error ? cause.stack : cause).toMatch(/^TypeError: a bug of the user's\n +at Fragile\.step/);
  });

  it("throw the error of the lowest lane when several go wrong, and can be used again", async () => {
    const vector = await three();
    await expect(vector.step(Int32Array.of(0, THROW, BREAK))).rejects.toThrow("a bug of the user's");
    await resetAll(vector, 0);
    await vector.step(Int32Array.of(1, 1, 1));
    expect([...vector.rewards]).toEqual([1, 1, 1]);
  });

  it("refuse to step a lane that was never reset", async () => {
    const vector = threads.vector(3);
    await vector.reset(0, 0);
    await expect(vector.step(new Int32Array(3))).rejects.toThrow("call reset() first");
  });

  it.each([-1, 3, 0.5, Number.NaN])("refuse the lane %s", async (lane) => {
    const vector = await three();
    await expect(vector.reset(lane)).rejects.toThrow(`lane is ${lane}, expected an integer from 0 to 2`);
  });

  it.each([0, -1, 2.5])("refuse the size %s", (size) => {
    expect(() => threads.vector(size)).toThrow(UsageError);
  });

  it("refuse the state of a vector of another size", () => {
    const state = makeVector("Fragile-v0", 4).getState();
    expect(() => {
      threads.vector(3).setState(state);
    }).toThrow(EnvironmentError);
  });

  it("refuse a lane's wrong state, wherever the lane is", async () => {
    const landers = await start("LunarLander-v3", 2);
    const { lanes, ...rest } = makeVector("LunarLander-v3", 2).getState() as { lanes: [object, object] };
    for (const wrong of [
      [null, lanes[1]],
      [lanes[0], null],
    ]) {
      expect(() => {
        landers.vector(2).setState({ ...rest, lanes: wrong as null[] });
      }).toThrow("LunarLander-v3: this state is not from getState() of the same environment");
    }
  });

  it("say that a thread ended instead of waiting for ever", async () => {
    const doomed = await start("Fragile-v0", 2);
    const vector = doomed.vector(2);
    await resetAll(vector, 0);
    const ended = "Fragile-v0: a thread of its lanes ended: exit code 9";
    await expect(vector.step(Int32Array.of(0, EXIT))).rejects.toThrow(ended);
    await expect(vector.step(Int32Array.of(0, 0))).rejects.toThrow(ended);
    expect(() => vector.getState()).toThrow(ended);
    // As what is done at last, after the error.
    await vector.close();
    await doomed.close();
  });

  it("are not made when their module is missing in the thread", async () => {
    const missing = new URL("no-such-module.ts", import.meta.url).href;
    await expect(LaneThreads.start("Fragile-v0", 2, [missing])).rejects.toThrow("no-such-module.ts");
  });
});

it.each([
  ["a fast environment", "CartPole-v1", 2, 8],
  ["one worker", "LunarLander-v3", 1, 8],
  ["a single lane", "LunarLander-v3", 2, 1],
])("a vector stays in one thread with %s", async (_, id, workers, size) => {
  const vector = (await start(id, workers)).vector(size);
  expect(vector).toBeInstanceOf(LaneVector);
  expect(vector.spec).toEqual(specOf(id));
});

it.each([
  ["that closes the threads", "close", 0, "at the end\n", ""],
  ["that forgets to", "forget", 0, "at the end\n", ""],
  ["that throws", "exception", 1, "", "on purpose"],
  ["that throws during a step", "midway", 1, "", "on purpose"],
  ["that exits", "exit", 3, "", ""],
])("a process %s ends", async (_, way, code, printed, complaint) => {
  const script = fileURLToPath(new URL("fixtures/end-process.ts", import.meta.url));
  const ended = await new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
    const child = execFile(process.execPath, ["--import", "tsx", script, way], (_error, stdout, stderr) => {
      resolve({ code: child.exitCode, stdout, stderr });
    });
  });
  expect({ ...ended, stderr: "" }).toEqual({ code, stdout: printed, stderr: "" });
  expect(ended.stderr).toContain(complaint);
  if (complaint === "") expect(ended.stderr).toBe("");
});

import type { Worker } from "node:worker_threads";
import { beforeAll, expect, it } from "vitest";
import type { Plain } from "../../src/plain.ts";
import { popsSchema } from "../../src/pops/options.ts";
import { type EnvironmentPlan, type Outcome, pipeline } from "../../src/pops/pipeline.ts";
import { dqnSchema } from "../../src/teacher/dqn.ts";
import { ppoSchema } from "../../src/teacher/ppo.ts";
import { type Drained, drain } from "../drain.ts";

/** Every stage with an environment whose lanes are shared out; no lander is so bad that it fails. */
const plan: Omit<EnvironmentPlan, "workers"> = {
  environment: "LunarLander-v3",
  preset: "default",
  seed: 1,
  teacher: {
    options: dqnSchema.parse({
      hidden: [8],
      totalSteps: 800,
      environments: 5,
      learningStarts: 200,
      batchSize: 16,
      evaluationInterval: 400,
      evaluationEpisodes: 4,
      stopScore: 1000,
    }),
  },
  pops: popsSchema.parse({
    objective: -5_000,
    lowerBound: -6_000,
    maxIterations: 1,
    starts: 1,
    squeezeStarts: 1,
    squeezeGrowth: 4,
    teacherEpisodes: 6,
    proofEpisodes: 8,
    prune: { updates: 20, gateInterval: 10, maskInterval: 5, gateEpisodes: 3, finalSparsity: 0.5 },
    distill: {
      teacherStates: 100,
      updates: 10,
      rounds: 0,
      batchSize: 16,
      lanes: 5,
      gateEpisodes: 2,
      selectionEpisodes: 4,
    },
  }),
};

const run = (workers: number, resume?: Plain): Promise<Drained<Outcome>> =>
  drain(pipeline({ ...plan, workers }, resume));

let alone: Drained<Outcome>;
beforeAll(async () => {
  alone = await run(1);
});

it.each([2, 3])("a run with lanes in threads is the same with %s workers", async (workers) => {
  const { events, result, checkpoints } = await run(workers);
  expect(events).toEqual(alone.events);
  expect(result).toEqual(alone.result);
  expect(checkpoints).toEqual(alone.checkpoints);
});

it("a run goes on with another number of workers to the same end, from the training and from the pruning", async () => {
  const stageOf = (state: Plain): unknown => (state as { stage: string }).stage;
  const training = alone.checkpoints.filter(({ state }) => stageOf(state) === "teacher");
  const rest = alone.checkpoints.filter(({ state }) => stageOf(state) === "pops");
  for (const { state, events } of [training[Math.floor(training.length / 2)]!, rest[0]!]) {
    const resumed = await run(2, state);
    expect(resumed.events).toEqual(alone.events.slice(events));
    expect(resumed.result).toEqual(alone.result);
  }
});

it("continuous rollouts are the same with lanes in threads", async () => {
  const options = ppoSchema.parse({
    algorithm: "ppo",
    hidden: [8],
    environments: 5,
    nSteps: 40,
    batchSize: 50,
    totalSteps: 400,
    evaluationInterval: 400,
    evaluationEpisodes: 3,
    stopScore: 1000,
  });
  const train = (workers: number): Promise<Drained<Outcome>> =>
    drain(
      pipeline({
        environment: "LunarLanderContinuous-v3",
        preset: "default",
        seed: 3,
        workers,
        teacher: { options },
        pops: undefined,
      }),
    );
  expect(await train(2)).toEqual(await train(1));
});

it("a run that is stopped early ends its threads", async () => {
  const begun: Worker[] = [];
  const note = (worker: Worker): void => {
    begun.push(worker);
  };
  process.on("worker", note);
  const events = pipeline({ ...plan, workers: 3 });
  await events.next();
  process.off("worker", note);
  const ids = (): number[] => begun.map(({ threadId }) => threadId);
  expect(ids()).toEqual([expect.any(Number), expect.any(Number)]);
  expect(ids()).not.toContain(-1);
  await events.return(undefined as never);
  expect(ids()).toEqual([-1, -1]);
});

import { beforeAll, describe, expect, it } from "vitest";
import { EVENTS_VERSION } from "../../src/events.ts";
import type { Plain } from "../../src/plain.ts";
import { popsSchema } from "../../src/pops/options.ts";
import { type EnvironmentPlan, type Outcome, pipeline } from "../../src/pops/pipeline.ts";
import { dqnSchema } from "../../src/teacher/dqn.ts";
import type { Teacher } from "../../src/teacher/teacher.ts";
import { type Drained, drain, only } from "../drain.ts";

/** Any policy holds CartPole up for 8 steps: a teacher that has hardly learned will do, and every student passes. */
const plan: EnvironmentPlan = {
  environment: "CartPole-v1",
  preset: "default",
  seed: 2,
  workers: 1,
  modules: [],
  teacher: {
    options: dqnSchema.parse({
      hidden: [8],
      totalSteps: 160,
      learningStarts: 40,
      batchSize: 16,
      evaluationInterval: 80,
      evaluationEpisodes: 2,
      stopScore: 500,
    }),
  },
  pops: popsSchema.parse({
    objective: 8,
    lowerBound: 5,
    maxIterations: 2,
    starts: 1,
    squeezeStarts: 1,
    teacherEpisodes: 10,
    proofEpisodes: 20,
    prune: { updates: 20, gateInterval: 10, maskInterval: 5, gateEpisodes: 2, finalSparsity: 0.5 },
    distill: { teacherStates: 100, updates: 10, batchSize: 16, gateEpisodes: 2, selectionEpisodes: 10 },
  }),
};

async function run(
  change: Partial<EnvironmentPlan> = {},
  resume?: Plain,
): Promise<Drained<Outcome> & { trained: Teacher[] }> {
  const trained: Teacher[] = [];
  const drained = await drain(pipeline({ ...plan, ...change }, resume, (teacher) => trained.push(teacher)));
  return { ...drained, trained };
}

describe("the pipeline", () => {
  let whole: Awaited<ReturnType<typeof run>>;
  beforeAll(async () => {
    whole = await run();
  });

  it("trains a teacher, then compresses it, on one axis of steps", () => {
    const { events, result, trained } = whole;
    expect(events[0]).toEqual({
      type: "run-started",
      step: 0,
      version: EVENTS_VERSION,
      environment: "CartPole-v1",
      seed: 2,
      preset: "default",
    });
    expect(
      only(events, "stage-started")
        .map(({ stage }) => stage)
        .slice(0, 3),
    ).toEqual(["teacher", "proof", "prune"]);
    expect(only(events, "proof")[0]!.step).toBe(result.teacher.updates);
    expect(trained).toEqual([result.teacher]);
    expect(result.answer!.smaller).toBe(true);
  });

  it("is the same after a resume from a checkpoint of either stage", async () => {
    const { checkpoints, events, result } = whole;
    const stages = checkpoints.map(({ state }) => (state as { stage: string }).stage);
    expect(new Set(stages)).toEqual(new Set(["teacher", "pops"]));
    const borders = [0, stages.indexOf("pops") - 1, stages.indexOf("pops"), stages.length - 1];
    for (const border of borders) {
      const { state, events: before } = checkpoints[border]!;
      const rest = await run({}, state);
      expect(rest.events).toEqual(events.slice(before));
      expect(rest.result).toEqual(result);
      expect(rest.trained).toEqual([result.teacher]);
    }
  });

  it("stops after the teacher when there is nothing else to do", async () => {
    const { events, result } = await run({ pops: undefined });
    expect(result).toEqual({ teacher: whole.result.teacher, answer: undefined });
    expect(events).toEqual(whole.events.slice(0, events.length));
    expect(only(events, "proof")).toEqual([]);
  });

  it("compresses a teacher that is there already without training one", async () => {
    const { events, result } = await run({ teacher: { network: whole.result.teacher } });
    expect(only(events, "train")).toEqual([]);
    expect(result.answer).toEqual(whole.result.answer);
  });
});

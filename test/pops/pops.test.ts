import { beforeAll, describe, expect, it } from "vitest";
import { NumericError, ObjectiveError, UsageError } from "../../src/errors.ts";
import { lower95 } from "../../src/evaluation/statistics.ts";
import { type Architecture, countsOf, dense, describe as sizes } from "../../src/network/architecture.ts";
import type { Network } from "../../src/network/policy.ts";
import type { Plain } from "../../src/plain.ts";
import type { PopsInEnvironment } from "../../src/pops/context.ts";
import { popsSchema } from "../../src/pops/options.ts";
import { type Answer, pops } from "../../src/pops/pops.ts";
import { objectiveOf } from "../../src/pops/proof.ts";
import type { PopsState } from "../../src/pops/state.ts";
import { type Drained, drain, expectEvents, only } from "../drain.ts";
import { cartPoleTeacher, linearCartPole } from "./hand-made.ts";
import "./identity-module.ts";

const teacher = cartPoleTeacher();
const prune = { updates: 200, gateInterval: 50, maskInterval: 10, patience: 2, finalSparsity: 0.5 };
const distill = {
  teacherStates: 1_000,
  updates: 300,
  rounds: 2,
  roundStates: 500,
  roundUpdates: 100,
  batchSize: 64,
  temperature: 1,
  learningRate: 0.02,
  selectionEpisodes: 40,
};
const settings = {
  objective: 150,
  lowerBound: 50,
  maxIterations: 3,
  starts: 2,
  squeezeStarts: 2,
  teacherEpisodes: 50,
  proofEpisodes: 100,
  prune,
  distill,
};

function compress(
  change: Partial<PopsInEnvironment> = {},
  options: Parameters<typeof popsSchema.parse>[0] = settings,
  resume?: Plain,
): Promise<Drained<Answer>> {
  const context: PopsInEnvironment = {
    environment: "CartPole-v0",
    teacher,
    options: popsSchema.parse(options),
    seed: 6,
    workers: 1,
    modules: [],
    stepsBefore: 1_000,
    ...change,
  };
  return drain(pops(context, resume as PopsState | undefined));
}

describe("the whole loop", () => {
  let run: Drained<Answer>;
  beforeAll(async () => {
    run = await compress();
  });

  it("ends with a smaller policy that is proven to hold the objective", () => {
    const { events, result } = run;
    expect(result.smaller).toBe(true);
    expect(countsOf(result.architecture).weights).toBeLessThan(countsOf(teacher.architecture).weights);
    expect(result.score.lower95).toBeGreaterThanOrEqual(settings.objective);
    expect(result.score.episodes).toBe(settings.proofEpisodes);
    expect(events.at(-1)).toEqual({
      type: "answer",
      step: events.at(-1)!.step,
      architecture: result.architecture,
      weights: countsOf(result.architecture).weights,
      teacherWeights: 48,
      ratio: countsOf(result.architecture).weights / 48,
      score: result.score,
      smaller: true,
    });
  });

  it("proves teacher and answer, logits both, with drawn actions too", () => {
    const proofs = only(run.events, "proof").filter(({ passed }) => passed);
    expect(proofs.map(({ role }) => role)).toEqual(["teacher", "candidate"]);
    for (const { sampled, score } of proofs) expect(sampled!.episodes).toBe(score.episodes);
    expect(run.result.teacher).toEqual({ score: proofs[0]!.score, sampled: proofs[0]!.sampled });
    expect(run.result.sampled).toEqual(proofs[1]!.sampled);
  });

  it("yields valid events on an axis of steps that begins where it was told to and never falls", () => {
    expect(run.events[0]!.step).toBe(1_000);
    expectEvents(run.events, 1_000);
  });

  it("counts the updates of pruning and of every student up to the first that passes as steps", () => {
    for (const [k, event] of run.events.entries()) {
      if (event.type !== "candidate") continue;
      const { rounds, updates, roundUpdates } = distill;
      const made = event.step - run.events[k - 1]!.step;
      expect([0, 1, 2].slice(0, rounds + 1).map((round) => updates + round * roundUpdates)).toContain(made);
    }
  });

  it("shrinks from one passing size to a smaller one, round after round", () => {
    let current = teacher.architecture;
    for (const { from, to, fromWeights, toWeights } of only(run.events, "resized")) {
      expect(from).toEqual(current);
      expect(toWeights).toBeLessThan(fromWeights);
      current = to;
    }
    const passed = only(run.events, "candidate").filter((candidate) => candidate.passed);
    expect(passed.length).toBeGreaterThan(0);
    expect(passed.map(({ weights }) => weights)).toEqual(
      passed.map(({ weights }) => weights).toSorted((a, b) => b - a),
    );
  });

  it("tries no start after one that passes", () => {
    const candidates = only(run.events, "candidate");
    for (const [k, { passed, start }] of candidates.entries()) {
      if (start > 0) expect(candidates[k - 1]).toMatchObject({ passed: false, start: start - 1 });
      if (passed && candidates[k + 1]) expect(candidates[k + 1]!.start).toBe(0);
    }
  });

  it("is the same with two workers", async () => {
    const { events, result } = await compress({ workers: 2 });
    expect(events).toEqual(run.events);
    expect(result).toEqual(run.result);
  });

  it("is the same after a resume from its checkpoints", async () => {
    const { checkpoints, events, result } = run;
    expect(checkpoints.length).toBeGreaterThan(6);
    const picked = Array.from({ length: 6 }, (_, k) => checkpoints[Math.round((k * (checkpoints.length - 1)) / 5)]!);
    for (const { state, events: before } of picked) {
      const rest = await compress({ workers: 2 }, settings, state);
      expect(rest.events).toEqual(events.slice(before));
      expect(rest.result).toEqual(result);
    }
  });

  it("is another one for another seed", async () => {
    expect((await compress({ seed: 7, workers: 2 })).result.parameters).not.toEqual(run.result.parameters);
  });
});

describe("the loop as published", () => {
  it("(uniform sparsity, sizes from weights, the original's loss and optimiser) gives a smaller proven policy", async () => {
    const { events, result } = await compress(
      {},
      {
        ...settings,
        rule: "weights",
        init: "slice",
        squeezeStarts: 0,
        prune: { ...prune, allocation: "uniform" },
        distill: { ...distill, loss: "paper", optimizer: "rmsprop", learningRate: 0.01 },
      },
    );
    expect(only(events, "stage-started").map(({ stage }) => stage)).not.toContain("squeeze");
    expect(result.smaller).toBe(true);
    expect(only(events, "proof").at(-1)).toMatchObject({ role: "candidate", passed: true, score: result.score });
  });
});

describe("students of a teacher with relu outputs", () => {
  it("have linear outputs", async () => {
    const layers = teacher.architecture.layers.with(-1, { kind: "dense", units: 2, activation: "relu" });
    const clipped: Network = { ...teacher, architecture: { ...teacher.architecture, layers } };
    const { events, result } = await compress(
      { teacher: clipped },
      { ...settings, maxIterations: 1, squeezeStarts: 0 },
    );
    expect(only(events, "resized")[0]!.to.layers.at(-1)).toEqual({ kind: "dense", units: 2, activation: "none" });
    expect(result.smaller).toBe(true);
    expect(result.architecture).toMatchObject({ layers: expect.arrayContaining([]) as unknown });
    const { layers: answered } = result.architecture as Architecture;
    expect(answered.at(-1)!.activation).toBe("none");
  });
});

describe("a first student in place of a copy of the teacher", () => {
  const options = { ...settings, student: { hidden: [5] }, squeezeStarts: 0 };
  let run: Drained<Answer>;
  beforeAll(async () => {
    run = await compress({}, options);
  });

  it("is taught before anything is pruned, in round 0", () => {
    const stages = only(run.events, "stage-started").map(({ stage, iteration }) => [stage, iteration]);
    expect(stages.slice(0, 3)).toEqual([
      ["proof", 0],
      ["distill", 0],
      ["prune", 1],
    ]);
    expect(only(run.events, "candidate")[0]).toMatchObject({ iteration: 0, weights: 30, passed: true });
    expect(sizes(only(run.events, "redundancy")[0]!.architecture)).toBe("4-5-2");
  });

  it("is the same after a resume from its checkpoints", async () => {
    const { checkpoints, events, result } = run;
    for (const { state, events: before } of [checkpoints[0]!, checkpoints.at(-1)!]) {
      const rest = await compress({ workers: 2 }, options, state);
      expect(rest.events).toEqual(events.slice(before));
      expect(rest.result).toEqual(result);
    }
  });

  it("is followed by a search below it when none of its starts passes", async () => {
    const { events } = await compress(
      {},
      { ...options, objective: 190, starts: 1, squeezeStarts: 1, distill: { ...distill, updates: 1, rounds: 0 } },
    );
    expect(only(events, "candidate")[0]).toMatchObject({ stage: "distill", iteration: 0, passed: false });
    expect(only(events, "redundancy")).toEqual([]);
    const tried = only(events, "candidate").slice(1);
    expect(tried.length).toBeGreaterThan(0);
    for (const { stage, weights } of tried) expect([stage, weights < 30]).toEqual(["squeeze", true]);
  });

  it("gets the original's formula from its own widths", async () => {
    const { events } = await compress({}, { ...options, rule: "weights" });
    const [first] = only(events, "resized");
    expect(first?.fromWeights).toBe(30);
    expect(first!.toWeights).toBeLessThan(30);
  });
});

describe("when nothing smaller holds the objective", () => {
  it("the answer is the teacher", async () => {
    const { events, result } = await compress(
      {},
      {
        ...settings,
        objective: 199,
        maxIterations: 1,
        starts: 1,
        squeezeStarts: 0,
        distill: { ...distill, updates: 1, rounds: 0, learningRate: 1e-6 },
      },
    );
    expect(only(events, "candidate").map(({ passed }) => passed)).toEqual([false]);
    expect(result).toMatchObject({ ...teacher, smaller: false, score: result.teacher.score });
    expect(events.at(-1)).toMatchObject({ type: "answer", weights: 48, ratio: 1, smaller: false });
  });
});

describe("the proof", () => {
  const score = { mean: 200, sd: 0, min: 200, lower95: 200, interval95: [200, 200] as [number, number], episodes: 50 };
  const good = linearCartPole(1);
  const bad = linearCartPole(-1);
  const saved = ({ architecture, parameters }: Network) => ({ architecture, parameters });

  /** A run that has come to its end with these policies, which all passed their selection. */
  const prove = (passing: readonly Network[], squeezeStarts = 0, change: object = {}): Promise<Drained<Answer>> =>
    compress(
      {},
      { ...settings, squeezeStarts, ...change },
      {
        phase: "proof",
        step: 2_000,
        iteration: 4,
        current: saved(teacher),
        next: null,
        passing: passing.map(saved),
        failed: {},
        low: 0,
        high: 1,
        top: teacher.architecture,
        disproved: 0,
        proof: { score, sampled: null },
        prune: null,
        jobs: null,
      },
    );
  const tried = ({ events }: Drained<Answer>) =>
    only(events, "proof").map(({ architecture, passed }) => [sizes(architecture), passed]);

  it("takes the smallest policy that holds the objective on fresh episodes", async () => {
    const run = await prove([teacher, good]);
    expect(tried(run)).toEqual([["4-2", true]]);
    expect(run.result).toMatchObject({ ...good, smaller: true, teacher: { score } });
  });

  it("never takes one that fails: the next larger is tried", async () => {
    const run = await prove([teacher, bad]);
    expect(tried(run)).toEqual([
      ["4-2", false],
      ["4-8-2", true],
    ]);
    expect(run.result).toMatchObject({ ...teacher, smaller: true });
  });

  it("that fails lets the search go on above the size that failed and below the next that passed", async () => {
    const run = await prove([teacher, bad], 2);
    const { events, result } = run;
    const { weights } = countsOf(result.architecture);
    expect(tried(run)[0]).toEqual(["4-2", false]);
    const found = only(events, "candidate");
    expect(found.length).toBeGreaterThan(0);
    expect(found.every((candidate) => candidate.weights > 8 && candidate.weights < 48)).toBe(true);
    expect(weights).toBeGreaterThan(8);
    expect(weights).toBeLessThan(48);
    expect(result.score.lower95).toBeGreaterThanOrEqual(settings.objective);
  });

  it("of a retention holds that share of the teacher's mean instead of the objective", async () => {
    // The teacher's proof says 200.
    const held = await prove([teacher, good], 0, { objective: 100, retention: 0.9 });
    expect(only(held.events, "proof").map(({ objective }) => objective)).toEqual([180]);
    expect(held.result).toMatchObject({ ...good, objective: 180 });
    const plain = await prove([good], 0, { objective: 100 });
    expect(plain.result.objective).toBe(100);
  });

  it("carries the score of drawn actions beside that of the greedy ones", async () => {
    const { events, result } = await prove([good]);
    const [proof] = only(events, "proof");
    expect(proof!.sampled).toMatchObject({ episodes: settings.proofEpisodes });
    expect(proof!.sampled!.mean).not.toBe(proof!.score.mean);
    expect(result.sampled).toEqual(proof!.sampled);
  });

  it("is of drawn actions alone where policies are to act so", async () => {
    const { sampled } = only((await prove([good])).events, "proof")[0]!;
    const [proof] = only((await prove([good], 0, { acting: "sampled", objective: 1 })).events, "proof");
    expect(proof!.score).toEqual(sampled);
    expect(proof).not.toHaveProperty("sampled");
  });

  it("cannot be of actions drawn from Q-values", async () => {
    const layers = teacher.architecture;
    const q = { ...teacher, architecture: { ...layers, head: "q-values" as const } };
    await expect(compress({ teacher: q }, { ...settings, acting: "sampled" })).rejects.toThrow(UsageError);
  });

  it("carries no score of drawn actions for Q-values, nor where the greedy ones failed", async () => {
    const q = { ...good, architecture: { ...good.architecture, head: "q-values" as const } };
    const [proof] = only((await prove([q])).events, "proof");
    expect(proof).toMatchObject({ passed: true });
    expect(proof).not.toHaveProperty("sampled");
    const failed = await prove([bad]);
    expect(only(failed.events, "proof")[0]).not.toHaveProperty("sampled");
    // The answer is the teacher, whose proof had none.
    expect(failed.result.sampled).toBeNull();
  });

  it("leaves the teacher when all fail", async () => {
    const run = await prove([bad]);
    expect(tried(run)).toEqual([["4-2", false]]);
    expect(run.result).toMatchObject({ ...teacher, smaller: false, score });
  });
});

describe("what a policy has to hold", () => {
  const holds = (retention: number | null, mean: number): number =>
    objectiveOf(popsSchema.parse({ objective: 150, lowerBound: 0, retention }), {
      score: { mean, sd: 0, min: mean, lower95: mean, interval95: [mean, mean], episodes: 2 },
      sampled: null,
    });

  it.each([
    [null, 200, 150],
    [0.95, 200, 190],
    [1, 200, 200],
    // As much may be lost of a loss.
    [0.95, -160, -168],
    [1, -160, -160],
    [0.5, 0, 0],
  ])("with a retention of %j of a teacher with %d is %d", (retention, mean, expected) => {
    expect(holds(retention, mean)).toBeCloseTo(expected, 9);
  });

  it("decides which students pass, from the teacher's own score", async () => {
    const { events, result } = await compress(
      {},
      { ...settings, objective: 20, retention: 0.9, maxIterations: 1, squeezeStarts: 0 },
    );
    const [first] = only(events, "proof");
    expect(first).toMatchObject({ role: "teacher", objective: 20 });
    const objective = 0.9 * first!.score.mean;
    expect(result.objective).toBe(objective);
    const candidates = only(events, "candidate");
    expect(candidates.length).toBeGreaterThan(0);
    for (const { passed, score } of candidates) {
      if (passed) expect(lower95(score)).toBeGreaterThanOrEqual(objective);
      else if (score.episodes === distill.selectionEpisodes) expect(lower95(score)).toBeLessThan(objective);
    }
  });
});

describe("a teacher", () => {
  it("that misses the objective is refused", async () => {
    await expect(compress({}, { ...settings, objective: 201 })).rejects.toThrow(ObjectiveError);
    await expect(compress({ teacher: linearCartPole(-1) })).rejects.toThrow(
      /mean over 50 held-out episodes is \d\.\d\d, the objective is 150/,
    );
  });

  it("that does not fit the environment is refused", async () => {
    const architecture: Architecture = dense(3, [], 2, "logits");
    await expect(compress({ teacher: { architecture, parameters: new Float32Array(8) } })).rejects.toThrow(UsageError);
  });
});

describe("a student that diverges", () => {
  it("ends the run with a NumericError from its thread", async () => {
    const diverging = { ...settings, distill: { ...distill, learningRate: 1e30 } };
    await expect(compress({}, diverging)).rejects.toThrow(NumericError);
  });
});

describe("an environment of one's own", () => {
  it("is compressed for like any other when the threads are told its module", async () => {
    const identity: Network = {
      architecture: dense(3, [8], 3, "logits"),
      parameters: Float32Array.from({ length: 59 }, (_, i) => {
        // Hidden unit i carries input i, output i carries hidden unit i.
        const [input, hidden] = [Math.floor(i / 8), Math.floor((i - 32) / 3)];
        if (i < 24) return i % 8 === input ? 2 : 0.01;
        return i >= 32 && i < 56 && (i - 32) % 3 === hidden ? 2 : 0;
      }),
    };
    const { result } = await compress(
      {
        environment: "Identity-v0",
        teacher: identity,
        modules: [new URL("identity-module.ts", import.meta.url).href],
      },
      { ...settings, objective: 8, lowerBound: 4 },
    );
    expect(result.smaller).toBe(true);
    expect(result.score.min).toBe(8);
  });
});

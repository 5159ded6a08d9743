import { describe, expect, it } from "vitest";
import {
  collectTeacherStates,
  compileDistillation,
  type DistillContext,
  distillSchema,
} from "../../src/distillation/distill.ts";
import { vectorOf } from "../../src/environment/vector.ts";
import { Evaluator } from "../../src/evaluation/evaluate.ts";
import { EpisodeExamination } from "../../src/evaluation/examination.ts";
import type { EventOf } from "../../src/events.ts";
import { countsOf, dense, layoutOf } from "../../src/network/architecture.ts";
import { countNonZero, initialize } from "../../src/network/parameters.ts";
import { type Pruned, type PruneOptions, type PruneState, prune, pruneSchema } from "../../src/pruning/prune.ts";
import { Pcg64 } from "../../src/random/pcg64.ts";
import { type Drained, drain, only } from "../drain.ts";
import { Identity } from "../environment/identity.ts";
import { scripted } from "../environment/scripted.ts";

const GOOD = 2;
const BETWEEN = 0.5;
const BAD = -1;
const objective = 1;
const lowerBound = 0;

const architecture = dense(3, [8, 8], 3, "logits");
const network = { architecture, parameters: initialize(architecture, "glorot", new Pcg64(1)) };
const distillOptions = distillSchema.parse({ teacherStates: 200, lanes: 10, batchSize: 16 });
const pruneOptions = pruneSchema.parse({
  finalSparsity: 0.9,
  updates: 40,
  maskInterval: 5,
  gateInterval: 10,
  gateEpisodes: 2,
  patience: 3,
});

/** Prunes on an environment whose k-th gate scores `scores[k]`, the last one from then on. */
async function pruneWith(
  scores: readonly number[],
  change: Partial<PruneOptions> = {},
  resume?: PruneState,
): Promise<Drained<Pruned> & { readonly gates: readonly EventOf<"pruned">[] }> {
  const makeLanes = (size: number) => scripted(scores, size);
  const shared = { teacher: network, options: distillOptions, objective, seed: 7 };
  const states = await collectTeacherStates({ ...shared, makeLanes });
  const context = { ...shared, examination: new EpisodeExamination(makeLanes, shared.seed), states, lowerBound };
  const drained = await drain(prune(context, { ...pruneOptions, ...change }, network, 1, 100, resume));
  return { ...drained, gates: only(drained.events, "pruned") };
}

const pick = <Key extends keyof EventOf<"pruned">>(gates: readonly EventOf<"pruned">[], key: Key) =>
  gates.map((gate) => gate[key]);

describe("the gates of iterative pruning", () => {
  it("save and go on while the score holds, to the end of the clock", async () => {
    const { gates, result } = await pruneWith([GOOD]);
    expect(pick(gates, "progress")).toEqual([0.25, 0.5, 0.75, 1]);
    expect(pick(gates, "saved")).toEqual([true, true, true, true]);
    expect(pick(gates, "paused")).toEqual([false, false, false, false]);
    expect(pick(gates, "step")).toEqual([110, 120, 130, 140]);
    expect(result.updates).toBe(40);
  });

  it("pause below the lower bound: the clock and the sparsity stand still until the objective is reached", async () => {
    const { gates } = await pruneWith([GOOD, BAD, BAD, GOOD]);
    expect(pick(gates, "paused")).toEqual([false, true, true, false, false, false]);
    expect(pick(gates, "progress")).toEqual([0.25, 0.5, 0.5, 0.5, 0.75, 1]);
    const sparsity = pick(gates, "sparsity");
    expect(sparsity.slice(2, 4)).toEqual([sparsity[1], sparsity[1]]);
    expect(sparsity[1]).toBeGreaterThan(sparsity[0]!);
    expect(sparsity[4]).toBeGreaterThan(sparsity[3]!);
  });

  it("change nothing between the bounds: what runs goes on, what is paused stays paused", async () => {
    const { gates } = await pruneWith([BETWEEN, BAD, BETWEEN, GOOD]);
    expect(pick(gates, "paused")).toEqual([false, true, true, false, false, false]);
    expect(pick(gates, "progress")).toEqual([0.25, 0.5, 0.5, 0.5, 0.75, 1]);
    expect(pick(gates, "saved")).toEqual([false, false, false, true, true, true]);
  });

  it("reach the objective at exactly the objective, and are not below the lower bound at the lower bound", async () => {
    const { gates } = await pruneWith([objective, lowerBound, objective]);
    expect(pick(gates, "saved").slice(0, 2)).toEqual([true, false]);
    expect(pick(gates, "paused")).toEqual([false, false, false, false]);
  });

  it("end it when patience is lost in a pause", async () => {
    const { gates, result } = await pruneWith([GOOD, BAD]);
    expect(pick(gates, "saved")).toEqual([true, false, false, false]);
    expect(result.updates).toBe(40);
    expect(gates.at(-1)!.progress).toBe(0.5);
  });

  it("end it when patience is lost after the end of the clock", async () => {
    const { gates } = await pruneWith([BETWEEN]);
    expect(pick(gates, "progress")).toEqual([0.25, 0.5, 0.75, 1, 1, 1]);
  });

  it("count patience anew after every success", async () => {
    const { gates } = await pruneWith([BAD, BAD, GOOD, BAD, BAD, GOOD, BAD]);
    expect(gates).toHaveLength(9);
  });
});

describe("what pruning returns", () => {
  it("is the network that came in when no gate succeeds", async () => {
    const { result } = await pruneWith([BAD]);
    expect(result.parameters).toEqual(network.parameters);
  });

  it("is the last one that held, with exactly its number of non-zero weights", async () => {
    const { gates, result } = await pruneWith([GOOD, GOOD, BETWEEN]);
    expect(countNonZero(architecture, result.parameters)).toBe(gates[1]!.nonZero);
    expect(gates[2]!.nonZero).toBeLessThan(gates[1]!.nonZero);
  });

  it("has exact zeros for round(n s) of the weights of every layer when the allocation is uniform", async () => {
    const { result } = await pruneWith([GOOD], { allocation: "uniform", finalSparsity: 0.5, maskInterval: 1 });
    const nonZero = layoutOf(architecture).map(
      ({ weights }) =>
        result.parameters.subarray(weights.offset, weights.offset + weights.length).filter(Boolean).length,
    );
    for (const [l, expected] of [12, 32, 12].entries()) {
      expect(nonZero[l]! - expected).toBeGreaterThanOrEqual(0);
      expect(nonZero[l]! - expected).toBeLessThanOrEqual(1);
    }
  });

  it("reaches the final sparsity of the whole network, up to one live path", async () => {
    const { gates } = await pruneWith([BETWEEN], { maskInterval: 25 });
    const { weights } = countsOf(architecture);
    const kept = Math.round(weights * 0.1);
    expect(gates.at(-1)!.nonZero).toBeGreaterThanOrEqual(kept);
    expect(gates.at(-1)!.nonZero).toBeLessThanOrEqual(kept + 3);
    expect(gates.at(-1)!.sparsity).toBe(1 - gates.at(-1)!.nonZero / weights);
  });

  it("keeps the biases", async () => {
    const { result } = await pruneWith([GOOD]);
    const biases = layoutOf(architecture).flatMap(({ biases: { offset, length } }) => [
      ...result.parameters.subarray(offset, offset + length),
    ]);
    expect(biases.filter((bias) => bias !== 0).length).toBeGreaterThan(countsOf(architecture).biases / 2);
  });

  it("is the same after a resume from any checkpoint", async () => {
    // Patience is lost at the end of the clock, which is the sixth gate's.
    const scores = [GOOD, BAD, BETWEEN, GOOD, GOOD, BETWEEN, BETWEEN, BETWEEN];
    const whole = await pruneWith(scores);
    expect(whole.checkpoints).toHaveLength(7);
    for (const [k, { state, events }] of whole.checkpoints.entries()) {
      const rest = await pruneWith(scores.slice(k + 1), {}, state as PruneState);
      expect(rest.events).toEqual(whole.events.slice(events));
      expect(rest.result).toEqual(whole.result);
    }
  });
});

describe("a masked training step", () => {
  it("moves only what the mask keeps, but a pruned weight keeps its value and may come back", async () => {
    const trainer = await compileDistillation(architecture, distillOptions, { masked: true });
    trainer.restart(network.parameters);
    const { program } = trainer;
    const random = new Pcg64(3);
    program.floats("observations").forEach((_, i, all) => {
      all[i] = random.double();
    });
    program.floats("labels").forEach((_, i, all) => {
      all[i] = random.double();
    });
    const mask = program.floats("mask").fill(1);
    const { weights } = layoutOf(architecture)[1]!;
    for (let i = 0; i < weights.length; i += 2) mask[weights.offset + i] = 0;
    for (let k = 0; k < 5; k++) await trainer.update(0.01);
    const moved = [...trainer.parameters].map((value, i) => value !== network.parameters[i]);
    expect(moved.filter((_, i) => mask[i] === 0)).not.toContain(true);
    expect(moved.filter((_, i) => mask[i] === 1).filter(Boolean).length).toBeGreaterThan(50);
    await trainer.dispose();
  });
});

describe("pruning an over-sized solution", () => {
  it("makes a teacher of the identity task sparse while it still solves it", async () => {
    const wide = dense(3, [24], 3, "logits");
    const teacher = dense(3, [], 3, "logits");
    // The teacher's outputs are 3 times its one-hot input; the wide network copies it through units 0 to 2.
    const parameters = new Float32Array(12);
    const grown = initialize(wide, "glorot", new Pcg64(2)).map((weight) => 0.1 * weight);
    const [first, last] = layoutOf(wide);
    for (let i = 0; i < 3; i++) {
      parameters[i * 3 + i] = 3;
      grown[first!.weights.offset + i * 24 + i] = 2;
      grown[last!.weights.offset + i * 3 + i] = 2;
    }
    const { spec } = new Identity();
    const makeLanes = (size: number) => vectorOf(spec, () => new Identity(), size);
    const options = distillSchema.parse({ teacherStates: 300, lanes: 10, batchSize: 32, temperature: 1 });
    const shared = { teacher: { architecture: teacher, parameters }, options, objective: 8, seed: 1 };
    const states = await collectTeacherStates({ ...shared, makeLanes });
    const context: DistillContext = { ...shared, examination: new EpisodeExamination(makeLanes, 1), states };
    const plan = { ...pruneOptions, updates: 200, gateInterval: 50, finalSparsity: 0.95 };
    const { events, result } = await drain(
      prune({ ...context, lowerBound: 4 }, plan, { architecture: wide, parameters: grown }, 1, 0),
    );
    expect(only(events, "pruned").at(-1)!.saved).toBe(true);
    expect(countNonZero(wide, result.parameters)).toBeLessThan(12);
    const evaluator = await Evaluator.create(wide, makeLanes(20));
    expect((await evaluator.quick(result.parameters, 9, "fresh", 20)).min).toBe(8);
    await evaluator.dispose();
  });
});

import { z } from "zod";
import { LabelledStates } from "../distillation/dataset.ts";
import { compileDistillation, type DistillContext } from "../distillation/distill.ts";
import { summarize } from "../evaluation/statistics.ts";
import type { Emitted } from "../events.ts";
import { type Architecture, countsOf, inputSize, outputSize } from "../network/architecture.ts";
import { countNonZero } from "../network/parameters.ts";
import type { Plain } from "../plain.ts";
import { stream } from "../random/pcg64.ts";
import type { TrainerState } from "../tensor/trainer.ts";
import { ALLOCATIONS, allocate, GRANULARITIES } from "./allocation.ts";
import { cubicSparsity } from "./schedule.ts";
import { magnitude } from "./score.ts";

const count = z.number().int().min(1);

export const pruneSchema = z.strictObject({
  allocation: z
    .enum(ALLOCATIONS)
    .default("global")
    .describe("one threshold for the whole network, or the same fraction of every layer"),
  granularity: z
    .enum(GRANULARITIES)
    .default("weight")
    .describe("what goes: single weights, or whole units and filters with all weights into and out of them"),
  finalSparsity: z
    .number()
    .min(0)
    .lt(1)
    .default(0.995)
    .describe("sparsity of the weights at the end of the pruning clock"),
  updates: count.default(2_000).describe("length of the pruning clock in updates; it stands still while paused"),
  maskInterval: count.default(20).describe("updates between new masks"),
  gateInterval: count.default(200).describe("updates between gates"),
  gateEpisodes: count.min(2).default(20).describe("episodes of a gate"),
  patience: count
    .default(5)
    .describe("gates in a row below the objective, while paused or at the end of the clock, after which pruning ends"),
  learningRate: z.number().positive().default(1e-3).describe("of the optimiser, constant"),
});

export type PruneOptions = z.infer<typeof pruneSchema>;

export interface PruneState {
  readonly [key: string]: Plain;
  readonly clock: number;
  readonly paused: boolean;
  readonly waiting: number;
  readonly gates: number;
  readonly mask: Float32Array;
  readonly trainer: TrainerState;
  readonly random: Plain;
  readonly saved: Float32Array;
}

export interface Pruned {
  /** Effective parameters of the sparsest network that held the objective: pruned weights are exactly 0. */
  readonly parameters: Float32Array;
  readonly updates: number;
}

/**
 * Iterative policy pruning (IPP; Livne & Cohen 2020, algorithm 1): gated magnitude pruning of a copy of the network while it
 * learns from the teacher. At every gate: when the score reaches the objective, save (sparser networks replace earlier ones)
 * and prune on; below the lower bound, pause, which stops the pruning clock and keeps the mask, until the objective is reached
 * again; between them nothing changes. Ends at the first gate after the clock has run out that saves, or after `patience` gates
 * in a row that don't while paused or after the clock has run out, or when time is up. If no gate ever saves, the answer is the network that came
 * in. Steps of the events are offset by `stepsBefore`.
 */
export async function* prune(
  context: DistillContext & { readonly lowerBound: number; readonly timeIsUp?: () => boolean },
  options: PruneOptions,
  network: { readonly architecture: Architecture; readonly parameters: Float32Array },
  iteration: number,
  stepsBefore: number,
  resume?: PruneState,
): AsyncGenerator<Emitted, Pruned> {
  const { architecture } = network;
  const { objective, lowerBound, seed, states, examination } = context;
  const episodes = examination.units("gate", options.gateEpisodes);
  const examiner = await examination.examiner(architecture, "gate", episodes);
  const taught = LabelledStates.of(states.training, inputSize(architecture), outputSize(architecture));
  const trainer = await compileDistillation(architecture, context.options, { masked: true, bytes: taught.bytes });
  const random = stream(seed, "prune", iteration);
  const total = countsOf(architecture).weights;
  const observations = trainer.program.numbers("observations");
  const labels = trainer.program.floats("labels");
  const mask = trainer.program.floats("mask").fill(1);

  let clock = 0;
  let paused = false;
  let waiting = 0;
  let gates = 0;
  let lossSum = 0;
  let saved = network.parameters;
  if (resume) {
    ({ clock, paused, waiting, gates, saved } = resume);
    mask.set(resume.mask);
    trainer.setState(resume.trainer);
    random.setState(resume.random);
  } else {
    trainer.restart(network.parameters);
  }
  const getState = (): PruneState => ({
    clock,
    paused,
    waiting,
    gates,
    mask: mask.slice(),
    trainer: trainer.getState(),
    random: random.getState(),
    saved,
  });

  try {
    for (let finished = false; !finished; ) {
      if (!paused && trainer.steps % options.maskInterval === 0) {
        const sparsity = cubicSparsity(clock / options.updates, options.finalSparsity);
        mask.set(
          allocate(architecture, magnitude(trainer.parameters), sparsity, options.allocation, options.granularity),
        );
      }
      taught.sample(random, observations, labels, 0, context.options.batchSize);
      lossSum += await trainer.update(options.learningRate);
      if (!paused && clock < options.updates) clock++;

      if (trainer.steps % options.gateInterval === 0) {
        gates++;
        const effective = trainer.parameters.map((weight, i) => weight * mask[i]!);
        const score = summarize(await examiner.measure(effective, `prune/${iteration}/${gates}`, episodes));
        const good = score.mean >= objective;
        if (good) {
          saved = effective;
          paused = false;
        } else if (score.mean < lowerBound) {
          paused = true;
        }
        const ended = clock >= options.updates;
        waiting = good || !(paused || ended) ? 0 : waiting + 1;
        finished = (ended && good) || waiting >= options.patience || context.timeIsUp?.() === true;
        const nonZero = countNonZero(architecture, effective);
        yield {
          type: "pruned",
          step: stepsBefore + trainer.steps,
          iteration,
          progress: clock / options.updates,
          sparsity: 1 - nonZero / total,
          nonZero,
          loss: lossSum / options.gateInterval,
          score,
          paused,
          saved: good,
        };
        lossSum = 0;
        if (!finished) yield { type: "checkpoint", state: getState };
      }
    }
    return { parameters: saved, updates: trainer.steps };
  } finally {
    await trainer.dispose();
    await examiner.dispose();
  }
}

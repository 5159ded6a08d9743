import { z } from "zod";
import type { VectorEnvironment } from "../environment/environment.ts";
import { compileFixed } from "../evaluation/evaluate.ts";
import type { Examination } from "../evaluation/examination.ts";
import { lower95, summarize } from "../evaluation/statistics.ts";
import type { QuickScore } from "../events.ts";
import type { Acting } from "../network/action.ts";
import { type Architecture, describe, inputSize, outputSize, parameterCount } from "../network/architecture.ts";
import { forward } from "../network/forward.ts";
import { INITIALIZERS, initialize } from "../network/parameters.ts";
import type { BlackBox, Network } from "../network/policy.ts";
import type { Plain } from "../plain.ts";
import { stream } from "../random/pcg64.ts";
import { input, mul, type Tensor } from "../tensor/graph.ts";
import { adam, rmsPropTensorFlow } from "../tensor/optimizer.ts";
import { Trainer, type TrainerState } from "../tensor/trainer.ts";
import { agreementOf } from "./agreement.ts";
import { collect, type LabelledState, LabelledStates } from "./dataset.ts";
import { distillationLoss, gaussianLoss, paperLoss, temperatureOf } from "./loss.ts";
import { OwnStates } from "./own-states.ts";

const count = z.number().int().min(1);
const fraction = z.number().min(0).max(1);

export const distillSchema = z.strictObject({
  temperature: z
    .number()
    .positive()
    .default(0.1)
    .describe("tau: a teacher's Q-values are divided by it before the softmax"),
  logitsTemperature: z.number().positive().default(1).describe("tau of a teacher whose outputs are logits"),
  loss: z.enum(["kl", "paper"]).default("kl").describe("exact KL, or the original's with 1e-5 added to both sides"),
  optimizer: z.enum(["adam", "rmsprop"]).default("adam").describe("Adam, or TensorFlow's RMSProp as in the original"),
  learningRate: z.number().positive().default(5e-3).describe("at the start; falls to a tenth by a half cosine"),
  batchSize: count.default(256).describe("states an update"),
  initializer: z.enum(INITIALIZERS).default("glorot").describe("initial weights"),
  teacherStates: count.default(20_000).describe("states from the teacher's own episodes"),
  teacherExploration: fraction.default(0.1).describe("fraction of random actions in the teacher's episodes"),
  updates: count.default(1_500).describe("updates on the teacher's states before the first look"),
  rounds: z
    .number()
    .int()
    .min(0)
    .max(100)
    .default(3)
    .describe("rounds of labelling the student's own states (DAgger); 0 for none"),
  roundStates: count.default(10_000).describe("the student's states labelled in a round"),
  roundUpdates: count.default(1_000).describe("updates in a round"),
  studentFraction: fraction.default(0.5).describe("share of the student's states in a batch"),
  lanes: count.max(4096).default(50).describe("environments that play in lock-step while states are collected"),
  gateEpisodes: count.min(2).default(20).describe("episodes of a first look at a student"),
  selectionEpisodes: count
    .min(2)
    .default(100)
    .describe("episodes of a second look, by which a student passes or fails"),
});

export type DistillOptions = z.infer<typeof distillSchema>;

/** What all distillations of a run share. */
export interface DistillContext {
  readonly examination: Examination;
  /** What labels the states. */
  readonly teacher: Network | BlackBox;
  readonly states: TeacherStates;
  readonly options: DistillOptions;
  readonly objective: number;
  readonly seed: number;
  /** Tells a distillation that nobody wants its result any more. */
  readonly signal?: Pick<AbortSignal, "aborted">;
}

/** One student to be taught. */
export interface DistillJob {
  readonly architecture: Architecture;
  /** Numbers the attempts at one architecture: other starting weights, other batches, other episodes. */
  readonly start: number;
  /** Starting weights; drawn anew when not given. */
  readonly parameters?: Float32Array;
}

export interface Distilled {
  readonly parameters: Float32Array;
  readonly updates: number;
  readonly loss: number;
  readonly agreement: number;
  readonly score: QuickScore;
  readonly passed: boolean;
}

/** States that the teacher has labelled: most to learn from, some held out to measure agreement. */
export interface TeacherStates {
  readonly [key: string]: Plain;
  readonly training: LabelledState;
  readonly heldOut: LabelledState;
}

const HELD_OUT = 0.1;

/** How a teacher's states are collected. */
export interface Collecting extends Pick<DistillContext, "teacher" | "options" | "seed"> {
  readonly makeLanes: (size: number) => VectorEnvironment;
  readonly acting?: Acting;
}

/**
 * Plays the teacher, with `teacherExploration` random actions, and labels its states, a tenth as many held out: the same for
 * the same seed.
 */
export async function collectTeacherStates(context: Collecting): Promise<TeacherStates> {
  const { options, seed, teacher, makeLanes, acting = "greedy" } = context;
  const { architecture } = teacher;
  const lanes = makeLanes(options.lanes);
  const program = await compileFixed(teacher, lanes.size);
  const gather = async (name: string, states: number): Promise<LabelledState> => {
    const steps = Math.ceil(states / lanes.size);
    const size = steps * lanes.size;
    const [width, outputs] = [inputSize(architecture), outputSize(architecture)];
    const into = LabelledStates.for("teacherStates", lanes.spec, size, width, outputs);
    const random = stream(seed, name);
    await collect(
      {
        player: program,
        architecture,
        teacher: program,
        lanes,
        acting,
        steps,
        exploration: options.teacherExploration,
        random,
      },
      into,
    );
    return into.state;
  };
  const training = await gather("teacher-states/training", options.teacherStates);
  const heldOut = await gather("teacher-states/held-out", options.teacherStates * HELD_OUT);
  await program.dispose();
  await lanes.close();
  return { training, heldOut };
}

/** Everything that a fresh call needs to go on after a round. */
export interface DistillState {
  readonly [key: string]: Plain;
  readonly round: number;
  readonly passed: boolean;
  readonly trainer: TrainerState;
  /** `null` where there is no environment to play in. */
  readonly own: LabelledState | null;
  readonly random: Plain;
  readonly best: { readonly parameters: Float32Array; readonly score: QuickScore; readonly loss: number } | null;
}

/** What a distillation step needs to know; `DistillOptions` without its plan. */
export type LossOptions = Pick<
  DistillOptions,
  "loss" | "temperature" | "logitsTemperature" | "batchSize" | "optimizer"
>;

/** The loss of a student's outputs against the teacher's, by what they mean. */
function lossOf({ head, gaussian }: Architecture, options: LossOptions): (teacher: Tensor, student: Tensor) => Tensor {
  if (gaussian !== undefined) return (teacher, student) => gaussianLoss(teacher, student, gaussian);
  const loss = options.loss === "kl" ? distillationLoss : paperLoss;
  const temperature = temperatureOf(head, options);
  return (teacher, student) => loss(teacher, student, temperature);
}

/**
 * A training program for the distillation loss on `observations` [rows, width] and `labels` [rows, outputs]. A masked one has
 * the input `mask` [parameters]: weights where it is 0 take no part and get no gradient, so they keep their hidden value but
 * for what the optimiser's moments still move. `bytes` says that observations are uint8.
 */
export async function compileDistillation(
  architecture: Architecture,
  options: LossOptions,
  { masked = false, bytes = false } = {},
): Promise<Trainer> {
  const observations = input([options.batchSize, inputSize(architecture)], bytes ? "uint8" : "float32");
  const labels = input([options.batchSize, outputSize(architecture)]);
  const size = parameterCount(architecture);
  const mask = input([size]);
  const loss = lossOf(architecture, options);
  return Trainer.create({
    size,
    inputs: { observations, labels, ...(masked && { mask }) },
    objective: (parameters) => {
      const effective = masked ? mul(parameters, mask) : parameters;
      return { loss: loss(labels, forward(architecture, effective, observations)) };
    },
    optimizer: options.optimizer === "adam" ? adam() : rmsPropTensorFlow(),
  });
}

/**
 * Teaches one student: first on the teacher's states, then in rounds on a mixture with its own states as the teacher labels
 * them (Ross et al. 2011, DAgger; PoPS uses the teacher's states only, as this does where there is no environment to play in).
 * After each round it is looked at, on fresh episodes where it can play them; it stops when it passes. Yields a state after
 * every round; returns the student that passed, else the best by score.
 */
export async function* distill(
  context: DistillContext,
  job: DistillJob,
  resume?: DistillState,
): AsyncGenerator<DistillState, Distilled> {
  const { options, seed, objective, examination } = context;
  const { architecture } = job;
  const name = `distill/${describe(architecture)}/${job.start}`;
  const taught = LabelledStates.of(context.states.training, inputSize(architecture), outputSize(architecture));
  const trainer = await compileDistillation(architecture, options, { bytes: taught.bytes });
  const gateUnits = examination.units("gate", options.gateEpisodes);
  const selectionUnits = examination.units("selection", options.selectionEpisodes);
  const gate = await examination.examiner(architecture, "gate", gateUnits);
  const selector = await examination.examiner(architecture, "selection", Math.min(100, selectionUnits));
  const lanes = options.rounds > 0 ? examination.makeLanes?.(options.lanes) : undefined;
  const own = lanes ? await OwnStates.create(architecture, context.teacher, lanes, examination.acting, options) : null;

  const random = stream(seed, name);
  let best: DistillState["best"] = null;
  let first = 0;
  if (resume) {
    first = resume.round + 1;
    trainer.setState(resume.trainer);
    if (resume.own) own?.states.setState(resume.own);
    random.setState(resume.random);
    best = resume.best;
  } else {
    trainer.restart(
      job.parameters ?? initialize(architecture, options.initializer, stream(seed, `initialization/${name}`)),
    );
  }

  const total = options.updates + options.rounds * options.roundUpdates;
  const observations = trainer.program.numbers("observations");
  const labels = trainer.program.floats("labels");
  let passed = resume?.passed ?? false;
  try {
    for (let round = first; round <= options.rounds && !passed; round++) {
      if (round > 0) await own?.gather(trainer.parameters, random);
      const updates = round === 0 ? options.updates : options.roundUpdates;
      const fromOwn = round === 0 || !own ? 0 : Math.round(options.batchSize * options.studentFraction);
      let lossSum = 0;
      for (let k = 0; k < updates; k++) {
        if (context.signal?.aborted) throw new Error("the distillation was cancelled");
        if (fromOwn > 0) own?.states.sample(random, observations, labels, 0, fromOwn);
        taught.sample(random, observations, labels, fromOwn, options.batchSize);
        const rate = options.learningRate * (0.55 + 0.45 * Math.cos((Math.PI * trainer.steps) / total));
        lossSum += await trainer.update(rate);
      }
      const set = `${name}/round-${round}`;
      let score = summarize(await gate.measure(trainer.parameters, set, gateUnits));
      if (score.mean >= objective) {
        score = summarize(await selector.measure(trainer.parameters, `${set}/selection`, selectionUnits));
        passed = lower95(score) >= objective;
      }
      if (best === null || passed || score.mean > best.score.mean) {
        best = { parameters: trainer.parameters.slice(), score, loss: lossSum / updates };
      }
      const kept = { trainer: trainer.getState(), own: own?.states.getState() ?? null, random: random.getState() };
      yield { round, passed, ...kept, best };
    }
    const { parameters, score, loss } = best!;
    const agreement = await agreementOf(architecture, parameters, context.states.heldOut);
    return { parameters, updates: trainer.steps, loss, agreement, score, passed };
  } finally {
    for (const part of [trainer, gate, selector, own]) await part?.dispose();
  }
}

import { z } from "zod";
import type { VectorEnvironment } from "../environment/environment.ts";
import { UsageError } from "../errors.ts";
import type { Emitted } from "../events.ts";
import { ACTING } from "../network/action.ts";
import { INITIALIZERS } from "../network/parameters.ts";
import type { Plain } from "../plain.ts";
import { type Pcg64, stream } from "../random/pcg64.ts";
import { add, input, mean, mul, neg, square, sub } from "../tensor/graph.ts";
import { adam } from "../tensor/optimizer.ts";
import { Trainer, type TrainerState } from "../tensor/trainer.ts";
import { ActorCritic } from "./actor-critic.ts";
import { clippedSurrogate } from "./policy-gradient.ts";
import { assess, gatherRows, Rollout, type RolloutState, transitionInputs } from "./rollout.ts";
import {
  EpisodeReturns,
  Judge,
  type JudgeState,
  judgeShape,
  leftBehind,
  networkShape,
  rewardShape,
  type Teacher,
} from "./teacher.ts";

const count = z.number().int().min(1);
const fraction = z.number().min(0).max(1);

/** Options of the PPO teacher, named as in Stable-Baselines3, whose defaults they have where no reason is given. */
export const ppoSchema = z.strictObject({
  algorithm: z.literal("ppo").default("ppo").describe("how the teacher is trained"),
  ...networkShape([64, 64], "tanh"),
  criticHidden: z
    .array(count)
    .min(0)
    .max(16)
    .nullable()
    .default(null)
    .describe("units of a separate critic's hidden layers; null for the actor's"),
  critic: z
    .enum(["separate", "shared"])
    .default("separate")
    .describe("a network of its own, or one more output of the actor's"),
  initializer: z.enum(INITIALIZERS).default("orthogonal").describe("initial weights"),
  logStdInit: z.number().default(0).describe("initial logarithm of the standard deviations of continuous actions"),
  totalSteps: count.default(1_000_000).describe("steps after which training ends at the latest"),
  environments: count.max(1024).default(16).describe("environments that advance in lock-step"),
  nSteps: count.default(1_024).describe("lock-steps of a rollout"),
  batchSize: count.default(64).describe("transitions an update; has to divide those of a rollout"),
  nEpochs: count.default(10).describe("passes over a rollout"),
  learningRate: z.number().positive().default(3e-4).describe("Adam's learning rate"),
  learningRateSchedule: z
    .enum(["constant", "linear"])
    .default("constant")
    .describe("constant, or falling linearly to 0 at totalSteps"),
  gamma: fraction.default(0.99).describe("discount of future rewards"),
  ...rewardShape,
  gaeLambda: fraction.default(0.95).describe("lambda of generalised advantage estimation"),
  clipRange: z
    .number()
    .positive()
    .nullable()
    .default(0.2)
    .describe("limit of the probability ratio; null for none (A2C)"),
  normalizeAdvantage: z.boolean().default(true).describe("advantages of a batch with mean 0 and deviation 1"),
  entCoef: z.number().min(0).default(0).describe("weight of the entropy in the loss"),
  vfCoef: z.number().min(0).default(0.5).describe("weight of the value's squared error in the loss"),
  maxGradientNorm: z.number().positive().default(0.5).describe("limit of the gradient's norm"),
  targetKl: z
    .number()
    .positive()
    .nullable()
    .default(null)
    .describe("KL to the old policy at which a rollout's updates end"),
  normalizeObservations: z
    .boolean()
    .default(false)
    .describe("observations with mean 0 and deviation 1, by running statistics that ship with the policy"),
  normalizeRewards: z
    .boolean()
    .default(false)
    .describe("rewards in deviations of the discounted return; training only"),
  normalizationClip: z.number().positive().default(10).describe("limit of normalised observations and rewards"),
  acting: z
    .enum(ACTING)
    .default("greedy")
    .describe("how the policy acts in evaluations: by its best action, or as drawn, as it does in training"),
  ...judgeShape(50_000),
});

/** Options of the PPO teacher, checked and complete. */
export type PpoOptions = z.infer<typeof ppoSchema>;

/** Everything that a fresh call needs to go on where another one stopped: between two rollouts. */
export interface PpoState extends RolloutState {
  readonly steps: number;
  readonly judge: JudgeState;
  readonly returns: ReturnType<EpisodeReturns["getState"]>;
  readonly trainer: TrainerState;
  readonly exploration: Plain;
  readonly minibatches: Plain;
}

/**
 * PPO (Schulman et al. 2017): rollouts of all environments in lock-step, advantages by GAE with episodes that a time limit cut
 * off bootstrapped from their final state, then `nEpochs` passes of Adam over shuffled batches of the clipped surrogate, the
 * squared error of the values and the entropy. With `nEpochs: 1`, `clipRange: null` and a batch as large as the rollout it
 * is A2C (Mnih et al. 2016). Yields a `train` and a `teacher-evaluated` event at the first rollout's end after every
 * `evaluationInterval` steps and at the end, and a checkpoint after every rollout. Returns the network that confirmed
 * `stopScore`, else the one with the best evaluation; it is the actor alone.
 *
 * @throws UsageError when the batch size does not divide the rollout
 * @throws EnvironmentError when continuous actions have no finite bounds
 */
export async function* trainPpo(
  makeLanes: (size: number) => VectorEnvironment,
  options: PpoOptions,
  seed: number,
  resume?: PpoState,
): AsyncGenerator<Emitted, Teacher> {
  const rows = options.nSteps * options.environments;
  if (rows % options.batchSize !== 0) {
    throw new UsageError("teacher.batchSize", `${options.batchSize} does not divide a rollout's ${rows} transitions`);
  }
  const lanes = makeLanes(options.environments);
  const model = new ActorCritic(lanes.spec, options);
  const rollout = await Rollout.create(model, lanes, options);
  const trainer = await compileUpdate(model, options, rollout.bytes);
  const returns = new EpisodeReturns(lanes.size);
  const exploration = stream(seed, "exploration");
  const minibatches = stream(seed, "minibatches");
  if (!resume) trainer.restart(model.initialize(seed));
  const judge = new Judge(makeLanes, options, seed, model.policy(trainer.parameters, rollout.normalization));
  let steps = 0;
  if (resume) {
    ({ steps } = resume);
    judge.setState(resume.judge);
    returns.setState(resume.returns);
    trainer.setState(resume.trainer);
    rollout.setState(resume);
    exploration.setState(resume.exploration);
    minibatches.setState(resume.minibatches);
  } else {
    for (let lane = 0; lane < lanes.size; lane++)
      await lanes.reset(lane, stream(seed, "environment", lane).nextUint32());
  }
  const getState = (): PpoState => ({
    steps,
    judge: judge.getState(),
    returns: returns.getState(),
    trainer: trainer.getState(),
    ...rollout.getState(),
    exploration: exploration.getState(),
    minibatches: minibatches.getState(),
  });

  const due = (): boolean => judge.due(steps - rows, steps);
  const look = (): ReturnType<Judge["look"]> =>
    judge.look(model.policy(trainer.parameters, rollout.normalization), trainer.steps, steps);

  try {
    while (steps < options.totalSteps && !judge.passed) {
      await rollout.play(trainer.parameters, exploration, returns);
      const rate =
        options.learningRateSchedule === "linear"
          ? options.learningRate * Math.max(0, 1 - steps / options.totalSteps)
          : options.learningRate;
      const { advantages, targets, explained } = await rollout.appraise(trainer.parameters);
      const learned = await learn(trainer, rollout, advantages, targets, rate, options, minibatches);
      steps += rows;
      if (due() || steps >= options.totalSteps) {
        const { episodes, mean: episodeReturn } = returns;
        const progress = Math.min(1, steps / options.totalSteps);
        const train = { step: trainer.steps, environmentSteps: steps, episodes, progress, episodeReturn };
        yield { type: "train", ...train, learningRate: rate, ...learned, explainedVariance: explained };
      }
      if (due()) yield await look();
      yield { type: "checkpoint", state: getState, last: steps >= options.totalSteps || judge.passed };
    }
    // In no checkpoint: a training that goes on from here is as if it had never ended.
    if (!due()) yield await look();
    const { network } = judge;
    const left = [leftBehind("critic", model.critic)];
    const { architecture } = network;
    yield { type: "teacher-trained", step: trainer.steps, algorithm: "ppo", architecture, leftBehind: left };
    return { ...network, updates: trainer.steps };
  } finally {
    await trainer.dispose();
    await rollout.dispose();
    await lanes.close();
  }
}

async function compileUpdate(model: ActorCritic, options: PpoOptions, bytes: boolean): Promise<Trainer> {
  const { batchSize, clipRange, entCoef, vfCoef, maxGradientNorm } = options;
  const batch = transitionInputs(model, batchSize, bytes);
  const oldLogProb = input([batchSize]);
  const advantages = input([batchSize]);
  const targets = input([batchSize]);
  return Trainer.create({
    size: model.size,
    inputs: { ...batch, oldLogProb, advantages, targets },
    objective: (parameters) => {
      const { values, logProb, entropy } = assess(model, parameters, batch);
      const { loss: policyLoss, kl, clipFraction } = clippedSurrogate(logProb, oldLogProb, advantages, clipRange);
      const valueLoss = mean(square(sub(values, targets)));
      const loss = add(add(policyLoss, mul(vfCoef, valueLoss)), mul(entCoef, neg(entropy)));
      return { loss, outputs: { policyLoss, valueLoss, entropy, kl, clipFraction } };
    },
    // Adam's epsilon of PPO's reference implementation, and of Stable-Baselines3.
    optimizer: adam({ epsilon: 1e-5 }),
    maxGradientNorm,
  });
}

const MEASURES = ["policyLoss", "valueLoss", "entropy", "kl", "clipFraction"] as const;
type Learned = Record<"loss" | (typeof MEASURES)[number], number>;

/** `nEpochs` passes over the rollout in shuffled batches; the means over their updates. */
async function learn(
  trainer: Trainer,
  rollout: Rollout,
  advantages: Float32Array,
  targets: Float32Array,
  rate: number,
  options: PpoOptions,
  random: Pcg64,
): Promise<Learned> {
  const { program } = trainer;
  const order = Int32Array.from(advantages.keys());
  const sums: Learned = { loss: 0, policyLoss: 0, valueLoss: 0, entropy: 0, kl: 0, clipFraction: 0 };
  let updates = 0;
  let kl = 0;
  for (let epoch = 0; epoch < options.nEpochs; epoch++) {
    shuffle(order, random);
    for (let from = 0; from < order.length; from += options.batchSize) {
      const batch = order.subarray(from, from + options.batchSize);
      rollout.gather(batch, program);
      gatherRows(advantages, 1, batch, program.floats("advantages"));
      gatherRows(targets, 1, batch, program.floats("targets"));
      if (options.normalizeAdvantage) standardize(program.floats("advantages"));
      sums.loss += await trainer.update(rate);
      updates++;
      for (const name of MEASURES) sums[name] += program.floats(name)[0]!;
      kl = program.floats("kl")[0]!;
      // Stable-Baselines3's margin; the update that went too far is made, here, before it is seen.
      if (options.targetKl !== null && kl > 1.5 * options.targetKl) break;
    }
    if (options.targetKl !== null && kl > 1.5 * options.targetKl) break;
  }
  return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / updates])) as Learned;
}

/** Fisher and Yates. */
function shuffle(order: Int32Array, random: Pcg64): void {
  for (let i = order.length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    const swapped = order[i]!;
    order[i] = order[j]!;
    order[j] = swapped;
  }
}

/** Mean 0 and (sample) deviation 1, in place. A single value has no deviation and stays. */
function standardize(values: Float32Array): void {
  if (values.length < 2) return;
  const mean = values.reduce((total, x) => total + x, 0) / values.length;
  const squares = values.reduce((total, x) => total + (x - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / (values.length - 1)) + 1e-8;
  for (let i = 0; i < values.length; i++) values[i] = (values[i]! - mean) / deviation;
}

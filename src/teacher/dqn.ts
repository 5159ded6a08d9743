import { z } from "zod";
import type { VectorEnvironment } from "../environment/environment.ts";
import { sizeOf } from "../environment/spaces.ts";
import { EnvironmentError } from "../errors.ts";
import type { Emitted } from "../events.ts";
import { type Architecture, checkFits, layoutOf, parameterCount } from "../network/architecture.ts";
import { forward } from "../network/forward.ts";
import { INITIALIZERS, initialize } from "../network/parameters.ts";
import type { Plain } from "../plain.ts";
import { type Pcg64, stream } from "../random/pcg64.ts";
import { NStep, type NStepState } from "../replay/n-step.ts";
import { PrioritizedReplay, type PrioritizedState } from "../replay/prioritized.ts";
import { ReplayBuffer, type ReplayState } from "../replay/uniform.ts";
import {
  add,
  argmax,
  huber,
  input,
  max,
  mean,
  mul,
  select,
  split,
  stopGradient,
  sub,
  type Tensor,
} from "../tensor/graph.ts";
import { adam } from "../tensor/optimizer.ts";
import { Program } from "../tensor/program.ts";
import { Trainer, type TrainerState } from "../tensor/trainer.ts";
import {
  clipsRewards,
  crosses,
  EpisodeReturns,
  Judge,
  type JudgeState,
  judgeShape,
  leftBehind,
  networkOf,
  networkShape,
  rewardShape,
  type Teacher,
} from "./teacher.ts";

const count = z.number().int().min(1);
const fraction = z.number().min(0).max(1);

/** Options of the DQN teacher. "Steps" are environment steps, summed over the parallel environments, unless they say updates. */
export const dqnSchema = z.strictObject({
  algorithm: z.literal("dqn").default("dqn").describe("how the teacher is trained"),
  ...networkShape([256, 256, 128], "relu"),
  initializer: z.enum(INITIALIZERS).default("he").describe("initial weights"),
  totalSteps: count.default(200_000).describe("steps after which training ends at the latest"),
  environments: count.max(1024).default(8).describe("environments that advance in lock-step"),
  bufferSize: count.default(50_000).describe("transitions held for replay"),
  learningStarts: count.default(1_000).describe("steps before the first update"),
  gradientSteps: count.default(2).describe("updates after each lock-step of all environments"),
  batchSize: count.default(128).describe("transitions an update"),
  learningRate: z.number().positive().default(5e-4).describe("Adam's learning rate"),
  maxGradientNorm: z.number().positive().default(10).describe("limit of the gradient's norm"),
  huberDelta: z.number().positive().default(1).describe("error beyond which the loss is linear"),
  gamma: fraction.default(0.99).describe("discount of future rewards"),
  ...rewardShape,
  nSteps: count.max(100).default(1).describe("rewards summed before bootstrapping"),
  targetUpdateInterval: count.default(400).describe("steps between copies into the target network"),
  double: z.boolean().default(true).describe("choose next actions with the online network (van Hasselt et al. 2016)"),
  dueling: z
    .boolean()
    .default(false)
    .describe("separate state value and advantages (Wang et al. 2016), folded into one layer at the end"),
  prioritized: z.boolean().default(false).describe("prioritized replay (Schaul et al. 2016)"),
  priorityAlpha: fraction.default(0.6).describe("strength of the prioritization"),
  priorityBeta: fraction.default(0.4).describe("initial importance correction; grows to 1 over totalSteps"),
  explorationInitialEps: fraction.default(1).describe("fraction of random actions at the start"),
  explorationFinalEps: fraction.default(0.04).describe("fraction of random actions at the end"),
  explorationSteps: count.default(12_000).describe("steps over which it falls linearly"),
  ...judgeShape(1_600),
});

/** Options of the DQN teacher, checked and complete. */
export type DqnOptions = z.infer<typeof dqnSchema>;

/** Everything that a fresh call needs to go on where another one stopped. */
export interface DqnState {
  readonly [key: string]: Plain;
  readonly steps: number;
  readonly lossSum: number;
  readonly lossCount: number;
  readonly judge: JudgeState;
  readonly returns: ReturnType<EpisodeReturns["getState"]>;
  readonly trainer: TrainerState;
  readonly target: Float32Array;
  readonly lanes: Plain;
  readonly windows: readonly NStepState[];
  readonly replay: ReplayState | PrioritizedState;
  readonly exploration: Plain;
  readonly sampling: Plain;
}

/** Q(s, a) = V(s) + A(s, a) - mean_a A(s, a), from outputs whose first column is V (Wang et al. 2016, equation 9). */
function duelingValues(outputs: Tensor): Tensor {
  const [value, advantages] = split(outputs, [1, outputs.shape[1]! - 1], 1) as readonly [Tensor, Tensor];
  return add(value, sub(advantages, mean(advantages, { axes: [1], keepDims: true })));
}

/** The same Q-values from one plain linear layer: V and A are linear in the same features, so the sum can be done once, in the weights. */
export function foldDueling(architecture: Architecture, parameters: Float32Array, folded: Architecture): Float32Array {
  const result = new Float32Array(parameterCount(folded));
  const from = layoutOf(architecture).at(-1)!;
  const to = layoutOf(folded).at(-1)!;
  result.set(parameters.subarray(0, from.weights.offset));
  const fold = (source: number, target: number): void => {
    const row = parameters.subarray(source, source + from.outputs);
    const average = (row.reduce((total, x) => total + x, 0) - row[0]!) / to.outputs;
    for (let a = 0; a < to.outputs; a++) result[target + a] = row[0]! + row[a + 1]! - average;
  };
  for (let i = 0; i < from.inputs; i++)
    fold(from.weights.offset + i * from.outputs, to.weights.offset + i * to.outputs);
  fold(from.biases.offset, to.biases.offset);
  return result;
}

/**
 * DQN (Mnih et al. 2015) with double Q-learning: target r + gamma^n (1 - terminated) Q_target(s', argmax_a Q_online(s', a)),
 * Huber loss on the chosen action only, Adam. Yields a `train` event and a `teacher-evaluated` event every
 * `evaluationInterval` steps and at the end, and a checkpoint after every lock-step. Returns the network that confirmed
 * `stopScore`, else the one with the best evaluation.
 *
 * @throws EnvironmentError when the actions are not discrete
 * @throws UsageError when the options want convolutions over images whose channels come last
 */
export async function* trainDqn(
  makeLanes: (size: number) => VectorEnvironment,
  options: DqnOptions,
  seed: number,
  resume?: DqnState,
): AsyncGenerator<Emitted, Teacher> {
  const lanes = makeLanes(options.environments);
  const { spec } = lanes;
  if (spec.actionSpace.kind !== "discrete") throw new EnvironmentError(spec.id, "DQN needs discrete actions");
  const actionCount = spec.actionSpace.n;
  const width = sizeOf(spec.observationSpace);

  const architecture = networkOf(spec.observationSpace, options, actionCount, "q-values");
  checkFits(architecture, spec);
  const trained = options.dueling
    ? {
        ...architecture,
        layers: architecture.layers.with(-1, { kind: "dense", units: actionCount + 1, activation: "none" }),
      }
    : architecture;
  const toPolicy = (parameters: Float32Array): Float32Array =>
    options.dueling ? foldDueling(trained, parameters, architecture) : parameters.slice();
  const qValues = (parameters: Tensor, observations: Tensor): Tensor => {
    const outputs = forward(trained, parameters, observations);
    return options.dueling ? duelingValues(outputs) : outputs;
  };

  const pixels = spec.frameStack === undefined ? "float32" : "uint8";
  const { trainer, batch, weights } = await compileUpdate(qValues, parameterCount(trained), width, pixels, options);
  const acting = await compileActing(qValues, parameterCount(trained), width, options.environments);
  const judge = new Judge(makeLanes, options, seed, {
    architecture,
    parameters: new Float32Array(parameterCount(architecture)),
  });
  const returns = new EpisodeReturns(options.environments);

  const clipped = clipsRewards(options, spec);
  const replay = options.prioritized
    ? new PrioritizedReplay(options.bufferSize, width, { alpha: options.priorityAlpha, epsilon: 1e-6 }, spec.frameStack)
    : new ReplayBuffer(options.bufferSize, width, spec.frameStack);
  const windows = Array.from(
    { length: options.environments },
    () => new NStep(options.nSteps, options.gamma, (...transition) => replay.add(...transition)),
  );
  const exploration = stream(seed, "exploration");
  const sampling = stream(seed, "replay");
  const target = new Float32Array(parameterCount(trained));
  const slots = new Int32Array(options.batchSize);
  trainer.program.bind("target", target);
  acting.bind("observations", lanes.observations);

  let steps = 0;
  let lossSum = 0;
  let lossCount = 0;

  if (resume) {
    ({ steps, lossSum, lossCount } = resume);
    judge.setState(resume.judge);
    returns.setState(resume.returns);
    trainer.setState(resume.trainer);
    target.set(resume.target);
    lanes.setState(resume.lanes);
    for (const [i, window] of windows.entries()) window.setState(resume.windows[i]!);
    if (replay instanceof PrioritizedReplay) replay.setState(resume.replay as PrioritizedState);
    else replay.setState(resume.replay as ReplayState);
    exploration.setState(resume.exploration);
    sampling.setState(resume.sampling);
  } else {
    trainer.restart(initialize(trained, options.initializer, stream(seed, "initialization/teacher")));
    target.set(trainer.parameters);
    for (let lane = 0; lane < lanes.size; lane++)
      await lanes.reset(lane, stream(seed, "environment", lane).nextUint32());
  }
  const getState = (): DqnState => ({
    steps,
    lossSum,
    lossCount,
    judge: judge.getState(),
    returns: returns.getState(),
    trainer: trainer.getState(),
    target: target.slice(),
    lanes: lanes.getState(),
    windows: windows.map((window) => window.getState()),
    replay: replay.getState(),
    exploration: exploration.getState(),
    sampling: sampling.getState(),
  });

  const before = new Float32Array(lanes.observations.length);
  const due = (): boolean => steps >= options.learningStarts && judge.due(steps - lanes.size, steps);
  const look = (): ReturnType<Judge["look"]> =>
    judge.look({ architecture, parameters: toPolicy(trainer.parameters) }, trainer.steps, steps);

  try {
    while (steps < options.totalSteps && !judge.passed) {
      // Act: epsilon-greedy in every lane.
      const epsilon = Math.max(
        options.explorationFinalEps,
        options.explorationInitialEps +
          (steps / options.explorationSteps) * (options.explorationFinalEps - options.explorationInitialEps),
      );
      before.set(lanes.observations);
      acting.bind("parameters", trainer.parameters);
      await acting.run();
      const actions = acting.ints("actions");
      explore(actions, epsilon, actionCount, exploration);
      await lanes.step(actions);

      // Remember; episodes that ended begin anew.
      for (let lane = 0; lane < lanes.size; lane++) {
        const from = before.subarray(lane * width, (lane + 1) * width);
        const to = lanes.observations.subarray(lane * width, (lane + 1) * width);
        const terminated = lanes.terminated[lane] === 1;
        const truncated = lanes.truncated[lane] === 1;
        const ended = terminated || truncated;
        const lifeLost = spec.training?.episodicLife === true && lanes.lifeLost[lane] === 1;
        const reward = clipped ? Math.sign(lanes.rewards[lane]!) : lanes.rewards[lane]!;
        windows[lane]!.push(from, actions[lane]!, reward, to, terminated || lifeLost, truncated);
        returns.add(lane, lanes.rewards[lane]!, ended);
        if (ended) await lanes.reset(lane);
      }
      const previous = steps;
      steps += lanes.size;

      // Learn.
      if (steps >= options.learningStarts && replay.size >= options.batchSize) {
        for (let k = 0; k < options.gradientSteps; k++) {
          if (replay instanceof PrioritizedReplay) {
            const beta = options.priorityBeta + (1 - options.priorityBeta) * Math.min(1, steps / options.totalSteps);
            replay.sample(sampling, beta, batch, weights, slots);
            lossSum += await trainer.update(options.learningRate);
            replay.update(slots, trainer.program.floats("errors"));
          } else {
            replay.sample(sampling, batch);
            lossSum += await trainer.update(options.learningRate);
          }
          lossCount++;
        }
      }
      if (crosses(previous, steps, options.targetUpdateInterval)) target.set(trainer.parameters);

      if (due() || steps >= options.totalSteps) {
        const progress = Math.min(1, steps / options.totalSteps);
        const loss = lossSum / Math.max(1, lossCount);
        const step = trainer.steps;
        const { episodes, mean: episodeReturn } = returns;
        yield { type: "train", step, environmentSteps: steps, episodes, progress, loss, epsilon, episodeReturn };
      }
      if (due()) {
        yield await look();
        lossSum = 0;
        lossCount = 0;
      }
      yield { type: "checkpoint", state: getState, last: steps >= options.totalSteps || judge.passed };
    }
    // In no checkpoint: a training that goes on from here is as if it had never ended.
    if (!due()) yield await look();
    const left = [leftBehind("target network", trained)];
    yield { type: "teacher-trained", step: trainer.steps, algorithm: "dqn", architecture, leftBehind: left };
    return { ...judge.network, updates: trainer.steps };
  } finally {
    await trainer.dispose();
    await acting.dispose();
    await lanes.close();
  }
}

function explore(actions: Int32Array, epsilon: number, actionCount: number, random: Pcg64): void {
  for (let lane = 0; lane < actions.length; lane++) {
    if (random.double() < epsilon) actions[lane] = random.integer(actionCount);
  }
}

type QValues = (parameters: Tensor, observations: Tensor) => Tensor;

async function compileUpdate(
  qValues: QValues,
  size: number,
  width: number,
  dtype: "float32" | "uint8",
  options: DqnOptions,
) {
  const rows = options.batchSize;
  const observations = input([rows, width], dtype);
  const actions = input([rows], "int32");
  const rewards = input([rows]);
  const nextObservations = input([rows, width], dtype);
  const discounts = input([rows]);
  const importance = input([rows]);
  const target = input([size]);
  const objective = (parameters: Tensor) => {
    const targetNext = qValues(target, nextObservations);
    const next = options.double
      ? select(targetNext, argmax(qValues(parameters, nextObservations)))
      : max(targetNext, { axes: [1] });
    const goal = add(rewards, mul(discounts, next));
    const errors = sub(select(qValues(parameters, observations), actions), stopGradient(goal));
    return { loss: mean(mul(importance, huber(errors, options.huberDelta))), outputs: { errors } };
  };
  const inputs = { observations, actions, rewards, nextObservations, discounts, importance, target };
  const trainer = await Trainer.create({
    size,
    objective,
    inputs,
    optimizer: adam(),
    maxGradientNorm: options.maxGradientNorm,
  });
  const { program } = trainer;
  const batch = {
    observations: program.numbers("observations"),
    actions: program.ints("actions"),
    rewards: program.floats("rewards"),
    nextObservations: program.numbers("nextObservations"),
    discounts: program.floats("discounts"),
  };
  return { trainer, batch, weights: program.floats("importance").fill(1) };
}

async function compileActing(qValues: QValues, size: number, width: number, rows: number): Promise<Program> {
  const parameters = input([size]);
  const observations = input([rows, width]);
  return Program.compile({
    inputs: { parameters, observations },
    outputs: { actions: argmax(qValues(parameters, observations)) },
  });
}

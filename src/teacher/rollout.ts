import type { VectorEnvironment } from "../environment/environment.ts";
import { sizeOf } from "../environment/spaces.ts";
import { type Actions, boundActions, sampleChoice, sampleGaussian } from "../network/action.ts";
import { inputSize, type Normalization, outputSize } from "../network/architecture.ts";
import type { Plain } from "../plain.ts";
import type { Pcg64 } from "../random/pcg64.ts";
import { input, type Tensor } from "../tensor/graph.ts";
import { Program } from "../tensor/program.ts";
import type { ActorCritic } from "./actor-critic.ts";
import { explainedVariance, generalizedAdvantages } from "./advantages.ts";
import { RunningStatistics, type StatisticsState } from "./normalizer.ts";
import { categorical, type Distribution, diagonalGaussian } from "./policy-gradient.ts";
import type { EpisodeReturns } from "./teacher.ts";

export interface RolloutOptions {
  readonly nSteps: number;
  readonly gamma: number;
  readonly gaeLambda: number;
  readonly normalizeObservations: boolean;
  readonly normalizeRewards: boolean;
  readonly normalizationClip: number;
}

export interface RolloutState {
  readonly [key: string]: Plain;
  readonly lanes: Plain;
  readonly observationStatistics: StatisticsState;
  readonly returnStatistics: StatisticsState;
  readonly discounted: Float64Array;
}

/** Observations and actions of `rows` transitions, as inputs of a program. */
export function transitionInputs({ actor }: ActorCritic, rows: number): { observations: Tensor; actions: Tensor } {
  const actions = actor.gaussian ? input([rows, outputSize(actor)]) : input([rows], "int32");
  return { observations: input([rows, inputSize(actor)]), actions };
}

/** What the networks say of transitions: V(s), log pi(a|s), and the policy's entropy. */
export function assess(
  model: ActorCritic,
  parameters: Tensor,
  { observations, actions }: ReturnType<typeof transitionInputs>,
): Distribution & { readonly values: Tensor } {
  const { outputs, values, logStd } = model.forward(parameters, observations);
  const distribution = logStd ? diagonalGaussian(outputs, logStd, actions) : categorical(outputs, actions);
  return { values, ...distribution };
}

/**
 * Transitions of all lanes over `nSteps` lock-steps, time-major: row t * lanes + lane. Observations are kept as the network
 * saw them, normalised by the statistics of their moment; actions as they were drawn, before they were limited.
 */
export class Rollout {
  readonly #model: ActorCritic;
  readonly #lanes: VectorEnvironment;
  readonly #options: RolloutOptions;
  readonly #acting: Program;
  /** Its input buffers `observations` and `actions` are where the transitions are kept. */
  readonly #assessing: Program;
  readonly #observations: Float32Array;
  readonly #nextObservations: Float32Array;
  readonly #actions: Actions;
  readonly #logProb: Float32Array;
  readonly #rewards: Float64Array;
  readonly #terminated: Uint8Array;
  readonly #ended: Uint8Array;
  readonly #observationStatistics: RunningStatistics;
  readonly #returnStatistics = new RunningStatistics(1);
  /** Discounted return of each lane's episode so far. */
  readonly #discounted: Float64Array;

  private constructor(
    model: ActorCritic,
    lanes: VectorEnvironment,
    options: RolloutOptions,
    acting: Program,
    assessing: Program,
  ) {
    const rows = options.nSteps * lanes.size;
    this.#model = model;
    this.#lanes = lanes;
    this.#options = options;
    this.#acting = acting;
    this.#assessing = assessing;
    this.#observations = assessing.floats("observations");
    this.#nextObservations = new Float32Array(this.#observations.length);
    this.#actions = model.actor.gaussian ? assessing.floats("actions") : assessing.ints("actions");
    this.#logProb = new Float32Array(rows);
    this.#rewards = new Float64Array(rows);
    this.#terminated = new Uint8Array(rows);
    this.#ended = new Uint8Array(rows);
    this.#observationStatistics = new RunningStatistics(inputSize(model.actor));
    this.#discounted = new Float64Array(lanes.size);
  }

  static async create(model: ActorCritic, lanes: VectorEnvironment, options: RolloutOptions): Promise<Rollout> {
    const parameters = input([model.size]);
    const observations = input([lanes.size, inputSize(model.actor)]);
    const { outputs } = model.forward(parameters, observations);
    const acting = await Program.compile({ inputs: { parameters, observations }, outputs: { outputs } });
    const all = transitionInputs(model, options.nSteps * lanes.size);
    const { values, logProb } = assess(model, parameters, all);
    const assessing = await Program.compile({ inputs: { parameters, ...all }, outputs: { values, logProb } });
    return new Rollout(model, lanes, options, acting, assessing);
  }

  /** Statistics by which observations are normalised now; none where they are not. */
  get normalization(): Normalization | undefined {
    const { normalizeObservations, normalizationClip } = this.#options;
    return normalizeObservations ? this.#observationStatistics.normalization(normalizationClip) : undefined;
  }

  /** Plays `nSteps` lock-steps with sampled actions. Episodes that end begin anew. */
  async play(parameters: Float32Array, random: Pcg64, returns: EpisodeReturns): Promise<void> {
    const lanes = this.#lanes;
    const acting = this.#acting;
    const width = inputSize(this.#model.actor);
    const logStd = this.#model.logStd(parameters);
    const actionSize = sizeOf(lanes.spec.actionSpace);
    acting.bind("parameters", parameters);
    const outputs = acting.floats("outputs");
    for (let t = 0; t < this.#options.nSteps; t++) {
      const first = t * lanes.size;
      const observations = this.#observations.subarray(first * width, (first + lanes.size) * width);
      if (this.#options.normalizeObservations) this.#observationStatistics.update(lanes.observations);
      this.#normalize(lanes.observations, observations);
      acting.floats("observations").set(observations);
      await acting.run();
      const drawn = this.#actions.subarray(first * actionSize, (first + lanes.size) * actionSize);
      await lanes.step(this.#draw(outputs, logStd, random, drawn));
      this.#normalize(lanes.observations, this.#nextObservations.subarray(first * width, (first + lanes.size) * width));
      for (let lane = 0; lane < lanes.size; lane++) {
        const row = first + lane;
        const reward = lanes.rewards[lane]!;
        const ended = lanes.terminated[lane] === 1 || lanes.truncated[lane] === 1;
        this.#rewards[row] = reward;
        this.#terminated[row] = lanes.terminated[lane]!;
        this.#ended[row] = ended ? 1 : 0;
        returns.add(lane, reward, ended);
      }
      if (this.#options.normalizeRewards) this.#normalizeRewards(first);
      for (let lane = 0; lane < lanes.size; lane++) if (this.#ended[first + lane]) await lanes.reset(lane);
    }
  }

  /** Draws an action for each lane into `drawn`; gives what the environment takes. */
  #draw(outputs: Float32Array, logStd: Float32Array, random: Pcg64, drawn: Actions): Actions {
    const size = outputSize(this.#model.actor);
    for (let lane = 0; lane < this.#lanes.size; lane++) {
      const row = outputs.subarray(lane * size, (lane + 1) * size);
      if (drawn instanceof Int32Array) drawn[lane] = sampleChoice(row, random);
      else sampleGaussian(row, logStd, random, drawn.subarray(lane * size, (lane + 1) * size));
    }
    if (drawn instanceof Int32Array) return drawn;
    const limited = drawn.slice();
    boundActions(this.#model.actor, limited);
    return limited;
  }

  #normalize(from: Float32Array, to: Float32Array): void {
    if (!this.#options.normalizeObservations) {
      to.set(from);
      return;
    }
    const width = inputSize(this.#model.actor);
    const statistics = this.#observationStatistics;
    const limit = this.#options.normalizationClip;
    for (let i = 0; i < width; i++) {
      const mean = statistics.mean(i);
      const deviation = statistics.deviation(i);
      for (let at = i; at < from.length; at += width) {
        to[at] = Math.min(Math.max((from[at]! - mean) / deviation, -limit), limit);
      }
    }
  }

  /** Divides the rewards of one lock-step by the deviation of the discounted returns so far. */
  #normalizeRewards(first: number): void {
    const limit = this.#options.normalizationClip;
    const lanes = this.#discounted.length;
    for (let lane = 0; lane < lanes; lane++) {
      this.#discounted[lane] = this.#discounted[lane]! * this.#options.gamma + this.#rewards[first + lane]!;
    }
    this.#returnStatistics.update(this.#discounted);
    const deviation = this.#returnStatistics.deviation(0);
    for (let lane = 0; lane < lanes; lane++) {
      this.#rewards[first + lane] = Math.min(Math.max(this.#rewards[first + lane]! / deviation, -limit), limit);
      if (this.#ended[first + lane]) this.#discounted[lane] = 0;
    }
  }

  /** [rows] advantages, targets of the values, and how well the values explain these, under the parameters that played. */
  async appraise(
    parameters: Float32Array,
  ): Promise<{ advantages: Float32Array; targets: Float32Array; explained: number }> {
    const assessing = this.#assessing;
    const { gamma, gaeLambda } = this.#options;
    assessing.bind("parameters", parameters);
    assessing.bind("observations", this.#nextObservations);
    await assessing.run();
    const nextValues = assessing.floats("values").slice();
    assessing.bind("observations", this.#observations);
    await assessing.run();
    const values = assessing.floats("values");
    this.#logProb.set(assessing.floats("logProb"));
    const rollout = {
      lanes: this.#lanes.size,
      rewards: this.#rewards,
      values,
      nextValues,
      terminated: this.#terminated,
      ended: this.#ended,
    };
    const advantages = generalizedAdvantages(rollout, gamma, gaeLambda);
    const targets = advantages.map((advantage, row) => advantage + values[row]!);
    return { advantages, targets, explained: explainedVariance(values, targets) };
  }

  /** Copies the rows of a batch into the inputs `observations`, `actions` and `oldLogProb` of a program. */
  gather(batch: Int32Array, program: Program): void {
    gatherRows(this.#observations, inputSize(this.#model.actor), batch, program.floats("observations"));
    const actions = this.#actions instanceof Int32Array ? program.ints("actions") : program.floats("actions");
    gatherRows(this.#actions, sizeOf(this.#lanes.spec.actionSpace), batch, actions);
    gatherRows(this.#logProb, 1, batch, program.floats("oldLogProb"));
  }

  getState(): RolloutState {
    return {
      lanes: this.#lanes.getState(),
      observationStatistics: this.#observationStatistics.getState(),
      returnStatistics: this.#returnStatistics.getState(),
      discounted: this.#discounted.slice(),
    };
  }

  setState(state: RolloutState): void {
    this.#lanes.setState(state.lanes);
    this.#observationStatistics.setState(state.observationStatistics);
    this.#returnStatistics.setState(state.returnStatistics);
    this.#discounted.set(state.discounted);
  }

  async dispose(): Promise<void> {
    await this.#acting.dispose();
    await this.#assessing.dispose();
  }
}

/** Copies rows of `size` numbers, in the order of `batch`. */
export function gatherRows(from: Actions, size: number, batch: Int32Array, to: Actions): void {
  for (let row = 0; row < batch.length; row++) {
    const at = batch[row]! * size;
    for (let i = 0; i < size; i++) to[row * size + i] = from[at + i]!;
  }
}

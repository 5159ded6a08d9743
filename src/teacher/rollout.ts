import type { VectorEnvironment } from "../environment/environment.ts";
import { sizeOf } from "../environment/spaces.ts";
import { allocate } from "../memory.ts";
import { type Actions, boundActions, sampleChoice, sampleGaussian } from "../network/action.ts";
import { inputSize, type Normalization, outputSize } from "../network/architecture.ts";
import type { Plain } from "../plain.ts";
import type { Pcg64 } from "../random/pcg64.ts";
import { copyRow, type Observations } from "../replay/rows.ts";
import { input, type Tensor } from "../tensor/graph.ts";
import { Program } from "../tensor/program.ts";
import type { ActorCritic } from "./actor-critic.ts";
import { explainedVariance, generalizedAdvantages } from "./advantages.ts";
import { RunningStatistics, type StatisticsState } from "./normalizer.ts";
import { categorical, type Distribution, diagonalGaussian } from "./policy-gradient.ts";
import { clipsRewards, type EpisodeReturns } from "./teacher.ts";

export interface RolloutOptions {
  readonly nSteps: number;
  readonly gamma: number;
  readonly gaeLambda: number;
  readonly normalizeObservations: boolean;
  readonly clipRewards: boolean | null;
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

/** Observations, bytes or float32, and actions of `rows` transitions, as inputs of a program. */
export function transitionInputs(
  { actor }: ActorCritic,
  rows: number,
  bytes: boolean,
): { observations: Tensor; actions: Tensor } {
  const actions = actor.gaussian ? input([rows, outputSize(actor)]) : input([rows], "int32");
  return { observations: input([rows, inputSize(actor)], bytes ? "uint8" : "float32"), actions };
}

/** Numbers of observations that are assessed at once: all of a rollout where they are few, or a share of its images. */
const ASSESSED_NUMBERS = 4_000_000;

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
  /** Takes `#chunk` rows at once. */
  readonly #assessing: Program;
  readonly #chunk: number;
  readonly #observations: Observations;
  /** Final observations: of the rows of `#finalRows`, in their order. */
  #finals: Observations;
  readonly #finalRows: number[] = [];
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
    chunk: number,
  ) {
    const rows = options.nSteps * lanes.size;
    const width = inputSize(model.actor);
    this.#model = model;
    this.#lanes = lanes;
    this.#options = options;
    this.#acting = acting;
    this.#assessing = assessing;
    this.#chunk = chunk;
    const bytes = isBytes(lanes, options);
    const size = (bytes ? 1 : 4) * rows * width;
    this.#observations = allocate("teacher.nSteps", size, `${rows} observations of ${width} numbers`, () =>
      arrayOf(bytes, rows * width),
    );
    this.#finals = arrayOf(this.bytes, 2 * lanes.size * width);
    this.#actions = model.actor.gaussian ? new Float32Array(rows * outputSize(model.actor)) : new Int32Array(rows);
    this.#logProb = new Float32Array(rows);
    this.#rewards = new Float64Array(rows);
    this.#terminated = new Uint8Array(rows);
    this.#ended = new Uint8Array(rows);
    this.#observationStatistics = new RunningStatistics(options.normalizeObservations ? width : 0);
    this.#discounted = new Float64Array(lanes.size);
  }

  static async create(model: ActorCritic, lanes: VectorEnvironment, options: RolloutOptions): Promise<Rollout> {
    const parameters = input([model.size]);
    const observations = input([lanes.size, inputSize(model.actor)]);
    const { outputs } = model.forward(parameters, observations);
    const acting = await Program.compile({ inputs: { parameters, observations }, outputs: { outputs } });
    const rows = options.nSteps * lanes.size;
    const chunk = Math.min(rows, Math.max(1, Math.floor(ASSESSED_NUMBERS / inputSize(model.actor))));
    const some = transitionInputs(model, chunk, isBytes(lanes, options));
    const { values, logProb } = assess(model, parameters, some);
    const assessing = await Program.compile({ inputs: { parameters, ...some }, outputs: { values, logProb } });
    return new Rollout(model, lanes, options, acting, assessing, chunk);
  }

  /** Whether observations are kept as bytes. */
  get bytes(): boolean {
    return this.#observations instanceof Uint8Array;
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
    this.#finalRows.length = 0;
    const { training } = lanes.spec;
    const clipped = clipsRewards(this.#options, lanes.spec);
    for (let t = 0; t < this.#options.nSteps; t++) {
      const first = t * lanes.size;
      const observations = this.#observations.subarray(first * width, (first + lanes.size) * width);
      if (this.#options.normalizeObservations) this.#observationStatistics.update(lanes.observations);
      this.#normalize(lanes.observations, observations);
      acting.floats("observations").set(observations);
      await acting.run();
      const drawn = this.#actions.subarray(first * actionSize, (first + lanes.size) * actionSize);
      await lanes.step(this.#draw(outputs, logStd, random, drawn));
      for (let lane = 0; lane < lanes.size; lane++) {
        const row = first + lane;
        const reward = lanes.rewards[lane]!;
        const ended = lanes.terminated[lane] === 1 || lanes.truncated[lane] === 1;
        this.#rewards[row] = clipped ? Math.sign(reward) : reward;
        if (ended || t === this.#options.nSteps - 1 || this.#options.normalizeObservations) this.#keepFinal(row, lane);
        const lifeLost = training?.episodicLife === true && lanes.lifeLost[lane] === 1;
        this.#terminated[row] = lanes.terminated[lane] === 1 || lifeLost ? 1 : 0;
        this.#ended[row] = ended || lifeLost ? 1 : 0;
        returns.add(lane, reward, ended);
      }
      if (this.#options.normalizeRewards) this.#normalizeRewards(first);
      for (let lane = 0; lane < lanes.size; lane++) {
        if (lanes.terminated[lane] === 1 || lanes.truncated[lane] === 1) await lanes.reset(lane);
      }
    }
  }

  /**
   * Keeps what a lane observes now as the final observation of a row: where an episode or the rollout ends, or statistics
   * change on the way; elsewhere it is the next row's observation.
   */
  #keepFinal(row: number, lane: number): void {
    const width = inputSize(this.#model.actor);
    const at = this.#finalRows.push(row) - 1;
    if ((at + 1) * width > this.#finals.length) {
      const larger = arrayOf(this.bytes, 2 * this.#finals.length);
      larger.set(this.#finals);
      this.#finals = larger;
    }
    const observation = this.#lanes.observations.subarray(lane * width, (lane + 1) * width);
    this.#normalize(observation, this.#finals.subarray(at * width, (at + 1) * width));
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

  #normalize(from: Float32Array, to: Observations): void {
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
    const { gamma, gaeLambda } = this.#options;
    const lanes = this.#lanes.size;
    const rows = this.#rewards.length;
    this.#assessing.bind("parameters", parameters);
    const values = new Float32Array(rows);
    await this.#assess(this.#observations, rows, values, true);
    const finals = new Float32Array(this.#finalRows.length);
    await this.#assess(this.#finals, finals.length, finals, false);
    const nextValues = new Float32Array(rows);
    nextValues.set(values.subarray(lanes));
    for (const [i, row] of this.#finalRows.entries()) nextValues[row] = finals[i]!;
    const rollout = {
      lanes,
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

  /** Values of [rows] observations into `values`; with `played`, the log-probabilities of the actions of the rollout's rows too. */
  async #assess(observations: Observations, rows: number, values: Float32Array, played: boolean): Promise<void> {
    const program = this.#assessing;
    const width = inputSize(this.#model.actor);
    const actionSize = sizeOf(this.#lanes.spec.actionSpace);
    const seen = program.numbers("observations");
    const acted = this.#actions instanceof Int32Array ? program.ints("actions") : program.floats("actions");
    for (let from = 0; from < rows; from += this.#chunk) {
      const to = Math.min(rows, from + this.#chunk);
      seen.set(observations.subarray(from * width, to * width));
      if (played) acted.set(this.#actions.subarray(from * actionSize, to * actionSize));
      await program.run();
      values.set(program.floats("values").subarray(0, to - from), from);
      if (played) this.#logProb.set(program.floats("logProb").subarray(0, to - from), from);
    }
  }

  /** Copies the rows of a batch into the inputs `observations`, `actions` and `oldLogProb` of a program. */
  gather(batch: Int32Array, program: Program): void {
    gatherRows(this.#observations, inputSize(this.#model.actor), batch, program.numbers("observations"));
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

/** Pixels are kept as they come; normalised observations are no bytes any more. */
function isBytes({ spec }: VectorEnvironment, { normalizeObservations }: RolloutOptions): boolean {
  return spec.frameStack !== undefined && !normalizeObservations;
}

const arrayOf = (bytes: boolean, length: number): Observations =>
  bytes ? new Uint8Array(length) : new Float32Array(length);

/** Copies rows of `size` numbers, in the order of `batch`. */
export function gatherRows(
  from: Actions | Observations,
  size: number,
  batch: Int32Array,
  to: Actions | Observations,
): void {
  for (let row = 0; row < batch.length; row++) copyRow(from, batch[row]!, size, to, row);
}

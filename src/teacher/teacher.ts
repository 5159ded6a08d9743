import { z } from "zod";
import type { BoxSpace, EnvironmentSpec, VectorEnvironment } from "../environment/environment.ts";
import { isPixels } from "../environment/spaces.ts";
import { ShapeError } from "../errors.ts";
import { Evaluator } from "../evaluation/evaluate.ts";
import type { EventOf, QuickScore } from "../events.ts";
import type { Acting } from "../network/action.ts";
import { type Architecture, countsOf, describe, layersOf, OF_PIXELS } from "../network/architecture.ts";
import type { Network } from "../network/policy.ts";
import type { Plain } from "../plain.ts";

/** A trained network. */
export interface Teacher {
  readonly architecture: Architecture;
  readonly parameters: Float32Array;
  /** Gradient updates made. */
  readonly updates: number;
}

const count = z.number().int().min(1);

const size = z.number().int().min(1).max(1000);

/** Options of the network of every teacher. `hidden` and `activation` have the defaults given. */
export const networkShape = (hidden: number[], activation: "relu" | "tanh") => ({
  convolutions: z
    .array(z.strictObject({ filters: size, kernel: size, stride: size }))
    .max(16)
    .default([])
    .describe("convolutions over image observations in front of the hidden layers; square kernels, without padding"),
  hidden: z.array(count).min(0).max(16).default(hidden).describe("units of the hidden layers"),
  activation: z.enum(["relu", "tanh"]).default(activation).describe("activation of the hidden layers"),
});

/** What `networkOf` needs of a teacher's options. */
export type NetworkOptions = z.infer<z.ZodObject<ReturnType<typeof networkShape>>>;

/** The network of a teacher: convolutions, hidden layers and a linear output. Pixels are brought to [0, 1]. */
export function networkOf(
  space: BoxSpace,
  options: Readonly<NetworkOptions>,
  outputs: number,
  head: Architecture["head"],
): Architecture {
  return {
    input: [...space.shape],
    ...(space.shape.length === 3 && isPixels(space) && { normalization: OF_PIXELS }),
    layers: layersOf(options, outputs),
    head,
  };
}

/** Options of every teacher: how rewards count in training. A score always counts them as they are. */
export const rewardShape = {
  clipRewards: z
    .boolean()
    .nullable()
    .default(null)
    .describe("training takes the sign of each reward; null for what the environment says"),
};

/** Whether training takes the signs of rewards. */
export const clipsRewards = (options: { readonly clipRewards: boolean | null }, spec: EnvironmentSpec): boolean =>
  options.clipRewards ?? spec.training?.clipRewards ?? false;

/** Options of every teacher: when a training in progress is looked at, and when that ends it. `interval` is a default. */
export const judgeShape = (interval: number) => ({
  evaluationInterval: count.default(interval).describe("steps between evaluations"),
  evaluationEpisodes: count
    .min(2)
    .default(20)
    .describe("episodes of a first look; one that reaches stopScore is confirmed"),
  confirmationEpisodes: count
    .min(2)
    .default(100)
    .describe("episodes that have to reach stopScore for training to stop"),
  stopScore: z.number().describe("mean return at which training stops"),
});

/** Options of every teacher, checked and complete. */
export type JudgeOptions = z.infer<z.ZodObject<ReturnType<typeof judgeShape>>>;

export interface JudgeState {
  readonly [key: string]: Plain;
  readonly evaluations: number;
  readonly best: number | null;
  readonly architecture: Plain;
  readonly parameters: Float32Array;
}

/**
 * Looks at a teacher in training: a few episodes, confirmed by more of them before training may stop. Keeps the
 * network that confirmed `stopScore`, else the one with the best evaluation.
 */
export class Judge {
  readonly #makeLanes: (size: number) => VectorEnvironment;
  readonly #options: JudgeOptions & { readonly acting?: Acting };
  readonly #seed: number;
  #evaluations = 0;
  #best = Number.NEGATIVE_INFINITY;
  #network: Network;

  /** @param initial the answer of a training that is never looked at */
  constructor(
    makeLanes: (size: number) => VectorEnvironment,
    options: JudgeOptions & { readonly acting?: Acting },
    seed: number,
    initial: Network,
  ) {
    this.#makeLanes = makeLanes;
    this.#options = options;
    this.#seed = seed;
    this.#network = initial;
  }

  /** Whether an evaluation falls due on the way from one number of steps to another. */
  due(before: number, after: number): boolean {
    return crosses(before, after, this.#options.evaluationInterval);
  }

  /** Whether a network has confirmed `stopScore`. */
  get passed(): boolean {
    return this.#passes(this.#best);
  }

  /** The best network so far. */
  get network(): Network {
    return this.#network;
  }

  /** Evaluates a network, whose arrays it may keep. */
  async look(network: Network, step: number, environmentSteps: number): Promise<EventOf<"teacher-evaluated">> {
    const { evaluationEpisodes, confirmationEpisodes } = this.#options;
    const set = `teacher/${++this.#evaluations}`;
    let score = await this.#play(network, set, evaluationEpisodes);
    if (this.#passes(score.mean)) score = await this.#play(network, `${set}/confirmed`, confirmationEpisodes);
    if (score.mean > this.#best) {
      this.#best = score.mean;
      this.#network = network;
    }
    return { type: "teacher-evaluated", step, environmentSteps, score, passed: this.#passes(score.mean) };
  }

  #passes(score: number): boolean {
    return score >= this.#options.stopScore;
  }

  async #play({ architecture, parameters }: Network, set: string, episodes: number): Promise<QuickScore> {
    const evaluator = await Evaluator.create(architecture, this.#makeLanes(Math.min(episodes, 100)));
    const score = await evaluator.quick(parameters, this.#seed, set, episodes, this.#options.acting ?? "greedy");
    await evaluator.dispose();
    return score;
  }

  getState(): JudgeState {
    const { architecture, parameters } = this.#network;
    const best = Number.isFinite(this.#best) ? this.#best : null;
    return { evaluations: this.#evaluations, best, architecture, parameters };
  }

  /** @throws ShapeError when the state is of a network of other sizes: of another environment than the one that is there now */
  setState({ evaluations, best, architecture, parameters }: JudgeState): void {
    const [then, now] = [architecture as Architecture, this.#network.architecture].map(describe);
    if (then !== now) {
      throw new ShapeError(
        "teacher",
        `is ${then ?? ""} in this run, ${now ?? ""} in the environment as it is now: begin a new run`,
      );
    }
    this.#evaluations = evaluations;
    this.#best = best ?? Number.NEGATIVE_INFINITY;
    this.#network = { architecture: architecture as Architecture, parameters: parameters.slice() };
  }
}

/** Returns of the last training episodes. */
export class EpisodeReturns {
  #last: number[] = [];
  #running: Float64Array;
  #episodes = 0;

  constructor(lanes: number) {
    this.#running = new Float64Array(lanes);
  }

  /** Episodes that ended. */
  get episodes(): number {
    return this.#episodes;
  }

  /** Mean of the last 100; 0 before the first. */
  get mean(): number {
    return this.#last.reduce((total, x) => total + x, 0) / Math.max(1, this.#last.length);
  }

  add(lane: number, reward: number, ended: boolean): void {
    this.#running[lane]! += reward;
    if (!ended) return;
    this.#episodes++;
    this.#last = [...this.#last.slice(-99), this.#running[lane]!];
    this.#running[lane] = 0;
  }

  getState(): { [key: string]: Plain; last: readonly number[]; running: Float64Array; episodes: number } {
    return { last: this.#last, running: this.#running.slice(), episodes: this.#episodes };
  }

  setState(state: ReturnType<EpisodeReturns["getState"]>): void {
    this.#last = [...state.last];
    this.#running = state.running.slice();
    this.#episodes = state.episodes;
  }
}

/** What a training made beside the policy, by name: it stays behind. */
export function leftBehind(name: string, architecture: Architecture): EventOf<"teacher-trained">["leftBehind"][number] {
  const { weights, biases } = countsOf(architecture);
  return { name, layers: describe(architecture), weights, biases };
}

/** True when a multiple of `interval` lies in (before, after]. */
export function crosses(before: number, after: number, interval: number): boolean {
  return Math.floor(after / interval) > Math.floor(before / interval);
}

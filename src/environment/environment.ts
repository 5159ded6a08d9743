import type { Plain } from "../plain.ts";
import type { Surface } from "./surface.ts";

/** Bounded or unbounded array of numbers (Gymnasium's `Box`). `low` and `high` have one entry an element, row-major. */
export interface BoxSpace {
  readonly kind: "box";
  readonly shape: readonly number[];
  readonly low: readonly number[];
  readonly high: readonly number[];
  /** Type of its numbers in Python, where that is another than float32. */
  readonly dtype?: string;
}

/** One of `n` choices, 0 to n - 1 (Gymnasium's `Discrete`). */
export interface DiscreteSpace {
  readonly kind: "discrete";
  readonly n: number;
}

/** What observations or actions look like. */
export type Space = BoxSpace | DiscreteSpace;

/** Pixels of the picture that `render` is to draw, and how many steps are shown a second. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly stepsPerSecond: number;
}

/** What is known of an environment before it is made. */
export interface EnvironmentSpec {
  /** Id as in Gymnasium, for example `CartPole-v1`. */
  readonly id: string;
  readonly observationSpace: BoxSpace;
  readonly actionSpace: Space;
  /** Steps after which an episode is truncated; `undefined` means never. */
  readonly maxEpisodeSteps?: number | undefined;
  /** Mean return at which the task counts as solved; `undefined` where none is published. */
  readonly rewardThreshold?: number | undefined;
  /**
   * The observation is so many pictures of whole numbers 0 to 255, oldest first along its first axis, which holds the channels
   * of each. A step drops the first picture and adds one at the end; the first observation of an episode is one picture so many
   * times. 1: observations are pictures without a past.
   */
  readonly frameStack?: number;
  /** How it is shown. */
  readonly picture?: Picture;
  /** How training differs from the task: a score always counts the rewards as they are, until the episode's end. */
  readonly training?: {
    /** Training takes the sign of each reward (Mnih et al. 2015). */
    readonly clipRewards: boolean;
    /** Training takes the loss of a life (`lifeLost`) for an end: the value of what follows is 0, but the episode goes on. */
    readonly episodicLife: boolean;
  };
}

/** A choice index for a discrete action space, a vector for a box. */
export type Action = number | Float32Array;

/** Result of one step, as in Gymnasium. */
export interface Step {
  /** The environment's own buffer, valid until the next call: copy it to keep it. */
  readonly observation: Float32Array;
  readonly reward: number;
  /** The task ended (success or failure): the value of what follows is 0. */
  readonly terminated: boolean;
  /** The episode was cut off, by a time limit for example: the value of what follows is not 0. */
  readonly truncated: boolean;
  /** A life was lost, and it was not the last one. */
  readonly lifeLost?: boolean;
}

/** A single environment. The rules are Gymnasium's: `reset` before the first `step` and after every end. */
export interface Environment {
  readonly spec: EnvironmentSpec;
  /**
   * Starts an episode and returns its first observation (the environment's own buffer). With a seed the random generator
   * is made anew from it, as in Gymnasium; without one it goes on (first call: seed 0).
   */
  reset(seed?: number): Float32Array;
  step(action: Action): Step;
  /** Everything that the future depends on, the random generator included. */
  getState(): Plain;
  setState(state: Plain): void;
  /** Draws the present state. */
  render?(surface: Surface): void;
}

/**
 * `size` environments that advance together, on flat buffers. Nothing resets by itself: after an end the lane's
 * observation is the final one until `reset` is called for that lane, so no reset observation can enter a replay buffer.
 * Lanes that have ended and are not reset are stepped no further; their rewards are 0 and their flags stay.
 */
export interface VectorEnvironment {
  readonly spec: EnvironmentSpec;
  readonly size: number;
  /** [size, observation size], row-major. */
  readonly observations: Float32Array;
  /** [size] rewards of the last step. */
  readonly rewards: Float64Array;
  /** [size] 0 or 1. */
  readonly terminated: Uint8Array;
  /** [size] 0 or 1. */
  readonly truncated: Uint8Array;
  /** [size] 0 or 1: `lifeLost` of the last step; not part of the state. */
  readonly lifeLost: Uint8Array;
  /** Starts an episode in one lane. */
  reset(lane: number, seed?: number): Promise<void> | void;
  /** `actions`: [size] choice indices, or [size, action size] for box spaces. */
  step(actions: Int32Array | Float32Array): Promise<void> | void;
  getState(): Plain;
  setState(state: Plain): void;
  /** Frees what the lanes hold outside this thread; they are used no more. */
  close(): Promise<void> | void;
}

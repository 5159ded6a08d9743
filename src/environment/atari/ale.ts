import { z } from "zod";
import { EnvironmentError, UsageError } from "../../errors.ts";
import { Pcg64 } from "../../random/pcg64.ts";
import { aleGame, type GameRequest, type GymnasiumReference, type Opened } from "../gymnasium-protocol.ts";
import type { Task, View } from "../gymnasium-task.ts";
import { discrete } from "../spaces.ts";
import type { LaneBuffers } from "../vector.ts";
import { FrameStack, SIDE, STACK } from "./frame-stack.ts";
import { atariSpec, beginningOf, FRAME_SKIP } from "./preprocessing.ts";

/** What is known of games beforehand. Pong has the actions of the paper's, and of our own. */
const KNOWN: Readonly<Record<string, { readonly actions?: readonly number[]; readonly rewardThreshold?: number }>> = {
  Pong: { actions: [0, 2, 3], rewardThreshold: 18 },
};

/** Options of a game, by the names that ale-py's AtariVectorEnv has for them. */
const optionsSchema = z.strictObject({
  /** Which of the game's actions, by their place in its minimal set: those of `KNOWN`, or all. */
  actions: z.array(z.number().int().min(0)).min(1).optional(),
  /** With what probability a frame repeats the action of the last one (Machado et al. 2018). */
  repeat_action_probability: z.number().min(0).max(1).default(0),
  /** Whether FIRE is pressed for a step at the beginning of an episode: where it is among the actions, if not given. */
  use_fire_reset: z.boolean().optional(),
});

/**
 * How a game is to be played; `undefined` when the environment is none of ALE's.
 * @throws UsageError when an option is none of a game's, or wrong
 */
export function gameRequest(environment: string, reference: GymnasiumReference): GameRequest | undefined {
  const name = aleGame(environment);
  if (name === undefined) return undefined;
  const { module, kwargs = {}, wrappers = [] } = reference;
  if (module !== undefined || wrappers.length > 0) {
    const option = module === undefined ? "--env-wrapper" : "--env-module";
    throw new UsageError(option, `is not for games: ${environment} is ALE's, and preprocessed here`);
  }
  const parsed = optionsSchema.safeParse(kwargs);
  if (!parsed.success) {
    const known = Object.keys(optionsSchema.shape).join(", ");
    throw new UsageError("--env-kwargs", `${z.prettifyError(parsed.error)}\nA game has ${known}.`);
  }
  const { actions = KNOWN[name]?.actions, repeat_action_probability: sticky, use_fire_reset: fire } = parsed.data;
  const limit = atariSpec.maxEpisodeSteps;
  return { name, actions: actions ?? null, fire: fire ?? null, skip: FRAME_SKIP, limit, sticky };
}

/** A game of gray frames, of two the lighter pixel, which are preprocessed as our own games are. */
export function gameTask(environment: string, opened: Opened): Task {
  const [height = 0, width = 0, ...others] = opened.observation.shape;
  const { action } = opened;
  if (others.length > 0 || action.kind !== "discrete" || width % 4 !== 0 || Math.min(height, width) < SIDE) {
    const shape = opened.observation.shape.join(", ");
    throw new EnvironmentError(environment, `its frames have the shape [${shape}], expected [height, width]`);
  }
  return {
    spec: {
      id: environment,
      ...atariSpec,
      actionSpace: discrete(action.n),
      rewardThreshold: KNOWN[aleGame(environment) ?? ""]?.rewardThreshold,
      training: { clipRewards: true, episodicLife: opened.lives > 0 },
    },
    bytes: true,
    width: height * width,
    playsOn: false,
    beginning: (seed) => beginningOf(new Pcg64(seed)),
    view: (into) => new FrameView(width, height, into),
  };
}

const GRAY = Uint8Array.from({ length: 256 }, (_, gray) => gray);

class FrameView implements View {
  readonly #width: number;
  readonly #height: number;
  readonly #into: LaneBuffers;
  /** By lane. */
  readonly #stacks = new Map<number, FrameStack>();

  constructor(width: number, height: number, into: LaneBuffers) {
    this.#width = width;
    this.#height = height;
    this.#into = into;
  }

  begin(lane: number, arrived: Float32Array | Uint8Array, offset: number): void {
    this.#take(lane, arrived, offset).fill();
  }

  go(lane: number, arrived: Float32Array | Uint8Array, offset: number): void {
    this.#take(lane, arrived, offset).push();
  }

  #take(lane: number, arrived: Float32Array | Uint8Array, offset: number): FrameStack {
    const stack = this.#stacks.get(lane) ?? this.#stackOf(lane);
    stack.frames[0].set(arrived.subarray(offset, offset + this.#width * this.#height));
    return stack;
  }

  #stackOf(lane: number): FrameStack {
    const size = STACK * SIDE * SIDE;
    const observation = this.#into.observations.subarray(lane * size, (lane + 1) * size);
    const stack = new FrameStack(this.#width, this.#height, GRAY, 1, observation);
    this.#stacks.set(lane, stack);
    return stack;
  }
}

import type { EnvironmentSpec } from "../environment/environment.ts";
import { sizeOf } from "../environment/spaces.ts";
import { EnvironmentError, UsageError } from "../errors.ts";
import {
  type Architecture,
  checkFits,
  dense,
  layoutOf,
  type Normalization,
  outputSize,
  parameterCount,
} from "../network/architecture.ts";
import { forward } from "../network/forward.ts";
import { type Initializer, initialize } from "../network/parameters.ts";
import { stream } from "../random/pcg64.ts";
import { reshape, split, type Tensor } from "../tensor/graph.ts";
import { type NetworkOptions, networkOf, type Teacher } from "./teacher.ts";

export interface ActorCriticOptions extends NetworkOptions {
  /** Of a separate critic; `null` for the actor's. */
  readonly criticHidden: readonly number[] | null;
  readonly initializer: Initializer;
  readonly critic: "separate" | "shared";
  readonly logStdInit: number;
}

/** Scale of the actor's output layer at the start: all actions are almost equally likely (Andrychowicz et al. 2021, section 3.2). */
const OUTPUT_SCALE = 0.01;

/** The bounds of a policy's `logStd`: beyond them a deviation is as good as 0, or as unbounded. */
const limitLogStd = (value: number): number => Math.min(Math.max(value, -20), 20);

/** What an actor-critic network says of a batch: `outputs` [rows, outputs], `values` [rows], `logStd` [outputs] of a Gaussian. */
export interface Opinions {
  readonly outputs: Tensor;
  readonly values: Tensor;
  readonly logStd: Tensor | undefined;
}

/**
 * An actor and a critic on one flat parameter vector: the actor, the logarithms of its standard deviations where actions are
 * continuous, the critic. A shared critic is one more output of the actor's last hidden layer; it leaves with its column.
 */
export class ActorCritic {
  /** What ships, without its statistics: `policy` fills them in. */
  readonly actor: Architecture;
  /** Length of the flat vector. */
  readonly size: number;
  readonly #options: ActorCriticOptions;
  /** The actor, with the shared critic's output. */
  readonly #trunk: Architecture;
  readonly #critic: Architecture | undefined;
  /** Parts of the flat vector. */
  readonly #parts: readonly [trunk: number, logStd: number, critic: number];

  /**
   * @throws EnvironmentError when actions are continuous and have no finite bounds
   * @throws UsageError when a shared critic is given layers of its own, or convolutions images whose channels come last
   */
  constructor(spec: EnvironmentSpec, options: ActorCriticOptions) {
    const { actionSpace, observationSpace } = spec;
    const continuous = actionSpace.kind === "box";
    const outputs = continuous ? sizeOf(actionSpace) : actionSpace.n;
    if (continuous && ![...actionSpace.low, ...actionSpace.high].every(Number.isFinite)) {
      throw new EnvironmentError(spec.id, "PPO needs finite bounds of continuous actions");
    }
    this.#options = options;
    const logStd = Array<number>(outputs).fill(options.logStdInit);
    this.actor = {
      ...networkOf(observationSpace, options, outputs, continuous ? "gaussian" : "logits"),
      ...(continuous && { gaussian: { logStd, low: [...actionSpace.low], high: [...actionSpace.high] } }),
    };
    checkFits(this.actor, spec);
    const shared = options.critic === "shared";
    if (shared && options.criticHidden !== null) {
      throw new UsageError("teacher.criticHidden", "is for a separate critic; a shared one has the actor's layers");
    }
    // As values go, the trunk's head means nothing; `logits` needs nothing else.
    this.#trunk = networkOf(observationSpace, options, outputs + (shared ? 1 : 0), "logits");
    const critic = { ...options, hidden: [...(options.criticHidden ?? options.hidden)] };
    this.#critic = shared ? undefined : networkOf(observationSpace, critic, 1, "q-values");
    this.#parts = [
      parameterCount(this.#trunk),
      continuous ? outputs : 0,
      this.#critic === undefined ? 0 : parameterCount(this.#critic),
    ];
    this.size = this.#parts.reduce((total, length) => total + length, 0);
  }

  /** What stays behind when the actor ships. */
  get critic(): Architecture {
    return this.#critic ?? dense(layoutOf(this.actor).at(-1)!.inputs, [], 1, "q-values");
  }

  /** Fresh parameters from the streams `initialization/teacher` and `initialization/critic`. */
  initialize(seed: number): Float32Array {
    const { initializer, logStdInit } = this.#options;
    const parameters = new Float32Array(this.size).fill(logStdInit);
    const trunk = initialize(this.#trunk, initializer, stream(seed, "initialization/teacher"));
    const { outputs, weights } = layoutOf(this.#trunk).at(-1)!;
    const actions = outputSize(this.actor);
    for (let i = 0; i < weights.length; i++) if (i % outputs < actions) trunk[weights.offset + i]! *= OUTPUT_SCALE;
    parameters.set(trunk);
    if (this.#critic !== undefined) {
      const random = stream(seed, "initialization/critic");
      parameters.set(initialize(this.#critic, initializer, random), this.size - this.#parts[2]);
    }
    return parameters;
  }

  /** Actor and critic as expressions of the flat `parameters` [size] and `observations` [rows, inputs]. */
  forward(parameters: Tensor, observations: Tensor): Opinions {
    const rows = observations.shape[0]!;
    const lengths = this.#parts.filter((length) => length > 0);
    const parts = split(parameters, lengths);
    const trunk = forward(this.#trunk, parts[0]!, observations);
    const logStd = this.#parts[1] > 0 ? parts[1] : undefined;
    if (this.#critic !== undefined) {
      const values = forward(this.#critic, parts.at(-1)!, observations);
      return { outputs: trunk, values: reshape(values, [rows]), logStd };
    }
    const [outputs, values] = split(trunk, [outputSize(this.actor), 1], 1) as readonly [Tensor, Tensor];
    return { outputs, values: reshape(values, [rows]), logStd };
  }

  /** The logarithms of the standard deviations in the flat vector; empty where actions are choices. */
  logStd(parameters: Float32Array): Float32Array {
    const [trunk, logStd] = this.#parts;
    return parameters.subarray(trunk, trunk + logStd);
  }

  /** The actor alone, as a policy that acts on observations as they come from the environment. */
  policy(
    parameters: Float32Array,
    normalization: Normalization | undefined,
  ): Pick<Teacher, "architecture" | "parameters"> {
    const { gaussian } = this.actor;
    const architecture: Architecture = {
      ...this.actor,
      ...(normalization && { normalization }),
      ...(gaussian && { gaussian: { ...gaussian, logStd: Array.from(this.logStd(parameters), limitLogStd) } }),
    };
    if (this.#critic !== undefined) return { architecture, parameters: parameters.slice(0, this.#parts[0]) };
    const result = new Float32Array(parameterCount(architecture));
    const from = layoutOf(this.#trunk).at(-1)!;
    const to = layoutOf(architecture).at(-1)!;
    result.set(parameters.subarray(0, from.weights.offset));
    for (let row = 0; row <= from.inputs; row++) {
      const source = from.weights.offset + row * from.outputs;
      result.set(parameters.subarray(source, source + to.outputs), to.weights.offset + row * to.outputs);
    }
    return { architecture, parameters: result };
  }
}

import type { VectorEnvironment } from "../environment/environment.ts";
import { ShapeError } from "../errors.ts";
import type { Acting } from "../network/action.ts";
import type { Architecture } from "../network/architecture.ts";
import type { BlackBox, Network } from "../network/policy.ts";
import { type Bits, quantize } from "../quantization/fixed-point.ts";
import { fixedProgram } from "../quantization/program.ts";
import { rangesOf } from "../quantization/ranges.ts";
import { Evaluator } from "./evaluate.ts";
import { CALIBRATION, recordObservations } from "./recording.ts";

/**
 * What a look at a policy is for: gates see whether something is worth going on with, selection decides what passed, a proof is on
 * what no decision has seen, as is the teacher's own. What is quantised in the end is so in selection and proofs.
 */
export type Purpose = "gate" | "selection" | "proof" | "teacher";

/** Looks at networks of one architecture, or at a black box, which has no parameters (`null`). */
export interface Examiner {
  /**
   * One number for each of `count` units of the named set, from number `first` on: in an environment the undiscounted returns
   * of episodes, on logged observations the shares of agreement. Scores and their bounds are made of them.
   */
  measure(
    parameters: Float32Array | null,
    set: string,
    count: number,
    acting?: Acting,
    first?: number,
  ): Promise<Float64Array>;
  dispose(): Promise<void>;
}

/** How far a policy is from its teacher, over the observations of a proof. */
export type Divergence = {
  /** Mean distillation loss (exact KL), in nats; not where the two have different deviations. */
  readonly kl?: number;
  /** Of continuous actions: mean squared difference, in ranges of the action. */
  readonly squaredError?: number;
};

/** What policies are tried on, and how: by playing an environment, or against the teacher on logged observations. */
export interface Examination {
  /** How many units a look has when `wished` are asked for: there are always more episodes, but no more observations. */
  units(purpose: Purpose, wished: number): number;
  /** How policies act when they are measured, if nothing else is said, and when students play states of their own. */
  readonly acting: Acting;
  /** `most`: the most units of a measurement, which an environment's lanes are made for. */
  examiner(player: Architecture | BlackBox, purpose: Purpose, most: number): Promise<Examiner>;
  /** Environments for a student to play in; `null` where there is none: then no actions are drawn and no states are its own. */
  readonly makeLanes: ((size: number) => VectorEnvironment) | null;
  /** Beside the score of a proof; `null` where returns say all. */
  readonly divergence: ((network: Network) => Promise<Divergence>) | null;
}

/** Policies are tried by the returns of the episodes that they play. */
export class EpisodeExamination implements Examination {
  readonly makeLanes: (size: number) => VectorEnvironment;
  readonly divergence = null;
  readonly acting: Acting;
  readonly #seed: number;
  readonly #bits: Bits | null;

  /** @param bits of weights in whole numbers, which candidates are tried and proven in; `null` for float32 */
  constructor(
    makeLanes: (size: number) => VectorEnvironment,
    seed: number,
    acting: Acting = "greedy",
    bits: Bits | null = null,
  ) {
    this.makeLanes = makeLanes;
    this.#seed = seed;
    this.acting = acting;
    this.#bits = bits;
  }

  units(_purpose: Purpose, wished: number): number {
    return wished;
  }

  async examiner(player: Architecture | BlackBox, purpose: Purpose, most: number): Promise<Examiner> {
    if (this.#bits && !("model" in player) && (purpose === "selection" || purpose === "proof"))
      return this.#quantized(player, this.#bits, most);
    const evaluator = await Evaluator.create(player, this.makeLanes(most));
    return {
      measure: (parameters, set, count, acting = this.acting, first) =>
        evaluator.returns(parameters, this.#seed, set, count, acting, first),
      dispose: () => evaluator.dispose(),
    };
  }

  /** Looks at networks as the whole numbers that an export makes of them: calibrated on the same observations. */
  #quantized(architecture: Architecture, bits: Bits, most: number): Examiner {
    const lanes = this.makeLanes(most);
    const source = { vector: this.makeLanes };
    const calibration = { ...CALIBRATION, seed: this.#seed, acting: this.acting };
    return {
      measure: async (parameters, set, count, acting = this.acting, first) => {
        if (parameters === null) throw new ShapeError("examination", "a network is measured with its parameters");
        const network = { architecture, parameters };
        const rows = await recordObservations(network, source, calibration);
        const fixed = quantize(network, await rangesOf(network, rows), bits);
        const program = await fixedProgram(fixed, lanes.size);
        try {
          const evaluator = new Evaluator(architecture, lanes, program);
          return await evaluator.returns(null, this.#seed, set, count, acting, first);
        } finally {
          await program.dispose();
        }
      },
      dispose: async () => {
        await lanes.close();
      },
    };
  }
}

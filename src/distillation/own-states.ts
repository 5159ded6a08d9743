import type { VectorEnvironment } from "../environment/environment.ts";
import { compileFixed, compileForward } from "../evaluation/evaluate.ts";
import type { Acting } from "../network/action.ts";
import { type Architecture, inputSize, outputSize } from "../network/architecture.ts";
import type { Forward } from "../network/black-box.ts";
import type { BlackBox, Network } from "../network/policy.ts";
import type { Pcg64 } from "../random/pcg64.ts";
import { collect, LabelledStates } from "./dataset.ts";

/** A student's own states, as it plays and the teacher labels them (Ross et al. 2011, DAgger). */
export class OwnStates {
  readonly states: LabelledStates;
  readonly #architecture: Architecture;
  readonly #lanes: VectorEnvironment;
  readonly #player: Forward;
  readonly #teacher: Forward;
  readonly #steps: number;
  readonly #acting: Acting;

  private constructor(
    architecture: Architecture,
    lanes: VectorEnvironment,
    player: Forward,
    teacher: Forward,
    steps: number,
    rounds: number,
    acting: Acting,
  ) {
    this.#architecture = architecture;
    this.#lanes = lanes;
    this.#player = player;
    this.#teacher = teacher;
    this.#steps = steps;
    this.#acting = acting;
    const [width, outputs] = [inputSize(architecture), outputSize(architecture)];
    this.states = LabelledStates.for("roundStates", lanes.spec, rounds * steps * lanes.size, width, outputs);
  }

  /** Room for `rounds` rounds of `roundStates` states, rounded up to whole lock-steps of the lanes. */
  static async create(
    architecture: Architecture,
    teacher: Network | BlackBox,
    lanes: VectorEnvironment,
    acting: Acting,
    options: { readonly rounds: number; readonly roundStates: number },
  ): Promise<OwnStates> {
    const player = await compileForward(architecture, lanes.size);
    const labeller = await compileFixed(teacher, lanes.size);
    const steps = Math.ceil(options.roundStates / lanes.size);
    return new OwnStates(architecture, lanes, player, labeller, steps, options.rounds, acting);
  }

  /** Plays a round of new episodes, whose seeds are drawn from `random`. */
  async gather(parameters: Float32Array, random: Pcg64): Promise<void> {
    this.#player.bind("parameters", parameters);
    const [architecture, lanes, player, teacher] = [this.#architecture, this.#lanes, this.#player, this.#teacher];
    const [steps, acting] = [this.#steps, this.#acting];
    await collect({ player, architecture, teacher, lanes, acting, steps, exploration: 0, random }, this.states);
  }

  async dispose(): Promise<void> {
    await this.#player.dispose();
    await this.#teacher.dispose();
    await this.#lanes.close();
  }
}

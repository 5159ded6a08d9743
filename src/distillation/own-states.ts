import type { VectorEnvironment } from "../environment/environment.ts";
import { compileForward } from "../evaluation/evaluate.ts";
import { type Architecture, inputSize, outputSize } from "../network/architecture.ts";
import type { Pcg64 } from "../random/pcg64.ts";
import type { Program } from "../tensor/program.ts";
import { collect, LabelledStates } from "./dataset.ts";

/** A student's own states, as it plays and the teacher labels them (Ross et al. 2011, DAgger). */
export class OwnStates {
  readonly states: LabelledStates;
  readonly #architecture: Architecture;
  readonly #lanes: VectorEnvironment;
  readonly #player: Program;
  readonly #teacher: Program;
  readonly #steps: number;

  private constructor(
    architecture: Architecture,
    lanes: VectorEnvironment,
    player: Program,
    teacher: Program,
    steps: number,
    rounds: number,
  ) {
    this.#architecture = architecture;
    this.#lanes = lanes;
    this.#player = player;
    this.#teacher = teacher;
    this.#steps = steps;
    const [width, outputs] = [inputSize(architecture), outputSize(architecture)];
    this.states = LabelledStates.for(lanes.spec, rounds * steps * lanes.size, width, outputs);
  }

  /** Room for `rounds` rounds of `roundStates` states, rounded up to whole lock-steps of the lanes. */
  static async create(
    architecture: Architecture,
    teacher: { readonly architecture: Architecture; readonly parameters: Float32Array },
    lanes: VectorEnvironment,
    options: { readonly rounds: number; readonly roundStates: number },
  ): Promise<OwnStates> {
    const player = await compileForward(architecture, lanes.size);
    const labeller = await compileForward(teacher.architecture, lanes.size);
    labeller.bind("parameters", teacher.parameters);
    const steps = Math.ceil(options.roundStates / lanes.size);
    return new OwnStates(architecture, lanes, player, labeller, steps, options.rounds);
  }

  /** Plays a round of new episodes, whose seeds are drawn from `random`. */
  async gather(parameters: Float32Array, random: Pcg64): Promise<void> {
    this.#player.bind("parameters", parameters);
    const [architecture, lanes, player, teacher] = [this.#architecture, this.#lanes, this.#player, this.#teacher];
    await collect({ player, architecture, teacher, lanes, steps: this.#steps, exploration: 0, random }, this.states);
  }

  async dispose(): Promise<void> {
    await this.#player.dispose();
    await this.#teacher.dispose();
    await this.#lanes.close();
  }
}

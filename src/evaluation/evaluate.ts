import type { VectorEnvironment } from "../environment/environment.ts";
import { EnvironmentError } from "../errors.ts";
import { type Acting, actionsOf, greedyActions, sampleAction } from "../network/action.ts";
import {
  type AnyArchitecture,
  type Architecture,
  checkFits,
  inputSize,
  parameterCount,
} from "../network/architecture.ts";
import { BlackBoxProgram, type Forward } from "../network/black-box.ts";
import { forward } from "../network/forward.ts";
import type { BlackBox, Network, Score } from "../network/policy.ts";
import { stream } from "../random/pcg64.ts";
import { input } from "../tensor/graph.ts";
import { Program } from "../tensor/program.ts";
import { episodeSeed } from "./episode-seed.ts";
import { scoreOf, summarize } from "./statistics.ts";

/** Steps after which an episode without a time limit is taken to be endless; Atari's longest have 27,000. */
const ENDLESS = 50_000;

/** Network `outputs` and greedy `actions` for a batch of observations: one compiled program for one architecture and batch size. */
export async function compileForward(architecture: Architecture, batch: number): Promise<Program> {
  const parameters = input([parameterCount(architecture)]);
  const observations = input([batch, inputSize(architecture)]);
  const outputs = forward(architecture, parameters, observations);
  const actions = greedyActions(architecture, outputs);
  return Program.compile({ inputs: { parameters, observations }, outputs: { outputs, actions } });
}

/** A network whose numbers stay as they are, or a black box, for batches of one size: its `parameters` are set. */
export async function compileFixed(player: Network | BlackBox, batch: number): Promise<Forward> {
  if ("model" in player) return BlackBoxProgram.compile(player, batch);
  const program = await compileForward(player.architecture, batch);
  program.bind("parameters", player.parameters);
  return program;
}

/** A network as an evaluator takes it: its architecture and parameters, or a black box, which has none. */
export function playerOf(
  policy: Network | BlackBox,
): [player: Architecture | BlackBox, parameters: Float32Array | null] {
  return "model" in policy ? [policy, null] : [policy.architecture, policy.parameters];
}

/**
 * Plays whole episodes of one environment in lock-step: one batched forward pass a step for all lanes. The lanes of a set
 * of episodes are always filled in the same way, so that a score never depends on how the work is shared out.
 */
export class Evaluator {
  readonly #architecture: AnyArchitecture;
  readonly #lanes: VectorEnvironment;
  readonly #program: Forward;

  /** @param program decides for all lanes at once; it is freed with the evaluator */
  constructor(architecture: AnyArchitecture, lanes: VectorEnvironment, program: Forward) {
    checkFits(architecture, lanes.spec);
    this.#architecture = architecture;
    this.#lanes = lanes;
    this.#program = program;
  }

  /** @param player an architecture, whose parameters come with each call, or a black box, which has none */
  static async create(player: Architecture | BlackBox, lanes: VectorEnvironment): Promise<Evaluator> {
    const architecture = "model" in player ? player.architecture : player;
    // Before anything is compiled.
    checkFits(architecture, lanes.spec);
    const program = "model" in player ? compileFixed(player, lanes.size) : compileForward(player, lanes.size);
    return new Evaluator(architecture, lanes, await program);
  }

  /**
   * Undiscounted returns of episodes `first` to `first + episodes` - 1 of the set.
   * @param parameters `null` for a black box
   */
  async returns(
    parameters: Float32Array | null,
    seed: number,
    set: string,
    episodes: number,
    acting: Acting = "greedy",
    first = 0,
  ): Promise<Float64Array> {
    const returns = new Float64Array(episodes);
    const { size } = this.#lanes;
    for (let at = 0; at < episodes; at += size) {
      await this.#play(parameters, seed, set, first + at, returns.subarray(at, at + size), acting);
    }
    return returns;
  }

  async #play(
    parameters: Float32Array | null,
    seed: number,
    set: string,
    first: number,
    returns: Float64Array,
    acting: Acting,
  ): Promise<void> {
    const architecture = this.#architecture;
    const lanes = this.#lanes;
    const program = this.#program;
    if (parameters) program.bind("parameters", parameters);
    program.bind("observations", lanes.observations);
    // Lanes past the last episode play one more episode each that nobody counts, so that every batch is full.
    for (let lane = 0; lane < lanes.size; lane++) await lanes.reset(lane, episodeSeed(seed, set, first + lane));
    const counted = returns.length;
    const actions = actionsOf(architecture, program);
    const outputs = program.floats("outputs");
    const random =
      acting === "sampled"
        ? Array.from({ length: counted }, (_, lane) => stream(seed, `actions/${set}`, first + lane))
        : [];
    const limit = lanes.spec.maxEpisodeSteps ?? ENDLESS;
    for (let step = 0; ; step++) {
      if (step === limit) {
        const advice = `limit them by its spec's maxEpisodeSteps, one of Gymnasium's by --env-wrapper 'TimeLimit={"max_episode_steps":1000}'`;
        throw new EnvironmentError(lanes.spec.id, `an episode did not end in ${limit} steps: ${advice}`);
      }
      await program.run();
      for (const [lane, draws] of random.entries()) sampleAction(architecture, outputs, lane, draws, actions);
      await lanes.step(actions);
      let running = 0;
      for (let lane = 0; lane < counted; lane++) {
        returns[lane]! += lanes.rewards[lane]!;
        if (!lanes.terminated[lane] && !lanes.truncated[lane]) running++;
      }
      if (running === 0) return;
    }
  }

  /** Mean, standard deviation and minimum, for gates and curves. */
  async quick(parameters: Float32Array, seed: number, set: string, episodes: number, acting: Acting = "greedy") {
    return summarize(await this.returns(parameters, seed, set, episodes, acting));
  }

  /** The score with its confidence bounds, for proofs. */
  async score(
    parameters: Float32Array | null,
    seed: number,
    set: string,
    episodes: number,
    acting: Acting = "greedy",
  ): Promise<Score> {
    return scoreOf(await this.returns(parameters, seed, set, episodes, acting), stream(seed, `bootstrap/${set}`));
  }

  /** Frees the compiled network and closes the lanes. */
  async dispose(): Promise<void> {
    await this.#program.dispose();
    await this.#lanes.close();
  }
}

import type { OpenEnvironment } from "../environment/open.ts";
import { compileFixed, Evaluator, playerOf } from "../evaluation/evaluate.ts";
import { actionsOf } from "../network/action.ts";
import { type Architecture, inputSize, outputSize } from "../network/architecture.ts";
import type { Forward } from "../network/black-box.ts";
import type { Policy, Score } from "../network/policy.ts";
import type { Built } from "./exports.ts";

/** Observations that are asked about at once. */
const BATCH = 100;
/** Of actions of quantised exports, at least. */
const QUANTIZED_AGREEMENT = 0.99;
/** Of outputs of the others, relative to the largest where that is beyond 1. */
const FLOAT_DIFFERENCE = 1e-5;

/** How far an export is from its policy. */
export interface Verified {
  readonly name: Built["name"];
  readonly quantized: boolean;
  /** Largest difference of an output, relative to the largest output where that is beyond 1. */
  readonly difference: number;
  /** Share of observations on which the greedy actions are equal; continuous ones within 1e-4 of their range, quantised 1 %. */
  readonly agreement: number;
  /** Over the same held-out episodes as the policy's own. */
  readonly score?: Score;
  readonly passed: boolean;
}

/** What an export is held against: the policy itself. */
export interface Reference {
  readonly policy: Policy;
  /** [rows, observation size] */
  readonly observations: Float32Array | Uint8Array;
  readonly environment?: OpenEnvironment | undefined;
  readonly seed: number;
  readonly episodes: number;
  /** The policy's own score over those episodes. */
  readonly score?: Score | undefined;
}

/** The score of greedy play over the episodes of verification, by the policy itself or by what was built of it. */
export async function scoreOf(
  { policy, environment, seed, episodes }: Omit<Reference, "score" | "observations">,
  built?: Built,
): Promise<Score | undefined> {
  if (environment === undefined) return undefined;
  const lanes = environment.vector(Math.min(BATCH, episodes));
  const [player, parameters] = playerOf(policy);
  const evaluator = built
    ? new Evaluator(policy.architecture, lanes, new Asked(policy.architecture, built, lanes.size))
    : await Evaluator.create(player, lanes);
  try {
    return await evaluator.score(built ? null : parameters, seed, "verification", episodes);
  } finally {
    await evaluator.dispose();
  }
}

/** Holds an export against its policy, on observations and, where there is an environment, in its episodes. */
export async function verify(built: Built, reference: Reference): Promise<Verified> {
  const { policy, observations } = reference;
  const { architecture } = policy;
  const { gaussian } = architecture;
  const width = inputSize(architecture);
  const rows = observations.length / width;
  const program = await compileFixed(policy, BATCH);
  const own = actionsOf(architecture, program);
  const size = outputSize(architecture);
  const acts = gaussian ? size : 1;
  const batch = new Float32Array(BATCH * width);
  let [difference, largest, agreed] = [0, 1, 0];
  for (let from = 0; from < rows; from += BATCH) {
    const count = Math.min(BATCH, rows - from);
    batch.set(observations.subarray(from * width, (from + count) * width));
    program.bind("observations", batch);
    await program.run();
    const outputs = program.floats("outputs");
    const answers = await built.answer(batch.subarray(0, count * width), count);
    for (let at = 0; at < count * size; at++) {
      difference = Math.max(difference, Math.abs((outputs[at] ?? 0) - (answers.outputs[at] ?? Number.NaN)));
      largest = Math.max(largest, Math.abs(outputs[at] ?? 0));
    }
    for (let row = 0; row < count; row++) {
      let equal = true;
      for (let d = 0; d < acts; d++) {
        const range = gaussian ? (gaussian.high[d] ?? 0) - (gaussian.low[d] ?? 0) : 0;
        const tolerance = range * (built.quantized ? 0.01 : 1e-4);
        const apart = Math.abs((own[row * acts + d] ?? 0) - (answers.actions[row * acts + d] ?? Number.NaN));
        if (!(apart <= tolerance)) equal = false;
      }
      if (equal) agreed++;
    }
  }
  await program.dispose();
  const score = await scoreOf(reference, built);
  const agreement = agreed / rows;
  const relative = difference / largest;
  const near = built.quantized ? agreement >= QUANTIZED_AGREEMENT : agreement === 1 && relative <= FLOAT_DIFFERENCE;
  const [low, high] = reference.score?.interval95 ?? [0, 0];
  const plays = score === undefined || (score.mean >= low && score.mean <= high);
  const { name, quantized } = built;
  return { name, quantized, difference: relative, agreement, ...(score && { score }), passed: near && plays };
}

/** A built export in the place of a network in lock-step. */
class Asked implements Forward {
  readonly #built: Built;
  readonly #rows: number;
  readonly #outputs: Float32Array;
  readonly #actions: Int32Array | Float32Array;
  #observations = new Float32Array();

  constructor(architecture: Architecture, built: Built, rows: number) {
    const size = outputSize(architecture);
    this.#built = built;
    this.#rows = rows;
    this.#outputs = new Float32Array(rows * size);
    this.#actions = architecture.gaussian ? new Float32Array(rows * size) : new Int32Array(rows);
  }

  bind(_: string, values: Float32Array): void {
    this.#observations = values as Float32Array<ArrayBuffer>;
  }

  floats(name: string): Float32Array {
    return name === "actions" && this.#actions instanceof Float32Array ? this.#actions : this.#outputs;
  }

  ints(): Int32Array {
    return this.#actions instanceof Int32Array ? this.#actions : new Int32Array();
  }

  async run(): Promise<void> {
    const { outputs, actions } = await this.#built.answer(this.#observations, this.#rows);
    this.#outputs.set(outputs);
    this.#actions.set(actions);
  }

  /** Whoever built it closes it. */
  dispose(): Promise<void> {
    return Promise.resolve();
  }
}

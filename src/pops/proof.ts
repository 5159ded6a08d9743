import { ObjectiveError } from "../errors.ts";
import { playerOf } from "../evaluation/evaluate.ts";
import type { Divergence, Examination } from "../evaluation/examination.ts";
import { scoreOf } from "../evaluation/statistics.ts";
import type { Emitted } from "../events.ts";
import type { Acting } from "../network/action.ts";
import { countsOf, describe } from "../network/architecture.ts";
import type { BlackBox, Network, Score } from "../network/policy.ts";
import type { Plain } from "../plain.ts";
import { stream } from "../random/pcg64.ts";
import type { Pool } from "./pool.ts";

/** What proofs need to know of a compression (`PopsContext`). */
interface ProofContext {
  readonly examination: Examination;
  readonly teacher: Network | BlackBox;
  readonly options: {
    readonly objective: number;
    readonly retention: number | null;
    readonly teacherEpisodes: number;
    readonly proofEpisodes: number;
    readonly maxBytes: number | null;
  };
  readonly seed: number;
}

/** Scores on held-out episodes: of actions as `acting` has them, by which everything is judged, and beside greedy ones of drawn ones. */
export interface Proof {
  readonly [key: string]: Plain;
  /** Mean return, or on logged observations mean agreement with the teacher. */
  readonly score: Score;
  /** On the same episodes; `null` where `score` is of drawn actions, for Q-values, which are no distribution, and where nothing is played. */
  readonly sampled: Score | null;
  /** On logged observations, of candidates: how far they are from the teacher. */
  readonly divergence?: Divergence;
}

/** What a policy has to hold: the objective, or the share of the teacher's mean that `retention` states. */
export function objectiveOf({ objective, retention }: ProofContext["options"], teacher: Proof): number {
  const { mean } = teacher.score;
  return retention === null ? objective : mean - (1 - retention) * Math.abs(mean);
}

/** Lanes that play a proof; the last batch of episodes may leave some of them out. */
const LANES = 100;

/** Returns of the first episodes of a set. */
type Play = (set: string, acting: Acting) => Promise<Float64Array>;

/** Judges fresh episodes that belong to this network alone. Drawn actions are only tried where the greedy ones do. */
async function judge(
  { seed, examination }: ProofContext,
  { architecture }: Network | BlackBox,
  name: string,
  play: Play,
  passes: (score: Score) => boolean,
): Promise<Proof & { passed: boolean }> {
  const set = `proof/${name}`;
  const scored = async (acting: Acting): Promise<Score> =>
    scoreOf(await play(set, acting), stream(seed, `bootstrap/${set}`));
  const { acting, makeLanes } = examination;
  const score = await scored(acting);
  const passed = passes(score);
  const draws = passed && acting === "greedy" && makeLanes !== null && architecture.head !== "q-values";
  return { score, sampled: draws ? await scored("sampled") : null, passed };
}

/**
 * The teacher's own score on held-out episodes: what cannot do the task is not worth compressing.
 * @throws ObjectiveError when its mean misses the objective
 */
export async function* proveTeacher(context: ProofContext, step: number): AsyncGenerator<Emitted, Proof> {
  const { teacher, options, examination } = context;
  const { architecture } = teacher;
  const { objective } = options;
  const episodes = examination.units("teacher", options.teacherEpisodes);
  yield { type: "stage-started", step, stage: "proof", iteration: 0, architecture };
  const reaches = ({ mean }: Score): boolean => mean >= objective;
  const [player, parameters] = playerOf(teacher);
  const examiner = await examination.examiner(player, "teacher", Math.min(LANES, episodes));
  const play: Play = (set, acting) => examiner.measure(parameters, set, episodes, acting);
  const { score, sampled, passed } = await judge(context, teacher, "teacher", play, reaches);
  await examiner.dispose();
  const { weights } = countsOf(architecture);
  const scores = { score, ...(sampled && { sampled }) };
  yield { type: "proof", step, role: "teacher", architecture, weights, ...scores, objective, passed };
  if (!passed) {
    throw new ObjectiveError(
      `the teacher's mean over ${score.episodes} held-out episodes is ${score.mean.toFixed(2)}, the objective is ${objective}: ` +
        "train it longer, or state a lower objective with --set pops.objective=...",
    );
  }
  return { score, sampled };
}

/**
 * A candidate's fresh episodes, whose batches the pool's threads play side by side: it holds the objective when the lower
 * bound of its mean reaches it. `index` counts proofs. Logged observations are the same for every proof.
 */
export async function* proveCandidate(
  context: ProofContext,
  pool: Pool,
  candidate: Network,
  objective: number,
  index: number,
  step: number,
): AsyncGenerator<Emitted, Proof & { passed: boolean }> {
  const { examination, options } = context;
  const { architecture } = candidate;
  const { weights } = countsOf(architecture);
  const holds = ({ lower95 }: Score): boolean => lower95 >= objective;
  const name = `${describe(architecture)}/${index}`;
  const episodes = examination.units("proof", options.proofEpisodes);
  const lanes = Math.min(LANES, episodes);
  const play: Play = async (set, acting) => {
    const firsts = Array.from({ length: Math.ceil(episodes / lanes) }, (_, batch) => batch * lanes);
    const batches = firsts.map((first) =>
      pool.play({ ...candidate, set, first, episodes: Math.min(lanes, episodes - first), lanes, acting }),
    );
    // Of several batches that fail it is the first that counts, as with a single worker.
    await Promise.allSettled(batches);
    return Float64Array.from((await Promise.all(batches)).flatMap((returns) => Array.from(returns)));
  };
  const { score, sampled, passed } = await judge(context, candidate, name, play, holds);
  const divergence = await examination.divergence?.(candidate);
  const beside = divergence && { divergence };
  const scores = { score, ...(sampled && { sampled }), ...beside };
  yield { type: "proof", step, role: "candidate", architecture, weights, ...scores, objective, passed };
  return { score, sampled, ...beside, passed };
}

/** A network with its proof. */
interface Proven {
  readonly network: Network;
  readonly proof: Proof;
}

/**
 * Of the policies that take no more than `maxBytes`, the one of the best proven mean: larger ones than the smallest may play better.
 * @param larger that passed, by descending weights
 * @throws ObjectiveError when not even the smallest that holds the objective fits
 */
export async function* bestThatFits(
  context: ProofContext & { readonly bytesOf?: ((network: Network) => Promise<number>) | undefined },
  pool: Pool,
  smallest: Proven,
  larger: readonly Network[],
  objective: number,
  index: number,
  step: number,
): AsyncGenerator<Emitted, Proven> {
  const { bytesOf, options } = context;
  const { maxBytes } = options;
  if (maxBytes === null || !bytesOf) return smallest;
  const least = await bytesOf(smallest.network);
  if (least > maxBytes) {
    throw new ObjectiveError(
      `the smallest policy that holds the objective, ${describe(smallest.network.architecture)}, takes ${least} bytes, more than ` +
        `the ${maxBytes} that it may have: allow more, or state a lower objective with --set pops.objective=...`,
    );
  }
  let best = smallest;
  for (const [k, network] of larger.toReversed().entries()) {
    if ((await bytesOf(network)) > maxBytes) continue;
    const { passed, ...proof } = yield* proveCandidate(context, pool, network, objective, index + k + 1, step);
    if (passed && proof.score.mean > best.proof.score.mean) best = { network, proof };
  }
  return best;
}

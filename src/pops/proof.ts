import type { VectorEnvironment } from "../environment/environment.ts";
import { makeVector } from "../environment/vector.ts";
import { ObjectiveError } from "../errors.ts";
import { Evaluator } from "../evaluation/evaluate.ts";
import type { Emitted } from "../events.ts";
import { countsOf, describe } from "../network/architecture.ts";
import type { Policy, Score } from "../network/policy.ts";
import type { Plain } from "../plain.ts";

type Network = Pick<Policy, "architecture" | "parameters">;

/** What proofs need to know of a compression (`PopsContext`). */
interface ProofContext {
  readonly environment: string;
  readonly teacher: Network;
  readonly options: {
    readonly objective: number;
    readonly retention: number | null;
    readonly teacherEpisodes: number;
    readonly proofEpisodes: number;
  };
  readonly seed: number;
  readonly makeLanes?: (size: number) => VectorEnvironment;
}

/** Scores on held-out episodes: of the greedy actions, by which everything is judged, and of drawn ones. */
export interface Proof {
  readonly [key: string]: Plain;
  readonly score: Score;
  /** On the same episodes; `null` for Q-values, which are no distribution. */
  readonly sampled: Score | null;
}

/** What a policy has to hold: the objective, or the share of the teacher's mean that `retention` states. */
export function objectiveOf({ objective, retention }: ProofContext["options"], teacher: Proof): number {
  const { mean } = teacher.score;
  return retention === null ? objective : mean - (1 - retention) * Math.abs(mean);
}

/** Makes the lanes that the main thread plays. */
export function lanesOf({ environment, makeLanes }: ProofContext): (size: number) => VectorEnvironment {
  return makeLanes ?? ((size) => makeVector(environment, size));
}

/** Plays fresh episodes that belong to this network alone. Drawn actions are only tried where the greedy ones do. */
async function prove(
  context: ProofContext,
  network: Network,
  name: string,
  episodes: number,
  passes: (score: Score) => boolean,
): Promise<Proof & { passed: boolean }> {
  const { seed } = context;
  const { architecture, parameters } = network;
  const evaluator = await Evaluator.create(architecture, lanesOf(context)(Math.min(100, episodes)));
  const set = `proof/${name}`;
  const score = await evaluator.score(parameters, seed, set, episodes);
  const passed = passes(score);
  const draws = passed && architecture.head !== "q-values";
  const sampled = draws ? await evaluator.score(parameters, seed, set, episodes, "sampled") : null;
  await evaluator.dispose();
  return { score, sampled, passed };
}

/**
 * The teacher's own score on held-out episodes: what cannot do the task is not worth compressing.
 * @throws ObjectiveError when its mean misses the objective
 */
export async function* proveTeacher(context: ProofContext, step: number): AsyncGenerator<Emitted, Proof> {
  const { teacher, options } = context;
  const { architecture } = teacher;
  const { objective } = options;
  yield { type: "stage-started", step, stage: "proof", iteration: 0, architecture };
  const reaches = ({ mean }: Score): boolean => mean >= objective;
  const { score, sampled, passed } = await prove(context, teacher, "teacher", options.teacherEpisodes, reaches);
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

/** A candidate's fresh episodes: it holds the objective when the lower bound of its mean reaches it. `index` counts proofs. */
export async function* proveCandidate(
  context: ProofContext,
  candidate: Network,
  objective: number,
  index: number,
  step: number,
): AsyncGenerator<Emitted, Proof & { passed: boolean }> {
  const { architecture } = candidate;
  const { weights } = countsOf(architecture);
  const holds = ({ lower95 }: Score): boolean => lower95 >= objective;
  const name = `${describe(architecture)}/${index}`;
  const proof = await prove(context, candidate, name, context.options.proofEpisodes, holds);
  const { score, sampled, passed } = proof;
  const scores = { score, ...(sampled && { sampled }) };
  yield { type: "proof", step, role: "candidate", architecture, weights, ...scores, objective, passed };
  return proof;
}

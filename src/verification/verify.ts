import type { OpenEnvironment } from "../environment/open.ts";
import { Evaluator, playerOf } from "../evaluation/evaluate.ts";
import type { Architecture } from "../network/architecture.ts";
import { Decider } from "../network/black-box.ts";
import type { Policy, Score } from "../network/policy.ts";
import { type Comparison, compare } from "./compare.ts";
import type { Built } from "./exports.ts";
import { QUANTIZED } from "./onnx-session.ts";

/** Lanes that episodes are played in. */
const LANES = 100;
/** Of exports in float32: largest difference of outputs, and how far continuous actions may be apart, in their range. */
const FLOAT = { difference: 1e-5, tolerance: 1e-4 } as const;

/** How far an export is from its policy. */
export interface Verified extends Comparison {
  readonly name: Built["name"];
  readonly quantized: boolean;
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
  const lanes = environment.vector(Math.min(LANES, episodes));
  const [player, parameters] = playerOf(policy);
  const evaluator = built
    ? new Evaluator(policy.architecture, lanes, inPlaceOf(policy.architecture, built, lanes.size))
    : await Evaluator.create(player, lanes);
  try {
    return await evaluator.score(built ? null : parameters, seed, "verification", episodes);
  } finally {
    await evaluator.dispose();
  }
}

/** Holds an export against its policy, on observations and, where there is an environment, in its episodes. */
export async function verify(built: Built, reference: Reference): Promise<Verified> {
  const { name, quantized } = built;
  const tolerance = quantized ? QUANTIZED.tolerance : FLOAT.tolerance;
  const found = await compare(reference.policy, reference.observations, built.answer, tolerance);
  const score = await scoreOf(reference, built);
  const near = quantized
    ? found.agreement >= QUANTIZED.agreement
    : found.agreement === 1 && found.difference <= FLOAT.difference;
  const [low, high] = reference.score?.interval95 ?? [0, 0];
  const plays = score === undefined || (score.mean >= low && score.mean <= high);
  return { name, quantized, ...found, ...(score && { score }), passed: near && plays };
}

/** A built export in the place of a network in lock-step. */
function inPlaceOf(architecture: Architecture, built: Built, rows: number): Decider {
  return new Decider(architecture, rows, async (observations, outputs, actions) => {
    const answers = await built.answer(observations, rows);
    outputs.set(answers.outputs);
    actions.set(answers.actions);
  });
}

import { openEnvironment } from "../../environment/open.ts";
import { UsageError } from "../../errors.ts";
import { Evaluator } from "../../evaluation/evaluate.ts";
import { loadTeacher } from "../../importing/load.ts";
import { checkFits, countsOf, describe } from "../../network/architecture.ts";
import type { Score } from "../../network/policy.ts";
import { type EnvironmentFlags, gymnasiumOf } from "../environment.ts";
import { importOptions } from "../foreign.ts";

export interface EvaluateFlags extends EnvironmentFlags {
  readonly env?: string;
  readonly vecNormalize?: string;
  readonly head?: string;
  readonly episodes: number;
  readonly seed: number;
  readonly workers: number;
  readonly sampled?: boolean;
  readonly json?: boolean;
}

export async function evaluatePolicy(file: string, flags: EvaluateFlags, modules: readonly string[]): Promise<void> {
  const policy = await loadTeacher(file, await importOptions(flags));
  const environment = flags.env ?? policy.environment;
  if (environment === undefined) throw new UsageError("--env", `${file} names no environment: state one`);
  const { architecture } = policy;
  if (flags.sampled && architecture.head === "q-values") {
    throw new UsageError("--sampled", `${file} holds Q-values, which are no distribution to draw actions from`);
  }
  const acting = flags.sampled ? "sampled" : "greedy";
  const gymnasium = gymnasiumOf(environment, flags);
  const opened = await openEnvironment(environment, { workers: flags.workers, modules, gymnasium });
  let score: Score;
  try {
    checkFits(architecture, opened.spec);
    const [player, parameters] =
      "model" in policy ? ([policy, null] as const) : ([policy.architecture, policy.parameters] as const);
    const evaluator = await Evaluator.create(player, opened.vector(Math.min(100, flags.episodes)));
    score = await evaluator.score(parameters, flags.seed, "evaluate", flags.episodes, acting);
    await evaluator.dispose();
  } finally {
    await opened.close();
  }
  if (flags.json) {
    process.stdout.write(
      `${JSON.stringify({ environment, architecture, ...countsOf(architecture), acting, score })}\n`,
    );
    return;
  }
  const [low, high] = score.interval95;
  process.stdout.write(
    `${describe(architecture)} (${countsOf(architecture).weights} weights) on ${environment}, ${score.episodes} ${acting} episodes, seed ${flags.seed}\n` +
      `  mean ${score.mean.toFixed(2)}  sd ${score.sd.toFixed(2)}  min ${score.min}\n` +
      `  95 % lower bound ${score.lower95.toFixed(2)}, bootstrap interval ${low.toFixed(2)} to ${high.toFixed(2)}\n`,
  );
}

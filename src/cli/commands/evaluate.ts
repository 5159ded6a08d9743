import type { OpenEnvironment } from "../../environment/open.ts";
import { UsageError } from "../../errors.ts";
import { Evaluator, playerOf } from "../../evaluation/evaluate.ts";
import { loadTeacher } from "../../importing/load.ts";
import type { Acting } from "../../network/action.ts";
import { checkFits, countsOf, describe } from "../../network/architecture.ts";
import type { AnyPolicy, Score } from "../../network/policy.ts";
import { type EnvironmentFlags, environmentOf, openNamed } from "../environment.ts";
import { importOptions } from "../foreign.ts";

export interface EvaluateFlags extends EnvironmentFlags {
  readonly env?: string;
  readonly vecNormalize?: string;
  readonly head?: string;
  readonly episodes: number;
  readonly seed: number;
  readonly sampled?: boolean;
  readonly json?: boolean;
}

export async function evaluatePolicy(file: string, flags: EvaluateFlags): Promise<void> {
  const named = flags.env === undefined ? undefined : await openNamed(flags.env, flags);
  let opened = named;
  try {
    const policy = await loadTeacher(file, importOptions(flags, named?.spec));
    if (flags.sampled && policy.architecture.head === "q-values") {
      throw new UsageError("--sampled", `${file} holds Q-values, which are no distribution to draw actions from`);
    }
    opened ??= await openNamed(...environmentOf(policy, file, flags));
    const acting = flags.sampled ? "sampled" : "greedy";
    print(policy, opened.spec.id, await play(policy, opened, acting, flags), acting, flags);
  } finally {
    await opened?.close();
  }
}

async function play(policy: AnyPolicy, opened: OpenEnvironment, acting: Acting, flags: EvaluateFlags): Promise<Score> {
  checkFits(policy.architecture, opened.spec);
  const [player, parameters] = playerOf(policy);
  const evaluator = await Evaluator.create(player, opened.vector(Math.min(100, flags.episodes)));
  const score = await evaluator.score(parameters, flags.seed, "evaluate", flags.episodes, acting);
  await evaluator.dispose();
  return score;
}

function print(
  { architecture }: AnyPolicy,
  environment: string,
  score: Score,
  acting: Acting,
  flags: EvaluateFlags,
): void {
  if (flags.json) {
    process.stdout.write(
      `${JSON.stringify({ environment, architecture, ...countsOf(architecture), acting, score })}\n`,
    );
    return;
  }
  const [low, high] = score.interval95;
  process.stdout.write(
    `${describe(architecture)} (${countsOf(architecture).weights} weights) on ${environment}, ${score.episodes} ${acting} episodes, seed ${flags.seed}\n` +
      `  mean ${score.mean.toFixed(2)}  sd ${score.sd.toFixed(2)}  min ${Number(score.min.toFixed(2))}\n` +
      `  95 % lower bound ${score.lower95.toFixed(2)}, bootstrap interval ${low.toFixed(2)} to ${high.toFixed(2)}\n`,
  );
}

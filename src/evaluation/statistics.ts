import { ShapeError } from "../errors.ts";
import type { Score } from "../network/policy.ts";
import type { Pcg64 } from "../random/pcg64.ts";

/** A quantile of Student's t: that of the normal distribution, and those for the fewest degrees of freedom, from 1. */
interface Tail {
  readonly z: number;
  readonly small: readonly number[];
}

/** 95 %, one-sided. */
const T95: Tail = { z: 1.6448536269514722, small: [6.3138, 2.92, 2.3534, 2.1318] };
/** 99.9 %, two-sided. */
const T999: Tail = {
  z: 3.2905267314918945,
  small: [636.619, 31.599, 12.924, 8.6103, 6.8688, 5.9588, 5.4079, 5.0413, 4.7809],
};

/** By the Cornish-Fisher expansion (Abramowitz & Stegun 26.7.5), which is not yet good for few degrees of freedom. */
function quantile({ z, small }: Tail, degreesOfFreedom: number): number {
  const v = degreesOfFreedom;
  return (
    small[v - 1] ??
    z +
      (z ** 3 + z) / (4 * v) +
      (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * v ** 2) +
      (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * v ** 3)
  );
}

/** One-sided 95 % quantile of Student's t, good to 0.001. */
export function t95(degreesOfFreedom: number): number {
  if (degreesOfFreedom < 1) throw new ShapeError("t95", "a confidence bound needs at least 2 episodes");
  return quantile(T95, degreesOfFreedom);
}

/**
 * Between which two numbers the mean return of `others` more episodes of the same policy falls, but for 1 case of 1,000:
 * mean ± t · sd · √(1 / n + 1 / others), t the two-sided 99.9 % quantile of Student's t with n - 1 degrees of freedom,
 * good to 0.2 %.
 */
export function meanElsewhere(score: Pick<Score, "mean" | "sd" | "episodes">, others: number): [number, number] {
  const { mean, sd, episodes } = score;
  const reach = quantile(T999, episodes - 1) * sd * Math.sqrt(1 / episodes + 1 / others);
  return [mean - reach, mean + reach];
}

/** Mean, standard deviation (n - 1; 0 for one episode) and minimum of episode returns. */
export function summarize(returns: Float64Array): { mean: number; sd: number; min: number; episodes: number } {
  const episodes = returns.length;
  if (episodes === 0) throw new ShapeError("summarize", "needs at least one return");
  const mean = returns.reduce((total, x) => total + x, 0) / episodes;
  const squares = returns.reduce((total, x) => total + (x - mean) ** 2, 0);
  return { mean, sd: episodes > 1 ? Math.sqrt(squares / (episodes - 1)) : 0, min: Math.min(...returns), episodes };
}

/** One-sided 95 % lower bound of the mean: mean - t95(n - 1) * sd / sqrt(n); needs two episodes. */
export function lower95({ mean, sd, episodes }: { mean: number; sd: number; episodes: number }): number {
  return mean - (t95(episodes - 1) * sd) / Math.sqrt(episodes);
}

/** Resamples of the bootstrap. */
const RESAMPLES = 2000;

/**
 * Score of a policy from the returns of its episodes, at least two. `interval95` is the two-sided percentile bootstrap
 * (Efron 1979) with resamples drawn from `random`.
 */
export function scoreOf(returns: Float64Array, random: Pcg64): Score {
  const { mean, sd, min, episodes } = summarize(returns);
  const lower = lower95({ mean, sd, episodes });
  const means = new Float64Array(RESAMPLES);
  for (let k = 0; k < RESAMPLES; k++) {
    let total = 0;
    for (let i = 0; i < episodes; i++) total += returns[random.integer(episodes)]!;
    means[k] = total / episodes;
  }
  means.sort();
  return {
    mean,
    sd,
    min,
    lower95: lower,
    interval95: [means[Math.floor(0.025 * RESAMPLES)]!, means[Math.ceil(0.975 * RESAMPLES) - 1]!],
    episodes,
  };
}

import {
  abs,
  add,
  cast,
  clip,
  div,
  exp,
  greater,
  logSoftmax,
  mean,
  minimum,
  mul,
  neg,
  select,
  softmax,
  square,
  sub,
  sum,
  type Tensor,
} from "../tensor/graph.ts";

/** What the loss of a stochastic policy needs: log pi(a|s) of each row, and the entropy, its mean over the rows. */
export interface Distribution {
  readonly logProb: Tensor;
  readonly entropy: Tensor;
}

/** Softmax over `logits` [rows, choices], at the chosen `actions` [rows] int32. */
export function categorical(logits: Tensor, actions: Tensor): Distribution {
  const logs = logSoftmax(logits);
  return { logProb: select(logs, actions), entropy: mean(neg(sum(mul(softmax(logits), logs), { axes: [1] }))) };
}

const HALF_LOG_2PI = 0.5 * Math.log(2 * Math.PI);

/**
 * Diagonal Gaussian around `means` [rows, dimensions] with `logStd` [dimensions], at the drawn `actions` [rows, dimensions]
 * before they were limited to their bounds: the density is that of the draw.
 */
export function diagonalGaussian(means: Tensor, logStd: Tensor, actions: Tensor): Distribution {
  const distance = div(sub(actions, means), exp(logStd));
  const logs = sub(mul(-0.5, square(distance)), add(logStd, HALF_LOG_2PI));
  return { logProb: sum(logs, { axes: [1] }), entropy: sum(add(logStd, HALF_LOG_2PI + 0.5)) };
}

export interface Surrogate {
  /** To be minimised. */
  readonly loss: Tensor;
  /** Estimate of KL(old || new), mean of (r - 1) - log r with r = pi / pi_old (Schulman 2020, "Approximating KL divergence", k3). */
  readonly kl: Tensor;
  /** Fraction of rows whose ratio lies outside the clip range. */
  readonly clipFraction: Tensor;
}

/**
 * PPO's clipped surrogate objective (Schulman et al. 2017, equation 7), negated: -mean(min(r A, clip(r, 1 - e, 1 + e) A)), all
 * [rows]. Without a clip range it is -mean(r A), whose gradient on fresh data is the policy gradient (A2C).
 */
export function clippedSurrogate(
  logProb: Tensor,
  oldLogProb: Tensor,
  advantages: Tensor,
  clipRange: number | null,
): Surrogate {
  const logRatio = sub(logProb, oldLogProb);
  const ratio = exp(logRatio);
  const range = clipRange ?? Number.MAX_VALUE;
  const gain = mul(ratio, advantages);
  const limited = clipRange === null ? gain : minimum(gain, mul(clip(ratio, 1 - range, 1 + range), advantages));
  return {
    loss: neg(mean(limited)),
    kl: mean(sub(sub(ratio, 1), logRatio)),
    clipFraction: mean(cast(greater(abs(sub(ratio, 1)), Math.min(range, 1e30)), "float32")),
  };
}

import { ShapeError } from "../errors.ts";

/** One rollout, time-major: row t * lanes + lane is step t of that lane. */
export interface RolloutValues {
  readonly lanes: number;
  /** [rows] rewards of the steps. */
  readonly rewards: ArrayLike<number>;
  /** [rows] V(s_t). */
  readonly values: ArrayLike<number>;
  /** [rows] V(s_t+1) of the state that the step led to, at an end the final one. */
  readonly nextValues: ArrayLike<number>;
  /** [rows] 1 where the task ended: nothing of value follows. */
  readonly terminated: ArrayLike<number>;
  /** [rows] 1 where the episode ended or was cut off: the next row belongs to another one. */
  readonly ended: ArrayLike<number>;
}

/**
 * Generalised advantage estimation (Schulman et al. 2016, equations 11 and 16): delta_t = r_t + gamma V(s_t+1) - V(s_t),
 * A_t = delta_t + gamma lambda A_t+1. After a termination V is 0; an episode that was cut off is bootstrapped from its final
 * state; no advantage reaches over an end. Returns [rows] advantages; a value's target is A_t + V(s_t).
 * @throws ShapeError when the arrays differ in length or are no whole steps
 */
export function generalizedAdvantages(rollout: RolloutValues, gamma: number, lambda: number): Float32Array {
  const { lanes, rewards, values, nextValues, terminated, ended } = rollout;
  const rows = rewards.length;
  if (rows % lanes !== 0 || [values, nextValues, terminated, ended].some(({ length }) => length !== rows)) {
    throw new ShapeError("generalizedAdvantages", `needs rows for whole steps of ${lanes} lanes in all arrays`);
  }
  const advantages = new Float32Array(rows);
  const running = new Float64Array(lanes);
  for (let row = rows - 1; row >= 0; row--) {
    const lane = row % lanes;
    const next = terminated[row] ? 0 : nextValues[row]!;
    const delta = rewards[row]! + gamma * next - values[row]!;
    running[lane] = delta + (ended[row] ? 0 : gamma * lambda * running[lane]!);
    advantages[row] = running[lane]!;
  }
  return advantages;
}

/** 1 - Var(target - value) / Var(target): how well values explain their targets; 0 where the targets do not vary. */
export function explainedVariance(values: Float32Array, targets: Float32Array): number {
  const variance = (at: (i: number) => number): number => {
    // Welford's sums: exactly 0 for equal numbers, and no digits lost where the mean is large.
    let mean = 0;
    let squares = 0;
    for (let i = 0; i < targets.length; i++) {
      const distance = at(i) - mean;
      mean += distance / (i + 1);
      squares += distance * (at(i) - mean);
    }
    return squares / targets.length;
  };
  const total = variance((i) => targets[i]!);
  return total > 0 ? 1 - variance((i) => targets[i]! - values[i]!) / total : 0;
}

/**
 * Cubic gradual pruning (Zhu & Gupta 2017, equation 1; PoPS uses it with initial 0): sparsity as a function of progress,
 * the fraction of the pruning clock that has passed: s = final + (initial - final)(1 - progress)^3.
 */
export function cubicSparsity(progress: number, final: number, initial = 0): number {
  const p = Math.min(1, Math.max(0, progress));
  return final + (initial - final) * (1 - p) ** 3;
}

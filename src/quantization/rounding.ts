/** Added to variances, in their mean: inputs that hardly vary give no hold. */
const DAMPING = 0.01;

/**
 * What remains to be done by the weights that are not rounded yet, in a triangle: row i says how they make up for an error of
 * weight i. It is the upper Cholesky factor of the inverse of the inputs' covariance, by rows.
 *
 * @param covariance [n, n] of the inputs of a layer
 */
export function compensation(covariance: Float64Array, n: number): Float64Array {
  const damped = covariance.slice();
  let trace = 0;
  for (let i = 0; i < n; i++) trace += covariance[i * n + i]!;
  for (let i = 0; i < n; i++) damped[i * n + i]! += DAMPING * (trace / n) || 1;
  const inverse = inverted(damped, n);
  return transposed(lowerCholesky(inverse, n), n);
}

/** L with L L^T = matrix, which is positive definite. */
function lowerCholesky(matrix: Float64Array, n: number): Float64Array {
  const lower = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= lower[i * n + k]! * lower[j * n + k]!;
      lower[i * n + j] = i === j ? Math.sqrt(Math.max(sum, 1e-300)) : sum / lower[j * n + j]!;
    }
  }
  return lower;
}

/** The inverse of a positive definite matrix. */
function inverted(matrix: Float64Array, n: number): Float64Array {
  const lower = lowerCholesky(matrix, n);
  const inverse = new Float64Array(n * n);
  const column = new Float64Array(n);
  for (let c = 0; c < n; c++) {
    for (let i = 0; i < n; i++) {
      let sum = i === c ? 1 : 0;
      for (let k = 0; k < i; k++) sum -= lower[i * n + k]! * column[k]!;
      column[i] = sum / lower[i * n + i]!;
    }
    for (let i = n - 1; i >= 0; i--) {
      let sum = column[i]!;
      for (let k = i + 1; k < n; k++) sum -= lower[k * n + i]! * column[k]!;
      column[i] = sum / lower[i * n + i]!;
      inverse[i * n + c] = column[i]!;
    }
  }
  return inverse;
}

function transposed(matrix: Float64Array, n: number): Float64Array {
  const turned = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) turned[j * n + i] = matrix[i * n + j]!;
  return turned;
}

/**
 * Whole numbers for a row of weights, one after the other: each is rounded, and those behind it make up for what that changes in the
 * outputs, on the inputs that were seen (OPTQ, Frantar et al. 2023, arXiv 2210.17323). Without a `triangle` each is rounded alone.
 *
 * @param weights [n], in units of the steps of their inputs; changed
 * @param size of a whole number
 * @param limit largest whole number
 */
export function roundRow(
  weights: Float64Array,
  size: number,
  limit: number,
  triangle: Float64Array | undefined,
): Int16Array {
  const n = weights.length;
  const whole = new Int16Array(n);
  for (let i = 0; i < n; i++) {
    const value = Math.min(Math.max(Math.round(weights[i]! / size), -limit), limit);
    whole[i] = value;
    if (triangle === undefined) continue;
    const error = (weights[i]! - value * size) / triangle[i * n + i]!;
    for (let k = i + 1; k < n; k++) weights[k]! -= error * triangle[i * n + k]!;
  }
  return whole;
}

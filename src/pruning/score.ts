/** Importance of every parameter: the smallest are pruned first. One number a parameter, biases included (their scores are not read). */
export type Scores = Float32Array;

/** Magnitude |w| (Han et al. 2015), the score of PoPS. */
export function magnitude(parameters: Float32Array): Scores {
  return parameters.map(Math.abs);
}

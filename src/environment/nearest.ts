/** Levenshtein's distance: insertions, deletions and substitutions that turn `from` into `to`. */
function distance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const substituted = previous[column - 1]! + (from[row - 1] === to[column - 1] ? 0 : 1);
      current.push(Math.min(substituted, previous[column]! + 1, current[column - 1]! + 1));
    }
    previous = current;
  }
  return previous[to.length]!;
}

/**
 * The candidate that `word` was probably meant to be, for "did you mean ...?": the closest by edit distance, case
 * ignored, the first of equals. `undefined` when more than 40 % of the letters differ.
 */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Infinity;
  for (const candidate of candidates) {
    const edits = distance(word.toLowerCase(), candidate.toLowerCase());
    if (edits >= least || edits > 0.4 * Math.max(word.length, candidate.length)) continue;
    best = candidate;
    least = edits;
  }
  return best;
}

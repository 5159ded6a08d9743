import type { Batch } from "../../src/replay/uniform.ts";

/** The arguments of `add` for a transition that can be told from all others: everything in it follows from its number. */
export function transition(number: number): [Float32Array, number, number, Float32Array, number] {
  const observation = Float32Array.of(number, -number);
  const next = Float32Array.of(number + 0.5, -number - 0.5);
  return [observation, number % 7, 10 * number, next, 1 / (1 + number)];
}

export function emptyBatch(rows: number): Batch {
  return {
    observations: new Float32Array(2 * rows),
    actions: new Int32Array(rows),
    rewards: new Float32Array(rows),
    nextObservations: new Float32Array(2 * rows),
    discounts: new Float32Array(rows),
  };
}

/** Numbers of the transitions in a batch; throws when a row mixes parts of several. */
export function numbersIn(batch: Batch): number[] {
  return Array.from(batch.actions, (action, row) => {
    const number = batch.observations[2 * row]!;
    const [observation, , reward, next, discount] = transition(number);
    const expected = [...observation, number % 7, reward, ...next, Math.fround(discount)];
    const found = [
      ...batch.observations.subarray(2 * row, 2 * row + 2),
      action,
      batch.rewards[row]!,
      ...batch.nextObservations.subarray(2 * row, 2 * row + 2),
      batch.discounts[row]!,
    ];
    if (found.join() !== expected.join()) throw new Error(`row ${row} is ${found.join()}, expected ${expected.join()}`);
    return number;
  });
}

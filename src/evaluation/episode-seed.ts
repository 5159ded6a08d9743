import { stream } from "../random/pcg64.ts";

/** Seed of evaluation episode `index` in the named set of episodes: the same however many lanes or workers share the set. */
export function episodeSeed(seed: number, set: string, index: number): number {
  return stream(seed, `episode/${set}`, index).nextUint32();
}

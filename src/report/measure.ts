import type { Result } from "../run/result.ts";
import { objectiveText, percent, score } from "./format.ts";

/** What a run's scores are: mean returns of episodes, or agreements with the teacher on logged episodes or blocks. */
export interface Measure {
  readonly kind: Result["measure"];
  /** What a mean is over. */
  readonly unit: "episode" | "block";
}

export const RETURNS: Measure = { kind: "return", unit: "episode" };

/** Episodes that somebody else may play to see whether a policy is as good there. */
export const ELSEWHERE = 100;

export function measureOf({ measure, observations }: Result): Measure {
  return { kind: measure, unit: observations?.by ?? "episode" };
}

/** How the report tells of scores. */
export interface Telling extends Measure {
  /** `score` or `agreement`. */
  readonly name: string;
  readonly value: (score: number) => string;
  readonly objective: (score: number) => string;
}

export function tellingOf(result: Result): Telling {
  const measure = measureOf(result);
  return measure.kind === "return"
    ? { ...measure, name: "score", value: score, objective: objectiveText }
    : { ...measure, name: "agreement", value: percent, objective: percent };
}

/** What a run is about: its environment, or its file of observations. */
export function subjectOf({ environment, observations }: Result): string {
  return environment ?? observations?.file ?? "";
}

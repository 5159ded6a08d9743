import type { EnvironmentSpec } from "../environment/environment.ts";
import { describe } from "../network/architecture.ts";
import { integer } from "../report/format.ts";
import { measureOf, subjectOf } from "../report/measure.ts";
import type { Result, Side } from "../run/result.ts";
import { duration, share } from "./progress.ts";
import { coloursOf, printable } from "./terminal.ts";

const times = (teacher: number, policy: number): string => (policy === 0 ? "" : `${significant(teacher / policy)} x`);
const significant = (value: number): string => (value >= 100 ? integer(Math.round(value)) : value.toPrecision(3));

type Row = readonly [label: string, teacher: string, policy: string, ratio: string];

/** Rows of text in columns: the first left-aligned, the others right-aligned. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  "),
  );
}

/** Environments, one a line, under a line of titles. */
export function environmentTable(
  rows: readonly (EnvironmentSpec & { readonly presets: readonly string[] })[],
): string[] {
  const cells = rows.map(({ id, observationSpace, actionSpace, maxEpisodeSteps, rewardThreshold, presets }) => [
    id,
    `[${observationSpace.shape.join(", ")}]`,
    actionSpace.kind === "discrete" ? `${actionSpace.n} choices` : `[${actionSpace.shape.join(", ")}]`,
    String(maxEpisodeSteps ?? "none"),
    String(rewardThreshold ?? "none"),
    presets.join(", "),
  ]);
  return columns([["environment", "observation", "action", "step limit", "solved at", "presets"], ...cells]);
}

/** The closing table of a run, for standard output: teacher and policy side by side. */
export function comparison(result: Result): string {
  const { teacher, policy } = result;
  const colours = coloursOf(process.stdout);
  const { kind, unit } = measureOf(result);
  const returns = kind === "return";
  const subject = printable(subjectOf(result));
  const value = (x: number): string => (returns ? x.toFixed(2) : share(x));
  const number = Number((returns ? result.objective : 100 * result.objective).toPrecision(5));
  const drawn = result.acting === "sampled" ? ", drawn actions" : "";
  const scored = returns ? `mean score${drawn}` : "agreement";
  const { kl, squaredError } = policy.divergence ?? {};
  const both = (label: string, value: (side: Side) => number): Row => [
    label,
    integer(value(teacher)),
    integer(value(policy)),
    times(value(teacher), value(policy)),
  ];
  const rows: Row[] = [
    ["", "teacher", "policy", "smaller"],
    ["layers", describe(teacher.architecture), describe(policy.architecture), ""],
    both("weights", (side) => side.weights),
    both("non-zero weights", (side) => side.nonZero),
    both("biases", (side) => side.biases),
    both("bytes (float32)", (side) => side.bytes),
    both("multiply-adds", (side) => side.macs),
    [
      "latency",
      `${teacher.latencyMicros.toFixed(2)} us`,
      `${policy.latencyMicros.toFixed(3)} us`,
      times(teacher.latencyMicros, policy.latencyMicros),
    ],
    [scored, value(teacher.score.mean), value(policy.score.mean), ""],
    [
      "95 % lower bound",
      value(teacher.score.lower95),
      value(policy.score.lower95),
      `objective ${number}${returns ? "" : " %"}`,
    ],
    ...(kl === undefined ? [] : [["KL from the teacher", "", kl.toPrecision(3), ""] as const]),
    ...(squaredError === undefined ? [] : [["squared error", "", squaredError.toPrecision(3), ""] as const]),
    ...(teacher.sampled && policy.sampled
      ? [["mean, drawn actions", teacher.sampled.mean.toFixed(2), policy.sampled.mean.toFixed(2), ""] as const]
      : []),
    [`held-out ${unit}s`, integer(teacher.score.episodes), integer(policy.score.episodes), ""],
  ];
  const [head = "", ...lines] = columns(rows);
  const percent = `${(100 * result.ratio).toPrecision(2)} %`;
  const verdict = result.smaller
    ? `${subject}: ${integer(teacher.weights)} weights became ${integer(policy.weights)} (${percent}), proven${result.target ? ` as ${result.target}` : ""} on ${integer(policy.score.episodes)} held-out ${unit}s.`
    : `${subject}: nothing smaller than the teacher holds the objective; the answer is the teacher.`;
  const caution = `NO RETURN WAS MEASURED: there was no environment. What was measured is how often the policy acts as the teacher does on ${integer(result.observations?.proof.observations ?? 0)} logged observations that it has not learned from.`;
  return [
    colours.bold(verdict),
    ...(returns ? [] : [colours.bold(caution)]),
    "",
    colours.dim(head),
    ...lines,
    "",
    `Time: ${duration(result.seconds["total"] ?? 0)}`,
  ].join("\n");
}

import type { EnvironmentSpec } from "../environment/environment.ts";
import { describe } from "../network/architecture.ts";
import type { Result, Side } from "../run/result.ts";
import { duration } from "./progress.ts";
import { coloursOf, printable } from "./terminal.ts";

const whole = new Intl.NumberFormat("en-US");
const count = (value: number): string => whole.format(value);
const times = (teacher: number, policy: number): string => (policy === 0 ? "" : `${significant(teacher / policy)} x`);
const significant = (value: number): string => (value >= 100 ? count(Math.round(value)) : value.toPrecision(3));

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
  const environment = printable(result.environment);
  const both = (label: string, value: (side: Side) => number): Row => [
    label,
    count(value(teacher)),
    count(value(policy)),
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
    ["mean score", teacher.score.mean.toFixed(2), policy.score.mean.toFixed(2), ""],
    [
      "95 % lower bound",
      teacher.score.lower95.toFixed(2),
      policy.score.lower95.toFixed(2),
      `objective ${Number(result.objective.toPrecision(5))}`,
    ],
    ...(teacher.sampled && policy.sampled
      ? [["mean, drawn actions", teacher.sampled.mean.toFixed(2), policy.sampled.mean.toFixed(2), ""] as const]
      : []),
    ["held-out episodes", count(teacher.score.episodes), count(policy.score.episodes), ""],
  ];
  const [head = "", ...lines] = columns(rows);
  const percent = `${(100 * result.ratio).toPrecision(2)} %`;
  const verdict = result.smaller
    ? `${environment}: ${count(teacher.weights)} weights became ${count(policy.weights)} (${percent}), proven on ${count(policy.score.episodes)} held-out episodes.`
    : `${environment}: nothing smaller than the teacher holds the objective; the answer is the teacher.`;
  return [
    colours.bold(verdict),
    "",
    colours.dim(head),
    ...lines,
    "",
    `Time: ${duration(result.seconds["total"] ?? 0)}`,
  ].join("\n");
}

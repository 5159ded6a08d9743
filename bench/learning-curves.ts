import { shortNumber } from "../src/report/charts.ts";
import { integer, plural, score as scoreText } from "../src/report/format.ts";
import { html, type Markup, trusted } from "../src/report/html.ts";
import { linearDomain, linearScale } from "../src/report/scale.ts";

/** An evaluation of one training run. Runs of one environment are evaluated at the same steps. */
export interface CurvePoint {
  readonly side: string;
  readonly environment: string;
  readonly seed: number;
  readonly step: number;
  readonly score: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

const PLOT = { width: 256, height: 210 };
/** Room of a panel around its plot. */
const LEFT = 58;
const RIGHT = 16;
const TOP = 94;
const BOTTOM = 58;

/**
 * Colours are Okabe and Ito's (2008), which colour-blind readers tell apart; the second line is dashed as well. The picture
 * brings its own background, so that it can be read on any page, whichever of the two the viewer takes.
 */
const STYLE = `
svg { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
.paper { fill: #ffffff; } text { fill: #424a53; } .title { fill: #1f2328; font-weight: 600; font-size: 15px; }
.grid { stroke: #e1e4e8; } .base { stroke: #8c959f; }
.line { fill: none; stroke-width: 2.2; stroke-linejoin: round; } .band { stroke: none; fill-opacity: 0.18; }
.line.a { stroke: #0072b2; } .band.a { fill: #0072b2; }
.line.b { stroke: #d55e00; stroke-dasharray: 7 4; } .band.b { fill: #d55e00; }
@media (prefers-color-scheme: dark) {
  .paper { fill: #0d1117; } text { fill: #b1bac4; } .title { fill: #f0f6fc; }
  .grid { stroke: #262c36; } .base { stroke: #656c76; } .band { fill-opacity: 0.24; }
  .line.a { stroke: #56b4e9; } .band.a { fill: #56b4e9; } .line.b { stroke: #e69f00; } .band.b { fill: #e69f00; }
}`;

/** One panel an environment beside each other: for each side the mean over seeds, and a band from the lowest to the highest. */
export function drawCurves(points: readonly CurvePoint[]): string {
  const names = unique(points.map(({ side }) => side));
  const panels = groups(points, ({ environment }) => environment);
  const each = LEFT + PLOT.width + RIGHT;
  const width = each * panels.length;
  const height = TOP + PLOT.height + BOTTOM;
  const description = `Mean return over environment steps in ${panels.map(([environment]) => environment).join(", ")}: ${names.join(" and ")}.`;
  const legend = names.map((name, i) => {
    const x = LEFT + i * 105;
    return html`<path class="line ${classOf(i)}" d="M${x} 24h26"/><text x="${x + 34}" y="28.5">${name}</text>`;
  });
  const drawn = panels.map(([environment, of], i) => drawPanel(environment, of, names, i * each + LEFT));
  return html`<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${description}" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"><style>${trusted(STYLE)}</style><rect class="paper" width="${width}" height="${height}" rx="6"/>${legend}<text x="${width - RIGHT}" y="28.5" text-anchor="end">line: mean over seeds; band: lowest to highest seed</text>${drawn}</svg>\n`
    .text;
}

function drawPanel(environment: string, points: readonly CurvePoint[], names: readonly string[], left: number): Markup {
  const [right, bottom] = [left + PLOT.width, TOP + PLOT.height];
  const x = linearScale([0, Math.max(...points.map(({ step }) => step))], [left, right], 4);
  const y = linearScale(linearDomain(points.map(({ score }) => score)), [bottom, TOP], 5);
  const seeds = unique(points.map(({ seed }) => seed)).length;
  const grid = y.ticks.map(
    (tick) =>
      html`<line class="grid" x1="${left}" x2="${right}" y1="${y.at(tick)}" y2="${y.at(tick)}"/><text x="${left - 8}" y="${y.at(tick) + 4.5}" text-anchor="end">${shortNumber(tick)}</text>`,
  );
  const marks = x.ticks.map(
    (tick) =>
      html`<line class="base" x1="${x.at(tick)}" x2="${x.at(tick)}" y1="${bottom}" y2="${bottom + 4}"/><text x="${x.at(tick)}" y="${bottom + 20}" text-anchor="middle">${tick === 0 ? "0" : `${integer(tick / 1000)}k`}</text>`,
  );
  const curves = names.map((name, i) => {
    const own = points.filter(({ side }) => side === name);
    const steps = groups(own, ({ step }) => step).map(([step, at]) => ({
      step,
      ...summary(at.map(({ score }) => score)),
    }));
    const path = (rows: typeof steps, of: "mean" | "low" | "high"): Markup[] =>
      rows.map((row) => html`${x.at(row.step)},${y.at(row[of])} `);
    return {
      band: html`<polygon class="band ${classOf(i)}" points="${path(steps, "high")}${path(steps.toReversed(), "low")}"/>`,
      line: html`<polyline class="line ${classOf(i)}" points="${path(steps, "mean")}"/>`,
    };
  });
  return html`<g><text class="title" x="${left}" y="${TOP - 30}">${environment}</text><text x="${left}" y="${TOP - 12}">return, ${plural(seeds, "seed")}</text>${grid}${marks}<line class="base" x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}"/><text x="${(left + right) / 2}" y="${bottom + 42}" text-anchor="middle">environment steps</text>${curves.map(({ band }) => band)}${curves.map(({ line }) => line)}</g>`;
}

/** A table of Markdown: how the runs of each environment and side ended, and what they took. */
export function resultsTable(points: readonly CurvePoint[]): string {
  const rows = [
    ["environment", "side", "seeds", "last evaluation", "mean of all evaluations", "seconds", "CPU seconds"],
    Array<string>(7).fill("---"),
  ];
  for (const [environment, of] of groups(points, (point) => point.environment)) {
    for (const [side, own] of groups(of, (point) => point.side)) {
      const runs = groups(own, ({ seed }) => seed).map(([, run]) => ({
        last: run.at(-1)!,
        all: summary(run.map(({ score }) => score)).mean,
      }));
      const time = (key: "seconds" | "cpuSeconds") => integer(summary(runs.map(({ last }) => last[key])).mean);
      const scores = [runs.map(({ last }) => last.score), runs.map(({ all }) => all)].map(spread);
      rows.push([environment, side, String(runs.length), ...scores, time("seconds"), time("cpuSeconds")]);
    }
  }
  return rows.map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** `mean (lowest to highest)` */
function spread(values: readonly number[]): string {
  const { mean, low, high } = summary(values);
  return `${scoreText(mean)} (${scoreText(low)} to ${scoreText(high)})`;
}

function summary(values: readonly number[]): { mean: number; low: number; high: number } {
  const mean = values.reduce((total, value) => total + value, 0) / values.length;
  return { mean, low: Math.min(...values), high: Math.max(...values) };
}

/** Values by key, in the order in which the keys appear. */
function groups<T, K>(values: readonly T[], keyOf: (value: T) => K): [K, T[]][] {
  return unique(values.map(keyOf)).map((key) => [key, values.filter((value) => keyOf(value) === key)]);
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

function classOf(index: number): string {
  return index === 0 ? "a" : "b";
}

/**
 * Draws the training of a run's teacher from its log, over environment steps, as a picture for the documents.
 *
 *   npm run curve -- runs/Pong-v0-1 --output docs/images/pong-training.svg
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { drawChart } from "../src/report/charts.ts";
import { score } from "../src/report/format.ts";
import { html, trusted } from "../src/report/html.ts";
import { eventsOf } from "../src/report/input.ts";
import { readEvents } from "../src/run/read.ts";

const WIDTH = 760;
const MARGIN = 20;

/** What the report's style sheet says of charts, for a picture that brings its own background. */
const STYLE = `
svg { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
.paper { fill: #ffffff; } text { fill: #424a53; } text.name { fill: #1f2328; }
.grid { stroke: #e1e4e8; } .base { stroke: #8c959f; } .catch { fill: none; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.stroke-accent { stroke: #0a6c74; } text.text-accent { fill: #0a6c74; }
.stroke-faint { stroke: #8c959f; } .stroke-ink { stroke: #1f2328; stroke-width: 1.4; }
@media (prefers-color-scheme: dark) {
  .paper { fill: #0d1117; } text { fill: #b1bac4; } text.name { fill: #f0f6fc; }
  .grid { stroke: #262c36; } .base { stroke: #656c76; }
  .stroke-accent { stroke: #5fd0cf; } text.text-accent { fill: #5fd0cf; }
  .stroke-faint { stroke: #656c76; } .stroke-ink { stroke: #f0f6fc; }
}`;

const {
  values: { output },
  positionals: [run],
} = parseArgs({ options: { output: { type: "string" } }, allowPositionals: true });
if (run === undefined || output === undefined) throw new Error("npm run curve -- <run folder> --output <file.svg>");
const events = readEvents(join(run, "events.jsonl"));
const trained = eventsOf(events, "train");
const evaluated = eventsOf(events, "teacher-evaluated");
const environment = eventsOf(events, "run-started")[0]?.environment ?? "";
const best = Math.max(...evaluated.map((event) => event.score.mean));
// The teacher acts by draws where its configuration says so.
const acting = /^teacher:\n(?: {2}.*\n)*? {2}acting: sampled$/m.test(readFileSync(join(run, "config.yaml"), "utf8"))
  ? "drawn"
  : "greedy";
const looks = evaluated.map((event) => [event.environmentSteps, event.score.mean] as const);
const entropy = trained.flatMap((event) =>
  event.entropy === undefined ? [] : [[event.environmentSteps, event.entropy] as const],
);
const chart = drawChart({
  id: "training",
  title: `Training of the teacher on ${environment}`,
  description: `Mean return over environment steps, of training episodes and of ${acting} evaluations, the best of which is ${score(best)}.`,
  width: WIDTH - 2 * MARGIN,
  x: { label: "environment steps" },
  panels: [
    {
      label: `${environment}: mean return`,
      height: 240,
      lines: [
        {
          name: "training",
          tone: "faint",
          points: trained.map((event) => [event.environmentSteps, event.episodeReturn] as const),
        },
        { name: acting, tone: "accent", points: looks },
      ],
    },
    ...(entropy.length > 0
      ? [
          {
            label: "entropy of the actions",
            height: 80,
            ticks: 3,
            lines: [{ name: "entropy", tone: "ink" as const, points: entropy }],
          },
        ]
      : []),
  ],
});
// The chart knows how high it is.
const height = Number(/ height="([\d.]+)"/.exec(chart.text)?.[1]);
const whole = height + 2 * MARGIN;
const picture = html`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${whole}" width="${WIDTH}" height="${whole}"><style>${trusted(STYLE)}</style><rect class="paper" width="${WIDTH}" height="${whole}" rx="6"/><g transform="translate(${MARGIN} ${MARGIN})">${chart}</g></svg>\n`;
writeFileSync(output, picture.text);
console.log(`${output}: best ${acting} evaluation ${score(best)} of ${evaluated.length}`);

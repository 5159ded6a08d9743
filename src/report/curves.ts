import type { EventOf } from "../events.ts";
import { describe, layoutOf } from "../network/architecture.ts";
import type { Policy } from "../network/policy.ts";
import { atBothWidths, type Bar, drawChart, FULL, HALF } from "./charts.ts";
import { drawNetwork, drawRedundancy, drawWeights } from "./drawings.ts";
import { integer, objectiveText, percent, plural, score, significant } from "./format.ts";
import { html, type Markup } from "./html.ts";
import { eventsOf, type ReportInput, type Section } from "./input.ts";
import { tellingOf } from "./measure.ts";
import { linearDomain } from "./scale.ts";

/** Score and loss of the teacher in training; `undefined` when the teacher was imported. */
export function teacherTraining({ result, events }: ReportInput): Section | undefined {
  const trained = eventsOf(events, "train");
  const evaluated = eventsOf(events, "teacher-evaluated");
  if (trained.length === 0 && evaluated.length === 0) return undefined;
  const loss = trained.map((event) => [event.step, event.loss] as const);
  const chart = (id: string, width: number): Markup =>
    drawChart({
      id,
      title: "Teacher training",
      description: `Score and loss over gradient steps; the objective is ${objectiveText(result.objective)}, the last evaluation ${lastOf(evaluated.map((event) => event.score.mean))}.`,
      width,
      x: { label: "gradient steps" },
      panels: [
        {
          label: "score",
          height: 230,
          rule: { name: "objective", value: result.objective },
          lines: [
            {
              name: "training",
              tone: "faint",
              points: trained.map((event) => [event.step, event.episodeReturn] as const),
            },
            {
              name: "evaluated",
              tone: "accent",
              points: evaluated.map((event) => [event.step, event.score.mean] as const),
            },
          ],
        },
        ...(["entropy", "kl"] as const).flatMap((name) => {
          const points = trained.flatMap(({ step, [name]: value }) =>
            value === undefined ? [] : [[step, value] as const],
          );
          return points.length > 0
            ? [{ label: name, height: 90, ticks: 3, lines: [{ name, tone: "ink" as const, points }] }]
            : [];
        }),
        ...(loss.length > 0
          ? [{ label: "loss", height: 110, ticks: 3, lines: [{ name: "loss", tone: "ink" as const, points: loss }] }]
          : []),
      ],
    });
  return {
    id: "teacher",
    title: "Training the teacher",
    content: html`<p class="lead">Greedy evaluations on their own episodes, against the mean return of the last 100 training episodes.</p><figure>${atBothWidths("teacher-chart", FULL, chart)}</figure>`,
  };
}

/** Score and sparsity of each pruning; `undefined` when nothing was pruned. */
export function pruning({ result, events }: ReportInput): Section | undefined {
  const gates = eventsOf(events, "pruned");
  if (gates.length === 0) return undefined;
  const { name, kind } = tellingOf(result);
  const format = kind === "agreement" ? { format: (value: number) => percent(value) } : {};
  const domain = linearDomain([result.objective, ...gates.map((gate) => gate.score.mean)]);
  const charts = iterationsOf(gates).map(([iteration, own]) => {
    const network = startedWith(events, iteration);
    const sparsest = Math.max(...own.map((gate) => gate.sparsity));
    const pauses = pausesOf(own);
    const chart = (id: string, width: number): Markup =>
      drawChart({
        id,
        title: `Pruning, iteration ${iteration}`,
        description: `${name === "score" ? "Score" : "Agreement"} and sparsity over gradient steps at ${plural(own.length, "gate")}; highest sparsity ${percent(sparsest)}; paused ${plural(pauses.length, "time")}.`,
        width,
        x: { label: "gradient steps" },
        panels: [
          {
            label: name,
            ...format,
            height: 140,
            ticks: 3,
            domain,
            rule: { name: "objective", value: result.objective },
            bands: pauses,
            lines: [{ name, tone: "accent", points: own.map((gate) => [gate.step, gate.score.mean] as const) }],
          },
          {
            label: "weights pruned",
            height: 90,
            ticks: 2,
            domain: [0, 1.04],
            format: (value) => percent(value),
            bands: pauses,
            lines: [{ name: "pruned", tone: "ink", points: own.map((gate) => [gate.step, gate.sparsity] as const) }],
          },
        ],
      });
    return html`<figure><h3>Iteration ${String(iteration)}</h3><p class="sub">${network === undefined ? "" : `${network}, `}up to ${percent(sparsest)} pruned, ${pauses.length === 0 ? "never paused" : `paused ${plural(pauses.length, "time")}`}</p>${atBothWidths(`pruning-${iteration}`, HALF, chart)}</figure>`;
  });
  return {
    id: "pruning",
    title: "Pruning under the gate",
    content: html`<p class="lead">Shaded: the ${name} had fallen below the gate, pruning stood still and the network was fine-tuned until it recovered.</p><div class="grid2">${charts}</div>`,
  };
}

function lastOf(values: readonly number[]): string {
  const last = values.at(-1);
  return last === undefined ? "none" : score(last);
}

function iterationsOf<Item extends { readonly iteration: number }>(items: readonly Item[]): [number, Item[]][] {
  const groups = new Map<number, Item[]>();
  for (const item of items) {
    const group = groups.get(item.iteration);
    if (group === undefined) groups.set(item.iteration, [item]);
    else group.push(item);
  }
  return [...groups];
}

function startedWith(events: ReportInput["events"], iteration: number): string | undefined {
  const start = eventsOf(events, "stage-started").find(
    (event) => event.stage === "prune" && event.iteration === iteration,
  );
  return start?.architecture === undefined ? undefined : describe(start.architecture);
}

/** Stretches of steps in which the pruning clock stood still, each up to the gate that let it run again. */
function pausesOf(gates: readonly EventOf<"pruned">[]): [number, number][] {
  const pauses: [number, number][] = [];
  let since: number | undefined;
  for (const gate of gates) {
    if (gate.paused) since ??= gate.step;
    else if (since !== undefined) {
      pauses.push([since, gate.step]);
      since = undefined;
    }
  }
  const last = gates.at(-1);
  if (since !== undefined && last !== undefined) pauses.push([since, last.step]);
  return pauses;
}

/** What each iteration found redundant, layer by layer; `undefined` when nothing was pruned. */
export function redundancy({ events }: ReportInput): Section | undefined {
  const found = eventsOf(events, "redundancy");
  if (found.length === 0) return undefined;
  return {
    id: "redundancy",
    title: "Redundancy by layer",
    content: html`<p class="lead">What was left of each layer in the sparsest network that held the objective. The next network is built from these numbers.</p><div class="grid2">${found.map(
      (event, index) =>
        html`<figure><h3>Iteration ${String(event.iteration)}</h3><p class="sub">${describe(event.architecture)}, ${percent(event.sparsity)} pruned</p>${atBothWidths(`redundancy-${index}`, HALF, (id, width) => drawRedundancy(id, `Redundancy, iteration ${event.iteration}`, event.layers, width))}</figure>`,
    )}</div>`,
  };
}

/** Parameters up to which a policy is printed in full. */
const PRINTED_IN_FULL = 64;
const BINS = 41;

/** How the weights of each layer are distributed; all numbers of the policy when they are few. Black boxes have no layers. */
export function weights({ teacher, policy, result }: ReportInput): Section | undefined {
  if ("model" in policy) return undefined;
  // Tables and drawings of single weights are for units, not for kernels over images.
  const isDense = layoutOf(policy.architecture).every(({ window }) => window === undefined);
  const inFull = isDense && policy.parameters.length <= PRINTED_IN_FULL;
  const full = (): Markup =>
    html`<h3 class="gap">All ${plural(policy.parameters.length, "number")} of the policy</h3><p class="sub">Thicker lines and stronger shades are larger magnitudes; negative weights are dashed and grey. The action with the largest output is taken.</p><div class="row"><div class="box">${drawNetwork("weights-network", policy)}</div>${drawWeights("weights", policy).map((matrix) => html`<div class="box">${matrix}</div>`)}</div>`;
  const histograms = (id: string, name: string, side: Policy): Markup =>
    html`<h3 class="gap">${name}</h3><div class="grid3">${layoutOf(side.architecture).map((layer) => {
      const values = side.parameters.subarray(layer.weights.offset, layer.weights.offset + layer.weights.length);
      return html`<figure><p class="sub">${layer.name}, ${plural(values.length, "weight")}</p>${drawHistogram(`${id}-${layer.name}`, `Weights of ${layer.name}, ${name.toLowerCase()}`, values)}</figure>`;
    })}</div>`;
  return {
    id: "weights",
    title: "Weights",
    content: html`<p class="lead">${inFull ? `Each number of the policy${"model" in teacher ? "" : ", and how those of the teacher are distributed"}.` : "Number of weights by value, layer by layer."}</p>${inFull ? full() : undefined}${"model" in teacher ? undefined : histograms("histogram-teacher", "Teacher", teacher)}${result.smaller && !inFull ? histograms("histogram-policy", "Policy", policy) : undefined}`,
  };
}

function drawHistogram(id: string, title: string, values: Float32Array): Markup {
  const bars = histogramOf(values);
  const [low, high] = [bars[0]?.from ?? 0, bars.at(-1)?.to ?? 0];
  return drawChart({
    id,
    title,
    description: `${plural(values.length, "weight")} between ${significant(low)} and ${significant(high)}.`,
    width: 300,
    x: { label: "weight" },
    panels: [{ label: "count", height: 110, ticks: 2, bars }],
  });
}

/** Counts over bins of equal width from the least to the greatest value; fewer bins for few values. */
function histogramOf(values: Float32Array): Bar[] {
  const low = values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  const high = values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  const [from, to] = low === high ? linearDomain([low]) : [low, high];
  const bins = Math.min(BINS, Math.max(5, Math.ceil(2 * Math.sqrt(values.length))));
  const width = (to - from) / bins;
  const counts = new Array<number>(bins).fill(0);
  for (const value of values) {
    const bin = Math.min(bins - 1, Math.floor((value - from) / width));
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  return counts.map((height, bin) => {
    const [start, end] = [from + bin * width, from + (bin + 1) * width];
    return { from: start, to: end, height, tip: `${significant(start)} to ${significant(end)}\n${integer(height)}` };
  });
}

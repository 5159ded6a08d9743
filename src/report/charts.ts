import { integer, significant } from "./format.ts";
import { html, type Markup, type Piece } from "./html.ts";
import { linearDomain, linearScale, logDomain, logScale, type Point, type Scale, thin, tightDomain } from "./scale.ts";

type Tone = "accent" | "ink" | "muted" | "faint";

interface Line {
  /** Written beside the line's end. */
  readonly name: string;
  readonly points: readonly Point[];
  readonly tone: Tone;
}

/** A single measurement. Shape and tone both carry its meaning, so that neither is needed alone. */
export interface Mark {
  readonly x: number;
  readonly y: number;
  readonly shape: "dot" | "cross" | "diamond" | "star";
  readonly tone: Tone;
  /** Ends of the error bar. */
  readonly interval?: readonly [number, number];
  /** Written above the mark, one string a line. */
  readonly label?: readonly string[];
  /** Read-out while the pointer is on the mark. */
  readonly tip: string;
}

export interface Bar {
  readonly from: number;
  readonly to: number;
  readonly height: number;
  readonly tip: string;
}

/** One vertical axis. Panels of a chart stand above each other and share the horizontal axis. */
interface Panel {
  readonly label: string;
  /** Height of the plot area in pixels. */
  readonly height: number;
  /** Vertical domain; computed from the contents when it is left out. */
  readonly domain?: readonly [number, number];
  /** Number of vertical ticks to aim at; default 4. */
  readonly ticks?: number;
  readonly format?: (value: number) => string;
  /** Dashed horizontal line with a name. */
  readonly rule?: { readonly name: string; readonly value: number };
  /** Shaded stretches of the horizontal axis. */
  readonly bands?: readonly (readonly [number, number])[];
  readonly bars?: readonly Bar[];
  readonly lines?: readonly Line[];
  readonly marks?: readonly Mark[];
}

export interface Chart {
  /** Unique in the page. */
  readonly id: string;
  readonly title: string;
  /** What the chart shows, in words, for those who cannot see it. */
  readonly description: string;
  /** Width in pixels at scale 1. */
  readonly width: number;
  readonly x: { readonly label: string; readonly log?: boolean; readonly format?: (value: number) => string };
  readonly panels: readonly Panel[];
}

/** Widths of a character at 13 pixels, normal and bold, a little more than a usual sans serif needs. */
export const CHARACTER = 6.7;
const BOLD_CHARACTER = 7.3;
const LINE_HEIGHT = 16;
const PANEL_HEADER = 42;
const FIRST_HEADER = 26;
const POINTS_A_LINE = 400;

/** An SVG figure with an accessible name and description. */
export function figure(
  chart: { readonly id: string; readonly title: string; readonly description: string },
  width: number,
  height: number,
  content: Piece,
): Markup {
  return html`<svg role="img" aria-labelledby="${chart.id}-t" aria-describedby="${chart.id}-d" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"><title id="${chart.id}-t">${chart.title}</title><desc id="${chart.id}-d">${chart.description}</desc>${content}</svg>`;
}

/** Draws panels of lines, marks, bars and bands over one horizontal axis. */
export function drawChart(chart: Chart): Markup {
  const formatX = chart.x.format ?? shortNumber;
  const domains = chart.panels.map(panelDomain);
  const left = Math.max(
    ...chart.panels.map((panel, index) => {
      const { ticks } = linearScale(domains[index] ?? [0, 1], [1, 0], panel.ticks ?? 4);
      return Math.max(...ticks.map((tick) => (panel.format ?? shortNumber)(tick).length), 1) * CHARACTER + 12;
    }),
  );
  const names = chart.panels.flatMap(endNames);
  const right = names.length > 0 ? Math.max(...names.map((name) => name.length)) * CHARACTER + 12 : 14;
  const values = chart.panels.flatMap(horizontalValues);
  const range: [number, number] = [left, chart.width - right];
  const x =
    chart.x.log === true
      ? logScale(logDomain(values), range)
      : linearScale(tightDomain(values), range, Math.max(3, Math.floor((range[1] - range[0]) / 125)));

  // The first panel needs no distance from one above it.
  let top = FIRST_HEADER - PANEL_HEADER;
  const drawn: Markup[] = [];
  for (const [index, panel] of chart.panels.entries()) {
    top += PANEL_HEADER;
    const y = linearScale(domains[index] ?? [0, 1], [top + panel.height, top], panel.ticks ?? 4);
    drawn.push(drawPanel(panel, x, y, chart.x.label));
    top += panel.height;
  }
  const axis = html`<g class="axis">${x.ticks.map((tick) => html`<text x="${x.at(tick)}" y="${top + 20}" text-anchor="middle">${formatX(tick)}</text>`)}<text class="name" x="${(range[0] + range[1]) / 2}" y="${top + 41}" text-anchor="middle">${chart.x.label}</text></g>`;
  return figure(chart, chart.width, top + 48, [...drawn, axis]);
}

/** `12,000` up to 5 digits, then `1.2M`. */
export function shortNumber(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${significant(value / 1e6, 3)}M`;
  return size >= 100 ? integer(value) : significant(value, 3);
}

function panelDomain(panel: Panel): readonly [number, number] {
  if (panel.domain !== undefined) return panel.domain;
  const values = [
    ...(panel.rule === undefined ? [] : [panel.rule.value]),
    ...(panel.bars ?? []).flatMap((bar) => [0, bar.height]),
    ...(panel.lines ?? []).flatMap((line) => line.points.map(([, y]) => y)),
    ...(panel.marks ?? []).flatMap((mark) => [mark.y, ...(mark.interval ?? [])]),
  ];
  // Labels stand above their marks and need the room of two lines there.
  const labelled = panel.marks?.some((mark) => mark.label !== undefined) === true;
  return linearDomain(values, labelled ? 60 / panel.height : 0.06);
}

function horizontalValues(panel: Panel): number[] {
  return [
    ...(panel.bands ?? []).flat(),
    ...(panel.bars ?? []).flatMap((bar) => [bar.from, bar.to]),
    ...(panel.lines ?? []).flatMap((line) => line.points.map(([x]) => x)),
    ...(panel.marks ?? []).map((mark) => mark.x),
  ];
}

function endNames(panel: Panel): string[] {
  const rule = panel.rule === undefined ? [] : [panel.rule.name, (panel.format ?? shortNumber)(panel.rule.value)];
  return [...rule, ...(isNamed(panel) ? (panel.lines ?? []).map((line) => line.name) : [])];
}

/** A single line needs no name of its own: the panel's label says what it is. */
function isNamed(panel: Panel): boolean {
  return (panel.lines ?? []).length > 1;
}

function drawPanel(panel: Panel, x: Scale, y: Scale, axis: string): Markup {
  const format = panel.format ?? shortNumber;
  const [left, right] = x.range;
  const [bottom, top] = y.range;
  const grid = y.ticks.map(
    (tick) =>
      html`<line class="grid" x1="${left}" x2="${right}" y1="${y.at(tick)}" y2="${y.at(tick)}"/><text x="${left - 8}" y="${y.at(tick) + 4}" text-anchor="end">${format(tick)}</text>`,
  );
  const verticals = x.ticks.map((tick) =>
    x.log
      ? html`<line class="grid" x1="${x.at(tick)}" x2="${x.at(tick)}" y1="${top}" y2="${bottom}"/>`
      : html`<line class="base" x1="${x.at(tick)}" x2="${x.at(tick)}" y1="${bottom}" y2="${bottom + 4}"/>`,
  );
  const bands = (panel.bands ?? []).map(
    ([from, to]) =>
      html`<rect class="band" x="${x.at(from)}" y="${top}" width="${Math.max(1, x.at(to) - x.at(from))}" height="${bottom - top}"/>`,
  );
  const bars = (panel.bars ?? []).map((bar) => {
    const width = Math.max(0.5, x.at(bar.to) - x.at(bar.from) - 0.6);
    // A bar that is not empty is never invisible.
    const height = bar.height > 0 ? Math.max(1, y.at(0) - y.at(bar.height)) : 0;
    return html`<rect class="fill-accent" x="${x.at(bar.from) + 0.3}" y="${y.at(0) - height}" width="${width}" height="${height}" data-tip="${bar.tip}"/>`;
  });
  const ends: EndLabel[] = [];
  const rule =
    panel.rule === undefined
      ? undefined
      : html`<line class="rule" x1="${left}" x2="${right}" y1="${y.at(panel.rule.value)}" y2="${y.at(panel.rule.value)}"/>`;
  if (panel.rule !== undefined) {
    ends.push({
      y: y.at(panel.rule.value),
      lines: [panel.rule.name, (panel.format ?? shortNumber)(panel.rule.value)],
      tone: "muted",
    });
  }
  const lines = (panel.lines ?? []).map((line) => {
    const points = thin(line.points, POINTS_A_LINE);
    const last = points.at(-1);
    if (last === undefined) return undefined;
    if (isNamed(panel)) ends.push({ y: y.at(last[1]), lines: [line.name], tone: line.tone });
    const path = points.map(([px, py]) => `${coordinate(x.at(px))},${coordinate(y.at(py))}`).join(" ");
    const dot =
      points.length === 1
        ? html`<circle class="fill-${line.tone}" cx="${x.at(last[0])}" cy="${y.at(last[1])}" r="3"/>`
        : undefined;
    return html`<polyline class="line stroke-${line.tone}" data-name="${line.name}" points="${path}"/>${dot}`;
  });
  // What the read-out script needs to turn pixels back into values.
  const scales = JSON.stringify({ x: [...x.range, ...x.domain], y: [...y.range, ...y.domain] });
  return html`<g class="panel"><text class="name" x="${left}" y="${top - 12}">${panel.label}</text>${grid}${verticals}${bands}<line class="base" x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>${bars}${rule}<g class="lines" data-axis="${axis}" data-scales="${scales}"><rect class="catch" x="${left}" y="${top}" width="${right - left}" height="${bottom - top}"/>${lines}</g>${drawMarks(panel.marks ?? [], x, y)}${endLabels(ends, right + 8, top, bottom)}</g>`;
}

interface EndLabel {
  readonly y: number;
  readonly lines: readonly string[];
  readonly tone: Tone;
}

/** Names in the right margin, pushed apart so that none covers another, and kept inside the panel. */
function endLabels(labels: readonly EndLabel[], x: number, top: number, bottom: number): Markup[] {
  const placed = [...labels]
    .sort((a, b) => a.y - b.y)
    .map((label) => ({
      ...label,
      top: label.y - (label.lines.length * LINE_HEIGHT) / 2,
      height: label.lines.length * LINE_HEIGHT,
    }));
  let floor = top - LINE_HEIGHT / 2;
  for (const label of placed) {
    label.top = Math.max(label.top, floor);
    floor = label.top + label.height;
  }
  let ceiling = bottom + LINE_HEIGHT / 2;
  for (const label of placed.reverse()) {
    label.top = Math.min(label.top, ceiling - label.height);
    ceiling = label.top;
  }
  return placed.map(
    (label) =>
      html`<text class="end text-${label.tone}">${label.lines.map((line, index) => html`<tspan x="${x}" y="${label.top + 12 + index * LINE_HEIGHT}">${line}</tspan>`)}</text>`,
  );
}

/** Marks in order, then their labels, so that no mark covers a label. A label that would cover another moves below its mark. */
function drawMarks(marks: readonly Mark[], xScale: Scale, yScale: Scale): Markup[] {
  const taken: { left: number; right: number; y: number }[] = [];
  const labels: Markup[] = [];
  const drawn = marks.map((mark) => {
    const [x, y] = [xScale.at(mark.x), yScale.at(mark.y)];
    const [low, high] =
      mark.interval === undefined ? [y, y] : [yScale.at(mark.interval[0]), yScale.at(mark.interval[1])];
    if (mark.label !== undefined) {
      const width = Math.max(...mark.label.map((line) => line.length)) * BOLD_CHARACTER;
      const share = (x - xScale.range[0]) / (xScale.range[1] - xScale.range[0]);
      const anchor = share < 0.25 ? "start" : share > 0.75 ? "end" : "middle";
      const at = anchor === "start" ? x - 8 : anchor === "end" ? x + 8 : x;
      const left = anchor === "start" ? at : anchor === "end" ? at - width : at - width / 2;
      const above = Math.min(high, y - 8) - 8 - (mark.label.length - 1) * LINE_HEIGHT;
      const isFree = taken.every(
        (other) => left > other.right || left + width < other.left || Math.abs(above - other.y) > 40,
      );
      const first = isFree ? above : Math.max(low, y + 8) + LINE_HEIGHT + 4;
      taken.push({ left, right: left + width, y: first });
      labels.push(
        html`<text class="callout text-${mark.tone}" text-anchor="${anchor}">${mark.label.map((line, index) => html`<tspan x="${at}" y="${first + index * LINE_HEIGHT}">${line}</tspan>`)}</text>`,
      );
    }
    const whisker =
      mark.interval === undefined
        ? undefined
        : html`<path class="whisker stroke-${mark.tone}" d="M${x} ${low}V${high}M${x - 4} ${low}h8M${x - 4} ${high}h8"/>`;
    return html`<g class="mark" data-tip="${mark.tip}">${whisker}${symbol(mark, x, y)}</g>`;
  });
  return [...drawn, ...labels];
}

/** The drawn shape of a mark at pixel (x, y). */
export function symbol(mark: Pick<Mark, "shape" | "tone">, x: number, y: number): Markup {
  switch (mark.shape) {
    case "dot":
      return html`<circle class="fill-${mark.tone} halo" cx="${x}" cy="${y}" r="4.5"/>`;
    case "cross":
      return html`<path class="cross stroke-${mark.tone}" d="M${x - 4} ${y - 4}l8 8M${x - 4} ${y + 4}l8 -8"/>`;
    case "diamond":
      return html`<path class="fill-${mark.tone} halo" d="M${x} ${y - 8}l8 8l-8 8l-8 -8z"/>`;
    case "star":
      return html`<circle class="ring stroke-${mark.tone}" cx="${x}" cy="${y}" r="9"/><circle class="fill-${mark.tone}" cx="${x}" cy="${y}" r="5"/>`;
  }
}

function coordinate(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** Width of figures on a phone, and across the page or in one of two columns on a desktop and on paper. */
const NARROW = 335;
export const FULL = 960;
export const HALF = 450;

/** The same drawing for desktop and phone; the style sheet shows the one that fits, so that texts keep their size. */
export function atBothWidths(id: string, wide: number, draw: (id: string, width: number) => Markup): Markup {
  return html`<div class="wide">${draw(`${id}-wide`, wide)}</div><div class="narrow">${draw(`${id}-narrow`, NARROW)}</div>`;
}

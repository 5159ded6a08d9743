import {
  type AnyArchitecture,
  type Architecture,
  inputSize,
  type LayerLayout,
  layoutOf,
  outputSize,
} from "../network/architecture.ts";
import type { Policy } from "../network/policy.ts";
import { CHARACTER, figure, HALF } from "./charts.ts";
import { integer, percent, plural, significant } from "./format.ts";
import { html, type Markup } from "./html.ts";

/** Two squares whose areas are as the numbers of weights: the teacher's in outline, the policy's filled, in its corner. */
export function drawSquares(id: string, teacherWeights: number, policyWeights: number, side: number): Markup {
  const inner = side * Math.sqrt(policyWeights / teacherWeights);
  const [left, bottom] = [1, side + 1];
  const top = bottom - inner;
  // A small square has its name outside, at the end of a leader.
  const isSmall = inner < 90;
  const name = isSmall
    ? html`<path class="leader" d="M${left + inner + 2} ${top - 2}L${left + inner + 26} ${top - 26}"/><text class="text-accent size" x="${left + inner + 30}" y="${top - 30}">Policy ${integer(policyWeights)}</text>`
    : html`<text class="size inside" x="${left + 12}" y="${bottom - 14}">Policy ${integer(policyWeights)}</text>`;
  const description = `The area of the filled square is to the outlined one as ${integer(policyWeights)} is to ${integer(teacherWeights)}.`;
  return figure(
    { id, title: "Weights of teacher and policy as areas, to scale", description },
    side + 2,
    side + 2,
    html`<rect class="outline" x="${left}" y="1" width="${side}" height="${side}"/><path class="fill-accent" d="${`M${left} ${bottom}v${-precise(inner)}h${precise(inner)}v${precise(inner)}z`}"/><text class="text-muted size" x="${left + 14}" y="28">Teacher ${integer(teacherWeights)}</text>${name}`,
  );
}

export interface ArchitectureDrawing {
  readonly id: string;
  readonly title: string;
  readonly architecture: Architecture;
  /** Units that are drawn at full height. Equal in drawings that are to be compared. */
  readonly tallest: number;
  /** Live units of each layer, in the order of `architecture.layers`, when pruning has measured them. */
  readonly live?: readonly number[];
  readonly width: number;
}

const FULL_HEIGHT = 200;
/** Width of a column of units, and what the largest images of a network add to theirs. */
const BAR = 12;
const IMAGE = 26;

/** A column: the input or a layer. */
interface Column {
  readonly name: string;
  /** Channels or filters of images. */
  readonly units: number;
  /** Rows and columns of images. */
  readonly image?: readonly [rows: number, columns: number];
  readonly layer?: LayerLayout;
}

function columnsOf(architecture: Architecture): Column[] {
  const layers = layoutOf(architecture);
  const from = layers[0]?.window?.from;
  const input: Column = from
    ? { name: "input", units: from[0], image: [from[1], from[2]] }
    : { name: "input", units: inputSize(architecture) };
  return [
    input,
    ...layers.map((layer): Column => {
      const { name, outputs: units, window } = layer;
      return { name, units, layer, ...(window && { image: [window.to[1], window.to[2]] as const }) };
    }),
  ];
}

/** Units of the tallest column that a drawing of this network has. */
export function tallestOf(architecture: AnyArchitecture): number {
  if ("model" in architecture) return Math.max(inputSize(architecture), outputSize(architecture));
  return Math.max(...columnsOf(architecture).map(({ units }) => units));
}

const by = (first: number, second: number): string => `${first}\u00d7${second}`;
const both = ([first, second]: readonly [number, number]): string =>
  first === second ? `${first}` : by(first, second);

/** A convolution in words. */
function describeWindow({ outputs, window }: LayerLayout): string | undefined {
  if (window === undefined) return undefined;
  const { kernel, stride, padding, from, to } = window;
  const border = padding.some((zeros) => zeros > 0) ? `, ${padding.join(", ")} zeros around` : "";
  return `${plural(outputs, "filter")} of ${by(...kernel)} at a stride of ${both(stride)}${border}, ${from.join("\u00d7")} to ${to.join("\u00d7")}`;
}

/**
 * A network as columns of units, joined where layers are connected. A column's height is the square root of its number
 * of units, so that the shaded area between two columns grows with the number of weights in it. Of images the units are channels
 * or filters, and the column is wider by the side of an image; kernel, stride and sizes stand below.
 */
export function drawArchitecture({ id, title, architecture, tallest, live, width }: ArchitectureDrawing): Markup {
  const found = columnsOf(architecture);
  const hasImages = found.some(({ image }) => image);
  const side = ({ image = [0, 0] }: Column): number => Math.sqrt(image[0] * image[1]);
  const largest = Math.max(1, ...found.map(side));
  const height = (units: number): number => FULL_HEIGHT * Math.sqrt(units / tallest);
  // Texts keep close to the network, whatever its height.
  const half = height(tallestOf(architecture)) / 2;
  // Side by side, networks share a middle line; one above the other, a small one takes little room.
  const room = width < HALF ? half : FULL_HEIGHT / 2;
  const middle = 30 + room;
  const margin = 24;
  const step = (width - 2 * margin) / Math.max(1, found.length - 1);
  const notesOf = ({ layer, image }: Column): string[] => [
    ...(layer?.window ? [`${by(...layer.window.kernel)}/${both(layer.window.stride)}`] : []),
    ...(image ? [by(...image)] : []),
  ];
  // Texts of neighbours must not touch: deep networks name every second, third, ... layer.
  const longest = Math.max(...found.flatMap((column) => [column.name, ...notesOf(column)]).map(({ length }) => length));
  const stride = Math.max(1, Math.ceil((longest * CHARACTER + 4) / step));
  const columns = found.map((column, index) => ({
    ...column,
    alive: live === undefined ? undefined : index === 0 ? column.units : live[index - 1],
    x: margin + index * step,
    wide: column.image ? BAR + (IMAGE * side(column)) / largest : BAR,
    notes: notesOf(column),
    told: index === found.length - 1 || (index % stride === 0 && index + stride < found.length),
  }));

  const band = (index: number, from: number, to: number, tone: string): Markup => {
    const [a, b] = [columns[index], columns[index + 1]];
    if (a === undefined || b === undefined) return html``;
    const [x0, x1, h0, h1] = [a.x + a.wide / 2, b.x - b.wide / 2, height(from) / 2, height(to) / 2];
    return html`<path class="${tone}" d="M${x0} ${middle - h0}L${x1} ${middle - h1}V${middle + h1}L${x0} ${middle + h0}z"/>`;
  };
  const bands = columns.slice(0, -1).map((column, index) => {
    const next = columns[index + 1];
    if (next?.layer === undefined) return undefined;
    const tip = `${column.name} to ${next.name}: ${plural(next.layer.weights.length, "weight")}`;
    const all = band(index, column.units, next.units, "flow");
    const kept =
      column.alive === undefined || next.alive === undefined
        ? undefined
        : band(index, column.alive, next.alive, "flow-live");
    return html`<g data-tip="${tip}">${all}${kept}</g>`;
  });

  const units = columns.map(({ name, units: count, image, layer, alive, x, wide }) => {
    const tall = Math.max(1.5, height(count));
    const rest = alive === undefined ? 0 : Math.max(1.5, height(alive));
    const noun = image === undefined ? "unit" : layer === undefined ? "channel" : "filter";
    const size = alive === undefined ? plural(count, noun) : `${integer(alive)} of ${plural(count, noun)} live`;
    const made = layer ? describeWindow(layer) : image && `images ${by(...image)}`;
    const tip = `${name}: ${size}${made === undefined ? "" : `\n${made}`}`;
    const column = (tone: string, length: number): Markup =>
      html`<rect class="${tone}" x="${x - wide / 2}" y="${middle - length / 2}" width="${wide}" height="${length}" rx="1.5"/>`;
    const body = column(alive === undefined ? "fill-accent" : "unit", tall);
    return html`<g data-tip="${tip}">${body}${alive === undefined ? undefined : column("fill-accent", rest)}</g>`;
  });

  const below = middle + half + 26;
  const line = 18;
  const texts = columns
    .filter((column) => column.told)
    .map(({ name, units: count, alive, x, notes }) => {
      const kept = alive === undefined || name === "input" ? undefined : `${integer(alive)} live`;
      const left = kept === undefined ? 0 : line;
      return html`<text class="size" x="${x}" y="${middle - half - 14}" text-anchor="middle">${integer(count)}</text><text class="text-muted" x="${x}" y="${below}" text-anchor="middle">${name}</text>${kept === undefined ? undefined : html`<text class="text-accent" x="${x}" y="${below + line}" text-anchor="middle">${kept}</text>`}${notes.map((note, index) => html`<text class="text-muted" x="${x}" y="${below + left + (index + 1) * line}" text-anchor="middle">${note}</text>`)}`;
    });

  const description = found
    .flatMap((column, index) => {
      const { layer } = column;
      if (layer === undefined) return [];
      const kept = live?.[index - 1];
      const what = describeWindow(layer) ?? `${layer.inputs} inputs, ${plural(layer.outputs, "unit")}`;
      return [`${layer.name}: ${what}${kept === undefined ? "" : `, ${integer(kept)} live`}`];
    })
    .join("; ");
  const lines = (live === undefined ? 0 : 1) + (hasImages ? 2 : 0);
  return figure({ id, title, description: `${description}.` }, width, 2 * room + 68 + lines * line, [
    ...bands,
    ...units,
    ...texts,
  ]);
}

/** What pruning left of each layer: one row a layer, weights above units, as fractions of what was there. */
export function drawRedundancy(
  id: string,
  title: string,
  layers: readonly { name: string; weights: number; nonZero: number; units: number; liveUnits: number }[],
  width: number,
): Markup {
  const [left, right, row] = [72, width - 58, 46];
  const bar = (y: number, part: number, whole: number, tone: string, noun: string): Markup => {
    const share = whole === 0 ? 0 : part / whole;
    const length = share > 0 ? Math.max(1.5, (right - left) * share) : 0;
    return html`<g data-tip="${`${integer(part)} of ${integer(whole)} ${noun}`}"><rect class="track" x="${left}" y="${y}" width="${right - left}" height="11"/><rect class="${tone}" x="${left}" y="${y}" width="${length}" height="11"/><text x="${right + 8}" y="${y + 10}">${percent(share)}</text></g>`;
  };
  const rows = layers.map((layer, index) => {
    const y = 26 + index * row;
    return html`<text class="text-ink" x="${left - 10}" y="${y + 17}" text-anchor="end">${layer.name}</text>${bar(y, layer.nonZero, layer.weights, "fill-accent", "weights are not zero")}${bar(y + 15, layer.liveUnits, layer.units, "fill-muted", "units live")}`;
  });
  const key = html`<rect class="fill-accent" x="${left}" y="4" width="11" height="9"/><text x="${left + 17}" y="13">non-zero weights</text><rect class="fill-muted" x="${left + 142}" y="4" width="11" height="9"/><text x="${left + 159}" y="13">live units</text>`;
  const description = layers
    .map(
      (layer) =>
        `${layer.name}: ${integer(layer.nonZero)} of ${plural(layer.weights, "weight")} not zero, ${integer(layer.liveUnits)} of ${plural(layer.units, "unit")} live`,
    )
    .join("; ");
  return figure({ id, title, description: `${description}.` }, width, 26 + layers.length * row, [key, ...rows]);
}

const CELL_WIDTH = 62;
const CELL_HEIGHT = 26;

/**
 * Every number of a small policy, layer by layer: a row an input, a column a unit, the biases in the last row. The
 * stronger the shade the larger the magnitude; the sign is written and also tells the two shades apart.
 */
export function drawWeights(id: string, policy: Policy): Markup[] {
  const largest = policy.parameters.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
  return layoutOf(policy.architecture).map((layer, index) =>
    drawMatrix(`${id}-${index}`, policy.parameters, layer, largest, index),
  );
}

function drawMatrix(id: string, parameters: Float32Array, layer: LayerLayout, largest: number, index: number): Markup {
  const [left, top] = [64, 44];
  const cell = (value: number, row: number, column: number): Markup => {
    const shade = (0.08 + 0.42 * (Math.abs(value) / largest)).toFixed(2);
    const [x, y] = [left + column * CELL_WIDTH, top + row * CELL_HEIGHT];
    return html`<rect class="${value < 0 ? "fill-ink" : "fill-accent"}" fill-opacity="${value === 0 ? "0" : shade}" x="${x}" y="${y}" width="${CELL_WIDTH - 2}" height="${CELL_HEIGHT - 2}" rx="2"/><text class="text-ink" x="${x + CELL_WIDTH - 9}" y="${y + 17}" text-anchor="end">${fixed(value)}</text>`;
  };
  const source = index === 0 ? "input" : "unit";
  const rows: Markup[] = [];
  for (let input = 0; input <= layer.inputs; input++) {
    const isBias = input === layer.inputs;
    // A gap sets the biases apart.
    const row = isBias ? input + 0.3 : input;
    const offset = isBias ? layer.biases.offset : layer.weights.offset + input * layer.outputs;
    const values = Array.from(parameters.subarray(offset, offset + layer.outputs));
    rows.push(
      html`<text x="${left - 10}" y="${top + row * CELL_HEIGHT + 17}" text-anchor="end">${isBias ? "bias" : `${source} ${input}`}</text>${values.map((value, column) => cell(value, row, column))}`,
    );
  }
  const heads = Array.from(
    { length: layer.outputs },
    (_, column) =>
      html`<text x="${left + column * CELL_WIDTH + CELL_WIDTH - 9}" y="${top - 9}" text-anchor="end">${layer.name === "output" ? "action" : "unit"} ${String(column)}</text>`,
  );
  const title = `Weights and biases of ${layer.name}`;
  const description = `${layer.inputs} by ${layer.outputs} weights and ${layer.outputs} biases of ${layer.name}, activation ${layer.activation}.`;
  const width = left + layer.outputs * CELL_WIDTH;
  const name = html`<text class="name" x="${0}" y="14">${layer.name} (${layer.activation === "none" ? "linear" : layer.activation})</text>`;
  return figure({ id, title, description }, Math.max(width, 150), top + (layer.inputs + 1.3) * CELL_HEIGHT, [
    name,
    ...heads,
    ...rows,
  ]);
}

/** Widths and distances of the drawn network, in pixels. */
const NODE = { radius: 7, down: 46, across: 150, margin: 74 } as const;

/** The network with a line a weight: its thickness is the magnitude, negative ones are dashed. */
export function drawNetwork(id: string, policy: Policy): Markup {
  const layers = layoutOf(policy.architecture);
  const sizes = [inputSize(policy.architecture), ...layers.map((layer) => layer.outputs)];
  const height = Math.max(...sizes) * NODE.down;
  const x = (column: number): number => NODE.margin + column * NODE.across;
  const y = (column: number, unit: number): number => height / 2 + (unit - ((sizes[column] ?? 1) - 1) / 2) * NODE.down;
  const largest = policy.parameters.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
  const nodeName = (column: number, unit: number): string =>
    `${column === 0 ? "input" : column === layers.length ? "action" : "unit"} ${unit}`;
  const edges = layers.flatMap((layer, column) =>
    Array.from(
      policy.parameters.subarray(layer.weights.offset, layer.weights.offset + layer.weights.length),
      (weight, index) => {
        const [from, to] = [Math.floor(index / layer.outputs), index % layer.outputs];
        const style = weight < 0 ? "edge stroke-muted negative" : "edge stroke-accent";
        const thickness = (6 * Math.abs(weight)) / largest;
        return html`<line class="${style}" stroke-width="${weight === 0 ? "0" : Math.max(0.5, thickness).toFixed(1)}" x1="${x(column)}" y1="${y(column, from)}" x2="${x(column + 1)}" y2="${y(column + 1, to)}" data-tip="${`${nodeName(column, from)} to ${nodeName(column + 1, to)}: ${fixed(weight)}`}"/>`;
      },
    ),
  );
  const nodes = sizes.flatMap((size, column) =>
    Array.from({ length: size }, (_, unit) => {
      const isEnd = column === 0 || column === layers.length;
      const shift = column === 0 ? -NODE.radius - 8 : NODE.radius + 8;
      const name = isEnd
        ? html`<text class="text-ink" x="${x(column) + shift}" y="${y(column, unit) + 4}" text-anchor="${column === 0 ? "end" : "start"}">${nodeName(column, unit)}</text>`
        : undefined;
      return html`<circle class="node" cx="${x(column)}" cy="${y(column, unit)}" r="${NODE.radius}"/>${name}`;
    }),
  );
  const description = `${sizes.join(" to ")} units, ${plural(edges.length, "weight")}; the numbers stand in the tables beside it.`;
  return figure({ id, title: "The policy, weight by weight", description }, x(layers.length) + NODE.margin, height, [
    ...edges,
    ...nodes,
  ]);
}

/** Two decimals, or one when the number is large: columns of weights stay aligned. */
function fixed(value: number): string {
  const size = Math.abs(value);
  if (size >= 10_000 || (size > 0 && size < 0.005)) return significant(value, 2);
  return value.toFixed(size >= 100 ? 1 : 2).replace("-", "\u2212");
}

function precise(value: number): number {
  return Math.round(value * 100) / 100;
}

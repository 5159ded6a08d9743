import type { LayerLayout, Window } from "../../network/architecture.ts";
import { constants } from "./text.ts";

/** How a layer is written down: loops over all weights, loops over those that are not 0, or no loops at all. */
export type Form = "dense" | "sparse" | "straight";
export const FORMS = ["dense", "sparse", "straight"] as const;

/** From so many units on, sums are kept side by side, one for each, which compilers turn into vectors. */
const SIDE_BY_SIDE = 8;
/** So many of them are kept at once. */
const SUMS = 64;
/** A long row of floats is added up in so many sums. */
const LANES = 16;
/** Below this density, lists of weights are shorter and quicker than all of them; of few weights, no lists and no loops. */
const SPARSE = 0.4;
const STRAIGHT = 8;

/** A layer in the numbers of its arithmetic, ready to be written down. */
export interface CodedLayer extends Pick<LayerLayout, "name" | "inputs" | "outputs" | "positions" | "window"> {
  /** [outputs, inputs] */
  readonly weights: ArrayLike<number>;
  readonly biases: ArrayLike<number>;
  /** C types of what goes in, of weights, sums and what comes out. */
  readonly types: { readonly from: string; readonly weight: string; readonly sum: string; readonly to: string };
  readonly literal: (value: number) => string;
  readonly sumLiteral: (value: number) => string;
  /** An input, brought to what the layer multiplies, given what reads it. */
  readonly input: (read: string) => string;
  /** C type of a window's inputs where they are brought together, and one of them as a factor of a product. */
  readonly patch: string;
  readonly factor: (read: string) => string;
  /** What comes out, given the names of the sum and of the unit. */
  readonly finish: (sum: string, unit: string) => string;
  /** Whether sums may be kept side by side or in parts: those of floats, whose additions compilers leave in their order. */
  readonly vectors: boolean;
}

/** The form that is the smallest and quickest for a layer; measured in docs/performance.md. */
export function formOf({
  weights,
  window,
  inputs,
  outputs,
}: Pick<CodedLayer, "weights" | "window" | "inputs" | "outputs">): Form {
  if (window !== undefined) return "dense";
  let count = 0;
  for (let i = 0; i < weights.length; i++) if (weights[i] !== 0) count++;
  if (count >= SPARSE * inputs * outputs) return "dense";
  return count <= STRAIGHT ? "straight" : "sparse";
}

const isZero = (weight: number): boolean => weight === 0;

/** Constants and a function `static void NAME(const FROM *x, TO *y)`. */
export function writeLayer(layer: CodedLayer, index: string, form: Form, prefix: string): string {
  const { types, window } = layer;
  const name = `${prefix}_${layer.name}`;
  const body =
    window !== undefined
      ? convolution(layer, window, name, index)
      : form === "straight" || Array.from(layer.weights).every(isZero)
        ? { data: "", code: straight(layer) }
        : form === "sparse"
          ? sparse(layer, name, index)
          : dense(layer, name, index);
  return `${body.data}
static void ${name}(const ${types.from} *x, ${types.to} *y)
{
${body.code}}
`;
}

interface Written {
  readonly data: string;
  readonly code: string;
}

const literals = ({ weights, literal }: CodedLayer, order: (at: number) => number = (at) => at): string[] =>
  Array.from({ length: weights.length }, (_, at) => literal(weights[order(at)]!));

const biasesOf = ({ biases, sumLiteral, types }: CodedLayer, name: string): string =>
  constants(types.sum, `${name}_biases`, Array.from(biases, sumLiteral));

/** All of a layer's units in blocks of sums side by side: `[from, size]`. */
function blocksOf(outputs: number): [number, number][] {
  return Array.from({ length: Math.ceil(outputs / SUMS) }, (_, b) => [b * SUMS, Math.min(SUMS, outputs - b * SUMS)]);
}

/** Where the sums of a layer's units are made from, and where they go. */
interface Place {
  /** An array of inputs, each as a factor of a product. */
  readonly read: (at: string) => string;
  readonly write: (unit: string) => string;
  readonly indent: string;
}

const inVector: Place = { read: (at) => `x[${at}]`, write: (unit) => `y[${unit}]`, indent: "  " };

function dense(layer: CodedLayer, name: string, index: string): Written {
  const place = { ...inVector, read: (at: string): string => layer.factor(layer.input(`x[${at}]`)) };
  return layer.vectors && layer.outputs >= SIDE_BY_SIDE
    ? sideBySide(layer, name, index, place)
    : unitByUnit(layer, name, index, place);
}

/** One unit after the other. Of long rows of floats several sums are kept, in whose order compilers may add. */
function unitByUnit(layer: CodedLayer, name: string, index: string, { read, write, indent }: Place): Written {
  const { inputs, outputs, types, vectors, finish } = layer;
  const whole = vectors && inputs >= 2 * LANES ? inputs - (inputs % LANES) : 0;
  const lanes =
    whole === 0
      ? ""
      : `
  ${types.sum} sums[${LANES}] = { 0 };
  for (${index} i = 0; i < ${whole}; i += ${LANES}) {
    for (${index} k = 0; k < ${LANES}; k++) sums[k] += ${read("i + k")} * w[i + k];
  }
  for (${index} k = 0; k < ${LANES}; k++) sum += sums[k];`;
  const rest =
    whole === inputs ? "" : `\n  for (${index} i = ${whole}; i < ${inputs}; i++) sum += ${read("i")} * w[i];`;
  const code = `for (${index} j = 0; j < ${outputs}; j++) {
  const ${types.weight} *w = ${name}_weights + j * ${inputs};
  ${types.sum} sum = ${name}_biases[j];${lanes}${rest}
  ${write("j")} = ${finish("sum", "j")};
}
`;
  return {
    data: constants(types.weight, `${name}_weights`, literals(layer)) + biasesOf(layer, name),
    code: indented(code, indent),
  };
}

const indented = (code: string, indent: string): string => code.replace(/^(?=.)/gm, indent);

/** All units of a block at once: [inputs, size] weights each, read as they lie. */
function sideBySide(layer: CodedLayer, name: string, index: string, { read, write, indent }: Place): Written {
  const { inputs, outputs, types, finish } = layer;
  const blocks = blocksOf(outputs);
  const order = blocks.flatMap(([from, size]) =>
    Array.from({ length: inputs * size }, (_, at) => (from + (at % size)) * inputs + Math.floor(at / size)),
  );
  const unitOf = (from: number): string => (from === 0 ? "j" : `(${from} + j)`);
  const code = blocks.map(
    ([from, size]) => `{
  const ${types.weight} *w = ${name}_weights${from === 0 ? "" : ` + ${from * inputs}`};
  ${types.sum} sums[${size}];
  for (${index} j = 0; j < ${size}; j++) sums[j] = ${name}_biases[${unitOf(from)}];
  for (${index} i = 0; i < ${inputs}; i++) {
    const ${types.sum} value = ${read("i")};
    for (${index} j = 0; j < ${size}; j++) sums[j] += value * w[${size} * i + j];
  }
  for (${index} j = 0; j < ${size}; j++) {
    const ${types.sum} sum = sums[j];
    ${write(unitOf(from))} = ${finish("sum", unitOf(from))};
  }
}
`,
  );
  return {
    data:
      constants(
        types.weight,
        `${name}_weights`,
        literals(layer, (at) => order[at]!),
      ) + biasesOf(layer, name),
    code: indented(code.join(""), indent),
  };
}

/** Rows of weights that are not 0 with their columns (CSR). */
function sparse(layer: CodedLayer, name: string, index: string): Written {
  const { inputs, outputs, weights, types, literal, input, factor, finish } = layer;
  const values: string[] = [];
  const columns: string[] = [];
  const ends: string[] = [];
  for (let j = 0; j < outputs; j++) {
    for (let i = 0; i < inputs; i++) {
      const weight = weights[j * inputs + i]!;
      if (weight === 0) continue;
      values.push(literal(weight));
      columns.push(String(i));
    }
    ends.push(String(values.length));
  }
  const unsigned = (largest: number): string =>
    largest < 256 ? "uint8_t" : largest < 65_536 ? "uint16_t" : "uint32_t";
  return {
    data:
      constants(types.weight, `${name}_weights`, values) +
      constants(unsigned(inputs - 1), `${name}_columns`, columns) +
      constants(unsigned(values.length), `${name}_ends`, ends) +
      biasesOf(layer, name),
    code: `  ${index} at = 0;
  for (${index} j = 0; j < ${outputs}; j++) {
    const ${index} end = (${index})${name}_ends[j];
    ${types.sum} sum = ${name}_biases[j];
    for (; at < end; at++) sum += ${factor(input(`x[${name}_columns[at]]`))} * ${name}_weights[at];
    y[j] = ${finish("sum", "j")};
  }
`,
  };
}

function straight(layer: CodedLayer): string {
  const { inputs, outputs, weights, biases, types, literal, sumLiteral, input, factor, finish } = layer;
  let code = "";
  for (let j = 0; j < outputs; j++) {
    const terms = [sumLiteral(biases[j]!)];
    for (let i = 0; i < inputs; i++) {
      const weight = weights[j * inputs + i]!;
      if (weight !== 0) terms.push(`${factor(input(`x[${i}]`))} * ${literal(weight)}`);
    }
    code += `  {\n    const ${types.sum} sum = ${terms.join("\n        + ")};\n    y[${j}] = ${finish("sum", String(j))};\n  }\n`;
  }
  // Parameters that no weight reads are still parameters.
  return Array.from(weights).every(isZero) ? `  (void)x;\n${code}` : code;
}

/** Window by window: what it holds is brought together, as the inputs of a dense layer over its filters. */
function convolution(layer: CodedLayer, window: Window, name: string, index: string): Written {
  const { inputs, outputs, positions, input, patch } = layer;
  const {
    kernel: [tall, wide],
    stride,
    padding: [above, before],
    from: [channels, height, width],
    to: [, rows, columns],
  } = window;
  const padded = window.padding.some((zeros) => zeros > 0);
  const less = (zeros: number): string => (zeros > 0 ? ` - ${zeros}` : "");
  const row = `r * ${stride[0]} + i${less(above)}`;
  const column = `c * ${stride[1]} + k${less(before)}`;
  const pixel = input(`x[(channel * ${height} + ${row}) * ${width} + ${column}]`);
  const inside = `${row} >= 0 && ${row} < ${height} && ${column} >= 0 && ${column} < ${width}`;
  const taken = padded ? `${inside} ? ${pixel} : 0` : pixel;
  const place: Place = {
    read: (at) => layer.factor(`patch[${at}]`),
    write: (unit) => `y[${unit} * ${positions} + r * ${columns} + c]`,
    indent: "      ",
  };
  const many = layer.vectors && outputs >= SIDE_BY_SIDE;
  const { data, code } = many ? sideBySide(layer, name, index, place) : unitByUnit(layer, name, index, place);
  return {
    data,
    code: `  ${patch} patch[${inputs}];
  for (${index} r = 0; r < ${rows}; r++) {
    for (${index} c = 0; c < ${columns}; c++) {
      ${patch} *p = patch;
      for (${index} channel = 0; channel < ${channels}; channel++) {
        for (${index} i = 0; i < ${tall}; i++) {
          for (${index} k = 0; k < ${wide}; k++) *p++ = ${taken};
        }
      }
${code}    }
  }
`,
  };
}

import type { LayerLayout, Window } from "../../network/architecture.ts";
import { constants } from "./text.ts";

/** How a layer is written down: loops over all weights, loops over those that are not 0, or no loops at all. */
export type Form = "dense" | "sparse" | "straight";
export const FORMS = ["dense", "sparse", "straight"] as const;

/** From so many units on, sums are kept side by side, one for each, which compilers turn into vectors. */
const SIDE_BY_SIDE = 8;
/** So many of them are kept at once. */
const SUMS = 64;
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
  /** An input as a factor of a product, given what reads it. */
  readonly input: (read: string) => string;
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

function dense(layer: CodedLayer, name: string, index: string): Written {
  const { inputs, outputs, types, input, finish } = layer;
  if (!layer.vectors || outputs < SIDE_BY_SIDE) {
    return {
      data: constants(types.weight, `${name}_weights`, literals(layer)) + biasesOf(layer, name),
      code: `  const ${types.weight} *w = ${name}_weights;
  for (${index} j = 0; j < ${outputs}; j++) {
    ${types.sum} sum = ${name}_biases[j];
    for (${index} i = 0; i < ${inputs}; i++) sum += ${input("x[i]")} * *w++;
    y[j] = ${finish("sum", "j")};
  }
`,
    };
  }
  // Block by block: [inputs, size] weights each, read as they lie.
  const blocks = blocksOf(outputs);
  const order = blocks.flatMap(([from, size]) =>
    Array.from({ length: inputs * size }, (_, at) => (from + (at % size)) * inputs + Math.floor(at / size)),
  );
  const code = blocks.map(
    ([from, size]) => `  {
    const ${types.weight} *w = ${name}_weights + ${from * inputs};
    ${types.sum} sums[${size}];
    for (${index} j = 0; j < ${size}; j++) sums[j] = ${name}_biases[${from} + j];
    for (${index} i = 0; i < ${inputs}; i++) {
      const ${types.sum} value = ${input("x[i]")};
      for (${index} j = 0; j < ${size}; j++) sums[j] += value * w[${size} * i + j];
    }
    for (${index} j = 0; j < ${size}; j++) {
      const ${types.sum} sum = sums[j];
      y[${from} + j] = ${finish("sum", `(${from} + j)`)};
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
    code: code.join(""),
  };
}

/** Rows of weights that are not 0 with their columns (CSR). */
function sparse(layer: CodedLayer, name: string, index: string): Written {
  const { inputs, outputs, weights, types, literal, input, finish } = layer;
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
    for (; at < end; at++) sum += ${input(`x[${name}_columns[at]]`)} * ${name}_weights[at];
    y[j] = ${finish("sum", "j")};
  }
`,
  };
}

function straight(layer: CodedLayer): string {
  const { inputs, outputs, weights, biases, types, literal, sumLiteral, input, finish } = layer;
  let code = "";
  for (let j = 0; j < outputs; j++) {
    const terms = [sumLiteral(biases[j]!)];
    for (let i = 0; i < inputs; i++) {
      const weight = weights[j * inputs + i]!;
      if (weight !== 0) terms.push(`${input(`x[${i}]`)} * ${literal(weight)}`);
    }
    code += `  {\n    const ${types.sum} sum = ${terms.join("\n        + ")};\n    y[${j}] = ${finish("sum", String(j))};\n  }\n`;
  }
  // Parameters that no weight reads are still parameters.
  return Array.from(weights).every(isZero) ? `  (void)x;\n${code}` : code;
}

function convolution(layer: CodedLayer, window: Window, name: string, index: string): Written {
  const { inputs, outputs, types, vectors } = layer;
  const { padding } = window;
  const padded = padding.some((zeros) => zeros > 0);
  const many = vectors && outputs >= SIDE_BY_SIDE && outputs <= SUMS;
  const taps = inputs;
  const order = (at: number): number => (many ? (at % outputs) * taps + Math.floor(at / outputs) : at);
  const data = constants(types.weight, `${name}_weights`, literals(layer, order)) + biasesOf(layer, name);
  const code = many ? manyFilters(layer, window, name, index, padded) : fewFilters(layer, window, name, index, padded);
  return { data, code };
}

/** The rows and columns of a kernel that lie inside of the image, as conditions of C. */
function inside({ from: [, height, width], stride, padding }: Window): { row: string; column: string } {
  return {
    row: `r * ${stride[0]} + i < ${padding[0]} || r * ${stride[0]} + i >= ${padding[0] + height}`,
    column: `c * ${stride[1]} + k < ${padding[1]} || c * ${stride[1]} + k >= ${padding[1] + width}`,
  };
}

/** Where the first pixel of a row of the window lies. */
function pixels({ from: [, height, width], stride, padding }: Window): string {
  const down = padding[0] > 0 ? ` - ${padding[0]}` : "";
  const right = padding[1] > 0 ? ` - ${padding[1]}` : "";
  return `(k_ * ${height} + r * ${stride[0]} + i${down}) * ${width} + c * ${stride[1]}${right}`.replace(
    "k_",
    "channel",
  );
}

/** Filter by filter; the taps of a row of floats have a sum each, which compilers turn into vectors. */
function fewFilters(
  { inputs, outputs, positions, types, input, finish, vectors }: CodedLayer,
  window: Window,
  name: string,
  index: string,
  padded: boolean,
): string {
  const {
    kernel: [tall, wide],
    from: [channels],
    to: [, rows, columns],
  } = window;
  const apart = vectors && wide > 1 && !padded;
  const { row, column } = inside(window);
  const begin = apart ? `${types.sum} sums[${wide}] = { 0 };\n        ` : "";
  const tap = apart
    ? `sums[k] += ${input("p[k]")} * w[k];`
    : `${padded ? `{\n              if (${column}) continue;\n              ` : ""}sum += ${input("p[k]")} * w[k];${padded ? "\n            }" : ""}`;
  const end = apart ? `for (${index} k = 0; k < ${wide}; k++) sum += sums[k];\n        ` : "";
  return `  for (${index} j = 0; j < ${outputs}; j++) {
    for (${index} r = 0; r < ${rows}; r++) {
      for (${index} c = 0; c < ${columns}; c++) {
        ${types.sum} sum = ${name}_biases[j];
        ${begin}for (${index} channel = 0; channel < ${channels}; channel++) {
          for (${index} i = 0; i < ${tall}; i++) {
            const ${types.weight} *w = ${name}_weights + j * ${inputs} + (channel * ${tall} + i) * ${wide};
            ${padded ? `if (${row}) continue;\n            ` : ""}const ${types.from} *p = x + (${pixels(window)});
            for (${index} k = 0; k < ${wide}; k++) ${tap}
          }
        }
        ${end}y[j * ${positions} + r * ${columns} + c] = ${finish("sum", "j")};
      }
    }
  }
`;
}

/** Window by window, a sum for each filter. */
function manyFilters(
  { outputs, positions, types, input, finish }: CodedLayer,
  window: Window,
  name: string,
  index: string,
  padded: boolean,
): string {
  const {
    kernel: [tall, wide],
    from: [channels],
    to: [, rows, columns],
  } = window;
  const { row, column } = inside(window);
  return `  for (${index} r = 0; r < ${rows}; r++) {
    for (${index} c = 0; c < ${columns}; c++) {
      ${types.sum} sums[${outputs}];
      for (${index} j = 0; j < ${outputs}; j++) sums[j] = ${name}_biases[j];
      for (${index} channel = 0; channel < ${channels}; channel++) {
        for (${index} i = 0; i < ${tall}; i++) {
          ${padded ? `if (${row}) continue;\n          ` : ""}const ${types.from} *p = x + (${pixels(window)});
          for (${index} k = 0; k < ${wide}; k++) {
            ${padded ? `if (${column}) continue;\n            ` : ""}const ${types.weight} *w = ${name}_weights + ((channel * ${tall} + i) * ${wide} + k) * ${outputs};
            const ${types.sum} value = ${input("p[k]")};
            for (${index} j = 0; j < ${outputs}; j++) sums[j] += value * w[j];
          }
        }
      }
      for (${index} j = 0; j < ${outputs}; j++) {
        const ${types.sum} sum = sums[j];
        y[j * ${positions} + r * ${columns} + c] = ${finish("sum", "j")};
      }
    }
  }
`;
}

import type { Activation, LayerLayout, Window } from "../network/architecture.ts";
import { transposed } from "../network/parameters.ts";

/** How a dense layer is written: every weight a number in the code, loops over all of them, or over those that are not 0. */
export type Form = "straight" | "dense" | "sparse";

/**
 * Weights other than 0 up to which a layer is written straight. By V8 (Node 20, AMD EPYC) a weight then takes 0.6 ns: 0.07 us
 * for 8-16 and 0.15 us for 16-16, where loops take 0.11 us. Functions of 1,000 terms were not compiled within a second (13 us
 * instead of 0.4), and a weight takes 20 bytes where loops take 5.
 */
const STRAIGHT = 256;

/**
 * Share of weights other than 0 below which only these are gone through. A weight takes 1.4 ns there; in loops over all, in
 * which inputs of 0 are left out, 0.3 ns behind a relu and 0.8 ns elsewhere. 256-256 behind a relu: 22 us dense; sparse 38 us
 * with 30 % of the weights, 14 us with 10 %, 7 us with 5 %.
 */
const SPARSE = 0.2;

/** Outputs that are summed at once: so many sums stay in registers. 4 take 15 % longer. */
const TOGETHER = 8;

const activate = {
  relu: (sum) => `Math.max(0, ${sum})`,
  tanh: (sum) => `Math.tanh(${sum})`,
  none: (sum) => sum,
} satisfies Record<Activation, (sum: string) => string>;

/** Code of one layer: declarations, among them a function that takes its inputs to its outputs. */
export interface LayerCode {
  readonly code: string;
  /** Length of the buffer of outputs; what is behind the layer's own is never read. */
  readonly room: number;
}

/** The form that is quickest for a layer. */
function formOf(weights: Float32Array): Form {
  const nonZero = weights.reduce((count, weight) => count + (weight === 0 ? 0 : 1), 0);
  if (nonZero <= STRAIGHT) return "straight";
  return nonZero < SPARSE * weights.length ? "sparse" : "dense";
}

/**
 * A layer as code that declares `layer<n>()`, which reads `x<n - 1>` and writes `x<n>`. Each output is the sum of its bias and its products
 * in the order of the inputs, in float64, so that it has the bits of `predictor`; what is left out are products with 0.
 *
 * @param number from 1
 */
export function layerCode(layer: LayerLayout, parameters: Float32Array, number: number, form?: Form): LayerCode {
  const weights = parameters.subarray(layer.weights.offset, layer.weights.offset + layer.weights.length);
  const biases = parameters.subarray(layer.biases.offset, layer.biases.offset + layer.biases.length);
  const emit = { ...layer, weights, biases, from: `x${number - 1}`, to: `x${number}`, n: number };
  if (layer.window !== undefined) {
    return layer.outputs < TOGETHER ? few(emit, layer.window) : blocked(emit, layer.window);
  }
  switch (form ?? formOf(weights)) {
    case "straight":
      return straight(emit);
    case "sparse":
      return sparse(emit);
    case "dense":
      return blocked(emit);
  }
}

/** A layer with its numbers, and the names of what it reads and writes. */
interface Emitted extends Omit<LayerLayout, "weights" | "biases"> {
  /** [inputs, outputs] row-major. */
  readonly weights: Float32Array;
  readonly biases: Float32Array;
  readonly from: string;
  readonly to: string;
  readonly n: number;
}

function straight({ n, inputs, outputs, weights, biases, activation, from, to }: Emitted): LayerCode {
  const lines = Array.from(biases, (bias, j) => {
    const terms = [`${bias}`];
    for (let i = 0; i < inputs; i++) {
      const weight = weights[i * outputs + j]!;
      if (weight !== 0) terms.push(`${weight} * ${from}[${i}]`);
    }
    return `  ${to}[${j}] = ${activate[activation](terms.join(" + "))};`;
  });
  return { room: outputs, code: `function layer${n}() {\n${lines.join("\n")}\n}` };
}

/** Compressed rows, one an output: where each begins, and the inputs that its weights belong to. */
function sparse({ n, inputs, outputs, weights, biases, activation, from, to }: Emitted): LayerCode {
  const starts = [0];
  const columns: number[] = [];
  const values: number[] = [];
  for (let j = 0; j < outputs; j++) {
    for (let i = 0; i < inputs; i++) {
      const weight = weights[i * outputs + j]!;
      if (weight === 0) continue;
      columns.push(i);
      values.push(weight);
    }
    starts.push(columns.length);
  }
  return {
    room: outputs,
    code: `const w${n} = ${floats(values)};
const b${n} = ${floats(biases)};
const starts${n} = new Uint32Array([${starts.join()}]);
const columns${n} = new Uint32Array([${columns.join()}]);
function layer${n}() {
  for (let j = 0, k = 0; j < ${outputs}; j++) {
    let a = b${n}[j];
    for (const end = starts${n}[j + 1]; k < end; k++) a += w${n}[k] * ${from}[columns${n}[k]];
    ${to}[j] = ${activate[activation]("a")};
  }
}`,
  };
}

/**
 * A dense layer, or a convolution of many filters window by window: the inputs other than 0 are gathered, then several outputs
 * are summed at once. Weights lie as they are read, [blocks of outputs, inputs, outputs of a block].
 */
function blocked(layer: Emitted, window?: Window): LayerCode {
  const { n, inputs, outputs, weights, biases, activation, positions, from, to } = layer;
  const blocks = Math.ceil(outputs / TOGETHER);
  const width = Math.ceil(outputs / blocks);
  const room = blocks * width;
  const packed = new Float32Array(room * inputs);
  for (let j = 0; j < outputs; j++) {
    const block = j - (j % width);
    for (let i = 0; i < inputs; i++) packed[block * inputs + i * width + (j % width)] = weights[i * outputs + j]!;
  }
  const bias = new Float32Array(room);
  bias.set(biases);
  const sums = Array.from({ length: width }, (_, k) => k);
  const sum = `for (let j = 0; j < ${room}; j += ${width}) {
    let ${sums.map((k) => `s${k} = b${n}[j + ${k}]`).join(", ")};
    for (let k = 0; k < count; k++) {
      const value = values${n}[k];
      const w = j * ${inputs} + places${n}[k];
${sums.map((k) => `      s${k} += value * w${n}[w + ${k}];`).join("\n")}
    }
${sums.map((k) => `    ${to}[${at(`j + ${k}`, positions)}] = ${activate[activation](`s${k}`)};`).join("\n")}
  }`;
  const body =
    window === undefined
      ? `  let count = 0;
  for (let i = 0; i < ${inputs}; i++) {
    const value = ${from}[i];
    if (value === 0) continue;
    places${n}[count] = i * ${width};
    values${n}[count++] = value;
  }
  ${sum}`
      : overWindows(window, from, n, width, sum);
  return {
    room: room * positions,
    code: `const w${n} = ${floats(packed)};
const b${n} = ${floats(bias)};
const places${n} = new Uint32Array(${inputs});
const values${n} = new Float64Array(${inputs});
function layer${n}() {
${body}
}`,
  };
}

/** Where output `j` stands: each filter's positions lie together. */
const at = (j: string, positions: number): string => (positions === 1 ? j : `(${j}) * ${positions} + position`);

function overWindows(window: Window, from: string, n: number, width: number, sum: string): string {
  const {
    kernel: [tall, wide],
    stride: [down, right],
    padding: [above, before],
    from: [channels, height, wideness],
    to: [, rows, columns],
  } = window;
  return `  for (let row = 0, position = 0; row < ${rows}; row++) {
    const top = row * ${down} - ${above};
    const firstRow = Math.max(0, -top);
    const endRow = Math.min(${tall}, ${height} - top);
    for (let column = 0; column < ${columns}; column++, position++) {
      const left = column * ${right} - ${before};
      const first = Math.max(0, -left);
      const end = Math.min(${wide}, ${wideness} - left);
      let count = 0;
      for (let channel = 0; channel < ${channels}; channel++) {
        for (let i = firstRow; i < endRow; i++) {
          const pixel = (channel * ${height} + top + i) * ${wideness} + left;
          const tap = (channel * ${tall} + i) * ${wide};
          for (let k = first; k < end; k++) {
            const value = ${from}[pixel + k];
            if (value === 0) continue;
            places${n}[count] = (tap + k) * ${width};
            values${n}[count++] = value;
          }
        }
      }
  ${sum}
    }
  }`;
}

/** A convolution of few filters, as `predictor` has it: filter by filter, four windows that lie inside of the image at once. */
function few(
  { n, inputs, outputs, weights, biases, activation, positions, from, to }: Emitted,
  window: Window,
): LayerCode {
  const {
    kernel: [tall, wide],
    stride: [down, right],
    padding: [above, before],
    from: [channels, height, width],
    to: [, rows, columns],
  } = window;
  const taps = (body: string): string => `for (let channel = 0; channel < ${channels}; channel++) {
          for (let i = first; i < end; i++) {
            let w = j * ${inputs} + (channel * ${tall} + i) * ${wide} + skipped;
            let pixel = (channel * ${height} + top + i) * ${width} + left + skipped;
            for (const last = pixel + length; pixel < last; pixel++, w++) ${body}
          }
        }`;
  const term = (sum: string, offset: number): string =>
    `${sum} += ${from}[pixel${offset === 0 ? "" : ` + ${offset}`}] * weight;`;
  const give = (sum: string): string => `${to}[at++] = ${activate[activation](sum)};`;
  const letters = ["a", "b", "c", "d"];
  return {
    room: outputs * positions,
    code: `const w${n} = ${floats(transposed(weights, inputs, outputs))};
const b${n} = ${floats(biases)};
function layer${n}() {
  for (let j = 0, at = 0; j < ${outputs}; j++) {
    for (let row = 0; row < ${rows}; row++) {
      const top = row * ${down} - ${above};
      const first = Math.max(0, -top);
      const end = Math.min(${tall}, ${height} - top);
      for (let column = 0; column < ${columns}; ) {
        const left = column * ${right} - ${before};
        const skipped = Math.max(0, -left);
        const length = Math.min(${wide}, ${width} - left) - skipped;
        let a = b${n}[j];
        if (column + 4 > ${columns} || left < 0 || left + ${3 * right + wide} > ${width}) {
          ${taps(`a += ${from}[pixel] * w${n}[w];`)}
          ${give("a")}
          column++;
          continue;
        }
        let b = a, c = a, d = a;
        ${taps(`{
              const weight = w${n}[w];
              ${letters.map((sum, k) => term(sum, k * right)).join("\n              ")}
            }`)}
        ${letters.map(give).join("\n        ")}
        column += 4;
      }
    }
  }
}`,
  };
}

/** An expression that gives these numbers, which `floats` of the module reads: little-endian float32 in base64. */
function floats(values: ArrayLike<number>): string {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  for (let i = 0; i < values.length; i++) view.setFloat32(4 * i, values[i]!, true);
  return `floats("${Buffer.from(view.buffer).toString("base64")}")`;
}

/** What the code of layers calls. */
export const floatsCode = `/** Float32 numbers of little-endian bytes in base64. */
function floats(text) {
  const bytes = atob(text);
  const view = new DataView(new ArrayBuffer(bytes.length));
  for (let i = 0; i < bytes.length; i++) view.setUint8(i, bytes.charCodeAt(i));
  const values = new Float32Array(bytes.length / 4);
  for (let i = 0; i < values.length; i++) values[i] = view.getFloat32(4 * i, true);
  return values;
}`;

import { FileError } from "../errors.ts";
import type { Activation, Normalization } from "../network/architecture.ts";
import { elementsOf } from "../shape.ts";
import type { OnnxDtype } from "../tensor/onnx-model.ts";
import type { Chain } from "./dense-layers.ts";
import type { FoundLayer } from "./images.ts";

/** Numbers of a model, row-major. They are shared with the file, never copied. */
export interface Constant {
  /** As the model has them. */
  readonly dtype: OnnxDtype;
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** An operation on the rows of a batch. Operands are one number, one an element, or of images one a channel. */
export type Operation =
  | {
      readonly kind: "dense";
      readonly inputs: number;
      readonly outputs: number;
      /** [inputs, outputs], or turned [outputs, inputs]. */
      readonly weights: ArrayLike<number>;
      readonly turned: boolean;
      readonly alpha: number;
      readonly beta: number;
      readonly biases?: ArrayLike<number>;
    }
  | {
      readonly kind: "conv";
      /** Of the images that it takes: [channels, height, width]. */
      readonly from: readonly number[];
      /** Of those that it makes: [filters, rows, columns]. */
      readonly to: readonly number[];
      readonly filters: number;
      readonly kernel: readonly [number, number];
      readonly stride: readonly [number, number];
      /** Zeros at the top, left, bottom and right. */
      readonly padding: readonly [number, number, number, number];
      /** [filters, channels, kernel height, kernel width]. */
      readonly weights: ArrayLike<number>;
      readonly biases?: ArrayLike<number>;
    }
  /** Zeros at the top, left, bottom and right of images [channels, height, width]. */
  | {
      readonly kind: "pad";
      readonly from: readonly number[];
      readonly to: readonly number[];
      readonly padding: readonly [number, number, number, number];
    }
  /** Images [height, width, channels] of that shape to [channels, height, width], or back. */
  | { readonly kind: "channels first" | "channels last"; readonly from: readonly number[] }
  | {
      readonly kind: "add" | "subtract" | "subtract from" | "multiply" | "divide";
      readonly by: ArrayLike<number>;
    }
  | {
      readonly kind: "clip";
      readonly low?: ArrayLike<number> | undefined;
      readonly high?: ArrayLike<number> | undefined;
    }
  | { readonly kind: "relu" | "tanh" | "softmax" | "log-softmax" | "argmax" };

/** An operation, the node that it comes from, and the name of the value that it takes. */
export type Step = Operation & { readonly node: string; readonly takes: string };

/** What became of the observation, or of a value that is not understood. */
export interface Flow {
  /** Name of the value with which the steps begin. */
  readonly from: string;
  readonly steps: readonly Step[];
  /** Of one of the batch, now. */
  readonly shape: readonly number[];
  /** Its numbers are whole ones still, of which operations would make whole ones. */
  readonly whole: boolean;
}

/** Layers of an architecture. */
const MAX_LAYERS = 64;
/** Numbers of all layers, in numbers of the file: layers can share one matrix. */
const MAX_SHARING = 16;
/** Exporters write the largest float32 for no limit. */
const MAX_FLOAT = 3.4e38;
/** Why images are refused behind it. */
const UNEVEN = "follows another rescaling than one of all pixels";

interface Layer {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly weights: Float64Array;
  readonly biases: Float64Array;
  activation: Activation;
  readonly conv?: Extract<Operation, { kind: "conv" }>;
}

/** x to scale x + shift. */
interface Affine {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/**
 * The chain of layers that a sequence of steps is, without what chooses an action behind it (`onnx-tail.ts`): what is affine
 * joins the dense layer beside it, computed in float64. In front of the first it becomes the statistics of a normalisation.
 *
 * @param input shape of an observation
 * @param held numbers of the file
 * @throws FileError that names the node for which there is no place
 */
export function chainOfSteps(
  steps: readonly Step[],
  input: readonly number[],
  held: number,
  path: string,
): Pick<Chain, "layers" | "by" | "activations" | "normalization" | "input" | "slidings" | "flatten"> & {
  /** The model takes images [height, width, channels], the policy [channels, height, width]. */
  readonly channelsLast: boolean;
} {
  return new Assembly(input, held, path).run(steps);
}

class Assembly {
  readonly #path: string;
  readonly #layers: Layer[] = [];
  #normalization: Normalization | undefined;
  /** What was not yet joined to a layer. */
  #pending: Affine | undefined;
  readonly #width: number;
  #weightsLeft: number;
  /** Shape of an observation as the policy has it. */
  #input: readonly number[];
  /** Of what the last layer makes, or in front of the first an observation: [channels, height, width], or the channels last. */
  #image: readonly number[];
  #isLast = false;
  #channelsLast = false;
  #flatten: Chain["flatten"];

  constructor(input: readonly number[], held: number, path: string) {
    this.#path = path;
    this.#input = input;
    this.#image = input;
    this.#width = elementsOf(input);
    this.#weightsLeft = MAX_SHARING * held;
  }

  run(steps: readonly Step[]): ReturnType<typeof chainOfSteps> {
    for (const step of steps) this.#take(step);
    if (this.#layers.at(-1)?.conv !== undefined) throw new FileError(this.#path, "ends with a convolution");
    if (this.#layers.length === 0) throw new FileError(this.#path, "has no dense layer");
    if (this.#pending) throw new FileError(this.#path, "ends with a rescaling that is not behind a Tanh");
    const convolutions = this.#layers.flatMap(({ conv }) => conv ?? []);
    return {
      layers: this.#layers.map(
        ({ name, inputs, outputs, weights, biases, conv }): FoundLayer => ({
          ...(conv && { convolution: { channels: conv.from[0] ?? 0, kernel: conv.kernel } }),
          name,
          inputs,
          outputs,
          weights: Float32Array.from(weights),
          biases: Float32Array.from(biases),
        }),
      ),
      by: "nodes of the model",
      activations: this.#layers.map(({ activation }) => activation),
      ...(this.#normalization && { normalization: this.#normalization }),
      input: this.#input,
      ...(convolutions.length > 0 && { slidings: convolutions }),
      ...(this.#flatten && { flatten: this.#flatten }),
      channelsLast: this.#channelsLast,
    };
  }

  #take(step: Step): void {
    switch (step.kind) {
      case "dense":
        this.#dense(step);
        break;
      case "conv":
        this.#convolution(step);
        break;
      case "channels first":
      case "channels last":
        this.#turn(step);
        break;
      case "relu":
      case "tanh":
        this.#activate(step, step.kind);
        break;
      case "clip":
        if (isRelu(step) && this.#layers.length > 0) this.#activate(step, "relu");
        else this.#limit(step);
        break;
      case "softmax":
      case "log-softmax":
      case "argmax":
        throw this.#refusal(step, "is a choice that others follow");
      case "pad":
        throw this.#refusal(step, "pads what no convolution takes");
      case "add":
      case "subtract":
      case "subtract from":
      case "multiply":
      case "divide":
        this.#affine(step);
    }
  }

  #activate(step: Step, activation: Activation): void {
    const last = this.#layers.at(-1);
    if (last?.activation !== "none" || this.#pending) this.#refuse(step, "follows no dense layer");
    last.activation = activation;
  }

  #dense(step: Extract<Step, { kind: "dense" }>): void {
    const { inputs, outputs, turned, alpha, beta, node } = step;
    this.#count(step, inputs * outputs);
    const before = this.#layers.at(-1);
    if (before === undefined && this.#channelsLast) this.#refuse(step, "takes turned images");
    if (before?.conv && this.#isLast) this.#flatten = "hwc";
    if (this.#pending && this.#pending.scale.length !== inputs) this.#refuse(step, "follows rescaled channels");
    if (this.#layers.length === 0 && !this.#normalization && this.#pending?.scale.every((by) => by > 0)) {
      this.#normalize();
    }
    const weights = new Float64Array(inputs * outputs);
    const biases = Float64Array.from({ length: outputs }, (_, o) => beta * at(step.biases ?? [0], o));
    for (let i = 0; i < inputs; i++) {
      const scale = this.#pending?.scale[i] ?? 1;
      const shift = this.#pending?.shift[i] ?? 0;
      for (let o = 0; o < outputs; o++) {
        const weight = alpha * step.weights[turned ? o * inputs + i : i * outputs + o]!;
        weights[i * outputs + o] = scale * weight;
        biases[o]! += shift * weight;
      }
    }
    this.#pending = undefined;
    this.#layers.push({ name: node, inputs, outputs, weights, biases, activation: "none" });
  }

  #convolution(step: Extract<Step, { kind: "conv" }>): void {
    const { from, to, filters, kernel, weights: given, biases, node } = step;
    const [channels = 0] = from;
    const taps = channels * kernel[0] * kernel[1];
    this.#count(step, taps * filters);
    const before = this.#layers.at(-1);
    if (before && (!before.conv || this.#isLast || from.join() !== this.#image.join())) {
      this.#refuse(step, "takes other images than the layer in front of it makes");
    }
    if (before === undefined) {
      if (elementsOf(from) !== this.#width || (this.#channelsLast && this.#isLast))
        this.#refuse(step, "takes other images");
      this.#input = from;
      const waiting = this.#pending ?? affine([], 1);
      if (!isEven(waiting) || !(waiting.scale[0]! > 0)) this.#refuse(step, UNEVEN);
      if (this.#pending && !this.#normalization) this.#normalize();
    }
    if (this.#pending) this.#refuse(step, "follows a rescaling");
    const weights = new Float64Array(taps * filters);
    for (let f = 0; f < filters; f++) {
      for (let tap = 0; tap < taps; tap++) weights[tap * filters + f] = given[f * taps + tap]!;
    }
    const added = Float64Array.from({ length: filters }, (_, f) => at(biases ?? [0], f));
    const shared = { name: node, inputs: taps, outputs: filters, weights, biases: added };
    this.#layers.push({ ...shared, activation: "none", conv: step });
    this.#image = to;
    this.#isLast = false;
  }

  /** Channels of the observation come to the front, those of the last images to the back, where the next layer is dense. */
  #turn(step: Extract<Step, { kind: "channels first" | "channels last" }>): void {
    const { kind, from } = step;
    const before = this.#layers.at(-1);
    const last = kind === "channels last";
    const isObservation = before === undefined && !last && !this.#channelsLast;
    const isImage = before?.conv !== undefined && this.#isLast !== last;
    if (from.join() !== this.#image.join() || !(isObservation || isImage)) {
      this.#refuse(step, "turns what are no images in front of or behind convolutions");
    }
    // Numbers of pixels would have to be turned with them.
    const { mean, deviation } = this.#normalization ?? { mean: [0], deviation: [1] };
    const isSingle = mean.length === 1 && deviation.length === 1;
    if (isObservation && !(isSingle && isEven(this.#pending ?? affine([], 1)))) this.#refuse(step, UNEVEN);
    const [first = 0, second = 0, third = 0] = from;
    this.#image = last ? [second, third, first] : [third, first, second];
    this.#channelsLast ||= isObservation;
    this.#isLast = last;
  }

  #count(step: Step, weights: number): void {
    this.#weightsLeft -= weights;
    if (this.#layers.length === MAX_LAYERS || !(this.#weightsLeft >= 0)) {
      this.#refuse(step, `is too much: over ${MAX_LAYERS} layers, or weights of ${MAX_SHARING} times the file`);
    }
  }

  /** Joins the layer in front of it if that is linear, else waits for what comes. */
  #affine(step: AffineStep): void {
    const last = this.#layers.at(-1);
    const fits = [1, last?.outputs ?? this.#width].includes(step.by.length);
    if (!fits || (last?.conv && this.#isLast)) this.#refuse(step, "rescales pixels of images");
    if (last?.activation === "none") {
      for (let o = 0; o < last.outputs; o++) {
        const [scale, shift] = lineOf(step, o);
        for (let i = 0; i < last.inputs; i++) last.weights[i * last.outputs + o]! *= scale;
        last.biases[o] = last.biases[o]! * scale + shift;
      }
      return;
    }
    this.#pending = affine([step], last?.outputs ?? this.#width, this.#pending);
  }

  /** A Clip in front of the first layer, at equal distances from 0. */
  #limit(step: Extract<Step, { kind: "clip" }>): void {
    const { low, high } = limitsOf([step], this.#width);
    const limit = high[0] ?? 0;
    const symmetric = high.every((value) => value === limit) && low.every((value) => value === -limit);
    this.#pending ??= affine([], this.#width);
    const fits = symmetric && limit > 0 && this.#pending.scale.every((value) => value > 0);
    if (this.#layers.length > 0 || this.#normalization || !fits) {
      this.#refuse(step, "is no limit at equal distances from 0 behind a normalisation");
    }
    this.#normalize(limit);
  }

  #normalize(clip?: number): void {
    const { scale, shift } = this.#pending ?? affine([], this.#width);
    this.#normalization = {
      mean: single(Array.from(scale, (value, i) => (shift[i] === 0 ? 0 : -shift[i]! / value))),
      deviation: single(Array.from(scale, (value) => 1 / value)),
      ...(clip !== undefined && { clip }),
    };
    this.#pending = undefined;
  }

  #refuse(step: Step, what: string): never {
    throw this.#refusal(step, what);
  }

  #refusal(step: Step, what: string): FileError {
    return new FileError(this.#path, `node ${step.node} ${what}`);
  }
}

/** One number instead of many that are equal. */
function single(values: number[]): number[] {
  return values.every((value) => value === values[0]) ? values.slice(0, 1) : values;
}

/** The same for all numbers. */
function isEven({ scale, shift }: Affine): boolean {
  return scale.every((by) => by === scale[0]) && shift.every((by) => by === shift[0]);
}

/** Steps x to scale x + shift. */
type AffineStep = Extract<Step, { by: ArrayLike<number> }>;

export function isAffine(step: Step): step is AffineStep {
  return "by" in step;
}

/** One operation after the other, behind another one if there is one. */
export function affine(steps: readonly AffineStep[], width: number, before?: Affine): Affine {
  const { scale, shift } = before ?? { scale: new Float64Array(width).fill(1), shift: new Float64Array(width) };
  for (const step of steps) {
    for (let i = 0; i < width; i++) {
      const [by, more] = lineOf(step, i);
      scale[i]! *= by;
      shift[i] = shift[i]! * by + more;
    }
  }
  return { scale, shift };
}

/** The limits of several Clips together: Max and Min are the two halves of one. */
export function limitsOf(
  clips: readonly Extract<Operation, { kind: "clip" }>[],
  width: number,
): { low: number[]; high: number[] } {
  const together = (of: (index: number) => number[], choose: (...values: number[]) => number): number[] =>
    Array.from({ length: width }, (_, index) => choose(...of(index)));
  return {
    low: together((i) => clips.map(({ low }) => at(low ?? [Number.NEGATIVE_INFINITY], i)), Math.max),
    high: together((i) => clips.map(({ high }) => at(high ?? [Number.POSITIVE_INFINITY], i)), Math.min),
  };
}

/** A Clip that a relu could be. */
export function isRelu(step: Step): boolean {
  if (step.kind !== "clip") return false;
  const { low, high = [] } = step;
  return (
    low !== undefined &&
    Array.from(low).every((value) => value === 0) &&
    Array.from(high).every((value) => value >= MAX_FLOAT)
  );
}

/** An operand is one number, or one an element. */
function at(values: ArrayLike<number>, index: number): number {
  return values[values.length === 1 ? 0 : index]!;
}

function lineOf({ kind, by }: AffineStep, index: number): [scale: number, shift: number] {
  const value = at(by, index);
  if (kind === "add") return [1, value];
  if (kind === "subtract") return [1, -value];
  if (kind === "subtract from") return [-1, value];
  return kind === "multiply" ? [value, 0] : [1 / value, 0];
}

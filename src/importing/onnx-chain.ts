import { FileError } from "../errors.ts";
import type { Activation, Normalization } from "../network/architecture.ts";
import { elementsOf } from "../shape.ts";
import type { Chain } from "./dense-layers.ts";
import type { FoundLayer } from "./images.ts";
import {
  type Affine,
  type AffineStep,
  affine,
  at,
  isRelu,
  limitsOf,
  lineOf,
  type Operation,
  type Step,
} from "./onnx-steps.ts";

/** Layers of an architecture. */
const MAX_LAYERS = 64;
/** Numbers of all layers, in numbers of the file: layers can share one matrix. */
const MAX_SHARING = 16;

interface Layer {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly weights: Float64Array;
  readonly biases: Float64Array;
  activation: Activation;
  readonly conv?: Extract<Operation, { kind: "conv" }>;
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
    this.#normalizeFirst();
    // Behind images there is one number a channel.
    const channels = before?.conv ? before.outputs : inputs;
    const isLast = before?.conv !== undefined && this.#isLast;
    if (isLast) this.#flatten = "hwc";
    const { weights, biases } = this.#joined(
      [inputs, outputs],
      (i, o) => alpha * step.weights[turned ? o * inputs + i : i * outputs + o]!,
      (o) => beta * at(step.biases ?? [0], o),
      (i) => (isLast ? i % channels : Math.floor((i * channels) / inputs)),
    );
    this.#layers.push({ name: node, inputs, outputs, weights, biases, activation: "none" });
  }

  #convolution(step: Extract<Step, { kind: "conv" }>): void {
    const { from, to, filters, kernel, padding, weights: given, biases, node } = step;
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
      this.#normalizeFirst();
      if (this.#pending) this.#refuse(step, "follows a rescaling that is no normalisation");
    }
    // Zeros around images are not rescaled.
    if (padding.some((zeros) => zeros > 0) && this.#pending?.shift.some((by) => by !== 0)) {
      this.#refuse(step, "puts zeros around images that are shifted behind an activation");
    }
    const joined = this.#joined(
      [taps, filters],
      (tap, f) => given[f * taps + tap]!,
      (f) => at(biases ?? [0], f),
      (tap) => Math.floor((tap * channels) / taps),
    );
    this.#layers.push({ name: node, inputs: taps, outputs: filters, ...joined, activation: "none", conv: step });
    this.#image = to;
    this.#isLast = false;
  }

  /** Weights and biases of a layer that takes over what waits, of which input i is rescaled by number `of(i)`. */
  #joined(
    [inputs, outputs]: readonly [number, number],
    weightOf: (i: number, o: number) => number,
    biasOf: (o: number) => number,
    of: (i: number) => number,
  ): Pick<Layer, "weights" | "biases"> {
    const weights = new Float64Array(inputs * outputs);
    const biases = Float64Array.from({ length: outputs }, (_, o) => biasOf(o));
    for (let i = 0; i < inputs; i++) {
      const scale = this.#pending?.scale[of(i)] ?? 1;
      const shift = this.#pending?.shift[of(i)] ?? 0;
      for (let o = 0; o < outputs; o++) {
        const weight = weightOf(i, o);
        weights[i * outputs + o] = scale * weight;
        biases[o]! += shift * weight;
      }
    }
    this.#pending = undefined;
    return { weights, biases };
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
    if (isObservation && !(isSingle && isEven(this.#pending ?? affine([], 1))))
      this.#refuse(step, "follows another rescaling than one of all pixels");
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
    if (last === undefined) {
      // One number for all, one an element, or one for each channel of images, whose pixels lie together.
      const together = this.#width / step.by.length;
      const by = Float64Array.from({ length: this.#width }, (_, i) => step.by[Math.floor(i / together)]!);
      this.#pending = affine([{ ...step, by }], this.#width, this.#pending);
      return;
    }
    const fits = [1, last.outputs].includes(step.by.length);
    if (!fits || (last.conv && this.#isLast)) this.#refuse(step, "rescales pixels of images");
    if (last.activation === "none") {
      for (let o = 0; o < last.outputs; o++) {
        const [scale, shift] = lineOf(step, o);
        for (let i = 0; i < last.inputs; i++) last.weights[i * last.outputs + o]! *= scale;
        last.biases[o] = last.biases[o]! * scale + shift;
      }
      return;
    }
    this.#pending = affine([step], last.outputs, this.#pending);
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

  /** What waits in front of the first layer becomes statistics, where these can be that: deviations are above 0. */
  #normalizeFirst(): void {
    const isFirst = this.#layers.length === 0 && !this.#normalization;
    if (isFirst && this.#pending?.scale.every((by) => by > 0)) this.#normalize();
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

import { FileError } from "../errors.ts";
import type { Activation, Normalization } from "../network/architecture.ts";
import type { Chain, DenseLayer, ImportOptions } from "./dense-layers.ts";

/** Numbers of a model, row-major. They are shared with the file, never copied. */
export interface Constant {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** An operation on the rows of a batch. Operands are one number or one an element. */
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
      readonly kind: "add" | "subtract" | "subtract from" | "multiply" | "divide";
      readonly by: ArrayLike<number>;
    }
  | {
      readonly kind: "clip";
      readonly low?: ArrayLike<number> | undefined;
      readonly high?: ArrayLike<number> | undefined;
    }
  | { readonly kind: "relu" | "tanh" | "softmax" | "log-softmax" | "argmax" };

/** An operation and the node that it comes from. */
export type Step = Operation & { readonly node: string };

/** What became of the observation. */
export interface Flow {
  readonly steps: readonly Step[];
  /** Of one of the batch, now. */
  readonly shape: readonly number[];
}

/** Layers of an architecture, and elements of an observation. */
const MAX_LAYERS = 64;
const MAX_WIDTH = 1_000_000;
/** Numbers of all layers, in numbers of the file: layers can share one matrix. */
const MAX_SHARING = 16;

interface Layer {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly weights: Float64Array;
  readonly biases: Float64Array;
  activation: Activation;
}

/** x to scale x + shift. */
interface Affine {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/**
 * The chain of layers that a sequence of steps is: what is affine joins the dense layer beside it, computed in float64. In
 * front it becomes a normalisation where a Clip follows; at the end a rescaled Tanh or a Clip are the bounds of the actions.
 *
 * @param input shape of an observation
 * @param held numbers of the file
 * @throws FileError that names the node for which there is no place
 */
export function chainOfSteps(
  steps: readonly Step[],
  input: readonly number[],
  held: number,
  options: ImportOptions,
  path: string,
): Chain {
  return { input, ...new Assembly(input, held, options, path).run(steps) };
}

class Assembly {
  readonly #path: string;
  readonly #options: ImportOptions;
  readonly #layers: Layer[] = [];
  #normalization: Normalization | undefined;
  /** What was not yet joined to a layer. */
  #pending: Affine | undefined;
  #limits: { readonly low: number[]; readonly high: number[] } | undefined;
  #ended: "softmax" | "log-softmax" | "argmax" | undefined;
  #probabilities = false;
  readonly #width: number;
  #weightsLeft: number;

  constructor(input: readonly number[], held: number, options: ImportOptions, path: string) {
    this.#path = path;
    this.#options = options;
    this.#width = input.reduce((product, size) => product * size, 1);
    this.#weightsLeft = MAX_SHARING * held;
    if (!(this.#width <= MAX_WIDTH)) throw new FileError(path, `takes over ${MAX_WIDTH} numbers`);
  }

  run(steps: readonly Step[]): Chain {
    for (const step of steps) {
      // The softmax of a logarithm of a softmax is that softmax: so Stable-Baselines3 comes to its probabilities.
      const follows = step.kind === "argmax" || (step.kind === "softmax" && this.#ended === "log-softmax");
      if (this.#ended && !follows) this.#refuse(step, "stands behind a choice");
      this.#take(step);
    }
    const last = this.#layers.at(-1);
    if (last === undefined) throw new FileError(this.#path, "has no dense layer");
    const acting = this.#acting(last);
    return {
      layers: this.#layers.map(
        ({ name, inputs, outputs, weights, biases }): DenseLayer => ({
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
      ...acting,
    };
  }

  #take(step: Step): void {
    switch (step.kind) {
      case "dense":
        this.#dense(step);
        break;
      case "relu":
      case "tanh": {
        const last = this.#layers.at(-1);
        if (last?.activation !== "none" || this.#pending || this.#limits) this.#refuse(step, "follows no dense layer");
        last.activation = step.kind;
        break;
      }
      case "clip":
        this.#clip(step);
        break;
      case "softmax":
      case "log-softmax":
      case "argmax":
        if (this.#pending || this.#limits) this.#refuse(step, "follows no dense layer");
        if (step.kind !== "argmax") this.#probabilities = true;
        this.#ended = step.kind;
        break;
      case "add":
      case "subtract":
      case "subtract from":
      case "multiply":
      case "divide":
        this.#affine(step);
    }
  }

  #dense(step: Extract<Step, { kind: "dense" }>): void {
    const { inputs, outputs, turned, alpha, beta, node } = step;
    if (this.#limits) this.#refuse(step, "follows a Clip that is not in front of the first layer");
    this.#weightsLeft -= inputs * outputs;
    if (this.#layers.length === MAX_LAYERS || !(this.#weightsLeft >= 0)) {
      this.#refuse(step, `is too much: over ${MAX_LAYERS} layers, or weights of ${MAX_SHARING} times the file`);
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

  /** Joins the layer in front of it if that is linear, else waits for what comes. */
  #affine(step: Extract<Step, { by: ArrayLike<number> }>): void {
    if (this.#limits) this.#refuse(step, "follows a Clip that is not in front of the first layer");
    const last = this.#layers.at(-1);
    if (last?.activation === "none") {
      for (let o = 0; o < last.outputs; o++) {
        const [scale, shift] = lineOf(step, o);
        for (let i = 0; i < last.inputs; i++) last.weights[i * last.outputs + o]! *= scale;
        last.biases[o] = last.biases[o]! * scale + shift;
      }
      return;
    }
    const width = last?.outputs ?? this.#width;
    this.#pending ??= { scale: new Float64Array(width).fill(1), shift: new Float64Array(width) };
    const { scale, shift } = this.#pending;
    for (let i = 0; i < width; i++) {
      const [by, more] = lineOf(step, i);
      scale[i]! *= by;
      shift[i] = shift[i]! * by + more;
    }
  }

  #clip(step: Extract<Step, { kind: "clip" }>): void {
    const last = this.#layers.at(-1);
    const width = last?.outputs ?? this.#width;
    const low = Array.from({ length: width }, (_, i) => at(step.low ?? [Number.NEGATIVE_INFINITY], i));
    const high = Array.from({ length: width }, (_, i) => at(step.high ?? [Number.POSITIVE_INFINITY], i));
    if (last !== undefined) {
      const relu = low.every((value) => value === 0) && high.every((value) => value === Number.POSITIVE_INFINITY);
      if (relu && last.activation === "none" && !this.#pending) {
        last.activation = "relu";
        return;
      }
      // Max and Min are the two halves of a Clip.
      const before = this.#limits;
      this.#limits = {
        low: low.map((value, d) => Math.max(value, before?.low[d] ?? value)),
        high: high.map((value, d) => Math.min(value, before?.high[d] ?? value)),
      };
      return;
    }
    const clip = high[0] ?? 0;
    const symmetric = high.every((value) => value === clip) && low.every((value) => value === -clip);
    const { scale, shift } = this.#pending ?? {
      scale: new Float64Array(width).fill(1),
      shift: new Float64Array(width),
    };
    if (this.#normalization || !symmetric || !scale.every((value) => value > 0)) {
      this.#refuse(step, "is no limit at equal distances from 0 behind a normalisation");
    }
    this.#normalization = {
      mean: Array.from(scale, (value, i) => -shift[i]! / value),
      deviation: Array.from(scale, (value) => 1 / value),
      clip,
    };
    this.#pending = undefined;
  }

  /** What the outputs mean, by what stands behind the last layer. */
  #acting(last: Layer): Pick<Chain, "head" | "bounds" | "squash"> {
    if (this.#ended) return { head: this.#probabilities ? "logits" : "q-values" };
    const actions = this.#options.environment?.actionSpace;
    const box = actions?.kind === "box" ? actions : undefined;
    const limits = this.#limits;
    const pending = this.#pending;
    const head = this.#options.head ?? (limits || pending || box ? "gaussian" : undefined);
    if (last.activation === "tanh" && head === "gaussian") {
      const { scale, shift } = pending ?? {
        scale: new Float64Array(last.outputs).fill(1),
        shift: new Float64Array(last.outputs),
      };
      const low = Array.from(shift, (middle, d) => middle - scale[d]!);
      const high = Array.from(shift, (middle, d) => middle + scale[d]!);
      // SB3's recipe for SAC ends with the tanh: there the environment's wrapper brings it onto the range.
      const bounds = near(!pending && box ? box : { low, high }, box);
      const inside = limits?.low.every((limit, d) => limit <= bounds.low[d]! && bounds.high[d]! <= limits.high[d]!);
      if (inside === false || !scale.every((half) => half > 0)) {
        throw new FileError(
          this.#path,
          "limits its actions behind a Tanh to less than their range, or turns them round",
        );
      }
      last.activation = "none";
      return { head, squash: true, bounds };
    }
    if (pending) throw new FileError(this.#path, "ends with a rescaling that is not behind a Tanh");
    if (!limits) return head === undefined ? {} : { head };
    if (![...limits.low, ...limits.high].every(Number.isFinite)) {
      throw new FileError(this.#path, "ends with a limit on one side");
    }
    return { head: "gaussian", bounds: near(limits, box) };
  }

  #refuse(step: Step, what: string): never {
    throw new FileError(this.#path, `node ${step.node} ${what}: only sequences of dense layers become policies`);
  }
}

type Bounds = NonNullable<Chain["bounds"]>;

/** The environment's own bounds, where those of the model are equal up to rounding. */
function near(bounds: Bounds, box: Bounds | undefined): Bounds {
  const close = (a: readonly number[], b: readonly number[]): boolean =>
    a.length === b.length && a.every((value, d) => Math.abs(value - b[d]!) <= 1e-6 * Math.max(1, Math.abs(value)));
  return box && close(bounds.low, box.low) && close(bounds.high, box.high) ? box : bounds;
}

/** An operand is one number, or one an element. */
function at(values: ArrayLike<number>, index: number): number {
  return values[values.length === 1 ? 0 : index]!;
}

function lineOf({ kind, by }: Extract<Step, { by: ArrayLike<number> }>, index: number): [scale: number, shift: number] {
  const value = at(by, index);
  if (kind === "add") return [1, value];
  if (kind === "subtract") return [1, -value];
  if (kind === "subtract from") return [-1, value];
  return kind === "multiply" ? [value, 0] : [1 / value, 0];
}

import type { OnnxDtype } from "../tensor/onnx-model.ts";

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

/** Exporters write the largest float32 for no limit. */
const MAX_FLOAT = 3.4e38;

/** x to scale x + shift. */
export interface Affine {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/** Steps x to scale x + shift. */
export type AffineStep = Extract<Step, { by: ArrayLike<number> }>;

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
export function at(values: ArrayLike<number>, index: number): number {
  return values[values.length === 1 ? 0 : index]!;
}

export function lineOf({ kind, by }: AffineStep, index: number): [scale: number, shift: number] {
  const value = at(by, index);
  if (kind === "add") return [1, value];
  if (kind === "subtract") return [1, -value];
  if (kind === "subtract from") return [-1, value];
  return kind === "multiply" ? [value, 0] : [1 / value, 0];
}

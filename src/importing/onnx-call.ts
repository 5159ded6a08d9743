import { FileError } from "../errors.ts";
import { elementsOf } from "../shape.ts";
import type { OnnxDtype, OnnxNode } from "../tensor/onnx-model.ts";
import { type Held, intOf, intsOf, nameOf, shown } from "./onnx-graph.ts";

/** A value of a graph that is given so many observations: every size is a number. */
export interface Shaped {
  readonly dtype: OnnxDtype;
  readonly shape: readonly number[];
  /** Its numbers, where shapes may be made of them: whole ones that do not depend on the observation. */
  readonly data?: readonly number[];
}

/** Numbers beyond which they are not followed: shapes have few. */
export const MAX_DATA = 1024;

/** A tensor of the file as a value. */
export function constantOf({ dtype, dims, data }: Held): Shaped {
  const whole = dtype === "int64" || dtype === "int32" || dtype === "bool";
  return { dtype, shape: dims, ...(whole && data.length <= MAX_DATA && { data: Array.from(data) }) };
}

/** As many equal numbers as a shape has, where they are followed. */
export function filled(shape: readonly number[], data: readonly number[] | undefined): Pick<Shaped, "data"> {
  const size = elementsOf(shape);
  return data?.length === 1 && size >= 0 && size <= MAX_DATA ? { data: Array<number>(size).fill(data[0]!) } : {};
}

/** What a node makes of what it is given: shapes, and whole numbers that shapes are made of. */
export type Rule = (call: Call) => readonly Shaped[];

/** One node with what it is given: what a rule needs, checked. */
export class Call {
  readonly node: OnnxNode;
  readonly opset: number;
  /** Multiply-adds, and numbers compared or added by windows. */
  products = 0;
  comparisons = 0;
  readonly #path: string;
  readonly #inputs: readonly (Shaped | undefined)[];

  constructor(node: OnnxNode, values: ReadonlyMap<string, Shaped>, opset: number, path: string) {
    this.node = node;
    this.opset = opset;
    this.#path = path;
    this.#inputs = node.inputs.map((name) => {
      if (name === "") return undefined;
      return values.get(name) ?? this.refuse(`needs ${shown(name)}, which nothing in front of it makes`);
    });
  }

  /** Numbers that it is given. */
  get read(): number {
    return this.#inputs.reduce((total, value) => total + (value ? elementsOf(value.shape) : 0), 0);
  }

  /** Inputs that are there, in order. */
  get all(): readonly Shaped[] {
    return this.#inputs.filter((value) => value !== undefined);
  }

  input(index: number): Shaped {
    return this.#inputs[index] ?? this.refuse(`has no input ${index + 1}`);
  }

  optional(index: number): Shaped | undefined {
    return this.#inputs[index];
  }

  /** Whole numbers of an input, one or a row of them, that do not depend on the observation. */
  numbers(index: number): readonly number[] {
    const { data, shape } = this.input(index);
    if (shape.length > 1) this.refuse(`takes numbers of shape [${shape.join(", ")}], expected a row`);
    return data ?? this.refuse("makes a shape of numbers that are not known before it runs");
  }

  int(name: string, usual: number): number {
    return intOf(this.node, name, usual);
  }

  /** An attribute that is 0 or 1: of other numbers operators think differently. */
  flag(name: string, usual: boolean): boolean {
    const value = this.int(name, Number(usual));
    if (value !== 0 && value !== 1) this.refuse(`has ${name} ${value}, expected 0 or 1`);
    return value === 1;
  }

  ints(name: string): readonly number[] | undefined {
    return intsOf(this.node, name);
  }

  text(name: string, usual: string): string {
    const attribute = this.node.attributes[name];
    return attribute?.kind === "string" ? attribute.value : usual;
  }

  /** Whole numbers that an attribute has, or in later versions an input. */
  listed(name: string, index: number): readonly number[] | undefined {
    return this.ints(name) ?? (this.#inputs[index] ? this.numbers(index) : undefined);
  }

  /** A position among `rank` axes; those below 0 count from the end. */
  axis(value: number, rank: number): number {
    const axis = value < 0 ? value + rank : value;
    if (!Number.isInteger(axis) || axis < 0 || axis >= rank) this.refuse(`has axis ${value} of ${rank}`);
    return axis;
  }

  axes(values: readonly number[], rank: number): readonly number[] {
    const axes = values.map((value) => this.axis(value, rank));
    if (new Set(axes).size !== axes.length) this.refuse("names an axis twice");
    return axes;
  }

  /** The shape of values that are brought to each other's. */
  broadcast(...shapes: readonly (readonly number[])[]): number[] {
    const rank = Math.max(...shapes.map(({ length }) => length));
    return Array.from({ length: rank }, (_, axis) => {
      const sizes = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1);
      const size = sizes.find((one) => one !== 1) ?? 1;
      if (sizes.some((one) => one !== 1 && one !== size)) {
        this.refuse(`joins shapes ${shapes.map((shape) => `[${shape.join(", ")}]`).join(" and ")}`);
      }
      return size;
    });
  }

  /** Refuses what cannot be brought to a shape without changing that. */
  fits(value: Shaped | undefined, shape: readonly number[]): void {
    if (value && this.broadcast(value.shape, shape).join() !== shape.join()) {
      this.refuse(`has a constant of shape [${value.shape.join(", ")}] for values [${shape.join(", ")}]`);
    }
  }

  refuse(what: string): never {
    throw new FileError(this.#path, `node ${nameOf(this.node)} ${what}`);
  }
}

import { FileError } from "../errors.ts";
import { halfToNumber } from "../safetensors.ts";
import { elementsOf } from "../shape.ts";
import type { OnnxModel, OnnxNode } from "../tensor/onnx-model.ts";
import { floatsOf, folded } from "./onnx-constants.ts";
import { batchNormalizationOf, behindPad, convolutionOf, padOf } from "./onnx-convolution.ts";
import {
  floatOf,
  type Held,
  heldBy,
  intOf,
  intsOf,
  type ModelInput,
  nameOf,
  neededNodes,
  shown,
} from "./onnx-graph.ts";
import {
  isOfChannels,
  isRow,
  MAX_AXES,
  reshaped,
  rowsOf,
  type Sizes,
  sizesBehind,
  sizesOf,
  trimmed,
} from "./onnx-sizes.ts";
import type { Constant, Flow, Operation } from "./onnx-steps.ts";

/** Operations in front of a value that are told apart; real sequences have tens. */
const MAX_STEPS = 200;
/** Numbers that operations on constants may make, in numbers of the file. */
const MAX_FOLDED = 16;

/** What a name of the graph stands for, as far as it is understood. */
type Value =
  | { readonly kind: "constant"; readonly constant: Constant }
  | ({ readonly kind: "flow" } & Flow)
  /** Rows of a known shape, whose numbers are nobody's concern: exporters make them to broadcast others. `why` they are not known. */
  | { readonly kind: "rows"; readonly shape: readonly number[]; readonly why?: string }
  /** Of a batch of rows: exporters make shapes of them. */
  | { readonly kind: "sizes"; readonly sizes: Sizes }
  /** log(sum(exp(flow))) of each row: what a softmax subtracts. */
  | { readonly kind: "spread"; readonly of: Value };
type FlowValue = Extract<Value, { kind: "flow" }>;

const operators = new Map<string, "add" | "subtract" | "multiply" | "divide">([
  ["Add", "add"],
  ["Sub", "subtract"],
  ["Mul", "multiply"],
  ["Div", "divide"],
]);

/** What is not followed, but makes a number of each number, of one input or by a constant. */
const ELEMENTWISE = new Set(["Exp", "Log", "Neg", "Abs", "Sqrt", "Softplus", "Sigmoid"]);

/**
 * Follows the observation through a graph, one operation after the other; nothing is run. What a new kind of layer needs:
 * its `Operation` (`onnx-steps.ts`), a case of `#flowOf` that checks the node against the shape of one of the batch and
 * gives the shape behind it, and its place in the chain of layers.
 */
export class Trace {
  /** Numbers of all constants. */
  held = 0;
  #folded = 0;
  readonly #model: OnnxModel;
  readonly #path: string;
  readonly #rows: number | undefined;
  readonly #shapes: ReadonlyMap<string, readonly number[]> | undefined;
  readonly #values = new Map<string, Value>();
  readonly #seen = new Set<OnnxNode>();

  /**
   * @param shapes of the values, the batch first: then what is not understood begins a new flow. Without them it is refused
   */
  constructor(model: OnnxModel, input: ModelInput, path: string, shapes?: ReadonlyMap<string, readonly number[]>) {
    this.#model = model;
    this.#path = path;
    this.#shapes = shapes;
    for (const tensor of model.graph.initializers) {
      if (this.#values.has(tensor.name)) throw new FileError(path, `initializer ${shown(tensor.name)} stands twice`);
      this.#values.set(tensor.name, this.#tensor(tensor));
    }
    const { name, shape } = input;
    this.#rows = input.rows;
    this.#values.set(name, { kind: "flow", from: name, steps: [], shape, whole: input.dtype === "uint8" });
  }

  /**
   * What became of the observation at the value of that name.
   * @throws FileError that names the node which is not understood
   */
  flowOf(name: string, most: number): Flow {
    for (const node of neededNodes(this.#model.graph, name, most, this.#path)) {
      if (this.#seen.has(node)) continue;
      this.#seen.add(node);
      if (node.outputs.some((output) => this.#values.has(output))) {
        throw new FileError(this.#path, `node ${nameOf(node)} makes a value that is there already`);
      }
      for (const [output, value] of this.#valuesOf(node)) if (output !== "") this.#values.set(output, value);
    }
    const value = this.#values.get(name);
    this.#refuseUnknown(value);
    if (value?.kind !== "flow") {
      throw new FileError(this.#path, `its output ${shown(name)} does not depend on its input`);
    }
    return value;
  }

  #valuesOf(node: OnnxNode): (readonly [string, Value])[] {
    const shapes = this.#shapes;
    const [output = "", ...others] = node.outputs;
    try {
      const value = this.#valueOf(node);
      if (value.kind === "flow" && value.steps.length > MAX_STEPS) this.#refuse(node, `follows ${MAX_STEPS} others`);
      if (shapes === undefined || others.length === 0) return [[output, value]];
    } catch (error) {
      if (!(error instanceof FileError) || shapes === undefined) throw error;
    }
    return [output, ...others].map((from) => {
      const shape = shapes.get(from)?.slice(1) ?? [];
      return [from, { kind: "flow", from, steps: [], shape, whole: false }];
    });
  }

  #valueOf(node: OnnxNode): Value {
    const { opType, unread } = node;
    if (unread !== undefined) this.#refuse(node, `has the attribute ${shown(unread)}, which is not read`);
    if (opType === "Constant") return this.#tensor(heldBy(node) ?? this.#refuse(node, "has no tensor or number"));
    const x = this.#input(node, 0);
    const made = this.#fold(node);
    if (made) return { kind: "constant", constant: made };
    if (opType === "Shape" && (x.kind === "flow" || x.kind === "rows"))
      return { kind: "sizes", sizes: sizesOf(node, x.shape) };
    if (opType === "ConstantOfShape" && x.kind === "sizes") {
      return { kind: "rows", shape: rowsOf(x.sizes) ?? this.#refuse(node, "fills another shape than that of rows") };
    }
    if (x.kind === "sizes" || opType === "Concat") {
      const sizes = sizesBehind(
        node,
        node.inputs.map((_, index) => this.#sizes(node, index)),
      );
      return { kind: "sizes", sizes: sizes ?? this.#refuse(node, "makes a shape that is not understood") };
    }
    if (operators.has(opType) && node.inputs.length === 2) {
      const both = [x, this.#input(node, 1)];
      const rows = both.filter((value) => value.kind === "rows");
      const known = rows.find(({ why }) => why !== undefined) ?? rows[0];
      if (known && both.every((side) => fits(side, known.shape))) return known;
      for (const side of both) this.#refuseUnknown(side);
    }
    if (x.kind === "rows" && x.why !== undefined && ELEMENTWISE.has(opType)) return x;
    this.#refuseUnknown(x);
    if (x.kind === "constant") {
      const y = node.inputs.length > 1 ? this.#input(node, 1) : undefined;
      if (y?.kind === "flow") return this.#binary(node, y, x.constant, true);
      return this.#refuse(node, "of a constant is not understood");
    }
    if (x.kind !== "flow") return this.#refuse(node, "is not understood where it stands");
    return this.#flowOf(node, x);
  }

  #flowOf(node: OnnxNode, x: FlowValue): Value {
    const { opType } = node;
    const chosen = x.steps.at(-1)?.kind === "argmax";
    if (opType === "Cast") {
      if (chosen) return x;
      if (!floatsOf(node)) this.#refuse(node, "makes other numbers than floats");
      return { ...x, whole: false };
    }
    switch (opType) {
      case "Identity":
        return x;
      case "Flatten":
      case "Reshape":
      case "Squeeze":
      case "Unsqueeze":
        return chosen ? x : this.#reshaped(node, x);
      case "Transpose":
        return this.#turned(node, x);
    }
    if (x.whole) this.#refuse(node, "computes with whole numbers");
    switch (opType) {
      case "Dropout":
        return node.inputs[2] ? this.#refuse(node, "may be in training") : x;
      case "Expand": {
        const target = this.#input(node, 1);
        if (target.kind === "sizes" && rowsOf(target.sizes)?.join() === x.shape.join()) return x;
        return this.#refuse(node, "repeats numbers");
      }
      case "Relu":
      case "Tanh":
        return this.#then(node, x, { kind: opType === "Relu" ? "relu" : "tanh" });
      case "MatMul":
      case "Gemm":
        return this.#dense(node, x);
      case "Conv":
        return this.#convolution(node, x);
      case "Pad":
        return this.#padded(node, x);
      case "BatchNormalization": {
        const constants = [1, 2, 3, 4].map((index) => this.#constantInput(node, index));
        const refuse = (what: string): never => this.#refuse(node, what);
        const [factors, summands] = batchNormalizationOf(node, x.shape[0] ?? 0, constants, refuse);
        return this.#then(node, this.#then(node, x, factors), summands);
      }
      case "Clip":
        return this.#then(node, x, { kind: "clip", low: this.#scalar(node, 1), high: this.#scalar(node, 2) });
      case "Softmax":
      case "LogSoftmax":
        this.#alongRow(node, x, intOf(node, "axis", this.#model.opset < 13 ? 1 : -1));
        return this.#then(node, x, { kind: opType === "Softmax" ? "softmax" : "log-softmax" });
      case "ReduceLogSumExp":
        this.#alongRow(node, x, this.#axis(node));
        return { kind: "spread", of: x };
      case "ArgMax":
        this.#alongRow(node, x, intOf(node, "axis", 0));
        if (intOf(node, "select_last_index", 0) !== 0) this.#refuse(node, "chooses the last of equals, PoPS the first");
        return this.#then(node, x, { kind: "argmax" });
      case "Add":
      case "Sub":
      case "Mul":
      case "Div":
      case "Min":
      case "Max": {
        const y = this.#input(node, 1);
        if (opType === "Sub" && y.kind === "spread" && y.of === x) return this.#then(node, x, { kind: "log-softmax" });
        if (y.kind !== "constant") return this.#refuse(node, "joins two values that depend on the observation");
        return this.#binary(node, x, y.constant, false);
      }
      default: {
        const what = "is not understood";
        // What a deviation is made of, of which deterministic actions take nothing but the shape.
        if (this.#shapes !== undefined || !ELEMENTWISE.has(opType)) return this.#refuse(node, what);
        return { kind: "rows", shape: x.shape, why: `node ${nameOf(node)} ${what}` };
      }
    }
  }

  /** Where numbers count, those that are not known are refused. */
  #refuseUnknown(value: Value | undefined): void {
    if (value?.kind === "rows" && value.why !== undefined) throw new FileError(this.#path, value.why);
  }

  #input(node: OnnxNode, index: number): Value {
    const name = node.inputs[index] ?? "";
    const value = this.#values.get(name);
    return value ?? this.#refuse(node, `needs ${shown(name)}, which nothing in front of it makes`);
  }

  /** The flow behind one more operation, whose node takes `x` by the name of its input that flows. */
  #then(node: OnnxNode, x: Flow, operation: Operation, shape = x.shape): FlowValue {
    const takes = node.inputs.find((name) => this.#values.get(name) === x) ?? "";
    return { kind: "flow", ...x, steps: [...x.steps, { ...operation, node: nameOf(node), takes }], shape };
  }

  #tensor({ dims, data, dtype }: Held): Value {
    this.held += data.length;
    const numbers = dtype === "float16" ? Float64Array.from(data, halfToNumber) : data;
    return { kind: "constant", constant: { dtype, shape: dims, data: numbers } };
  }

  /** What it makes, where all that it is given are constants. */
  #fold(node: OnnxNode): Constant | undefined {
    const given: (Constant | undefined)[] = [];
    for (const [index, name] of node.inputs.entries()) {
      const value = name === "" ? undefined : this.#input(node, index);
      if (value && value.kind !== "constant") return undefined;
      given.push(value?.constant);
    }
    const made = folded(node, given, this.#model.opset, this.#path);
    this.#folded += made?.data.length ?? 0;
    if (this.#folded > MAX_FOLDED * (this.held + 1)) this.#refuse(node, "makes too many constants");
    return made;
  }

  #binary(node: OnnxNode, x: Flow, by: Constant, swapped: boolean): Value {
    if (x.whole) this.#refuse(node, "computes with whole numbers");
    const wide = by.data.length !== 1 && trimmed(by.shape).join() !== trimmed(x.shape).join() && !isOfChannels(by, x);
    // With more dimensions than the batch has it would put others in front of it.
    if (wide || by.shape.length > x.shape.length + 1) {
      this.#refuse(node, `has a constant of shape [${by.shape.join(", ")}] for values [${x.shape.join(", ")}]`);
    }
    const { opType } = node;
    if (opType === "Min" || opType === "Max") {
      if (node.inputs.length !== 2) this.#refuse(node, "has other than two inputs");
      return this.#then(node, x, { kind: "clip", ...(opType === "Min" ? { high: by.data } : { low: by.data }) });
    }
    if (opType === "Div" && swapped) this.#refuse(node, "divides by what depends on the observation");
    const kind = operators.get(opType) ?? this.#refuse(node, "is not understood");
    return this.#then(node, x, { kind: kind === "subtract" && swapped ? "subtract from" : kind, by: by.data });
  }

  #dense(node: OnnxNode, x: Flow): Value {
    const w = this.#input(node, 1);
    const gemm = node.opType === "Gemm";
    const [size = 0] = x.shape.slice(-1);
    if (w.kind !== "constant" || w.constant.shape.length !== 2 || elementsOf(x.shape) !== size) {
      return this.#refuse(node, "is no product of a row with a constant matrix");
    }
    if (gemm && intOf(node, "transA", 0) !== 0) this.#refuse(node, "turns the batch (transA)");
    const turned = gemm && intOf(node, "transB", 0) !== 0;
    const [first = 0, second = 0] = w.constant.shape;
    const [inputs, outputs] = turned ? [second, first] : [first, second];
    if (inputs !== size) this.#refuse(node, `takes ${inputs} numbers, gets ${x.shape.join("x")}`);
    const c = gemm && node.inputs[2] ? this.#input(node, 2) : undefined;
    // [n, 1] would be one for each of n rows.
    if (c && !(c.kind === "constant" && (c.constant.data.length === 1 || isRow(c.constant, outputs)))) {
      return this.#refuse(node, "has other biases than one a unit");
    }
    const step = {
      kind: "dense",
      inputs,
      outputs,
      weights: w.constant.data,
      turned,
      alpha: gemm ? floatOf(node, "alpha", 1) : 1,
      beta: gemm ? floatOf(node, "beta", 1) : 1,
      ...(c && { biases: c.constant.data }),
    } as const;
    return this.#then(node, x, step, [...x.shape.slice(0, -1), outputs]);
  }

  /** Zeros that were put around its images are its own. */
  #convolution(node: OnnxNode, x: FlowValue): Value {
    const refuse = (what: string): never => this.#refuse(node, what);
    const biases = node.inputs[2] ? this.#constantInput(node, 2) : undefined;
    const step = convolutionOf(node, x.shape, this.#constantInput(node, 1), biases, refuse);
    const made = this.#then(node, x, step, step.to);
    const pad = x.steps.at(-1);
    if (pad?.kind !== "pad" || pad.to.join() !== x.shape.join()) return made;
    const whole = { ...behindPad(step, pad), node: nameOf(node), takes: pad.takes };
    return { ...made, steps: [...x.steps.slice(0, -1), whole] };
  }

  #padded(node: OnnxNode, x: FlowValue): Value {
    const numbers = (index: number): readonly number[] => Array.from(this.#constantInput(node, index).data);
    const axes = node.inputs[3] ? numbers(3) : [0, 1, 2, 3];
    const by = this.#scalar(node, 2)?.[0] ?? 0;
    const step = padOf(node, x.shape, numbers(1), axes, by, (what) => this.#refuse(node, what));
    return this.#then(node, x, step, step.to);
  }

  /** Images' channels from the last axis to the first, or back. */
  #turned(node: OnnxNode, x: FlowValue): Value {
    const order = intsOf(node, "perm")?.join();
    const kind = ORDERS.get(order);
    const [first = 0, second = 0, third = 0] = x.shape;
    if (kind === undefined || x.shape.length !== 3)
      return this.#refuse(node, "turns other than the channels of images");
    const shape = kind === "channels first" ? [third, first, second] : [second, third, first];
    return this.#then(node, x, { kind, from: x.shape }, shape);
  }

  /** Rows stay rows: [batch, ...] to [batch, n]. */
  #reshaped(node: OnnxNode, x: FlowValue): Value {
    if (node.opType === "Flatten") {
      if (![1, -x.shape.length].includes(intOf(node, "axis", 1))) this.#refuse(node, "joins the batch with other axes");
      return { ...x, shape: [elementsOf(x.shape)] };
    }
    if (node.opType !== "Reshape") return { ...x, shape: this.#withOnes(node, x.shape) };
    const target = this.#sizes(node, 1);
    const shape = reshaped(target, x.shape, this.#rows);
    return shape ? { ...x, shape } : this.#refuse(node, `makes the shape [${target.join(", ")}]`);
  }

  #sizes(node: OnnxNode, index: number): Sizes {
    const value = this.#input(node, index);
    if (value.kind === "sizes") return value.sizes;
    if (value.kind !== "constant") return this.#refuse(node, "is not understood");
    const { data } = value.constant;
    return data.length <= MAX_AXES ? Array.from(data) : this.#refuse(node, `makes a shape of ${data.length} numbers`);
  }

  /** A shape with axes of size 1 put in or taken away, behind the batch. */
  #withOnes(node: OnnxNode, shape: readonly number[]): readonly number[] {
    const { opType } = node;
    const given = node.inputs[1] ? this.#input(node, 1) : undefined;
    const listed = intsOf(node, "axes") ?? (given?.kind === "constant" ? Array.from(given.constant.data) : []);
    const rank = 1 + shape.length + (opType === "Unsqueeze" ? listed.length : 0);
    const axes = new Set(listed.map((axis) => (axis < 0 ? axis + rank : axis)));
    const inside = [...axes].every((axis) => Number.isInteger(axis) && axis > 0 && axis < rank);
    if (listed.length === 0 || axes.size !== listed.length || !inside)
      this.#refuse(node, "changes other axes than rows have");
    if (opType === "Squeeze") {
      if ([...axes].some((axis) => shape[axis - 1] !== 1)) this.#refuse(node, "takes away what is not of size 1");
      return shape.filter((_, axis) => !axes.has(axis + 1));
    }
    const left = [...shape];
    return Array.from({ length: rank - 1 }, (_, axis) => (axes.has(axis + 1) ? 1 : (left.shift() ?? 1)));
  }

  #alongRow(node: OnnxNode, { shape }: Flow, axis: number): void {
    const isRow = shape.length > 0 && elementsOf(shape) === shape.at(-1);
    if (!isRow || (axis !== shape.length && axis !== -1)) this.#refuse(node, "works along another axis than a row");
  }

  /** The one axis of a reduction: an attribute, since opset 18 an input. */
  #axis(node: OnnxNode): number {
    const given = node.inputs.length > 1 ? this.#input(node, 1) : undefined;
    const list = intsOf(node, "axes") ?? (given?.kind === "constant" ? given.constant.data : []);
    return list.length === 1 ? list[0]! : this.#refuse(node, "reduces other axes than one");
  }

  #constantInput(node: OnnxNode, index: number): Constant {
    const value = this.#input(node, index);
    return value.kind === "constant" ? value.constant : this.#refuse(node, "has weights that are no constants");
  }

  #scalar(node: OnnxNode, index: number): Constant["data"] | undefined {
    if (!node.inputs[index]) return undefined;
    const value = this.#input(node, index);
    if (value.kind !== "constant" || value.constant.data.length !== 1)
      return this.#refuse(node, "takes other than one constant number");
    return value.constant.data;
  }

  #refuse(node: OnnxNode, what: string): never {
    throw new FileError(this.#path, `node ${nameOf(node)} ${what}`);
  }
}

/** Orders of axes, the batch first. */
const ORDERS = new Map<string | undefined, "channels first" | "channels last">([
  ["0,3,1,2", "channels first"],
  ["0,2,3,1", "channels last"],
]);

/** Whether a value has one number for each of rows of this shape, or one for all. */
function fits(value: Value, shape: readonly number[]): boolean {
  if (value.kind === "flow" || value.kind === "rows") return value.shape.join() === shape.join();
  if (value.kind !== "constant") return false;
  const { shape: own, data } = value.constant;
  return data.length === 1 || trimmed(own).join() === shape.join();
}

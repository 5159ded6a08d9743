import { FileError } from "../errors.ts";
import type { Policy } from "../network/policy.ts";
import type { OnnxAttribute, OnnxModel, OnnxNode, OnnxTensor } from "../tensor/onnx-model.ts";
import { type ImportOptions, policyOfChain } from "./dense-layers.ts";
import { type Constant, chainOfSteps, type Flow, type Operation } from "./onnx-steps.ts";

/** Nodes of one model that count; real ones have tens. */
const MAX_STEPS = 200;
/** Numbers that operations on constants may make, in numbers of the file. */
const MAX_FOLDED = 16;
/** TensorProto.DataType. */
const FLOAT = 1;
const OPSETS = { least: 11, most: 21 };

/** What a name of the graph stands for, as far as it is understood. */
type Value =
  | { readonly kind: "constant"; readonly constant: Constant }
  | ({ readonly kind: "flow" } & Flow)
  /** Rows of a known shape, whose numbers are nobody's concern: exporters make them to broadcast others. */
  | { readonly kind: "rows"; readonly shape: readonly number[] }
  /** The shape of a batch of such rows. */
  | { readonly kind: "shape"; readonly of: readonly number[] }
  /** log(sum(exp(flow))) of each row: what a softmax subtracts. */
  | { readonly kind: "spread"; readonly of: Value };
type FlowValue = Extract<Value, { kind: "flow" }>;

/**
 * The dense policy that an ONNX model of others computes, if it is a sequence: normalisation of the observation, dense layers
 * with Relu and Tanh between them, and at the end nothing, Softmax, ArgMax, a rescaled Tanh or Clip. Of several outputs the
 * first one is taken, and only what it needs is looked at. Nothing is run.
 * @throws FileError that names the node which is not understood
 */
export function policyFromForeignOnnx(model: OnnxModel, path: string, options: ImportOptions): Policy {
  const { graph, opset } = model;
  if (opset < OPSETS.least || opset > OPSETS.most) {
    throw new FileError(path, `has opset ${opset}, read are ${OPSETS.least} to ${OPSETS.most}`);
  }
  const result = graph.outputs[0];
  if (result === undefined) throw new FileError(path, "has no output");
  const walk = new Walk(model, path);
  const { steps } = walk.flowOf(result.name);
  const chain = chainOfSteps(steps, walk.input, walk.held, options, path);
  const notes = { output: result.name.slice(0, 10_000) };
  return policyOfChain({ ...chain, notes }, options, "ONNX model", path);
}

const operators = new Map<string, "add" | "subtract" | "multiply" | "divide">([
  ["Add", "add"],
  ["Sub", "subtract"],
  ["Mul", "multiply"],
  ["Div", "divide"],
]);

class Walk {
  /** Shape of an observation. */
  readonly input: readonly number[];
  /** Numbers of all constants. */
  held = 0;
  #folded = 0;
  readonly #model: OnnxModel;
  readonly #path: string;
  readonly #values = new Map<string, Value>();

  constructor(model: OnnxModel, path: string) {
    this.#model = model;
    this.#path = path;
    const { initializers, inputs } = model.graph;
    for (const tensor of initializers) {
      if (this.#values.has(tensor.name)) throw new FileError(path, `initializer ${shown(tensor.name)} stands twice`);
      this.#values.set(tensor.name, this.#tensor(tensor));
    }
    // Old exporters list initialisers among the inputs.
    const [input, second] = inputs.filter(({ name }) => !this.#values.has(name));
    if (input === undefined || second !== undefined) {
      throw new FileError(path, `has ${input ? "several inputs" : "no input"}, expected one: the observation`);
    }
    const shape = input.dims.slice(1);
    if (shape.length === 0 || !shape.every((size) => typeof size === "number") || input.dtype !== "float32") {
      throw new FileError(
        path,
        `has an input ${input.dtype} [${input.dims.slice(0, 16).join(", ")}], expected float32 [batch, numbers of an observation]`,
      );
    }
    this.input = shape.map(Number);
    this.#values.set(input.name, { kind: "flow", steps: [], shape: this.input });
  }

  /** What became of the observation at the value of that name. */
  flowOf(name: string): FlowValue {
    for (const node of this.#needed(name)) {
      const [output = ""] = node.outputs;
      if (this.#values.has(output)) this.#refuse(node, "makes a value that is there already");
      this.#values.set(output, this.#valueOf(node));
    }
    const value = this.#values.get(name);
    if (value?.kind !== "flow")
      throw new FileError(this.#path, `its output ${shown(name)} does not depend on its input`);
    return value;
  }

  /** The nodes that a value depends on, in the order of the graph, in which every value is made before it is used. */
  #needed(name: string): OnnxNode[] {
    const names = new Set([name]);
    const needed: OnnxNode[] = [];
    for (const node of this.#model.graph.nodes.toReversed()) {
      if (!node.outputs.some((output) => names.has(output))) continue;
      if (!names.has(node.outputs[0] ?? "")) this.#refuse(node, "is needed for another output than its first");
      for (const input of node.inputs) names.add(input);
      needed.push(node);
    }
    if (needed.length > MAX_STEPS) throw new FileError(this.#path, `needs over ${MAX_STEPS} nodes`);
    return needed.toReversed();
  }

  #valueOf(node: OnnxNode): Value {
    const { opType, unread } = node;
    if (unread !== undefined) this.#refuse(node, `has the attribute ${shown(unread)}, which is not read`);
    if (opType === "Constant") return this.#constant(node);
    const x = this.#input(node, 0);
    if (opType === "Shape" && (x.kind === "flow" || x.kind === "rows")) return { kind: "shape", of: x.shape };
    if (opType === "ConstantOfShape" && x.kind === "shape") return { kind: "rows", shape: x.of };
    if (operators.has(opType) && node.inputs.length === 2) {
      const both = [x, this.#input(node, 1)];
      const rows = both.find(({ kind }) => kind === "rows");
      if (rows?.kind === "rows" && both.every((side) => fits(side, rows.shape))) return rows;
    }
    if (x.kind === "constant") {
      const y = node.inputs.length > 1 ? this.#input(node, 1) : undefined;
      if (y?.kind === "flow") return this.#binary(node, y, x.constant, true);
      return { kind: "constant", constant: this.#fold(node, x.constant) };
    }
    if (x.kind !== "flow") return this.#refuse(node, "is not understood where it stands");
    switch (opType) {
      case "Identity":
        return x;
      case "Dropout":
        return node.inputs[2] ? this.#refuse(node, "may be in training") : x;
      case "Cast":
        if (intOf(node, "to", 0) === FLOAT || x.steps.at(-1)?.kind === "argmax") return x;
        return this.#refuse(node, "makes other numbers than float32");
      case "Expand": {
        const target = this.#input(node, 1);
        if (target.kind === "shape" && target.of.join() === x.shape.join()) return x;
        return this.#refuse(node, "repeats numbers");
      }
      case "Relu":
      case "Tanh":
        return this.#then(node, x, { kind: opType === "Relu" ? "relu" : "tanh" });
      case "Flatten":
      case "Reshape":
      case "Squeeze":
      case "Unsqueeze":
        return this.#reshaped(node, x);
      case "MatMul":
      case "Gemm":
        return this.#dense(node, x);
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
      default:
        return this.#refuse(node, "is not understood");
    }
  }

  #input(node: OnnxNode, index: number): Value {
    const name = node.inputs[index] ?? "";
    const value = this.#values.get(name);
    return value ?? this.#refuse(node, `needs ${shown(name)}, which nothing in front of it makes`);
  }

  #then(node: OnnxNode, { steps, shape }: Flow, operation: Operation, outputs = shape): FlowValue {
    return { kind: "flow", steps: [...steps, { ...operation, node: nameOf(node) }], shape: outputs };
  }

  #tensor({ dims, data }: OnnxTensor): Value {
    this.held += data.length;
    return { kind: "constant", constant: { shape: dims, data } };
  }

  #constant(node: OnnxNode): Value {
    for (const name of ["value", "value_float", "value_int", "value_floats", "value_ints"]) {
      const attribute: OnnxAttribute | undefined = node.attributes[name];
      if (attribute?.kind === "tensor") return this.#tensor(attribute.value);
      if (attribute?.kind === "float" || attribute?.kind === "int") {
        return { kind: "constant", constant: { shape: [], data: [attribute.value] } };
      }
      if (attribute?.kind === "floats" || attribute?.kind === "ints") {
        return { kind: "constant", constant: { shape: [attribute.values.length], data: attribute.values } };
      }
    }
    return this.#refuse(node, "has no tensor or number");
  }

  /** Exporters leave a few operations on constants in the graph. Each result is as large as its input. */
  #fold(node: OnnxNode, { shape, data }: Constant): Constant {
    this.#folded += data.length;
    if (this.#folded > MAX_FOLDED * (this.held + 1)) this.#refuse(node, "makes too many constants");
    const [rows = 1, columns = 1] = shape;
    switch (node.opType) {
      case "Identity":
      case "Cast":
        return { shape, data };
      case "Sqrt":
      case "Exp":
        return { shape, data: Float64Array.from(data, node.opType === "Sqrt" ? Math.sqrt : Math.exp) };
      case "Transpose": {
        if (shape.length !== 2) return this.#refuse(node, "turns a constant that is no matrix");
        const turned = new Float64Array(data.length);
        for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) turned[c * rows + r] = data[r * columns + c]!;
        return { shape: [columns, rows], data: turned };
      }
      case "Add": {
        const y = this.#input(node, 1);
        const by = y.kind === "constant" && y.constant.data.length === 1 ? y.constant.data[0] : undefined;
        if (by === undefined) return this.#refuse(node, "adds constants of other shapes");
        return { shape, data: Float64Array.from(data, (value) => value + by) };
      }
      default:
        return this.#refuse(node, "of a constant is not understood");
    }
  }

  #binary(node: OnnxNode, x: Flow, by: Constant, swapped: boolean): Value {
    const own = by.shape.slice(by.shape.findIndex((size) => size !== 1));
    const fits = by.data.length === 1 || own.join() === x.shape.join();
    if (!fits)
      this.#refuse(node, `has a constant of shape [${by.shape.join(", ")}] for values [${x.shape.join(", ")}]`);
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
    if (w.kind !== "constant" || w.constant.shape.length !== 2 || x.shape.length !== 1) {
      return this.#refuse(node, "is no product of a row with a constant matrix");
    }
    if (gemm && intOf(node, "transA", 0) !== 0) this.#refuse(node, "turns the batch (transA)");
    const turned = gemm && intOf(node, "transB", 0) !== 0;
    const [first = 0, second = 0] = w.constant.shape;
    const [inputs, outputs] = turned ? [second, first] : [first, second];
    if (inputs !== x.shape[0]) this.#refuse(node, `takes ${inputs} numbers, gets ${x.shape.join("x")}`);
    const c = gemm && node.inputs[2] ? this.#input(node, 2) : undefined;
    if (c !== undefined && (c.kind !== "constant" || ![1, outputs].includes(c.constant.data.length))) {
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
    return this.#then(node, x, step, [outputs]);
  }

  /** Rows stay rows: [batch, ...] to [batch, n]. An action that was chosen may take any shape. */
  #reshaped(node: OnnxNode, x: FlowValue): Value {
    if (x.steps.at(-1)?.kind === "argmax") return x;
    const size = x.shape.reduce((product, length) => product * length, 1);
    if (node.opType === "Flatten") {
      if (![1, -x.shape.length].includes(intOf(node, "axis", 1))) this.#refuse(node, "joins the batch with other axes");
      return { ...x, shape: [size] };
    }
    const target = node.opType === "Reshape" ? this.#input(node, 1) : undefined;
    if (target?.kind !== "constant") return this.#refuse(node, "makes a shape that is not understood");
    const [batch, ...rest] = Array.from(target.constant.data);
    // 0 keeps a size, -1 is what is left, 1 the batch of a model that takes one observation.
    const shape = rest.map((length, axis) => (length === 0 ? (x.shape[axis] ?? 0) : length));
    const known = shape.filter((length) => length > 0).reduce((product, length) => product * length, 1);
    const open = shape.filter((length) => length === -1).length;
    const whole = shape.map((length) => (length === -1 ? size / known : length));
    const rows = batch === 0 || batch === 1 || (batch === -1 && open === 0);
    if (!rows || open > 1 || whole.reduce((product, length) => product * length, 1) !== size) {
      return this.#refuse(node, `makes the shape [${Array.from(target.constant.data).slice(0, 16).join(", ")}]`);
    }
    return { ...x, shape: whole };
  }

  #alongRow(node: OnnxNode, { shape }: Flow, axis: number): void {
    if (shape.length !== 1 || (axis !== 1 && axis !== -1)) this.#refuse(node, "works along another axis than a row");
  }

  /** The one axis of a reduction: an attribute, since opset 18 an input. */
  #axis(node: OnnxNode): number {
    const { axes } = node.attributes;
    const given = node.inputs.length > 1 ? this.#input(node, 1) : undefined;
    const list = axes?.kind === "ints" ? axes.values : given?.kind === "constant" ? given.constant.data : [];
    return list.length === 1 ? list[0]! : this.#refuse(node, "reduces other axes than one");
  }

  #scalar(node: OnnxNode, index: number): Constant["data"] | undefined {
    if (!node.inputs[index]) return undefined;
    const value = this.#input(node, index);
    if (value.kind !== "constant" || value.constant.data.length !== 1)
      return this.#refuse(node, "has no constant limits");
    return value.constant.data;
  }

  #refuse(node: OnnxNode, what: string): never {
    throw new FileError(
      this.#path,
      `node ${nameOf(node)} ${what}: only sequences of dense layers become policies; other models cannot be teachers yet`,
    );
  }
}

/** Whether a value has one number for each of rows of this shape, or one for all. */
function fits(value: Value, shape: readonly number[]): boolean {
  if (value.kind === "flow" || value.kind === "rows") return value.shape.join() === shape.join();
  if (value.kind !== "constant") return false;
  const { shape: own, data } = value.constant;
  return data.length === 1 || own.slice(own.findIndex((size) => size !== 1)).join() === shape.join();
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, 200));
}

function nameOf({ opType, name, outputs }: OnnxNode): string {
  return `${opType.slice(0, 100)} ${shown(name || (outputs[0] ?? ""))}`;
}

function intOf({ attributes }: OnnxNode, name: string, usual: number): number {
  const attribute: OnnxAttribute | undefined = attributes[name];
  return attribute?.kind === "int" ? attribute.value : usual;
}

function floatOf({ attributes }: OnnxNode, name: string, usual: number): number {
  const attribute: OnnxAttribute | undefined = attributes[name];
  return attribute?.kind === "float" ? attribute.value : usual;
}

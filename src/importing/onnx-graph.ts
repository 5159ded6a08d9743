import { FileError } from "../errors.ts";
import { elementsOf } from "../shape.ts";
import type { OnnxAttribute, OnnxDims, OnnxGraph, OnnxNode, OnnxTensor } from "../tensor/onnx-model.ts";

/** Versions of the operator set of which models are read. */
const OPSETS = { least: 11, most: 23 };
/** Elements of an observation. */
const MAX_WIDTH = 1_000_000;
/** Observations that a model may want at once. */
const MAX_ROWS = 4096;

/** What a model wants to be given. */
export interface ModelInput {
  readonly name: string;
  readonly dtype: "float32" | "float64" | "uint8";
  /** As the model states them, the batch first. */
  readonly dims: OnnxDims;
  /** Sizes of one observation, as the model has them. */
  readonly shape: readonly number[];
  /** Observations that it takes at once, neither more nor less; `undefined` for any number. */
  readonly rows: number | undefined;
}

/** A tensor of the file, numbers of float16 as their bits. */
export type Held = Pick<OnnxTensor, "dtype" | "dims"> & { readonly data: ArrayLike<number> };

/**
 * The one input of a model: the observation, the batch first.
 * @param known shape of an observation, which says what the model leaves open
 * @throws FileError when there are other inputs, or it is of another type or shape, or the model of another operator set
 */
export function inputOf(
  { inputs, initializers }: OnnxGraph,
  opset: number,
  known: readonly number[] | undefined,
  path: string,
): ModelInput {
  if (opset < OPSETS.least || opset > OPSETS.most) {
    throw new FileError(path, `has opset ${opset}, read are ${OPSETS.least} to ${OPSETS.most}`);
  }
  // Old exporters list initialisers among the inputs.
  const constants = new Set(initializers.map(({ name }) => name));
  const [input, second] = inputs.filter(({ name }) => !constants.has(name));
  if (input === undefined || second !== undefined) {
    throw new FileError(path, `has ${input ? "several inputs" : "no input"}, expected one: the observation`);
  }
  const { name, dtype, dims } = input;
  const [batch = 0, ...rest] = dims;
  const shape = rest.map((size, axis) =>
    typeof size === "number" ? size : known?.length === rest.length ? (known[axis] ?? 0) : 0,
  );
  const rows = typeof batch === "number" ? batch : undefined;
  const typed = dtype === "float32" || dtype === "float64" || dtype === "uint8";
  if (!typed || shape.length === 0 || shape.includes(0) || rows === 0 || (rows ?? 1) > MAX_ROWS) {
    throw new FileError(
      path,
      `has an input ${dtype} [${dims.slice(0, 16).join(", ")}], expected float32, float64 or uint8 [batch, numbers of an observation]`,
    );
  }
  if (!(elementsOf(shape) <= MAX_WIDTH)) throw new FileError(path, `takes over ${MAX_WIDTH} numbers`);
  return { name, dtype, dims, shape, rows };
}

/**
 * The nodes that a value depends on, in the order of the graph, in which every value is made before it is used.
 * @param most how many of them there may be
 */
export function neededNodes({ nodes }: OnnxGraph, name: string, most: number, path: string): OnnxNode[] {
  const names = new Set([name]);
  const needed: OnnxNode[] = [];
  for (const node of nodes.toReversed()) {
    // An empty name is that of an optional value that is left out.
    if (!node.outputs.some((output) => output !== "" && names.has(output))) continue;
    for (const input of node.inputs) names.add(input);
    needed.push(node);
    if (needed.length > most) throw new FileError(path, `needs over ${most} nodes`);
  }
  return needed.toReversed();
}

/** A name of the file in a message. */
export function shown(name: string): string {
  return JSON.stringify(name.slice(0, 200));
}

export function nameOf({ opType, name, outputs }: OnnxNode): string {
  return `${opType.slice(0, 100)} ${shown(name || (outputs[0] ?? ""))}`;
}

export function intOf({ attributes }: OnnxNode, name: string, usual: number): number {
  const attribute: OnnxAttribute | undefined = attributes[name];
  return attribute?.kind === "int" ? attribute.value : usual;
}

export function floatOf({ attributes }: OnnxNode, name: string, usual: number): number {
  const attribute: OnnxAttribute | undefined = attributes[name];
  return attribute?.kind === "float" ? attribute.value : usual;
}

export function intsOf({ attributes }: OnnxNode, name: string): readonly number[] | undefined {
  const attribute: OnnxAttribute | undefined = attributes[name];
  return attribute?.kind === "ints" ? attribute.values : undefined;
}

/** What a Constant holds; `undefined` for what is neither a tensor nor numbers. */
export function heldBy({ attributes }: OnnxNode): Held | undefined {
  for (const name of ["value", "value_float", "value_int", "value_floats", "value_ints"]) {
    const attribute = attributes[name];
    if (attribute === undefined || attribute.kind === "string") continue;
    if (attribute.kind === "tensor") return attribute.value;
    const dtype = attribute.kind.startsWith("float") ? "float32" : "int64";
    if ("value" in attribute) return { dtype, dims: [], data: [attribute.value] };
    return { dtype, dims: [attribute.values.length], data: attribute.values };
  }
  return undefined;
}

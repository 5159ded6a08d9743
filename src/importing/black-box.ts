import { basename } from "node:path";
import { z } from "zod";
import { FileError, reasonOf } from "../errors.ts";
import { type BlackBoxArchitecture, blackBoxSchema, inputSize } from "../network/architecture.ts";
import type { BlackBox, BlackBoxPolicy } from "../network/policy.ts";
import { elementsOf } from "../shape.ts";
import { ModelSession } from "../tensor/model-session.ts";
import { encodeModel, type OnnxModel, type OnnxNode, type OnnxTensor } from "../tensor/onnx-model.ts";
import { decodeModel } from "../tensor/onnx-reader.ts";
import { actingOf, type ImportOptions, observationShape } from "./dense-layers.ts";
import { calledLike, firstOutput } from "./foreign-onnx.ts";
import { inputOf, type ModelInput, neededNodes, shown } from "./onnx-graph.ts";
import { LIMITS, type Measured, measureModel } from "./onnx-shapes.ts";
import { splitTail } from "./onnx-tail.ts";
import { Trace } from "./onnx-trace.ts";
import { statisticsFor } from "./vec-normalize.ts";

/** Nodes of a model. */
const MAX_NODES = 10_000;
/** Observations that a model gets at once, where it takes any number. */
const MAX_ROWS = 64;

/**
 * An ONNX model of others as a black box: it is checked, written anew from what was understood, and run by ONNX Runtime.
 * What stands behind its outputs (Softmax, ArgMax, Clip, a rescaled Tanh) is left out, as in dense policies.
 *
 * @param why it is no dense policy
 * @throws FileError when it holds what is not understood, or takes too much, or ONNX Runtime refuses it, or an observation's
 * outputs depend on the others of its batch
 */
export async function blackBoxFromOnnx(
  file: Uint8Array,
  path: string,
  options: ImportOptions,
  why: string,
): Promise<BlackBoxPolicy> {
  const { environment } = options;
  const model = decodeModel(file, path);
  const input = inputOf(model.graph, model.opset, environment?.observationSpace.shape, path);
  const name = firstOutput(model, path);
  const { values } = measured(model, input, name, input.rows ?? 1, path);
  const shapes = new Map([...values].map(([key, { shape }]) => [key, shape]));
  const trace = new Trace(model, input, path, shapes);
  const { from, ...flow } = trace.flowOf(name, MAX_NODES);
  const { body, tail, outputs: value = name } = splitTail({ from, ...flow }, options);
  const { outputs, ...box } = prepare(model, input, value, path);
  const shape = observationShape(input.shape, environment, elementsOf(input.shape));
  const statistics = options.statistics && statisticsFor(options.statistics, shape);
  const parsed = blackBoxSchema.safeParse({
    input: shape,
    ...(statistics && { normalization: statistics.normalization }),
    model: { value, dtype: input.dtype, ...box.sizes },
    outputs,
    ...actingOf(tail.acting, outputs, options, path),
  });
  if (!parsed.success) throw new FileError(path, `is no policy: ${z.prettifyError(parsed.error)}`);
  const architecture = parsed.data;
  const given = options.head ? "given" : tail.acting.head ? "as the file says" : "guessed";
  const policy = {
    architecture,
    model: box.model,
    rows: box.rows,
    file,
    ...(environment && { environment: environment.id }),
    provenance: {
      source: `ONNX model ${basename(path)}`.slice(0, 10_000),
      blackBox: why.slice(0, 10_000),
      head: `${architecture.head} (${given})`,
      ...(statistics && { normalization: statistics.source }),
    },
  };
  await tryOut(policy, input, environment?.observationSpace, path);
  return { ...policy, ...calledLike(model, input, { from, body }, policy, trace, options) };
}

/** The black box of a file that was one before: its architecture says which value of the model holds the outputs. */
export function blackBoxOf(architecture: BlackBoxArchitecture, file: Uint8Array, path: string): BlackBox {
  const model = decodeModel(file, path);
  const input = inputOf(model.graph, model.opset, architecture.input, path);
  const { outputs, ...box } = prepare(model, input, architecture.model.value, path);
  if (outputs !== architecture.outputs || elementsOf(input.shape) !== inputSize(architecture)) {
    throw new FileError(
      path,
      `has a model of ${elementsOf(input.shape)} inputs and ${outputs} outputs, not what it says`,
    );
  }
  return { architecture, model: box.model, rows: box.rows };
}

/**
 * How large a model is, as the architecture of a black box says it.
 * @param value that holds the outputs
 * @throws FileError when it takes more than a black box may
 */
export function modelOf(file: Uint8Array, value: string, path: string): BlackBoxArchitecture["model"] {
  const model = decodeModel(file, path);
  const input = inputOf(model.graph, model.opset, undefined, path);
  return { value, dtype: input.dtype, ...prepare(model, input, value, path).sizes };
}

const measured = (model: OnnxModel, input: ModelInput, value: string, rows: number, path: string): Measured =>
  measureModel(model, input, value, rows, MAX_NODES, path);

type Sizes = Omit<BlackBoxArchitecture["model"], "value" | "dtype">;

interface Prepared {
  readonly model: Uint8Array;
  readonly rows: number;
  /** Numbers of a row. */
  readonly outputs: number;
  readonly sizes: Sizes;
}

/** The part of a model that one value needs, written anew under other names: ONNX Runtime sees nothing that was not read. */
function prepare(model: OnnxModel, input: ModelInput, value: string, path: string): Prepared {
  const once = measured(model, input, value, input.rows ?? 1, path);
  const { graph, irVersion, opset } = model;
  const needed = neededNodes(graph, value, MAX_NODES, path);
  // What quantises by the range of all that it is given takes one observation at a time, or they would depend on each other.
  const apart = needed.some(({ opType }) => opType === "DynamicQuantizeLinear");
  // As many as the limits allow, should all grow with the rows.
  const most = Math.min(apart ? 1 : MAX_ROWS, LIMITS.work / once.work, LIMITS.numbers / once.numbers);
  const rows = input.rows ?? Math.max(1, Math.floor(most));
  const all = rows === input.rows ? once : measured(model, input, value, rows, path);
  const outputs = outputsOf(once, value, input.rows ?? 1, path);
  if (outputsOf(all, value, rows, path) !== outputs)
    throw new FileError(path, "has outputs that change with the batch");
  const names = new Map([["", ""]]);
  const renamed = (name: string): string => {
    const known = names.get(name) ?? `v${names.size}`;
    names.set(name, known);
    return known;
  };
  const observation = renamed(input.name);
  const nodes = needed.map(
    (node): OnnxNode => ({
      ...node,
      name: "",
      inputs: node.inputs.map(renamed),
      outputs: node.outputs.map(renamed),
    }),
  );
  const initializers = graph.initializers
    .filter(({ name }) => names.has(name))
    .map((tensor): OnnxTensor => ({ ...tensor, name: renamed(tensor.name) }));
  if (nodes.length === 0) throw new FileError(path, "gives what it is given");
  const { dtype } = all.values.get(value)!;
  const bytes = encodeModel({
    irVersion: Math.min(Math.max(irVersion, 4), 10),
    opset,
    producerName: "pops-rl",
    producerVersion: "",
    metadata: {},
    graph: {
      name: "black box",
      nodes,
      initializers,
      inputs: [{ name: observation, dtype: input.dtype, dims: [input.rows ?? "batch", ...input.shape] }],
      outputs: [{ name: renamed(value), dtype }],
    },
  });
  return { model: bytes, rows, outputs, sizes: sizesOf(nodes, initializers, once.macs / (input.rows ?? 1)) };
}

/** Numbers of a row at a value, which has to have the rows first. */
function outputsOf({ values }: Measured, value: string, rows: number, path: string): number {
  const found = values.get(value);
  if (found === undefined) throw new FileError(path, `has no value ${shown(value)} that nodes make`);
  const { shape, dtype } = found;
  if (dtype !== "float32" && dtype !== "float64") {
    throw new FileError(
      path,
      `gives ${dtype} at ${shown(value)}, expected what actions are chosen by: float32 or float64`,
    );
  }
  const outputs = elementsOf(shape) / rows;
  // One number of each row may stand without an axis of its own.
  const bare = shape.length === 1 && outputs === 1;
  if (!(shape[0] === rows || rows === 1) || (outputs !== shape.at(-1) && !bare)) {
    throw new FileError(path, `gives [${shape.join(", ")}] for ${rows} observations, expected [${rows}, outputs]`);
  }
  return outputs;
}

function sizesOf(nodes: readonly OnnxNode[], initializers: readonly OnnxTensor[], macs: number): Sizes {
  const constants = nodes.flatMap(({ attributes }) => Object.values(attributes));
  const inNodes = constants.flatMap((attribute) => (attribute.kind === "tensor" ? [attribute.value] : []));
  // Integers are shapes and positions; what is left are parameters.
  const tensors = [...initializers, ...inNodes].filter(({ dtype }) => dtype !== "int64" && dtype !== "bool");
  const sizes = { nodes: nodes.length, weights: 0, nonZero: 0, biases: 0, bytes: 0, macs: Math.round(macs) };
  for (const { dims, data } of tensors) {
    const length = data.length;
    sizes.bytes += ArrayBuffer.isView(data) ? data.byteLength : 0;
    if (dims.length < 2) sizes.biases += length;
    else {
      sizes.weights += length;
      for (let i = 0; i < length; i++) if (data[i] !== 0) sizes.nonZero++;
    }
  }
  return sizes;
}

/** Runs a few observations: ONNX Runtime has to take the model, give numbers, and the same ones whatever else is in the batch. */
async function tryOut(
  box: BlackBox,
  input: ModelInput,
  space: { readonly low: readonly number[]; readonly high: readonly number[] } | undefined,
  path: string,
): Promise<void> {
  const { architecture } = box;
  const width = inputSize(architecture);
  const batch = input.rows ?? Math.min(4, box.rows);
  const observe = (index: number): Float32Array =>
    Float32Array.from({ length: width }, (_, i) => {
      const share = (1 + Math.sin(1 + 1.7 * i + 0.6 * index)) / 2;
      const [low = Number.NaN, high = Number.NaN] = [space?.low[i], space?.high[i]];
      if (input.dtype === "uint8") return Math.floor(255 * share);
      return high - low < 1e6 ? low + share * (high - low) : 2 * share - 1;
    });
  let session: ModelSession | undefined;
  try {
    session = await ModelSession.open(box.model, batch);
    const outputs = new Float32Array(batch * architecture.outputs);
    const run = async (indices: readonly number[]): Promise<Float32Array> => {
      const observations = new Float32Array(batch * width);
      for (const [row, index] of indices.entries()) observations.set(observe(index), row * width);
      await session?.run(observations, outputs);
      return outputs.slice();
    };
    const rows = Array.from({ length: batch }, (_, row) => row);
    const before = (await run(rows)).subarray(0, architecture.outputs);
    const behind = (await run(rows.map((row) => (batch - 1 - row) * (batch + 1)))).subarray(-architecture.outputs);
    if (![...before, ...behind].every(Number.isFinite)) throw new Error("it gives NaN or infinity");
    if (before.some((value, o) => Math.abs(value - behind[o]!) > 1e-3 * Math.max(1, Math.abs(value)))) {
      throw new Error("what it gives for an observation depends on the others of its batch");
    }
  } catch (error) {
    throw new FileError(path, `cannot be run by ONNX Runtime: ${reasonOf(error).slice(0, 1_000)}`, { cause: error });
  } finally {
    await session?.dispose();
  }
}

import { elementsOf } from "../shape.ts";
import type { OnnxModel, OnnxNode } from "../tensor/onnx-model.ts";
import { Call, constantOf, MAX_DATA, type Rule, type Shaped } from "./onnx-call.ts";
import { type ModelInput, neededNodes } from "./onnx-graph.ts";
import { moves } from "./onnx-moves.ts";
import { operations } from "./onnx-operations.ts";

/** What running a graph once takes. */
export interface Measured {
  readonly values: ReadonlyMap<string, Shaped>;
  /** Numbers that its nodes make. */
  readonly numbers: number;
  /** Numbers that its nodes read, make and multiply. */
  readonly work: number;
  /** Multiply-adds of products and convolutions. */
  readonly macs: number;
}

/** What one run may take: 512 MiB of float32 values, some seconds of one core. */
export const LIMITS: Limits = { numbers: 2 ** 27, work: 2 ** 32 };

/** What a graph may take. */
export interface Limits {
  readonly numbers: number;
  readonly work: number;
}

/** Dimensions of a value. */
const MAX_RANK = 8;

/**
 * What it takes to run what a value of a model needs, on so many observations.
 *
 * @throws FileError as `measure` does, or when that is more than `maxNodes`
 */
export function measureModel(
  { graph, opset }: OnnxModel,
  input: ModelInput,
  value: string,
  rows: number,
  maxNodes: number,
  path: string,
): Measured {
  const given = new Map<string, Shaped>(graph.initializers.map((tensor) => [tensor.name, constantOf(tensor)]));
  given.set(input.name, { dtype: input.dtype, shape: [rows, ...input.shape] });
  return measure(neededNodes(graph, value, maxNodes, path), given, opset, LIMITS, path);
}

/**
 * The shapes of all values of a graph, node by node, before anything is run: each operator is one whose rule is known, its
 * attributes make sense, and no shape depends on the numbers of an observation.
 *
 * @param given the constants and the input by name
 * @throws FileError that names the node which is not understood or goes beyond the limits
 */
export function measure(
  nodes: readonly OnnxNode[],
  given: ReadonlyMap<string, Shaped>,
  opset: number,
  limits: Limits,
  path: string,
): Measured {
  const values = new Map(given);
  let [numbers, work, macs] = [0, 0, 0];
  for (const node of nodes) {
    const call = new Call(node, values, opset, path);
    for (const [index, made] of ruled(call).entries()) {
      const name = node.outputs[index] ?? "";
      if (name === "") continue;
      if (values.has(name)) call.refuse("makes a value that is there already");
      values.set(name, made);
      numbers += elementsOf(made.shape);
      work += elementsOf(made.shape);
    }
    work += call.read + call.products + call.comparisons;
    macs += call.products;
    if (!(numbers <= limits.numbers))
      call.refuse(`makes too much: over ${limits.numbers} numbers with those before it`);
    if (!(work <= limits.work)) call.refuse(`computes too much: over ${limits.work} steps with those before it`);
  }
  return { values, numbers, work, macs };
}

/** Why operators without a rule have none. */
const refusals = new Map<string, string>([
  ...["Loop", "Scan", "If", "SequenceMap"].map(
    (name) => [name, "could run for ever: control flow is refused"] as const,
  ),
  ...["LSTM", "GRU", "RNN"].map(
    (name) => [name, "remembers what came before: recurrent policies are not read"] as const,
  ),
  ...["RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"].map(
    (name) => [name, "draws random numbers: a policy has to give the same every time"] as const,
  ),
  ...["NonZero", "Unique", "Compress", "NonMaxSuppression"].map(
    (name) => [name, "makes as many numbers as the observation wants: its shape has to be known"] as const,
  ),
]);

function ruled(call: Call): readonly Shaped[] {
  const { opType, unread, outputs } = call.node;
  const rule = Object.hasOwn(rules, opType) ? rules[opType] : undefined;
  if (rule === undefined || unread !== undefined) {
    return call.refuse(
      refusals.get(opType) ?? (rule ? "has an attribute that is not read" : "is an operator that is not known"),
    );
  }
  const made = rule(call);
  if (outputs.slice(made.length).some((name) => name !== "")) call.refuse("has more outputs than are known");
  return made.map(({ dtype, shape, data }) => {
    if (shape.length > MAX_RANK) call.refuse(`makes a value of ${shape.length} dimensions`);
    if (!shape.every((size) => Number.isSafeInteger(size) && size >= (data ? 0 : 1))) {
      call.refuse(`makes a value of shape [${shape.join(", ")}]`);
    }
    return { dtype, shape, ...(data && data.length <= MAX_DATA && { data }) };
  });
}

const rules: Readonly<Record<string, Rule>> = { ...operations, ...moves };

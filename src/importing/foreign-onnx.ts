import { FileError } from "../errors.ts";
import type { AnyArchitecture } from "../network/architecture.ts";
import type { Policy } from "../network/policy.ts";
import type { OnnxDims, OnnxModel, OnnxValue } from "../tensor/onnx-model.ts";
import { type ImportOptions, observationShape, policyOfChain } from "./dense-layers.ts";
import { chainOfSteps } from "./onnx-chain.ts";
import { inputOf, type ModelInput } from "./onnx-graph.ts";
import { measureModel } from "./onnx-shapes.ts";
import type { Flow } from "./onnx-steps.ts";
import { interfaceOf, type NetworkPlace, splitTail } from "./onnx-tail.ts";
import { Trace } from "./onnx-trace.ts";

/** Nodes that an output of a sequence of layers may need; real ones have tens. */
const MAX_NODES = 200;
/** Observations with which the shapes of outputs are found: a number that is hardly a size of something else. */
const SOME_ROWS = 7;

/**
 * The policy that an ONNX model of others computes, if it is a sequence: normalisation of the observation, convolutions, dense
 * layers, with Relu and Tanh between them, and at the end nothing, Softmax, ArgMax, a rescaled Tanh or Clip. Of several outputs the
 * first one is taken, and only what it needs is looked at. Nothing is run. Exports of the policy are called as the model is.
 * @throws FileError that names the node which is not understood
 */
export function policyFromForeignOnnx(model: OnnxModel, path: string, options: ImportOptions): Policy {
  const input = inputOf(model.graph, model.opset, options.environment?.observationSpace.shape, path);
  const name = firstOutput(model, path);
  const trace = new Trace(model, input, path);
  const flow = trace.flowOf(name, MAX_NODES);
  const { body, tail } = splitTail(flow, options);
  const chain = chainOfSteps(body, input.shape, trace.held, path);
  const { channelsLast } = chain;
  const policy = policyOfChain({ ...chain, ...tail.acting }, options, "ONNX model", path);
  const taken = policy.architecture.input;
  const shape = options.environment?.observationSpace.shape;
  const isTheirs = shape !== undefined && observationShape(input.shape, options.environment, 0) === shape;
  if (isTheirs && (taken.join() !== shape.join() || (channelsLast && shape.join() === input.shape.join()))) {
    throw new FileError(
      path,
      `takes images [${input.shape.join(", ")}] as the environment gives them, its convolutions [${taken.join(", ")}]`,
    );
  }
  const place = { from: flow.from, body, channelsLast };
  return { ...policy, ...calledLike(model, input, place, policy, trace, options) };
}

/** Name of the output that acts. */
export function firstOutput({ graph }: OnnxModel, path: string): string {
  const [output] = graph.outputs;
  if (output === undefined) throw new FileError(path, "has no output");
  return output.name;
}

/** Dimensions as they are stated, but that numbers stand where only the batch may be of any size; without a statement, those found. */
function dimsLike(
  stated: OnnxDims | undefined,
  shape: readonly number[] | undefined,
  input: ModelInput,
  rows: number,
): OnnxDims | undefined {
  const [batch] = input.dims;
  const found = shape?.map((size, axis) => (axis === 0 && size === rows ? (batch ?? size) : size));
  if (stated === undefined) return found;
  return stated.length === found?.length
    ? stated.map((dim, axis) => (axis > 0 && typeof dim === "string" ? (found[axis] ?? dim) : dim))
    : stated;
}

/** What a policy that takes a model's place has from it: how it is called, and what its provenance says of that. */
export function calledLike(
  model: OnnxModel,
  input: ModelInput,
  place: NetworkPlace,
  { architecture, provenance }: { readonly architecture: AnyArchitecture } & Pick<Policy, "provenance">,
  trace: Trace,
  { statistics }: ImportOptions,
): Pick<Policy, "interface" | "provenance"> {
  const flowOf = (output: string): Flow | undefined => {
    try {
      return trace.flowOf(output, MAX_NODES);
    } catch (error) {
      if (error instanceof FileError) return undefined;
      throw error;
    }
  };
  const rows = input.rows ?? SOME_ROWS;
  const shapeOf = (output: string): readonly number[] | undefined => {
    try {
      return measureModel(model, input, output, rows, MAX_NODES, "").values.get(output)?.shape;
    } catch (error) {
      if (error instanceof FileError) return undefined;
      throw error;
    }
  };
  const dimsOf = ({ name, dims }: OnnxValue): OnnxDims | undefined => {
    const known = dims?.every((dim, axis) => axis === 0 || typeof dim === "number") === true;
    return known ? dims : dimsLike(dims, shapeOf(name), input, rows);
  };
  const face = interfaceOf(model, input, place, architecture, { flowOf, dimsOf }, statistics !== undefined);
  const output = (model.graph.outputs[0]?.name ?? "").slice(0, 10_000);
  if (typeof face === "string") {
    return { provenance: { ...provenance, output, interface: `not kept: ${face}`.slice(0, 10_000) } };
  }
  return { interface: face, provenance: { ...provenance, output } };
}

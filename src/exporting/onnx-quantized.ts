import { UsageError } from "../errors.ts";
import { modelOf } from "../importing/black-box.ts";
import { QUANTIZATION } from "../importing/onnx.ts";
import { describe, layoutOf, outputSize } from "../network/architecture.ts";
import { type Interface, ownInterface } from "../network/interface.ts";
import { transposed } from "../network/parameters.ts";
import type { BlackBoxMetadata, Policy } from "../network/policy.ts";
import type { Ranges } from "../quantization/ranges.ts";
import { DTYPES, type OnnxTensor } from "../tensor/onnx-model.ts";
import { metadataOf } from "./metadata.ts";
import { Graph, placesOf } from "./onnx-graph.ts";
import {
  type ActivationBits,
  type IntegerLayer,
  type Quantized,
  type QuantizedLayer,
  quantizeDynamic,
  quantizeStatic,
} from "./quantization.ts";

/**
 * `qdq`: QuantizeLinear and DequantizeLinear around what goes into the layers, by calibrated ranges. `dynamic`:
 * DynamicQuantizeLinear, whose ranges are those of each observation, MatMulInteger and ConvInteger.
 */
export const QUANTIZATIONS = ["qdq", "dynamic"] as const;
/** A scheme of quantisation. */
export type Quantization = (typeof QUANTIZATIONS)[number];

/** How a policy is quantised. */
export interface QuantizedOptions {
  readonly scheme: Quantization;
  /** Bits of what goes into the layers, 8 if not given; dynamic ones always have 8. */
  readonly bits?: ActivationBits;
  /** What the provenance is to say beside the scheme: where the ranges are from, how far it acts as the policy does. */
  readonly provenance?: Readonly<Record<string, string>>;
}

/** Least versions of the operator set: of dynamic quantisation, of scales by output, of 16 bits. */
const OPSETS = { dynamic: 11, 8: 13, 16: 21 } as const;

/**
 * A policy as an ONNX model of int8 weights, which is called as `policyToOnnx` makes it be: same names, types, shapes and operator
 * set, the greedy action included. Outputs are float32 and are not quantised. It is read back as a black box, since its numbers
 * are others than the policy's; so it has no score.
 *
 * @param ranges of this policy on recorded observations
 * @throws ShapeError when parameters are missing or not finite, or the metadata is out of bounds
 * @throws UsageError when the policy's interface has an operator set that is too old
 */
export function policyToQuantizedOnnx(
  policy: Policy,
  ranges: Ranges,
  { scheme, bits = 8, provenance: said }: QuantizedOptions,
): Uint8Array<ArrayBuffer> {
  const { architecture } = policy;
  const face = policy.interface ?? ownInterface(architecture);
  const least = OPSETS[scheme === "dynamic" ? scheme : bits];
  if (face.opset < least) {
    const kind = scheme === "dynamic" ? scheme : `${scheme} of ${bits} bits`;
    throw new UsageError(
      "--quantize",
      `the policy takes the place of a model of opset ${face.opset}, ${kind} needs ${least}`,
    );
  }
  const graph = new Graph(policy, face);
  const normalized = face.normalized === true;
  const outputs =
    scheme === "dynamic"
      ? dynamicNetwork(graph, policy, quantizeDynamic(policy, ranges, normalized))
      : staticNetwork(graph, policy, quantizeStatic(policy, ranges, bits, normalized), bits);
  graph.giveAll(outputs);
  const value = graph.nameOf(outputs);
  const model = modelOf(graph.encode({}), value, "the quantised policy");
  const provenance = {
    ...policy.provenance,
    layers: describe(architecture),
    quantization: `${scheme}: int8 weights, uint${scheme === "dynamic" ? 8 : bits} activations`,
    ...said,
  };
  return graph.encode({
    pops: metadataOf({ ...boxOf(policy, face, model), provenance }),
    [QUANTIZATION]: scheme,
  });
}

/** The black box that it is read back as: it takes observations as the model does. */
function boxOf(
  { architecture, environment, gymnasium, interface: face }: Policy,
  { input, normalized }: Interface,
  model: BlackBoxMetadata["architecture"]["model"],
): Omit<BlackBoxMetadata, "provenance"> {
  const { head, gaussian, normalization } = architecture;
  const sizes = input.dims.slice(1).filter((size) => typeof size === "number");
  return {
    architecture: {
      input: input.channelsLast && sizes.length === 3 ? sizes : architecture.input,
      ...(normalized && normalization && { normalization }),
      model,
      outputs: outputSize(architecture),
      head,
      ...(gaussian && { gaussian }),
    },
    ...(environment !== undefined && { environment }),
    ...(gymnasium && { gymnasium }),
    ...(face && { interface: face }),
  };
}

/** Observations as the first layer takes them. */
function entered(
  graph: Graph,
  { architecture }: Policy,
  { entry, normalized }: Omit<Quantized<QuantizedLayer>, "layers">,
): string {
  const observation = graph.observation();
  let x = normalized ? graph.normalized(observation) : observation;
  if (!entry) return x;
  const images = layoutOf(architecture)[0]?.window !== undefined;
  const { origin, step } = entry;
  const tensor = (name: string, data: Float32Array): string => {
    const dims = data.length === 1 ? [] : images ? architecture.input : [data.length];
    return graph.tensor({ name, dtype: "float32", dims, data });
  };
  if (origin.some((value) => value !== 0)) x = graph.append("Sub", [x, tensor("entry.origin", origin)], "moved");
  if (step.some((value) => value !== 1)) x = graph.append("Div", [x, tensor("entry.step", step)], "scaled");
  return x;
}

/**
 * Each layer's inputs, weights and biases are integers, of which DequantizeLinear says what numbers they stand for. ONNX Runtime
 * makes products of integers of that where zeros are stated, though they are 0. Weights are turned (`transB`): as they are, it would
 * take them for those of a language model where inputs have 16 bits, and round these to 8 (1.32: MatMulNBits).
 */
function staticNetwork(
  graph: Graph,
  policy: Policy,
  { layers, ...front }: Quantized<IntegerLayer>,
  bits: ActivationBits,
): string {
  let x = entered(graph, policy, front);
  for (const [l, layer] of layers.entries()) {
    const { layout, grid, scales, units, integers } = layer;
    const { name, outputs, activation, window } = layout;
    const onGrid = [
      graph.tensor({ name: `${name}.input_scale`, dtype: "float32", dims: [], data: Float32Array.of(grid.step) }),
      bits === 8
        ? graph.tensor({ name: `${name}.input_zero`, dtype: "uint8", dims: [], data: Uint8Array.of(grid.zero) })
        : graph.tensor({ name: `${name}.input_zero`, dtype: "uint16", dims: [], data: Uint16Array.of(grid.zero) }),
    ];
    x = graph.append("QuantizeLinear", [x, ...onGrid], `${name}_input_quantized`);
    // On integers, so that what is dequantised goes straight into the product.
    if (!window && layers[l - 1]?.layout.window) x = graph.flatten(x, `${name}_flat`);
    x = graph.append("DequantizeLinear", [x, ...onGrid], `${name}_input`);
    const dequantized = (integer: OnnxTensor, scale: Float32Array, zero: OnnxTensor): string => {
      const dims = [outputs];
      const scales = graph.tensor({ name: `${integer.name}_scale`, dtype: "float32", dims, data: scale });
      const inputs = [graph.tensor(integer), scales, graph.tensor(zero)];
      return graph.append("DequantizeLinear", inputs, `${integer.name}_dequantized`, {
        axis: { kind: "int", value: 0 },
      });
    };
    const weight = dequantized(weightsOf(layer, true), scales, {
      dims: [outputs],
      name: `${name}.weight_zero`,
      dtype: "int8",
      data: new Int8Array(outputs),
    });
    const bias = dequantized({ name: `${name}.bias`, dtype: "int32", dims: [outputs], data: integers }, units, {
      dims: [outputs],
      name: `${name}.bias_zero`,
      dtype: "int32",
      data: new Int32Array(outputs),
    });
    const linear = activation === "none" ? name : `${name}_linear`;
    x = window
      ? graph.append("Conv", [x, weight, bias], linear, placesOf(window))
      : graph.append("Gemm", [x, weight, bias], linear, { transB: { kind: "int", value: 1 } });
    x = graph.activate(activation, x, name);
  }
  return x;
}

/** Each layer's inputs become integers by their own range, when they come; sums become numbers again. */
function dynamicNetwork(graph: Graph, policy: Policy, { layers, ...front }: Quantized<QuantizedLayer>): string {
  let x = entered(graph, policy, front);
  for (const [l, layer] of layers.entries()) {
    const { layout, scales, biases } = layer;
    const { name, outputs, activation, window } = layout;
    if (!window && layers[l - 1]?.layout.window) x = graph.flatten(x, `${name}_flat`);
    const [bytes = "", step = "", zero = ""] = graph.appendAll(
      "DynamicQuantizeLinear",
      [x],
      [`${name}_input`, `${name}_input_scale`, `${name}_input_zero`],
    );
    const operands = [bytes, graph.tensor(weightsOf(layer, false)), zero];
    const sums = window
      ? graph.append("ConvInteger", operands, `${name}_sums`, placesOf(window))
      : graph.append("MatMulInteger", operands, `${name}_sums`);
    const dims = window ? [outputs, 1, 1] : [outputs];
    const scale = graph.tensor({ name: `${name}.weight_scale`, dtype: "float32", dims, data: scales });
    const bias = graph.tensor({ name: `${name}.bias`, dtype: "float32", dims, data: Float32Array.from(biases) });
    const unit = graph.append("Mul", [step, scale], `${name}_unit`);
    x = graph.append("Cast", [sums], `${name}_floats`, { to: { kind: "int", value: DTYPES.float32.code } });
    x = graph.append("Mul", [x, unit], `${name}_products`);
    x = graph.append("Add", [x, bias], activation === "none" ? name : `${name}_linear`);
    x = graph.activate(activation, x, name);
  }
  return x;
}

/** The weights as a convolution takes them, or as a product does: [inputs, outputs], or turned. */
function weightsOf({ layout, weights }: QuantizedLayer, turned: boolean): OnnxTensor {
  const { name, inputs, outputs, window } = layout;
  const tensor = { name: `${name}.weight`, dtype: "int8" } as const;
  if (!window && !turned) return { ...tensor, dims: [inputs, outputs], data: weights };
  const dims = window ? [outputs, window.from[0], ...window.kernel] : [outputs, inputs];
  return { ...tensor, dims, data: transposed(weights, inputs, outputs) };
}

import { rangesOf } from "../network/action.ts";
import { type Activation, layoutOf, outputSize } from "../network/architecture.ts";
import { transposed } from "../network/parameters.ts";
import type { Policy } from "../network/policy.ts";
import { NO_DIGEST, seal } from "../seal.ts";
import { encodeModel, type OnnxNode, type OnnxTensor, type OnnxValue } from "../tensor/onnx-model.ts";
import { metadataOf } from "./metadata.ts";
import { VERSION } from "./version.ts";

const outputNames = { "q-values": "q_values", logits: "logits", gaussian: "mean" } as const;
const operators: Record<Exclude<Activation, "none">, string> = { relu: "Relu", tanh: "Tanh" };

/**
 * A policy as an ONNX model (opset 21) with a dynamic batch: input `observation` float32 [batch, ...input], as it comes from
 * the environment (the policy's statistics normalise it in the model); outputs `q_values` or `logits` float32 [batch,
 * actions] and, unless `action` is false, `action` int64 [batch], the greedy choice (the lowest index among equals). A
 * Gaussian's are `mean` float32 [batch, dimensions] and `action` float32 [batch, dimensions], the mean within the bounds;
 * its standard deviations stand in the metadata. `metadata_props` holds `pops` (architecture, environment, score and provenance
 * as JSON) and `sha256` (of the file with 64 zeros in its place). Equal policies give equal bytes.
 *
 * @throws ShapeError when parameters are missing or not finite, or the metadata is out of bounds
 */
export function policyToOnnx(policy: Policy, options: { readonly action?: boolean } = {}): Uint8Array<ArrayBuffer> {
  const pops = metadataOf(policy);
  const { architecture, parameters } = policy;
  const { normalization, gaussian } = architecture;
  const head = outputNames[architecture.head];
  const layers = layoutOf(architecture);
  const nodes: OnnxNode[] = [];
  const initializers: OnnxTensor[] = [];
  const append = (
    opType: string,
    inputs: string[],
    output: string,
    attributes: OnnxNode["attributes"] = {},
  ): string => {
    nodes.push({ opType, name: `${opType}_${output}`, inputs, outputs: [output], attributes });
    return output;
  };

  let x = "observation";
  const imagesIn = layers[0]?.window !== undefined;
  const tensor = (name: string, values: readonly number[], dims: readonly number[]): string => {
    initializers.push({ name, dtype: "float32", dims, data: Float32Array.from(values) });
    return name;
  };
  const row = (name: string, values: readonly number[]): string => tensor(name, values, [values.length]);
  const scalar = (name: string, value: number): string => {
    initializers.push({ name, dtype: "float32", dims: [], data: Float32Array.of(value) });
    return name;
  };
  if (architecture.input.length > 1 && !imagesIn)
    x = append("Flatten", [x], "flat", { axis: { kind: "int", value: 1 } });
  if (normalization) {
    const { mean, deviation, clip } = normalization;
    const statistic = (name: string, values: readonly number[]): string =>
      tensor(`normalization.${name}`, values, values.length > 1 && imagesIn ? architecture.input : [values.length]);
    x = append("Sub", [x, statistic("mean", mean)], "centred");
    x = append("Div", [x, statistic("deviation", deviation)], "scaled");
    if (clip !== undefined) {
      const limits = [scalar("normalization.low", -clip), scalar("normalization.high", clip)];
      x = append("Clip", [x, ...limits], "normalized");
    }
  }
  for (const [l, { name, inputs, outputs, weights, biases, activation, window }] of layers.entries()) {
    const constant = (suffix: string, dims: number[], data: Float32Array): string => {
      initializers.push({ name: `${name}.${suffix}`, dtype: "float32", dims, data });
      return `${name}.${suffix}`;
    };
    const ofLayer = ({ offset, length }: typeof weights): Float32Array => parameters.slice(offset, offset + length);
    const result = name === layers.at(-1)?.name ? head : name;
    const linear = activation === "none" ? result : `${result}_linear`;
    if (window === undefined) {
      if (layers[l - 1]?.window) x = append("Flatten", [x], `${name}_flat`, { axis: { kind: "int", value: 1 } });
      const weight = constant("weight", [inputs, outputs], ofLayer(weights));
      x = append("Gemm", [x, weight, constant("bias", [outputs], ofLayer(biases))], linear);
    } else {
      const { kernel, stride, padding, from } = window;
      const weight = constant("weight", [outputs, from[0], ...kernel], transposed(ofLayer(weights), inputs, outputs));
      x = append("Conv", [x, weight, constant("bias", [outputs], ofLayer(biases))], linear, {
        strides: { kind: "ints", values: stride },
        pads: { kind: "ints", values: padding },
      });
    }
    if (activation !== "none") x = append(operators[activation], [x], result);
  }
  const results: OnnxValue[] = [{ name: head, dtype: "float32", dims: ["batch", outputSize(architecture)] }];
  if (options.action !== false && gaussian) {
    if (gaussian.squash) {
      const { middle, half } = rangesOf(gaussian);
      const scaled = append("Mul", [append("Tanh", [x], "squashed"), row("action.half", half)], "scaled_to_range");
      x = append("Add", [scaled, row("action.middle", middle)], "ranged");
    }
    const limited = append("Max", [x, row("action.low", gaussian.low)], "above_low");
    append("Min", [limited, row("action.high", gaussian.high)], "action");
    results.push({ name: "action", dtype: "float32", dims: ["batch", outputSize(architecture)] });
  } else if (options.action !== false) {
    append("ArgMax", [x], "action", { axis: { kind: "int", value: 1 }, keepdims: { kind: "int", value: 0 } });
    results.push({ name: "action", dtype: "int64", dims: ["batch"] });
  }

  const bytes = encodeModel({
    irVersion: 10,
    opset: 21,
    producerName: "pops-rl",
    producerVersion: VERSION,
    graph: {
      name: "policy",
      nodes,
      initializers,
      inputs: [{ name: "observation", dtype: "float32", dims: ["batch", ...architecture.input] }],
      outputs: results,
    },
    metadata: { pops, sha256: NO_DIGEST },
  });
  seal(bytes, bytes.length - NO_DIGEST.length);
  return bytes;
}

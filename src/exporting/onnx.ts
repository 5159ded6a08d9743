import { layoutOf } from "../network/architecture.ts";
import { ownInterface } from "../network/interface.ts";
import { transposed } from "../network/parameters.ts";
import type { Policy } from "../network/policy.ts";
import { metadataOf } from "./metadata.ts";
import { Graph, placesOf } from "./onnx-graph.ts";

/**
 * A policy as an ONNX model. One with an `interface` is called as the model that it takes the place of: names, types and
 * shapes are that model's, and so is the operator set. Others have opset 21 and a dynamic batch: input `observation` float32
 * [batch, ...input], as it comes from the environment (the policy's statistics normalise it in the model); outputs `q_values`
 * or `logits` float32 [batch, actions] and, unless `action` is false, `action` int64 [batch], the greedy choice (the lowest
 * index among equals). A Gaussian's are `mean` float32 [batch, dimensions] and `action` float32 [batch, dimensions], the mean
 * within the bounds; its standard deviations stand in the metadata. `metadata_props` holds `pops` (architecture, environment,
 * score, provenance and interface as JSON) and `sha256` (of the file with 64 zeros in its place). Equal policies give equal
 * bytes.
 *
 * @throws ShapeError when parameters are missing or not finite, or the metadata is out of bounds
 */
export function policyToOnnx(policy: Policy, options: { readonly action?: boolean } = {}): Uint8Array<ArrayBuffer> {
  const pops = metadataOf(policy);
  const { architecture } = policy;
  const face = policy.interface ?? ownInterface(architecture, options.action);
  const graph = new Graph(policy, face);
  graph.giveAll(network(graph, policy));
  return graph.encode({ pops });
}

/** The layers: what the network puts out. */
function network(graph: Graph, { architecture, parameters }: Policy): string {
  const layers = layoutOf(architecture);
  const tensor = (name: string, dims: readonly number[], data: Float32Array): string =>
    graph.tensor({ name, dtype: "float32", dims, data });
  let x = graph.normalized(graph.observation());
  for (const [l, { name, inputs, outputs, weights, biases, activation, window }] of layers.entries()) {
    const ofLayer = ({ offset, length }: typeof weights): Float32Array => parameters.slice(offset, offset + length);
    const bias = (): string => tensor(`${name}.bias`, [outputs], ofLayer(biases));
    const linear = activation === "none" ? name : `${name}_linear`;
    if (window === undefined) {
      const behind = layers[l - 1]?.window !== undefined;
      if (behind) x = graph.flatten(x, `${name}_flat`);
      const weight = tensor(`${name}.weight`, [inputs, outputs], ofLayer(weights));
      x = graph.append("Gemm", [x, weight, bias()], linear);
    } else {
      const { kernel, from } = window;
      const filters = transposed(ofLayer(weights), inputs, outputs);
      const weight = tensor(`${name}.weight`, [outputs, from[0], ...kernel], filters);
      x = graph.append("Conv", [x, weight, bias()], linear, placesOf(window));
    }
    x = graph.activate(activation, x, name);
  }
  return x;
}

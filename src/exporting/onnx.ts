import { derivedInitializers } from "../importing/onnx.ts";
import { type Activation, layoutOf, outputSize } from "../network/architecture.ts";
import { type Interface, type InterfaceOutput, ownInterface, reshaping } from "../network/interface.ts";
import { transposed } from "../network/parameters.ts";
import type { Policy } from "../network/policy.ts";
import { NO_DIGEST, seal } from "../seal.ts";
import { DTYPES, encodeModel, type OnnxNode, type OnnxTensor } from "../tensor/onnx-model.ts";
import { metadataOf } from "./metadata.ts";
import { VERSION } from "./version.ts";

const operators: Record<Exclude<Activation, "none">, string> = { relu: "Relu", tanh: "Tanh" };

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
  const outputs = graph.network(graph.observation());
  for (const [index, output] of face.outputs.entries()) graph.give(output, index, outputs);
  const bytes = encodeModel({
    irVersion: face.irVersion,
    opset: face.opset,
    producerName: "pops-rl",
    producerVersion: VERSION,
    graph: {
      name: "policy",
      ...graph.finished(),
      inputs: [face.input],
      outputs: face.outputs.map(({ name, dtype, dims }) => ({ name, dtype, ...(dims && { dims }) })),
    },
    metadata: { pops, sha256: NO_DIGEST },
  });
  seal(bytes, bytes.length - NO_DIGEST.length);
  return bytes;
}

/** Writes the nodes of a policy one after the other; each method takes the name of a value and gives that of the next. */
class Graph {
  readonly #policy: Policy;
  readonly #face: Interface;
  readonly #nodes: OnnxNode[] = [];
  readonly #initializers: OnnxTensor[] = [];
  readonly #taken: Set<string>;
  /** What outputs are made of, by what they give: no value is computed twice. */
  readonly #made = new Map<string, string>();
  /** Names of values that are outputs. */
  readonly #named = new Map<string, string>();
  readonly #derived: ReturnType<typeof derivedInitializers>;

  constructor(policy: Policy, face: Interface) {
    this.#policy = policy;
    this.#face = face;
    this.#taken = new Set([face.input.name, ...face.outputs.map(({ name }) => name)]);
    this.#derived = derivedInitializers(policy.architecture, face);
  }

  /** A name that nothing else has. */
  #fresh(name: string): string {
    let free = name;
    while (this.#taken.has(free)) free += "_";
    this.#taken.add(free);
    return free;
  }

  #append(opType: string, inputs: string[], name: string, attributes: OnnxNode["attributes"] = {}): string {
    const output = this.#fresh(name);
    this.#nodes.push({ opType, name: `${opType}_${output}`, inputs, outputs: [output], attributes });
    return output;
  }

  #tensor(name: string, dims: readonly number[], data: Float32Array): string {
    this.#initializers.push({ name, dtype: "float32", dims, data });
    return name;
  }

  /** One of the tensors that repeat what the metadata holds. */
  #constant(name: string): string {
    const tensor = this.#derived.get(name);
    if (tensor && !this.#initializers.includes(tensor)) this.#initializers.push(tensor);
    return name;
  }

  /** The observation as rows of numbers, or as images where a convolution takes them. */
  observation(): string {
    const { name, dtype, dims, channelsLast } = this.#face.input;
    const { input, normalization } = this.#policy.architecture;
    const images = layoutOf(this.#policy.architecture)[0]?.window !== undefined;
    const [, first, second, third] = dims;
    const shape = channelsLast ? [third, first, second] : dims.slice(1);
    let x = name;
    if (dtype !== "float32")
      x = this.#append("Cast", [x], "floats", { to: { kind: "int", value: DTYPES.float32.code } });
    if (channelsLast)
      x = this.#append("Transpose", [x], "channels_first", { perm: { kind: "ints", values: [0, 3, 1, 2] } });
    if (images && shape.join() !== input.join()) {
      x = this.#append("Reshape", [x, this.#constant("interface.observation")], "images");
    } else if (!images && dims.length !== 2) {
      x = this.#append("Flatten", [x], "flat", { axis: { kind: "int", value: 1 } });
    }
    if (!normalization || this.#face.normalized) return x;
    x = this.#append("Sub", [x, this.#constant("normalization.mean")], "centred");
    x = this.#append("Div", [x, this.#constant("normalization.deviation")], "scaled");
    if (normalization.clip === undefined) return x;
    const limits = [this.#constant("normalization.low"), this.#constant("normalization.high")];
    return this.#append("Clip", [x, ...limits], "normalized");
  }

  /** The layers: what the network puts out. */
  network(observation: string): string {
    const { architecture, parameters } = this.#policy;
    const layers = layoutOf(architecture);
    let x = observation;
    for (const [l, { name, inputs, outputs, weights, biases, activation, window }] of layers.entries()) {
      const ofLayer = ({ offset, length }: typeof weights): Float32Array => parameters.slice(offset, offset + length);
      const bias = (): string => this.#tensor(`${name}.bias`, [outputs], ofLayer(biases));
      const linear = activation === "none" ? name : `${name}_linear`;
      if (window === undefined) {
        const behind = layers[l - 1]?.window !== undefined;
        if (behind) x = this.#append("Flatten", [x], `${name}_flat`, { axis: { kind: "int", value: 1 } });
        const weight = this.#tensor(`${name}.weight`, [inputs, outputs], ofLayer(weights));
        x = this.#append("Gemm", [x, weight, bias()], linear);
      } else {
        const { kernel, stride, padding, from } = window;
        const filters = transposed(ofLayer(weights), inputs, outputs);
        const weight = this.#tensor(`${name}.weight`, [outputs, from[0], ...kernel], filters);
        x = this.#append("Conv", [x, weight, bias()], linear, {
          strides: { kind: "ints", values: stride },
          pads: { kind: "ints", values: padding },
        });
      }
      if (activation !== "none") x = this.#append(operators[activation], [x], name);
    }
    return x;
  }

  /** Makes an output of the network's outputs. */
  give(output: InterfaceOutput, index: number, outputs: string): void {
    const { name, dtype, gives } = output;
    const { architecture } = this.#policy;
    let x = this.#made.get(gives) ?? this.#choose(gives, outputs);
    this.#made.set(gives, x);
    const sizes = reshaping(output, this.#face.input.dims[0], outputSize(architecture));
    if (Array.isArray(sizes)) x = this.#append("Reshape", [x, this.#constant(`interface.${index}`)], `${name}_shaped`);
    if (dtype !== (gives === "choice" ? "int64" : "float32")) {
      x = this.#append("Cast", [x], `${name}_cast`, { to: { kind: "int", value: DTYPES[dtype].code } });
    }
    // A value can have one name only; a second output of it is a copy.
    if (this.#named.has(x)) x = this.#append("Identity", [x], `${name}_copy`);
    this.#named.set(x, name);
  }

  #choose(gives: InterfaceOutput["gives"], x: string): string {
    const axis = { kind: "int", value: 1 } as const;
    switch (gives) {
      case "values":
        return x;
      case "probabilities":
        return this.#append("Softmax", [x], "probabilities", { axis });
      case "log-probabilities":
        return this.#append("LogSoftmax", [x], "log_probabilities", { axis });
      case "choice":
        return this.#append("ArgMax", [x], "choice", { axis, keepdims: { kind: "int", value: 0 } });
      case "squashed":
        return this.#squash(x);
      case "action":
        return this.#act(x);
    }
  }

  #squash(x: string): string {
    const squashed = this.#made.get("squashed") ?? this.#append("Tanh", [x], "squashed");
    this.#made.set("squashed", squashed);
    return squashed;
  }

  #act(mean: string): string {
    let x = mean;
    if (this.#policy.architecture.gaussian?.squash) {
      x = this.#append("Mul", [this.#squash(x), this.#constant("action.half")], "scaled_to_range");
      x = this.#append("Add", [x, this.#constant("action.middle")], "ranged");
    }
    x = this.#append("Max", [x, this.#constant("action.low")], "above_low");
    return this.#append("Min", [x, this.#constant("action.high")], "limited");
  }

  /** All nodes, in which the outputs have their names. */
  finished(): { nodes: readonly OnnxNode[]; initializers: readonly OnnxTensor[] } {
    const renamed = (value: string): string => this.#named.get(value) ?? value;
    const nodes = this.#nodes.map((node) => ({
      ...node,
      name: `${node.opType}_${node.outputs.map(renamed).join()}`,
      inputs: node.inputs.map(renamed),
      outputs: node.outputs.map(renamed),
    }));
    return { nodes, initializers: this.#initializers };
  }
}

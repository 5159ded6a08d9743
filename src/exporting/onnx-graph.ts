import { derivedInitializers } from "../importing/onnx.ts";
import { type Activation, layoutOf, outputSize, type Window } from "../network/architecture.ts";
import { type Interface, type InterfaceOutput, reshaping } from "../network/interface.ts";
import type { Policy } from "../network/policy.ts";
import { NO_DIGEST, seal } from "../seal.ts";
import { DTYPES, encodeModel, type OnnxNode, type OnnxTensor } from "../tensor/onnx-model.ts";
import { VERSION } from "./version.ts";

const operators: Record<Exclude<Activation, "none">, string> = { relu: "Relu", tanh: "Tanh" };

/** Attributes of a convolution. */
export function placesOf({ stride, padding }: Window): OnnxNode["attributes"] {
  return { strides: { kind: "ints", values: stride }, pads: { kind: "ints", values: padding } };
}

/** Writes the nodes of a policy one after the other; each method takes the name of a value and gives that of the next. */
export class Graph {
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
  /** Names that those have which are in the graph. */
  readonly #repeated = new Map<string, string>();

  constructor(policy: Policy, face: Interface) {
    this.#policy = policy;
    this.#face = face;
    this.#taken = new Set([face.input.name, ...face.outputs.map(({ name }) => name)]);
    this.#derived = derivedInitializers(policy.architecture, face);
  }

  /** A name that nothing else has: underscores behind those of tensors are no part of them (`policyFromOnnx`). */
  #fresh(name: string): string {
    let free = name;
    while (this.#taken.has(free)) free += "_";
    this.#taken.add(free);
    return free;
  }

  /** A node of one output. */
  append(opType: string, inputs: string[], name: string, attributes: OnnxNode["attributes"] = {}): string {
    return this.appendAll(opType, inputs, [name], attributes)[0]!;
  }

  /** A node of several. */
  appendAll(opType: string, inputs: string[], names: string[], attributes: OnnxNode["attributes"] = {}): string[] {
    const outputs = names.map((name) => this.#fresh(name));
    this.#nodes.push({ opType, name: `${opType}_${outputs.join()}`, inputs, outputs, attributes });
    return outputs;
  }

  /** A constant. */
  tensor(tensor: OnnxTensor): string {
    const name = this.#fresh(tensor.name);
    this.#initializers.push({ ...tensor, name });
    return name;
  }

  /** One of the tensors that repeat what the metadata holds. */
  #constant(name: string): string {
    const made = this.#repeated.get(name) ?? this.tensor(this.#derived.get(name)!);
    this.#repeated.set(name, made);
    return made;
  }

  activate(activation: Activation, x: string, name: string): string {
    return activation === "none" ? x : this.append(operators[activation], [x], name);
  }

  flatten(x: string, name: string): string {
    return this.append("Flatten", [x], name, { axis: { kind: "int", value: 1 } });
  }

  /** The observation as rows of float32 numbers, or as images where a convolution takes them. */
  observation(): string {
    const { name, dtype, dims, channelsLast } = this.#face.input;
    const { input } = this.#policy.architecture;
    const images = layoutOf(this.#policy.architecture)[0]?.window !== undefined;
    const [, first, second, third] = dims;
    const shape = channelsLast ? [third, first, second] : dims.slice(1);
    let x = name;
    if (dtype !== "float32")
      x = this.append("Cast", [x], "floats", { to: { kind: "int", value: DTYPES.float32.code } });
    if (channelsLast)
      x = this.append("Transpose", [x], "channels_first", { perm: { kind: "ints", values: [0, 3, 1, 2] } });
    if (images && shape.join() !== input.join()) {
      x = this.append("Reshape", [x, this.#constant("interface.observation")], "images");
    } else if (!images && dims.length !== 2) {
      x = this.flatten(x, "flat");
    }
    return x;
  }

  /** The same normalised, unless it comes so. */
  normalized(observation: string): string {
    const { normalization } = this.#policy.architecture;
    if (!normalization || this.#face.normalized) return observation;
    let x = observation;
    x = this.append("Sub", [x, this.#constant("normalization.mean")], "centred");
    x = this.append("Div", [x, this.#constant("normalization.deviation")], "scaled");
    if (normalization.clip === undefined) return x;
    const limits = [this.#constant("normalization.low"), this.#constant("normalization.high")];
    return this.append("Clip", [x, ...limits], "normalized");
  }

  /** Makes the model's outputs of the network's. */
  giveAll(outputs: string): void {
    for (const [index, output] of this.#face.outputs.entries()) this.#give(output, index, outputs);
  }

  #give(output: InterfaceOutput, index: number, outputs: string): void {
    const { name, dtype, gives } = output;
    const { architecture } = this.#policy;
    let x = this.#made.get(gives) ?? this.#choose(gives, outputs);
    this.#made.set(gives, x);
    const sizes = reshaping(output, this.#face.input.dims[0], outputSize(architecture));
    if (Array.isArray(sizes)) x = this.append("Reshape", [x, this.#constant(`interface.${index}`)], `${name}_shaped`);
    if (dtype !== (gives === "choice" ? "int64" : "float32")) {
      x = this.append("Cast", [x], `${name}_cast`, { to: { kind: "int", value: DTYPES[dtype].code } });
    }
    // A value can have one name only; a second output of it is a copy.
    if (this.#named.has(x)) x = this.append("Identity", [x], `${name}_copy`);
    this.#named.set(x, name);
  }

  #choose(gives: InterfaceOutput["gives"], x: string): string {
    const axis = { kind: "int", value: 1 } as const;
    switch (gives) {
      case "values":
        return x;
      case "probabilities":
        return this.append("Softmax", [x], "probabilities", { axis });
      case "log-probabilities":
        return this.append("LogSoftmax", [x], "log_probabilities", { axis });
      case "choice":
        return this.append("ArgMax", [x], "choice", { axis, keepdims: { kind: "int", value: 0 } });
      case "squashed":
        return this.#squash(x);
      case "action":
        return this.#act(x);
    }
  }

  #squash(x: string): string {
    const squashed = this.#made.get("squashed") ?? this.append("Tanh", [x], "squashed");
    this.#made.set("squashed", squashed);
    return squashed;
  }

  #act(mean: string): string {
    let x = mean;
    if (this.#policy.architecture.gaussian?.squash) {
      x = this.append("Mul", [this.#squash(x), this.#constant("action.half")], "scaled_to_range");
      x = this.append("Add", [x, this.#constant("action.middle")], "ranged");
    }
    x = this.append("Max", [x, this.#constant("action.low")], "above_low");
    return this.append("Min", [x, this.#constant("action.high")], "limited");
  }

  /** The name that a value has in the model: of those that are outputs it is theirs. */
  nameOf(value: string): string {
    return this.#named.get(value) ?? value;
  }

  /** The model's file, sealed. */
  encode(metadata: Readonly<Record<string, string>>): Uint8Array<ArrayBuffer> {
    const { irVersion, opset, input, outputs } = this.#face;
    const bytes = encodeModel({
      irVersion,
      opset,
      producerName: "pops-rl",
      producerVersion: VERSION,
      graph: {
        name: "policy",
        ...this.#finished(),
        inputs: [input],
        outputs: outputs.map(({ name, dtype, dims }) => ({ name, dtype, ...(dims && { dims }) })),
      },
      metadata: { ...metadata, sha256: NO_DIGEST },
    });
    seal(bytes, bytes.length - NO_DIGEST.length);
    return bytes;
  }

  /** All nodes, in which the outputs have their names. */
  #finished(): { nodes: readonly OnnxNode[]; initializers: readonly OnnxTensor[] } {
    const renamed = (value: string): string => this.nameOf(value);
    const nodes = this.#nodes.map((node) => ({
      ...node,
      name: `${node.opType}_${node.outputs.map(renamed).join()}`,
      inputs: node.inputs.map(renamed),
      outputs: node.outputs.map(renamed),
    }));
    return { nodes, initializers: this.#initializers };
  }
}

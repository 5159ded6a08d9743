import { z } from "zod";
import type { EnvironmentSpec } from "../environment/environment.ts";
import { ShapeError, UsageError } from "../errors.ts";

const positive = z.number().int().min(1).max(1_000_000);

const denseSchema = z.strictObject({
  kind: z.literal("dense"),
  units: positive,
  activation: z.enum(["relu", "tanh", "none"]),
});

/**
 * What a policy network is: plain data, stored inside every saved policy. The last layer is the output, one unit an action.
 * `head` says what the outputs mean: `q-values` (a DQN) or `logits` (a softmax actor). Either way the greedy action is the argmax.
 */
export const architectureSchema = z.strictObject({
  input: z.array(positive).min(1).max(4),
  layers: z.array(denseSchema).min(1).max(64),
  head: z.enum(["q-values", "logits"]),
});

/** What a policy network is: observation shape, dense layers from the input on, and what the outputs mean. */
export type Architecture = z.infer<typeof architectureSchema>;
/** A dense layer: units and activation. */
export type Layer = Architecture["layers"][number];
/** Activation of a layer: `relu`, `tanh` or `none`. */
export type Activation = Layer["activation"];

/** Where one layer's numbers stand in the flat parameter vector: weights [inputs, outputs] row-major, then biases [outputs]. */
export interface LayerLayout {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly activation: Activation;
  readonly weights: { readonly offset: number; readonly length: number };
  readonly biases: { readonly offset: number; readonly length: number };
}

/** Layout of the flat parameter vector, layer by layer. */
export function layoutOf(architecture: Architecture): LayerLayout[] {
  const layouts: LayerLayout[] = [];
  let inputs = architecture.input.reduce((product, size) => product * size, 1);
  let offset = 0;
  for (const [index, layer] of architecture.layers.entries()) {
    const weights = { offset, length: inputs * layer.units };
    const biases = { offset: offset + weights.length, length: layer.units };
    offset = biases.offset + biases.length;
    const name = index === architecture.layers.length - 1 ? "output" : `dense_${index + 1}`;
    layouts.push({ name, inputs, outputs: layer.units, activation: layer.activation, weights, biases });
    inputs = layer.units;
  }
  return layouts;
}

/** Sizes that every report states side by side. Bytes: 4 a parameter (float32). MACs: multiply-adds of one forward pass. */
export interface Counts {
  readonly weights: number;
  readonly biases: number;
  readonly bytes: number;
  readonly macs: number;
}

/** Sizes of a network, whatever its numbers are. */
export function countsOf(architecture: Architecture): Counts {
  let weights = 0;
  let biases = 0;
  for (const layer of layoutOf(architecture)) {
    weights += layer.weights.length;
    biases += layer.biases.length;
  }
  return { weights, biases, bytes: 4 * (weights + biases), macs: weights };
}

/** Length of the flat parameter vector. */
export function parameterCount(architecture: Architecture): number {
  const { weights, biases } = countsOf(architecture);
  return weights + biases;
}

/** Units of each layer with the input in front: `4-256-256-128-2`. */
export function describe(architecture: Architecture): string {
  return [architecture.input.join("x"), ...architecture.layers.map((layer) => layer.units)].join("-");
}

/** A dense network: hidden layers of the given widths with one activation, and a linear output. */
export function dense(
  inputs: number,
  hidden: readonly number[],
  outputs: number,
  head: Architecture["head"],
  activation: Activation = "relu",
): Architecture {
  return {
    input: [inputs],
    layers: [
      ...hidden.map((units): Layer => ({ kind: "dense", units, activation })),
      { kind: "dense", units: outputs, activation: "none" },
    ],
    head,
  };
}

/** Widths of the hidden layers. */
export function hiddenWidths(architecture: Architecture): number[] {
  return architecture.layers.slice(0, -1).map((layer) => layer.units);
}

/** Number of outputs, which is the number of actions. */
export function outputSize(architecture: Architecture): number {
  const last = architecture.layers.at(-1);
  if (last === undefined) throw new ShapeError("outputSize", "an architecture has at least one layer");
  return last.units;
}

/** Number of elements of one observation. */
export function inputSize(architecture: Architecture): number {
  return architecture.input.reduce((product, size) => product * size, 1);
}

/** Refuses an architecture whose input or output does not fit the environment. */
export function checkFits(architecture: Architecture, spec: EnvironmentSpec): void {
  const shape = spec.observationSpace.shape;
  if (architecture.input.join() !== shape.join()) {
    throw new UsageError(
      "architecture",
      `${describe(architecture)} takes observations of shape [${architecture.input.join(", ")}], but ${spec.id} gives [${shape.join(", ")}]`,
    );
  }
  if (spec.actionSpace.kind !== "discrete") {
    throw new UsageError("architecture", `${spec.id} has continuous actions, which ${architecture.head} cannot choose`);
  }
  if (outputSize(architecture) !== spec.actionSpace.n) {
    throw new UsageError(
      "architecture",
      `${describe(architecture)} has ${outputSize(architecture)} outputs, but ${spec.id} has ${spec.actionSpace.n} actions`,
    );
  }
}

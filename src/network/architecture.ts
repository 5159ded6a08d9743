import { z } from "zod";
import type { EnvironmentSpec } from "../environment/environment.ts";
import { sizeOf } from "../environment/spaces.ts";
import { ShapeError, UsageError } from "../errors.ts";

const positive = z.number().int().min(1).max(1_000_000);

const denseSchema = z.strictObject({
  kind: z.literal("dense"),
  units: positive,
  activation: z.enum(["relu", "tanh", "none"]),
});

/** One number an element of the observation: (x - mean) / deviation, then limited to [-clip, clip]. */
const normalizationSchema = z.strictObject({
  mean: z.array(z.number()),
  deviation: z.array(z.number().positive()),
  clip: z.number().positive(),
});

/**
 * A diagonal Gaussian over actions in the environment's own units: the outputs are its means, `logStd` the logarithms of its
 * standard deviations, which do not depend on the observation. What acts is the draw (or, greedily, the mean) limited to
 * [low, high]: out there the density is that of the draw, not of what acts.
 */
const gaussianSchema = z.strictObject({
  logStd: z.array(z.number().min(-20).max(20)),
  low: z.array(z.number()),
  high: z.array(z.number()),
});

/**
 * What a policy network is: plain data, stored inside every saved policy. The last layer is the output.
 * `head` says what the outputs mean: `q-values` (a DQN) or `logits` (a softmax actor), one unit an action, of which the greedy
 * one is the argmax; or the means of a `gaussian` over continuous actions, one unit a dimension. `normalization` holds the
 * statistics by which observations are normalised before the first layer.
 */
export const architectureSchema = z
  .strictObject({
    input: z.array(positive).min(1).max(4),
    normalization: normalizationSchema.exactOptional(),
    layers: z.array(denseSchema).min(1).max(64),
    head: z.enum(["q-values", "logits", "gaussian"]),
    gaussian: gaussianSchema.exactOptional(),
  })
  .superRefine(({ input, layers, normalization, head, gaussian }, context) => {
    const refuse = (path: string[], message: string): void => {
      context.addIssue({ code: "custom", path, message });
    };
    const inputs = input.reduce((product, size) => product * size, 1);
    for (const name of ["mean", "deviation"] as const) {
      const length = normalization?.[name].length ?? inputs;
      if (length !== inputs) refuse(["normalization", name], `has ${length} numbers, an observation has ${inputs}`);
    }
    const outputs = layers.at(-1)?.units ?? 0;
    if ((head === "gaussian") !== (gaussian !== undefined)) {
      refuse(
        ["gaussian"],
        gaussian ? `belongs to a gaussian head, this one is ${head}` : "is missing for a gaussian head",
      );
    }
    if (gaussian?.low.some((low, d) => low >= (gaussian.high[d] ?? Number.POSITIVE_INFINITY))) {
      refuse(["gaussian", "low"], "has a bound that is not below that of high");
    }
    for (const name of ["logStd", "low", "high"] as const) {
      const length = gaussian?.[name].length ?? outputs;
      if (length !== outputs) refuse(["gaussian", name], `has ${length} numbers, the network has ${outputs} outputs`);
    }
  });

/** What a policy network is: observation shape, dense layers from the input on, and what the outputs mean. */
export type Architecture = z.infer<typeof architectureSchema>;
/** Statistics by which observations are normalised. */
export type Normalization = NonNullable<Architecture["normalization"]>;
/** A diagonal Gaussian around the outputs. */
export type Gaussian = NonNullable<Architecture["gaussian"]>;
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

/**
 * Sizes that every report states side by side. Bytes: 4 a parameter (float32), the statistics of a normalisation included.
 * MACs: multiply-adds of one forward pass.
 */
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
  const statistics = architecture.normalization ? 2 * inputSize(architecture) : 0;
  return { weights, biases, bytes: 4 * (weights + biases + statistics), macs: weights };
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

/** Number of outputs: the number of actions, or of an action's dimensions. */
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
  const { actionSpace } = spec;
  const continuous = actionSpace.kind === "box";
  if (continuous !== (architecture.head === "gaussian")) {
    const actions = continuous ? "continuous actions" : "choices";
    throw new UsageError("architecture", `${spec.id} has ${actions}, which ${architecture.head} cannot choose`);
  }
  const actions = continuous ? sizeOf(actionSpace) : actionSpace.n;
  if (outputSize(architecture) !== actions) {
    throw new UsageError(
      "architecture",
      `${describe(architecture)} has ${outputSize(architecture)} outputs, but ${spec.id} has ${actions} ${continuous ? "numbers an action" : "actions"}`,
    );
  }
  for (const bound of ["low", "high"] as const) {
    const expected = continuous ? actionSpace[bound].map(Math.fround).join() : undefined;
    if (expected !== architecture.gaussian?.[bound].map(Math.fround).join()) {
      throw new UsageError(
        "architecture",
        `its actions are bounded by other numbers (${bound}) than those of ${spec.id}`,
      );
    }
  }
}

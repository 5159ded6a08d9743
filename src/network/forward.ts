import { ShapeError } from "../errors.ts";
import {
  add,
  cast,
  clip,
  constant,
  conv,
  div,
  matmul,
  relu,
  reshape,
  split,
  sub,
  type Tensor,
  tanh,
  transpose,
} from "../tensor/graph.ts";
import {
  type Activation,
  type Architecture,
  inputSize,
  type LayerLayout,
  layoutOf,
  parameterCount,
} from "./architecture.ts";

const activations: Record<Activation, (x: Tensor) => Tensor> = { relu, tanh, none: (x) => x };

/** Observations [batch, observation size] by the architecture's statistics; as they are where it has none. */
function normalized({ normalization }: Architecture, observations: Tensor): Tensor {
  if (normalization === undefined) return observations;
  const { mean, deviation, clip: limit } = normalization;
  // Images are large: what changes nothing is left out.
  const centred = mean.every((value) => value === 0) ? observations : sub(observations, constant(mean));
  const scaled = div(centred, constant(deviation));
  return limit === undefined ? scaled : clip(scaled, -limit, limit);
}

/**
 * The network as an expression: flat `parameters` [parameterCount] and `observations` [batch, observation size], float32 or
 * uint8, to outputs [batch, actions].
 */
export function forward(architecture: Architecture, parameters: Tensor, observations: Tensor): Tensor {
  const size = inputSize(architecture);
  const count = parameterCount(architecture);
  if (parameters.shape.join() !== `${count}` || observations.shape.length !== 2 || observations.shape[1] !== size) {
    const [numbers, rows] = [parameters, observations].map(({ shape }) => `[${shape.join(", ")}]`);
    throw new ShapeError(
      "forward",
      `needs [${count}] parameters and [batch, ${size}] observations, got ${numbers} and ${rows}`,
    );
  }
  const layers = layoutOf(architecture);
  const parts = split(
    parameters,
    layers.flatMap(({ weights, biases }) => [weights.length, biases.length]),
  );
  return layers.reduce(
    (x, layer, i) => activations[layer.activation](sums(layer, x, parts[2 * i]!, parts[2 * i + 1]!)),
    normalized(architecture, cast(observations, "float32")),
  );
}

/** One layer in front of its activation: [batch, outputs], or a convolution's [batch, filters, rows, columns]. */
function sums({ inputs, outputs, window }: LayerLayout, x: Tensor, flat: Tensor, biases: Tensor): Tensor {
  const batch = x.shape[0]!;
  const weights = reshape(flat, [inputs, outputs]);
  if (window === undefined) return matmul(reshape(x, [batch, inputs]), weights, { bias: biases });
  const { kernel, stride, padding, from } = window;
  const filters = reshape(transpose(weights), [outputs, from[0], ...kernel]);
  const images = conv(reshape(x, [batch, ...from]), filters, { strides: stride, pads: padding });
  return add(images, reshape(biases, [outputs, 1, 1]));
}

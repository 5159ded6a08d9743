import { ShapeError } from "../errors.ts";
import { clip, constant, div, matmul, relu, reshape, split, sub, type Tensor, tanh } from "../tensor/graph.ts";
import { type Activation, type Architecture, inputSize, layoutOf, parameterCount } from "./architecture.ts";

const activations: Record<Activation, (x: Tensor) => Tensor> = { relu, tanh, none: (x) => x };

/** Observations [batch, observation size] by the architecture's statistics; as they are where it has none. */
function normalized({ normalization }: Architecture, observations: Tensor): Tensor {
  if (normalization === undefined) return observations;
  const { mean, deviation, clip: limit } = normalization;
  const scaled = div(sub(observations, constant(mean)), constant(deviation));
  return clip(scaled, -limit, limit);
}

/**
 * The network as an expression: flat `parameters` [parameterCount] and `observations` [batch, observation size] to
 * outputs [batch, actions].
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
    (x, layer, i) => {
      const weights = reshape(parts[2 * i]!, [layer.inputs, layer.outputs]);
      return activations[layer.activation](matmul(x, weights, { bias: parts[2 * i + 1]! }));
    },
    normalized(architecture, observations),
  );
}

import { ShapeError } from "../errors.ts";
import { conv } from "../tensor/convolution.ts";
import {
  add,
  cast,
  clip,
  constant,
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
  type Normalization,
  parameterCount,
} from "./architecture.ts";
import { channelsFirst, convolveRows, takesRows } from "./rows.ts";

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
  return activationsOf(architecture, parameters, observations).at(-1)!;
}

/** What each layer of it puts out: [batch, units], or a convolution's [batch, filters, rows, columns]. */
export function activationsOf(architecture: Architecture, parameters: Tensor, observations: Tensor): Tensor[] {
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
  const folded = foldable(architecture);
  const parts = split(
    parameters,
    layers.flatMap(({ weights, biases }) => [weights.length, biases.length]),
  );
  const floats = cast(observations, "float32");
  const asRows = takesRows(layers);
  let x = folded ? centred(floats, folded) : normalized(architecture, floats);
  const made = layers.map((layer, i) => {
    const weights = reshape(parts[2 * i]!, [layer.inputs, layer.outputs]);
    const biases = parts[2 * i + 1]!;
    const normalization = i === 0 ? folded : undefined;
    const scaled = normalization ? div(weights, normalization.deviation[0]!) : weights;
    x = activations[layer.activation](sums(layer, x, scaled, biases, asRows));
    return x;
  });
  return made.map((y, i) => {
    const { window } = layers[i]!;
    return window ? reshape(channelsFirst(y), [y.shape[0]!, ...window.to]) : y;
  });
}

/**
 * A normalisation by one number for all pixels in front of a convolution, whose division is the same convolution of other
 * weights: cheaper by a pass over the images. Nothing may be limited.
 */
function foldable({ normalization, layers }: Architecture): Normalization | undefined {
  const [first] = layers;
  const plain = first?.kind === "conv";
  const single = normalization?.mean.length === 1 && normalization.deviation.length === 1;
  return plain && single && normalization.clip === undefined ? normalization : undefined;
}

/** Observations less the mean, which is not folded: large sums that cancel would cost digits. */
function centred(observations: Tensor, { mean }: Normalization): Tensor {
  return mean[0] === 0 ? observations : sub(observations, mean[0]!);
}

/** One layer in front of its activation: [batch, outputs], or a convolution's images, [batch, pixels, channels] if `asRows`. */
function sums(layer: LayerLayout, x: Tensor, weights: Tensor, biases: Tensor, asRows: boolean): Tensor {
  const { inputs, outputs, window } = layer;
  const batch = x.shape[0]!;
  if (window === undefined) return matmul(reshape(channelsFirst(x), [batch, inputs]), weights, { bias: biases });
  if (asRows) return convolveRows(window, x, weights, biases);
  const { kernel, stride, padding, from } = window;
  const filters = reshape(transpose(weights), [outputs, from[0], ...kernel]);
  const images = conv(reshape(x, [batch, ...from]), filters, { strides: stride, pads: padding });
  return add(images, reshape(biases, [outputs, 1, 1]));
}

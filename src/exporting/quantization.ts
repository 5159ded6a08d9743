import { type LayerLayout, layoutOf } from "../network/architecture.ts";
import { checkParameters, type Network } from "../network/policy.ts";
import { type Range, type Ranges, together } from "../quantization/ranges.ts";
import { type Entry, firstDynamic, firstStatic, type Grid, gridOf, type Taken } from "./quantization-entry.ts";
import { MOST_WEIGHT, outputScales, pick } from "./quantization-scales.ts";

/** Bits of the unsigned integers that go into a layer. Weights have 8. */
export type ActivationBits = 8 | 16;

const MOST_INT32 = 2 ** 31 - 1;

/** A layer of int8 weights. */
export interface QuantizedLayer {
  readonly layout: LayerLayout;
  /** [inputs, outputs] integers that stand for the numbers weights * scales[output]; -128 is not used. */
  readonly weights: Int8Array;
  /** [outputs] */
  readonly scales: Float32Array;
  /** [outputs] */
  readonly biases: Float64Array;
}

/** A layer in which all is integers. */
export interface IntegerLayer extends QuantizedLayer {
  /** Of what goes in. */
  readonly grid: Grid;
  /** [outputs] what sums and biases count: the step of the grid times the scale, as float32. */
  readonly units: Float32Array;
  /** [outputs] biases in these units. */
  readonly integers: Int32Array;
}

/** A network of int8 weights. */
export interface Quantized<Layer extends QuantizedLayer> {
  /** In front of the first layer; nothing where observations go in as they are. */
  readonly entry: Entry | undefined;
  /** The entry takes observations that are normalised; if not it does that too. */
  readonly normalized: boolean;
  readonly layers: readonly Layer[];
}

/**
 * Post-training quantisation by calibrated ranges: unsigned integers of 8 or 16 bits go into a layer, on one grid a layer;
 * weights are int8 with one scale an output, biases and sums int32. The outputs are the numbers that the last sums stand for:
 * rounded to few levels, different actions would be equals. What goes beyond a grid is limited to it.
 *
 * @param normalized observations come normalised already
 * @throws ShapeError when the parameters do not fit the architecture
 */
export function quantizeStatic(
  network: Network,
  ranges: Ranges,
  bits: ActivationBits,
  normalized = false,
): Quantized<IntegerLayer> {
  const levels = 2 ** bits - 1;
  checkParameters(network.architecture, network.parameters);
  const inFront = normalized || limits(network);
  const first = firstStatic(network, ranges, levels, inFront);
  const grids = [{ step: 1, zero: first.zero }, ...ranges.layers.map((units) => gridOf(together(units), levels))];
  const layers = layoutOf(network.architecture).map((layout, l): IntegerLayer => {
    const grid = grids[l]!;
    const layer = quantizeLayer(
      layout,
      network.parameters,
      l === 0 ? first : behind(ranges.layers[l - 1]!, layout),
      grid.step,
    );
    const units = layer.scales.map((scale) => grid.step * scale);
    return { ...layer, grid, units, integers: Int32Array.from(layer.biases, (b, o) => Math.round(b / units[o]!)) };
  });
  return { entry: first.entry, normalized: inFront, layers };
}

/**
 * Quantisation whose inputs get their grids as they come, of 8 bits by the range of all that goes into a layer at once: here only
 * weights are integers. The recorded ranges serve to bring the elements of an observation to comparable sizes.
 *
 * @throws ShapeError when the parameters do not fit the architecture
 */
export function quantizeDynamic(network: Network, ranges: Ranges, normalized = false): Quantized<QuantizedLayer> {
  checkParameters(network.architecture, network.parameters);
  const inFront = normalized || limits(network);
  const first = firstDynamic(network, ranges, inFront);
  const layers = layoutOf(network.architecture).map((layout, l) =>
    quantizeLayer(layout, network.parameters, l === 0 ? first : behind(ranges.layers[l - 1]!, layout)),
  );
  return { entry: first.entry, normalized: inFront, layers };
}

/** A normalisation that limits stands in front of the entry: grids reach further than what was seen, or have no ends. */
const limits = ({ architecture }: Network): boolean => architecture.normalization?.clip !== undefined;

/** @param step of what goes in, where biases are to be whole multiples of that and a scale, within int32 */
function quantizeLayer(layout: LayerLayout, parameters: Float32Array, taken: Taken, step?: number): QuantizedLayer {
  const { inputs, outputs, weights: place, biases: behind } = layout;
  const stretched = new Float64Array(inputs * outputs);
  const biases = Float64Array.from(parameters.subarray(behind.offset, behind.offset + outputs));
  /** What biases may come to. */
  const greatest = new Float64Array(outputs);
  const references = referencesOf(taken);
  for (let i = 0, w = 0; i < inputs; i++) {
    for (let o = 0; o < outputs; o++, w++) {
      const weight = parameters[place.offset + w]!;
      stretched[w] = weight * pick(taken.steps, i);
      biases[o]! += weight * pick(taken.references, i);
      greatest[o]! += Math.abs(stretched[w]! * pick(references, i));
    }
  }
  const scales = outputScales(stretched, outputs);
  if (step !== undefined) {
    // A bias that dwarfs its weights has to be so many units at most: then the weights are rounded more coarsely.
    let shift = 0;
    for (let i = 0; i < inputs; i++) shift += Math.abs(pick(references, i)) / 2;
    const room = Math.max(step * MOST_INT32 - shift, (step * MOST_INT32) / 2);
    for (let o = 0; o < outputs; o++) {
      scales[o] = Math.max(scales[o]!, (1.001 * (Math.abs(biases[o]!) + greatest[o]!)) / room);
    }
  }
  const weights = new Int8Array(stretched.length);
  for (let i = 0, w = 0; i < inputs; i++) {
    for (let o = 0; o < outputs; o++, w++) {
      const rounded = Math.round(stretched[w]! / scales[o]!);
      weights[w] = Math.min(Math.max(rounded, -MOST_WEIGHT), MOST_WEIGHT);
      biases[o]! -= scales[o]! * weights[w]! * pick(references, i);
    }
  }
  return { layout, weights, scales, biases };
}

/** Where the references lie on the grid of their inputs. */
function referencesOf({ steps, origins, references }: Taken): Float64Array {
  return references.map((reference, i) => {
    const step = pick(steps, i);
    return step > 0 ? (reference - pick(origins, i)) / step : 0;
  });
}

/** How a layer takes what the one before it puts out: as it is. */
function behind(units: readonly Range[], { inputs, rowsPerUnit }: LayerLayout): Taken {
  const references = Float64Array.from({ length: inputs }, (_, i) => units[Math.floor(i / rowsPerUnit)]!.mean);
  return { steps: Float64Array.of(1), origins: Float64Array.of(0), references };
}

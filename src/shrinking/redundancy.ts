import {
  type Activation,
  type Architecture,
  type LayerLayout,
  layoutOf,
  type Window,
} from "../network/architecture.ts";

/** What is left of one layer after pruning. The output layer's units are all live: each is an action. */
export interface LayerRedundancy {
  readonly name: string;
  readonly weights: number;
  readonly nonZero: number;
  readonly units: number;
  readonly liveUnits: number;
  /** Of a convolution: height and width of what its non-zero weights span of the kernel. */
  readonly liveKernel?: [number, number];
}

/** What `trace` finds out about the units of every layer. */
export interface Trace {
  /** Units that some input reaches by a path of non-zero weights. The others put out a constant. */
  readonly reached: readonly (readonly boolean[])[];
  /** That constant, of every unit; of those reached it means nothing. */
  readonly constants: readonly Float64Array[];
}

const activate: Record<Activation, (x: number) => number> = {
  relu: (x) => Math.max(0, x),
  tanh: Math.tanh,
  none: (x) => x,
};

/** Calls back with (unit of the layer before, unit) for each non-zero weight, and its index in the flat vector. */
function forEachWeight(
  { weights, outputs, rowsPerUnit }: LayerLayout,
  parameters: Float32Array,
  visit: (from: number, to: number, index: number) => void,
): void {
  for (let i = 0; i < weights.length; i++) {
    if (parameters[weights.offset + i] === 0) continue;
    visit(Math.floor(Math.floor(i / outputs) / rowsPerUnit), i % outputs, weights.offset + i);
  }
}

/**
 * Follows paths of non-zero weights from the input on. A constant other than 0 in front of a convolution with padding counts
 * as reached: the zeros around it make it different at the border.
 */
export function trace(architecture: Architecture, parameters: Float32Array): Trace {
  const layers = layoutOf(architecture);
  const reached: boolean[][] = [];
  const constants: Float64Array[] = [];
  const { inputs, rowsPerUnit } = layers[0]!;
  let before = new Array<boolean>(inputs / rowsPerUnit).fill(true);
  let values = new Float64Array(before.length);
  for (const [l, layer] of layers.entries()) {
    const { outputs, biases, activation } = layer;
    const units = new Array<boolean>(outputs).fill(false);
    const sums = Float64Array.from(parameters.subarray(biases.offset, biases.offset + outputs));
    forEachWeight(layer, parameters, (from, to, index) => {
      if (before[from]) units[to] = true;
      else sums[to]! += values[from]! * parameters[index]!;
    });
    values = sums.map(activate[activation]);
    const bordered = layers[l + 1]?.window?.padding.some((zeros) => zeros > 0) === true;
    before = units.map((unit, to) => unit || (bordered && values[to] !== 0));
    reached.push(before);
    constants.push(values);
  }
  return { reached, constants };
}

/**
 * Live units of every layer, filters of convolutions among them: a hidden unit is dead when no path of non-zero weights leads
 * from an input to it (it only adds a constant), or none from it to an output. `parameters` are the effective ones, pruned
 * weights being exactly 0.
 */
export function liveUnits(architecture: Architecture, parameters: Float32Array): boolean[][] {
  const layers = layoutOf(architecture);
  const live = trace(architecture, parameters).reached.map((units) => [...units]);
  let needed: boolean[] = new Array<boolean>(layers.at(-1)!.outputs).fill(true);
  live[layers.length - 1] = needed;
  for (let l = layers.length - 1; l > 0; l--) {
    const useful = new Array<boolean>(layers[l - 1]!.outputs).fill(false);
    forEachWeight(layers[l]!, parameters, (from, to) => {
      if (needed[to]) useful[from] = true;
    });
    live[l - 1] = live[l - 1]!.map((alive, unit) => alive && useful[unit]!);
    needed = live[l - 1]!;
  }
  return live;
}

/**
 * Redundancy of each layer. Non-zero weights count all of the layer's own that pruning left; the share
 * 1 - nonZero / weights is the redundancy of PoPS (Livne & Cohen 2020), the share 1 - liveUnits / units that of structure.
 */
export function redundancyOf(architecture: Architecture, parameters: Float32Array): LayerRedundancy[] {
  const live = liveUnits(architecture, parameters);
  return layoutOf(architecture).map((layer, l) => {
    const { name, weights, outputs, window } = layer;
    let nonZero = 0;
    for (let i = weights.offset; i < weights.offset + weights.length; i++) if (parameters[i] !== 0) nonZero++;
    const alive = live[l]!.filter(Boolean).length;
    const spans = window && { liveKernel: liveKernelOf(layer, window, parameters) };
    return { name, weights: weights.length, nonZero, units: outputs, liveUnits: alive, ...spans };
  });
}

function liveKernelOf(layer: LayerLayout, { kernel }: Window, parameters: Float32Array): [number, number] {
  const { weights, outputs, rowsPerUnit } = layer;
  const used = kernel.map((size) => new Array<boolean>(size).fill(false)) as [boolean[], boolean[]];
  for (let i = 0; i < weights.length; i++) {
    if (parameters[weights.offset + i] === 0) continue;
    const place = Math.floor(i / outputs) % rowsPerUnit;
    used[0][Math.floor(place / kernel[1])] = true;
    used[1][place % kernel[1]] = true;
  }
  const span = (lines: boolean[]): number => Math.max(1, lines.lastIndexOf(true) - lines.indexOf(true) + 1);
  return [span(used[0]), span(used[1])];
}

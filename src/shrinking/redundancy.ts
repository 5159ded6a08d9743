import { type Architecture, type LayerLayout, layoutOf } from "../network/architecture.ts";

/** What is left of one layer after pruning. The output layer's units are all live: each is an action. */
export interface LayerRedundancy {
  readonly name: string;
  readonly weights: number;
  readonly nonZero: number;
  readonly units: number;
  readonly liveUnits: number;
}

/**
 * Live units of every layer: a hidden unit is dead when no path of non-zero weights leads from an input to it, or none
 * from it to an output. (A unit without live inputs only adds a constant.) `parameters` are the effective ones, pruned
 * weights being exactly 0.
 */
export function liveUnits(architecture: Architecture, parameters: Float32Array): boolean[][] {
  const layers = layoutOf(architecture);
  const live = layers.map(({ outputs }) => new Array<boolean>(outputs).fill(false));
  // Forward: which units does any input reach?
  let reached: boolean[] = new Array<boolean>(layers[0]!.inputs).fill(true);
  for (const [l, layer] of layers.entries()) {
    const units = live[l]!;
    forEachWeight(layer, parameters, (from, to) => {
      if (reached[from]) units[to] = true;
    });
    reached = units;
  }
  // Backward: which of them reach an output?
  let needed: boolean[] = new Array<boolean>(layers.at(-1)!.outputs).fill(true);
  live[layers.length - 1] = needed;
  for (let l = layers.length - 1; l > 0; l--) {
    const useful = new Array<boolean>(layers[l]!.inputs).fill(false);
    forEachWeight(layers[l]!, parameters, (from, to) => {
      if (needed[to]) useful[from] = true;
    });
    live[l - 1] = live[l - 1]!.map((alive, unit) => alive && useful[unit]!);
    needed = live[l - 1]!;
  }
  return live;
}

function forEachWeight(layer: LayerLayout, parameters: Float32Array, visit: (from: number, to: number) => void): void {
  const { weights, outputs } = layer;
  for (let i = 0; i < weights.length; i++) {
    if (parameters[weights.offset + i] !== 0) visit(Math.floor(i / outputs), i % outputs);
  }
}

/**
 * Redundancy of each layer. Non-zero weights count all of the layer's own that pruning left; the share
 * 1 - nonZero / weights is the redundancy of PoPS (Livne & Cohen 2020), the share 1 - liveUnits / units that of structure.
 */
export function redundancyOf(architecture: Architecture, parameters: Float32Array): LayerRedundancy[] {
  const live = liveUnits(architecture, parameters);
  return layoutOf(architecture).map(({ name, weights, outputs }, l) => {
    let nonZero = 0;
    for (let i = weights.offset; i < weights.offset + weights.length; i++) if (parameters[i] !== 0) nonZero++;
    const alive = live[l]!.filter(Boolean).length;
    return { name, weights: weights.length, nonZero, units: outputs, liveUnits: alive };
  });
}

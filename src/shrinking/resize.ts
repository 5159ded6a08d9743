import {
  type Architecture,
  countsOf,
  hiddenWidths,
  inputSize,
  type Layer,
  layoutOf,
  outputSize,
} from "../network/architecture.ts";
import type { LayerRedundancy } from "./redundancy.ts";

/** What a hidden layer is like where the network has none to take after. */
const NEW_HIDDEN: Layer = { kind: "dense", units: 1, activation: "relu" };

/** The same kind of network with other hidden layers. */
function withLayers(architecture: Architecture, hidden: readonly Layer[]): Architecture {
  return { ...architecture, layers: [...hidden, architecture.layers.at(-1)!] };
}

/** The same kind of network with other hidden widths; a list that is shorter drops the last hidden layers. */
export function withHidden(architecture: Architecture, widths: readonly number[]): Architecture {
  const hidden = architecture.layers.slice(0, -1);
  return withLayers(
    architecture,
    widths.map((units, l) => ({ ...(hidden[l] ?? hidden.at(-1) ?? NEW_HIDDEN), units })),
  );
}

const weightsOf = (architecture: Architecture, hidden: readonly Layer[]): number =>
  countsOf(withLayers(architecture, hidden)).weights;

/** A layer narrower than both the input and the output loses what passes it; a convolution has many positions beside. */
const isBottleneck = ({ kind, units }: Layer, narrow: number): boolean => kind === "dense" && units < narrow;

/**
 * The next, smaller architecture: as many units a hidden layer as live, then one unit less in each of the widest layers at a
 * time until the dense weights fit the budget, which is what pruning left non-zero. When all widths have come down to 1, the
 * last hidden layer goes. A hidden dense layer narrower than both the input and the output is a bottleneck and is dropped where
 * the budget allows it, down to a linear policy. The kernel of a convolution becomes what its live weights span, but not less
 * than its stride, which would skip pixels, and only where that saves weights. Always strictly smaller in weights than the
 * current one; `undefined` when nothing smaller fits.
 */
export function resizeByUnits(current: Architecture, layers: readonly LayerRedundancy[]): Architecture | undefined {
  const budget = layers.reduce((total, { nonZero }) => total + nonZero, 0);
  const limit = Math.min(budget, countsOf(current).weights - 1);
  const narrow = Math.min(inputSize(current), outputSize(current));
  let hidden = current.layers
    .slice(0, -1)
    .map((layer, l): Layer => ({ ...layer, units: Math.max(1, layers[l]!.liveUnits) }));
  for (const l of hidden.keys()) hidden = withLiveKernel(current, hidden, l, layers[l]!.liveKernel);
  while (weightsOf(current, hidden) > limit) {
    if (hidden.length === 0) return undefined;
    const widest = Math.max(...hidden.map(({ units }) => units));
    hidden =
      widest === 1
        ? hidden.slice(0, -1)
        : hidden.map((layer) => (layer.units === widest ? { ...layer, units: widest - 1 } : layer));
  }
  const wide = hidden.filter((layer) => !isBottleneck(layer, narrow));
  return withLayers(current, weightsOf(current, wide) <= limit ? wide : hidden);
}

function withLiveKernel(
  current: Architecture,
  hidden: readonly Layer[],
  index: number,
  live: readonly [number, number] | undefined,
): Layer[] {
  const smaller = hidden.map((layer, l): Layer => {
    if (layer.kind !== "conv" || l !== index || live === undefined) return layer;
    return { ...layer, kernel: [Math.max(live[0], layer.stride[0]), Math.max(live[1], layer.stride[1])] };
  });
  return weightsOf(current, smaller) < weightsOf(current, hidden) ? smaller : [...hidden];
}

/**
 * The original's rule (PoPS, CartPole driver), for any number of hidden layers: budgets t_l = int(weights of the first network
 * in layer l * (1 - redundancy_l)); the first and last widths start at t_1 / inputs and t_L / outputs, those between at
 * (t_l + t_l+1) / (sum of the neighbours' old widths), then averaged once with the new neighbours; then every width is
 * solved again, (t_l + t_l+1) / (width before + width after), and rounded down, to at least 1. The largest width gives way
 * until the network is smaller than the current one; `undefined` when widths of 1 are not. For three hidden layers these are
 * the published formulae: on 4-256-256-128-2, redundancies .8398, .8346, .8380, .8398 give 70-152-34. Where a unit stands for
 * several rows of the next layer's weights, the places of a kernel or the pixels of a channel, its width counts that often, as
 * in the original's Pong driver; kernels stay as they are.
 */
export function resizeByWeights(
  current: Architecture,
  first: Architecture,
  layers: readonly LayerRedundancy[],
): Architecture | undefined {
  const hidden = hiddenWidths(current);
  const count = hidden.length;
  if (count === 0) return undefined;
  const rows = layoutOf(current).map(({ rowsPerUnit }) => rowsPerUnit);
  const inputs = layoutOf(current)[0]!.inputs;
  const outputs = outputSize(current);
  const budgets = layers.map(({ nonZero }) => nonZero);
  const sum = (l: number): number => budgets[l]! + budgets[l + 1]!;
  const old = hiddenWidths(first);
  const widths = hidden.map((_, l) => {
    if (l === 0) return budgets[0]! / inputs;
    if (l === count - 1) return budgets[count]! / outputs;
    return sum(l) / (rows[l]! * (old[l - 1] ?? 0) + rows[l + 1]! * (old[l + 1] ?? 0));
  });
  const before = (l: number): number => (l === 0 ? inputs : rows[l]! * widths[l - 1]!);
  const after = (l: number): number => rows[l + 1]! * (l === count - 1 ? outputs : widths[l + 1]!);
  for (let l = 1; l < count - 1; l++) widths[l] = 0.5 * (widths[l]! + sum(l) / (before(l) + after(l)));
  for (const l of [0, count - 1]) widths[l] = sum(l) / (before(l) + after(l));
  const floored = widths.map((width) => Math.max(1, Math.floor(width)));
  const limit = countsOf(current).weights - 1;
  while (countsOf(withHidden(current, floored)).weights > limit) {
    const widest = floored.indexOf(Math.max(...floored));
    if (floored[widest] === 1) return undefined;
    floored[widest]!--;
  }
  return withHidden(current, floored);
}

/**
 * Architectures below a size for the squeeze search, by ascending weights: the linear policy, one hidden layer of any width
 * from 1 on, and for every greater depth up to the passing network's own the proportions of its first layers; their dense
 * layers are never narrower than both the input and the output. With fewer layers they may be wider than in the passing
 * network. `growth` is the least ratio of weights between neighbours.
 */
export function ladder(passing: Architecture, growth: number): Architecture[] {
  const hidden = passing.layers.slice(0, -1);
  const limit = countsOf(passing).weights;
  const narrow = Math.min(inputSize(passing), outputSize(passing));
  const found = new Map<string, Architecture>();
  for (let depth = 0; depth <= Math.max(1, hidden.length); depth++) {
    const profile = depth === 1 ? [{ ...(hidden[0] ?? NEW_HIDDEN), units: 1 }] : hidden.slice(0, depth);
    const widest = Math.max(1, ...profile.map(({ units }) => units));
    for (let width = 1; width <= (depth === 0 ? 1 : limit); width++) {
      const widths = profile.map(({ kind, units }) => {
        const least = depth === 1 || kind === "conv" ? 1 : narrow;
        return Math.max(least, Math.round((units * width) / widest));
      });
      const smaller = withHidden(passing, widths);
      const { weights } = countsOf(smaller);
      if (weights >= limit) break;
      found.set(widths.join("-"), smaller);
    }
  }
  const sorted = [...found.values()].toSorted((a, b) => countsOf(a).weights - countsOf(b).weights);
  let last = 0;
  return sorted.filter((architecture) => {
    const { weights } = countsOf(architecture);
    if (weights < last * growth) return false;
    last = weights;
    return true;
  });
}

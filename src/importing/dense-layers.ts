import { basename } from "node:path";
import { z } from "zod";
import type { EnvironmentSpec } from "../environment/environment.ts";
import { isPixels, PIXEL } from "../environment/spaces.ts";
import { FileError, UsageError } from "../errors.ts";
import {
  type Activation,
  type Architecture,
  architectureSchema,
  layoutOf,
  type Normalization,
} from "../network/architecture.ts";
import type { Policy } from "../network/policy.ts";
import { elementsOf } from "../shape.ts";
import { concatenate, finitePolicy } from "./assemble.ts";
import { channelsFirst, type FoundLayer, type ImageChain, type ImageOptions, imagesOf } from "./images.ts";
import { type Statistics, statisticsFor } from "./vec-normalize.ts";

/** What is known of a foreign file from elsewhere. What the file itself says of it comes second, what is usual third. */
export interface ImportOptions extends ImageOptions {
  /** Layer names from the input on, for example `fc_1`; default: those that the file's kind has, or the one chain of layers. */
  readonly layers?: readonly string[];
  /** One for each layer, the output included; default: those that the file's kind has, or relu, and none for the output. */
  readonly activations?: readonly Activation[];
  /** What the outputs mean; default: as the file says, else gaussian for continuous actions, else q-values. */
  readonly head?: Architecture["head"];
  /** A tanh brings the outputs onto the range of continuous actions; otherwise they are limited to it. */
  readonly squash?: boolean;
  /** The environment that the policy acts in: its spaces decide what the file leaves open. */
  readonly environment?: EnvironmentSpec;
  /** What observations are divided by; default, with convolutions: 255 where the environment's go from 0 to 255. */
  readonly scale?: number;
  /** Statistics by which observations were normalised in training, and the file that they come from. */
  readonly statistics?: Statistics;
}

/** Layers in order, and what their file says of them. */
export interface Chain extends ImageChain {
  /** How the layers were found: `given`, `guessed`, or by which scheme of names. */
  readonly by: string;
  /** Activations that are usual where layers have such names. */
  readonly usual?: readonly Activation[];
  /** Activations that the file states. */
  readonly activations?: readonly Activation[];
  readonly normalization?: Normalization;
  /** What observations are divided by, where the file states it. */
  readonly scale?: number;
  readonly head?: Architecture["head"];
  readonly logStd?: readonly number[];
  readonly bounds?: { readonly low: readonly number[]; readonly high: readonly number[] };
  readonly squash?: boolean;
  /** What else a reader of the policy should know. */
  readonly notes?: Readonly<Record<string, string>>;
}

/**
 * The policy of a chain of layers. `provenance` records what was given, what the file says and what was guessed.
 *
 * @param source what kind of file it is
 * @throws FileError when the layers do not fit together, or are no architecture, or not finite
 * @throws UsageError when the number of `activations` is not that of the layers
 */
export function policyOfChain(chain: Chain, options: ImportOptions, source: string, path: string): Policy {
  const { layers } = chain;
  const { environment } = options;
  const activations = options.activations ?? chain.activations ?? chain.usual ?? usualActivations(layers);
  if (activations.length !== layers.length) {
    throw new UsageError("activations", `${activations.length} given for ${layers.length} layers (${namesOf(layers)})`);
  }
  checkChain(layers, path);
  const images = imagesOf(chain, options, path);
  const input = images?.input ?? observationShape(chain.input, environment, layers[0]?.inputs ?? 0);
  const { normalization, notes } = normalizationOf(chain, input, options, path);
  const acting = actingOf(chain, layers.at(-1)?.outputs ?? 0, options, path);
  const parsed = architectureSchema.safeParse({
    input,
    ...(normalization && { normalization }),
    layers: layers.map((layer, l) => {
      const { outputs: units, convolution } = layer;
      const activation = activations[l];
      if (convolution === undefined) return { kind: "dense", units, activation };
      const { stride, padding } = images?.slidings.get(layer) ?? {};
      const around = padding?.some((zeros) => zeros !== 0) && { padding };
      return { kind: "conv", units, kernel: convolution.kernel, stride, ...around, activation };
    }),
    ...acting,
  });
  if (!parsed.success) throw new FileError(path, `is no policy: ${z.prettifyError(parsed.error)}`);
  const architecture = parsed.data;
  checkInputs(layers, architecture, path);
  const how = (given: unknown, said: unknown): string =>
    given === undefined ? (said === undefined ? "guessed" : "as the file says") : "given";
  const guess = chain.usual === undefined ? "guessed" : "usual with such names";
  const policy: Policy = {
    architecture,
    ...(environment && { environment: environment.id }),
    provenance: {
      source: `${source} ${basename(path)}`.slice(0, 10_000),
      layers: `${namesOf(layers)} (${chain.by})`.slice(0, 10_000),
      activations: `${activations.join(", ")} (${chain.activations || options.activations ? how(options.activations, chain.activations) : guess})`,
      head: `${architecture.head} (${how(options.head, chain.head)})`,
      ...images?.notes,
      ...notes,
      ...chain.notes,
    },
    parameters: concatenate(
      layers.flatMap((layer, l) => {
        const before = layers[l - 1];
        const isTurned = images?.flatten === "hwc" && before?.convolution && !layer.convolution;
        return [isTurned ? channelsFirst(layer, before.outputs) : layer.weights, layer.biases];
      }),
    ),
  };
  return finitePolicy(policy, path);
}

/** One activation in all hidden layers, none at the output. */
export function usualActivations(layers: readonly FoundLayer[], hidden: Activation = "relu"): Activation[] {
  return layers.map((_, l): Activation => (l < layers.length - 1 ? hidden : "none"));
}

/** The file's shape; the environment's where both are the same but for sizes of 1, or where the file has none; else a vector. */
export function observationShape(
  own: readonly number[] | undefined,
  environment: EnvironmentSpec | undefined,
  inputs: number,
): readonly number[] {
  const shape = environment?.observationSpace.shape;
  const long = (sizes: readonly number[]): string => sizes.filter((size) => size !== 1).join();
  if (own !== undefined) return shape && long(shape) === long(own) ? shape : own;
  return shape && elementsOf(shape) === inputs ? shape : [inputs];
}

/** What the outputs mean. */
export function actingOf(
  { head: said, logStd, bounds: own, squash: squashes }: Pick<Chain, "head" | "logStd" | "bounds" | "squash">,
  outputs: number,
  { head: given, squash = squashes, environment }: ImportOptions,
  path: string,
): Pick<Architecture, "head" | "gaussian"> {
  const actions = environment?.actionSpace;
  const bounds = own ?? (actions?.kind === "box" ? actions : undefined);
  const head = given ?? said ?? (bounds ? "gaussian" : "q-values");
  if (head !== "gaussian") return { head };
  if (bounds === undefined) {
    throw new FileError(path, "has continuous actions, whose bounds it does not state: name an environment that does");
  }
  const low = [...bounds.low];
  const high = [...bounds.high];
  const deviations = logStd ?? new Array<number>(outputs).fill(0);
  return { head, gaussian: { logStd: [...deviations], low, high, ...(squash && { squash: true as const }) } };
}

function namesOf(layers: readonly { readonly name: string }[]): string {
  return layers.map(({ name }) => name).join(", ");
}

/** Whether a layer may take what the one in front of it makes. How large its images are is not known here. */
function follows(layer: FoundLayer, before: FoundLayer): boolean {
  if (layer.convolution) return before.convolution !== undefined && before.outputs === layer.convolution.channels;
  return before.convolution ? layer.inputs % before.outputs === 0 : before.outputs === layer.inputs;
}

function checkChain(layers: readonly FoundLayer[], path: string): void {
  for (const [l, layer] of layers.entries()) {
    const before = layers[l - 1];
    if (before === undefined || follows(layer, before)) continue;
    const takes = layer.convolution ? `images of ${layer.convolution.channels} channels` : `${layer.inputs} inputs`;
    throw new FileError(path, `layer ${before.name} has ${before.outputs} outputs, ${layer.name} takes ${takes}`);
  }
}

/** Compares what layers take with what the layers in front of them make, now that the images' sizes are known. */
function checkInputs(layers: readonly FoundLayer[], architecture: Architecture, path: string): void {
  const layouts = layoutOf(architecture);
  for (const [l, { name, inputs }] of layers.entries()) {
    const made = layouts[l]!.inputs;
    if (made === inputs) continue;
    const window = layouts[l - 1]?.window;
    if (window) {
      throw new FileError(
        path,
        `makes images ${window.to.join("x")} of images ${architecture.input.join("x")}, ${made} numbers, but ${name} takes ${inputs}: strides, padding or the images' size are others`,
      );
    }
    const shape = architecture.input.join(", ");
    throw new FileError(path, `has observations of shape [${shape}], its first layer takes ${inputs} numbers`);
  }
}

/** By what observations are normalised, and for `provenance` where that comes from. */
function normalizationOf(
  chain: Chain,
  input: readonly number[],
  { scale, statistics, environment }: ImportOptions,
  path: string,
): { readonly normalization?: Normalization; readonly notes: Readonly<Record<string, string>> } {
  if (scale !== undefined && statistics)
    throw new UsageError("scale", `given beside statistics (${statistics.source})`);
  if ((scale !== undefined || statistics) && (chain.normalization || chain.scale !== undefined)) {
    const other = statistics ? `statistics (${statistics.source})` : "a scale";
    throw new FileError(path, `normalises its observations itself: ${other} came beside it`);
  }
  if (statistics) {
    const { normalization, source } = statisticsFor(statistics, input);
    return { normalization, notes: { normalization: source } };
  }
  if (chain.normalization) return { normalization: chain.normalization, notes: {} };
  const by = (value: number, source: string): ReturnType<typeof normalizationOf> => ({
    ...(value !== 1 && { normalization: { mean: [0], deviation: [value] } }),
    notes: { scale: `${value} (${source})` },
  });
  if (scale !== undefined) return by(scale, "given");
  if (chain.scale !== undefined) return by(chain.scale, "as the file says");
  // A file that states how its convolutions go over images states all that happens to them.
  if (chain.slidings || !chain.layers.some(({ convolution }) => convolution)) return { notes: {} };
  if (environment === undefined) return by(PIXEL, "guessed");
  return by(isPixels(environment.observationSpace) ? PIXEL : 1, "bounds of the environment");
}

/** The order in which a person would number names: fc_2 in front of fc_10. */
export function inNumericOrder(names: Iterable<string>): string[] {
  return [...names].sort(new Intl.Collator("en", { numeric: true }).compare);
}

/**
 * The chain that uses every layer once; where several fit, the one that follows the order of the names. Layers of several
 * scopes (an online and a target network, an actor and a critic) are several networks: which one is meant is not guessed.
 *
 * @param separator what ends a scope in a name
 * @throws FileError when there is no such chain
 */
export function guessChain(
  names: readonly string[],
  layerOf: (name: string) => FoundLayer,
  separator: string,
  path: string,
): FoundLayer[] {
  const scopes = new Set(names.map((name) => name.slice(0, name.lastIndexOf(separator) + 1)));
  const chain = scopes.size === 1 ? searchChain(names.map(layerOf)) : undefined;
  if (chain !== undefined) return chain;
  const shown = names.slice(0, 100).join(", ").slice(0, 2_000);
  throw new FileError(
    path,
    `its layers are not one chain (${shown || "there are none"}): name the policy's layers in order`,
  );
}

/**
 * Refuses what a file holds besides the layers of a guessed chain: a network without one of its parts is another one.
 * @throws FileError when there is any
 */
export function refuseRest(rest: readonly string[], path: string): void {
  if (rest.length === 0) return;
  const shown = rest.slice(0, 5).join(", ").slice(0, 500);
  throw new FileError(
    path,
    `has ${shown}${rest.length > 5 ? ` and ${rest.length - 5} more` : ""}, of no dense layer or convolution: if the policy does without, name its layers in order; else export it as ONNX`,
  );
}

/** Steps after which the search gives up: hundreds of times what real networks need. */
const MAX_SEARCH = 100_000;

function searchChain(layers: readonly FoundLayer[]): FoundLayer[] | undefined {
  let steps = 0;
  const extend = (chain: readonly FoundLayer[]): readonly FoundLayer[] | undefined => {
    if (chain.length === layers.length) return chain;
    const last = chain.at(-1);
    for (const next of layers) {
      steps += 1;
      if (steps > MAX_SEARCH) return undefined;
      if (chain.includes(next) || (last !== undefined && !follows(next, last))) continue;
      const full = extend([...chain, next]);
      if (full !== undefined) return full;
    }
    return undefined;
  };
  const chain = layers.length > 0 && layers.length <= 64 ? extend([]) : undefined;
  return chain === undefined ? undefined : [...chain];
}

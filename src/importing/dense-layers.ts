import { basename } from "node:path";
import { z } from "zod";
import type { EnvironmentSpec } from "../environment/environment.ts";
import { FileError, UsageError } from "../errors.ts";
import {
  type Activation,
  type Architecture,
  architectureSchema,
  inputSize,
  type Normalization,
} from "../network/architecture.ts";
import type { Policy } from "../network/policy.ts";
import { concatenate, finitePolicy } from "./assemble.ts";

/** What is known of a foreign file from elsewhere. What the file itself says of it comes second, what is usual third. */
export interface ImportOptions {
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
  /** Statistics by which observations were normalised in training, and the file that they come from. */
  readonly statistics?: { readonly normalization: Normalization; readonly source: string };
}

/** A dense layer of a file: weights [inputs, outputs]. */
export interface DenseLayer {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly weights: Float32Array;
  readonly biases: Float32Array;
}

/** Layers in order, and what their file says of them. */
export interface Chain {
  readonly layers: readonly DenseLayer[];
  /** How the layers were found: `given`, `guessed`, or by which scheme of names. */
  readonly by: string;
  /** Activation of hidden layers that is usual where layers have such names. */
  readonly hidden?: Activation;
  /** Activations that the file states. */
  readonly activations?: readonly Activation[];
  /** Shape of an observation. */
  readonly input?: readonly number[];
  readonly normalization?: Normalization;
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
  const { environment, statistics } = options;
  const activations = options.activations ?? chain.activations ?? usualActivations(layers, chain.hidden);
  if (activations.length !== layers.length) {
    throw new UsageError("activations", `${activations.length} given for ${layers.length} layers (${namesOf(layers)})`);
  }
  checkChain(layers, path);
  if (statistics && chain.normalization) {
    throw new FileError(path, `normalises its observations itself: statistics (${statistics.source}) came beside it`);
  }
  const normalization = statistics?.normalization ?? chain.normalization;
  const acting = actingOf(chain, layers.at(-1)?.outputs ?? 0, options, path);
  const inputs = layers[0]?.inputs ?? 0;
  const parsed = architectureSchema.safeParse({
    input: observationShape(chain.input, environment, inputs),
    ...(normalization && { normalization }),
    layers: layers.map(({ outputs }, l) => ({ kind: "dense", units: outputs, activation: activations[l] })),
    ...acting,
  });
  if (!parsed.success) throw new FileError(path, `is no dense policy: ${z.prettifyError(parsed.error)}`);
  const architecture = parsed.data;
  if (inputSize(architecture) !== inputs) {
    const shape = architecture.input.join(", ");
    throw new FileError(path, `has observations of shape [${shape}], its first layer takes ${inputs} numbers`);
  }
  const how = (given: unknown, said: unknown): string =>
    given === undefined ? (said === undefined ? "guessed" : "as the file says") : "given";
  const guess = chain.hidden === undefined ? "guessed" : "usual with such names";
  const policy: Policy = {
    architecture,
    ...(environment && { environment: environment.id }),
    provenance: {
      source: `${source} ${basename(path)}`.slice(0, 10_000),
      layers: `${namesOf(layers)} (${chain.by})`.slice(0, 10_000),
      activations: `${activations.join(", ")} (${chain.activations || options.activations ? how(options.activations, chain.activations) : guess})`,
      head: `${architecture.head} (${how(options.head, chain.head)})`,
      ...(statistics && { normalization: statistics.source.slice(0, 10_000) }),
      ...chain.notes,
    },
    parameters: concatenate(layers.flatMap(({ weights, biases }) => [weights, biases])),
  };
  return finitePolicy(policy, path);
}

/** One activation in all hidden layers, none at the output. */
export function usualActivations(layers: readonly DenseLayer[], hidden: Activation = "relu"): Activation[] {
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
  return shape?.reduce((product, size) => product * size, 1) === inputs ? shape : [inputs];
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

function checkChain(layers: readonly DenseLayer[], path: string): void {
  for (const [l, layer] of layers.entries()) {
    const before = layers[l - 1];
    if (before !== undefined && before.outputs !== layer.inputs) {
      throw new FileError(
        path,
        `layer ${before.name} has ${before.outputs} outputs, ${layer.name} takes ${layer.inputs} inputs`,
      );
    }
  }
}

/**
 * The chain that uses every layer once; where several fit, the one that follows the order in which a person would number
 * the names: fc_2 in front of fc_10. Layers of several scopes (an online and a target network, an actor and a critic) are
 * several networks: which one is meant is not guessed.
 *
 * @param separator what ends a scope in a name
 * @throws FileError when there is no such chain
 */
export function guessChain(
  names: readonly string[],
  layerOf: (name: string) => DenseLayer,
  separator: string,
  path: string,
): DenseLayer[] {
  const ordered = [...names].sort(new Intl.Collator("en", { numeric: true }).compare);
  const scopes = new Set(ordered.map((name) => name.slice(0, name.lastIndexOf(separator) + 1)));
  const chain = scopes.size === 1 ? searchChain(ordered.map(layerOf)) : undefined;
  if (chain !== undefined) return chain;
  const shown = ordered.slice(0, 100).join(", ").slice(0, 2_000);
  throw new FileError(
    path,
    `its layers are not one chain (${shown || "there are none"}): name the policy's layers in order`,
  );
}

/** Steps after which the search gives up: hundreds of times what real networks need. */
const MAX_SEARCH = 100_000;

function searchChain(layers: readonly DenseLayer[]): DenseLayer[] | undefined {
  let steps = 0;
  const extend = (chain: readonly DenseLayer[]): readonly DenseLayer[] | undefined => {
    if (chain.length === layers.length) return chain;
    const last = chain.at(-1);
    for (const next of layers) {
      steps += 1;
      if (steps > MAX_SEARCH) return undefined;
      if (chain.includes(next) || (last !== undefined && last.outputs !== next.inputs)) continue;
      const full = extend([...chain, next]);
      if (full !== undefined) return full;
    }
    return undefined;
  };
  const chain = layers.length > 0 && layers.length <= 64 ? extend([]) : undefined;
  return chain === undefined ? undefined : [...chain];
}

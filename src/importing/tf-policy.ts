import { basename } from "node:path";
import { z } from "zod";
import { FileError, UsageError } from "../errors.ts";
import { type Activation, type Architecture, architectureSchema } from "../network/architecture.ts";
import type { Policy } from "../network/policy.ts";
import { concatenate, finitePolicy } from "./assemble.ts";
import type { TfVariable } from "./tf-checkpoint.ts";

/** What a TensorFlow checkpoint leaves open. */
export interface TfPolicyOptions {
  /** Layer names from the input on, for example `fc_1`; default: the one chain of layers whose sizes fit together. */
  readonly layers?: readonly string[];
  /** One for each layer, the output included; default: relu, and none for the output. */
  readonly activations?: readonly Activation[];
  /** What the outputs mean; default: q-values. */
  readonly head?: Architecture["head"];
  /** Environment id that the policy was made for. */
  readonly environment?: string;
}

/** A dense layer of the checkpoint: weights [inputs, outputs], masked. */
interface TfLayer {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly weights: Float32Array;
  readonly biases: Float32Array;
}

/**
 * A dense policy from the variables of a TensorFlow checkpoint. A layer is `<name>/weights` or `<name>/kernel` [inputs,
 * outputs] with `<name>/biases` or `<name>/bias` [outputs]; weights are multiplied by `<name>/mask` where there is one.
 * Other variables, those of optimisers among them, are ignored. `provenance` records what was given and what was guessed.
 *
 * @param path the checkpoint's prefix, for messages
 * @throws FileError when the variables are no chain of dense layers, more than one, or not finite
 * @throws UsageError when the number of `activations` is not that of the layers
 */
export function policyFromTfVariables(
  variables: ReadonlyMap<string, TfVariable>,
  options: TfPolicyOptions,
  path: string,
): Policy {
  const layers = options.layers?.map((name) => layerOf(variables, name, path)) ?? guessChain(variables, path);
  const activations =
    options.activations ?? layers.map((_, i): Activation => (i < layers.length - 1 ? "relu" : "none"));
  if (activations.length !== layers.length) {
    throw new UsageError("activations", `${activations.length} given for ${layers.length} layers (${namesOf(layers)})`);
  }
  for (const [i, layer] of layers.entries()) {
    const before = layers[i - 1];
    if (before !== undefined && before.outputs !== layer.inputs) {
      throw new FileError(
        path,
        `layer ${before.name} has ${before.outputs} outputs, ${layer.name} takes ${layer.inputs} inputs`,
      );
    }
  }
  const architecture = architectureSchema.safeParse({
    input: layers.slice(0, 1).map(({ inputs }) => inputs),
    layers: layers.map(({ outputs }, i) => ({ kind: "dense", units: outputs, activation: activations[i] })),
    head: options.head ?? "q-values",
  });
  if (!architecture.success) throw new FileError(path, `is no dense policy: ${z.prettifyError(architecture.error)}`);
  const how = (given: unknown): string => (given === undefined ? "guessed" : "given");
  const policy: Policy = {
    architecture: architecture.data,
    ...(options.environment === undefined ? {} : { environment: options.environment }),
    provenance: {
      source: `TensorFlow checkpoint ${basename(path)}`.slice(0, 10_000),
      layers: `${namesOf(layers)} (${how(options.layers)})`.slice(0, 10_000),
      activations: `${activations.join(", ")} (${how(options.activations)})`,
      head: `${architecture.data.head} (${how(options.head)})`,
    },
    parameters: concatenate(layers.flatMap(({ weights, biases }) => [weights, biases])),
  };
  return finitePolicy(policy, path);
}

function namesOf(layers: readonly { readonly name: string }[]): string {
  return layers.map(({ name }) => name).join(", ");
}

function layerOf(variables: ReadonlyMap<string, TfVariable>, name: string, path: string): TfLayer {
  const layer = findLayer(variables, name);
  if (layer !== undefined) return layer;
  throw new FileError(
    path,
    `"${name}" is no dense layer of it (weights or kernel [inputs, outputs], biases or bias [outputs], mask of the weights' shape or none)`,
  );
}

function findLayer(variables: ReadonlyMap<string, TfVariable>, name: string): TfLayer | undefined {
  const weights = variables.get(`${name}/weights`) ?? variables.get(`${name}/kernel`);
  const biases = variables.get(`${name}/biases`) ?? variables.get(`${name}/bias`);
  const mask = variables.get(`${name}/mask`);
  const [inputs, outputs] = weights?.shape ?? [];
  if (weights?.shape.length !== 2 || inputs === undefined || outputs === undefined) return undefined;
  if (biases?.shape.join() !== `${outputs}`) return undefined;
  if (mask !== undefined && mask.shape.join() !== weights.shape.join()) return undefined;
  const masked = mask === undefined ? weights.data : weights.data.map((weight, i) => weight * mask.data[i]!);
  return { name, inputs, outputs, weights: masked, biases: biases.data };
}

/** Everything that has weights, in the order in which a person would number it: fc_2 in front of fc_10. */
function layerNames(variables: ReadonlyMap<string, TfVariable>): string[] {
  const names = [...variables.keys()].flatMap((key) => /^(.+)\/(?:weights|kernel)$/.exec(key)?.[1] ?? []);
  return [...new Set(names)].sort(new Intl.Collator("en", { numeric: true }).compare);
}

/**
 * The chain that uses every layer once; where several fit, the one that follows the order of the names. Layers of several
 * scopes (an online and a target network, an actor and a critic) are several networks: which one is meant is not guessed.
 */
function guessChain(variables: ReadonlyMap<string, TfVariable>, path: string): TfLayer[] {
  const names = layerNames(variables);
  const scopes = new Set(names.map((name) => name.slice(0, name.lastIndexOf("/") + 1)));
  const chain = scopes.size === 1 ? searchChain(names.map((name) => layerOf(variables, name, path))) : undefined;
  if (chain !== undefined) return chain;
  throw new FileError(
    path,
    `its layers are not one chain (${names.join(", ") || "there are none"}): name the policy's layers in order`,
  );
}

/** Steps after which the search gives up: hundreds of times what real networks need. */
const MAX_SEARCH = 100_000;

function searchChain(layers: readonly TfLayer[]): TfLayer[] | undefined {
  let steps = 0;
  const extend = (chain: readonly TfLayer[]): readonly TfLayer[] | undefined => {
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

import { FileError } from "../errors.ts";
import type { Policy } from "../network/policy.ts";
import { type DenseLayer, guessChain, type ImportOptions, policyOfChain } from "./dense-layers.ts";
import type { TfVariable } from "./tf-checkpoint.ts";

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
  options: ImportOptions,
  path: string,
): Policy {
  const layerOf = (name: string): DenseLayer => layerNamed(variables, name, path);
  const layers = options.layers?.map(layerOf) ?? guessChain(layerNames(variables), layerOf, "/", path);
  const by = options.layers ? "given" : "guessed";
  return policyOfChain({ layers, by }, options, "TensorFlow checkpoint", path);
}

function layerNamed(variables: ReadonlyMap<string, TfVariable>, name: string, path: string): DenseLayer {
  const layer = findLayer(variables, name);
  if (layer !== undefined) return layer;
  throw new FileError(
    path,
    `"${name}" is no dense layer of it (weights or kernel [inputs, outputs], biases or bias [outputs], mask of the weights' shape or none)`,
  );
}

function findLayer(variables: ReadonlyMap<string, TfVariable>, name: string): DenseLayer | undefined {
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

/** Everything that has weights. */
function layerNames(variables: ReadonlyMap<string, TfVariable>): string[] {
  const names = [...variables.keys()].flatMap((key) => /^(.+)\/(?:weights|kernel)$/.exec(key)?.[1] ?? []);
  return [...new Set(names)];
}

import { FileError } from "../errors.ts";
import type { Policy } from "../network/policy.ts";
import { guessChain, type ImportOptions, inNumericOrder, policyOfChain, refuseRest } from "./dense-layers.ts";
import { channelsFirst, type FoundLayer } from "./images.ts";
import type { TfVariable } from "./tf-checkpoint.ts";

/**
 * A policy from the variables of a TensorFlow checkpoint. A layer is `<name>/weights` or `<name>/kernel` [inputs, outputs], or
 * of a convolution [kernel height, kernel width, channels, filters], with `<name>/biases` or `<name>/bias` [outputs]; weights are
 * multiplied by `<name>/mask` where there is one. A dense layer behind a convolution takes its images in the order rows, columns,
 * channels if `options` do not say otherwise. Other variables, those of optimisers among them, are ignored, but not those of a normalisation or a recurrent layer unless the layers are named. `provenance` records what was given and what was guessed.
 *
 * @param path the checkpoint's prefix, for messages
 * @throws FileError when the variables are no chain of such layers, more than one, or not finite
 * @throws UsageError when the number of `activations` is not that of the layers
 */
export function policyFromTfVariables(
  variables: ReadonlyMap<string, TfVariable>,
  options: ImportOptions,
  path: string,
): Policy {
  const layerOf = (name: string): FoundLayer => layerNamed(variables, name, path);
  if (!options.layers)
    refuseRest(
      [...variables.keys()].filter((key) => PART.test(key)),
      path,
    );
  const layers = options.layers?.map(layerOf) ?? guessChain(layerNames(variables), layerOf, "/", path);
  const by = options.layers ? "given" : "guessed";
  return policyOfChain({ layers, by, flatten: "hwc" }, options, "TensorFlow checkpoint", path);
}

/** Of a normalisation or a recurrent layer. */
const PART = /\/(?:gamma|beta|moving_mean|moving_variance|recurrent_kernel)$/;

function layerNamed(variables: ReadonlyMap<string, TfVariable>, name: string, path: string): FoundLayer {
  const layer = findLayer(variables, name);
  if (layer !== undefined) return layer;
  throw new FileError(
    path,
    `"${name}" is no layer of it (weights or kernel [inputs, outputs] or [height, width, channels, filters], biases or bias [outputs], mask of the weights' shape or none)`,
  );
}

function findLayer(variables: ReadonlyMap<string, TfVariable>, name: string): FoundLayer | undefined {
  const weights = variables.get(`${name}/weights`) ?? variables.get(`${name}/kernel`);
  const biases = variables.get(`${name}/biases`) ?? variables.get(`${name}/bias`);
  const mask = variables.get(`${name}/mask`);
  const outputs = weights?.shape.at(-1);
  const rank = weights?.shape.length;
  if ((rank !== 2 && rank !== 4) || weights === undefined || outputs === undefined) return undefined;
  // Sizes of 0 hold no numbers, however large the others claim to be.
  if (weights.shape.includes(0) || biases?.shape.join() !== `${outputs}`) return undefined;
  if (mask !== undefined && mask.shape.join() !== weights.shape.join()) return undefined;
  const masked = mask === undefined ? weights.data : weights.data.map((weight, i) => weight * mask.data[i]!);
  const layer = { name, inputs: masked.length / outputs, outputs, biases: biases.data };
  if (rank === 2) return { ...layer, weights: masked };
  const [height = 1, width = 1, channels = 1] = weights.shape;
  const convolution = { channels, kernel: [height, width] } as const;
  // Rows of the weights are places of the kernel and channels, as those of a dense layer behind images are.
  return { ...layer, weights: channelsFirst({ ...layer, weights: masked }, channels), convolution };
}

/** Everything that has weights. */
function layerNames(variables: ReadonlyMap<string, TfVariable>): string[] {
  const names = [...variables.keys()].flatMap((key) => /^(.+)\/(?:weights|kernel)$/.exec(key)?.[1] ?? []);
  return inNumericOrder(new Set(names));
}

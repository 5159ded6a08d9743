import { FileError } from "../errors.ts";
import type { Activation, Architecture } from "../network/architecture.ts";
import { transposed } from "../network/parameters.ts";
import type { Policy } from "../network/policy.ts";
import type { SafetensorsFile } from "../safetensors.ts";
import {
  type Chain,
  guessChain,
  type ImportOptions,
  inNumericOrder,
  policyOfChain,
  refuseRest,
  usualActivations,
} from "./dense-layers.ts";
import type { FoundLayer } from "./images.ts";
import type { NamedTensor } from "./torch.ts";

/** How a library names the layers of its actors. */
export interface Scheme {
  readonly name: string;
  /** Where layers stand that make features of images, by relu; there may be none. */
  readonly features?: readonly string[];
  /** Layers from there on; `x.*` are those with a number in place of the star, in the order of the numbers. */
  readonly layers: readonly string[];
  readonly hidden: Activation;
  readonly head: Architecture["head"];
  readonly squash?: true;
  /** Logarithms of the deviations of a Gaussian; their presence makes it one. */
  readonly logStd?: string;
}

/** Those of an actor-critic's actor stand under other names once more. */
const sb3Features = (network: string): string[] =>
  ["cnn", "linear"].map((part) => `${network}features_extractor.${part}.*`);
const sb3ActorCritic: Scheme = {
  name: "Stable-Baselines3 PPO or A2C",
  features: sb3Features(""),
  // Before version 1.8 layers could be shared with the critic.
  layers: ["mlp_extractor.shared_net.*", "mlp_extractor.policy_net.*", "action_net"],
  hidden: "tanh",
  head: "logits",
  logStd: "log_std",
};
const sb3Dqn: Scheme = {
  name: "Stable-Baselines3 DQN",
  features: sb3Features("q_net."),
  layers: ["q_net.q_net.*"],
  hidden: "relu",
  head: "q-values",
};
const sb3Sac: Scheme = {
  name: "Stable-Baselines3 SAC",
  features: sb3Features("actor."),
  layers: ["actor.latent_pi.*", "actor.mu"],
  hidden: "relu",
  head: "gaussian",
  squash: true,
};
const sb3Td3: Scheme = { ...sb3Sac, name: "Stable-Baselines3 TD3 or DDPG", layers: ["actor.mu.*"] };

/** Schemes of Stable-Baselines3 by the class of the policy. */
export const sb3Schemes: ReadonlyMap<string, Scheme> = new Map([
  ["stable_baselines3.common.policies.ActorCriticPolicy", sb3ActorCritic],
  ["stable_baselines3.common.policies.ActorCriticCnnPolicy", sb3ActorCritic],
  ["stable_baselines3.dqn.policies.DQNPolicy", sb3Dqn],
  ["stable_baselines3.dqn.policies.CnnPolicy", sb3Dqn],
  ["stable_baselines3.sac.policies.SACPolicy", sb3Sac],
  ["stable_baselines3.sac.policies.CnnPolicy", sb3Sac],
  ["stable_baselines3.td3.policies.TD3Policy", sb3Td3],
  ["stable_baselines3.td3.policies.CnnPolicy", sb3Td3],
]);

/** CleanRL's files of one algorithm each, `dqn.py`, `ppo.py` and so on. */
const schemes: readonly Scheme[] = [
  ...sb3Schemes.values(),
  { name: "CleanRL PPO", layers: ["actor.*"], hidden: "tanh", head: "logits" },
  { name: "CleanRL PPO", layers: ["actor_mean.*"], hidden: "tanh", head: "gaussian", logStd: "actor_logstd" },
  // On Atari games, whose images go through layers that the actor shares with the critic.
  { name: "CleanRL PPO", layers: ["network.*", "actor"], hidden: "relu", head: "logits" },
  { name: "CleanRL DQN", layers: ["network.*"], hidden: "relu", head: "q-values" },
  { name: "CleanRL SAC", layers: ["fc1", "fc2", "fc_mean"], hidden: "relu", head: "gaussian", squash: true },
  { name: "CleanRL TD3 or DDPG", layers: ["fc1", "fc2", "fc_mu"], hidden: "relu", head: "gaussian", squash: true },
];

type Tensors = ReadonlyMap<string, NamedTensor>;

/**
 * A policy from the tensors of a PyTorch state dict. A layer is `<name>.weight` [outputs, inputs], or of a convolution
 * [filters, channels, kernel height, kernel width], with `<name>.bias` [outputs], or none. Layers are those that `options` name, else those of Stable-Baselines3 or CleanRL by their names, else
 * the one chain that uses every layer. A state dict inside of another dictionary is found when no other one there fits.
 *
 * @param source what kind of file it is, for `provenance`
 * @throws FileError when there is no chain of such layers, more than one, or a number is not finite
 * @throws UsageError when the number of `activations` is not that of the layers
 */
export function policyFromStateDict(tensors: Tensors, options: ImportOptions, source: string, path: string): Policy {
  return policyOfChain(findChain(tensors, options, path), options, source, path);
}

function findChain(tensors: Tensors, { layers }: ImportOptions, path: string): Chain {
  const layerOf = (name: string): FoundLayer => layerNamed(tensors, name, path);
  if (layers) return { layers: layers.map(layerOf), by: "given" };
  const folders = new Set([...tensors.keys()].map((key) => key.slice(0, key.indexOf(".") + 1)));
  // The whole file first; then each of its dictionaries, of which just one may fit.
  const whole = schemeOf(tensors, "");
  const fitting = whole ? [] : [...folders].slice(0, 100).filter((folder) => schemeOf(tensors, folder) !== undefined);
  const folder = fitting.length === 1 ? fitting[0]! : "";
  const scheme = whole ?? schemeOf(tensors, folder);
  if (scheme) return chainOfScheme(tensors, scheme, folder, path);
  const names = [...tensors.keys()].flatMap((key) =>
    key.endsWith(".weight") ? [key.slice(0, -".weight".length)] : [],
  );
  const chain = guessChain(names, layerOf, ".", path);
  refuseRest(
    restOf(tensors, chain).filter((key) => !BESIDE_POLICIES.test(key)),
    path,
  );
  return { layers: chain, by: "guessed" };
}

/** What has no part in a greedy action: an optimiser's state, counts, and deviations. */
const BESIDE_POLICIES = /^[^.]*(?:optim|sched)|(?:^|[._])(?:num_batches_tracked|log_?std|log_alpha)$/i;

/** Of LSTM, GRU and their like, and statistics of observations, wherever they stand. */
const OF_POLICIES = /(?:^|\.)weight_[ih]h(?:_l\d+)?$|obs\w*_(?:norm|rms)/i;

/** Tensors that are none of these layers'. */
function restOf(tensors: Tensors, layers: readonly FoundLayer[]): string[] {
  const own = new Set(layers.flatMap(({ name }) => [`${name}.weight`, `${name}.bias`]));
  return [...tensors.keys()].filter((key) => !own.has(key));
}

function schemeOf(tensors: Tensors, folder: string): Scheme | undefined {
  return schemes.find(({ layers }) => {
    const found = layers.map((pattern) => layerNames(tensors, folder + pattern));
    return found.at(-1)!.length > 0 && found.every((names, l) => names.length > 0 || layers[l]!.endsWith("*"));
  });
}

/**
 * The layers of a scheme, below `folder`, with what the file says of how they act.
 *
 * @param hidden activation of hidden layers that make no features of images
 */
export function chainOfScheme(
  tensors: Tensors,
  scheme: Scheme,
  folder: string,
  path: string,
  hidden = scheme.hidden,
): Chain & { readonly usual: readonly Activation[] } {
  const namesOf = (patterns: readonly string[] = []): string[] =>
    patterns.flatMap((pattern) => layerNames(tensors, folder + pattern));
  const features = namesOf(scheme.features);
  const names = [...features, ...namesOf(scheme.layers)];
  if (names.length === features.length) throw new FileError(path, `has none of the layers of ${scheme.name}`);
  const logStd = scheme.logStd === undefined ? undefined : tensors.get(folder + scheme.logStd);
  const outputs = tensors.get(`${names.at(-1)!}.weight`)?.shape[0];
  const bounds = rescalingOf(tensors, folder);
  const layers = names.map((name) => layerNamed(tensors, name, path));
  // The extractor of features is theirs as a whole.
  const places = [
    ...scheme.layers.map((pattern) => (pattern.endsWith("*") ? pattern.slice(0, -1) : `${pattern}.`)),
    ...(scheme.features ?? []).map((pattern) => pattern.replace(/[^.]+\.\*$/, "")),
  ];
  const isPart = (key: string): boolean =>
    places.some((place) => key.startsWith(folder + place)) || (key.startsWith(folder) && OF_POLICIES.test(key));
  refuseRest(restOf(tensors, layers).filter(isPart), path);
  return {
    layers,
    by: `named as in ${scheme.name}`,
    usual: usualActivations(layers, hidden).map((usual, l) => (l < features.length ? "relu" : usual)),
    head: logStd ? "gaussian" : scheme.head,
    // gSDE's are a matrix: its deviations depend on the state.
    ...(logStd && logStd.data.length === outputs && { logStd: [...logStd.data] }),
    ...(scheme.squash && { squash: true }),
    ...(bounds && { bounds }),
  };
}

/** CleanRL's actors keep middle and half the range of the actions. */
function rescalingOf(tensors: Tensors, folder: string): Chain["bounds"] {
  const scale = tensors.get(`${folder}action_scale`)?.data;
  const bias = tensors.get(`${folder}action_bias`)?.data;
  if (!scale || scale.length !== bias?.length) return undefined;
  return { low: [...scale].map((half, d) => bias[d]! - half), high: [...scale].map((half, d) => bias[d]! + half) };
}

/** The layer of that name if there is one; of `x.*` those with a number in place of the star, in the order of the numbers. */
function layerNames(tensors: Tensors, pattern: string): string[] {
  if (!pattern.endsWith("*")) return tensors.has(`${pattern}.weight`) ? [pattern] : [];
  const prefix = pattern.slice(0, -1);
  const numbers = [...tensors.keys()].flatMap((key) => {
    const number = key.startsWith(prefix) ? /^(\d{1,9})\.weight$/.exec(key.slice(prefix.length))?.[1] : undefined;
    return number === undefined ? [] : [number];
  });
  return numbers.sort((a, b) => Number(a) - Number(b)).map((number) => prefix + number);
}

function layerNamed(tensors: Tensors, name: string, path: string): FoundLayer {
  const weight = tensors.get(`${name}.weight`);
  const bias = tensors.get(`${name}.bias`);
  const [outputs = 0, channels = 0, height = 0, width = 0] = weight?.shape ?? [];
  const rank = weight?.shape.length ?? 0;
  // Sizes of 0 hold no numbers, however large the others claim to be.
  const isLayer = (rank === 2 || rank === 4) && weight !== undefined && weight.data.length > 0;
  if (!isLayer || (bias && bias.shape.join() !== `${outputs}`)) {
    throw new FileError(
      path,
      `${JSON.stringify(name.slice(0, 200))} is no layer of it (weight [outputs, inputs] or [filters, channels, height, width], bias [outputs] or none)`,
    );
  }
  const inputs = weight.data.length / outputs;
  return {
    name,
    inputs,
    outputs,
    weights: transposed(weight.data, outputs, inputs),
    biases: bias?.data ?? new Float32Array(outputs),
    ...(rank === 4 && { convolution: { channels, kernel: [height, width] } }),
  };
}

/** Tensors of a safetensors file, as a state dict; such files are not in the order in which layers were defined. */
export function stateDictOf({ tensors }: SafetensorsFile): Map<string, NamedTensor> {
  return new Map(
    inNumericOrder(tensors.keys()).map((name) => {
      const { shape, data } = tensors.get(name)!;
      return [name, { shape, data: data instanceof Float32Array ? data : Float32Array.from(data) }];
    }),
  );
}

import type { BoxSpace, EnvironmentSpec } from "../environment/environment.ts";
import { isPixels, PIXEL } from "../environment/spaces.ts";
import { UsageError } from "../errors.ts";
import { NATURE_CNN } from "../importing/sb3.ts";
import {
  type Activation,
  type Architecture,
  type Gaussian,
  inputSize,
  type LayerLayout,
  layoutOf,
} from "../network/architecture.ts";
import { checkParameters, type Policy } from "../network/policy.ts";
import { elementsOf } from "../shape.ts";
import { type Pickle, pickleOf } from "./pickle.ts";
import { zipOf } from "./zip.ts";

const activations: Record<Activation, string> = {
  relu: "torch.nn.modules.activation.ReLU",
  tanh: "torch.nn.modules.activation.Tanh",
  none: "torch.nn.modules.linear.Identity",
};

interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A layer as PyTorch has it. */
interface Part {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

/** Critics of a SAC, the least of two of which counts. */
const CRITICS = ["qf0", "qf1"];

/** Layers of a features extractor for images: convolutions, and one dense layer. */
const FEATURES = NATURE_CNN.length + 1;

/**
 * A policy as a `model.zip` that Stable-Baselines3 loads: `DQN.load(path)` of Q-values, `PPO.load(path)` of logits and
 * Gaussians, `SAC.load(path)` of squashed Gaussians. Critics are one linear layer of zeros, optimisers are new. Statistics of a normalisation are folded into the
 * first layer, which is exact but for their limit: observations beyond it act otherwise. Convolutions become those of its
 * NatureCNN, whose filters and places of kernels that the policy has not are zeros: it acts as the policy does, but is as large
 * as a NatureCNN. Equal policies give equal bytes.
 *
 * @param environment states the bounds of observations; without it there are none, or those of pixels where they are divided by 255
 * @throws UsageError for what has no place in such a model: hidden layers of several activations, an activation at the output,
 * convolutions beyond those of NatureCNN or in front of a squashed Gaussian
 */
export function policyToSb3(policy: Policy, environment?: EnvironmentSpec): Buffer {
  const { architecture, parameters } = policy;
  checkParameters(architecture, parameters);
  const { gaussian, layers, normalization } = architecture;
  const layout = layoutOf(architecture);
  const hasImages = layout.some(({ window }) => window);
  if (hasImages) checkNature(architecture, layout);
  const behind = layers.slice(hasImages ? FEATURES : 0);
  const [hidden = "relu", ...others] = new Set(behind.slice(0, -1).map(({ activation }) => activation));
  if ((gaussian?.squash && hasImages) || others.length > 0 || layers.at(-1)?.activation !== "none") {
    throw new UsageError(
      "format",
      "sb3 has one activation in all hidden layers, none at the output, and no squashed actions of images; export onnx, which any runtime plays",
    );
  }
  const observations = environment?.observationSpace;
  // What Stable-Baselines3 takes for an image, and divides by 255.
  const isImage =
    architecture.input.length === 3 &&
    (observations
      ? isPixels(observations)
      : normalization?.deviation.length === 1 && normalization.deviation[0] === PIXEL);
  const parts = partsOf(policy, layout, isImage ? PIXEL : 1);
  const { policyClass, tensors, critic, settings, optimizers } = modelOf(parts, hasImages, architecture);
  const widths: Pickle = { list: behind.slice(0, -1).map(({ units }) => units) };
  const actorCritic =
    critic &&
    new Map<string, Pickle>([
      ["pi", widths],
      [critic, { list: [] }],
    ]);
  const features = { features_dim: layers[FEATURES - 1]?.units ?? 0 };
  const kwargs = new Map<string, Pickle>([
    ["net_arch", actorCritic ?? widths],
    ["activation_fn", { global: activations[hidden] }],
    ...(hasImages
      ? ([
          ["features_extractor_kwargs", new Map(Object.entries(features))],
          ["normalize_images", isImage],
        ] as const)
      : []),
  ]);
  const data = {
    policy_class: serialized({ global: `stable_baselines3.${policyClass}` }),
    // In words beside the pickle, as Stable-Baselines3 has it.
    policy_kwargs: {
      ...serialized(kwargs),
      activation_fn: `<class '${activations[hidden]}'>`,
      ...(hasImages && { features_extractor_kwargs: features, normalize_images: isImage }),
    },
    observation_space: serialized(
      isImage ? pixels(architecture.input) : box({ shape: architecture.input, ...observations }),
    ),
    action_space: serialized(
      gaussian
        ? box({
            shape: [gaussian.low.length],
            ...actionsLike(gaussian, environment),
            low: gaussian.low,
            high: gaussian.high,
          })
        : { call: "gymnasium.spaces.discrete.Discrete", args: [layers.at(-1)!.units] },
    ),
    n_envs: 1,
    ...settings,
    use_sde: false,
    verbose: 0,
  };
  return zipOf(
    new Map([
      ["data", Buffer.from(JSON.stringify(data))],
      ["policy.pth", torchOf(tensors)],
      ...Object.entries(optimizers).map(([name, count]) => [`${name}.pth`, torchZip(optimizer(count), [])] as const),
    ]),
  );
}

/** What differs between the algorithms. */
interface Model {
  readonly policyClass: string;
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Its critic in `net_arch`, if it has one beside the actor. */
  readonly critic?: "vf" | "qf";
  /** Entries of `data`. */
  readonly settings: Readonly<Record<string, number>>;
  /** Parameters that each of its optimisers has. */
  readonly optimizers: Readonly<Record<string, number>>;
}

/** The class of Stable-Baselines3 that loads a policy. */
export function algorithmOf({ head, gaussian }: Architecture): "DQN" | "PPO" | "SAC" {
  return head === "q-values" ? "DQN" : gaussian?.squash ? "SAC" : "PPO";
}

function modelOf(parts: readonly Part[], hasImages: boolean, architecture: Architecture): Model {
  const { gaussian, input } = architecture;
  const algorithm = algorithmOf(architecture);
  if (algorithm === "DQN") {
    const tensors = dqnTensors(parts, hasImages);
    return {
      policyClass: `dqn.policies.${hasImages ? "CnnPolicy" : "DQNPolicy"}`,
      tensors,
      // Stable-Baselines3 makes room for a million of observations as soon as it loads a DQN, which of images is too much.
      settings: input.length === 3 ? { buffer_size: 10_000 } : {},
      optimizers: { "policy.optimizer": trained(tensors) },
    };
  }
  if (algorithm === "SAC" && gaussian) {
    const tensors = sacTensors(parts, gaussian);
    return {
      policyClass: "sac.policies.SACPolicy",
      tensors,
      critic: "qf",
      // Its "auto" asks an environment, which a model that is loaded does not have yet.
      settings: { target_entropy: -gaussian.low.length },
      optimizers: {
        "actor.optimizer": trained(tensors, "actor."),
        "critic.optimizer": trained(tensors, "critic."),
        ent_coef_optimizer: 1,
      },
    };
  }
  const tensors = ppoTensors(parts, hasImages, architecture);
  return {
    policyClass: `common.policies.${hasImages ? "ActorCriticCnnPolicy" : "ActorCriticPolicy"}`,
    tensors,
    critic: "vf",
    settings: {},
    optimizers: { "policy.optimizer": trained(tensors) },
  };
}

/** Parameters: the same tensor under several names is one, which those of a target network are too. */
function trained(tensors: ReadonlyMap<string, Tensor>, part = ""): number {
  return new Set([...tensors].flatMap(([name, tensor]) => (name.startsWith(part) ? [tensor] : []))).size;
}

/**
 * Whether a NatureCNN computes what the first layers do when it has zeros where they have nothing: fewer filters and smaller
 * kernels are no matter, as long as the images that come out have the same size.
 */
function checkNature({ layers, normalization }: Architecture, layout: readonly LayerLayout[]): void {
  const fits = NATURE_CNN.every(({ filters, kernel, stride }, l) => {
    const { window, outputs, activation } = layout[l]!;
    if (window === undefined || activation !== "relu" || outputs > filters) return false;
    return ([0, 1] as const).every((axis) => {
      const made = Math.floor((window.from[axis + 1]! - kernel) / stride) + 1;
      const same = window.kernel[axis] <= kernel && window.stride[axis] === stride && window.to[axis + 1] === made;
      return same && window.padding.every((zeros) => zeros === 0);
    });
  });
  const dense = layers[FEATURES - 1];
  const isRelu = dense?.kind === "dense" && dense.activation === "relu" && layers.length > FEATURES;
  if (!fits || !isRelu) {
    const convolutions = NATURE_CNN.map(({ filters, kernel, stride }) => `${filters}c${kernel}s${stride}`).join("-");
    throw new UsageError(
      "format",
      `sb3 has images by its NatureCNN alone, without code of your own: ${convolutions} or less, without padding, then a hidden dense layer, all with relu; export onnx, which any runtime plays`,
    );
  }
  if ([normalization?.mean, normalization?.deviation].some((numbers = []) => numbers.length > 1)) {
    throw new UsageError("format", "sb3 has no place for statistics of each pixel: one number for all becomes weights");
  }
}

/** Layers as PyTorch has them, of inputs that are divided by `unit` there, the normalisation folded in, computed in float64. */
function partsOf({ architecture, parameters }: Policy, layout: readonly LayerLayout[], unit: number): Part[] {
  const { mean, deviation } = architecture.normalization ?? { mean: [0], deviation: [1] };
  const at = (numbers: readonly number[], index: number): number => numbers[numbers.length === 1 ? 0 : index]!;
  return layout.map((layer, l) => {
    const { inputs, outputs, weights, biases } = layer;
    const { shape, place } = placesOf(layout, l);
    const data = new Float32Array(elementsOf(shape));
    const bias = new Float32Array(shape[0]!);
    const row = data.length / bias.length;
    const shifts = Float64Array.from(parameters.subarray(biases.offset, biases.offset + biases.length));
    for (let i = 0; i < inputs; i++) {
      const [centre, scale, factor] = l === 0 ? [at(mean, i), at(deviation, i), unit] : [0, 1, 1];
      const to = place(i);
      for (let o = 0; o < outputs; o++) {
        const scaled = parameters[weights.offset + i * outputs + o]! / scale;
        shifts[o]! -= centre * scaled;
        data[o * row + to] = scaled * factor;
      }
    }
    bias.set(shifts);
    return { weight: { shape, data }, bias: { shape: [bias.length], data: bias } };
  });
}

/** Shape of a layer's weights in PyTorch, and where the weight of an input stands in those of one unit. */
function placesOf(
  layout: readonly LayerLayout[],
  index: number,
): { shape: number[]; place: (input: number) => number } {
  const { inputs, outputs, window } = layout[index]!;
  const before = layout[index - 1];
  if (window === undefined) {
    // Images lie channels outermost, so those of filters that are not there come last.
    const width = before?.window ? NATURE_CNN.at(-1)!.filters * before.positions : inputs;
    return { shape: [outputs, width], place: (input) => input };
  }
  const { filters, kernel: side } = NATURE_CNN[index]!;
  const [height, width] = window.kernel;
  const place = (input: number): number => {
    const [channel, place] = [Math.floor(input / (height * width)), input % (height * width)];
    return (channel * side + Math.floor(place / width)) * side + (place % width);
  };
  return { shape: [filters, before ? NATURE_CNN[index - 1]!.filters : window.from[0], side, side], place };
}

/** Names of layers; activations have numbers too. */
function named(
  parts: readonly Part[],
  hasImages: boolean,
  features: string,
  rest: string,
  last: string,
): [string, Part][] {
  const first = hasImages ? FEATURES : 0;
  return parts.map((part, l) => {
    if (l === parts.length - 1) return [last, part];
    if (l >= first) return [`${rest}.${2 * (l - first)}`, part];
    return [`${features}features_extractor.${l < first - 1 ? `cnn.${2 * l}` : "linear.0"}`, part];
  });
}

function tensorsOf(layers: readonly [string, Part][]): Map<string, Tensor> {
  return new Map(
    layers.flatMap(([name, { weight, bias }]) => [
      [`${name}.weight`, weight],
      [`${name}.bias`, bias],
    ]),
  );
}

function dqnTensors(parts: readonly Part[], hasImages: boolean): Map<string, Tensor> {
  const last = 2 * (parts.length - 1 - (hasImages ? FEATURES : 0));
  return tensorsOf(
    ["q_net", "q_net_target"].flatMap((network) =>
      named(parts, hasImages, `${network}.`, `${network}.q_net`, `${network}.q_net.${last}`),
    ),
  );
}

function ppoTensors(parts: readonly Part[], hasImages: boolean, architecture: Architecture): Map<string, Tensor> {
  // Features are those of actor and critic, and stand there under the name of each.
  const owners = hasImages ? ["", "pi_", "vf_"] : [""];
  const tensors = tensorsOf(
    owners.flatMap((owner) => named(parts, hasImages, owner, "mlp_extractor.policy_net", "action_net")),
  );
  const logStd = architecture.gaussian?.logStd;
  if (logStd) tensors.set("log_std", { shape: [logStd.length], data: Float32Array.from(logStd) });
  const inputs = hasImages ? architecture.layers[FEATURES - 1]!.units : inputSize(architecture);
  tensors.set("value_net.weight", { shape: [1, inputs], data: new Float32Array(inputs) });
  return tensors.set("value_net.bias", { shape: [1], data: new Float32Array(1) });
}

/** An actor whose deviations do not depend on what it sees, and critics that take observation and action. */
function sacTensors(parts: readonly Part[], { logStd }: Gaussian): Map<string, Tensor> {
  const [inputs, width] = [parts[0]!, parts.at(-1)!].map(({ weight }) => weight.shape[1]!) as [number, number];
  const zeros = (outputs: number, size: number): Tensor => ({
    shape: [outputs, size],
    data: new Float32Array(outputs * size),
  });
  const deviations = { shape: [logStd.length], data: Float32Array.from(logStd) };
  const critics = CRITICS.map((name): [string, Part] => [
    `${name}.0`,
    { weight: zeros(1, inputs + logStd.length), bias: { shape: [1], data: new Float32Array(1) } },
  ]);
  return tensorsOf([
    ...named(parts, false, "", "actor.latent_pi", "actor.mu"),
    ["actor.log_std", { weight: zeros(logStd.length, width), bias: deviations }],
    ...["critic", "critic_target"].flatMap((owner) =>
      critics.map(([name, part]): [string, Part] => [`${owner}.${name}`, part]),
    ),
  ]);
}

/** Of Adam before its first step. */
function optimizer(parameters: number): Pickle {
  const group = new Map<string, Pickle>([
    ["lr", 3e-4],
    ["betas", [0.9, 0.999]],
    ["eps", 1e-5],
    ["weight_decay", 0],
    ["amsgrad", false],
    ["maximize", false],
    ["foreach", null],
    ["capturable", false],
    ["differentiable", false],
    ["fused", null],
    ["decoupled_weight_decay", false],
    ["params", { list: Array.from({ length: parameters }, (_, i) => i) }],
  ]);
  return new Map<string, Pickle>([
    ["state", new Map()],
    ["param_groups", { list: [group] }],
  ]);
}

/** An object of `data`: its pickle in base 64. */
function serialized(value: Pickle): { ":serialized:": string } {
  return { ":serialized:": pickleOf(value).toString("base64") };
}

/** Shape and type of the environment's actions, if the policy's are as many. */
function actionsLike({ low }: Gaussian, environment?: EnvironmentSpec): Partial<Pick<BoxSpace, "shape" | "dtype">> {
  const space = environment?.actionSpace;
  if (space?.kind !== "box" || elementsOf(space.shape) !== low.length) return {};
  return { shape: space.shape, ...(space.dtype !== undefined && { dtype: space.dtype }) };
}

/** Bounds by numpy.array, which all versions of numpy have; -inf and inf where they are not known. */
function box({ shape, dtype = "float32", low, high }: Pick<BoxSpace, "shape"> & Partial<BoxSpace>): Pickle {
  const array = (values: readonly number[] | undefined, unknown: number): Pickle => {
    if (values === undefined) return unknown;
    const flat = { call: "numpy.array", args: [{ list: [...values] }, "float32"] } as const;
    return shape.length === 1 ? flat : { call: "numpy.reshape", args: [flat, shape] };
  };
  const bounds = [array(low, Number.NEGATIVE_INFINITY), array(high, Number.POSITIVE_INFINITY)];
  return { call: "gymnasium.spaces.box.Box", args: [...bounds, shape, { global: `numpy.${dtype}` }] };
}

/** Pixels as Stable-Baselines3 knows them: bytes from 0 to 255. */
function pixels(shape: readonly number[]): Pickle {
  return { call: "gymnasium.spaces.box.Box", args: [0, PIXEL, shape, { global: "numpy.uint8" }] };
}

function torchOf(tensors: ReadonlyMap<string, Tensor>): Buffer {
  const state = new Map<string, Pickle>();
  const storages = [...new Set(tensors.values())];
  for (const [name, tensor] of tensors) {
    const { shape, data } = tensor;
    const key = String(storages.indexOf(tensor));
    const storage = { persistent: ["storage", { global: "torch.FloatStorage" }, key, "cpu", data.length] } as const;
    const strides = shape.map((_, axis) => elementsOf(shape.slice(axis + 1)));
    const hooks = { call: "collections.OrderedDict", args: [] } as const;
    state.set(name, { call: "torch._utils._rebuild_tensor_v2", args: [storage, 0, shape, strides, false, hooks] });
  }
  return torchZip(
    state,
    storages.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
  );
}

/** What torch.save would write. */
function torchZip(root: Pickle, storages: readonly Uint8Array[]): Buffer {
  return zipOf(
    new Map([
      ["archive/data.pkl", pickleOf(root)],
      ["archive/byteorder", Buffer.from("little")],
      ...storages.map((content, key) => [`archive/data/${key}`, content] as const),
      ["archive/version", Buffer.from("3\n")],
    ]),
  );
}

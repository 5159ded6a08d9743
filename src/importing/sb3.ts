import { z } from "zod";
import { PIXEL } from "../environment/spaces.ts";
import { FileError, reasonOf } from "../errors.ts";
import type { Activation } from "../network/architecture.ts";
import type { Policy } from "../network/policy.ts";
import { type Chain, type ImportOptions, policyOfChain } from "./dense-layers.ts";
import { type Pickled, PickledDict, PickledGlobal, PickledObject, readPickle } from "./pickle.ts";
import { NUMPY_NAMES, type NumpyArray, numpyArray, sizesOf } from "./pickled-numpy.ts";
import { chainOfScheme, sb3Schemes } from "./state-dict.ts";
import { readTorch } from "./torch.ts";
import { SPACE_NAMES } from "./vec-normalize.ts";
import { ZipArchive } from "./zip.ts";

/** Characters of the entry `data`, which holds buffers of episodes too. */
const MAX_DATA = 32_000_000;
const pickled = z.looseObject({ ":serialized:": z.string() });
/** What is used of `data`. Classes and spaces stand there as pickles in base 64, and in words that are not relied upon. */
const dataSchema = z.looseObject({
  policy_class: pickled,
  policy_kwargs: z.looseObject({
    activation_fn: z.string().optional(),
    squash_output: z.union([z.boolean(), z.string()]).optional(),
    features_extractor_class: z.string().optional(),
    normalize_images: z.boolean().optional(),
  }),
  use_sde: z.boolean().optional(),
  observation_space: pickled,
  action_space: pickled,
});
type Data = z.infer<typeof dataSchema>;

const SB3 = "stable_baselines3.";
/** Policies that are refused by their names; those of `sb3Schemes` are read. */
const OTHERS = [
  "common.policies.MultiInputActorCriticPolicy",
  ...["dqn", "sac", "td3"].map((algorithm) => `${algorithm}.policies.MultiInputPolicy`),
].map((name) => SB3 + name);

/** The features extractor of every CnnPolicy, with its convolutions (Mnih et al. 2015): filters, and side and stride of the kernel. */
export const NATURE_CNN = [
  { filters: 32, kernel: 8, stride: 4 },
  { filters: 64, kernel: 4, stride: 2 },
  { filters: 64, kernel: 3, stride: 1 },
] as const;
const NATURE_CNN_CLASS = `${SB3}common.torch_layers.NatureCNN`;
const FLATTEN_CLASS = `${SB3}common.torch_layers.FlattenExtractor`;

const activations = new Map<string, Activation>([
  ["torch.nn.modules.activation.ReLU", "relu"],
  ["torch.nn.modules.activation.Tanh", "tanh"],
  ["torch.nn.modules.linear.Identity", "none"],
]);

/** Whether a zip archive is one of Stable-Baselines3's. */
export function isSb3(archive: ZipArchive): boolean {
  return archive.names.includes("data") && archive.names.includes("policy.pth");
}

/**
 * The policy of a file that Stable-Baselines3 saved (DQN, PPO, A2C, SAC, TD3, DDPG with MlpPolicy or CnnPolicy): its greedy
 * actor alone, without critics and target networks. Images are those that the network sees, channels first. Nothing is executed: pickles are read by an interpreter that builds numbers, arrays and
 * inert records.
 * @throws FileError when it is no such file, damaged, or holds what a PoPS policy cannot
 */
export function policyFromSb3(bytes: Uint8Array, path: string, options: ImportOptions = {}): Policy {
  const archive = new ZipArchive(bytes, path);
  const data = readData(archive, path);
  const scheme = schemeOf(data, path);
  const weights = archive.read("policy.pth");
  if (weights === undefined) throw new FileError(path, "has no policy.pth");
  const tensors = readTorch(weights, `${path}, policy.pth`, bytes.length);
  const squash = data.policy_kwargs.squash_output === true || scheme.squash === true;
  if (data.use_sde === true && scheme.squash) {
    throw new FileError(path, `is ${scheme.name} with use_sde, which limits its means before the tanh: not read`);
  }
  const hidden = activationOf(data.policy_kwargs.activation_fn, path);
  const { usual, ...layers } = chainOfScheme(tensors, scheme, "", path, hidden);
  const { shape, isImage } = observationsOf(data, path);
  const chain: Chain = {
    ...layers,
    activations: usual,
    input: shape,
    ...featuresOf(layers, data, path),
    ...(isImage && data.policy_kwargs.normalize_images !== false && { scale: PIXEL }),
    ...actionsOf(data, path, scheme.head),
    ...(squash && { squash }),
  };
  const unknown = chain.head === "gaussian" && chain.logStd === undefined;
  const notes = unknown ? { deviations: "1: those of the file depend on the state, or there are none" } : {};
  return policyOfChain({ ...chain, notes }, options, scheme.name, path);
}

function readData(archive: ZipArchive, path: string): Data {
  const bytes = archive.read("data");
  if (bytes === undefined) throw new FileError(path, "has no entry data: expected a file that model.save() wrote");
  if (bytes.length > MAX_DATA)
    throw new FileError(path, `has ${bytes.length} bytes in data, at most ${MAX_DATA} are read`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new FileError(path, `entry data is not JSON: ${reasonOf(error)}`, { cause: error });
  }
  const parsed = dataSchema.safeParse(json);
  if (!parsed.success) throw new FileError(path, `entry data is not as expected: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

type Part = "policy_class" | "observation_space" | "action_space";

function unpickle(data: Data, part: Part, allowed: readonly string[], hint: string, path: string): Pickled {
  const bytes = Buffer.from(data[part][":serialized:"], "base64");
  return readPickle(bytes, `${path}, ${part}`, { allowed: new Set(allowed), hint });
}

function schemeOf(data: Data, path: string) {
  const hint = "read are the MlpPolicy and CnnPolicy of DQN, PPO, A2C, SAC, TD3 and DDPG";
  const policy = unpickle(data, "policy_class", [...sb3Schemes.keys(), ...OTHERS], hint, path);
  const name = policy instanceof PickledGlobal ? policy.name : "";
  const scheme = sb3Schemes.get(name);
  if (scheme === undefined) throw new FileError(path, `holds a policy of the class ${name || "unknown"}: ${hint}`);
  return scheme;
}

/** Name of a class that stands as `<class 'torch.nn.modules.activation.Tanh'>`. */
function className(given: string): string {
  return /'([\w.]{1,200})'/.exec(given)?.[1] ?? given.slice(0, 200);
}

/** How the convolutions go over their images, if there are any. Only those of Stable-Baselines3 itself are known. */
function featuresOf({ layers }: Pick<Chain, "layers">, data: Data, path: string): Pick<Chain, "slidings"> {
  const given = data.policy_kwargs.features_extractor_class;
  const foreign = given !== undefined && ![NATURE_CNN_CLASS, FLATTEN_CLASS].includes(className(given));
  if (foreign) {
    throw new FileError(
      path,
      `has the features extractor ${className(given)}, which is code: unpack policy.pth and name its layers in \`pops import torch\``,
    );
  }
  if (!layers.some(({ convolution }) => convolution)) return {};
  return {
    slidings: NATURE_CNN.map(({ stride }) => ({ stride: [stride, stride], padding: [0, 0, 0, 0] })),
  };
}

function activationOf(given: string | undefined, path: string): Activation | undefined {
  if (given === undefined) return undefined;
  const name = className(given);
  const activation = activations.get(name);
  if (activation === undefined) throw new FileError(path, `has the activation ${name}: read are ReLU and Tanh`);
  return activation;
}

/** The class of a space, without its module, and its state. */
function spaceOf(data: Data, part: "observation_space" | "action_space", path: string): [string, PickledDict] {
  const hint = "read are observations of a Box and actions of a Box or Discrete";
  const space = unpickle(data, part, [...SPACE_NAMES, ...NUMPY_NAMES], hint, path);
  if (!(space instanceof PickledObject)) throw new FileError(path, `${part} is no space: ${hint}`);
  const { name, args, state } = space;
  const kind = name.split(".").at(-1)!;
  if (state instanceof PickledDict) return [kind, state];
  // As PoPS writes them itself: Box(low, high, shape, dtype) and Discrete(n).
  const made = new PickledDict();
  if (kind === "Box")
    for (const [i, key] of ["low", "high", "_shape", "dtype"].entries()) made.entries.set(key, args[i] ?? null);
  return [kind, made];
}

/** Images are bytes from 0 to 255 with three axes; Stable-Baselines3 brings their channels to the front before it makes the network. */
function observationsOf(data: Data, path: string): { shape: number[]; isImage: boolean } {
  const [kind, state] = spaceOf(data, "observation_space", path);
  const low = numpyArray(state.get("low"));
  const shape = low?.shape ?? sizesOf(state.get("_shape"));
  if (kind !== "Box" || !shape)
    throw new FileError(path, `has observations of ${kind}, which are encoded: read is Box`);
  const isBound = (key: "low" | "high", bound: number): boolean => {
    const value = state.get(key);
    return value === bound || numpyArray(value)?.data.every((number) => number === bound) === true;
  };
  const dtype = state.get("dtype");
  const isByte = low?.dtype === "u1" || (dtype instanceof PickledGlobal && dtype.name === "numpy.uint8");
  return { shape: [...shape], isImage: isByte && shape.length === 3 && isBound("low", 0) && isBound("high", PIXEL) };
}

/** What acts: choices from 0, or numbers within bounds. */
function actionsOf(data: Data, path: string, head: Chain["head"]): Pick<Chain, "head" | "bounds"> {
  const [kind, state] = spaceOf(data, "action_space", path);
  if (kind === "Discrete") {
    const start = state.get("start");
    const first = typeof start === "number" ? start : (numpyArray(start)?.data[0] ?? 0);
    if (first !== 0) throw new FileError(path, `has actions that are counted from ${first}, expected 0`);
    if (head === "gaussian") throw new FileError(path, "has discrete actions, its policy continuous ones");
    return head === undefined ? {} : { head };
  }
  const [low, high] = (["low", "high"] as const).map((name): NumpyArray | undefined => numpyArray(state.get(name)));
  if (!low || !high || ![...low.data, ...high.data].every(Number.isFinite)) {
    throw new FileError(path, "states no finite bounds of its actions");
  }
  return { head: "gaussian", bounds: { low: low.data, high: high.data } };
}

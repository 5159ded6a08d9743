import { z } from "zod";
import { FileError, reasonOf } from "../errors.ts";
import type { Activation } from "../network/architecture.ts";
import type { Policy } from "../network/policy.ts";
import { type Chain, type ImportOptions, policyOfChain, usualActivations } from "./dense-layers.ts";
import { type Pickled, PickledDict, PickledGlobal, PickledObject, readPickle } from "./pickle.ts";
import { NUMPY_NAMES, type NumpyArray, numpyArray, sizesOf } from "./pickled-numpy.ts";
import { chainOfScheme, sb3Schemes } from "./state-dict.ts";
import { readTorch } from "./torch.ts";
import { SPACE_NAMES } from "./vec-normalize.ts";
import { ZipArchive } from "./zip.ts";

/** Characters of the entry `data`, which holds buffers of episodes too. */
const MAX_DATA = 100_000_000;
const pickled = z.looseObject({ ":serialized:": z.string() });
/** What is used of `data`. Classes and spaces stand there as pickles in base 64, and in words that are not relied upon. */
const dataSchema = z.looseObject({
  policy_class: pickled,
  policy_kwargs: z.looseObject({
    activation_fn: z.string().optional(),
    squash_output: z.union([z.boolean(), z.string()]).optional(),
  }),
  use_sde: z.boolean().optional(),
  observation_space: pickled,
  action_space: pickled,
});
type Data = z.infer<typeof dataSchema>;

/** Policies that are refused by their names; those of `sb3Schemes` are read. */
const OTHERS = [
  "common.policies.ActorCriticCnnPolicy",
  "common.policies.MultiInputActorCriticPolicy",
  ...["dqn", "sac", "td3"].flatMap((algorithm) =>
    ["CnnPolicy", "MultiInputPolicy"].map((name) => `${algorithm}.policies.${name}`),
  ),
].map((name) => `stable_baselines3.${name}`);

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
 * The policy of a file that Stable-Baselines3 saved (DQN, PPO, A2C, SAC, TD3, DDPG with MlpPolicy): its greedy actor alone,
 * without critics and target networks. Nothing is executed: pickles are read by an interpreter that builds numbers, arrays and
 * inert records.
 * @throws FileError when it is no such file, damaged, or holds what a PoPS policy cannot
 */
export function policyFromSb3(bytes: Uint8Array, path: string, options: ImportOptions = {}): Policy {
  const archive = new ZipArchive(bytes, path);
  const data = readData(archive, path);
  const scheme = schemeOf(data, path);
  const weights = archive.read("policy.pth");
  if (weights === undefined) throw new FileError(path, "has no policy.pth");
  const tensors = readTorch(weights, `${path}, policy.pth`);
  const foreign = [...tensors.keys()].find((name) => name.includes("features_extractor"));
  if (foreign !== undefined) {
    throw new FileError(path, `has a features extractor with weights (${foreign}): MlpPolicy without one is read`);
  }
  const squash = data.policy_kwargs.squash_output === true || scheme.squash === true;
  if (data.use_sde === true && scheme.squash) {
    throw new FileError(path, `is ${scheme.name} with use_sde, which limits its means before the tanh: not read`);
  }
  const dense = chainOfScheme(tensors, scheme, "", path);
  const hidden = activationOf(data.policy_kwargs.activation_fn, path) ?? scheme.hidden;
  const chain: Chain = {
    ...dense,
    activations: usualActivations(dense.layers, hidden),
    input: observationShape(data, path),
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
  const hint = "read are the MlpPolicy of DQN, PPO, A2C, SAC, TD3 and DDPG";
  const policy = unpickle(data, "policy_class", [...sb3Schemes.keys(), ...OTHERS], hint, path);
  const name = policy instanceof PickledGlobal ? policy.name : "";
  const scheme = sb3Schemes.get(name);
  if (scheme === undefined) throw new FileError(path, `holds a policy of the class ${name || "unknown"}: ${hint}`);
  return scheme;
}

/** The class stands as `<class 'torch.nn.modules.activation.Tanh'>`. */
function activationOf(given: string | undefined, path: string): Activation | undefined {
  if (given === undefined) return undefined;
  const name = /'([\w.]{1,200})'/.exec(given)?.[1] ?? given.slice(0, 200);
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
    for (const [i, key] of ["low", "high", "_shape"].entries()) made.entries.set(key, args[i] ?? null);
  return [kind, made];
}

function observationShape(data: Data, path: string): number[] {
  const [kind, state] = spaceOf(data, "observation_space", path);
  const low = numpyArray(state.get("low"));
  const shape = low?.shape ?? sizesOf(state.get("_shape"));
  if (kind !== "Box" || !shape)
    throw new FileError(path, `has observations of ${kind}, which are encoded: read is Box`);
  if (low?.dtype === "u1") {
    throw new FileError(path, "has observations of bytes, which count as images: read is Box of floats");
  }
  return [...shape];
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

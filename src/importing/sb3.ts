import { basename } from "node:path";
import { z } from "zod";
import { FileError, reasonOf } from "../errors.ts";
import type { Activation, Architecture, Gaussian, Normalization } from "../network/architecture.ts";
import type { Policy } from "../network/policy.ts";
import { concatenate, finitePolicy } from "./assemble.ts";
import { PickledDict, PickledObject, readPickle } from "./pickle.ts";
import { NUMPY_NAMES, numpyArray } from "./pickled-numpy.ts";
import { readTorch, type TorchTensor } from "./torch.ts";
import { ZipArchive } from "./zip.ts";

const MAX_ENTRY_BYTES = 2 ** 30;

const SPACES = [
  "gymnasium.spaces.box.Box",
  "gymnasium.spaces.discrete.Discrete",
  "gym.spaces.box.Box",
  "gym.spaces.discrete.Discrete",
];
const VEC_NORMALIZE = "stable_baselines3.common.vec_env.vec_normalize.VecNormalize";
const RUNNING = "stable_baselines3.common.running_mean_std.RunningMeanStd";

/** What is used of the entry `data`. Classes are stated by their names, spaces readably and as a pickle. */
const spaceSchema = z.looseObject({
  ":type:": z.string(),
  ":serialized:": z.string(),
  _shape: z.array(z.number()).nullish(),
});
const dataSchema = z.looseObject({
  policy_class: z.looseObject({ __module__: z.string() }),
  policy_kwargs: z.looseObject({ activation_fn: z.string().optional() }),
  use_sde: z.boolean().optional(),
  observation_space: spaceSchema,
  action_space: spaceSchema,
});

/** Where each algorithm's actor stands in `policy.pth`, and what its hidden activation is unless it was chosen. */
const families = {
  "stable_baselines3.common.policies": {
    algorithm: "PPO or A2C",
    activation: "tanh",
    layers: ["mlp_extractor.policy_net.*", "action_net"],
  },
  "stable_baselines3.dqn.policies": { algorithm: "DQN", activation: "relu", layers: ["q_net.q_net.*"] },
  "stable_baselines3.sac.policies": { algorithm: "SAC", activation: "relu", layers: ["actor.latent_pi.*", "actor.mu"] },
  "stable_baselines3.td3.policies": { algorithm: "TD3", activation: "relu", layers: ["actor.mu.*"] },
} as const;

const activations: Readonly<Record<string, Activation>> = {
  "torch.nn.modules.activation.ReLU": "relu",
  "torch.nn.modules.activation.Tanh": "tanh",
};

export interface Sb3Options {
  /** Content and path of the file that `VecNormalize.save` wrote. */
  readonly vecNormalize?: { readonly bytes: Uint8Array; readonly path: string };
  readonly environment?: string;
}

/**
 * The policy of a file that Stable-Baselines3 saved (DQN, PPO, A2C, SAC, TD3 with MlpPolicy): its greedy actor alone, with the
 * statistics of VecNormalize if they are given. Nothing is executed: pickles are read by an interpreter that builds numbers,
 * arrays and inert records.
 * @throws FileError when it is no such file, damaged, or holds what a PoPS policy cannot
 */
export function policyFromSb3(bytes: Uint8Array, path: string, options: Sb3Options = {}): Policy {
  const archive = new ZipArchive(bytes, path, MAX_ENTRY_BYTES);
  const data = readData(archive, path);
  const family = families[data.policy_class.__module__ as keyof typeof families] as
    | (typeof families)[keyof typeof families]
    | undefined;
  if (family === undefined) {
    const known = Object.values(families).map(({ algorithm }) => algorithm);
    throw new FileError(path, `holds a policy of ${data.policy_class.__module__}; read are ${known.join(", ")}`);
  }
  const weights = archive.read("policy.pth");
  if (weights === undefined) throw new FileError(path, "has no policy.pth");
  const tensors = readTorch(weights, `${path}, policy.pth`);
  const foreign = [...tensors.keys()].find((name) => name.includes("features_extractor"));
  if (foreign !== undefined)
    throw new FileError(path, `has a features extractor with weights (${foreign}): MlpPolicy is read`);
  const layers = family.layers.flatMap((pattern) => denseLayers(tensors, pattern, path));
  const hidden = activationOf(data.policy_kwargs.activation_fn, family.activation, path);
  const head = headOf(family.algorithm, data, tensors, path);
  const { inputs } = layers[0]!;
  const normalization = options.vecNormalize && normalizationOf(options.vecNormalize, inputs);
  const architecture: Architecture = {
    input: [...(data.observation_space._shape ?? [inputs])],
    ...(normalization && { normalization }),
    layers: layers.map(({ outputs }, l) => ({
      kind: "dense",
      units: outputs,
      activation: l < layers.length - 1 ? hidden : "none",
    })),
    ...head,
  };
  const source = `Stable-Baselines3 ${family.algorithm}, ${basename(path)}`.slice(0, 10_000);
  const { environment, vecNormalize } = options;
  const policy: Policy = {
    architecture,
    ...(environment !== undefined && { environment }),
    provenance: { source, ...(vecNormalize && { normalization: basename(vecNormalize.path).slice(0, 10_000) }) },
    parameters: concatenate(layers.flatMap((layer) => [layer.weights, layer.biases])),
  };
  return finitePolicy(policy, path);
}

/** Whether a zip archive is one of Stable-Baselines3's. */
export function isSb3(archive: ZipArchive): boolean {
  return archive.names.includes("data") && archive.names.includes("policy.pth");
}

function readData(archive: ZipArchive, path: string): z.infer<typeof dataSchema> {
  const bytes = archive.read("data");
  if (bytes === undefined) throw new FileError(path, "has no entry data: expected a file that model.save() wrote");
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

interface DenseLayer {
  readonly inputs: number;
  readonly outputs: number;
  /** [inputs, outputs] */
  readonly weights: Float32Array;
  readonly biases: Float32Array;
}

/** The layers of a name, or of `name.*` in the order of their numbers. PyTorch's weights are [outputs, inputs]. */
function denseLayers(tensors: ReadonlyMap<string, TorchTensor>, pattern: string, path: string): DenseLayer[] {
  const prefix = pattern.replace(/\*$/, "");
  const names = pattern.endsWith("*")
    ? [...tensors.keys()]
        .flatMap((key) =>
          key.startsWith(prefix) && /^\d+\.weight$/.test(key.slice(prefix.length))
            ? [key.slice(0, -".weight".length)]
            : [],
        )
        .toSorted((a, b) => Number(a.slice(prefix.length)) - Number(b.slice(prefix.length)))
    : [pattern];
  return names.map((name) => {
    const weight = tensors.get(`${name}.weight`);
    const bias = tensors.get(`${name}.bias`);
    const [outputs = 0, inputs = 0] = weight?.shape ?? [];
    if (!weight || !bias || weight.shape.length !== 2 || bias.data.length !== outputs) {
      throw new FileError(path, `layer ${name} is no dense layer with biases`);
    }
    const weights = new Float32Array(inputs * outputs);
    for (let i = 0; i < inputs; i++) {
      for (let o = 0; o < outputs; o++) weights[i * outputs + o] = weight.data[o * inputs + i]!;
    }
    return { inputs, outputs, weights, biases: bias.data };
  });
}

function activationOf(given: string | undefined, usual: Activation, path: string): Activation {
  if (given === undefined) return usual;
  const name = /'([\w.]+)'/.exec(given)?.[1] ?? given;
  const activation = activations[name];
  if (activation === undefined) throw new FileError(path, `has the activation ${name}; read are ReLU and Tanh`);
  return activation;
}

type Data = z.infer<typeof dataSchema>;

/** What the outputs mean, by the action space. SAC and TD3 squash their outputs by a tanh onto the range of the actions. */
function headOf(
  algorithm: string,
  data: Data,
  tensors: ReadonlyMap<string, TorchTensor>,
  path: string,
): Pick<Architecture, "head" | "gaussian"> {
  const type = data.action_space[":type:"];
  if (type.includes("Discrete'")) return { head: algorithm === "DQN" ? "q-values" : "logits" };
  if (!type.includes("Box'")) throw new FileError(path, `has actions of ${type}; read are Discrete and Box`);
  const [low, high] = boundsOf(data.action_space[":serialized:"], path);
  const squashed = algorithm === "SAC" || algorithm === "TD3";
  const learned = tensors.get("log_std");
  // SAC's deviations depend on the state, gSDE's too, TD3 has none: 1 then, in units of the outputs.
  const known = learned !== undefined && learned.shape.length === 1 && !squashed;
  const logStd = known ? Array.from(learned.data) : low.map(() => 0);
  const gaussian: Gaussian = { logStd, low, high, ...(squashed && { squash: true as const }) };
  return { head: "gaussian", gaussian };
}

function unpickle(base64: string, path: string) {
  const allowed = new Set([...SPACES, ...NUMPY_NAMES]);
  return readPickle(Buffer.from(base64, "base64"), path, { allowed });
}

function boundsOf(serialized: string, path: string): [low: number[], high: number[]] {
  const space = unpickle(serialized, `${path}, action_space`);
  const state = space instanceof PickledObject && space.state instanceof PickledDict ? space.state : new PickledDict();
  const [low, high] = (["low", "high"] as const).map((name) => numpyArray(state.get(name))?.data);
  if (!low || !high || ![...low, ...high].every(Number.isFinite)) {
    throw new FileError(path, "states no finite bounds of its actions");
  }
  return [[...low], [...high]];
}

/** Statistics of VecNormalize: (x - mean) / sqrt(var + epsilon), limited. */
function normalizationOf(
  { bytes, path }: NonNullable<Sb3Options["vecNormalize"]>,
  inputs: number,
): Normalization | undefined {
  const allowed = new Set([...SPACES, ...NUMPY_NAMES, VEC_NORMALIZE, RUNNING]);
  const root = readPickle(bytes, path, { allowed });
  const state = root instanceof PickledObject && root.name === VEC_NORMALIZE ? root.state : null;
  if (!(state instanceof PickledDict)) throw new FileError(path, "is no VecNormalize: expected what its save() wrote");
  if (state.get("norm_obs") !== true) return undefined;
  const running = state.get("obs_rms");
  const moments = running instanceof PickledObject && running.state instanceof PickledDict ? running.state : undefined;
  const mean = numpyArray(moments?.get("mean"))?.data;
  const variance = numpyArray(moments?.get("var"))?.data;
  const clip = state.get("clip_obs");
  const epsilon = state.get("epsilon");
  if (!mean || !variance || typeof clip !== "number" || typeof epsilon !== "number") {
    throw new FileError(path, "has no statistics of observations as arrays: dictionaries of observations are not read");
  }
  if (mean.length !== inputs || variance.length !== inputs) {
    throw new FileError(path, `has statistics of ${mean.length} numbers, the policy takes ${inputs}`);
  }
  return { mean: [...mean], deviation: variance.map((value) => Math.sqrt(value + epsilon)), clip };
}

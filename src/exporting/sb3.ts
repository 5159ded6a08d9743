import type { EnvironmentSpec } from "../environment/environment.ts";
import { UsageError } from "../errors.ts";
import { transpose } from "../importing/state-dict.ts";
import { type Activation, hiddenWidths, inputSize, layoutOf } from "../network/architecture.ts";
import { checkParameters, type Policy } from "../network/policy.ts";
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

/**
 * A policy as a `model.zip` that Stable-Baselines3 loads: `DQN.load(path)` of Q-values, `PPO.load(path)` of logits and
 * Gaussians. The critic is one linear layer of zeros, the optimiser is new. Statistics of a normalisation are folded into the
 * first layer, which is exact but for their limit: observations beyond it act otherwise. Equal policies give equal bytes.
 *
 * @param environment states the bounds of observations; without it there are none
 * @throws UsageError for what has no place in such a model: a squashed Gaussian, hidden layers of several activations, an
 * activation at the output
 */
export function policyToSb3(policy: Policy, environment?: EnvironmentSpec): Buffer {
  const { architecture, parameters } = policy;
  checkParameters(architecture, parameters);
  const { head, gaussian, layers } = architecture;
  const [hidden = "relu", ...others] = new Set(layers.slice(0, -1).map(({ activation }) => activation));
  if (gaussian?.squash || others.length > 0 || layers.at(-1)?.activation !== "none") {
    throw new UsageError(
      "format",
      "sb3 has one activation in all hidden layers, none at the output, and no squashed actions",
    );
  }
  const dqn = head === "q-values";
  const tensors = dqn ? dqnTensors(policy) : ppoTensors(policy);
  const widths: Pickle = { list: hiddenWidths(architecture) };
  const kwargs = new Map<string, Pickle>([
    [
      "net_arch",
      dqn
        ? widths
        : new Map<string, Pickle>([
            ["pi", widths],
            ["vf", { list: [] }],
          ]),
    ],
    ["activation_fn", { global: activations[hidden] }],
  ]);
  const observations = environment?.observationSpace ?? { low: undefined, high: undefined };
  const data = {
    policy_class: serialized({
      global: dqn ? "stable_baselines3.dqn.policies.DQNPolicy" : "stable_baselines3.common.policies.ActorCriticPolicy",
    }),
    // In words beside the pickle, as Stable-Baselines3 has it.
    policy_kwargs: { ...serialized(kwargs), activation_fn: `<class '${activations[hidden]}'>` },
    observation_space: serialized(box(architecture.input, observations.low, observations.high)),
    action_space: serialized(
      gaussian
        ? box([gaussian.low.length], gaussian.low, gaussian.high)
        : { call: "gymnasium.spaces.discrete.Discrete", args: [layers.at(-1)!.units] },
    ),
    n_envs: 1,
    use_sde: false,
    verbose: 0,
  };
  const trained = [...tensors.keys()].filter((name) => !name.startsWith("q_net_target.")).length;
  return zipOf(
    new Map([
      ["data", Buffer.from(JSON.stringify(data))],
      ["policy.pth", torchOf(tensors)],
      ["policy.optimizer.pth", torchZip(optimizer(trained), [])],
    ]),
  );
}

/** Weights as PyTorch has them, the normalisation folded in, computed in float64. */
function linears({ architecture, parameters }: Policy): { weight: Tensor; bias: Tensor }[] {
  return layoutOf(architecture).map(({ inputs, outputs, weights, biases }, l) => {
    const values = Float64Array.from(parameters.subarray(weights.offset, weights.offset + weights.length));
    const shifts = Float64Array.from(parameters.subarray(biases.offset, biases.offset + biases.length));
    const { normalization } = architecture;
    if (l === 0 && normalization) {
      for (let i = 0; i < inputs; i++) {
        for (let o = 0; o < outputs; o++) {
          values[i * outputs + o]! /= normalization.deviation[i]!;
          shifts[o]! -= normalization.mean[i]! * values[i * outputs + o]!;
        }
      }
    }
    const weight = transpose(Float32Array.from(values), inputs, outputs);
    return {
      weight: { shape: [outputs, inputs], data: weight },
      bias: { shape: [outputs], data: Float32Array.from(shifts) },
    };
  });
}

function dqnTensors(policy: Policy): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  for (const network of ["q_net.q_net", "q_net_target.q_net"]) {
    for (const [l, { weight, bias }] of linears(policy).entries()) {
      // Activations have numbers too.
      tensors.set(`${network}.${2 * l}.weight`, weight).set(`${network}.${2 * l}.bias`, bias);
    }
  }
  return tensors;
}

function ppoTensors(policy: Policy): Map<string, Tensor> {
  const { architecture } = policy;
  const inputs = inputSize(architecture);
  const tensors = new Map<string, Tensor>();
  const logStd = architecture.gaussian?.logStd;
  if (logStd) tensors.set("log_std", { shape: [logStd.length], data: Float32Array.from(logStd) });
  const layers = linears(policy);
  for (const [l, { weight, bias }] of layers.entries()) {
    const name = l === layers.length - 1 ? "action_net" : `mlp_extractor.policy_net.${2 * l}`;
    tensors.set(`${name}.weight`, weight).set(`${name}.bias`, bias);
  }
  tensors.set("value_net.weight", { shape: [1, inputs], data: new Float32Array(inputs) });
  return tensors.set("value_net.bias", { shape: [1], data: new Float32Array(1) });
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

/** Bounds by numpy.array, which all versions of numpy have; -inf and inf where they are not known. */
function box(shape: readonly number[], low?: readonly number[], high?: readonly number[]): Pickle {
  const array = (values: readonly number[] | undefined, unknown: number): Pickle => {
    if (values === undefined) return unknown;
    const flat = { call: "numpy.array", args: [{ list: [...values] }, "float32"] } as const;
    return shape.length === 1 ? flat : { call: "numpy.reshape", args: [flat, shape] };
  };
  const bounds = [array(low, Number.NEGATIVE_INFINITY), array(high, Number.POSITIVE_INFINITY)];
  return { call: "gymnasium.spaces.box.Box", args: [...bounds, shape, { global: "numpy.float32" }] };
}

function torchOf(tensors: ReadonlyMap<string, Tensor>): Buffer {
  const state = new Map<string, Pickle>();
  const storages: Uint8Array[] = [];
  for (const [name, { shape, data }] of tensors) {
    const key = String(storages.length);
    const storage = { persistent: ["storage", { global: "torch.FloatStorage" }, key, "cpu", data.length] } as const;
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
    const hooks = { call: "collections.OrderedDict", args: [] } as const;
    state.set(name, { call: "torch._utils._rebuild_tensor_v2", args: [storage, 0, shape, strides, false, hooks] });
    storages.push(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  }
  return torchZip(state, storages);
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

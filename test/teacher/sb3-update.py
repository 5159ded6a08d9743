"""Stable-Baselines3's PPO.train() from given parameters on a given rollout.

Standard input: a JSON list of cases; standard output: for each the advantages and value targets of SB3's RolloutBuffer, the
parameters after the update in PoPS' layout, and what SB3 logs. Rows are time-major: t * lanes + lane.
"""

import json
import sys

import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv


class Trunk(BaseFeaturesExtractor):
    """Hidden layers that actor and critic share."""

    def __init__(self, observation_space, hidden):
        super().__init__(observation_space, hidden[-1])
        sizes = [observation_space.shape[0], *hidden]
        self.layers = th.nn.Sequential(
            *[part for a, b in zip(sizes, sizes[1:]) for part in (th.nn.Linear(a, b), th.nn.Tanh())]
        )

    def forward(self, observations):
        return self.layers(observations)


class Spaces(gym.Env):
    """SB3 asks an environment for its spaces only."""

    def __init__(self, inputs, actions, continuous):
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (inputs,), np.float32)
        limits = (-1.0, 1.0, (actions,), np.float32)
        self.action_space = gym.spaces.Box(*limits) if continuous else gym.spaces.Discrete(actions)


def linear_layers(policy, shared):
    """Layers of the actor (the trunk), and of a separate critic, input first."""
    pick = lambda module: [part for part in module.modules() if isinstance(part, th.nn.Linear)]
    if shared:
        return pick(policy.features_extractor), []
    return pick(policy.mlp_extractor.policy_net), pick(policy.mlp_extractor.value_net)


def slots(policy, shared):
    """Tensors in the order of PoPS' flat vector: [tensors side by side as columns], and whether they are weights."""
    trunk, critic = linear_layers(policy, shared)
    outputs = [policy.action_net, policy.value_net] if shared else [policy.action_net]
    order = []
    for layer in trunk:
        order += [[layer.weight], [layer.bias]]
    order += [[layer.weight for layer in outputs], [layer.bias for layer in outputs]]
    if hasattr(policy, "log_std"):
        order.append([policy.log_std])
    if not shared:
        for layer in [*critic, policy.value_net]:
            order += [[layer.weight], [layer.bias]]
    return order


def write(policy, shared, flat):
    at = 0
    for tensors in slots(policy, shared):
        size = sum(tensor.numel() for tensor in tensors)
        part = th.tensor(flat[at : at + size], dtype=th.float32)
        at += size
        if tensors[0].dim() == 2:
            # PoPS keeps weights [inputs, outputs], torch [outputs, inputs].
            part = part.reshape(tensors[0].shape[1], -1).T
        row = 0
        for tensor in tensors:
            tensor.data.copy_(part[row : row + tensor.shape[0]])
            row += tensor.shape[0]
    assert at == len(flat), (at, len(flat))


def read(policy, shared):
    flat = []
    for tensors in slots(policy, shared):
        joined = th.cat([tensor.data for tensor in tensors])
        flat += (joined.T if joined.dim() == 2 else joined).flatten().tolist()
    return flat


class Kept(Logger):
    def __init__(self):
        super().__init__(None, [])


def run(case):
    shared, continuous, lanes, steps = case["shared"], case["continuous"], case["lanes"], case["nSteps"]
    hidden, inputs, outputs = case["hidden"], case["inputs"], case["outputs"]
    policy_kwargs = {"activation_fn": th.nn.Tanh, "net_arch": {"pi": hidden, "vf": hidden}}
    if shared:
        policy_kwargs.update(net_arch=[], features_extractor_class=Trunk, features_extractor_kwargs={"hidden": hidden})
    model = PPO(
        "MlpPolicy",
        DummyVecEnv([lambda: Spaces(inputs, outputs, continuous)] * lanes),
        n_steps=steps,
        batch_size=steps * lanes,
        n_epochs=case["nEpochs"],
        learning_rate=case["learningRate"],
        gamma=case["gamma"],
        gae_lambda=case["gaeLambda"],
        clip_range=case["clipRange"],
        ent_coef=case["entCoef"],
        vf_coef=case["vfCoef"],
        max_grad_norm=case["maxGradientNorm"],
        normalize_advantage=case["normalizeAdvantage"],
        policy_kwargs=policy_kwargs,
        device="cpu",
    )
    model.set_logger(Kept())
    policy = model.policy
    write(policy, shared, case["parameters"])

    grid = lambda name, *shape: np.array(case[name], dtype=np.float32).reshape(steps, lanes, *shape)
    observations, following = grid("observations", inputs), grid("nextObservations", inputs)
    actions = grid("actions", *([outputs] if continuous else [1]))
    rewards, terminated, truncated = grid("rewards"), grid("terminated"), grid("truncated")
    starts = np.ones(lanes, dtype=np.float32)
    buffer = model.rollout_buffer
    with th.no_grad():
        for t in range(steps):
            values, log_prob, _ = policy.evaluate_actions(th.tensor(observations[t]), th.tensor(actions[t]).squeeze(-1) if not continuous else th.tensor(actions[t]))
            # As OnPolicyAlgorithm.collect_rollouts: the value of a state where an episode was cut off goes into its reward.
            after = policy.predict_values(th.tensor(following[t])).flatten().numpy()
            bootstrapped = rewards[t] + case["gamma"] * after * truncated[t]
            buffer.add(observations[t], actions[t], bootstrapped, starts, values, log_prob)
            starts = np.maximum(terminated[t], truncated[t])
        buffer.compute_returns_and_advantage(policy.predict_values(th.tensor(following[-1])), starts)
    advantages, targets = buffer.advantages.flatten().tolist(), buffer.returns.flatten().tolist()
    model.train()
    logged = model.logger.name_to_value
    return {
        "advantages": advantages,
        "targets": targets,
        "parameters": read(policy, shared),
        "logged": {name: float(value) for name, value in logged.items() if name.startswith("train/")},
    }


json.dump([run(case) for case in json.load(sys.stdin)], sys.stdout)

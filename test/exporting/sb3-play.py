"""Loads what PoPS exported with plain `load` and plays it. Usage: sb3-play.py FOLDER. Reads `cases.json`, writes `<name>.observations` and
`<name>.actions` (float32) of 20 episodes of CartPole-v1, 2 of other environments, or on 200 random images of a shape."""

import json
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import DQN, PPO, SAC


class Pictures(gym.Env):
    """Random images of a shape and a dtype, and as many choices as the model has."""

    def __init__(self, shape, dtype, actions):
        self.observation_space = gym.spaces.Box(0, 255 if dtype == "uint8" else 1, shape, np.dtype(dtype))
        self.action_space = actions
        self.left = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.left = 100
        return self.observation_space.sample(), {}

    def step(self, action):
        self.left -= 1
        return self.observation_space.sample(), 0.0, self.left == 0, False, {}


torch.set_num_threads(1)
folder = Path(sys.argv[1])
for case in json.loads((folder / "cases.json").read_text()):
    name, environment = case["name"], case.get("environment")
    model = {"DQN": DQN, "PPO": PPO, "SAC": SAC}[case["algorithm"]].load(folder / f"{name}.zip", device="cpu")
    given = case.get("actions")
    actions = gym.spaces.Box(given["low"][0], given["high"][0], given["shape"], np.dtype(given["dtype"])) if given else model.action_space
    env = gym.make(environment) if environment else Pictures(case["shape"], case["dtype"], actions)
    # Refuses spaces that are not the environment's.
    model.set_env(env)
    seen, chosen = [], []
    for episode in range(20 if environment == "CartPole-v1" else 2):
        observation, _ = env.reset(seed=episode)
        done = False
        while not done:
            action, _ = model.predict(observation, deterministic=True)
            seen.append(observation)
            chosen.append(np.atleast_1d(action))
            observation, _, terminated, truncated, _ = env.step(action)
            done = terminated or truncated
    if case["algorithm"] == "SAC":
        # Trained on: actor, critics and the coefficient of entropy have optimisers of their own.
        model.learning_starts = 50
        model.learn(100)
    if not environment:
        # It can be trained on: its optimiser knows its parameters.
        seen_by_network, _ = model.policy.obs_to_tensor(seen[0])
        outputs = model.q_net(seen_by_network) if case["algorithm"] == "DQN" else model.policy(seen_by_network)[1]
        outputs.sum().backward()
        model.policy.optimizer.step()
    (folder / f"{name}.observations").write_bytes(np.array(seen, dtype="<f4").tobytes())
    (folder / f"{name}.actions").write_bytes(np.array(chosen, dtype="<f4").tobytes())

"""Loads what PoPS exported with plain `load` and plays it. Usage: sb3-play.py FOLDER. Reads `cases.json`, writes `<name>.observations` and
`<name>.actions` (float32) of 20 episodes of CartPole-v1, or 2 of other environments."""

import json
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import DQN, PPO

torch.set_num_threads(1)
folder = Path(sys.argv[1])
for case in json.loads((folder / "cases.json").read_text()):
    name, environment = case["name"], case["environment"]
    model = (DQN if case["algorithm"] == "DQN" else PPO).load(folder / f"{name}.zip", device="cpu")
    env = gym.make(environment)
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
    (folder / f"{name}.observations").write_bytes(np.array(seen, dtype="<f4").tobytes())
    (folder / f"{name}.actions").write_bytes(np.array(chosen, dtype="<f4").tobytes())

"""Plays a policy of PoPS in Gymnasium twice, by onnxruntime and by Stable-Baselines3: 100 episodes each, of the same seeds, in lock-step.
Usage: play.py ENVIRONMENT ALGORITHM POLICY.onnx POLICY.zip. Prints JSON: the returns of both, the decisions of the first one's play, how many of them
the second one would have taken otherwise, and the widest gap between the two best outputs among those."""

import json
import sys

import gymnasium as gym
import numpy as np
import onnxruntime
import stable_baselines3
import torch

EPISODES = 100

torch.set_num_threads(1)
environment, algorithm, onnx, archive = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(onnx, options)
model = getattr(stable_baselines3, algorithm).load(archive, device="cpu")
lanes = [gym.make(environment) for _ in range(EPISODES)]
# Refuses spaces that are not the environment's.
model.set_env(lanes[0])


def by_onnx(observations):
    *outputs, actions = session.run(None, {"observation": observations})
    return actions, outputs[0]


def by_sb3(observations):
    return model.predict(observations, deterministic=True)[0], None


def play(decide, watch):
    observations = np.stack([lane.reset(seed=seed)[0] for seed, lane in enumerate(lanes)])
    returns, running = np.zeros(EPISODES), np.ones(EPISODES, bool)
    while running.any():
        at = np.flatnonzero(running)
        actions, outputs = decide(observations[at])
        watch(observations[at], actions, outputs)
        for lane, action in zip(at, actions):
            observations[lane], reward, terminated, truncated, _ = lanes[lane].step(action)
            returns[lane] += reward
            running[lane] = not (terminated or truncated)
    return returns.tolist()


report = {"decisions": 0, "differing": 0, "widest": 0.0}


def compare(observations, actions, outputs):
    others = by_sb3(observations)[0]
    report["decisions"] += len(actions)
    for row in np.flatnonzero(actions != others):
        best = np.sort(outputs[row])
        report["differing"] += 1
        report["widest"] = max(report["widest"], float(best[-1] - best[-2]))


report["onnx"] = play(by_onnx, compare)
report["sb3"] = play(by_sb3, lambda *_: None)
print(json.dumps(report))

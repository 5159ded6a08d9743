"""Python's side of `npm run bench:exports`: decisions by PyTorch and by Stable-Baselines3's predict, on one thread. Prints one JSON object a line."""
import json
import sys
import time

import numpy
import stable_baselines3
import torch
from stable_baselines3 import A2C, DQN, PPO

torch.set_num_threads(1)
REPEATS = 9
ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}
VERSIONS = f"PyTorch {torch.__version__}; Stable-Baselines3 {stable_baselines3.__version__}"


def model_of(shape, layers):
    modules, size, flat = [], list(shape), len(shape) == 1
    for layer in layers:
        if layer.get("kind") == "conv":
            modules.append(torch.nn.Conv2d(size[0], layer["units"], layer["kernel"], layer["stride"]))
            extent = [(n - k) // s + 1 for n, k, s in zip(size[1:], layer["kernel"], layer["stride"])]
            size = [layer["units"], *extent]
        else:
            if not flat:
                modules.append(torch.nn.Flatten())
                flat = True
            modules.append(torch.nn.Linear(int(numpy.prod(size)), layer["units"]))
            size = [layer["units"]]
        if layer["activation"] in ACTIVATIONS:
            modules.append(ACTIVATIONS[layer["activation"]]())
    return torch.nn.Sequential(*modules)


def microseconds(work, calls):
    for _ in range(calls):
        work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        times.append((time.perf_counter() - start) / calls * 1e6)
    return sorted(times)[REPEATS // 2]


def load(path):
    for algorithm in (DQN, PPO, A2C):
        try:
            return algorithm.load(path, device="cpu")
        except Exception:
            continue
    raise ValueError(path)


def measure(case):
    if "zip" in case:
        model = load(case["zip"])
        observation = numpy.zeros(model.observation_space.shape, dtype=numpy.float32)
        return microseconds(lambda: model.predict(observation, deterministic=True), case["calls"])
    model = model_of(case["input"], case["layers"])
    observations = torch.randn(case["batch"], *case["input"])
    with torch.inference_mode():
        return microseconds(lambda: model(observations), case["calls"])


for line in sys.stdin:
    print(json.dumps({"micros": measure(json.loads(line)), "versions": VERSIONS}), flush=True)

"""PyTorch's side of `npm run bench`: the same training steps on one thread. Prints one JSON object a line."""
import json
import sys

import torch
from torch_step import milliseconds

torch.set_num_threads(1)
WARM_UP = 100


def measure(hidden, batch, steps):
    layers, inputs = [], 4
    for units in hidden:
        layers += [torch.nn.Linear(inputs, units), torch.nn.ReLU()]
        inputs = units
    model = torch.nn.Sequential(*layers, torch.nn.Linear(inputs, 2))
    observations = torch.randn(batch, 4)
    return milliseconds(model, lambda: observations, batch, 2, steps, WARM_UP)


for line in sys.stdin:
    case = json.loads(line)
    micros = 1e3 * measure(case["hidden"], case["batch"], case["steps"])
    print(json.dumps({"micros": micros, "torch": torch.__version__}), flush=True)

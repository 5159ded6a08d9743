"""PyTorch's side of `npm run bench:pixels`: the same training steps of the same network. Prints one JSON object a line."""
import json
import sys

import torch
from torch_step import milliseconds


def measure(batch, threads, steps):
    torch.set_num_threads(threads)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(4, 32, 8, 4),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 64, 4, 2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(64, 64, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(3136, 512),
        torch.nn.ReLU(),
        torch.nn.Linear(512, 3),
    )
    observations = torch.randint(0, 256, (batch, 4, 84, 84), dtype=torch.uint8)
    return milliseconds(model, lambda: observations.float() / 255, batch, 3, steps, steps)


for line in sys.stdin:
    case = json.loads(line)
    millis = measure(case["batch"], case["threads"], case["steps"])
    print(json.dumps({"millis": millis, "torch": torch.__version__}), flush=True)

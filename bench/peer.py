"""PyTorch's side of `npm run bench`: the same training steps on one thread. Prints one JSON object a line."""
import json
import sys
import time

import torch

torch.set_num_threads(1)
REPEATS, WARM_UP = 9, 100


def measure(hidden, batch, steps):
    layers, inputs = [], 4
    for units in hidden:
        layers += [torch.nn.Linear(inputs, units), torch.nn.ReLU()]
        inputs = units
    model = torch.nn.Sequential(*layers, torch.nn.Linear(inputs, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    observations = torch.randn(batch, 4)
    actions = torch.randint(0, 2, (batch, 1))
    goals = torch.randn(batch)

    def step():
        values = model(observations).gather(1, actions).squeeze(1)
        loss = torch.nn.functional.smooth_l1_loss(values, goals)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()

    for _ in range(WARM_UP):
        step()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        times.append((time.perf_counter() - start) / steps * 1e6)
    return sorted(times)[REPEATS // 2]


for line in sys.stdin:
    case = json.loads(line)
    micros = measure(case["hidden"], case["batch"], case["steps"])
    print(json.dumps({"micros": micros, "torch": torch.__version__}), flush=True)

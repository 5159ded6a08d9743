"""PyTorch's side of `npm run bench:pixels`: the same training steps of the same network. Prints one JSON object a line."""
import json
import sys
import time

import torch

REPEATS = 9


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
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    observations = torch.randint(0, 256, (batch, 4, 84, 84), dtype=torch.uint8)
    actions = torch.randint(0, 3, (batch, 1))
    goals = torch.randn(batch)

    def step():
        values = model(observations.float() / 255).gather(1, actions).squeeze(1)
        loss = torch.nn.functional.smooth_l1_loss(values, goals)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()

    for _ in range(steps):
        step()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        times.append((time.perf_counter() - start) / steps * 1e3)
    return sorted(times)[REPEATS // 2]


for line in sys.stdin:
    case = json.loads(line)
    millis = measure(case["batch"], case["threads"], case["steps"])
    print(json.dumps({"millis": millis, "torch": torch.__version__}), flush=True)

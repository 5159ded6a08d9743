"""PyTorch's Q-learning step, as training-step.ts has ours: what peer.py and pixels-peer.py measure."""
import time

import torch

REPEATS = 9


def milliseconds(model, observe, batch, choices, steps, warm_up):
    """Median of a step's time. `observe` gives the observations as the model takes them, once a step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    actions = torch.randint(0, choices, (batch, 1))
    goals = torch.randn(batch)

    def step():
        values = model(observe()).gather(1, actions).squeeze(1)
        loss = torch.nn.functional.smooth_l1_loss(values, goals)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()

    for _ in range(warm_up):
        step()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        times.append((time.perf_counter() - start) / steps * 1e3)
    return sorted(times)[REPEATS // 2]

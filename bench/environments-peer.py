"""Gymnasium's side of `npm run bench:environments`. Prints one JSON object a line: steps a second, or null where Gymnasium has no such vector."""
import json
import sys
import time

import gymnasium
import numpy as np
from gymnasium.envs.box2d.lunar_lander import heuristic

REPEATS = 5


def vector_of(case):
    return gymnasium.make_vec(case["id"], case["lanes"], vectorization_mode=case["mode"])


def play_vector(case, actions):
    case["made"].reset(seed=0)
    for action in actions:
        case["made"].step(action)


def play_single(case, actions):
    made = case["made"]
    made.reset(seed=0)
    for action in actions:
        _, _, terminated, truncated, _ = made.step(action)
        if terminated or truncated:
            made.reset()


def random_actions(space, rounds):
    space.seed(0)
    return [space.sample() for _ in range(rounds)]


def landing_actions(case, rounds):
    """What the controller does in the episodes that are played: as they are replayed, its own time does not count."""
    made, single = case["made"], gymnasium.make(case["id"])
    observation, _ = made.reset(seed=0)
    actions = []
    for _ in range(rounds):
        if case["mode"] == "single":
            actions.append(heuristic(single, observation))
            observation, _, terminated, truncated, _ = made.step(actions[-1])
            if terminated or truncated:
                observation, _ = made.reset()
        else:
            actions.append(np.array([heuristic(single, row) for row in observation]))
            observation = made.step(actions[-1])[0]
    return actions


def measure(case):
    if case["mode"] == "vector_entry_point" and gymnasium.spec(case["id"]).vector_entry_point is None:
        return None
    single = case["mode"] == "single"
    case["made"] = gymnasium.make(case["id"]) if single else vector_of(case)
    rounds = case["steps"] // (1 if single else case["lanes"])
    landing = case["policy"] == "landing"
    actions = landing_actions(case, rounds) if landing else random_actions(case["made"].action_space, rounds)
    play = play_single if single else play_vector
    walls, cpus = [], []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        play(case, actions)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    case["made"].close()
    steps = rounds * (1 if single else case["lanes"])
    return {"wall": steps / sorted(walls)[REPEATS // 2], "cpu": steps / sorted(cpus)[REPEATS // 2]}


for line in sys.stdin:
    print(json.dumps({"gymnasium": gymnasium.__version__, "rate": measure(json.loads(line))}), flush=True)

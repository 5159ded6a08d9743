"""Gymnasium's side of `npm run bench:bridge`. Prints one JSON object a line: steps a second, or what is missing."""
import json
import sys
import time

import gymnasium
import gymnasium.wrappers
import numpy as np

made = {}


def vector_of(case):
    key = (case["id"], case["lanes"], case["peer"])
    if key not in made:
        if case["peer"] == "AtariVectorEnv":
            from ale_py.vector_env import AtariVectorEnv

            game = case["id"].split("/")[1].split("-")[0].lower()
            made[key] = AtariVectorEnv(game, num_envs=case["lanes"])
        else:
            wrappers = [
                lambda environment, kind=getattr(gymnasium.wrappers, wrapper["name"]), given=wrapper.get("kwargs", {}): kind(
                    environment, **given
                )
                for wrapper in case.get("wrappers", [])
            ]
            made[key] = gymnasium.make_vec(
                case["id"], case["lanes"], vectorization_mode="sync", wrappers=wrappers, **case.get("kwargs", {})
            )
    return made[key]


def measure(case):
    try:
        vector = vector_of(case)
    except ImportError as error:
        return str(error)
    rounds = max(1, case["steps"] // case["lanes"])
    choices = vector.single_action_space.n
    actions = np.random.default_rng(0).integers(0, choices, (rounds, case["lanes"]))
    vector.reset(seed=0)
    start, used = time.perf_counter(), time.process_time()
    for action in actions:
        vector.step(action)
    steps = rounds * case["lanes"]
    return {"wall": steps / (time.perf_counter() - start), "cpu": steps / (time.process_time() - used)}


def versions():
    found = ["Python %s" % sys.version.split()[0], "Gymnasium %s" % gymnasium.__version__]
    try:
        import ale_py

        found.append("ale-py %s" % ale_py.__version__)
    except ImportError:
        pass
    return ", ".join(found)


for line in sys.stdin:
    print(json.dumps({"versions": versions(), "rate": measure(json.loads(line))}), flush=True)

"""Stable-Baselines3's side of `npm run bench:sb3`. Prints versions, then answers each job on standard input with one JSON
object an evaluation, made at the steps at which pops-rl makes its own: the first rollout's end after every interval."""
import json
import platform
import sys
import time

import gymnasium
import stable_baselines3
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

torch.set_num_threads(1)
ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}


class GreedyEvaluations(BaseCallback):
    def __init__(self, environment, seed, interval, episodes):
        super().__init__()
        self.environments = make_vec_env(environment, episodes)
        self.first_seed = 1000 * seed
        self.interval, self.episodes = interval, episodes
        self.evaluations = self.steps = 0
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def _on_step(self):
        return True

    def _on_rollout_start(self):
        """After the updates of the rollout before."""
        if self.num_timesteps // self.interval > self.steps // self.interval:
            self.evaluate()
        self.steps = self.num_timesteps

    def _on_training_end(self):
        self.evaluate()
        self.environments.close()

    def evaluate(self):
        # Environment i takes this seed + i, so that the seeds of two evaluations have to lie apart.
        self.evaluations += 1
        self.environments.seed(1_000_000 * self.evaluations + self.first_seed)
        score, _ = evaluate_policy(self.model, self.environments, self.episodes, deterministic=True)
        seconds, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        point = {"step": self.num_timesteps, "score": round(float(score), 3)}
        print(json.dumps({**point, "seconds": round(seconds, 1), "cpuSeconds": round(cpu, 1)}), flush=True)


def train(job):
    environment, seed, settings = job["environment"], job["seed"], job["settings"]
    evaluations = GreedyEvaluations(environment, seed, settings["evaluationInterval"], settings["evaluationEpisodes"])
    model = PPO(
        "MlpPolicy",
        make_vec_env(environment, settings["environments"], seed=seed),
        learning_rate=settings["learningRate"],
        n_steps=settings["nSteps"],
        batch_size=settings["batchSize"],
        n_epochs=settings["nEpochs"],
        gamma=settings["gamma"],
        gae_lambda=settings["gaeLambda"],
        clip_range=settings["clipRange"],
        ent_coef=settings["entCoef"],
        vf_coef=settings["vfCoef"],
        max_grad_norm=settings["maxGradientNorm"],
        normalize_advantage=settings["normalizeAdvantage"],
        policy_kwargs={
            "net_arch": {"pi": settings["hidden"], "vf": settings["hidden"]},
            "activation_fn": ACTIVATIONS[settings["activation"]],
            "ortho_init": settings["initializer"] == "orthogonal",
            "log_std_init": settings["logStdInit"],
        },
        seed=seed,
        device="cpu",
    )
    model.learn(settings["totalSteps"], callback=evaluations)


versions = [
    f"Python {platform.python_version()}",
    f"Stable-Baselines3 {stable_baselines3.__version__}",
    f"PyTorch {torch.__version__}",
    f"Gymnasium {gymnasium.__version__}",
]
print(json.dumps({"versions": versions}), flush=True)
for line in sys.stdin:
    train(json.loads(line))

"""Trains PPO of Stable-Baselines3 on LunarLander-v3 with the settings of RL Baselines3 Zoo, and keeps the best model of its evaluations.
Usage: train-lunar-lander.py MODEL.zip. Some 15 minutes on one core."""

import shutil
import sys
import tempfile

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback, StopTrainingOnRewardThreshold
from stable_baselines3.common.env_util import make_vec_env

ENVIRONMENT = "LunarLander-v3"
LANES = 16

torch.set_num_threads(1)
model = PPO(
    "MlpPolicy",
    make_vec_env(ENVIRONMENT, n_envs=LANES, seed=1),
    n_steps=1024,
    batch_size=64,
    n_epochs=4,
    gamma=0.999,
    gae_lambda=0.98,
    ent_coef=0.01,
    seed=1,
    device="cpu",
)
with tempfile.TemporaryDirectory() as folder:
    # The task counts as solved at 200: some room, since the best of several evaluations is optimistic.
    enough = StopTrainingOnRewardThreshold(reward_threshold=245, verbose=1)
    judge = EvalCallback(
        make_vec_env(ENVIRONMENT, n_envs=LANES, seed=1000),
        callback_on_new_best=enough,
        n_eval_episodes=64,
        eval_freq=65_536 // LANES,
        best_model_save_path=folder,
    )
    model.learn(1_000_000, callback=judge)
    shutil.copyfile(f"{folder}/best_model.zip", sys.argv[1])

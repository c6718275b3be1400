"""Stable-Baselines3's A2C learns to balance CartPole's pole with our RMSprop in the place of its own.

    pip install "rmsprop[torch]" stable-baselines3
    python examples/sb3_cartpole.py

A2C hands over its own learning rate. alpha and eps are those of the A2C paper's code; dialect="sb3" is the package's RMSpropTFLike.
"""

import argparse
from typing import Any

import torch
from stable_baselines3 import A2C
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from rmsprop.torch import RMSprop

POLICY = {"optimizer_class": RMSprop, "optimizer_kwargs": {"dialect": "sb3", "alpha": 0.99, "eps": 1e-5}}


def learn(frames: int, policy: dict[str, Any] = POLICY, seed: int = 0) -> A2C:
    """Return an agent that has seen some frames of 8 poles side by side."""
    poles = make_vec_env("CartPole-v1", n_envs=8, seed=seed)
    agent = A2C("MlpPolicy", poles, learning_rate=2e-3, gae_lambda=0.95, policy_kwargs=policy, seed=seed, device="cpu")
    return agent.learn(frames)


def reward(agent: A2C) -> float:
    """Return the mean reward of 20 episodes: for how many frames the pole stays up, of 500."""
    mean, _ = evaluate_policy(agent, make_vec_env("CartPole-v1", seed=1), n_eval_episodes=20, warn=False)
    return float(mean)


def main(arguments: list[str] | None = None) -> float:
    """Learn, print how much it helped and return the reward."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=40_000)
    frames = parser.parse_args(arguments).frames
    torch.set_num_threads(1)
    print(f"untrained: the pole stays up for {reward(learn(0)):.0f} of 500 frames")
    mean = reward(learn(frames))
    print(f"after {frames:,} frames: {mean:.0f} of 500")
    return mean


if __name__ == "__main__":
    main()

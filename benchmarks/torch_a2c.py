"""Frames per second of stable-baselines3's A2C on CartPole with ours and with its own optimizers, and whether they learn alike.

    pip install "rmsprop[torch]" stable-baselines3
    python benchmarks/torch_a2c.py [--frames N] [--seeds N] [--threads N]

For each seed, four agents with the same start and the same random numbers: the two optimizers that A2C is used with, PyTorch's and
the package's RMSpropTFLike, each beside ours in that dialect. They learn in turn, some frames at a time, each going on with the
random state that it left off with, so that a slow spell of the machine falls on all alike.

Actions are drawn by the policy's probabilities. Nothing but rounding tells the agents of a pair apart, until once it tips a draw;
from there on their episodes differ as those of two seeds do. Hence the table says for how long the episodes of a pair are the same,
and compares what both have learnt in the end.
"""

import argparse
import statistics
import time
from typing import Any

import torch
from stable_baselines3 import A2C
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

import rmsprop
from rmsprop.torch import RMSprop
from timing import machine

# What A2C gives its optimizer where it chooses it itself.
OPTIONS = {"alpha": 0.99, "eps": 1e-5, "weight_decay": 0}
PAIRS: dict[str, tuple[type, dict[str, Any], type, dict[str, Any]]] = {
    "PyTorch": (RMSprop, {}, torch.optim.RMSprop, {}),
    "RMSpropTFLike": (RMSprop, {"dialect": "sb3"}, RMSpropTFLike, {}),
}
# A multiple of the five frames of an update.
SLICE = 1_000
LAST = 50


class Agent:
    """An A2C agent on CartPole with one optimizer, that learns in slices.

    Args:
        optimizer: the class.
        options: of the optimizer, besides those that A2C gives.
        seed: of the weights, the environment and the draws.
    """

    def __init__(self, optimizer: type, options: dict[str, Any], seed: int) -> None:
        """Make the agent."""
        policy = {"optimizer_class": optimizer, "optimizer_kwargs": OPTIONS | options}
        self.model = A2C("MlpPolicy", "CartPole-v1", policy_kwargs=policy, seed=seed, device="cpu")
        self.random = torch.get_rng_state()
        self.rates: list[float] = []

    def learn(self, frames: int) -> None:
        """Go on for some frames."""
        torch.set_rng_state(self.random)
        start = time.perf_counter()
        self.model.learn(frames, reset_num_timesteps=False, log_interval=10**9)
        self.rates.append(frames / (time.perf_counter() - start))
        self.random = torch.get_rng_state()

    @property
    def rewards(self) -> list[float]:
        """The reward of each episode so far."""
        (rewards,) = self.model.get_env().env_method("get_episode_rewards")
        return rewards


def main() -> None:
    """Let the agents learn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=30_000, help="for each agent")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rmsprop.set_num_threads(options.threads)
    print(f"{machine()}, PyTorch {torch.__version__}; {options.threads} threads; {options.frames:,} frames for each agent\n")
    print(
        f"{'optimizer':14} {'seed':>4} {'ours: frames/s':>14} {'theirs':>7} {'ratio':>6} {'same episodes':>14} {'same frames':>12} "
        f"{f'last {LAST}: ours':>14} {'theirs':>7}"
    )
    rates: dict[str, list[float]] = {name: [] for name in PAIRS}
    for seed in range(options.seeds):
        agents = {
            name: (Agent(ours, extra, seed), Agent(theirs, other, seed)) for name, (ours, extra, theirs, other) in PAIRS.items()
        }
        for _ in range(options.frames // SLICE):
            for pair in agents.values():
                for agent in pair:
                    agent.learn(SLICE)
        for name, (ours, theirs) in agents.items():
            print(f"{name:14} {seed:4} {line(ours, theirs)}", flush=True)
            rates[name] += (a / b for a, b in zip(ours.rates, theirs.rates, strict=True))
    for name, ratios in rates.items():
        print(f"{name}: {statistics.median(ratios):.2f} × the frames per second with ours, the median of {len(ratios)} slices")


def line(ours: Agent, theirs: Agent) -> str:
    """Return how fast the agents of a pair learned, how long alike, and how well."""
    mine, other = ours.rewards, theirs.rewards
    same = next((k for k, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b), min(len(mine), len(other)))
    frames = sum(mine[:same])  # a frame that the pole stays up is a reward of 1
    speed, beside = statistics.median(ours.rates), statistics.median(theirs.rates)
    return (
        f"{speed:14.0f} {beside:7.0f} {speed / beside:6.2f} {f'{same} of {len(other)}':>14} {frames:12.0f} "
        f"{statistics.mean(mine[-LAST:]):14.1f} {statistics.mean(other[-LAST:]):7.1f}"
    )


if __name__ == "__main__":
    main()

"""Advantage actor-critic on CartPole: keep a pole upright for 500 frames."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import nn

from rmsprop.errors import missing_extra
from rmsprop.race.workloads.task import Make, Training, Workload

_POLES, _FRAMES = 8, 5
_EPISODES, _MOST = 20, 500


class Balancing:
    """Stable-Baselines3's A2C with its own settings, but for the optimizer.

    Args:
        seed: of poles and actions.
        make: makes the optimizer.

    Source: Mnih et al. (2016), "Asynchronous methods for deep reinforcement learning", https://arxiv.org/abs/1602.01783.
    """

    def __init__(self, seed: int, make: Make) -> None:
        # TensorBoard, which comes with A2C, loads TensorFlow where it is installed, and its LLVM ends the process if Triton's
        # comes later.
        with suppress(ImportError):
            import triton  # noqa: F401
        try:
            import gymnasium
            from stable_baselines3 import A2C
            from stable_baselines3.common.env_util import make_vec_env
        except ImportError:
            raise missing_extra("Stable-Baselines3", "'rmsprop[workloads]'") from None

        def made(params: Iterable[nn.Parameter], lr: float, **options: Any) -> torch.optim.Optimizer:
            return make(params)

        self._agent = A2C(
            "MlpPolicy",
            make_vec_env("CartPole-v1", n_envs=_POLES, seed=seed),
            n_steps=_FRAMES,
            policy_kwargs={"optimizer_class": made},
            seed=seed,
            device="cpu",
        )
        # A rate is set at each step by who races; A2C's own would be put back before it.
        self._agent._update_learning_rate = lambda optimizers: None  # type: ignore[method-assign]
        self._judge = gymnasium.make_vec("CartPole-v1", num_envs=_EPISODES, vectorization_mode="vector_entry_point")
        self._seed = seed
        self._broken = False

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """What takes the steps."""
        found: torch.optim.Optimizer = self._agent.policy.optimizer
        return found

    def advance(self, steps: int) -> None:
        """Take so many steps, each after a few frames of a few poles."""
        if self._broken:
            return
        try:
            self._agent.learn(steps * _POLES * _FRAMES, reset_num_timesteps=False, log_interval=1_000_000)
        except ValueError:
            # What torch.distributions says of scores that are not finite.
            if self._sound():
                raise
            self._broken = True

    @torch.no_grad()
    def measure(self) -> tuple[float, float]:
        """Return how many of 500 frames are missing, and how many there are: the mean of 20 episodes, the likeliest action each."""
        if self._broken or not self._sound():
            return float("nan"), float("nan")
        # Not by way of the agent's `predict`, whose checks take ten times as long as the network.
        policy: Any = self._agent.policy
        seen, _ = self._judge.reset(seed=self._seed)
        up, frames = np.ones(_EPISODES, bool), np.zeros(_EPISODES)
        while up.any():
            frames += up
            scores = policy.action_net(policy.mlp_extractor.forward_actor(torch.from_numpy(seen)))
            seen, _, fallen, over, _ = self._judge.step(scores.argmax(dim=1).numpy())
            up &= ~(fallen | over)
        return _MOST - float(frames.mean()), float(frames.mean())

    def _sound(self) -> bool:
        return all(bool(p.isfinite().all()) for p in self._agent.policy.parameters())


def begin(seed: int, make: Make) -> Training:
    """Return a fresh agent."""
    with warnings.catch_warnings():
        # Of packages that these packages use.
        warnings.simplefilter("ignore", DeprecationWarning)
        return Balancing(seed, make)


WORKLOAD = Workload(
    name="cartpole",
    title="Stable-Baselines3's A2C on Gymnasium's CartPole, 8 poles for 5 frames a step; the loss is 500 - return",
    story="Reinforcement learning, small: how long does the pole stay up? The agent makes its own data, which change as it learns.",
    metric="return",
    higher=True,
    begin=begin,
    steps=200,
    ends=(-4.0, 0.0),
    budget=5,
    judges=2,
    target=305.0,
)

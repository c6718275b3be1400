"""Many runs at once: every rival, learning rate and seed takes its step in the same few array operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmsprop.race.judge import ceiling
from rmsprop.race.noise import Draws, Noise
from rmsprop.race.problem import Problem
from rmsprop.race.rivals import Rival, State
from rmsprop.race.search import Runs

Array = NDArray[np.float64]
Progress = Callable[[int], None]
Watch = Callable[[Array, Sequence[State]], None]

# Steps between two calls of the progress.
_EVERY = 100


@dataclass(frozen=True)
class Outcome(Runs):
    """What became of (rivals, rates, seeds) runs on a landscape.

    Attributes:
        times: (moments,) steps after which the next two were taken down.
        losses: (moments, rivals, rates, seeds) losses.
        paths: (moments, rivals, rates, 2) parameters of the first seed.
    """

    times: NDArray[np.int64]
    losses: Array
    paths: Array


def play(
    problem: Problem,
    rivals: Sequence[Rival],
    rates: Array,
    draws: Draws,
    noise: Noise,
    steps: int,
    *,
    shape: Callable[[int], float] = lambda step: 1.0,
    moments: int = 0,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Run every rival at each of its learning rates from each seed's start; what counts as loss is free of noise.

    Args:
        problem: the landscape. The first seed begins at its start, the others around it.
        rivals: who runs.
        rates: (rivals, rates) learning rates.
        draws: of the seeds.
        noise: on the gradients; all rivals and rates of a seed meet the same draws.
        steps: of each run, ≥ 1.
        shape: what the learning rates are multiplied by, from the number of steps already taken.
        moments: how many moments to take down, about; 0 for none.
        progress: called with the steps that all runs have taken, now and then.
        watch: called after each step with the (rivals, rates, seeds, 2) gradients that it was taken with and each rival's state;
            what it is given stays as it is.
    """
    seeds = len(draws.starts)
    around = draws.starts * np.array(problem.spread)
    around[0] = 0
    start = np.array(problem.start) + around
    p = np.broadcast_to(start, (*rates.shape, seeds, 2)).copy()
    states = [rival.init(p[k]) for k, rival in enumerate(rivals)]
    lrs = rates[:, :, None, None]
    loss, g = problem(p)
    with np.errstate(all="ignore"):
        size = float(np.sqrt(np.mean(np.square(problem(np.array(problem.start))[1]))))
        highest = ceiling(loss, problem.target)
    above = np.full(loss.shape, -1.0)  # the last step after which the loss was not at the target
    taken = 0
    times = moments_of(steps, moments)
    wanted = set(times.tolist())
    losses, paths = [], []
    for t in range(steps + 1):
        if t in wanted:
            losses.append(loss)
            paths.append(p[:, :, 0].copy())
        above[~(loss <= problem.target)] = t
        if t == steps:
            break
        taken += int(np.count_nonzero(np.isfinite(loss)))
        with np.errstate(all="ignore"):
            if noise.kind != "none":
                g = noise(g, size, *draws.step())
            for k, rival in enumerate(rivals):
                p[k], states[k] = rival.step(p[k], g[k], states[k], lrs[k] * shape(t), t + 1)
        if watch is not None:
            watch(g, states)
        loss, g = problem(p)
        if progress is not None and (t + 1) % _EVERY == 0:
            progress(p[..., 0].size * (t + 1))
    with np.errstate(invalid="ignore"):
        diverged = ~(np.isfinite(loss) & (loss <= highest) & np.isfinite(p).all(axis=-1))
    arrived = np.where(diverged | (above == steps), np.inf, above + 1)
    return Outcome(arrived, loss, diverged, taken, times, np.array(losses), np.array(paths))


def moments_of(steps: int, moments: int) -> NDArray[np.int64]:
    """Return which steps to take down: all where they are few, else some evenly spread and the more of the early ones.

    Example:
        >>> moments_of(4, 10).tolist()
        [0, 1, 2, 3, 4]
        >>> len(moments_of(100_000, 1000)) <= 1000
        True
    """
    if not moments:
        return np.empty(0, np.int64)
    if steps < moments:
        return np.arange(steps + 1)
    half = moments // 2
    chosen = [np.linspace(0, steps, half), np.geomspace(1, steps, moments - half)]
    return np.unique(np.concatenate(chosen).round().astype(np.int64))

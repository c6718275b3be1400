"""A race on a workload: every rival trains the same models from the same starts on the same batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rmsprop.race.judge import ceiling
from rmsprop.race.rivals import Rival
from rmsprop.race.search import Runs, check, choose
from rmsprop.race.standing import Contest, Standing, ranked
from rmsprop.race.tournament import CHOOSING, RACING, Progress, Settings
from rmsprop.race.workloads.optimizers import optimizer_for
from rmsprop.race.workloads.probe import Probe, Seen
from rmsprop.race.workloads.task import Workload, seeded

Array = NDArray[np.float64]

# How often a run is measured.
_MOMENTS = 25


@dataclass(frozen=True, kw_only=True)
class Student(Standing):
    """How one rival did on a workload.

    Attributes:
        metrics: (moments, seeds) the workload's metric on the way.
        rates: (moments - 1, seeds) effective learning rates between the moments, as `Seen` has them.
        slopes: (moments - 1, seeds) how steps go with gradients, as `Seen` has them.
        norms: (moments - 1, seeds) medians of the gradient's norm.
        peaks: (moments - 1, seeds) its maxima.
    """

    metrics: Array
    rates: Array
    slopes: Array
    norms: Array
    peaks: Array

    def best(self, *, higher: bool) -> Array:
        """Return the (seeds,) best metrics on the way; NaN where there was none.

        Args:
            higher: whether more is better.
        """
        worst = -np.inf if higher else np.inf
        ends = np.where(np.isnan(self.metrics), worst, self.metrics)
        found = ends.max(axis=0) if higher else ends.min(axis=0)
        return np.where(np.isfinite(found), found, np.nan)


class Lesson(Contest[Workload, Student]):
    """A race on a workload."""


@dataclass(frozen=True)
class _Run:
    """One run: what it came to at each moment, NaN after it broke."""

    losses: Array
    metrics: Array
    seen: list[Seen]
    taken: int


def race(workload: Workload, rivals: Sequence[Rival], settings: Settings, progress: Progress | None = None) -> Lesson:
    """Run a race on a workload, with the rules of `rmsprop.race.race`.

    The loss is measured at some 25 moments, evenly spread: a run has arrived at the first from which on it stays at the target.
    Learning rates are chosen over other starts and batches than those that are raced over.

    Args:
        workload: what is trained.
        rivals: who runs.
        settings: how; noise is that of the batches, and cannot be added to.
        progress: called with steps taken, steps in all, and what they are for.

    Raises:
        UsageError: the rivals cannot race.
        MissingExtraError: a library that the workload needs is not installed.
    """
    check(rivals, settings.lr)
    times = np.unique(np.linspace(0, settings.steps, _MOMENTS + 1).round().astype(np.int64))

    def runs(some: Sequence[Rival], rates: Array, seeds: Sequence[int], what: str, watch: bool) -> tuple[Runs, list[list[_Run]]]:
        """Run each rival with its (rivals, rates) rates and each seed; the runs are by rival, then by rate and seed."""
        total, done = rates.size * len(seeds) * settings.steps, 0

        def told(steps: int) -> None:
            if progress is not None:
                progress(done + steps, total, what)

        found: list[list[_Run]] = [[] for _ in some]
        for k, rival in enumerate(some):
            for lr in rates[k]:
                for seed in seeds:
                    found[k].append(_run(workload, rival, float(lr), seed, settings, times, watch, told))
                    done += settings.steps
                    told(0)
        losses = np.array([[run.losses for run in row] for row in found]).reshape(*rates.shape, len(seeds), -1)
        return _judged(losses, times, workload.target, sum(run.taken for row in found for run in row)), found

    def attempt(some: Sequence[Rival], grid: Array) -> Runs:
        seeds = _seeds(settings.seed, min(workload.judges, settings.seeds), choosing=True)
        return runs(some, np.broadcast_to(grid, (len(some), len(grid))), seeds, CHOOSING, False)[0]

    found = choose(rivals, settings.lr, settings.budget, attempt, workload.ends)
    rates = np.array([[choice.lr] for choice in found.choices])
    outcome, trained = runs(rivals, rates, _seeds(settings.seed, settings.seeds, choosing=False), RACING, True)
    students = []
    for k, (rival, choice) in enumerate(zip(rivals, found.choices, strict=True)):
        seen = np.array([run.seen for run in trained[k]])
        student = Student(
            **vars(choice),
            rival=rival,
            steps=outcome.steps[k, 0],
            final=outcome.final[k, 0],
            diverged=outcome.diverged[k, 0],
            losses=np.array([run.losses for run in trained[k]]).T,
            metrics=np.array([run.metrics for run in trained[k]]).T,
            rates=seen[..., 0].T,
            slopes=seen[..., 1].T,
            norms=seen[..., 2].T,
            peaks=seen[..., 3].T,
        )
        students.append(student)
    return Lesson(workload, settings, ranked(students), times, found.taken + outcome.taken, found.extended)


def _seeds(first: int, count: int, *, choosing: bool) -> list[int]:
    """Return seeds of starts and batches: those that rates are chosen by are no others' in any race."""
    return [(2 * (first + k) + choosing) % 2**32 for k in range(count)]


def _run(
    workload: Workload,
    rival: Rival,
    lr: float,
    seed: int,
    settings: Settings,
    times: NDArray[np.int64],
    watch: bool,
    told: Callable[[int], None],
) -> _Run:
    """Train one model, until it has gone all its steps or is broken."""
    losses, metrics = np.full((2, len(times)), np.nan)
    nothing = Seen(np.nan, np.nan, np.nan, np.nan)
    seen = [nothing] * (len(times) - 1)
    shape = settings.shape
    with seeded(seed), np.errstate(all="ignore"):
        training = workload.begin(seed, lambda params: optimizer_for(rival, params, lr))
        probe = Probe(training.optimizer, lambda step: lr * shape(step), watch)
        losses[0], metrics[0] = training.measure()
        for k, (before, time) in enumerate(pairwise(times)):
            training.advance(int(time - before))
            losses[k + 1], metrics[k + 1] = training.measure()
            if not np.isfinite(losses[k + 1]):
                break
            if watch:
                seen[k] = probe.read()
            told(int(time))
        return _Run(losses, metrics, seen, probe.count)


def _judged(losses: Array, times: NDArray[np.int64], target: float, taken: int) -> Runs:
    """Return what became of runs, from their (..., moments) losses."""
    with np.errstate(invalid="ignore"):
        above = ~(losses <= target)
        # By its first loss, but where that was at the target by luck: an agent may be good before it has learnt anything.
        diverged = ~(losses[..., -1] <= ceiling(np.maximum(losses[..., 0], 2 * target), target))
    # The first moment from which on the loss is at the target: the one after the last at which it was not.
    last = np.where(above.any(axis=-1), len(times) - 1 - np.argmax(above[..., ::-1], axis=-1), -1)
    arrived = (last < len(times) - 1) & ~diverged
    steps = np.where(arrived, times[np.minimum(last + 1, len(times) - 1)], np.inf)
    return Runs(steps, losses[..., -1], diverged, taken)

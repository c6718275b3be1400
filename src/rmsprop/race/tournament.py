"""A fair race: every rival chooses its learning rate with the same budget, then all of them run from the same fresh seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rmsprop.errors import UsageError
from rmsprop.race.noise import Draws, Noise
from rmsprop.race.play import Outcome, play
from rmsprop.race.problem import Problem
from rmsprop.race.rivals import Rival
from rmsprop.race.search import check, choose
from rmsprop.race.standing import Contest, Standing, ranked
from rmsprop.schedules import schedule

Array = NDArray[np.float64]
Progress = Callable[[int, int, str], None]

#: Seeds that a learning rate is judged by; the race itself has others.
JUDGES = 5
#: What steps are taken for, as the progress says it.
CHOOSING, RACING = "steps, choosing learning rates", "steps, racing"
# Moments of the race that are taken down for the pictures.
_MOMENTS = 2_000
_CHOOSING, _RACING = 1, 0
_LIMITS = {"steps": (1, 1_000_000), "seeds": (1, 1_000), "budget": (2, 200), "seed": (0, 2**32)}


@dataclass(frozen=True)
class Settings:
    """How a race goes.

    Args:
        steps: of each run, from 1 to 1,000,000.
        seeds: runs of each rival, from 1 to 1,000: the first from the start itself, the others from around it.
        budget: learning rates that each rival tries, from 2 to 200.
        lr: learning rates that are not chosen but given, by the rival's name; that of "" is for all others.
        noise: on the gradients.
        schedule: of the learning rate over a run, a name of `rmsprop.schedules.schedule_names()`; the same for all rivals.
        seed: the first of the seeds, ≥ 0.

    Raises:
        UsageError: a value is out of range.
    """

    steps: int = 2_000
    seeds: int = 11
    budget: int = 25
    lr: Mapping[str, float] = field(default_factory=dict)
    noise: Noise = field(default_factory=Noise)
    schedule: str = "constant"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise UsageError(f"{name} must be a whole number from {low:,} to {high:,}, got {value!r}")
        for name, lr in self.lr.items():
            if not (math.isfinite(lr) and lr > 0):
                raise UsageError(f"lr{f' of {name}' if name else ''} must be a number above 0, got {lr!r}")
        try:
            schedule(self.schedule, 1.0, self.steps)
        except ValueError as error:
            raise UsageError(str(error)) from None

    @property
    def shape(self) -> Callable[[int], float]:
        """The schedule: what is left of the learning rate after so many steps."""
        return schedule(self.schedule, 1.0, self.steps)


@dataclass(frozen=True, kw_only=True)
class Entry(Standing):
    """How one rival did on a landscape.

    Attributes:
        path: (moments, 2) parameters of the first seed on the way.
    """

    path: Array


class Race(Contest[Problem, Entry]):
    """A race on a landscape."""


def race(problem: Problem, rivals: Sequence[Rival], settings: Settings, progress: Progress | None = None) -> Race:
    """Run a race.

    Runs are judged by the median of their steps to the target, and where none or equally many were needed, by the median of their
    final losses. A learning rate is chosen over five seeds by the median of its own steps and those of the next rates on the grid,
    then by its own runs; the rivals are ranked by their own runs over seeds whose noise the choice has not seen.

    Args:
        problem: the landscape.
        rivals: who runs, with a name each.
        settings: how.
        progress: called with steps taken, steps in all, and what they are for, now and then.

    Raises:
        UsageError: a name is there twice, or none is, or a learning rate is given for a rival that does not run.

    Example:
        >>> from rmsprop.race.landscapes import landscape
        >>> from rmsprop.race.rivals import rival
        >>> rivals = [rival("sgd"), rival("rmsprop")]
        >>> done = race(landscape("rosenbrock"), rivals, Settings(seeds=3))
        >>> done.entries[0].rival.name
        'rmsprop'
    """
    check(rivals, settings.lr)

    def attempt(some: Sequence[Rival], grid: Array) -> Outcome:
        judges = min(JUDGES, settings.seeds)
        draws = Draws(range(settings.seed, settings.seed + judges), _CHOOSING)
        rates = np.broadcast_to(grid, (len(some), len(grid)))
        told = _told(progress, rates.size * judges * settings.steps, CHOOSING)
        return play(problem, some, rates, draws, settings.noise, settings.steps, shape=settings.shape, progress=told)

    found = choose(rivals, settings.lr, settings.budget, attempt)
    outcome = play(
        problem,
        rivals,
        np.array([[choice.lr] for choice in found.choices], dtype=np.float64),
        Draws(range(settings.seed, settings.seed + settings.seeds), _RACING),
        settings.noise,
        settings.steps,
        shape=settings.shape,
        moments=_MOMENTS,
        progress=_told(progress, len(rivals) * settings.seeds * settings.steps, RACING),
    )
    entries = [
        Entry(
            **vars(choice),
            rival=rival,
            steps=outcome.steps[k, 0],
            final=outcome.final[k, 0],
            diverged=outcome.diverged[k, 0],
            losses=outcome.losses[:, k, 0],
            path=outcome.paths[:, k, 0],
        )
        for k, (rival, choice) in enumerate(zip(rivals, found.choices, strict=True))
    ]
    return Race(problem, settings, ranked(entries), outcome.times, found.taken + outcome.taken, found.extended)


def _told(progress: Progress | None, total: int, what: str) -> Callable[[int], None] | None:
    return None if progress is None else lambda done: progress(done, total, what)

"""A fair race: every rival chooses its learning rate with the same budget, then all of them run from the same fresh seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rmsprop.errors import UsageError
from rmsprop.expression.hints import listed, near
from rmsprop.race.judge import best_of, score
from rmsprop.race.noise import Draws, Noise
from rmsprop.race.play import Outcome, play
from rmsprop.race.problem import Problem
from rmsprop.race.rivals import Rival
from rmsprop.schedules import schedule

Array = NDArray[np.float64]
Progress = Callable[[int, int, str], None]

#: The first grid of learning rates, by the powers of ten at its ends.
GRID = (-5.0, 1.0)
# A choice at an end of the grid makes it so many powers of ten longer there, for all rivals alike, at most so often.
_LONGER, _EXTENSIONS = 2.0, 3
# Seeds that a learning rate is judged by; the race itself has others.
_JUDGES = 5
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


@dataclass(frozen=True)
class Entry:
    """How one rival did.

    Attributes:
        rival: who.
        lr: its learning rate.
        edge: "lowest" or "highest" where that is an end of the grid, "" where it is not, None where it was given.
        tried: learning rates that it tried, in rising order.
        tried_steps: for each, the median of the steps to the target; inf where most runs did not arrive.
        tried_final: for each, the median of the final losses; inf where most runs diverged.
        steps: (seeds,) steps until the loss was at the target for good; inf where a run did not arrive.
        final: (seeds,) losses after the last step.
        diverged: (seeds,) whether a run did.
        losses: (moments, seeds) losses on the way.
        path: (moments, 2) parameters of the first seed on the way.
    """

    rival: Rival
    lr: float
    edge: str | None
    tried: Array
    tried_steps: Array
    tried_final: Array
    steps: Array
    final: Array
    diverged: NDArray[np.bool_]
    losses: Array
    path: Array

    @property
    def arrived(self) -> int:
        """How many runs arrived."""
        return int(np.isfinite(self.steps).sum())


@dataclass(frozen=True)
class Race:
    """A race that was run.

    Attributes:
        problem: the landscape.
        settings: how it went.
        entries: the rivals, the best first.
        times: (moments,) steps after which losses and paths were taken down.
        taken: steps taken in all, those for choosing learning rates too.
        extended: how often the grid was made longer.
    """

    problem: Problem
    settings: Settings
    entries: tuple[Entry, ...]
    times: NDArray[np.int64]
    taken: int
    extended: int


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
    _check(rivals, settings)
    choosing = [rival for rival in rivals if _given(rival, settings) is None]
    search = _Search(problem, choosing, settings, progress)
    chosen = {rival.name: search.choice(k) for k, rival in enumerate(choosing)}
    rates = np.array([[_given(rival, settings) or chosen[rival.name][0]] for rival in rivals], dtype=np.float64)
    draws = Draws(range(settings.seed, settings.seed + settings.seeds), _RACING)
    total = len(rivals) * settings.seeds * settings.steps
    outcome = play(
        problem,
        rivals,
        rates,
        draws,
        settings.noise,
        settings.steps,
        shape=settings.shape,
        moments=_MOMENTS,
        progress=_told(progress, total, "steps, racing"),
    )
    entries = [_entry(k, rival, rates, outcome, search, chosen.get(rival.name)) for k, rival in enumerate(rivals)]
    entries.sort(key=lambda entry: (score(entry.steps, entry.final, entry.diverged), entry.rival.name))
    return Race(problem, settings, tuple(entries), outcome.times, search.taken + outcome.taken, search.extended)


class _Search:
    """The choice of learning rates: one grid for all, made longer for all where the choice of one is at its end."""

    def __init__(self, problem: Problem, rivals: Sequence[Rival], settings: Settings, progress: Progress | None) -> None:
        self.taken = self.extended = 0
        self.grid = np.empty(0)
        self.scores: list[list[tuple[float, float]]] = [[] for _ in rivals]
        if not rivals:
            return
        low, high = GRID
        density = (settings.budget - 1) / (high - low)
        added = np.linspace(low, high, settings.budget)
        more = max(1, round(_LONGER * density))
        below = False
        while True:
            outcome = self._try(problem, rivals, settings, 10.0**added, progress)
            self.taken += outcome.taken
            self.grid = np.concatenate([added, self.grid] if below else [self.grid, added])
            for k, scores in enumerate(self.scores):
                new = [score(*(part[k, j] for part in (outcome.steps, outcome.final, outcome.diverged))) for j in range(len(added))]
                scores[:] = [*new, *scores] if below else [*scores, *new]
            best = {best_of(scores) for scores in self.scores}
            at_end, at_start = len(self.grid) - 1 in best, 0 in best
            if self.extended == _EXTENSIONS or not (at_end or at_start):
                break
            self.extended += 1
            below = at_start and not (at_end and self.extended % 2)
            added = self.grid[0] - np.arange(more, 0, -1) / density if below else self.grid[-1] + np.arange(1, more + 1) / density

    def _try(
        self, problem: Problem, rivals: Sequence[Rival], settings: Settings, grid: Array, progress: Progress | None
    ) -> Outcome:
        judges = min(_JUDGES, settings.seeds)
        draws = Draws(range(settings.seed, settings.seed + judges), _CHOOSING)
        rates = np.broadcast_to(grid, (len(rivals), len(grid)))
        total = rates.size * judges * settings.steps
        told = _told(progress, total, "steps, choosing learning rates")
        return play(problem, rivals, rates, draws, settings.noise, settings.steps, shape=settings.shape, progress=told)

    def choice(self, k: int) -> tuple[float, str, int]:
        """Return a rival's learning rate, at which end of the grid that is, and its place among the rivals that choose."""
        best = best_of(self.scores[k])
        edge = "lowest" if best == 0 else "highest" if best == len(self.grid) - 1 else ""
        return float(10.0 ** self.grid[best]), edge, k


def _check(rivals: Sequence[Rival], settings: Settings) -> None:
    names = [rival.name for rival in rivals]
    if not names:
        raise UsageError("a race needs an optimizer; name some, such as rmsprop,adam")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"{twice} is there twice; name each optimizer once")
    for name in settings.lr:
        if name and name not in names:
            raise UsageError(f"lr is given for {name!r}, which does not run; the optimizers are {listed(names)}{near(name, names)}")


def _given(rival: Rival, settings: Settings) -> float | None:
    return settings.lr.get(rival.name, settings.lr.get(""))


def _entry(k: int, rival: Rival, rates: Array, outcome: Outcome, search: _Search, chosen: tuple[float, str, int] | None) -> Entry:
    scores = np.array(search.scores[chosen[2]] if chosen else np.empty((0, 2)))
    return Entry(
        rival=rival,
        lr=float(rates[k, 0]),
        edge=chosen[1] if chosen else None,
        tried=10.0**search.grid if chosen else np.empty(0),
        tried_steps=scores[:, 0],
        tried_final=scores[:, 1],
        steps=outcome.steps[k, 0],
        final=outcome.final[k, 0],
        diverged=outcome.diverged[k, 0],
        losses=outcome.losses[:, k, 0],
        path=outcome.paths[:, k, 0],
    )


def _told(progress: Progress | None, total: int, what: str) -> Callable[[int], None] | None:
    return None if progress is None else lambda done: progress(done, total, what)

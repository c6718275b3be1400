"""The choice of learning rates: one grid for all, made longer for all where the choice of one is at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmsprop.errors import UsageError
from rmsprop.expression.hints import listed, near
from rmsprop.race.judge import best_of, score
from rmsprop.race.rivals import Rival

Array = NDArray[np.float64]

#: The first grid of learning rates, by the powers of ten at its ends.
GRID = (-5.0, 1.0)
# A choice at an end of the grid makes it so many powers of ten longer there, for all rivals alike, at most so often.
_LONGER, _EXTENSIONS = 2.0, 3


@dataclass(frozen=True)
class Runs:
    """What became of (rivals, rates, seeds) runs.

    Attributes:
        steps: (rivals, rates, seeds) steps until the loss was at the target for good; inf where it was not there at the end.
        final: losses after the last step.
        diverged: whether a run left the finite numbers, or ended far above its start.
        taken: steps taken by all runs together, those after a run left the finite numbers not counted.
    """

    steps: Array
    final: Array
    diverged: NDArray[np.bool_]
    taken: int


@dataclass(frozen=True)
class Choice:
    """A rival's learning rate.

    Attributes:
        lr: the rate.
        edge: "lowest" or "highest" where that is an end of the grid, "" where it is not, None where it was given.
        tried: learning rates that it tried, in rising order.
        tried_steps: for each, the median of the steps to the target; inf where most runs did not arrive.
        tried_final: for each, the median of the final losses; inf where most runs diverged.
    """

    lr: float
    edge: str | None
    tried: Array
    tried_steps: Array
    tried_final: Array


@dataclass(frozen=True)
class Choices:
    """Those of all rivals.

    Attributes:
        choices: in the order of the rivals.
        taken: steps that the choice took.
        extended: how often the grid was made longer.
    """

    choices: tuple[Choice, ...]
    taken: int
    extended: int


def check(rivals: Sequence[Rival], lr: Mapping[str, float]) -> None:
    """Refuse rivals that cannot race.

    Args:
        rivals: who runs.
        lr: learning rates by name; that of "" is for all others.

    Raises:
        UsageError: none runs, a name is there twice, or a rate is given for one that does not run.
    """
    names = [rival.name for rival in rivals]
    if not names:
        raise UsageError("a race needs an optimizer; name some, such as rmsprop,adam")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"{twice} is there twice; name each optimizer once")
    for name in lr:
        if name and name not in names:
            raise UsageError(f"lr is given for {name!r}, which does not run; the optimizers are {listed(names)}{near(name, names)}")


def choose(
    rivals: Sequence[Rival],
    lr: Mapping[str, float],
    budget: int,
    attempt: Callable[[Sequence[Rival], Array], Runs],
    ends: tuple[float, float] = GRID,
) -> Choices:
    """Return each rival's learning rate: the one that is given, or else the best of a grid, over which all have the same tries.

    Args:
        rivals: who runs.
        lr: given rates by name; that of "" is for all others.
        budget: rates of the first grid.
        attempt: from some rivals and a (rates,) grid, the runs of each of them at each rate.
        ends: of the first grid, powers of ten.

    Example:
        >>> from rmsprop.race.rivals import rival
        >>> def attempt(rivals, rates):
        ...     steps = np.where(rates < 1, 3 / rates, np.inf)[None, :, None]
        ...     return Runs(steps, 1 / steps, np.isinf(steps), 0)
        >>> choose([rival("sgd")], {}, 7, attempt, (-3.0, 3.0)).choices[0].lr
        0.1
    """
    searching = [rival for rival in rivals if lr.get(rival.name, lr.get("")) is None]
    grid, scores, taken, extended = _searched(searching, budget, attempt, ends) if searching else (np.empty(0), [], 0, 0)
    found = dict(zip((rival.name for rival in searching), scores, strict=True))
    choices = []
    for rival in rivals:
        given = lr.get(rival.name, lr.get(""))
        if given is not None:
            choices.append(Choice(float(given), None, np.empty(0), np.empty(0), np.empty(0)))
            continue
        tried = found[rival.name]
        best = best_of(tried)
        edge = "lowest" if best == 0 else "highest" if best == len(grid) - 1 else ""
        steps, final = np.array(tried).T
        choices.append(Choice(float(10.0 ** grid[best]), edge, 10.0**grid, steps, final))
    return Choices(tuple(choices), taken, extended)


def _searched(
    rivals: Sequence[Rival], budget: int, attempt: Callable[[Sequence[Rival], Array], Runs], ends: tuple[float, float]
) -> tuple[Array, list[list[tuple[float, float]]], int, int]:
    """Return the grid by its powers of ten, every rival's scores on it, the steps taken, and how often it was made longer."""
    taken = extended = 0
    grid = np.empty(0)
    scores: list[list[tuple[float, float]]] = [[] for _ in rivals]
    low, high = ends
    density = (budget - 1) / (high - low)
    added = np.linspace(low, high, budget)
    more = max(1, round(_LONGER * density))
    below = False
    while True:
        runs = attempt(rivals, 10.0**added)
        taken += runs.taken
        grid = np.concatenate([added, grid] if below else [grid, added])
        for k, known in enumerate(scores):
            new = [score(runs.steps[k, j], runs.final[k, j], runs.diverged[k, j]) for j in range(len(added))]
            known[:] = [*new, *known] if below else [*known, *new]
        best = {best_of(known) for known in scores}
        at_end, at_start = len(grid) - 1 in best, 0 in best
        if extended == _EXTENSIONS or not (at_end or at_start):
            return grid, scores, taken, extended
        extended += 1
        below = at_start and not (at_end and extended % 2)
        added = grid[0] - np.arange(more, 0, -1) / density if below else grid[-1] + np.arange(1, more + 1) / density

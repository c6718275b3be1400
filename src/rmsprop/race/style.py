"""What the pictures of a race share: colours, marks, heights, and which moments are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rmsprop.race.judge import quartiles
from rmsprop.race.problem import Problem
from rmsprop.race.standing import Contest, Goal, Standing
from rmsprop.race.tournament import Race

Array = NDArray[np.float64]

#: Points of the grid along each side of a landscape.
GRID = 241
#: Of a landscape, from its lowest places up: pale, so that the ways stand out.
LAND = ("#7d858c", "#b3b9be", "#d8dbdd", "#ebedee", "#f7f7f7")
# In windows, how far a line may lead out of the picture.
_FAR = 100.0


class Look(NamedTuple):
    """How a rival is drawn; no two of a race have the same mark, so that colours alone tell nothing apart."""

    color: str
    marker: str  # as matplotlib calls it
    symbol: str  # as Plotly calls it
    width: float = 1.6
    dash: str = "solid"  # as Plotly calls it


#: Of a line, from Plotly's name to matplotlib's.
DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}

# Okabe and Ito's colours, which people who see few colours tell apart too: https://jfly.uni-koeln.de/color/.
_LOOKS = {
    "rmsprop": Look("#d55e00", "o", "circle", 2.4),
    "adam": Look("#0072b2", "s", "square"),
    "sgd": Look("#444444", "x", "x"),
    "momentum": Look("#009e73", "^", "triangle-up"),
    "nesterov": Look("#56b4e9", "v", "triangle-down"),
    "adagrad": Look("#cc79a7", "D", "diamond"),
    "adadelta": Look("#e69f00", "P", "cross"),
}
# Of further dialects, in part Tol's muted colours, https://sronpersonalpages.nl/~pault/; dashed, as dialects often go the same way.
_MORE = (
    Look("#332288", "*", "star", 2.0, "dash"),
    Look("#882255", "p", "pentagon", 2.0, "dot"),
    Look("#117733", "h", "hexagon", 2.0, "dashdot"),
    Look("#000000", "8", "octagon", 2.0, "dot"),
    Look("#999933", "<", "triangle-left", 2.0, "dash"),
    Look("#661100", ">", "triangle-right", 2.0, "dashdot"),
    Look("#44aa99", "d", "diamond-tall", 2.0, "dot"),
)
#: The same colours where the ground is dark: those that would be lost on it are lighter there.
ON_DARK = {
    "#0072b2": "#6f9bff",
    "#444444": "#b5bcc4",
    "#009e73": "#1fbf90",
    "#332288": "#8f7ff0",
    "#882255": "#e0567f",
    "#117733": "#4fb36f",
    "#000000": "#ffffff",
    "#661100": "#c96a4f",
}


def looks(entries: Sequence[Standing]) -> dict[str, Look]:
    """Return how each rival is drawn: the same in every race, but for dialects beyond the first few.

    Args:
        entries: the rivals.
    """
    found: dict[str, Look] = {}
    dialects = sorted(entry.rival.name for entry in entries if entry.rival.name not in _LOOKS)
    free = [*([_LOOKS["rmsprop"]] if all(entry.rival.name != "rmsprop" for entry in entries) else []), *_MORE]
    for entry in entries:
        name = entry.rival.name
        found[name] = _LOOKS[name] if name in _LOOKS else free[dialects.index(name) % len(free)]
    return found


def apart(optimizers: Sequence[str]) -> list[Look]:
    """Return how runs are drawn, no two alike: the first of each optimizer as in a race, and what comes again as further dialects.

    Args:
        optimizers: of each run, one of `rmsprop.race.rival_names()`; at most seven come again.

    Example:
        >>> [look.symbol for look in apart(["adam", "rmsprop", "adam"])]
        ['square', 'circle', 'star']
    """
    more = iter(_MORE)
    return [next(more) if name in optimizers[:k] else _LOOKS[name] for k, name in enumerate(optimizers)]


def unit(problem: Goal) -> float:
    """Return how far the target lies above the lowest loss: the height that counts."""
    return problem.target - problem.lowest if problem.target > problem.lowest else 1e-3 * (1 + abs(problem.lowest))


def height(problem: Goal, loss: Array) -> Array:
    """Return losses above the lowest, held to a thousandth of the target's height from below; NaN stays."""
    with np.errstate(invalid="ignore", over="ignore"):
        above: Array = np.maximum(loss - problem.lowest, 1e-3 * unit(problem))
    return above


def surface(problem: Problem) -> tuple[Array, Array, Array]:
    """Return a grid over the window and log10(1 + height / target's height) on it, NaN where the loss is not finite.

    Returns:
        (GRID,), (GRID,) and (GRID, GRID); the first parameter goes along the last axis.
    """
    left, right, bottom, top = problem.window
    x, y = np.linspace(left, right, GRID), np.linspace(bottom, top, GRID)
    return x, y, levels(problem, problem.loss(np.stack(np.meshgrid(x, y), axis=-1)))


def levels(problem: Problem, loss: Array) -> Array:
    """Return log10(1 + height / target's height) of losses, NaN where a loss is not finite."""
    with np.errstate(all="ignore"):
        found = np.log10(1 + np.maximum(loss - problem.lowest, 0) / unit(problem))
    return np.where(np.isfinite(found), found, np.nan)


def near(path: Array, problem: Problem) -> Array:
    """Return a path without what is so far off that no line to it could be drawn.

    Args:
        path: (moments, 2) points.
        problem: whose window to go by.

    Returns:
        The path, NaN in the place of points beyond a hundred windows.
    """
    left, right, bottom, top = problem.window
    middle, size = np.array([left + right, bottom + top]) / 2, np.array([right - left, top - bottom])
    with np.errstate(invalid="ignore"):
        return np.where((np.abs(path - middle) <= _FAR * size).all(axis=1, keepdims=True), path, np.nan)


def shown_moments(race: Race, most: int) -> NDArray[np.int64]:
    """Return places in `race.times` to show, the more of the early ones; what comes after the last arrival is cut short.

    Args:
        race: the race.
        most: how many, at most.
    """
    last = len(race.times) - 1
    arrivals = [quartiles(entry.steps)[1] for entry in race.entries]
    if arrivals and np.isfinite(arrivals).all():
        last = min(last, max(5, int(np.searchsorted(race.times, 1.3 * max(arrivals)))))
    chosen = np.concatenate([[0], np.geomspace(1, last, most - 1)]) if last else np.zeros(1)
    return np.unique(chosen.round().astype(np.int64))


def verdict(entry: Standing) -> str:
    """Return how a rival did, in a few words.

    Example:
        >>> from types import SimpleNamespace
        >>> verdict(SimpleNamespace(steps=np.array([3.0, 4.0, np.inf]), arrived=2, diverged=np.array([False, False, True])))
        '4 steps'
    """
    middle = quartiles(entry.steps)[1]
    if np.isfinite(middle):
        return f"{middle:,.0f} step{'s' * (middle != 1)}"
    if entry.arrived:
        return f"{entry.arrived} of {len(entry.steps)} arrived"
    return "diverged" if entry.diverged.all() else "did not arrive"


def headline(race: Contest[Any, Standing]) -> str:
    """Return who won, in a sentence."""
    first = race.entries[0]
    if all(entry.diverged.all() for entry in race.entries):
        return "all diverged"
    if not np.isfinite(quartiles(first.steps)[1]):
        return f"none arrived for good; {first.rival.name} got lowest"
    if len(race.entries) == 1:
        return f"{first.rival.name} arrives after {verdict(first)}"
    return f"{first.rival.name} is first, after {verdict(first)}"

"""A landscape as a value: a loss of two parameters with its gradient, where to start, and what to reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rmsprop.errors import UsageError

Array = NDArray[np.float64]
Point = tuple[float, float]
Function = Callable[[Array], tuple[Array, Array]]

# Of the way down from the start to the lowest loss, what may be left at the target.
_LEFT = 1e-3
# Starts of further seeds lie so far around the start, as a share of the window.
_SPREAD = 0.02


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A loss of two parameters, and how it is raced on.

    Args:
        name: what it is called.
        title: its formula.
        story: what it shows, in a sentence.
        names: of the two parameters.
        function: (..., 2) points → (...) losses and (..., 2) gradients; it never warns.
        start: where the runs begin.
        lowest: the lowest loss that is known.
        target: the loss that counts as arrived.
        window: what a picture shows: the first parameter's two ends, then the second's.
        minima: points of the lowest loss that are known.
        spread: standard deviations of the starts of further seeds around the start.
    """

    name: str
    title: str
    story: str
    names: tuple[str, str]
    function: Function
    start: Point
    lowest: float
    target: float
    window: tuple[float, float, float, float]
    minima: tuple[Point, ...] = ()
    spread: Point = (0.0, 0.0)

    def __call__(self, points: Array) -> tuple[Array, Array]:
        """Return losses and gradients.

        Args:
            points: (..., 2).
        """
        return self.function(points)

    def loss(self, points: Array) -> Array:
        """Return the (...) losses at (..., 2) points."""
        return self.function(points)[0]

    def at(self, start: Point) -> Problem:
        """Return the same landscape with another start, the window widened to show it."""
        return replace(self, start=start, window=_around(self.window, [start]))

    def starting(self, start: Point | None = None, target: float | None = None) -> Problem:
        """Return the same landscape with another start or target, checked.

        Raises:
            UsageError: the target is not finite; or at the start the loss or its gradient is not, the gradient is 0, or the loss
                is at the target.
        """
        if target is not None and not np.isfinite(target):
            raise UsageError(f"target must be a finite loss, got {target!r}")
        changed = replace(self if start is None else self.at(start), target=self.target if target is None else target)
        loss, gradient = changed(np.array(changed.start, dtype=np.float64))
        why = None
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            why = f"the loss is {loss:g} and its gradient ({gradient[0]:g}, {gradient[1]:g})"
        elif not gradient.any():
            why = "the gradient is 0, so that nothing would move"
        elif loss <= changed.target:
            why = f"the loss {loss:g} is at the target {changed.target:g} already"
        if why is not None:
            where = ", ".join(f"{name} = {value:g}" for name, value in zip(self.names, changed.start, strict=True))
            raise UsageError(f"at the start {where} {why}; give another --start")
        return changed


def problem(
    name: str,
    title: str,
    story: str,
    names: tuple[str, str],
    function: Function,
    start: Point,
    window: tuple[float, float, float, float],
    *,
    minima: Sequence[Point] = (),
    lowest: float | None = None,
    spread: Point | None = None,
) -> Problem:
    """Return a landscape, its target 99.9 % of the way down from the start to the lowest loss.

    Args:
        name: as for `Problem`, as are the others.
        title: formula.
        story: sentence.
        names: of the parameters.
        function: loss and gradient.
        start: where to begin.
        window: what to show.
        minima: points of the lowest loss.
        lowest: the lowest loss; by default that at the first of minima.
        spread: of the starts; by default 2 % of the window.
    """
    if lowest is None:
        lowest = float(function(np.array(minima[0], dtype=np.float64))[0])
    first = float(function(np.array(start, dtype=np.float64))[0])
    left, right, bottom, top = window
    return Problem(
        name=name,
        title=title,
        story=story,
        names=names,
        function=function,
        start=start,
        lowest=lowest,
        target=lowest + _LEFT * (first - lowest),
        window=_around(window, [start]),
        minima=tuple(minima),
        spread=spread or (_SPREAD * (right - left), _SPREAD * (top - bottom)),
    )


def _around(window: tuple[float, float, float, float], points: Sequence[Point]) -> tuple[float, float, float, float]:
    """Return a window widened so that points are well inside it."""
    left, right, bottom, top = window
    for x, y in points:
        across, up = 0.05 * (right - left), 0.05 * (top - bottom)
        left, right, bottom, top = min(left, x - across), max(right, x + across), min(bottom, y - up), max(top, y + up)
    return left, right, bottom, top

"""The lowest loss of a landscape that nothing is known of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rmsprop.errors import missing_extra
from rmsprop.race.problem import Function, Point

Array = NDArray[np.float64]

# Points of the grid along each side, and how many of its best begin a search.
_GRID, _BEST = 101, 6
# In units of the window's sides: a search that ends farther off has run down a slope without end.
_FAR = 20.0


def lowest(function: Function, window: tuple[float, float, float, float], also: Sequence[Point]) -> tuple[float, Point]:
    """Return the lowest loss that is found, and where: a grid over the window, its best points polished by SciPy's BFGS.

    Args:
        function: loss and gradient.
        window: where to look.
        also: further points to begin from, those outside of the window too.

    Raises:
        MissingExtraError: SciPy is not installed.

    Example:
        >>> def bowl(points):
        ...     return (points**2).sum(axis=-1), 2 * points
        >>> lowest(bowl, (-1.0, 2.0, -1.0, 2.0), [])[0] < 1e-12
        True
    """
    try:
        from scipy.optimize import minimize
    except ImportError:
        raise missing_extra("SciPy", "'rmsprop[race]'") from None
    left, right, bottom, top = window
    x, y = np.meshgrid(np.linspace(left, right, _GRID), np.linspace(bottom, top, _GRID))
    grid = np.stack([x.ravel(), y.ravel()], axis=-1)
    losses = function(grid)[0]
    order = np.argsort(np.where(np.isfinite(losses), losses, np.inf), kind="stable")[:_BEST]
    points = np.vstack([grid[order], *(np.array([point], dtype=np.float64) for point in also)])
    middle, size = np.array([left + right, bottom + top]) / 2, np.array([right - left, top - bottom])

    def safe(p: Array) -> tuple[float, Array]:
        loss, gradient = function(p)
        # Far from finite numbers, a point only has to look bad, so that the step is shortened.
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            return 1e300, np.zeros(2)
        return float(loss), gradient

    for point in points.copy():
        with np.errstate(all="ignore"):
            end = np.asarray(minimize(safe, point, jac=True, method="BFGS", options={"gtol": 1e-10}).x, dtype=np.float64)
        if np.isfinite(end).all() and (np.abs(end - middle) <= _FAR * size).all():
            points = np.vstack([points, end])
    losses = function(points)[0]
    best = int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))
    return float(losses[best]), (float(points[best, 0]), float(points[best, 1]))

"""How runs are judged: by medians, so that one lucky or unlucky run decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# A run that ends so many times the way to the target above its start has diverged.
_ROSE = 9.0


def quartiles(values: Array) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile, each a value of its own; NaN counts as the worst.

    Example:
        >>> quartiles(np.array([4.0, np.inf, 1.0, 2.0, 3.0]))
        (2.0, 3.0, 4.0)
    """
    ordered = np.where(np.isnan(values), np.inf, values)
    low, middle, high = np.quantile(ordered, [0.25, 0.5, 0.75], method="inverted_cdf")
    return float(low), float(middle), float(high)


def score(steps: Array, final: Array, diverged: NDArray[np.bool_]) -> tuple[float, float]:
    """Return what runs are judged by: the median of their steps to the target, then that of their final losses; less is better.

    Args:
        steps: (runs,) steps; inf where a run did not arrive.
        final: (runs,) losses.
        diverged: (runs,) whether a run did.

    Example:
        >>> score(np.array([3.0, 5.0, 4.0]), np.array([0.1, 0.2, 0.3]), np.array([False, False, True]))
        (4.0, 0.2)
    """
    return quartiles(steps)[1], quartiles(np.where(diverged, np.inf, final))[1]


def best_of(scores: Sequence[tuple[float, float]]) -> int:
    """Return the place of the best rate: by the median of its steps and its neighbours', so that no stroke of luck is chosen.

    Args:
        scores: steps to the target and final loss of each rate, in the order of the rates.

    Returns:
        Its place; of equals by their own steps, then their own final loss, then the lower rate.

    Example:
        >>> best_of([(np.inf, 9.0), (5.0, 0.0), (np.inf, 8.0), (30.0, 0.0), (20.0, 0.0), (25.0, 0.0)])
        4
    """

    def key(place: int) -> tuple[float, tuple[float, float], int]:
        among = sorted(steps for steps, _ in scores[max(place - 1, 0) : place + 2])
        return among[len(among) // 2], scores[place], place

    return min(range(len(scores)), key=key)


def ceiling(first: Array, target: float) -> Array:
    """Return the losses above which runs that began with some losses have diverged.

    Example:
        >>> ceiling(np.array([3.0, 0.5]), 1.0)
        array([21. ,  0.5])
    """
    above: Array = first + _ROSE * np.maximum(first - target, 0)
    return above

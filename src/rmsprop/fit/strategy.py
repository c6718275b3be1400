"""From where to polish, by which way, and which of the answers to keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rmsprop.expression.evaluate import Evaluator
from rmsprop.fit.polish import EVALUATIONS, Polished, cost, polish
from rmsprop.fit.projection import Projection

Array = NDArray[np.float64]

# Below this many numbers in J, polishing is so cheap that both the run's end and the start are polished, and the better is taken.
_CHEAP = 500_000
# Below this many, other starts are tried too where the data's own choice is in doubt.
_VERY_CHEAP = 50_000
# Ways that are only tried where others failed, or may have missed a lower valley, get fewer evaluations for each parameter.
_FEWER = 40
# Of other starts, those tried although polishing converged.
_GUESSES = 4


def best_polish(
    evaluator: Evaluator, end: Array, start: Array, delta: float | None, others: Iterable[tuple[str, Array]], *, guessed: bool
) -> Polished:
    """Polish from the run's end or the start, whichever is better; from both where that is cheap; by other ways where that fails.

    Args:
        evaluator: the model on all rows.
        end: (p,) where RMSprop ended.
        start: (p,) where it began.
        delta: of Huber's loss; None for least squares.
        others: where else to begin: what to call it, and (p,) parameters. Read only as far as needed.
        guessed: whether the start was a guess, so that some of the others are tried in any case.
    """
    origins = [("the run's end", end), ("the start", start)]
    origins.sort(key=lambda origin: cost(evaluator.residuals(origin[1]), delta))
    numbers = evaluator.n * len(start)
    best: Polished | None = None
    for origin, point in origins:
        if best is None or not best.converged or numbers <= _CHEAP:
            best = _better(best, _from(evaluator, origin, point, delta))
    if delta is None:
        for origin, point in origins:
            if best is None or not best.converged:
                best = _better(best, _projected(evaluator, origin, point))
    if delta is None and numbers <= _VERY_CHEAP:
        for count, (origin, point) in enumerate(others):
            if best is not None and best.converged and not (guessed and count < _GUESSES):
                break
            best = _better(best, _from(evaluator, origin, point, None, _FEWER))
    assert best is not None
    return best


def _from(evaluator: Evaluator, origin: str, point: Array, delta: float | None, evaluations: int = EVALUATIONS) -> Polished | None:
    if not np.isfinite(evaluator.residuals(point)).all():
        return None
    return replace(polish(evaluator.residuals, evaluator.jacobian, point, delta, evaluations), origin=origin)


def _projected(evaluator: Evaluator, origin: str, point: Array) -> Polished | None:
    """Polish the non-linear parameters alone, and then all."""
    projection = Projection(evaluator, point)
    others = point[projection.others]
    if len(others) and np.isfinite(projection.residuals(others)).all():
        others = polish(projection.residuals, projection.jacobian, others, None, _FEWER).theta
    return _from(evaluator, f"{origin}, by variable projection", projection.solve(others), None, _FEWER)


def _better(best: Polished | None, got: Polished | None) -> Polished | None:
    if best is None or got is None:
        return got if best is None else best
    lower = got.cost < best.cost * (1 - 1e-9)
    return got if lower or (got.converged and not best.converged and got.cost <= best.cost) else best

"""Start values for parameters that are given none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rmsprop.fit.evaluate import Evaluator
from rmsprop.fit.model import Model

Array = NDArray[np.float64]

_TRIES = 200


def choose(model: Model, evaluator: Evaluator, columns: Mapping[str, Array], given: Mapping[str, float], seed: int) -> Array:
    """Return a start for every parameter: the given ones, and for the others the best of some tries.

    A model linear in all of them starts at 1, as least squares would leave nothing to do. Otherwise the non-linear ones are drawn
    from sizes that the columns suggest, the linear ones follow by least squares, and all are rounded to one digit.

    Args:
        model: the model.
        evaluator: the model on (a sample of) the rows.
        columns: the same rows.
        given: parameters with a value of their own.
        seed: of the draws.
    """
    free = [name for name in model.parameters if name not in given]
    ones = np.array([given.get(name, 1.0) for name in model.parameters], dtype=np.float64)
    linear = [name for name in free if name in model.linear]
    if not free or (len(linear) == len(model.parameters)):
        return ones
    where = {name: k for k, name in enumerate(model.parameters)}
    linear_at = [where[name] for name in linear]
    other_at = [where[name] for name in free if name not in linear]
    rng = np.random.default_rng(seed)
    sizes = _sizes(model, columns)
    best, lowest = ones, np.inf
    for attempt in range(_TRIES if other_at else 1):
        theta = ones.copy()
        if attempt:
            theta[other_at] = rng.choice(sizes, len(other_at)) * rng.uniform(0.5, 2.0, len(other_at))
        if linear_at:
            theta[linear_at] = 0.0
            r, j = evaluator.residuals(theta), evaluator.jacobian(theta)[:, linear_at]
            if not (np.isfinite(r).all() and np.isfinite(j).all()):
                continue
            theta[linear_at] = np.linalg.lstsq(j, -r, rcond=1e-10)[0]
        theta[[*linear_at, *other_at]] = [_rounded(value) for value in theta[[*linear_at, *other_at]]]
        with np.errstate(all="ignore"):
            r = evaluator.residuals(theta)
            loss = float(r @ r)
        if np.isfinite(loss) and loss < lowest and np.isfinite(evaluator.jacobian(theta)).all():
            best, lowest = theta, loss
    return best


def solved(evaluator: Evaluator, theta: Array) -> Array:
    """Return a start whose linear parameters are those of least squares for its other ones."""
    model = evaluator.model
    at = [k for k, name in enumerate(model.parameters) if name in model.linear]
    point = theta.copy()
    point[at] = 0.0
    r, j = evaluator.residuals(point), evaluator.jacobian(point)[:, at]
    if not at or not (np.isfinite(r).all() and np.isfinite(j).all()):
        return theta
    point[at] = np.linalg.lstsq(j, -r, rcond=1e-10)[0]
    return point


def _sizes(model: Model, columns: Mapping[str, Array]) -> Array:
    """Return values that a non-linear parameter may have: plain numbers, the columns' quantiles, spans and inverse spans."""
    values = [0.1, -0.1, 0.5, 1.0, -1.0, 2.0, 5.0, -5.0]
    for name in [*model.right_columns, *model.left_columns]:
        column = columns[name]
        span = float(np.ptp(column))
        values += [float(q) for q in np.quantile(column, [0.1, 0.3, 0.5, 0.7, 0.9])]
        if span > 0:
            values += [span, span / 10, 1 / span, -1 / span, 5 / span, -5 / span]
    return np.array([value for value in values if np.isfinite(value)])


def _rounded(value: float) -> float:
    rounded = float(f"{value:.0e}")
    return rounded if rounded else 1.0

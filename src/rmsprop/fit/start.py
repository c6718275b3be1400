"""Start values for parameters that are given none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rmsprop.fit.evaluate import Evaluator
from rmsprop.fit.model import Model
from rmsprop.fit.polish import cost
from rmsprop.fit.projection import Projection

Array = NDArray[np.float64]

_TRIES = 200


def suggestions(
    model: Model, evaluator: Evaluator, columns: Mapping[str, Array], given: Mapping[str, float], seed: int
) -> list[Array]:
    """Return starts for all parameters, the best first: given ones as they are, the others chosen.

    A model linear in all of them starts at 1, as least squares would leave nothing to do. Otherwise the non-linear ones are drawn
    from sizes that the columns suggest and rounded to two digits, and the linear ones follow by least squares.

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
        return [ones]
    where = {name: k for k, name in enumerate(model.parameters)}
    other_at = [where[name] for name in free if name not in linear]
    rng = np.random.default_rng(seed)
    sizes = _sizes(model, columns)
    projection = Projection(evaluator, ones, linear)
    found: list[tuple[float, Array]] = []
    for attempt in range(_TRIES if other_at else 1):
        theta = ones.copy()
        if attempt:
            drawn = rng.choice(sizes, len(other_at)) * rng.uniform(0.5, 2.0, len(other_at))
            theta[other_at] = [float(f"{value:.1e}") for value in drawn]
        theta = projection.solve(theta[projection.others])
        loss = cost(evaluator.residuals(theta))
        if np.isfinite(loss) and np.isfinite(evaluator.jacobian(theta)).all():
            found.append((loss, theta))
    return [theta for _, theta in sorted(found, key=lambda pair: pair[0])] or [ones]


def _sizes(model: Model, columns: Mapping[str, Array]) -> Array:
    """Return values that a non-linear parameter may have: plain numbers, the columns' quantiles, spans and their inverse powers."""
    values = [0.1, -0.1, 0.5, 1.0, -1.0, 2.0, 5.0, -5.0]
    for name in [*model.right_columns, *model.left_columns]:
        column = columns[name]
        span = float(np.ptp(column))
        values += [float(q) for q in np.quantile(column, [0.1, 0.3, 0.5, 0.7, 0.9])]
        if span > 0:
            values += [span, span / 10, 1 / span, -1 / span, 5 / span, -5 / span, span**-2, -(span**-2), span**-3, -(span**-3)]
    return np.array([value for value in values if np.isfinite(value)])

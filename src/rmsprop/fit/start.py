"""Start values for parameters that are given none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rmsprop.errors import DataError, UsageError
from rmsprop.expression.evaluate import Evaluator
from rmsprop.expression.model import Model
from rmsprop.fit.options import Options
from rmsprop.fit.polish import cost
from rmsprop.fit.problem import sample
from rmsprop.fit.projection import Projection

Array = NDArray[np.float64]

#: From which start values are chosen.
ROWS = 2_000
_TRIES = 200


def checked_start(model: Model, columns: Mapping[str, Array], options: Options, notes: list[str]) -> Array:
    """Return a start at which the model is finite in every row.

    Raises:
        UsageError: it is not; the message names the row.
    """
    rows = sample(columns, ROWS)
    if model.sigma is not None and not (columns[model.sigma] > 0).all():
        row = int(np.flatnonzero(columns[model.sigma] <= 0)[0])
        raise DataError(
            f"sigma must be above 0, but {model.sigma} is {columns[model.sigma][row]:g}"
            f" where {_values(model.left_columns, columns, row)} (row {row + 1} of those used); correct it, or leave the cell empty"
        )
    left = Evaluator(model, columns, store=False).responses()
    if not np.isfinite(left).all():
        row = int(np.flatnonzero(~np.isfinite(left))[0])
        raise UsageError(
            f"the left side of {model.text!r} is {left[row]} where {_values(model.left_columns, columns, row)}"
            f" (row {row + 1} of those used); leave such rows out, or change the left side"
        )
    theta = suggestions(model, Evaluator(model, rows), rows, options.start, options.seed)[0]
    free = [name for name in model.parameters if name not in options.start]
    if free:
        shown = ", ".join(f"{name} = {value:g}" for name, value in zip(model.parameters, theta, strict=True) if name in free)
        notes.append(f"no start was given for {', '.join(free)}: chosen {shown}")
    whole = Evaluator(model, columns, store=False)
    for what, value in (("is", whole.predictions(theta)), ("has a derivative of", whole.jacobian(theta).sum(axis=1))):
        if not np.isfinite(value).all():
            row = int(np.flatnonzero(~np.isfinite(value))[0])
            at = ", ".join(f"{name}={v:g}" for name, v in zip(model.parameters, theta, strict=True))
            where = _values(model.right_columns, columns, row) or "everywhere"
            raise UsageError(
                f"at the start {at} the right side {what} {value[row]} where {where} (row {row + 1} of those used);"
                " give another start, or leave such rows out"
            )
    return theta


def _values(names: list[str], columns: Mapping[str, Array], row: int) -> str:
    return ", ".join(f"{name} = {columns[name][row]:g}" for name in names)


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

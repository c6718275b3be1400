"""The measures of an answer, from rows in memory or from a file in pieces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmsprop.expression.evaluate import Evaluator
from rmsprop.expression.model import Model
from rmsprop.fit.polish import offset
from rmsprop.fit.problem import Streamed, merge, triangle
from rmsprop.fit.statistics import Statistics, statistics

Array = NDArray[np.float64]

# Rows whose J is held at once.
_ROWS = 65_536
# Residuals this small beside the left side are rounding alone.
_ROUNDING = 1e-13


@dataclass(frozen=True)
class Answer:
    """Where a fit ended, and what it is worth there."""

    theta: Array
    rough: Array  # RMSprop's own end
    rough_rss: float
    statistics: Statistics
    converged: bool
    polish: str


def measure(model: Model, rows: Evaluator | Streamed, theta: Array, rough: Array, polish: str, delta: float) -> Answer:
    """Return an answer with its measures.

    Args:
        model: the model.
        rows: the data.
        theta: (p,) answer.
        rough: (p,) RMSprop's own end.
        polish: what polishing did, in words.
        delta: of Huber's loss.
    """
    sums = _Sums(model, theta, rough, delta)
    if isinstance(rows, Evaluator):
        sums.visit(rows)
    else:
        rows.totals(theta, sums.visit)
    why_not = f"{model.loss} is not least squares, on which standard errors rest" if model.loss != "mse" else None
    s = statistics(sums.triangle, sums.n, sums.rss, sums.tss, why_not=why_not)
    return Answer(theta, rough, sums.rough_rss, s, _converged(model, sums, s), polish)


def _converged(model: Model, sums: _Sums, s: Statistics) -> bool:
    """Return whether the rest of the way to the optimum is within a thousandth of the standard errors, or within rounding."""
    p = s.p
    r = sums.gradient_triangle
    if not np.isfinite(r).all():
        return False
    along = float(np.linalg.norm(r[:p, p]))
    if model.loss == "mae":
        # At the optimum of mae the signs balance but for the p rows that the curve meets.
        return bool(along <= 2 * np.sqrt(p))
    across = float(abs(r[p, p]))
    if np.sqrt(s.rss) <= _ROUNDING * max(np.sqrt(sums.square), 1e-300) * np.sqrt(s.n):
        return True
    return offset(along, across, s.n, p)


class _Sums:
    """What is added up over rows: R of [J r], R of [J ψ(r)] for the gradient, Σ r², and the spread of the left side."""

    def __init__(self, model: Model, theta: Array, rough: Array, delta: float) -> None:
        size = len(theta) + 1
        self._model, self._theta, self._rough, self._delta = model, theta, rough, delta
        self.triangle = self.gradient_triangle = np.zeros((size, size))
        self.n = 0
        self.rss = self.rough_rss = self.square = self.tss = 0.0
        self._weight = self._mean = 0.0

    def visit(self, evaluator: Evaluator) -> None:
        """Add rows."""
        rows = dict(evaluator.columns())
        for first in range(0, evaluator.n, _ROWS):
            part = Evaluator(self._model, {name: c[first : first + _ROWS] for name, c in rows.items()}, store=False)
            self._add(part, rows, first)

    def _add(self, part: Evaluator, rows: dict[str, Array], first: int) -> None:
        model = self._model
        r = part.residuals(self._theta)
        j = part.jacobian(self._theta)
        self.n += part.n
        self.triangle = merge([self.triangle, triangle(j, r)])
        psi = np.sign(r) if model.loss == "mae" else np.clip(r, -self._delta, self._delta) if model.loss == "huber" else r
        self.gradient_triangle = merge([self.gradient_triangle, triangle(j, psi)])
        with np.errstate(all="ignore"):
            self.rss += float(r @ r)
            rough = part.residuals(self._rough)
            self.rough_rss += float(rough @ rough)
        y = part.responses()
        w = np.ones(part.n) if model.sigma is None else rows[model.sigma][first : first + part.n] ** -2.0
        self.square += float(w @ y**2)
        # Chan, Golub and LeVeque (1983): means and squares of blocks, put together without cancellation.
        weight = float(w.sum())
        mean = float(w @ y) / weight
        self.tss += float(w @ (y - mean) ** 2) + (mean - self._mean) ** 2 * self._weight * weight / (self._weight + weight)
        self._mean += (mean - self._mean) * weight / (self._weight + weight)
        self._weight += weight

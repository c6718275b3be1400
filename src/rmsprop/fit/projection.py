"""Variable projection: a model as a function of its non-linear parameters alone, the linear ones being those of least squares.

Golub and Pereyra (1973), "The differentiation of pseudo-inverses and nonlinear least squares problems whose variables separate";
the derivative is Kaufman's (1975) approximation of it, (I - Q Qᵀ) ∂r/∂φ with Q spanning the derivatives by the linear parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rmsprop.expression.evaluate import Evaluator

Array = NDArray[np.float64]

# Directions in which the linear parameters are less certain than this are left where they are.
_RANK = 1e-13


class Projection:
    """A model on rows, some of its linear parameters being solved for.

    Args:
        evaluator: the model on the rows.
        theta: (p,) values of those parameters that are neither linear nor varied.
        linear: names to solve for, in which the model is linear together; by default as many as there are.
    """

    def __init__(self, evaluator: Evaluator, theta: Array, linear: Sequence[str] | None = None) -> None:
        model = evaluator.model
        chosen = set(model.linear if linear is None else linear)
        self._evaluator = evaluator
        self._theta = theta
        self._linear = [k for k, name in enumerate(model.parameters) if name in chosen]
        #: Places of the other parameters, φ.
        self.others = [k for k, name in enumerate(model.parameters) if name not in chosen]

    def solve(self, others: Array) -> Array:
        """Return all (p,) parameters for φ; as they are where the linear ones cannot be solved for."""
        theta = self._theta.copy()
        theta[self.others] = others
        if not self._linear:
            return theta
        origin = theta.copy()
        origin[self._linear] = 0.0
        r, j = self._evaluator.residuals(origin), self._evaluator.jacobian(origin)[:, self._linear]
        with np.errstate(over="ignore"):
            length = np.linalg.norm(j, axis=0)
        if not (np.isfinite(r).all() and np.isfinite(length).all()):
            return theta
        length[length == 0] = 1.0
        origin[self._linear] = np.linalg.lstsq(j / length, -r, rcond=_RANK)[0] / length
        return origin

    def residuals(self, others: Array) -> Array:
        """Return the (n,) residuals for φ."""
        return self._evaluator.residuals(self.solve(others))

    def jacobian(self, others: Array) -> Array:
        """Return their (n, len(φ)) derivatives."""
        j = self._evaluator.jacobian(self.solve(others))
        by_others = j[:, self.others]
        if not self._linear or not np.isfinite(j).all():
            return by_others
        q = np.linalg.qr(j[:, self._linear])[0]
        return np.asarray(by_others - q @ (q.T @ by_others))

"""The last digits: SciPy's Levenberg-Marquardt from where RMSprop ended."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmsprop.errors import missing_extra

Array = NDArray[np.float64]
Residuals = Callable[[Array], Array]

# Below these a step changes nothing that a float64 can hold.
_TOLERANCE = 1e-15
#: Per parameter: narrow valleys take several hundred.
EVALUATIONS = 500
#: Largest cosine between the residuals and a column of J at what counts as an optimum.
STATIONARY = 1e-5
# The optimum is so many standard errors away.
_OFFSET = 1e-3
# Singular values of the column-scaled J below this share of the largest are rounding.
_RESOLVED = 1e-13


@dataclass(frozen=True)
class Polished:
    """Where a polishing ended.

    Attributes:
        theta: (p,) parameters.
        cost: what was minimised: Σ r², or its Huber counterpart.
        converged: whether the residuals are orthogonal to every column of J there, as they are at an optimum.
        method: "lm" or "trf".
        evaluations: how often the residuals were computed.
        origin: where it began, in words.
    """

    theta: Array
    cost: float
    converged: bool
    method: str
    evaluations: int
    origin: str = "the start"


def polish(
    residuals: Residuals, jacobian: Residuals, theta: Array, delta: float | None = None, evaluations: int = EVALUATIONS
) -> Polished:
    """Minimise Σ r² (or Huber's loss of delta) from a start, by Levenberg-Marquardt; by a trust region where that fails.

    Args:
        residuals: θ → (n,).
        jacobian: θ → (n, p).
        theta: (p,) start, where both are finite.
        delta: where Huber's loss turns from square to linear; None for least squares.
        evaluations: at most so many for each parameter, and each method.

    Returns:
        The better of what the two methods reached.
    """
    tries = ["lm", "trf"] if delta is None and len(residuals(theta)) >= len(theta) else ["trf"]
    best: Polished | None = None
    for method in tries:
        got = _run(residuals, jacobian, theta if best is None else best.theta, method, delta, evaluations)
        if best is None or got.cost < best.cost or (got.converged and got.cost <= best.cost * (1 + 1e-12)):
            best = got
        if best.converged:
            break
    assert best is not None
    return best


def _run(residuals: Residuals, jacobian: Residuals, theta: Array, method: str, delta: float | None, evaluations: int) -> Polished:
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise missing_extra("SciPy") from None
    count = 0
    last = theta

    def safe_residuals(x: Array) -> Array:
        nonlocal count
        count += 1
        r = residuals(x)
        # Far from finite numbers, a point only has to look bad, so that the step is shortened.
        return r if np.isfinite(r).all() else np.full(len(r), 1e100)

    def safe_jacobian(x: Array) -> Array:
        nonlocal last
        j = jacobian(x)
        if np.isfinite(j).all():
            last = x.copy()
            return j
        return np.nan_to_num(j, nan=0.0, posinf=1e100, neginf=-1e100)

    with np.errstate(all="ignore"):
        try:
            got = least_squares(
                safe_residuals,
                theta,
                jac=safe_jacobian,
                method=method,
                x_scale="jac",
                ftol=_TOLERANCE,
                xtol=_TOLERANCE,
                gtol=_TOLERANCE,
                max_nfev=evaluations * (len(theta) + 1),
                **({} if delta is None else {"loss": "huber", "f_scale": delta}),
            )
            end = np.asarray(got.x, dtype=np.float64)
        except (ValueError, np.linalg.LinAlgError, FloatingPointError):
            end = last
        if not np.isfinite(end).all():
            end = theta
        if cost(residuals(end), delta) > cost(residuals(theta), delta):
            end = theta
        r, j = residuals(end), jacobian(end)
        return Polished(end, cost(r, delta), stationary(j, r, delta), method, count)


def cost(r: Array, delta: float | None = None) -> float:
    """Return Σ r², or twice Σ of Huber's loss; inf where it is not finite."""
    with np.errstate(all="ignore"):
        if delta is None:
            total = float(r @ r)
        else:
            c = np.clip(r, -delta, delta)
            total = float(2 * (c @ (r - c / 2)))
    return total if np.isfinite(total) else np.inf


def stationary(j: Array, r: Array, delta: float | None = None) -> bool:
    """Return whether a point is an optimum: residuals orthogonal to every column of J, and to all that J spans.

    max |Jᵀr| / (|J| |r|) ≤ 1e-5, column by column; and the rest of the way is within a thousandth of the standard errors, which
    near-collinear columns alone do not tell. Where J is singular, as where parameters have run off to infinity, it is none.
    """
    if not (np.isfinite(j).all() and np.isfinite(r).all()):
        return False
    c = r if delta is None else np.clip(r, -delta, delta)
    length = float(np.linalg.norm(c))
    columns = np.linalg.norm(j, axis=0)
    scaled = j[:, columns > 0] / columns[columns > 0]
    # Columns of zeros and residuals of zero leave nothing to be orthogonal to.
    if length == 0 or not scaled.size:
        return True
    if np.abs(scaled.T @ c).max() > STATIONARY * length:
        return False
    q, upper = np.linalg.qr(scaled)
    singular = np.linalg.svd(upper, compute_uv=False)
    if len(r) > j.shape[1] > len(singular) or singular[-1] <= _RESOLVED * singular[0]:
        return False
    along = float(np.linalg.norm(q.T @ c))
    return offset(along, math.sqrt(max(length**2 - along**2, 0.0)), *j.shape)


def offset(along: float, across: float, n: int, p: int) -> bool:
    """Return whether residuals lie across what J spans: (along/√p) / (across/√(n - p)) ≤ 1e-3.

    Args:
        along: length of their part that J spans.
        across: length of the rest.
        n: rows.
        p: parameters.

    Source: Bates and Watts (1981), "A relative offset orthogonality convergence criterion for nonlinear least squares".
    """
    return bool(along / math.sqrt(p) <= _OFFSET * across / math.sqrt(max(n - p, 1)))

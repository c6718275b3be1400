"""The coordinates in which RMSprop walks: θ = θ₀ + T u, with T chosen so that a unit of u matters.

RMSprop's steps are about lr in its parameters' own units, whatever the size of the gradient; so a fit stands or falls
with them. `start` measures each parameter by its own size. `curvature` also turns the axes: with J = ∂r/∂θ at θ₀ and s the sizes,

    T Tᵀ = (JᵀJ / |r|² + diag(1/s²))⁻¹

so that a unit step along any axis changes the predictions by about as much as they are wrong, but no parameter by much more than
its own size. It is the Gauss-Newton metric, damped as by Levenberg and Marquardt; along narrow valleys u sees a round bowl.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SCALES = ("curvature", "start", "none")


def sizes(theta: Array, smallest: Array) -> Array:
    """Return how large each parameter is, never below its floor."""
    return np.maximum(np.abs(theta), smallest)


def by_size(size: Array) -> Array:
    """Return the (p, p) map of diagonal scaling."""
    return np.diag(size)


def by_curvature(triangle: Array, size: Array) -> Array:
    """Return the (p, p) map T for the metric above.

    Args:
        triangle: (p+1, p+1) R factor of [J r].
        size: (p,) sizes s of the parameters.
    """
    p = len(size)
    wrong = float(np.linalg.norm(triangle[:, p]))
    if not np.isfinite(triangle).all() or wrong == 0:
        return by_size(size)
    # In units of s the damped metric is well conditioned from below, so that the QR of the stack needs no pivots.
    stacked = np.vstack([triangle[:p, :p] / wrong * size, np.eye(p)])
    r = np.linalg.qr(stacked, mode="r")
    try:
        inverse = np.linalg.solve(r, np.eye(p))
    except np.linalg.LinAlgError:
        return by_size(size)
    return size[:, None] * inverse if np.isfinite(inverse).all() else by_size(size)

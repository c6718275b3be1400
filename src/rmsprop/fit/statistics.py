"""What a fit is worth: errors, correlations and measures of fit, and where they mean nothing, why."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Beyond this condition number of the column-scaled J, fewer than some four digits of the covariance would be right.
ILL_CONDITIONED = 1e12


@dataclass(frozen=True)
class Statistics:
    """Measures of a fit.

    Attributes:
        n, p: rows and parameters.
        rss: Σ of squared residuals, over sigma² where there is one.
        tss: Σ of squared deviations of the left side from its (weighted) mean, likewise.
        stderr: (p,) standard errors, or None with the reason in `no_stderr`.
        correlation: (p, p), or None.
        condition: condition number of J with columns scaled to length 1; inf where parameters cannot be told apart.
    """

    n: int
    p: int
    rss: float
    tss: float
    stderr: Array | None
    correlation: Array | None
    condition: float
    no_stderr: str | None

    @property
    def r2(self) -> float | None:
        """1 - rss/tss; None where the left side does not vary."""
        return 1 - self.rss / self.tss if self.tss > 0 else None

    @property
    def rmse(self) -> float:
        """√(rss/n)."""
        return math.sqrt(self.rss / self.n)

    @property
    def reduced_chi_square(self) -> float | None:
        """The residual variance, rss / (n - p); None without degrees of freedom."""
        return self.rss / (self.n - self.p) if self.n > self.p else None

    @property
    def aic(self) -> float | None:
        """Akaike: n ln(rss/n) + 2p, as lmfit has it; None at rss = 0."""
        return self.n * math.log(self.rss / self.n) + 2 * self.p if self.rss > 0 else None

    @property
    def bic(self) -> float | None:
        """Bayes: n ln(rss/n) + p ln n; None at rss = 0."""
        return self.n * math.log(self.rss / self.n) + self.p * math.log(self.n) if self.rss > 0 else None


def statistics(triangle: Array, n: int, rss: float, tss: float, *, why_not: str | None = None) -> Statistics:
    """Return the measures of a fit.

    cov = (JᵀJ)⁻¹ rss/(n - p): errors are scaled by the residuals, as in lmfit and in curve_fit without absolute_sigma.

    Args:
        triangle: (p+1, p+1) R factor of [J r] at the optimum.
        n: rows.
        rss: sum of squared residuals.
        tss: sum of squared deviations of the left side from its mean.
        why_not: a reason known before why standard errors mean nothing.
    """
    p = triangle.shape[0] - 1
    r = triangle[:p, :p]
    length = np.linalg.norm(r, axis=0)
    condition = math.inf
    correlation = stderr = None
    reason = why_not
    if np.isfinite(r).all() and (length > 0).all():
        scaled = r / length
        singular = np.linalg.svd(scaled, compute_uv=False)
        condition = float(singular[0] / singular[-1]) if singular[-1] > 0 else math.inf
    if n <= p:
        reason = reason or f"{n} rows leave no degree of freedom for {p} parameters"
    elif not np.isfinite(r).all():
        reason = reason or "the derivatives are not finite there"
    elif condition > ILL_CONDITIONED:
        reason = reason or "the data cannot tell the parameters apart (J is rank-deficient or nearly so)"
    if reason is None:
        inverse = np.linalg.solve(scaled, np.eye(p))
        covariance = inverse @ inverse.T
        spread = np.sqrt(np.diag(covariance))
        stderr = spread / length * math.sqrt(rss / (n - p))
        correlation = covariance / np.outer(spread, spread)
    return Statistics(n, p, rss, tss, stderr, correlation, condition, reason)

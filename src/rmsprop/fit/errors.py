"""What can go wrong in a fit."""

from __future__ import annotations

from rmsprop.errors import DataError, UsageError
from rmsprop.errors import RefusedError as FitError

__all__ = ["DataError", "DivergedError", "FitError", "UsageError"]


class DivergedError(FitError):
    """A run whose loss left the finite numbers or only grew (exit code 1)."""

"""What can go wrong in a fit, by whose hand: the command line turns each into its exit code."""

from __future__ import annotations


class FitError(Exception):
    """A fit that cannot be done; the message names the place and the remedy."""

    exit_code = 1


class UsageError(FitError, ValueError):
    """An option, a model or an argument that cannot be used (exit code 2)."""

    exit_code = 2


class ExpressionError(UsageError):
    """A formula outside the allowed language (exit code 2)."""


class DataError(FitError, ValueError):
    """A file or its content that cannot be used (exit code 1)."""


class DivergedError(FitError):
    """A run whose loss left the finite numbers or only grew (exit code 1)."""


class MissingExtraError(FitError, ImportError):
    """A library of the extra `fit` that is not installed (exit code 1)."""


def missing_extra(library: str) -> MissingExtraError:
    """Return the error that names the library and the command that installs it."""
    return MissingExtraError(f"{library} is not installed; install it with: pip install 'rmsprop[fit]'")

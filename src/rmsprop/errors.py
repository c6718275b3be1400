"""What can go wrong in a command, by whose hand: the command line turns each into its exit code."""

from __future__ import annotations


class RefusedError(Exception):
    """Something that cannot be done; the message names the place and the remedy."""

    exit_code = 1


class UsageError(RefusedError, ValueError):
    """An option, a model or an argument that cannot be used (exit code 2)."""

    exit_code = 2


class ExpressionError(UsageError):
    """A formula outside the allowed language (exit code 2)."""


class DataError(RefusedError, ValueError):
    """A file or its content that cannot be used (exit code 1)."""


class MissingExtraError(RefusedError, ImportError):
    """A library of an extra that is not installed (exit code 1)."""


def missing_extra(library: str, install: str = "'rmsprop[fit]'") -> MissingExtraError:
    """Return the error that names a library and what installs it.

    Args:
        library: what is missing.
        install: what follows `pip install`.
    """
    return MissingExtraError(f"{library} is not installed; install it with: pip install {install}")

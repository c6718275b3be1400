"""What can go wrong with a checkpoint; the command line turns each into its exit code."""


class CheckpointError(Exception):
    """A checkpoint that cannot be written, read or carried over; the message names the place and the remedy."""

    exit_code = 1


class FileError(CheckpointError, ValueError):
    """A file that is damaged, or is not what its reader expects (exit code 1)."""


class SaveError(CheckpointError, OSError):
    """A file that could not be written; what was there before is as it was (exit code 1)."""


class ConversionError(CheckpointError, ValueError):
    """A state that means nothing exact where it is to go (exit code 1)."""


class UsageError(CheckpointError, ValueError):
    """An option or an argument that cannot be used (exit code 2)."""

    exit_code = 2


class MissingExtraError(CheckpointError, ImportError):
    """A library that is not installed (exit code 1)."""


def missing_extra(library: str, install: str) -> MissingExtraError:
    """Return the error that names a library and what installs it.

    Args:
        library: what is missing.
        install: what follows `pip install`.
    """
    return MissingExtraError(f"{library} is not installed; install it with: pip install {install}")

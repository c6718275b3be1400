"""What can go wrong with a checkpoint."""

from pathlib import Path

from rmsprop.errors import MissingExtraError, UsageError, missing_extra
from rmsprop.errors import RefusedError as CheckpointError

__all__ = [
    "CheckpointError",
    "ConversionError",
    "FileError",
    "MissingExtraError",
    "SaveError",
    "UsageError",
    "missing_extra",
    "unwritten",
]


class FileError(CheckpointError, ValueError):
    """A file that is damaged, or is not what its reader expects (exit code 1)."""


class SaveError(CheckpointError, OSError):
    """A file that could not be written; what was there before is as it was (exit code 1)."""


class ConversionError(CheckpointError, ValueError):
    """A state that means nothing exact where it is to go (exit code 1)."""


def unwritten(path: Path, error: Exception) -> SaveError:
    """Return the error of a file that could not be written.

    Args:
        path: the file.
        error: what went wrong; only what a writer that goes by drafts has met, so that nothing has changed.

    Example:
        >>> str(unwritten(Path("run.pt"), OSError(28, "No space left on device", ".run.pt.x.draft")))
        'cannot write run.pt: No space left on device; what was there is unchanged'
    """
    found: BaseException = error
    while not isinstance(found, OSError) and found.__context__ is not None:  # PyTorch's writer covers it with one of its own
        found = found.__context__
    return SaveError(f"cannot write {path}: {getattr(found, 'strerror', None) or found}; what was there is unchanged")

"""What can go wrong with a checkpoint."""

from rmsprop.errors import MissingExtraError, UsageError, missing_extra
from rmsprop.errors import RefusedError as CheckpointError

__all__ = ["CheckpointError", "ConversionError", "FileError", "MissingExtraError", "SaveError", "UsageError", "missing_extra"]


class FileError(CheckpointError, ValueError):
    """A file that is damaged, or is not what its reader expects (exit code 1)."""


class SaveError(CheckpointError, OSError):
    """A file that could not be written; what was there before is as it was (exit code 1)."""


class ConversionError(CheckpointError, ValueError):
    """A state that means nothing exact where it is to go (exit code 1)."""

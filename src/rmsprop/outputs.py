"""Where the results of a command are written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from rmsprop.errors import DataError, UsageError
from rmsprop.files import Draft, replace


def check_directory(directory: Path) -> None:
    """Refuse a place that files cannot be written to, before any work is done."""
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"--out {directory} is a file; name a directory")
    place = directory
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"--out {directory} cannot be made: {place} is a file; name another directory")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"--out {directory} cannot be written to: permission denied; name another directory")


def write_all(directory: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write files so that each appears whole or not at all; none is touched before all are on the disk.

    Args:
        directory: made where it is missing.
        contents: file name → bytes.

    Returns:
        The paths written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as drafts:
            ready = [drafts.enter_context(Draft(directory / name)) for name in contents]
            for draft, content in zip(ready, contents.values(), strict=True):
                draft.path.write_bytes(content)
            replace(ready)
    except OSError as error:
        raise DataError(f"cannot write to {directory}: {error.strerror or error}; name another directory with --out") from None
    return [directory / name for name in contents]

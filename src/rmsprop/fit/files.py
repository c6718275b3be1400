"""Writing results so that a file is either the old one or the new one, whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rmsprop.fit.errors import DataError, UsageError


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
    ready: list[tuple[str, Path]] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
            ready.append((temporary, directory / name))
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        for temporary, target in ready:
            os.chmod(temporary, 0o666 & ~mask)
            os.replace(temporary, target)
    except OSError as error:
        raise DataError(f"cannot write to {directory}: {error.strerror or error}; name another directory with --out") from None
    finally:
        for temporary, _ in ready:
            if os.path.exists(temporary):
                os.unlink(temporary)
    return [target for _, target in ready]

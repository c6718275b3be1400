"""Writing files so that each is either the old one or the new one, whole, whatever happens in between."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from glob import escape
from pathlib import Path
from types import TracebackType
from typing import Self

try:
    import fcntl
except ImportError:  # not on Windows, where an abandoned draft stays behind
    fcntl = None  # type: ignore[assignment]

_SUFFIX = ".draft"


class Draft:
    """A file beside the one that it is to replace: written to in place, brought to the disk, then put where it belongs.

    As a context manager it removes the draft unless it has taken its place. Drafts of the same file that were abandoned, as by a
    process that was killed, are removed when the next one is made.

    Args:
        target: the file to be replaced, or to be made; a link is followed.

    Raises:
        OSError: its directory cannot be written to.
    """

    def __init__(self, target: Path) -> None:
        """Make an empty file."""
        self.target = Path(os.path.realpath(target))
        prefix = f".{self.target.name[:100]}."  # a name has 255 bytes at most
        _remove_abandoned(self.target.parent, prefix)
        while True:
            self._handle, name = tempfile.mkstemp(_SUFFIX, prefix, self.target.parent)
            self.path = Path(name)
            if fcntl is None:
                return
            with suppress(OSError):  # some file systems have no locks
                fcntl.flock(self._handle, fcntl.LOCK_EX)
            if self.path.exists():
                return
            os.close(self._handle)  # another writer took it for abandoned before it was locked

    def __enter__(self) -> Self:
        """Return the draft."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Remove the draft where it has not taken its place."""
        self.path.unlink(missing_ok=True)
        os.close(self._handle)

    def settle(self) -> None:
        """Bring the content to the disk, with the permissions that a new file has, or those of the one that it replaces."""
        mask = os.umask(0)
        os.umask(mask)
        mode = self.target.stat().st_mode & 0o777 if self.target.exists() else 0o666 & ~mask
        os.chmod(self.path, mode)
        sync(self.path)


def replace(drafts: Sequence[Draft], *, keep: Path | None = None) -> None:
    """Put drafts in the places of their targets, all of them on the disk before the first one moves.

    Args:
        drafts: drafts whose content is complete.
        keep: what the file that the last of them replaces is called from then on; None keeps none.

    Raises:
        OSError: the disk is full, or a directory cannot be written to.
    """
    for draft in drafts:
        draft.settle()
    if keep is not None and drafts[-1].target.exists():
        _keep(drafts[-1].target, keep)
    for draft in drafts:
        os.replace(draft.path, draft.target)
    for directory in dict.fromkeys(draft.target.parent for draft in drafts):
        sync(directory)


def sync(path: Path) -> None:
    """Bring a file's content, or a directory's entries, to the disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no directories, and writes them at once
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _keep(target: Path, kept: Path) -> None:
    """Give a file a second name, which another file may have had."""
    with Draft(kept) as second:
        second.path.unlink()
        try:
            os.link(target, second.path)
        except OSError:  # a file system without hard links
            shutil.copyfile(target, second.path)
            sync(second.path)
        with suppress(FileNotFoundError):  # another writer of this file took the name, and keeps what was there itself
            os.replace(second.path, second.target)


def _remove_abandoned(directory: Path, prefix: str) -> None:
    """Remove drafts whose writers hold no lock on them any more."""
    if fcntl is None:
        return
    for path in directory.glob(f"{escape(prefix)}*{_SUFFIX}"):
        with suppress(OSError):
            handle = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(handle)

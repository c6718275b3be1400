"""The time that a piece of work may take: work that can be told so stops itself, as no thread can be stopped from outside."""

from __future__ import annotations

import time
from threading import Event


class TimeUpError(Exception):
    """Work that took too long, or that nobody waits for any more."""


class Deadline:
    """A moment by which work must be done.

    Args:
        seconds: from now.
        stop: set where all work is to end.

    Example:
        >>> Deadline(60.0).check()
    """

    def __init__(self, seconds: float, stop: Event | None = None) -> None:
        self._end = time.monotonic() + seconds
        self._stop = stop

    def check(self, *progress: object) -> None:
        """Return if there is time left; may be used as a progress.

        Raises:
            TimeUpError: there is none.
        """
        if time.monotonic() > self._end or (self._stop is not None and self._stop.is_set()):
            raise TimeUpError


#: For work that may take as long as it does.
NONE = Deadline(1e9)

"""A bounded memory of results: each is worked out once, also when several threads ask for it at the same time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Any


class Cache:
    """The results of the last few different questions.

    Args:
        most: how many are kept; the one that was asked for longest ago goes first.

    Example:
        >>> cache = Cache(2)
        >>> cache.get("a", lambda: 1), cache.get("a", lambda: 2)
        (1, 1)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._known: OrderedDict[Hashable, Future[Any]] = OrderedDict()

    def get(self, key: Hashable, work: Callable[[], Any]) -> Any:
        """Return the result for a key; what fails is not kept.

        Args:
            key: the question.
            work: works out the result.
        """
        with self._lock:
            future = self._known.get(key)
            mine = future is None
            if future is None:
                future = self._known[key] = Future()
            self._known.move_to_end(key)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        if mine:
            try:
                future.set_result(work())
            except BaseException as error:
                with self._lock:
                    if self._known.get(key) is future:
                        del self._known[key]
                future.set_exception(error)
                raise
        return future.result()

    def peek(self, key: Hashable) -> Any:
        """Return the result for a key if it is there, else None."""
        with self._lock:
            future = self._known.get(key)
            return future.result() if future is not None and future.done() and future.exception() is None else None

    def keep(self, key: Hashable, result: Any) -> None:
        """Take down the result for a key."""
        self.get(key, lambda: result)

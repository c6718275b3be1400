"""Threads for compiled kernels: how many, and a pool that outlives a call.

Numba's own threading layers abort the process when two Python threads enter them at once (workqueue) or after a fork (OpenMP). The
kernels release the GIL instead, and ordinary Python threads run them.
"""

import os
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

_lock = threading.Lock()
_pool: "ThreadPoolExecutor | None" = None
_pool_size = 0


def _cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_threads = _cores()


def get_num_threads() -> int:
    """Return how many threads a step may use; at first the cores that this process may use.

    Example:
        >>> get_num_threads() >= 1
        True
    """
    return _threads


def set_num_threads(count: int) -> None:
    """Set how many threads a step may use. The results have the same bits for every number.

    Args:
        count: ≥ 1.

    Raises:
        ValueError: count is below 1.
        TypeError: count is not an integer.

    Example:
        >>> before = get_num_threads()
        >>> set_num_threads(1)
        >>> get_num_threads()
        1
        >>> set_num_threads(before)
    """
    global _threads
    if isinstance(count, bool) or not hasattr(count, "__index__"):
        raise TypeError(f"the number of threads must be an integer of at least 1, got {count!r}")
    if count < 1:
        raise ValueError(f"the number of threads must be at least 1, got {count}; 1 runs on the caller's thread alone")
    _threads = int(count)


def share(work: Callable[[int, int], object], total: int, grain: int, threads: int | None = None, align: int = 64) -> None:
    """Run work(first, last) over range(total), in as many equal parts as threads may be used.

    Args:
        work: called once for each part; must release the GIL to gain anything.
        total: number of elements.
        grain: elements that one more thread must have to itself to be worth waking.
        threads: how many may be used; by default as many as `set_num_threads` says.
        align: parts start at multiples of it. With 64 elements no two threads write to one cache line of an aligned tensor.
    """
    parts = max(1, min(threads or _threads, total // grain))
    if parts == 1:
        work(0, total)
        return
    cuts = [total * part // parts // align * align for part in range(parts)] + [total]
    todo = list(pairwise(cuts))[::-1]

    def drain() -> None:
        while True:
            try:
                part = todo.pop()
            except IndexError:
                return
            work(*part)

    helpers: list[_Helper] = []
    try:
        try:
            pool = _executor(parts - 1)
            for _ in range(parts - 1):
                helpers.append(_Helper(drain))
                pool.submit(helpers[-1].run)
        except RuntimeError:
            pass  # another thread replaced the pool, the interpreter is ending, or no thread is to be had: the caller does it all
        drain()
    finally:
        todo.clear()
        _wait(helpers)
    for helper in helpers:
        if helper.error is not None:
            raise helper.error


class _Helper:
    """A run of `drain` on a pool: whether it has begun, whether it has ended, and how."""

    def __init__(self, drain: Callable[[], None]) -> None:
        self.drain = drain
        self.begun = False
        self.ended = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        self.begun = True
        try:
            self.drain()
        except BaseException as error:
            self.error = error
        finally:
            self.ended.set()


def _wait(helpers: list[_Helper]) -> None:
    """Wait for all that have begun, through interruptions too: they write to memory that the caller may let go of.

    One that begins after this finds nothing to do.
    """
    interruption: BaseException | None = None
    while any(helper.begun and not helper.ended.is_set() for helper in helpers):
        try:
            for helper in helpers:
                if helper.begun:
                    helper.ended.wait()
        except BaseException as error:
            interruption = interruption or error
    if interruption is not None:
        raise interruption


def _executor(workers: int) -> "ThreadPoolExecutor":
    """Return the pool, made or grown to at least that many workers."""
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size < workers:
            from concurrent.futures import ThreadPoolExecutor

            if _pool is not None:
                _pool.shutdown(wait=False)  # what is submitted still runs
            _pool = ThreadPoolExecutor(workers, thread_name_prefix="rmsprop")
            _pool_size = workers
        return _pool


def _forget() -> None:
    """Drop the pool in a forked child, where its threads do not exist, and the lock, which one of them may have held."""
    global _lock, _pool, _pool_size
    _lock, _pool, _pool_size = threading.Lock(), None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

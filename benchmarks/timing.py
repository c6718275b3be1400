"""What the benchmarks share: timing rivals in turn, and telling the machine."""

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

# Given a call, how often to make it, and what to call before each: the mean seconds of one.
Timed = Callable[[Callable[[], object], int, Callable[[], object] | None], float]


def interleaved(
    rivals: Mapping[str, Callable[[], object]],
    seconds: float = 3.0,
    least: int = 7,
    turn: float = 1e-3,
    before: Mapping[str, Callable[[], object]] | None = None,
    timed: Timed | None = None,
) -> dict[str, float]:
    """Return the median seconds of each rival, timed in turn so that a slow spell of the machine falls on all alike.

    A turn calls the rival as often as fits into it, as a loop over small models does.

    Args:
        rivals: name to what is timed; each is called a few times first.
        seconds: roughly how long to measure in all.
        least: rounds at least.
        turn: how many seconds a turn takes at least.
        before: name to what is called before each call of a rival, outside of what is timed.
        timed: what measures a turn; by default the clock on the wall.
    """
    before, timed = before or {}, timed or _turn
    spans: dict[str, list[float]] = {name: [] for name in rivals}
    turns = {}
    for name, call in rivals.items():
        call()
        turns[name] = max(1, int(turn / timed(call, 2, before.get(name))))
    gc.collect()
    gc.disable()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(spans.values()))) < least:
        for name, call in rivals.items():
            spans[name].append(timed(call, turns[name], before.get(name)))
    gc.enable()
    return {name: statistics.median(times) for name, times in spans.items()}


def _turn(call: Callable[[], object], times: int, before: Callable[[], object] | None) -> float:
    """Return the mean seconds of some calls."""
    if before is None:
        start = time.perf_counter()
        for _ in range(times):
            call()
        return (time.perf_counter() - start) / times
    spent = 0.0
    for _ in range(times):
        before()
        start = time.perf_counter()
        call()
        spent += time.perf_counter() - start
    return spent / times


def machine() -> str:
    """Return a line on the processor, its cores and its last-level cache."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    caches = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"))
    cache = f", last-level cache {caches[-1].read_text().strip()}" if caches else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores{cache}, Python {platform.python_version()}"

"""How long a step takes on a GPU: on the device, on the host, and as a loop that does nothing else sees it."""

import time
from collections.abc import Callable
from typing import Any, Protocol

import torch

Step = Callable[[], Any]
WARM = 3
# How far the device is held back, in seconds, so that it never waits for the host while it is timed.
LEAST, MOST = 1e-3, 64e-3


class Clock(Protocol):
    """What times a turn, each in `timing.interleaved`'s manner, and captures a step."""

    def device(self, call: Step, times: int, before: Step | None) -> float:
        """Return the mean seconds of a call on the device."""

    def host(self, call: Step, times: int, before: Step | None) -> float:
        """Return the mean seconds until a call returns, with the device idle when it begins."""

    def wall(self, call: Step, times: int, before: Step | None) -> float:
        """Return the mean seconds of calls that follow each other, until the device has done the last."""

    def captured(self, call: Step) -> Step:
        """Return the replay of a graph into which a call was captured."""


class CudaClock:
    """The clock of a CUDA device.

    The device is timed by its own events. It is put to sleep first, until the host has queued all there is to time; where a call
    launches more than the driver queues (about 1,024), the host still holds it up, which the captured graph alone is free of.
    """

    def __init__(self) -> None:
        """Learn how fast the device counts."""
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        self._cycles = 1e3 * getattr(properties, "clock_rate", 1.5e6)  # a second
        self._lead: dict[Step, float] = {}

    def device(self, call: Step, times: int, before: Step | None) -> float:
        """Return the mean seconds of a call on the device."""
        assert before is None, "what is called before would be timed too"
        while True:
            lead = self._lead.get(call, LEAST)
            asleep, start, end = (torch.cuda.Event(enable_timing=True) for _ in range(3))
            torch.cuda.synchronize()
            torch.cuda._sleep(int(lead * self._cycles))
            asleep.record()
            start.record()
            for _ in range(times):
                call()
            end.record()
            late = asleep.query()  # it woke before all was queued
            torch.cuda.synchronize()
            if not late or lead >= MOST:
                return start.elapsed_time(end) / 1e3 / times
            self._lead[call] = 2 * lead

    def host(self, call: Step, times: int, before: Step | None) -> float:
        """Return the mean seconds until a call returns, with the device idle when it begins."""
        spent = 0.0
        for _ in range(times):
            if before is not None:
                before()
            torch.cuda.synchronize()
            start = time.perf_counter()
            call()
            spent += time.perf_counter() - start
        torch.cuda.synchronize()
        return spent / times

    def wall(self, call: Step, times: int, before: Step | None) -> float:
        """Return the mean seconds of calls that follow each other, until the device has done the last."""
        assert before is None, "what is called before would be timed too"
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(times):
            call()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / times

    def captured(self, call: Step) -> Step:
        """Return the replay of a graph into which a call was captured."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM):
                call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        return graph.replay


class HostClock:
    """A clock for rehearsals without a GPU: everything is the host's time, and nothing is captured."""

    def device(self, call: Step, times: int, before: Step | None) -> float:
        """Return the mean seconds of a call."""
        spent = 0.0
        for _ in range(times):
            if before is not None:
                before()
            start = time.perf_counter()
            call()
            spent += time.perf_counter() - start
        return spent / times

    host = wall = device

    def captured(self, call: Step) -> Step:
        """Return the call itself."""
        return call

"""Where arrays lie in memory."""

import ctypes
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_EMPTY = ctypes.c_char * 0


def address(array: Array) -> int:
    """Return the address of an array's first element; several times as fast as `array.ctypes.data`."""
    try:
        return ctypes.addressof(_EMPTY.from_buffer(array))  # type: ignore[arg-type]  # typed as a buffer from Python 3.12
    except (TypeError, ValueError, BufferError):  # read-only, or not in C order
        return array.ctypes.data


def place(numbers: Any) -> int:
    """Return the address of a NumPy array, or of an array of Python's own."""
    return numbers.buffer_info()[0] if isinstance(numbers, array) else address(numbers)


def span(array: Array) -> tuple[int, int]:
    """Return the address of an array's first byte in memory, and the one past its last."""
    if array.flags.c_contiguous:
        low = address(array)
        return low, low + array.nbytes
    return np.lib.array_utils.byte_bounds(array)


def dense(array: Array) -> bool:
    """Return whether an array fills one stretch of memory with numbers that a processor can read as they are."""
    return (array.flags.c_contiguous or array.flags.f_contiguous) and array.flags.aligned and array.dtype.isnative


class Memory:
    """The memory that a step writes to, to tell whether a gradient lies in it.

    Args:
        arrays: all arrays that a step writes to.
    """

    def __init__(self, arrays: Sequence[Array]) -> None:
        """Sort the spans of the arrays."""
        self._sort(span(a) for a in arrays if a.size)

    @classmethod
    def of(cls, spans: Iterable[tuple[int, int]]) -> Self:
        """Return the memory of some spans: the address of the first byte of each, and the one past its last."""
        memory = cls(())
        memory._sort(spans)
        return memory

    def _sort(self, spans: Iterable[tuple[int, int]]) -> None:
        """Keep the starts in order, and the furthest end up to each."""
        ordered = sorted(spans)
        self.lows = [low for low, _ in ordered]
        self.highs = list(accumulate((high for _, high in ordered), max))

    def holds(self, array: Array) -> bool:
        """Return whether an array may share memory with these."""
        return self.meets(*span(array))

    def meets(self, low: int, high: int) -> bool:
        """Return whether some of the bytes from low to high may be of these arrays."""
        before = bisect_left(self.lows, high)
        return before > 0 and self.highs[before - 1] > low

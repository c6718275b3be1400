"""Arrays that begin at a cache line, over which NumPy's vector loops run up to twice as fast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LINE = 64  # bytes of a cache line and of the widest vectors


def empty(n: int) -> Array:
    """Return (n,) uninitialised numbers that begin at a cache line."""
    raw = np.empty(n + _LINE // 8)
    first = -raw.ctypes.data % _LINE // 8
    return raw[first : first + n]


def aligned(array: Array) -> Array:
    """Return an array, or a copy of it, that is contiguous and begins at a cache line.

    >>> aligned(np.arange(9.0)[1:]).ctypes.data % 64
    0
    """
    if array.ctypes.data % _LINE == 0 and array.flags.c_contiguous:
        return array
    copy = empty(len(array))
    copy[...] = array
    return copy

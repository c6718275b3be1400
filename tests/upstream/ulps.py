"""Distances in ulp, a million at a time."""

import math
from functools import cache
from typing import Any

import numba
import numpy as np

OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}
LOW = -1100  # below the exponent of every float64


@cache
def table(dtype: str) -> np.ndarray:
    """Return the ulp of the numbers with each exponent, from LOW on; below the smallest normal number it stays the same."""
    info = np.finfo(dtype)
    exponents = np.clip(np.arange(LOW, -LOW), info.minexp + 1, info.maxexp)
    return np.ldexp(1.0, exponents - 1 - info.nmant)


@numba.njit(**OPTIONS)
def ulp(x: float, units: np.ndarray) -> float:
    """Return the distance from |x| to the next float, NaN and infinity aside."""
    return units[math.frexp(x)[1] - LOW]


def judge(
    ours: np.ndarray, theirs: np.ndarray, size: np.ndarray, doubt: np.ndarray, floor: float, limit: float
) -> tuple[float, float, int, int]:
    """Return the largest error in ulp of size + doubt, that in ulp of size, how many of these exceed limit, and how many are open.

    A difference up to floor is none. What the upstream made NaN or infinite, or doubt leaves open without a bound, is not compared.

    Args:
        ours: (n,) values of ours.
        theirs: (n,) the upstream's.
        size: (n,) magnitudes whose ulp is the unit.
        doubt: (n,) what is open besides; or empty.
        floor: the largest difference that does not count.
        limit: in ulp of size.
    """
    info = np.finfo(size.dtype)
    # The ulp by the bits of the exponent, and NaN where these say that size is not finite.
    exponents = np.clip(np.arange(1 << info.nexp), 1, None) + info.minexp - 1 - info.nmant
    units = np.ldexp(1.0, np.minimum(exponents, info.maxexp))
    units[-1] = np.nan
    return _judge(ours, theirs, size.view(f"u{size.itemsize}"), doubt, floor, limit, units, info.nmant)


@numba.njit(**OPTIONS)
def _judge(ours, theirs, bits, doubt, floor, limit, units, shift):  # type: ignore[no-untyped-def]
    worst = bare = 0.0
    beyond = unknown = 0
    for i in range(len(theirs)):
        unit = units[bits[i] >> shift]
        distance = abs(float(ours[i]) - float(theirs[i]))
        if distance <= floor and unit == unit:  # NaN fails both comparisons
            continue
        if not (math.isfinite(theirs[i]) and unit == unit):
            unknown += 1
            continue
        if not math.isfinite(ours[i]):
            distance = math.inf
        distance -= floor
        share = distance / unit
        if share > bare or share > limit:
            bare = max(bare, share)
            beyond += share > limit
        if len(doubt):
            if not math.isfinite(doubt[i]):
                unknown += 1
                continue
            share = distance / (unit + doubt[i])
        worst = max(worst, share)
    return worst, bare, beyond, unknown

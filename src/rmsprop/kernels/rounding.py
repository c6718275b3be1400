"""Stochastic rounding of 16-bit parameters: up or down by chance, so that steps below half an ulp are taken in the mean, not lost.

The chance comes from a counter, not from a generator with state: the same seed and element give the same bits on every backend, for
every number of threads, and after every save and resume.
"""

from typing import Any

# Primitives of a backend, as `rule.sqrt` is one; `rebound` replaces them. FLOAT16 says which of the two 16-bit types it is.
bits: Any = None  # float32 to the integer with its bits
number: Any = None  # and back
wide: Any = None  # to float64
where: Any = None
floor: Any = None
FLOAT16 = False


def noise(seed: Any, index: Any) -> Any:
    """Return 32 random bits for an element: a hash of its index, mixed with the seed.

    Source: the constants are those of Chris Wellons's lowbias32, https://nullprogram.com/blog/2018/07/31/.
    """
    x = (index ^ (index >> 32) ^ seed) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def seeded(step: Any, tensor: Any) -> Any:
    """Return the seed of a tensor's elements in a step: 32 bits, far apart for neighbours."""
    return ((step * 0x9E3779B9) ^ ((tensor + 1) * 0x85EBCA6B)) & 0xFFFFFFFF


def scatter(x: Any, random: Any) -> Any:
    """Return float32 x as a number that the 16-bit type holds: one of its two neighbours there, the nearer the likelier.

    Args:
        x: float32.
        random: from `noise`.
    """
    if FLOAT16:
        # Below the smallest normal number the distance of neighbours stays at 2⁻²⁴.
        low = floor(wide(x) * 16777216.0 + wide(random & 0xFFFFFF) * 5.9604644775390625e-08) * 5.9604644775390625e-08
        high = number((bits(x) + (random & 0x1FFF)) & ~0x1FFF)
        y = where(abs(x) < 6.103515625e-05, low, high)
    else:
        y = number((bits(x) + (random & 0xFFFF)) & ~0xFFFF)
    return where(abs(x) < 3.0e38, y, x)  # infinity and NaN have no neighbours

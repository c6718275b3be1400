"""The rule on NumPy arrays: the reference, and what runs where a compiled pass cannot or need not.

It takes any layout and byte order, in blocks that stay in cache.
"""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.kernels.precision import floor
from rmsprop.rule import Rule, bind

Array = NDArray[Any]
Update = Callable[..., tuple[Array, ...]]
BLOCK = 8192


@lru_cache(maxsize=256)
def update_for(rule: Rule, real: str) -> Update:
    """Return the rule bound to NumPy.

    Args:
        rule: whose branches to take.
        real: dtype name of the arithmetic's real numbers.
    """
    return _update_for(rule.branches, real)


@cache
def _update_for(rule: Rule, real: str) -> Update:
    bound: Update = bind(rule, sqrt=np.sqrt, flush=partial(_flush, floor(real), np.zeros((), real)))
    return bound


def flushed(array: Array) -> Array:
    """Return an array with the numbers below `floor` replaced by 0."""
    real = array.real.dtype
    clear: Array = _flush(floor(real.name), np.zeros((), real), array)
    return clear


def _flush(least: float, zero: Array, z: Any) -> Any:
    """Return z with the numbers below `least` replaced by zero, each part of a complex one by itself."""
    if z.dtype.kind != "c":
        return np.where(np.abs(z) < least, zero, z)
    result = np.empty(z.shape, z.dtype)
    result.real, result.imag = _flush(least, zero, z.real), _flush(least, zero, z.imag)
    return result


def advance(update: Update, arrays: Sequence[Array | None], computed: Sequence[np.dtype[Any]], scalars: Array) -> None:
    """Update one tensor in place, floating-point warnings being the caller's to silence.

    Args:
        update: from `update_for`.
        arrays: p, g, v, m and b, of one shape, None for those that the rule does not keep; all but g are written.
        computed: the dtype in which each of them is computed.
        scalars: (10,) in the arithmetic's dtype: the fields of `rule.Scalars`.
    """
    p, g = arrays[:2]
    assert p is not None
    assert g is not None
    if p.size <= BLOCK and p.dtype is g.dtype and p.dtype is computed[0]:
        _write(update, arrays, scalars)
        return
    held = [row for row, a in enumerate(arrays) if a is not None]
    blocks = np.nditer(
        [arrays[row] for row in held],
        flags=["external_loop", "buffered", "zerosize_ok"],
        op_flags=[["readonly"] if row == 1 else ["readwrite"] for row in held],
        op_dtypes=[computed[row] for row in held],
        casting="same_kind",
        buffersize=BLOCK,
    )
    with blocks:
        for block in blocks:
            found = dict(zip(held, block, strict=True))
            _write(update, [found.get(row) for row in range(len(arrays))], scalars)


def _write(update: Update, arrays: Sequence[Array | None], scalars: Array) -> None:
    """Run the rule on arrays that fit, and put what it returns where it came from."""
    p, g, v, m, b = arrays
    for array, new in zip((p, v, m, b), update(p, g, v, m, b, *scalars), strict=True):
        if array is not None:
            array[...] = new


def beyond(g: Array, limit: float) -> bool:
    """Return whether an array holds NaN or a number whose magnitude is above limit."""
    if g.dtype.kind in "fc":
        limit = min(limit, float(np.finfo(g.dtype).max))  # it would become infinity in float16, and nothing is above that
    with np.errstate(all="ignore"):
        if g.size <= BLOCK and g.dtype.kind == "f":
            flat = g.ravel()
            if flat.dot(flat) <= min(limit, limit * limit):  # it settles nearly every gradient in one call
                return False
        for part in (g.real, g.imag) if g.dtype.kind == "c" else (g,):
            blocks = np.nditer(part, flags=["external_loop", "buffered", "zerosize_ok"], buffersize=BLOCK)
            with blocks:
                if not all((np.abs(block) <= limit).all() for block in blocks):
                    return True
    return False

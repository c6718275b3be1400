"""The rule on NumPy arrays: the reference, and what runs where a compiled pass cannot or need not.

It takes any layout and byte order, in blocks that stay in cache.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.rule import Rule, bind

Array = NDArray[Any]
BLOCK = 8192


@cache
def update_for(rule: Rule, real: str) -> Callable[..., tuple[Array, ...]]:
    """Return the rule bound to NumPy.

    Args:
        rule: whose branches to take.
        real: dtype name of the arithmetic's real numbers, below whose smallest normal number state is 0.
    """
    tiny = np.finfo(real).tiny
    zero = np.zeros((), real)

    def flush(z: Any) -> Any:
        small = np.abs(z.real) < tiny
        if z.dtype.kind == "c":
            small &= np.abs(z.imag) < tiny
        return np.where(small, zero, z)

    bound: Callable[..., tuple[Array, ...]] = bind(rule, sqrt=np.sqrt, flush=flush)
    return bound


def advance(rule: Rule, arrays: Sequence[Array], computed: Sequence[np.dtype[Any]], scalars: Array) -> None:
    """Update one tensor in place.

    Args:
        rule: the dialect.
        arrays: p, g and then the rule's state arrays, of one shape; p and the state are written.
        computed: the dtype in which each of them is computed.
        scalars: (10,) in the arithmetic's dtype: the fields of `rule.Scalars`.
    """
    update = update_for(rule, scalars.dtype.name)
    kept = ["p", *(slot.argument for slot in rule.slots)]
    with np.errstate(all="ignore"):
        if arrays[0].size <= BLOCK and all(a.dtype == dtype for a, dtype in zip(arrays, computed, strict=True)):
            _write(update, kept, arrays, scalars)
            return
        blocks = np.nditer(
            arrays,
            flags=["external_loop", "buffered", "zerosize_ok"],
            op_flags=[["readonly"] if i == 1 else ["readwrite"] for i in range(len(arrays))],
            op_dtypes=list(computed),
            casting="same_kind",
            buffersize=BLOCK,
        )
        with blocks:
            for block in blocks:
                _write(update, kept, block, scalars)


def _write(update: Callable[..., tuple[Array, ...]], kept: list[str], arrays: Sequence[Array], scalars: Array) -> None:
    """Run the rule on arrays that fit, and put what it returns where it came from."""
    p, g, *state = arrays
    held = dict(zip(kept, (p, *state), strict=True))
    after = update(p, g, held["v"], held.get("m"), held.get("b"), *scalars)
    for name, new in zip("pvmb", after, strict=True):
        if name in held:
            held[name][...] = new


def beyond(g: Array, limit: float) -> bool:
    """Return whether an array holds NaN or a number whose magnitude is above limit."""
    with np.errstate(all="ignore"):
        for part in (g.real, g.imag) if g.dtype.kind == "c" else (g,):
            blocks = np.nditer(part, flags=["external_loop", "buffered", "zerosize_ok"], buffersize=BLOCK)
            with blocks:
                if not all((np.abs(block) <= limit).all() for block in blocks):
                    return True
    return False

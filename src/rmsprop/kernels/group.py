"""Parameters of one dtype with their state, and which kernel takes which of them in a step.

Arrays that lie dense in memory go through the compiled pass, all in one call. Others, and models too small to repay loading a
compiler, go through the reference. Both give the same bits.
"""

import ctypes
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.kernels import reference
from rmsprop.kernels.threads import share
from rmsprop.rule import Rule, Scalars

Array = NDArray[Any]

# Elements that a further thread must have to itself; below that, waking it costs more than it saves.
GRAIN = 16_384
_REAL = {"complex64": "float32", "complex128": "float64"}
_STATE_ROWS = (0, 2, 3, 4)  # of the table of addresses: p, v, m, b; row 1 is g's


class Group:
    """Some parameters of one dtype, updated together.

    Args:
        rule: the dialect.
        params: the parameters, each writeable, of one dtype.
        state: for each of the rule's slots, one array a parameter, as `new_state` makes them.
        computed: dtype name of the arithmetic.
        compiled: whether to compile a kernel, or to stay with NumPy.
    """

    def __init__(
        self, rule: Rule, params: Sequence[Array], state: Mapping[str, Sequence[Array]], computed: str, compiled: bool
    ) -> None:
        """Lay out the table of addresses that the compiled pass reads."""
        self.rule = rule
        self.params = params
        self.real = _REAL.get(computed, computed)
        self.limit = _limit(rule, self.real)
        self.coupled = rule.switches["COUPLED"]
        # Parts of a complex number are two elements of the kernel, its modulus makes it one.
        self.parts = computed in _REAL and rule.complex_form == "parts"
        self.computed = self.real if self.parts else computed
        self.stored = self.real if self.parts else params[0].dtype.name
        self.dense = [compiled and _dense(p) for p in params]
        if any(self.dense):
            from rmsprop.kernels import cpu  # loads Numba

            self.sweep = cpu.sweep_for(rule, self.stored, self.computed)
            self.scan = cpu.scan_for(self.stored, self.computed)
        width = 2 if self.parts else 1
        self.sizes = np.array([p.size * width for p in params], np.int64)
        self.ends = self.sizes.cumsum()
        held: dict[str, Sequence[Array | None]] = {slot.argument: state[slot.name] for slot in rule.slots}
        self.state = [held.get(row, [None] * len(params)) for row in "vmb"]
        self.table = np.zeros((5, len(params)), np.int64)
        for row, arrays in zip(_STATE_ROWS, (params, *self.state), strict=True):
            self.table[row] = [0 if a is None else a.ctypes.data for a in arrays]
        real, whole = np.dtype(self.real), np.dtype(self.computed)
        self.kinds = [whole, whole, real, whole, whole]

    def route(self, grads: Sequence[Array | None]) -> tuple[list[int], list[int]]:
        """Note the gradients' addresses; return the indices for the compiled pass and those for the reference."""
        swept, left = [], []
        addresses = self.table[1]
        for k, (p, g, dense) in enumerate(zip(self.params, grads, self.dense, strict=True)):
            if g is None:
                continue
            if dense and g.dtype == p.dtype and g.flags.aligned and _same_order(p, g):
                addresses[k] = address(g)
                swept.append(k)
            else:
                left.append(k)
        return swept, left

    def beyond(self, grads: Sequence[Array | None], swept: list[int], left: list[int]) -> int | None:
        """Return the index of the first gradient with NaN, infinity or a square too large for the arithmetic, if any."""
        suspects = list(left)
        if swept and self._scan(swept):
            suspects = sorted(swept + left)
        for k in suspects:
            g = grads[k]
            if g is not None and reference.beyond(g, self.limit):
                return k
        if self.coupled:
            # The gradient that is squared has weight_decay·p in it.
            limit = self.limit / self.rule.weight_decay
            if limit < np.finfo(self.real).max:
                for k in sorted(swept + left):
                    if reference.beyond(self.params[k], limit):
                        return k
        return None

    def advance(self, grads: Sequence[Array | None], scalars: Scalars, swept: list[int], left: list[int]) -> None:
        """Take one step; `swept` and `left` as `route` returned them for these gradients."""
        values = np.array(scalars, self.real)
        if swept:
            table, ends = self._columns(swept)
            share(lambda first, last: self.sweep(table, ends, values, first, last), int(ends[-1]), GRAIN)
        if left:
            with np.errstate(all="ignore"):
                for k in left:
                    self._refer(k, grads[k], values)

    def _scan(self, chosen: list[int]) -> bool:
        """Return whether a gradient of the compiled pass holds a number beyond the limit."""
        table, ends = self._columns(chosen)
        found: list[bool] = []
        limit = np.dtype(self.real).type(self.limit)
        share(lambda first, last: found.append(self.scan(table, ends, limit, first, last)), int(ends[-1]), GRAIN)
        return any(found)

    def _columns(self, chosen: list[int]) -> tuple[Array, Array]:
        """Return the table and the running sizes of some of the parameters."""
        if len(chosen) == len(self.params):
            return self.table, self.ends
        return np.ascontiguousarray(self.table[:, chosen]), self.sizes[chosen].cumsum()

    def _refer(self, k: int, g: Array | None, scalars: Array) -> None:
        """Take one parameter's step with the reference."""
        arrays = [self.params[k], g, *(held[k] for held in self.state)]
        if self.parts:
            for part in ("real", "imag"):
                reference.advance(self.rule, [None if a is None else getattr(a, part) for a in arrays], self.kinds, scalars)
        else:
            reference.advance(self.rule, arrays, self.kinds, scalars)


class Memory:
    """The memory of parameters and state, to tell whether a gradient lies in it.

    Args:
        arrays: all arrays that a step writes to.
    """

    def __init__(self, arrays: Sequence[Array]) -> None:
        """Sort the spans of the arrays."""
        spans = sorted(np.lib.array_utils.byte_bounds(a) for a in arrays if a.size)
        self.lows = [low for low, _ in spans]
        self.highs = list(accumulate((high for _, high in spans), max))

    def holds(self, array: Array) -> bool:
        """Return whether an array may share memory with these."""
        if array.flags.contiguous:
            low = address(array)
            high = low + array.nbytes
        else:
            low, high = np.lib.array_utils.byte_bounds(array)
        before = bisect_left(self.lows, high)
        return before > 0 and self.highs[before - 1] > low


def new_state(rule: Rule, p: Array, computed: str) -> dict[str, Array]:
    """Return the state of one parameter before the first step: slot name to array, in the parameter's shape and memory order."""
    state = {}
    for slot in rule.slots:
        kind, initial = computed, complex(slot.initial, slot.initial)
        if computed not in _REAL or (slot.real and rule.complex_form == "modulus"):
            kind, initial = _REAL.get(computed, computed), slot.initial
        state[slot.name] = np.full_like(p, initial, dtype=kind, subok=False)
    return state


def check_precision(rule: Rule, computed: str, lr: float) -> None:
    """Refuse hyper-parameters that lose their meaning in an arithmetic's precision.

    Args:
        rule: the dialect.
        computed: dtype name of the arithmetic.
        lr: learning rate.

    Raises:
        ValueError: eps rounds to 0, decay or momentum round to 1, or lr / eps overflows.
    """
    real = np.dtype(_REAL.get(computed, computed))
    info = np.finfo(real)
    if real.type(rule.eps) == 0:
        raise ValueError(
            f"eps={rule.eps!r} rounds to 0 in {real}, where a zero gradient gives 0/0; "
            f"use at least {float(info.smallest_subnormal):.3g}"
        )
    for name in ("decay", "momentum"):
        if real.type(getattr(rule, name)) == 1:
            raise ValueError(
                f"{name}={getattr(rule, name)!r} rounds to 1 in {real}; "
                f"use at most {1 - float(info.epsneg):.17g}, or wider parameters"
            )
    floor = float(real.type(rule.eps))
    if rule.eps_place == "inside":
        floor = floor**0.5
    rate = max(lr, 1.0) if rule.momentum and not rule.lr_in_momentum else lr
    if rate >= floor * float(info.max):
        raise ValueError(f"lr={lr!r} over eps={rule.eps!r} overflows {real}; use a larger eps")


def address(array: Array) -> int:
    """Return the address of an array's first element; five times as fast as `array.ctypes.data`."""
    try:
        return ctypes.addressof(_EMPTY.from_buffer(array))  # type: ignore[arg-type]  # typed as a buffer from Python 3.12
    except (TypeError, ValueError, BufferError):  # read-only, or not in C order
        return array.ctypes.data


_EMPTY = ctypes.c_char * 0


def _limit(rule: Rule, real: str) -> float:
    """Return the largest magnitude of a gradient whose square, with whatever the rule adds to it, stays finite."""
    # A millionth less than the root: the two weights of a mean may add up to a little more than 1.
    limit: float = float(np.finfo(real).max) ** 0.5 * (1 - 1e-6)
    # (g - m)², |g|² of two parts, (g + weight_decay·p)²: sums of two.
    return limit / 2 if rule.centered or rule.complex_form == "modulus" or rule.switches["COUPLED"] else limit


def _dense(p: Array) -> bool:
    """Return whether an array fills one stretch of memory with numbers that a processor can read as they are."""
    return (p.flags.c_contiguous or p.flags.f_contiguous) and p.flags.aligned and p.dtype.isnative


def _same_order(p: Array, g: Array) -> bool:
    """Return whether two dense arrays of one shape have their elements in the same order in memory."""
    if g.strides == p.strides:
        return True
    return (g.flags.c_contiguous and p.flags.c_contiguous) or (g.flags.f_contiguous and p.flags.f_contiguous)

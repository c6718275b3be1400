"""The rule on a CPU: one compiled pass over all tensors of a model, in one call.

The tensors are taken end to end: element e of the model is element e - ends[k - 1] of the tensor k with ends[k - 1] ≤ e < ends[k].
Each thread gets one range of e, whatever the tensors' sizes.
"""

import hashlib
import inspect
import math
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.caching import FunctionCache
from numba.extending import overload

from rmsprop.kernels import elements
from rmsprop.kernels.precision import REAL, floor
from rmsprop.rule import Rule, bind, modulus_square, rebound, square
from rmsprop.rule import update as rule_update

# What `sweep` and `scan` read besides their arguments; `_compiled` replaces them in a copy of each function.
update: Any = None
scalar: Any = None
load_p: Any = None
load_g: Any = None
load_v: Any = None
load_m: Any = None
load_b: Any = None
store_p: Any = None
store_v: Any = None
store_m: Any = None
store_b: Any = None
magnitude: Any = None
prefetch_p: Any = None
prefetch_g: Any = None
prefetch_v: Any = None
prefetch_m: Any = None
prefetch_b: Any = None
CENTERED = MOMENTUM = False
LINE = 1
whole = elements.load("int64", "int64", "table")

# The division and the root keep a core from running far enough ahead to hide the memory behind them, and its own prefetcher stops
# at each page. Hence lines are asked for by name, some 4 KB ahead, in a loop beside the one that is vectorized.
BLOCK, AHEAD = 64, 1024

# No fastmath: it may take approximate reciprocals in a vectorized body and exact ones in the tail, so that results would depend on
# where a thread's range ends. The numpy error model divides without a branch.
# Arguments are plain numbers: no array is unpacked at a call, and nothing of Numba's array library is compiled or loaded.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False}


def sweep(pointers: int, ends: int, scalars: int, tensors: int, first: int, last: int) -> None:
    """Update elements first to last.

    Args:
        pointers: address of a (5, tensors) int64 array: addresses of p, g, v, m, b; a row that the rule does not keep is not read.
        ends: address of a (tensors,) int64 array: running sum of the tensors' sizes.
        scalars: address of the fields of `rule.Scalars` in the arithmetic's dtype.
        tensors: number of tensors.
        first: first element of the range.
        last: one past its last element.
    """
    inner, outer, decay, fresh, eps = (
        scalar(scalars, 0),
        scalar(scalars, 1),
        scalar(scalars, 2),
        scalar(scalars, 3),
        scalar(scalars, 4),
    )
    momentum, weight_decay = scalar(scalars, 5), scalar(scalars, 6)
    correction, unbias, carried = scalar(scalars, 7), scalar(scalars, 8), scalar(scalars, 9)
    tensor = holding(ends, tensors, first)
    while first < last:
        stop = min(last, whole(ends, tensor))
        start = whole(ends, tensor - 1) if tensor else 0
        at_p, at_g, at_v = whole(pointers, tensor), whole(pointers, tensors + tensor), whole(pointers, 2 * tensors + tensor)
        at_m, at_b = whole(pointers, 3 * tensors + tensor), whole(pointers, 4 * tensors + tensor)
        for block in range(first - start, stop - start, BLOCK):
            if block + AHEAD < stop - start:
                for line in range(block + AHEAD, block + AHEAD + BLOCK, LINE):
                    prefetch_p(at_p, line)
                    prefetch_g(at_g, line)
                    prefetch_v(at_v, line)
                    if CENTERED:
                        prefetch_m(at_m, line)
                    if MOMENTUM:
                        prefetch_b(at_b, line)
            for i in range(block, min(block + BLOCK, stop - start)):
                p = load_p(at_p, i)
                g = load_g(at_g, i)
                v = load_v(at_v, i)
                m = load_m(at_m, i) if CENTERED else g
                b = load_b(at_b, i) if MOMENTUM else g
                p, v, m, b = update(
                    p, g, v, m, b, inner, outer, decay, fresh, eps, momentum, weight_decay, correction, unbias, carried
                )
                store_p(at_p, i, p)
                store_v(at_v, i, v)
                if CENTERED:
                    store_m(at_m, i, m)
                if MOMENTUM:
                    store_b(at_b, i, b)
        first = stop
        tensor += 1


def scan(pointers: int, ends: int, limit: Any, tensors: int, first: int, last: int) -> bool:
    """Return whether a real number among elements first to last is NaN or beyond limit.

    Args:
        pointers: address of a (tensors,) int64 array: addresses of the arrays.
        ends: as for `sweep`.
        limit: the bits of the largest magnitude allowed.
        tensors: as for `sweep`.
        first: first element of the range.
        last: one past its last element.
    """
    tensor = holding(ends, tensors, first)
    while first < last:
        stop = min(last, whole(ends, tensor))
        start = whole(ends, tensor - 1) if tensor else 0
        if first == stop:  # a tensor without elements has no first one to look at
            tensor += 1
            continue
        at_g = whole(pointers, tensor)
        largest = magnitude(at_g, first - start)
        for block in range(first - start, stop - start, BLOCK):
            if block + AHEAD < stop - start:
                for line in range(block + AHEAD, block + AHEAD + BLOCK, LINE):
                    prefetch_g(at_g, line)
            for i in range(block, min(block + BLOCK, stop - start)):
                largest = max(largest, magnitude(at_g, i))
        if largest > limit:
            return True
        first = stop
        tensor += 1
    return False


def holding(ends: int, tensors: int, element: int) -> int:
    """Return the number of the tensor that holds an element: the first that ends beyond it."""
    low, high = 0, tensors
    while low < high:
        middle = (low + high) // 2
        if whole(ends, middle) <= element:
            low = middle + 1
        else:
            high = middle
    return low


def sweep_for(rule: Rule, parameter: str, computed: str) -> Any:
    """Return `sweep` compiled for a rule's branches and types.

    Args:
        rule: only the branches that it takes count.
        parameter: dtype name of parameters and gradients in memory.
        computed: dtype name of the arithmetic and of the state.
    """
    return _sweep_for(rule.branches, parameter, computed)


@cache
def _sweep_for(rule: Rule, parameter: str, computed: str) -> Any:
    least = np.dtype(REAL.get(computed, computed)).type(floor(REAL.get(computed, computed)))

    real = numba.njit(lambda x: x - x if abs(x) < least else x, **_OPTIONS)
    parts = numba.njit(lambda z: complex(real(z.real), real(z.imag)), **_OPTIONS)

    def flush(z: Any) -> Any:
        return z

    def flush_for(z):  # type: ignore[no-untyped-def]  # Numba compares its signature with that of the lambdas
        return (lambda z: parts(z)) if isinstance(z, types.Complex) else (lambda z: real(z))

    overload(flush, jit_options=dict(_OPTIONS))(flush_for)  # type: ignore[arg-type]  # typed without nogil
    bound = bind(rule, sqrt=math.sqrt, flush=flush, compile=numba.njit(**_OPTIONS))
    return sweep_with(bound, rule, parameter, computed)


def sweep_with(function: Any, rule: Rule, parameter: str, computed: str) -> Any:
    """Return `sweep` around a compiled function of `update`'s arguments.

    Args:
        function: what to do to each element.
        rule: says which state there is.
        parameter: as for `sweep_for`.
        computed: as for `sweep_for`.
    """
    real = REAL.get(computed, computed)
    names: dict[str, Any] = {"update": function, "CENTERED": rule.centered, "MOMENTUM": rule.momentum > 0}
    for stream in elements.STREAMS:
        stored = parameter if stream in "pg" else real if stream == "v" else computed
        value = real if stream == "v" else computed
        names[f"load_{stream}"] = elements.load(stored, value, stream)
        names[f"store_{stream}"] = elements.store(stored, value, stream)
        names[f"prefetch_{stream}"] = elements.prefetch(stored, written=stream != "g")
    names |= {"BLOCK": BLOCK, "AHEAD": AHEAD, "LINE": 64 // np.dtype(computed).itemsize}
    on = (name for name, taken in rule.switches.items() if taken)
    variant = (_code(function.py_func), *on, rule.complex_form, parameter, computed)
    names["scalar"] = elements.load(real, real, "table")
    return _compiled(sweep, names, variant, (types.int64,) * 6)


@cache
def scan_for(real: str) -> Any:
    """Return `scan` compiled for arrays of a real dtype, by name."""
    names = {"magnitude": elements.magnitude(real), "prefetch_g": elements.prefetch(real, written=False)}
    names |= {"BLOCK": BLOCK, "AHEAD": AHEAD, "LINE": 64 // np.dtype(real).itemsize}
    return _compiled(scan, names, (real,), (types.int64,) * 6)


def _compiled(function: Any, names: dict[str, Any], variant: tuple[str, ...], signature: tuple[Any, ...]) -> Any:
    """Return a copy of a kernel that looks its globals up in `names`, compiled, and kept on disk for the next process.

    Numba files what it compiled under the function's qualified name and the time stamp of its source file. It sees neither globals
    nor other files, so two variants would share one entry and an edited rule would find the old one. Hence the name says it all.
    """
    find = numba.njit(**_OPTIONS)(rebound(holding, {"whole": whole}))
    copy = rebound(function, {"whole": whole, "holding": find, **names})
    constants = (f"{name}={value}" for name, value in names.items() if isinstance(value, int))
    copy.__qualname__ = f"{function.__name__}_{_digest(*variant, *constants)}"
    # No folder to write to, a full disk, a damaged file, which goes before the second try: the third can do without the cache.
    for attempt in range(3):
        kernel = numba.njit(**_OPTIONS)(copy)
        try:
            if attempt < 2:
                kernel._cache = _Cache(copy)  # type: ignore[no-untyped-call]  # as `enable_caching` does with Numba's own
            if attempt == 1:
                kernel._cache.flush()
            kernel.compile(signature)
        except Exception:
            if attempt == 2:
                raise
        else:
            break
    return kernel


class _Cache(FunctionCache):
    """Numba's cache on disk, but for one thing: to load a kernel it does not ready all of Numba first, and SciPy with it.

    That takes a quarter of a second, and these kernels call nothing of it. Should a later Numba need some of it to link a kernel,
    the process would end; hence only the versions that were tried.
    """

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Return the compiled kernel from disk, or None."""
        if tuple(map(int, numba.__version__.split(".")[:2])) > (0, 68):
            return super().load_overload(signature, context)  # type: ignore[no-untyped-call]
        with self._guard_against_spurious_io_errors():
            return self._load_overload(signature, context)  # type: ignore[no-untyped-call]


def _digest(*variant: str) -> str:
    """Return a short name for all that decides a kernel's machine code but the processor and Numba, which Numba sees to itself."""
    return hashlib.sha256("\0".join((_made_from(), *variant)).encode()).hexdigest()[:24]


@cache
def _made_from() -> str:
    """Return the code that every kernel is made from, as it is in memory: the files may have changed since they were loaded."""
    own = (rule_update, square, modulus_square, sweep, scan, holding, _sweep_for.__wrapped__, sweep_with)
    helpers = (f for f in vars(elements).values() if inspect.isfunction(f) and f.__module__ == elements.__name__)
    settings = repr((numba.__version__, sorted(_OPTIONS.items()), elements.STREAMS, sorted(REAL.items())))
    return "\0".join([settings, *(_code(function) for function in (*own, *helpers, floor))])


def _code(function: Any) -> str:
    """Return what a function does, as text that is the same in every process."""

    def text(value: Any) -> str:
        if not inspect.iscode(value):
            return repr(value)
        return f"{value.co_code.hex()} {value.co_names} {value.co_varnames} ({' '.join(map(text, value.co_consts))})"

    return text(function.__code__)

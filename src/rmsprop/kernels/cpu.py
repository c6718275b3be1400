"""The rule on a CPU: one compiled pass over all tensors of a model, in one call.

The tensors are taken end to end: element e of the model is element e - ends[k - 1] of the tensor k with ends[k - 1] ≤ e < ends[k].
Each thread gets one range of e, whatever the tensors' sizes.
"""

import hashlib
import math
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np

from rmsprop import rule as _rule
from rmsprop.kernels import memory, precision
from rmsprop.kernels.precision import REAL, floor
from rmsprop.rule import Rule, bind, rebound

# What `sweep` and `scan` read besides their arguments; `_compiled` replaces them in a copy of each function.
update: Any = None
load_p: Any = None
load_g: Any = None
load_v: Any = None
load_m: Any = None
load_b: Any = None
store_p: Any = None
store_v: Any = None
store_m: Any = None
store_b: Any = None
CENTERED = MOMENTUM = False

# No fastmath: it may take approximate reciprocals in a vectorized body and exact ones in the tail, so that results would depend on
# where a thread's range ends. The numpy error model divides without a branch.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}


def sweep(pointers: Any, ends: Any, scalars: Any, first: int, last: int) -> None:
    """Update elements first to last.

    Args:
        pointers: (5, tensors) int64: addresses of p, g, v, m, b; a row that the rule does not keep is not read.
        ends: (tensors,) int64: running sum of the tensors' sizes.
        scalars: (10,) in the arithmetic's dtype: the fields of `rule.Scalars`.
        first: first element of the range.
        last: one past its last element.
    """
    inner, outer, decay, fresh, eps = scalars[0], scalars[1], scalars[2], scalars[3], scalars[4]
    momentum, weight_decay = scalars[5], scalars[6]
    correction, unbias, carried = scalars[7], scalars[8], scalars[9]
    tensor = np.searchsorted(ends, first, side="right")
    while first < last:
        stop = min(last, ends[tensor])
        start = ends[tensor - 1] if tensor else 0
        at_p, at_g, at_v = pointers[0, tensor], pointers[1, tensor], pointers[2, tensor]
        at_m, at_b = pointers[3, tensor], pointers[4, tensor]
        for i in range(first - start, stop - start):
            p = load_p(at_p, i)
            g = load_g(at_g, i)
            v = load_v(at_v, i)
            m = load_m(at_m, i) if CENTERED else g
            b = load_b(at_b, i) if MOMENTUM else g
            p, v, m, b = update(p, g, v, m, b, inner, outer, decay, fresh, eps, momentum, weight_decay, correction, unbias, carried)
            store_p(at_p, i, p)
            store_v(at_v, i, v)
            if CENTERED:
                store_m(at_m, i, m)
            if MOMENTUM:
                store_b(at_b, i, b)
        first = stop
        tensor += 1


def scan(addresses: Any, ends: Any, limit: Any, first: int, last: int) -> bool:
    """Return whether a number among elements first to last is NaN or beyond limit.

    Args:
        addresses: (tensors,) int64: of the arrays.
        ends: as for `sweep`.
        limit: largest magnitude allowed, in the arithmetic's dtype.
        first: first element of the range.
        last: one past its last element.
    """
    tensor = np.searchsorted(ends, first, side="right")
    while first < last:
        stop = min(last, ends[tensor])
        start = ends[tensor - 1] if tensor else 0
        at_g = addresses[tensor]
        wrong = 0
        for i in range(first - start, stop - start):
            g = load_g(at_g, i)
            wrong += not (abs(g.real) <= limit and abs(g.imag) <= limit)
        if wrong:
            return True
        first = stop
        tensor += 1
    return False


@cache
def sweep_for(rule: Rule, parameter: str, computed: str) -> Any:
    """Return `sweep` compiled for a rule's branches and types.

    Args:
        rule: only its switches and `complex_form` count.
        parameter: dtype name of parameters and gradients in memory.
        computed: dtype name of the arithmetic and of the state.
    """
    least = np.dtype(REAL.get(computed, computed)).type(floor(REAL.get(computed, computed)))

    def flush(z: Any) -> Any:
        return z - z if abs(z.real) < least and abs(z.imag) < least else z

    bound = bind(rule, sqrt=math.sqrt, flush=numba.njit(flush, **_OPTIONS), compile=numba.njit(**_OPTIONS))
    return sweep_with(bound, rule, parameter, computed, *(name for name, on in rule.switches.items() if on), rule.complex_form)


def sweep_with(function: Any, rule: Rule, parameter: str, computed: str, *variant: str) -> Any:
    """Return `sweep` around a compiled function of `update`'s arguments.

    Args:
        function: what to do to each element.
        rule: says which state there is.
        parameter: as for `sweep_for`.
        computed: as for `sweep_for`.
        variant: what tells this function from others with the same state and types.
    """
    real = REAL.get(computed, computed)
    names: dict[str, Any] = {"update": function, "CENTERED": rule.centered, "MOMENTUM": rule.momentum > 0}
    for stream in memory.STREAMS:
        stored = parameter if stream in "pg" else real if stream == "v" else computed
        value = real if stream == "v" else computed
        names[f"load_{stream}"] = memory.load(stored, value, stream)
        names[f"store_{stream}"] = memory.store(stored, value, stream)
    return _compiled(sweep, names, *variant, parameter, computed)


@cache
def scan_for(parameter: str, computed: str) -> Any:
    """Return `scan` compiled for arrays of a dtype, by name, and the arithmetic's dtype."""
    return _compiled(scan, {"load_g": memory.load(parameter, computed, "g")}, parameter, computed)


def _compiled(function: Any, names: dict[str, Any], *variant: str) -> Any:
    """Return a copy of a kernel that looks its globals up in `names`, compiled when it is first called, and kept on disk.

    Numba files what it compiled under the function's qualified name and the time stamp of its source file. It sees neither globals
    nor other files, so two variants would share one entry and an edited rule would find the old one. Hence the name says it all.
    """
    copy = rebound(function, {"np": np, **names})
    copy.__qualname__ = f"{function.__name__}_{_digest(*variant)}"
    dispatcher = numba.njit(**_OPTIONS)(copy)
    # RuntimeError: no folder that can be written to. Then every process compiles for itself.
    with suppress(RuntimeError):
        dispatcher.enable_caching()
    return dispatcher


def _digest(*variant: str) -> str:
    """Return a short name for all that decides a kernel's machine code but the processor and Numba, which Numba sees to itself."""
    return hashlib.sha256("\0".join((*_sources(), *variant)).encode()).hexdigest()[:24]


@cache
def _sources() -> tuple[str, ...]:
    """Return the text of the files that a kernel is made from."""
    return tuple(Path(path).read_text(encoding="utf-8") for path in (_rule.__file__, memory.__file__, precision.__file__, __file__))

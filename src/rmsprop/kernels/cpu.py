"""The rule on a CPU: one compiled pass over all tensors of a model, in one call.

The tensors are taken end to end: element e of the model is element e - ends[k - 1] of the tensor k with ends[k - 1] ≤ e < ends[k].
Each thread gets one range of e, whatever the tensors' sizes.
"""

import math
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import overload

from rmsprop.kernels import elements
from rmsprop.kernels.compile import OPTIONS, code, compiled
from rmsprop.kernels.precision import REAL, floor
from rmsprop.kernels.rounding import noise, scatter, seeded
from rmsprop.rule import Rule, average, bind, rebound

# What the kernels read besides their arguments; `compiled` replaces them in a copy of each function.
update: Any = None
blend: Any = None
scalar: Any = None
load_p: Any = None
load_g: Any = None
load_v: Any = None
load_m: Any = None
load_b: Any = None
load_e: Any = None
store_p: Any = None
store_v: Any = None
store_m: Any = None
store_b: Any = None
store_e: Any = None
magnitude: Any = None
prefetch_p: Any = None
prefetch_g: Any = None
prefetch_v: Any = None
prefetch_m: Any = None
prefetch_b: Any = None
prefetch_e: Any = None
put: Any = None
span: Any = None
CENTERED = MOMENTUM = SCALED = AVERAGED = STOCHASTIC = False
LINE = 1
whole = elements.load("int64", "int64", "table")

# The division and the root keep a core from running far enough ahead to hide the memory behind them, and its own prefetcher stops
# at each page. Hence lines are asked for by name, some 4 KB ahead, in a loop beside the one that is vectorized.
BLOCK, AHEAD = 64, 1024

# Numbers whose squares are summed in one go. Where the cuts lie must depend on the tensors alone, so that every number of threads
# gives the same sum.
CHUNK = 16_384

# Rows of scalars after the fields of `rule.Scalars`.
GAIN, KEEP, FRESH = 10, 11, 12
SCALARS = 13


def sweep(pointers: int, gradients: int, ends: int, scalars: int, seed: int, tensors: int, first: int, last: int) -> None:
    """Update elements first to last.

    Args:
        pointers: address of a (5, tensors) int64 array: addresses of p, v, m, b and of the moving average of p; a row that is not
            kept is not read.
        gradients: address of a (tensors,) int64 array: addresses of the gradients.
        ends: address of a (tensors,) int64 array: running sum of the tensors' sizes.
        scalars: address of SCALARS numbers in the arithmetic's dtype: the fields of `rule.Scalars`; what the gradients are
            multiplied by (SCALED); the weights of the average's past and of p (AVERAGED).
        seed: of this step's random bits (STOCHASTIC).
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
    gain, keep, rest = scalar(scalars, GAIN), scalar(scalars, KEEP), scalar(scalars, FRESH)
    tensor = holding(ends, tensors, first)
    while first < last:
        stop = min(last, whole(ends, tensor))
        start = whole(ends, tensor - 1) if tensor else 0
        at_p, at_g, at_v = whole(pointers, tensor), whole(gradients, tensor), whole(pointers, tensors + tensor)
        at_m, at_b = whole(pointers, 2 * tensors + tensor), whole(pointers, 3 * tensors + tensor)
        at_e = whole(pointers, 4 * tensors + tensor)
        key = seeded(seed, tensor)
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
                    if AVERAGED:
                        prefetch_e(at_e, line)
            for i in range(block, min(block + BLOCK, stop - start)):
                p = load_p(at_p, i)
                g = load_g(at_g, i)
                if SCALED:
                    g = gain * g
                v = load_v(at_v, i)
                m = load_m(at_m, i) if CENTERED else g
                b = load_b(at_b, i) if MOMENTUM else g
                p, v, m, b = update(
                    p, g, v, m, b, inner, outer, decay, fresh, eps, momentum, weight_decay, correction, unbias, carried
                )
                if STOCHASTIC:
                    p = scatter(p, noise(key, i))
                store_p(at_p, i, p)
                store_v(at_v, i, v)
                if CENTERED:
                    store_m(at_m, i, m)
                if MOMENTUM:
                    store_b(at_b, i, b)
                if AVERAGED:
                    # What memory holds is averaged, with the rounding of 16-bit parameters.
                    store_e(at_e, i, blend(load_e(at_e, i), load_p(at_p, i), keep, rest))
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


def squares(pointers: int, ends: int, chunks: int, sums: int, tensors: int, first: int, last: int) -> None:
    """Sum the squares of the real numbers in chunks first to last, in double precision.

    Args:
        pointers: address of a (tensors,) int64 array: addresses of the arrays.
        ends: address of a (tensors,) int64 array: running sum of the real numbers in them.
        chunks: address of a (tensors,) int64 array: running sum of their chunks, each of CHUNK numbers but for a tensor's last.
        sums: address of a float64 array: where each chunk's sum goes.
        tensors: number of tensors.
        first: first chunk of the range.
        last: one past its last chunk.
    """
    tensor = holding(chunks, tensors, first)
    while first < last:
        stop = min(last, whole(chunks, tensor))
        start = whole(chunks, tensor - 1) if tensor else 0
        size = whole(ends, tensor) - (whole(ends, tensor - 1) if tensor else 0)
        for chunk in range(first - start, stop - start):
            put(sums, start + chunk, span(whole(pointers, tensor), chunk * CHUNK, min(chunk * CHUNK + CHUNK, size)))
        first = stop
        tensor += 1


def sum_of_squares(at_g: int, first: int, last: int) -> float:
    """Return the sum of the squares of elements first to last of one array."""
    total = 0.0
    for block in range(first, last, AHEAD):
        for line in range(block + AHEAD, min(block + 2 * AHEAD, last), LINE):
            prefetch_g(at_g, line)
        for i in range(block, min(block + AHEAD, last)):
            g = load_g(at_g, i)
            total += g * g
    return total


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


def sweep_for(
    rule: Rule, parameter: str, computed: str, *, scaled: bool = False, averaged: bool = False, stochastic: bool = False
) -> Any:
    """Return `sweep` compiled for a rule's branches and types.

    Args:
        rule: only the branches that it takes count.
        parameter: dtype name of parameters and gradients in memory.
        computed: dtype name of the arithmetic and of the state.
        scaled: whether gradients are multiplied by a scalar first.
        averaged: whether a moving average of the parameters is kept.
        stochastic: whether 16-bit parameters are rounded up or down by chance.
    """
    return _sweep_for(rule.branches, parameter, computed, scaled, averaged, stochastic)


@cache
def _sweep_for(rule: Rule, parameter: str, computed: str, scaled: bool, averaged: bool, stochastic: bool) -> Any:
    least = np.dtype(REAL.get(computed, computed)).type(floor(REAL.get(computed, computed)))

    real = numba.njit(lambda x: x - x if abs(x) < least else x, **OPTIONS)
    parts = numba.njit(lambda z: complex(real(z.real), real(z.imag)), **OPTIONS)

    def flush(z: Any) -> Any:
        return z

    def flush_for(z):  # type: ignore[no-untyped-def]  # Numba compares its signature with that of the lambdas
        return (lambda z: parts(z)) if isinstance(z, types.Complex) else (lambda z: real(z))

    overload(flush, jit_options=dict(OPTIONS))(flush_for)  # type: ignore[arg-type]  # typed without nogil
    bound = bind(rule, sqrt=math.sqrt, flush=flush, compile=numba.njit(**OPTIONS))
    return sweep_with(bound, rule, parameter, computed, scaled=scaled, averaged=averaged, stochastic=stochastic)


def sweep_with(
    function: Any,
    rule: Rule,
    parameter: str,
    computed: str,
    *,
    scaled: bool = False,
    averaged: bool = False,
    stochastic: bool = False,
) -> Any:
    """Return `sweep` around a compiled function of `update`'s arguments.

    Args:
        function: what to do to each element.
        rule: says which state there is.
        parameter: as for `sweep_for`.
        computed: as for `sweep_for`, as are the next three.
        scaled: whether gradients are multiplied by a scalar first.
        averaged: whether a moving average of the parameters is kept.
        stochastic: whether 16-bit parameters are rounded up or down by chance.
    """
    real = REAL.get(computed, computed)
    names: dict[str, Any] = {"update": function, "CENTERED": rule.centered, "MOMENTUM": rule.momentum > 0}
    names |= {"SCALED": scaled, "AVERAGED": averaged, "STOCHASTIC": stochastic, "GAIN": GAIN, "KEEP": KEEP, "FRESH": FRESH}
    for stream in elements.STREAMS:
        stored = parameter if stream in "pg" else real if stream == "v" else computed
        value = real if stream == "v" else computed
        names[f"load_{stream}"] = elements.load(stored, value, stream)
        names[f"store_{stream}"] = elements.store(stored, value, stream)
        names[f"prefetch_{stream}"] = elements.prefetch(stored, written=stream != "g")
    names |= {"BLOCK": BLOCK, "AHEAD": AHEAD, "LINE": 64 // np.dtype(computed).itemsize}
    names |= {"scalar": elements.load(real, real, "table"), "blend": numba.njit(**OPTIONS)(average), **_finding()}
    names |= {"seeded": numba.njit(**OPTIONS)(seeded), "noise": numba.njit(**OPTIONS)(noise), "scatter": _scatter(parameter)}
    on = (name for name, taken in rule.switches.items() if taken)
    variant = (code(function.py_func), *on, rule.complex_form, parameter, computed)
    return compiled(sweep, names, variant, (types.int64,) * 8)


def _scatter(parameter: str) -> Any:
    """Return `scatter` compiled for a 16-bit type."""
    names = {
        "bits": elements.bits,
        "number": elements.number,
        "wide": numba.njit(lambda x: np.float64(x), **OPTIONS),
        "where": numba.njit(lambda holds, one, other: one if holds else other, **OPTIONS),
        "floor": numba.njit(lambda x: np.floor(x), **OPTIONS),
        "FLOAT16": parameter == "float16",
    }
    return numba.njit(**OPTIONS)(rebound(scatter, names))


@cache
def scan_for(real: str) -> Any:
    """Return `scan` compiled for arrays of a real dtype, by name."""
    names = {"magnitude": elements.magnitude(real), "prefetch_g": elements.prefetch(real, written=False), **_finding()}
    names |= {"BLOCK": BLOCK, "AHEAD": AHEAD, "LINE": _line(real)}
    return compiled(scan, names, (real,), (types.int64,) * 6)


@cache
def squares_for(real: str) -> Any:
    """Return `squares` compiled for arrays of a real dtype, by name."""
    # Sums may be taken in any order here: that of one chunk is the same whoever takes it.
    names: dict[str, Any] = {"load_g": elements.load(real, "float64", "g"), "prefetch_g": elements.prefetch(real, written=False)}
    names |= {"AHEAD": AHEAD, "LINE": _line(real)}
    add = numba.njit(**OPTIONS, fastmath={"reassoc", "contract"})(rebound(sum_of_squares, names))
    names = {"span": add, "put": elements.store("float64", "float64", "v"), "CHUNK": CHUNK, **_finding()}
    return compiled(squares, names, (real,), (types.int64,) * 7)


def _line(real: str) -> int:
    """Return how many real numbers are in a cache line."""
    return 64 // (2 if real in elements.HALVES else np.dtype(real).itemsize)


def _finding() -> dict[str, Any]:
    """Return what every kernel finds its tensors with."""
    return {"whole": whole, "holding": numba.njit(**OPTIONS)(rebound(holding, {"whole": whole}))}

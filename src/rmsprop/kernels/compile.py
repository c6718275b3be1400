"""Compiling the kernels, and keeping what was compiled on disk for the next process."""

import hashlib
import inspect
import sys
from functools import cache
from typing import Any

import numba
from numba.core.caching import FunctionCache

from rmsprop.kernels import elements, precision, rounding
from rmsprop.rule import average, modulus_square, rebound, square
from rmsprop.rule import update as rule_update

# No fastmath: it may take approximate reciprocals in a vectorized body and exact ones in the tail, so that results would depend on
# where a thread's range ends. The numpy error model divides without a branch.
# Arguments are plain numbers: no array is unpacked at a call, and nothing of Numba's array library is compiled or loaded.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False}


def compiled(function: Any, names: dict[str, Any], variant: tuple[str, ...], signature: tuple[Any, ...], **options: Any) -> Any:
    """Return a copy of a kernel that looks its globals up in `names`, compiled, and kept on disk for the next process.

    Numba files what it compiled under the function's qualified name and the time stamp of its source file. It sees neither globals
    nor other files, so two variants would share one entry and an edited rule would find the old one. Hence the name says it all.

    Args:
        function: the kernel; it, and what it calls, is written in its own module, `elements`, `rounding` or the rule.
        names: its globals.
        variant: what tells these globals from others.
        signature: Numba types of its arguments.
        options: of `numba.njit`, in place of OPTIONS.
    """
    settings = {**OPTIONS, **options}
    copy = rebound(function, names)
    constants = (f"{name}={value}" for name, value in names.items() if isinstance(value, int))
    copy.__qualname__ = f"{function.__name__}_{_digest(function.__module__, repr(sorted(settings.items())), *variant, *constants)}"
    # No folder to write to, a full disk, a damaged file, which goes before the second try: the third can do without the cache.
    for attempt in range(3):
        kernel = numba.njit(**settings)(copy)
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


def _digest(module: str, *variant: str) -> str:
    """Return a short name for all that decides a kernel's machine code but the processor and Numba, which Numba sees to itself."""
    return hashlib.sha256("\0".join((_made_from(module), *variant)).encode()).hexdigest()[:24]


@cache
def _made_from(module: str) -> str:
    """Return the code that a module's kernels are made from, as it is in memory: files may have changed since they were loaded."""
    parts = [numba.__version__, repr(elements.STREAMS), repr(sorted(precision.REAL.items()))]
    parts += [code(function) for function in (rule_update, average, square, modulus_square)]
    for source in (sys.modules[module], elements, rounding, precision):
        found = (inspect.unwrap(value) for value in vars(source).values() if callable(value))
        parts += [code(function) for function in found if inspect.isfunction(function) and function.__module__ == source.__name__]
    return "\0".join(parts)


def code(function: Any) -> str:
    """Return what a function does, as text that is the same in every process."""

    def text(value: Any) -> str:
        if not inspect.iscode(value):
            return repr(value)
        return f"{value.co_code.hex()} {value.co_names} {value.co_varnames} ({' '.join(map(text, value.co_consts))})"

    return text(function.__code__)

"""Tensors as the kernels read them: a table of addresses, running sizes, and calls that share the work among threads."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.kernels.threads import share
from rmsprop.layout import address, place

Array = NDArray[Any]

# Elements that a further thread must have to itself; below that, waking it costs more than it saves.
GRAIN = 65_536
ROWS = "pvmbe"  # parameter, the rule's state, the parameter's moving average


class Numbers:
    """The scalars of a step, as `cpu.sweep` reads them.

    Args:
        values: (cpu.SCALARS,) in the arithmetic's dtype.
    """

    def __init__(self, values: Array) -> None:
        """Keep the array, and note where it lies."""
        self.values, self.at = values, address(values)


class Columns:
    """Some tensors of one dtype with their state.

    Args:
        table: (5, tensors) int64: addresses of the arrays in ROWS, 0 for those that are not kept. The caller keeps the arrays.
        sizes: (tensors,) int64: elements of each.
        numbers: real numbers in an element.
    """

    def __init__(self, table: Array, sizes: Array, numbers: int) -> None:
        """Sum the sizes, and note where the arrays lie whose addresses are given out."""
        self.table, self.sizes, self.numbers = table, sizes, numbers
        self.ends = sizes.cumsum()
        self.reals = self.ends * numbers
        self.tensors = len(sizes)
        self.total = int(self.ends[-1]) if self.tensors else 0
        self._at_table, self._at_ends, self._at_reals = address(table), address(self.ends), address(self.reals)
        self._chunks: Array | None = None

    def chosen(self, indices: list[int]) -> "Columns":
        """Return some of the tensors."""
        return Columns(np.ascontiguousarray(self.table[:, indices]), self.sizes[indices], self.numbers)

    def sweep(self, kernel: Any, gradients: Any, scalars: Numbers, seed: int = 0, threads: int | None = None) -> None:
        """Update all tensors.

        Args:
            kernel: from `cpu.sweep_for`.
            gradients: (tensors,) int64: addresses of the gradients, in a NumPy array or one of Python's own.
            scalars: of the step.
            seed: of the step's random bits.
            threads: how many may be used; by default as many as `set_num_threads` says.
        """
        numbers = self._at_table, place(gradients), self._at_ends, scalars.at, seed, self.tensors
        if self.total < 2 * GRAIN:
            kernel(*numbers, 0, self.total)
        else:
            share(lambda first, last: kernel(*numbers, first, last), self.total, GRAIN, threads)

    def beyond(self, kernel: Any, arrays: Any, limit: int, threads: int | None = None) -> bool:
        """Return whether a number in arrays of the tensors' sizes is NaN or beyond a limit.

        Args:
            kernel: from `cpu.scan_for`.
            arrays: (tensors,) int64: their addresses, as for `sweep`.
            limit: the bits of the largest magnitude allowed.
            threads: as for `sweep`.
        """
        numbers = place(arrays), self._at_reals, limit, self.tensors
        found: list[bool] = []
        share(lambda first, last: found.append(kernel(*numbers, first, last)), self.total * self.numbers, GRAIN, threads)
        return any(found)

    def squares(self, kernel: Any, arrays: Any, threads: int | None = None) -> float:
        """Return the sum of the squares of all numbers in arrays of the tensors' sizes, the same for every number of threads.

        Args:
            kernel: from `cpu.squares_for`.
            arrays: (tensors,) int64: their addresses, as for `sweep`.
            threads: as for `sweep`.
        """
        from rmsprop.kernels.cpu import CHUNK

        if self._chunks is None:
            self._chunks = (-(self.sizes * self.numbers // -CHUNK)).cumsum()
        chunks = self._chunks
        total = int(chunks[-1]) if self.tensors else 0
        sums = np.zeros(total)
        numbers = place(arrays), self._at_reals, address(chunks), address(sums), self.tensors
        share(lambda first, last: kernel(*numbers, first, last), total, max(1, GRAIN // CHUNK), threads, align=1)
        return float(sums.sum())


def limit_bits(limit: float, real: str) -> int:
    """Return the bits of a limit in a real dtype, or of its largest number where the limit is beyond it."""
    if real == "bfloat16":
        return limit_bits(limit, "float32") >> 16
    kind = np.dtype(real)
    number = kind.type(min(limit, float(np.finfo(kind).max)))
    return int(number.view(f"i{kind.itemsize}"))

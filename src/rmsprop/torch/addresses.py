"""Where the tensors of a step lie, and whether they are still what the kernel takes them for."""

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rmsprop.kernels import dlpack
from rmsprop.layout import Memory, address
from rmsprop.torch.state import name

CHANGED = dlpack.CHANGED


class Places:
    """Parameters and state where a table has them, and what their gradients must be like.

    Args:
        columns: the parameters, and for each kind of state one tensor for each parameter, of its shape and strides.
        entries: the dicts that hold the state.
        names: under which name each column of state, and then "step", stands there; empty if the columns are not the objects
            that stand there, but parts of them.
    """

    def __init__(self, columns: Sequence[Sequence[Tensor]], entries: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
        """Note what there is to compare with."""
        self.columns = [list(column) for column in columns]  # kept, as the addresses of these objects are given out
        params = self.columns[0] if columns else []
        self.dtypes = [column[0].dtype for column in columns]
        self.shapes = [tuple(p.shape) for p in params]
        self.strides = [p.stride() for p in params]
        self.table = np.array([[t.data_ptr() for t in column] for column in columns], np.int64)
        # Real tensors of one element may be lazily negated whatever their strides, complex ones lazily conjugated: their memory
        # does not hold their values, which the C interface does not tell.
        self._lazy = [k for k, p in enumerate(params) if p.is_complex() or p.numel() == 1]
        self._memory = Memory.of((t.data_ptr(), t.data_ptr() + t.nbytes) for column in columns for t in column if t.numel())
        self._told: NDArray[Any] | None = None
        self._steps = [entry["step"] for entry in entries]
        self._entries, self._names = list(entries), list(names)
        functions = dlpack.functions(Tensor)
        self._device = params[0].device if params else torch.device("cpu")
        device = dlpack.described_device(self._device.type, self._device.index or 0)
        if functions is None or device is None or not params:
            return
        described = [(len(shape), *shape, *stride) for shape, stride in zip(self.shapes, self.strides, strict=True)]
        self._arrays = [  # in the order of the words of `dlpack.check`
            np.array([id(t) for column in (*columns, self._steps) for t in column], np.int64),
            self.table,
            np.array([dlpack.described_dtype(name(kind)) for kind in (self.dtypes[0], *self.dtypes)], np.int64),
            np.array([word for one in described for word in one], np.int64),
            np.cumsum([0, *map(len, described)])[: len(described)].astype(np.int64),
            np.array([id(entry) for entry in entries], np.int64),
            np.array([id(name) for name in names], np.int64),
        ]
        words = [*functions, len(params), len(columns), len(names), *map(address, self._arrays)]
        seen = [0] * len(params)
        memory = self._memory.lows, self._memory.highs, [p.nbytes for p in params], seen
        spans = [np.array(numbers, np.int64) for numbers in memory]
        words += [len(self._memory.lows), *map(address, spans), device]
        self._arrays += spans
        self._told = np.array(words, np.int64)
        self._at = address(self._told)
        self._check = dlpack.checker()

    def found(self, gradients: Sequence[Tensor | None]) -> "array[int] | int":
        """Return the addresses of the gradients.

        Args:
            gradients: one for each parameter.

        Returns:
            The addresses; CHANGED, if a parameter or its state is not where the table has it; or the number of the first gradient
            that is not there, or not like its parameter.
        """
        places = array("q", map(id, gradients))
        code = self._check(self._at, places.buffer_info()[0]) if self._told is not None else self._compared(gradients, places)
        if code != dlpack.FITS:
            return code
        for k in self._lazy:
            g = gradients[k]
            assert g is not None
            if g.is_conj() or g.is_neg():
                return k
        return places

    def holds(self, g: Tensor) -> bool:
        """Return whether a gradient may lie in memory that the step writes to."""
        if g.layout != torch.strided or not g.numel():
            return False
        reach = sum(stride * (size - 1) for stride, size in zip(g.stride(), g.shape, strict=True)) + 1
        return self._memory.meets(g.data_ptr(), g.data_ptr() + reach * g.element_size())

    def _compared(self, gradients: Sequence[Tensor | None], places: "array[int]") -> int:
        """Do what `dlpack.check` does, for versions of PyTorch that do not publish the C interface."""
        held = zip(self._names, (*self.columns[1:], self._steps), strict=True) if self._names else ()
        if any(entry.get(key) is not t for key, column in held for entry, t in zip(self._entries, column, strict=True)):
            return CHANGED
        for column, dtype, row in zip(self.columns, self.dtypes, self.table.tolist(), strict=True):
            if any(not self._fits(k, t, dtype) or t.data_ptr() != row[k] for k, t in enumerate(column)):
                return CHANGED
        for k, g in enumerate(gradients):
            if g is None or not self._fits(k, g, self.dtypes[0]) or self.holds(g):
                return k
            places[k] = g.data_ptr()
        return dlpack.FITS

    def _fits(self, k: int, tensor: Tensor, dtype: torch.dtype) -> bool:
        """Return whether a tensor has the shape and strides of parameter k."""
        if tensor.layout != torch.strided or tensor.device != self._device or tensor.dtype != dtype:
            return False
        return tensor.shape == self.shapes[k] and same_order(tensor.shape, tensor.stride(), self.strides[k])


def same_order(shape: Sequence[int], one: Sequence[int], other: Sequence[int]) -> bool:
    """Return whether two strides lead to the same memory; those of dimensions of one element do not count."""
    return 0 in shape or all(n == 1 or a == b for n, a, b in zip(shape, one, other, strict=True))

"""Where the tensors of a step lie, and whether they are what the kernel takes them for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rmsprop.kernels import dlpack
from rmsprop.layout import address
from rmsprop.torch.state import name

Array = NDArray[Any]


class Expected:
    """Tensors as they have to be for the kernel: on the CPU, of certain shapes and strides.

    Args:
        tensors: such tensors; those to come are compared with these.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        """Note the shapes and strides."""
        self.shapes = [tuple(t.shape) for t in tensors]
        self.strides = [t.stride() for t in tensors]
        described = [(len(shape), *shape, *stride) for shape, stride in zip(self.shapes, self.strides, strict=True)]
        self._words = np.array([word for one in described for word in one], np.int64)
        self._offsets = np.cumsum([0, *map(len, described)])[: len(described)].astype(np.int64)
        self._at = address(self._words), address(self._offsets)
        self._read = dlpack.reader(Tensor)
        # Real tensors of one element may be lazily negated whatever their strides, complex ones lazily conjugated: their memory
        # does not hold their values, which the C interface does not tell.
        self._lazy = [k for k, t in enumerate(tensors) if t.is_complex() or t.numel() == 1]

    def addresses(self, tensors: Sequence[Tensor | None], dtype: torch.dtype) -> Array | None:
        """Return the addresses of tensors, (tensors,) int64, or None if one of them is not as expected, or is not there."""
        count = len(self.shapes)
        found = np.empty(count, np.int64)
        if self._read is not None:
            objects = np.array(list(map(id, tensors)), np.int64)
            if self._read(objects, count, _described(dtype), *self._at, found) < count:
                return None
        else:
            for k, tensor in enumerate(tensors):
                if tensor is None or not self._fits(k, tensor, dtype):
                    return None
                found[k] = tensor.data_ptr()
        for k in self._lazy:
            tensor = tensors[k]
            assert tensor is not None
            if tensor.is_conj() or tensor.is_neg():
                return None
        return found

    def _fits(self, k: int, tensor: Tensor, dtype: torch.dtype) -> bool:
        """Return whether a tensor is as expected of tensor k."""
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.dtype != dtype:
            return False
        return tensor.shape == self.shapes[k] and same_order(tensor.shape, tensor.stride(), self.strides[k])


def same_order(shape: Sequence[int], one: Sequence[int], other: Sequence[int]) -> bool:
    """Return whether two strides lead to the same memory; those of dimensions of one element do not count."""
    return 0 in shape or all(n == 1 or a == b for n, a, b in zip(shape, one, other, strict=True))


_words: dict[torch.dtype, int] = {}


def _described(dtype: torch.dtype) -> int:
    """Return a dtype as DLPack describes it."""
    if dtype not in _words:
        _words[dtype] = dlpack.described_dtype(name(dtype))
    return _words[dtype]

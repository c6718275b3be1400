"""Parameters that share memory: each of their elements would be updated as often as it is there."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rmsprop.parameters import refuse_overlaps


class _Described:
    """A tensor's place in memory, wherever that is, as an array that is never looked into."""

    def __init__(self, tensor: Tensor) -> None:
        size = tensor.element_size()
        self.__array_interface__ = {
            "version": 3,
            "data": (tensor.data_ptr(), False),
            "shape": tuple(tensor.shape),
            "strides": tuple(stride * size for stride in tensor.stride()),
            "typestr": f"|V{size}",
        }


def refuse_aliases(named: Iterable[tuple[Tensor, Any]]) -> None:
    """Refuse parameters that share memory with another or with themselves.

    Args:
        named: parameters with what they are called. Those without memory of their own that can be told, such as subclasses, are
            passed over.

    Raises:
        ValueError: two of them, or two elements of one, lie in the same memory.
    """
    placed: dict[torch.device, list[tuple[Any, NDArray[Any]]]] = {}
    for p, name in named:
        plain = type(p) in (Tensor, torch.nn.Parameter, torch.nn.Buffer) and p.layout == torch.strided
        if plain and p.device.type != "meta" and p.numel():
            placed.setdefault(p.device, []).append((name, np.asarray(_Described(p))))
    for found in placed.values():
        names, arrays = zip(*found, strict=True)
        refuse_overlaps(names, arrays)

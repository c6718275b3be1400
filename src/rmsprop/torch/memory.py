"""What tensors' memory is like: gradients and state as the kernels need them."""

from collections.abc import Callable, Sequence
from itertools import chain
from operator import is_
from typing import Any

import torch
from torch import Tensor

from rmsprop.torch import shards
from rmsprop.torch.addresses import same_order
from rmsprop.torch.state import Entry, name


def fitting(g: Tensor, p: Tensor) -> Tensor:
    """Return a gradient in its parameter's dtype and order of memory, copied only where it differs, or refuse it.

    Raises:
        ValueError: its shape or device differs, or it is complex and the parameter is not.
    """
    if g.shape != p.shape or g.device != p.device or (g.is_complex() and not p.is_complex()):
        raise ValueError(
            f"a gradient must have its parameter's shape {tuple(p.shape)} and device {p.device} and fit its dtype {name(p.dtype)}, "
            f"got shape {tuple(g.shape)}, device {g.device} and dtype {name(g.dtype)}"
        )
    if g.dtype == p.dtype and same_order(p.shape, g.stride(), p.stride()) and not (g.is_conj() or g.is_neg()):
        return g.detach()
    return torch.empty_like(p, memory_format=torch.preserve_format).copy_(g)


def joined(entries: Sequence[Entry], device: Any = "cpu") -> Tensor:
    """Return the counts of steps as one vector, of which each entry's "step" is an element; they are brought together if need be.

    Counting is one addition then, whatever the number of parameters. What lies together already stays, as shared memory must.

    Args:
        entries: the state of some parameters.
        device: where the vector is to be.
    """
    device = torch.device(device)
    steps = [entry["step"] for entry in entries]
    first = steps[0]
    if all(
        type(step) is Tensor
        and step.dtype == torch.float32
        and step.device == device
        and step.dim() == 0
        and step.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        and step.storage_offset() == first.storage_offset() + k
        for k, step in enumerate(steps)
    ):
        vector = torch.empty(0, device=device).set_(first.untyped_storage(), first.storage_offset(), (len(steps),), (1,))
    else:
        vector = _gathered(steps, device)
        for entry, step in zip(entries, vector.unbind(), strict=True):
            entry["step"] = step
    return vector


def _gathered(steps: Sequence[Any], device: torch.device) -> Tensor:
    """Return counts of steps as a new vector on a device; those that lie on it already do not pass through the host."""
    there = [isinstance(step, Tensor) and step.device == device for step in steps]
    if device.type != "cpu" and all(there):
        return torch.stack([step.reshape(()).float() for step in steps])
    return torch.tensor([float(step) for step in steps], dtype=torch.float32, device="cpu").to(device)


def still(fetch: Callable[[Entry], Any], entries: Sequence[Entry], held: Sequence[Tensor]) -> bool:
    """Return whether entries still hold the tensors that they held.

    Args:
        fetch: gets the tensors of one entry.
        entries: the entries.
        held: the tensors of all of them.
    """
    try:
        return all(map(is_, chain.from_iterable(map(fetch, entries)), held))
    except KeyError:
        return False


def is_loose(p: Tensor, entry: Entry) -> bool:
    """Return whether a parameter has gaps in memory, or its state another order than it."""
    if shards.mesh_of(p) is not None:
        p, *state = shards.local([p, *(entry[key] for key in entry if key != "step")])
    else:
        state = [entry[key] for key in entry if key != "step"]
    return not all(same_order(p.shape, p.stride(), t.stride()) and _dense(t) for t in state)


def _dense(tensor: Tensor) -> bool:
    """Return whether a tensor fills one stretch of memory, in some order of its dimensions."""
    reach = 1
    for stride, size in sorted((s, n) for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n != 1):
        if stride != reach:
            return tensor.numel() == 0
        reach *= size
    return True

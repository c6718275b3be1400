"""Distributed tensors (FSDP2): each process steps the part that it holds; what decides about a step is agreed upon by all."""

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def mesh_of(p: Tensor) -> Any:
    """Return the device mesh over which a parameter is spread, or None if it is an ordinary tensor."""
    module = sys.modules.get("torch.distributed.tensor")  # whoever has such a tensor has loaded it
    return p.device_mesh if module is not None and isinstance(p, module.DTensor) else None


def local(tensors: Sequence[Any]) -> list[Any]:
    """Return the parts of distributed tensors that lie in this process; None stays None."""
    with torch.no_grad():
        return [None if t is None else t.to_local() for t in tensors]


def anywhere(found: bool | Tensor, mesh: Any) -> Tensor:
    """Return whether something was found in any process of a mesh, on its device."""
    return _reduced(found, mesh, range(mesh.ndim), torch.distributed.ReduceOp.MAX) != 0


def total(part: float | Tensor, mesh: Any, p: Any) -> Tensor:
    """Return the sum of all parts of a parameter's mesh, on its device; dimensions along which whole copies lie count once."""
    split = [dimension for dimension, placement in enumerate(p.placements) if placement.is_shard()]
    return _reduced(part, mesh, split, torch.distributed.ReduceOp.SUM)


def _reduced(value: float | Tensor, mesh: Any, dimensions: Any, operation: Any) -> Tensor:
    """Return a number reduced over some dimensions of a mesh."""
    number = torch.as_tensor(value, dtype=torch.float64, device=mesh.device_type)
    for dimension in dimensions:
        torch.distributed.all_reduce(number, op=operation, group=mesh.get_group(dimension))
    return number

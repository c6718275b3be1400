"""Sparse gradients, as embeddings have them: the rows that occur, gathered into dense tensors and put back."""

import torch
from torch import Tensor


class Rows:
    """The rows of a parameter that a sparse gradient has.

    Args:
        gradient: coalesced, so that each row is there once.
    """

    def __init__(self, gradient: Tensor) -> None:
        """Note the indices."""
        self.index = tuple(gradient.indices())

    def of(self, tensor: Tensor) -> Tensor:
        """Return a dense copy of these rows."""
        return tensor.detach()[self.index].contiguous()

    def put(self, tensor: Tensor, rows: Tensor) -> None:
        """Write these rows."""
        tensor.index_put_(self.index, rows)


def densified(g: Tensor, p: Tensor, policy: str) -> Tensor:
    """Return a sparse gradient as its group wants it: coalesced with "lazy", dense with "dense"; or refuse it.

    Args:
        g: a gradient that is not dense.
        p: its parameter.
        policy: the group's `sparse`.

    Raises:
        RuntimeError: the policy is "error".
        ValueError: its layout is not that of rows and values, or its shape differs.
    """
    if policy == "error":
        raise RuntimeError(
            "RMSprop does not support sparse gradients unless it is told how: pass sparse='lazy' to update only the rows that "
            "occur, or sparse='dense' to take the others' gradients as 0"
        )
    if g.shape != p.shape:
        raise ValueError(f"a gradient must have its parameter's shape {tuple(p.shape)}, got {tuple(g.shape)}")
    if policy == "dense":
        return g.to_dense()
    if g.layout != torch.sparse_coo:
        raise ValueError(f"sparse='lazy' needs gradients of layout torch.sparse_coo, got {g.layout}; pass sparse='dense'")
    return g.coalesce()

"""The ruler of the PyTorch benchmarks: a pass that moves a step's bytes and does next to nothing else. No update can be faster."""

from collections.abc import Callable

import numba
import numpy as np
import torch

from rmsprop.kernels.columns import GRAIN
from rmsprop.kernels.threads import share


@numba.njit(nogil=True)
def loop_1(p, g, v, first, last):
    """Read g and change p and one array of state."""
    for i in range(first, last):
        p[i] += g[i]
        v[i] += g[i]


@numba.njit(nogil=True)
def loop_2(p, g, v, b, first, last):
    """Read g and change p and two arrays of state."""
    for i in range(first, last):
        p[i] += g[i]
        v[i] += g[i]
        b[i] += g[i]


@numba.njit(nogil=True)
def loop_3(p, g, v, b, m, first, last):
    """Read g and change p and three arrays of state."""
    for i in range(first, last):
        p[i] += g[i]
        v[i] += g[i]
        b[i] += g[i]
        m[i] += g[i]


LOOPS = {1: loop_1, 2: loop_2, 3: loop_3}


def ruler(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """Return a pass over as many bytes as a step of an optimizer moves, all tensors of a kind as one.

    Args:
        optimizer: after its first step. Its parameters are of one dtype and keep as many arrays of state each.
    """
    params = [p for group in optimizer.param_groups for p in group["params"]]
    total = sum(p.numel() for p in params)
    kept = {name: x.dtype for name, x in optimizer.state[params[0]].items() if torch.is_tensor(x) and name != "step"}
    # Memory from where PyTorch's tensors come from: NumPy asks for huge pages, which would measure something else.
    arrays = [plain(torch.ones(total, dtype=kind)) for kind in (params[0].dtype, params[0].dtype, *kept.values())]
    loop = LOOPS[len(kept)]
    return lambda: share(lambda first, last: loop(*arrays, first, last), total, GRAIN)


def plain(x: torch.Tensor) -> np.ndarray:
    """Return a tensor's memory as an array; what NumPy has no name for as integers, of which nothing is asked but addition."""
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()

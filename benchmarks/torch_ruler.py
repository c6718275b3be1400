"""The ruler of the PyTorch benchmarks: a pass that moves a step's bytes and does next to nothing else. No update can be faster."""

from collections.abc import Callable

import numba
import numpy as np
import torch

from rmsprop import Rule
from rmsprop.kernels.columns import GRAIN, ROWS, Columns, Numbers
from rmsprop.kernels.cpu import SCALARS, sweep_with
from rmsprop.kernels.threads import share
from ruler import add, loop

# State of a parameter, by its row in the kernels' table.
NAMES = {"v": ("square_avg", "variance"), "m": ("grad_avg",), "b": ("momentum_buffer",), "e": ("ema",)}


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


LOOPS = {1: loop, 2: loop_2, 3: loop_3}


def rulers(optimizer: torch.optim.Optimizer) -> list[Callable[[], None]]:
    """Return passes over as many bytes as a step of an optimizer moves, over tensors of their own: the faster one counts.

    One is the package's own sweep with an addition in the rule's place, over tensors of the same sizes; the other a plain loop
    that Numba compiles, over all of them end to end.

    Args:
        optimizer: after its first step. Its parameters are of one dtype and keep the same state.
    """
    params = [p for group in optimizer.param_groups for p in group["params"]]
    sizes = np.array([p.numel() for p in params], np.int64)
    state = optimizer.state[params[0]]
    kinds = {row: state[name].dtype for row, names in NAMES.items() for name in names if name in state}
    # Each tensor starts at a multiple of 64 bytes, as PyTorch's do.
    starts = np.concatenate([[0], np.cumsum(-(sizes // -32) * 32)])
    kind = params[0].dtype
    # Memory from where PyTorch's tensors come from: NumPy asks for huge pages, which would measure something else.
    flat = {row: torch.zeros(int(starts[-1]) + 32, dtype=dtype) for row, dtype in {"p": kind, "g": kind, **kinds}.items()}

    def addresses(row: str) -> np.ndarray:
        base = flat[row].data_ptr()
        return base + -base % 64 + starts[:-1] * flat[row].element_size()

    table = np.array([addresses(row) if row in flat else np.zeros_like(sizes) for row in ROWS])
    columns, gradients, scalars = Columns(table, sizes, 1), addresses("g"), Numbers(np.zeros(SCALARS, np.float32))
    rule = Rule(centered="m" in kinds, momentum=0.5 if "b" in kinds else 0.0)
    kernel = sweep_with(add, rule, str(kind).removeprefix("torch."), "float32", averaged="e" in kinds)

    def sweep() -> None:
        columns.sweep(kernel, gradients, scalars)

    sweep.keeps = flat  # type: ignore[attr-defined]  # whose addresses the kernel is given
    arrays, total, loop = [plain(x) for x in flat.values()], int(sizes.sum()), LOOPS[len(kinds)]
    return [sweep, lambda: share(lambda first, last: loop(*arrays, first, last), total, GRAIN)]


def plain(x: torch.Tensor) -> np.ndarray:
    """Return a tensor's memory as an array; what NumPy has no name for as integers, of which nothing is asked but addition."""
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


def of_ruler(times: dict[str, float]) -> float:
    """Return the share of the faster ruler's speed that ours has."""
    return min(time for name, time in times.items() if name.startswith("ruler")) / times["ours"]

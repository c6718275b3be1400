"""Steps that a CUDA graph holds, and steps that wait for no device; without a GPU by recording what is launched."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from rmsprop.kernels.gpu import launch
from rmsprop.torch import launched, plan, uploads

WAITS = {"_local_scalar_dense", "is_nonzero", "equal", "nonzero", "item"}
# Memory is taken when a graph is captured, not when it is replayed.
TAKEN = {"empty", "empty_like", "new_empty", "empty_strided"}


class Recorder(TorchDispatchMode):
    """Records PyTorch's operations and the kernels' launches, and refuses what reads a tensor on the host."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in WAITS:
            raise RuntimeError(f"{name} waits for the device")
        result = func(*args, **(kwargs or {}))
        if name not in TAKEN:
            self.calls.append((func, args, kwargs or {}, result))
        return result

    def launch(self, kernel: launch.Kernel, real: Callable[..., None], args: tuple[Any, ...]) -> None:
        """Launch a kernel and record that."""
        with _disable_current_modes():
            real(kernel, *args)
        self.calls.append((lambda *args: real(kernel, *args), args, {}, None))

    def replay(self) -> None:
        """Do it all once more, on the same memory."""
        for call, args, kwargs, result in self.calls:
            for old, new in zip(tree_leaves(result), tree_leaves(call(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record what happens meanwhile."""
    recorder, real = Recorder(), launch.Kernel.__call__
    with pytest.MonkeyPatch.context() as patch, torch.no_grad(), recorder:
        patch.setattr(launch.Kernel, "__call__", lambda kernel, *args: recorder.launch(kernel, real, args))
        yield recorder


@contextmanager
def without_waiting(device: torch.device) -> Iterator[None]:
    """Refuse meanwhile whatever makes the host wait for a device."""
    if device.type == "cpu":
        with recording():
            yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@contextmanager
def capturable(device: torch.device) -> Iterator[None]:
    """Let tensors of a CPU be capturable in the interpreter, as those of a GPU are."""
    with pytest.MonkeyPatch.context() as patch:
        if device.type == "cpu":
            for module in (launched, plan):
                patch.setattr(module, "counts_on_device", lambda p, group: group["capturable"])
        yield


def captured(device: torch.device, step: Callable[[], Any]) -> Callable[[], None]:
    """Return the replay of a step that was put into a graph, after steps that warmed it up."""
    if device.type == "cpu":
        with pytest.MonkeyPatch.context() as patch, recording() as recorder:
            patch.setattr(uploads, "capturing", lambda device: True)
            step()
        return recorder.replay
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def warmed_up(device: torch.device, step: Callable[[], Any], times: int = 2) -> None:
    """Take steps on a stream beside the current one, as PyTorch's guide to CUDA graphs has it."""
    if device.type == "cpu":
        for _ in range(times):
            step()
        return
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(times):
            step()
    torch.cuda.current_stream().wait_stream(side)

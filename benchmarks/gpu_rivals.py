"""Who is beside ours on a GPU: PyTorch's RMSprop in its forms, compiled, bitsandbytes', and the fused Adam that PyTorch has."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from torch_cases import LR, Case

Step = Callable[[], Any]


@dataclass(frozen=True)
class Rival:
    """A way to step a model.

    Args:
        make: given parameters with gradients and the options of `torch.optim.RMSprop`, an optimizer.
        capturable: whether a CUDA graph can hold its step.
        only: options that it knows; others are left out, and a case that asks for them is not given to it.
    """

    make: Callable[..., torch.optim.Optimizer]
    capturable: bool = False
    only: tuple[str, ...] = ("weight_decay", "momentum", "centered")

    def takes(self, case: Case) -> bool:
        """Return whether it can do what a case asks."""
        return all(option in self.only for option in case.options)


def bitsandbytes(kind: str) -> Callable[..., torch.optim.Optimizer]:
    """Return what makes an optimizer of bitsandbytes, which is loaded then."""

    def make(params: list[torch.Tensor], **options: Any) -> torch.optim.Optimizer:
        import bitsandbytes

        return getattr(bitsandbytes.optim, kind)(params, **options)

    return make


def adam(params: list[torch.Tensor], **options: Any) -> torch.optim.Optimizer:
    """Return PyTorch's fused Adam."""
    return torch.optim.Adam(params, fused=True, capturable=params[0].is_cuda, **options)


def torch_rmsprop(**fixed: Any) -> Callable[..., torch.optim.Optimizer]:
    """Return what makes PyTorch's RMSprop in one of its forms."""
    return lambda params, **options: torch.optim.RMSprop(params, **fixed, **options)


# Adam has two averages and no more; bitsandbytes takes a momentum and does not use it.
RIVALS = {
    "foreach": Rival(torch_rmsprop(foreach=True)),
    "for-loop": Rival(torch_rmsprop(foreach=False)),
    "capturable": Rival(torch_rmsprop(foreach=True, capturable=True), capturable=True),
    "bitsandbytes, 32 bits": Rival(bitsandbytes("RMSprop32bit"), only=("weight_decay",)),
    "bitsandbytes, 8 bits": Rival(bitsandbytes("RMSprop8bit"), only=("weight_decay",)),
    "fused Adam": Rival(adam, capturable=True, only=("weight_decay",)),
}


def step_of(rival: Rival, params: list[torch.Tensor], case: Case) -> tuple[torch.optim.Optimizer, Step]:
    """Return a rival's optimizer after its first step, which makes its state, and its step."""
    optimizer = rival.make(params, lr=LR, **case.options)
    optimizer.step()
    return optimizer, optimizer.step


def compiled(params: list[torch.Tensor], case: Case, limit: float, backend: str) -> tuple[torch.optim.Optimizer, Step]:
    """Return PyTorch's RMSprop and its compiled step, compiled.

    Raises:
        TimeoutError: that took longer than the limit.
    """
    torch.compiler.reset()
    # With the counts of steps on the device there is nothing left for the host.
    optimizer = torch.optim.RMSprop(params, lr=LR, foreach=True, capturable=params[0].is_cuda, **case.options)
    optimizer.step()  # makes the state, so that one compilation is enough
    step = torch.compile(lambda: optimizer.step(), backend=backend)
    with limited(limit):
        step()
        step()
    return optimizer, step


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what takes longer than some seconds; for the main thread alone."""

    def ring(number: int, frame: Any) -> None:
        raise TimeoutError(f"not done within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

"""What the tests of the fused pass share: twins on a device and on the CPU, the same bits, and guard bytes around every buffer."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from rmsprop.torch import RMSprop
from tests.torch.harness import bits, gradients, parameters

# Sizes at and around what a program or an access of 16 bytes covers, none and one element, several dimensions, prime lengths.
SHAPES = [(), (0,), (1,), (7,), (3, 5), (2, 0, 3), (2, 3, 4), (65,), (1021,), (1024,), (1025,), (2048,)]
CANARY = 0xA5
GUARD = 64  # bytes on either side


@contextmanager
def compiled_pass() -> Iterator[None]:
    """Let tensors of a CPU take the CPU's own pass meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RMSPROP_INTERPRET", raising=False)
        yield


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a copy on a device, with the same strides."""
    copy = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
    return copy.copy_(tensor.detach())


def on_device(rate: float, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a learning rate that the host does not read.

    One on a CPU is read at once, unless autograd is to see it: that stands for a device here.
    """
    return torch.tensor(rate, dtype=dtype, device=device, requires_grad=device.type == "cpu")


class Twins:
    """Equal parameters on a device, stepped by the fused pass there, and on the CPU, stepped by its own: the bits must be the same.

    Args:
        device: of the fused pass.
        params: on the CPU, taken over; or shapes, for parameters of that dtype.
        dtype: of those.
        options: of both optimizers.
    """

    def __init__(
        self, device: torch.device, params: Sequence[Any] = SHAPES, dtype: torch.dtype = torch.float32, **options: Any
    ) -> None:
        self.device = device
        self.host = [p if isinstance(p, Tensor) else parameters([p], dtype, seed=k)[0] for k, p in enumerate(params)]
        self.far = [Parameter(moved(p, device)) for p in self.host]
        self.ours = RMSprop(self.far, **{"fused": True, **options})
        self.theirs = RMSprop(self.host, **options)

    def step(self, grads: Sequence[Tensor | None]) -> None:
        """Take a step with both."""
        for p, q, g in zip(self.host, self.far, grads, strict=True):
            p.grad = None if g is None else g.clone()
            q.grad = None if g is None else moved(g, self.device)
        self.ours.step()
        with compiled_pass():
            self.theirs.step()

    def run(self, steps: int = 3, seed: int = 1) -> "Twins":
        """Take some steps, and compare after each."""
        for grads in gradients(self.host, steps, seed):
            self.step(grads)
            self.check()
        return self

    def check(self) -> None:
        """Compare the bits of all parameters and of all state."""
        for k, (q, p) in enumerate(zip(self.far, self.host, strict=True)):
            assert same(q, p), f"parameter {k} of shape {tuple(p.shape)}: {difference(q, p)}"
            mine, other = self.ours.state.get(q, {}), self.theirs.state.get(p, {})
            assert mine.keys() == other.keys(), k
            for name, value in other.items():
                assert mine[name].dtype == value.dtype, name
                if name != "step":
                    assert mine[name].device == q.device, name
                assert same(mine[name], value), (
                    f"{name} of parameter {k} of shape {tuple(p.shape)}: {difference(mine[name], value)}"
                )


def same(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have the same bits; any NaN is as good as another."""
    one, other = one.detach().cpu(), other.detach().cpu()
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if bits([one.contiguous()]) == bits([other.contiguous()]):
        return True
    one, other = (torch.view_as_real(x.resolve_conj()) if x.is_complex() else x for x in (one, other))
    zero = torch.zeros((), dtype=one.dtype)
    nans = one.isnan() & other.isnan()
    return bits([torch.where(nans, zero, one).contiguous()]) == bits([torch.where(nans, zero, other).contiguous()])


def difference(one: Tensor, other: Tensor) -> str:
    """Return where two tensors first differ."""
    one, other = one.detach().cpu().flatten(), other.detach().cpu().flatten()
    places = (one != other).nonzero().flatten().tolist()
    if not places:
        return "signs of zero or NaN differ"
    first = places[0]
    return f"{len(places)} elements differ, the first at {first}: {one[first].item()!r}, not {other[first].item()!r}"


class Guards:
    """Tensors with guard bytes before and after each of them, to see that nobody writes there."""

    def __init__(self) -> None:
        self._buffers: list[tuple[Tensor, int, int]] = []

    def around(self, tensor: Tensor, shift: int = 0) -> Tensor:
        """Return a copy of a dense tensor on its device, with guard bytes around it.

        Args:
            tensor: what is copied.
            shift: elements by which the copy lies off a multiple of 16 bytes.
        """
        first = GUARD + shift * tensor.element_size()
        size = tensor.numel() * tensor.element_size()
        buffer = torch.full((first + size + GUARD,), CANARY, dtype=torch.uint8, device=tensor.device)
        assert buffer.data_ptr() % 16 == 0
        self._buffers.append((buffer, first, size))
        copy = buffer[first : first + size].view(tensor.dtype).view(tensor.shape)
        return copy.copy_(tensor.detach())

    def check(self) -> None:
        """See that all guard bytes are as they were."""
        for buffer, first, size in self._buffers:
            for side, guard in (("before", buffer[:first]), ("after", buffer[first + size :])):
                written = (guard != CANARY).nonzero().flatten().tolist()
                assert not written, f"{len(written)} bytes {side} a tensor of {size} bytes were written to"


def guard(optimizer: RMSprop, guards: Guards, shifts: Iterable[int]) -> None:
    """Put guard bytes around an optimizer's parameters, gradients and state, where they are moved by some elements."""
    shift = iter(shifts)
    for group in optimizer.param_groups:
        for p in group["params"]:
            entry = optimizer.state[p]
            p.data = guards.around(p, next(shift))
            if p.grad is not None:
                p.grad = guards.around(p.grad, next(shift))
            for name, value in entry.items():
                if name != "step":
                    entry[name] = guards.around(value, next(shift))

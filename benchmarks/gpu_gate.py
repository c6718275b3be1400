"""The gate of the benchmark on GPUs: the device's results are the CPU's, bit for bit, and those are PyTorch's."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

import torch_gate
from rmsprop.torch import RMSprop
from torch_cases import LR, Case, fill
from torch_gate import FIRST_MOVE, PARAMETER, STATE, compare, follow

# Sends tensors of a CPU through Triton's interpreter, where both are set.
INTERPRETER = ("RMSPROP_INTERPRET", "TRITON_INTERPRET")


@contextmanager
def compiled_pass() -> Iterator[None]:
    """Let tensors of a CPU take the CPU's own pass, in a rehearsal too."""
    held = {name: os.environ.pop(name) for name in INTERPRETER if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(held)


def gate(case: Case, device: torch.device) -> str:
    """Return how near ours is to the truth on a device, or stop.

    All tensors of a case repeat one block of values, and a step treats each element by itself: the results have to repeat what the
    CPU makes of that block. So a billion elements are held to the CPU's bits, and it steps a million.

    Returns:
        "bits", or how many elements differ, but by no more than PyTorch's.

    Raises:
        SystemExit: more than that.
    """
    block = case.block()
    with compiled_pass():
        torch_gate.gate(block)
        (truth,), wanted = stepped(block, torch.device("cpu"))
    params, optimizer = stepped(case, device)
    found = numbers(params, optimizer)
    expected = numbers([truth], wanted)
    different = 0
    for name, tensors in found.items():
        (values,) = expected[name]
        values = values.to(device)
        for tensor in tensors:
            different += differing(tensor, fill(values, tuple(tensor.shape)))
    if not different:
        return "bits"
    for name, tensors in found.items():
        (values,) = expected[name]
        theirs = [fill(values, tuple(tensor.shape)) for tensor in tensors]
        moved = FIRST_MOVE if name == "p" else 0.0
        compare(case, tensors, theirs, (2**16 if case.kind == torch.bfloat16 else PARAMETER) if moved else STATE, moved)
    return f"{different:,} elements differ from the CPU's, but by no more than PyTorch's"


def stepped(case: Case, device: torch.device) -> tuple[list[torch.Tensor], RMSprop]:
    """Return a case's parameters on a device after the gate's steps, and the optimizer that took them."""
    params = case.parameters(device)
    optimizer = RMSprop(params, lr=LR, **case.options)
    follow(case, [(params, optimizer.step)])
    return params, optimizer


def numbers(params: list[torch.Tensor], optimizer: RMSprop) -> dict[str, list[torch.Tensor]]:
    """Return the parameters and each kind of state."""
    names = [name for name in optimizer.state[params[0]] if name != "step"]
    return {"p": [p.detach() for p in params]} | {name: [optimizer.state[p][name] for p in params] for name in names}


def differing(one: torch.Tensor, other: torch.Tensor) -> int:
    """Return how many elements of two tensors do not have the same bits."""
    kind: Any = {2: torch.int16, 4: torch.int32, 8: torch.int64}[one.element_size()]
    same = one.view(kind) == other.view(kind)
    return math.prod(one.shape) - int(same.sum())

"""The gate of the PyTorch benchmarks: nothing is timed before ours and torch's optimizer have taken the same steps."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from rmsprop.torch import RMSprop
from shapes import elements
from torch_cases import LR, Case

# Each step's gradients are the case's own times one of these, so that means and gradients differ.
FACTORS = (1.0, -0.5, 0.25, -2.0, 0.75)

# In ulp; of p that of the largest |p| on the way, which a first step moves by lr / √(1 - alpha). Five steps of the same formula:
# torch fuses multiplications into additions, and its root is one ulp off in places; momentum carries that on from step to step.
PARAMETER, STATE = 16.0, 8.0
FIRST_MOVE = 10 * LR
# Where g + weight_decay·p nearly cancels, what is left is rounding, and may be anything: this share of the elements is let off.
CANCELLED = 1e-5

Step = Callable[[], Any]


def gate(case: Case) -> None:
    """Stop unless ours and `torch.optim.RMSprop` take the same steps on a case's own tensors."""
    if case.kind == torch.bfloat16:
        gate_16_bit(case)
        return
    ours, theirs = case.parameters(), case.parameters()
    mine, other = RMSprop(ours, lr=LR, **case.options), torch.optim.RMSprop(theirs, lr=LR, **case.options)
    follow(case, [(ours, mine.step), (theirs, other.step)])
    compare(case, ours, theirs, PARAMETER, FIRST_MOVE)
    compare(case, averages(mine), averages(other), STATE)


def gate_16_bit(case: Case) -> None:
    """Stop unless ours equals torch's float32 steps, each rounded once to the parameter's dtype.

    torch's own arithmetic on 16-bit tensors rounds after every operation and is no truth to hold anything to.
    """
    ours, theirs = case.parameters(), [p.detach().float() for p in case.parameters()]
    mine, other = RMSprop(ours, lr=LR, **case.options), torch.optim.RMSprop(theirs, lr=LR, **case.options)

    def rounded() -> None:
        other.step()
        for p in theirs:
            p.copy_(p.to(case.kind))

    follow(case, [(ours, mine.step), (theirs, rounded)])
    compare(case, [p.detach().float() for p in ours], theirs, 2**16, FIRST_MOVE)  # one ulp of bfloat16: a tie may fall either way
    compare(case, averages(mine), averages(other), STATE)


def follow(case: Case, rivals: list[tuple[list[torch.Tensor], Step]]) -> None:
    """Give each rival the same few gradients, copies each time as clipping writes to them, and step it."""
    for params, step in rivals:
        for factor in FACTORS:
            for p, g in zip(params, case.gradients(params[0].device), strict=True):
                p.grad = g.mul_(factor).to(p.dtype)
            step()
        for p in params:
            p.grad = None


def averages(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """Return the means of g², in the order of the parameters."""
    state = optimizer.state_dict()["state"]
    return [state[k]["square_avg"] for k in sorted(state)]


def compare(case: Case, ours: list[torch.Tensor], theirs: list[torch.Tensor], allowed: float, moved: float = 0.0) -> None:
    """Stop if two lists of tensors differ.

    Args:
        case: what the tensors belong to.
        ours: some tensors.
        theirs: what they should be.
        allowed: by how many ulp an element may differ.
        moved: 0 for state; for parameters how far they went at least, which counts for the ulp as their values before and after do.
    """
    wrong, worst = 0, 0.0
    for mine, other, p in zip(ours, theirs, case.parameters(), strict=True):
        a, b, start = (x.detach().float().cpu().numpy() for x in (mine, other, p))
        size = np.maximum(np.abs(a), np.abs(b))
        if moved:
            size = np.maximum(size, np.maximum(np.abs(start), np.float32(moved)))
        off = np.abs(a - b) / np.spacing(size)
        wrong, worst = wrong + int(np.count_nonzero(~(off <= allowed))), max(worst, float(off.max()))
    if wrong > CANCELLED * elements(case.shapes) * bool(case.options.get("weight_decay")):
        sys.exit(
            f"{case.title}: after {len(FACTORS)} steps {wrong:,} elements of ours and torch's differ by more than {allowed:g} ulp, "
            f"up to {worst:g}, so nothing is timed"
        )

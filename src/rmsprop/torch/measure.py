"""One layer, measured: its effective learning rates, the length of its last step, its dead and its broken entries.

The rule's own arithmetic answers: `update` with its means held still, on at most `SAMPLE` elements, in double precision.
"""

import builtins
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rmsprop.rule import Rule, bind, square

SAMPLE = 65_536  # elements of a layer that are computed with, at most
PIECE = 1 << 18  # elements of a layer that are counted at once

Numbers = NDArray[np.float64]
Update = Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]]


class Layer(NamedTuple):
    """What is measured of one layer."""

    shape: tuple[int, ...]
    elements: int
    sampled: int  # elements that rates, moved and weight are taken from
    steps: int
    state_bytes: int
    rates: Numbers  # finite effective learning rates of the sample
    moved: float  # ‖Δp‖ of the last step; NaN where what it came from is gone
    weight: float  # ‖p‖
    dead: float | None  # shares of entries, None where there are none
    nonfinite_parameter: float | None
    nonfinite_state: float | None


def measured(rule: Rule, lr: float, p: Tensor, state: Mapping[str, Any], *, lazy: bool, gain: float) -> Layer:
    """Measure one layer.

    Args:
        rule: of its group.
        lr: of its group.
        p: parameter, with the gradient of the last step where it is still there.
        state: of p; empty before the first step.
        lazy: whether sparse gradients move only the rows that occur.
        gain: what the last step multiplied gradients by, as clipping does.
    """
    g, p = None if p.grad is None else _local(p.grad), _local(p)
    arrays = {name: _local(value) for name, value in state.items() if isinstance(value, Tensor)}
    slots: dict[str, Tensor] = {slot.argument: arrays[slot.name] for slot in rule.slots if slot.name in arrays}
    steps = int(state.get("step", 0))
    index = _spread(p.numel(), p.device)
    rates, moved = np.empty(0), math.nan
    if p.numel() and len(slots) == len(rule.slots):
        rates = _rates(rule, lr, steps, _taken(slots, index, rule))
        moved = _moved(rule, lr, steps, p, g, slots, lazy=lazy, gain=gain)
    means = [_parts(slots[name], rule) for name in ("v", "m") if name in slots]
    kept = [[array] for name, array in arrays.items() if name != "step"]
    return Layer(
        shape=tuple(p.shape),
        elements=p.numel(),
        sampled=len(index),
        steps=steps,
        state_bytes=sum(array.numel() * array.element_size() for array in arrays.values()),
        rates=rates,
        moved=moved,
        weight=_norm(_take(p, index, rule), p.numel()),
        dead=_share(_dead, [means] if means else []),
        nonfinite_parameter=_share(_nonfinite, [[p]]),
        nonfinite_state=_share(_nonfinite, kept),
    )


def _rates(rule: Rule, lr: float, steps: int, slots: Mapping[str, Tensor]) -> Numbers:
    """Return lr / denominator, where finite: what a step takes off p = 0 for g = 1, without momentum and decay."""
    v, m = slots["v"], slots.get("m", slots["v"])
    zero, one = torch.zeros_like(m), torch.ones_like(m)
    still = rule.scalars(lr, max(steps, 1))._replace(decay=1.0, fresh=0.0, momentum=0.0)
    p, *_ = _update(rule, m)(zero, one, v, m, zero, *still)
    rates: Numbers = p.abs().flatten().cpu().double().numpy()
    return rates[np.isfinite(rates)]


def _moved(
    rule: Rule, lr: float, steps: int, p: Tensor, g: Tensor | None, slots: Mapping[str, Tensor], *, lazy: bool, gain: float
) -> float:
    """Return ‖Δp‖ of the last step, or NaN where what it came from is gone."""
    gathered = rule.momentum > 0 and not rule.nesterov  # the buffer is the step
    if g is None and (lazy or not gathered):
        return math.nan
    index, total = _spread(p.numel(), p.device), p.numel()
    if g is None:
        values = torch.zeros_like(p.take(index))
    elif g.layout == torch.sparse_coo:
        index, total, values = _scattered(g, lazy=lazy)
    else:
        values = (g if g.layout == torch.strided else g.to_dense()).take(index)
    slope, after, held = gain * _wide(values, rule), _take(p, index, rule), _taken(slots, index, rule)
    zero, one = torch.zeros_like(after), torch.ones_like(after)
    v, m, b = held["v"], held.get("m", zero), held.get("b", zero)
    update = _update(rule, after)
    scalars = rule.scalars(lr, max(steps, 1))._replace(decay=1.0, fresh=0.0)
    if gathered:
        slope, scalars = zero, scalars._replace(inner=0.0, momentum=1.0)

    def led(start: Tensor) -> Tensor:
        """Return where the last step leads from a start, with the buffer that it left behind."""
        found = b  # the buffer as the step found it
        if rule.nesterov:
            found = (b - update(start, slope, v, m, zero, *scalars)[3]) / rule.momentum
        return update(start, slope, v, m, found, *scalars)[0]

    # Weight decay makes the step depend on its start, which is gone. What it leads to is affine in that: two values tell it all.
    offset = led(zero)
    start = (after - offset) / (led(one) - offset)
    return _norm(after - start, total)


def _update(rule: Rule, like: Tensor) -> Update:
    """Return the rule bound to PyTorch, for numbers of one kind."""
    # PyTorch may import a module in the middle of an operation, and Python then looks into the globals of whoever runs it.
    update: Update = bind(rule, sqrt=torch.sqrt, square=None if like.is_complex() else square, __builtins__=builtins)
    return update


def _scattered(g: Tensor, *, lazy: bool) -> tuple[Tensor, int, Tensor]:
    """Return a sample of a sparse gradient: where it is taken, from how many elements, and the values there.

    With `lazy` it is spread over the rows that occur, otherwise over the whole parameter, where most values are 0.
    """
    g = g.coalesce()
    width = math.prod(g.shape[g.sparse_dim() :])
    rows = torch.zeros_like(g.indices()[0])
    for size, indices in zip(g.shape, g.indices(), strict=False):
        rows = rows * size + indices
    values = g.values().reshape(-1)
    if lazy:
        chosen = _spread(values.numel(), g.device)
        return rows[chosen // width] * width + chosen % width, values.numel(), values[chosen]
    index = _spread(g.numel(), g.device)
    if not len(rows):
        return index, g.numel(), values.new_zeros(len(index))
    place = torch.searchsorted(rows, index // width).clamp(max=len(rows) - 1)
    found = values[place * width + index % width]
    return index, g.numel(), torch.where(rows[place] == index // width, found, torch.zeros_like(found))


def _spread(elements: int, device: torch.device) -> Tensor:
    """Return the positions of a sample: all, or at most `SAMPLE` at one stride."""
    stride = max(1, -(-elements // SAMPLE))
    while stride > 1 and math.gcd(stride, elements) > 1:  # it would meet some columns only
        stride += 1
    return torch.arange(0, elements, stride, device=device)


def _local(tensor: Tensor) -> Tensor:
    """Return this process's part of a distributed tensor, and any other as it is."""
    part: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return part.detach()


def _taken(arrays: Mapping[str, Tensor], index: Tensor, rule: Rule) -> dict[str, Tensor]:
    """Return the elements of several arrays at some positions."""
    return {name: _take(array, index, rule) for name, array in arrays.items()}


def _take(array: Tensor, index: Tensor, rule: Rule) -> Tensor:
    """Return the elements at some positions, as the rule computes with them."""
    return _wide(array.take(index), rule)


def _wide(values: Tensor, rule: Rule) -> Tensor:
    """Return values as the rule computes with them, in double precision where the device has it."""
    wide = torch.float32 if values.device.type == "mps" else torch.float64
    return _parts(values.to(wide.to_complex() if values.is_complex() else wide).resolve_conj(), rule)


def _parts(array: Tensor, rule: Rule) -> Tensor:
    """Return a complex array as the real one that the rule takes it for, and any other as it is."""
    return torch.view_as_real(array) if array.is_complex() and rule.complex_form == "parts" else array


def _norm(sample: Tensor, total: int) -> float:
    """Return the Euclidean norm of `total` elements, as far as a sample of them tells."""
    return float(torch.linalg.vector_norm(sample)) * math.sqrt(total / max(len(sample), 1))


def _share(count: Callable[[Sequence[Tensor]], int], sets: Sequence[Sequence[Tensor]]) -> float | None:
    """Return the share of entries that are counted in several sets of arrays, or None where there are no entries."""
    sets = [arrays for arrays in sets if arrays[0].numel()]
    return sum(map(count, sets)) / sum(arrays[0].numel() for arrays in sets) if sets else None


def _dead(means: Sequence[Tensor]) -> int:
    """Return how many entries are 0 in all means."""
    counts = [torch.count_nonzero(piece[0] if len(piece) == 1 else torch.logical_or(*piece)) for piece in _pieces(means)]
    return means[0].numel() - int(torch.stack(counts).sum())


def _nonfinite(arrays: Sequence[Tensor]) -> int:
    """Return how many entries of an array are NaN or infinite."""
    if bool(torch.isfinite(arrays[0].sum())):  # one pass is enough where there are none
        return 0
    return int(torch.stack([torch.count_nonzero(piece - piece) for (piece,) in _pieces(arrays)]).sum())


def _pieces(arrays: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    """Yield arrays of one shape in pieces of some `PIECE` elements: views, whatever the layout."""
    shape = arrays[0].shape or (1,)
    widest = max(range(len(shape)), key=lambda axis: shape[axis])
    rows = max(1, PIECE * shape[widest] // arrays[0].numel())
    for first in range(0, shape[widest], rows):
        yield tuple(array.reshape(shape).narrow(widest, first, min(rows, shape[widest] - first)) for array in arrays)

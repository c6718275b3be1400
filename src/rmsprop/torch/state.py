"""The state of a parameter under PyTorch's names: made, carried from rule to rule, written out, and checked when it comes back.

`state[p]` holds step, square_avg, grad_avg and momentum_buffer, as in `torch.optim.RMSprop`; centered rules keep "variance",
v - m², in place of square_avg, and ema_decay adds "ema". State of 16-bit parameters is float32.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rmsprop.kernels.precision import floor
from rmsprop.rule import Rule, mean_square, rebound, square, variance

Entry = dict[str, Any]

# The dtype in which each dtype of parameters is computed, and in which its state is kept.
COMPUTED = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float32: torch.float32,
    torch.float64: torch.float64,
    torch.complex64: torch.complex64,
    torch.complex128: torch.complex128,
}
REAL = {torch.complex64: torch.float32, torch.complex128: torch.float64}
SLOTS = ("square_avg", "variance", "grad_avg", "momentum_buffer")
KNOWN = ("step", *SLOTS, "ema")

# The rule's own two functions, on real tensors; those of a complex one are taken part by part.
_variance: Any = rebound(variance, {"modulus_square": square})
_mean_square: Any = rebound(mean_square, {"modulus_square": square})


def name(dtype: torch.dtype) -> str:
    """Return a dtype's name as NumPy has it."""
    return str(dtype).removeprefix("torch.")


def parts(tensor: Tensor) -> Tensor:
    """Return a complex tensor as real numbers, a last dimension of 2 for the parts; a real one as it is."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def in_parts(dtype: torch.dtype, rule: Rule) -> bool:
    """Return whether numbers of a dtype are complex and taken part by part."""
    return dtype.is_complex and rule.complex_form == "parts"


def counts_on_device(p: Tensor, group: Mapping[str, Any]) -> bool:
    """Return whether a parameter's count of steps lives on its device, as a captured graph needs it."""
    return bool(group["capturable"]) and p.device.type != "cpu"


def slot_names(rule: Rule) -> tuple[str, ...]:
    """Return the names of a rule's state."""
    return tuple(slot.name for slot in rule.slots)


def slot_dtype(p: Tensor, slot: str, rule: Rule) -> torch.dtype:
    """Return the dtype of one state array of a parameter."""
    computed = COMPUTED[p.dtype]
    joint = slot in ("square_avg", "variance") and rule.complex_form == "modulus"
    return REAL.get(computed, computed) if joint else computed


def empty(p: Tensor, slot: str, rule: Rule) -> Tensor:
    """Return memory for one state array of a parameter: in its shape, and in its order in memory where that is dense."""
    return torch.empty_like(p, dtype=slot_dtype(p, slot, rule), requires_grad=False, memory_format=torch.preserve_format)


def complete(entry: Entry, p: Tensor, rule: Rule, *, averaged: bool, capturable: bool) -> None:
    """Give a parameter the state that a rule needs: what is there is kept, or rewritten if centering began or ended.

    Args:
        entry: the parameter's state, changed in place.
        p: the parameter.
        rule: the rule that goes on.
        averaged: whether a moving average of p is kept; it begins at p.
        capturable: whether the count of steps lives on p's device.
    """
    entry.setdefault("step", torch.zeros((), dtype=torch.float32, device=p.device if capturable else "cpu"))
    wanted = rule.slots[0].name
    other = "square_avg" if wanted == "variance" else "variance"
    if wanted not in entry and other in entry:
        entry[wanted] = _means(entry, entry.pop(other), rule, to_variance=wanted == "variance")
        if wanted == "square_avg":
            entry.pop("grad_avg", None)  # should centering begin again, then from here
    for slot in rule.slots:
        if slot.name not in entry:
            initial = complex(slot.initial, slot.initial) if slot_dtype(p, slot.name, rule).is_complex else slot.initial
            entry[slot.name] = empty(p, slot.name, rule).fill_(initial)
    if averaged and "ema" not in entry:
        entry["ema"] = torch.empty_like(entry[wanted], dtype=COMPUTED[p.dtype]).copy_(p.detach())
    for key in (*slot_names(rule), *(["ema"] if averaged else [])):
        entry[key] = _conforming(entry[key], p, key, rule)


def _conforming(array: Any, p: Tensor, slot: str, rule: Rule) -> Tensor:
    """Return a state array in the dtype and on the device of a parameter that may have been moved or cast since, or refuse it.

    Raises:
        ValueError: it is not a tensor of the parameter's shape.
    """
    if not isinstance(array, Tensor) or array.shape != p.shape:
        got = f"shape {tuple(array.shape)}" if isinstance(array, Tensor) else f"a {type(array).__name__}"
        raise ValueError(
            f"{slot!r} must be a tensor of its parameter's shape {tuple(p.shape)}, got {got}; clear the state to start anew"
        )
    if array.dtype == slot_dtype(p, slot, rule) and array.device == p.device:
        return array
    return empty(p, slot, rule).copy_(array.detach())


def _means(entry: Entry, v: Tensor, rule: Rule, *, to_variance: bool) -> Tensor:
    """Return the mean of g² as the variance of g, or the other way round."""
    m = entry.get("grad_avg")
    if m is None:
        return v  # the mean of g starts at 0, where both are the same
    correction = rule.scalars(0.0, max(int(entry["step"]), 1)).correction
    joint = m.is_complex() and not v.is_complex()
    change: Any = (variance if joint else _variance) if to_variance else (mean_square if joint else _mean_square)
    changed = change(*(v, m) if joint else (parts(v), parts(m)), correction)
    changed = changed.clamp_min(0.0) if to_variance else changed
    return torch.view_as_complex(changed.contiguous()) if v.is_complex() else changed


def written(entry: Entry, rule: Rule) -> Entry:
    """Return an entry as a state dict holds it: with the mean of g² beside the variance, for PyTorch to go on from."""
    if "variance" not in entry:
        return entry
    return {**entry, "square_avg": _means(entry, entry["variance"], rule, to_variance=False)}


def read(saved: Any, p: Tensor, rule: Rule, *, averaged: bool, capturable: bool, propagate: bool, what: str) -> Entry:
    """Return a parameter's entry from a state dict, copied, or refuse it.

    Args:
        saved: the entry: ours, or that of `torch.optim.RMSprop` or of an optimizer built like it.
        p: the parameter.
        rule: the rule that goes on.
        averaged: whether a moving average is kept.
        capturable: whether the count of steps lives on p's device.
        propagate: whether NaN and infinity may be there.
        what: what the parameter is called.

    Raises:
        TypeError: an entry is of the wrong type.
        ValueError: it is of another optimizer or another parameter, incomplete, or no step could have left it.
    """
    if not isinstance(saved, Mapping):
        raise TypeError(f"the state of {what} must be a dict, got a {type(saved).__name__}")
    foreign = sorted(str(key) for key in saved if key not in KNOWN)
    if foreign:
        raise ValueError(f"the state of {what} has {foreign[0]!r}: it is of another optimizer; RMSprop keeps {', '.join(KNOWN)}")
    if not saved:
        return {}
    both = ("square_avg", "variance") if rule.switches["VARIANCE"] else ("square_avg",)
    for slot in slot_names(rule):
        if slot not in saved and not (slot in both and any(one in saved for one in both)):
            raise ValueError(f"the state of {what} lacks {both[0] if slot in both else slot!r}; it was cut short or changed")
    if "step" not in saved:
        raise ValueError(f"the state of {what} lacks 'step'; it was cut short or changed")
    entry: Entry = {"step": _count(saved["step"], what).to(p.device if capturable else "cpu")}
    for slot in (*SLOTS, "ema"):
        if slot in saved:
            entry[slot] = _array(saved[slot], p, slot, rule, f"{slot!r} of {what}", propagate)
    if "variance" in entry and "square_avg" in entry:
        # Another optimizer may have gone on with square_avg since the two were written; where they still agree, nothing was lost.
        kept, fresh = entry["variance"], {**entry}
        agree = parts(_means(fresh, kept, rule, to_variance=False)) == parts(entry["square_avg"])
        changed = parts(_means(fresh, entry["square_avg"], rule, to_variance=True))
        parts(kept).copy_(torch.where(agree, parts(kept), changed))
        entry.pop("square_avg")
    complete(entry, p, rule, averaged=averaged, capturable=capturable)
    return entry


def _count(value: Any, what: str) -> Tensor:
    """Return a number of steps as a tensor of its own, or refuse it; old state dicts have it as an integer."""
    try:
        count = float(value)
    except (TypeError, ValueError):
        count = -1.0
    if not 0 <= count < 2**63 or count != int(count):
        raise ValueError(f"'step' of {what} must be a whole number of at least 0, got {value!r}")
    return torch.tensor(count, dtype=torch.float32, device="cpu")


def _array(value: Any, p: Tensor, slot: str, rule: Rule, what: str, propagate: bool) -> Tensor:
    """Return a copy of a state array in the dtype, on the device and in the order of memory that the parameter's state has."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{what} must be a tensor, got a {type(value).__name__}")
    if value.shape != p.shape:
        raise ValueError(f"{what} must have shape {tuple(p.shape)}, got {tuple(value.shape)}; it belongs to another parameter")
    like = empty(p, slot, rule)
    if not (value.is_floating_point() or value.is_complex()) or value.is_complex() != like.is_complex():
        raise ValueError(f"{what} must be {name(like.dtype)} or a dtype that converts to it, got {name(value.dtype)}")
    array = like.copy_(value.detach())
    numbers = parts(array)
    if not propagate and not torch.isfinite(numbers).all():
        raise ValueError(f"{what} is not finite; go back to an earlier state, or pass on_nonfinite='propagate'")
    if slot in ("square_avg", "variance"):
        if (numbers < 0).any():
            raise ValueError(f"{what} has negative values, which a mean of squares cannot have; the state was changed")
        numbers.mul_(numbers >= floor(name(numbers.dtype)))
    return array

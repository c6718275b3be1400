"""What a state holds, for people: rules, counts, shapes and statistics."""

from typing import Any

import numpy as np

from rmsprop.checkpoint.canonical import Array, Group, Parameter, State
from rmsprop.state import axes_of


def describe(state: State) -> dict[str, Any]:
    """Return a state's rules, counts, and for each array its shape, dtype and statistics, as plain values.

    Args:
        state: the state.

    Returns:
        "origin", "skipped" and "groups"; a group has "rule", "lr", "options" and "parameters"; a parameter "name", "step", "shape"
        and "slots": name to "dtype", "min", "mean", "max" (of finite numbers; a complex array counts by its parts; None where there
        are none), "zeros" (their share) and "not_finite" (how many).

    Example:
        >>> import numpy as np, rmsprop
        >>> from rmsprop.checkpoint import capture
        >>> told = describe(capture(rmsprop.RMSprop(np.ones(4), lr=0.1)))
        >>> told["groups"][0]["parameters"][0]["slots"]["square_avg"]["zeros"]
        1.0
    """
    return {"origin": state.origin, "skipped": state.skipped, "groups": [_group(group) for group in state.groups]}


def _group(group: Group) -> dict[str, Any]:
    """Return one group."""
    return {
        "rule": axes_of(group.rule),
        "lr": group.lr,
        "options": dict(group.options),
        "parameters": [_parameter(p) for p in group.parameters],
    }


def _parameter(p: Parameter) -> dict[str, Any]:
    """Return one parameter."""
    shape = None if p.shape is None else list(p.shape)
    return {"name": p.name, "step": p.step, "shape": shape, "slots": {slot: statistics(a) for slot, a in p.slots.items()}}


def statistics(array: Array) -> dict[str, Any]:
    """Return what an array's numbers are like.

    Args:
        array: any shape; a complex one counts by its parts.
    """
    numbers = np.ascontiguousarray(array).reshape(-1).view(array.real.dtype)
    finite = np.isfinite(numbers)
    told: dict[str, Any] = {"dtype": array.dtype.name, "min": None, "mean": None, "max": None}
    told |= {"zeros": float(np.mean(numbers == 0)) if numbers.size else 0.0, "not_finite": int(numbers.size - finite.sum())}
    if finite.any():
        kept = numbers if finite.all() else numbers[finite]
        told |= {"min": float(kept.min()), "mean": float(kept.mean(dtype=np.float64)), "max": float(kept.max())}
    return told

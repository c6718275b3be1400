"""State dicts: written so that `torch.optim.RMSprop` can read them, and read whole or not at all."""

from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from itertools import chain
from typing import Any

from torch import Tensor

from rmsprop.torch.options import check_extras, check_lr, rule_of
from rmsprop.torch.state import Entry, complete, counts_on_device
from rmsprop.torch.state import read as _read
from rmsprop.torch.state import written as _written

# What RMSpropTF of timm calls the form of its weight decay.
_TIMM = "decoupled_decay"


def written(groups: list[dict[str, Any]], state: Mapping[Any, Entry]) -> defaultdict[Any, Entry]:
    """Return the state as a state dict holds it; what an option that was just set needs is made first.

    Args:
        groups: the optimizer's groups.
        state: its state.
    """
    found: defaultdict[Any, Entry] = defaultdict(dict, state)
    for group in groups:
        rule = rule_of(group)
        for p in group["params"]:
            if state.get(p):
                averaged = group["ema_decay"] is not None
                complete(state[p], p, rule, averaged=averaged, capturable=counts_on_device(p, group))
                found[p] = _written(state[p], rule)
    return found


def read(state_dict: Mapping[str, Any], groups: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], defaultdict[Any, Entry]]:
    """Return the groups and the state that a state dict means for an optimizer's groups, or refuse it.

    Args:
        state_dict: ours, or that of `torch.optim.RMSprop` or an optimizer built like it.
        groups: the optimizer's groups; they are not changed.

    Raises:
        TypeError: a part of it has the wrong type.
        ValueError: it is not a state of these parameters, or is incomplete.
    """
    for key in ("state", "param_groups"):
        if key not in state_dict:
            raise ValueError(f"the state dict lacks {key!r}; it must be what an optimizer's state_dict() returned")
    theirs = state_dict["param_groups"]
    if len(groups) != len(theirs):
        raise ValueError(
            f"loaded state dict has a different number of parameter groups: {len(theirs)}, and this optimizer has {len(groups)}"
        )
    for number, (group, loaded) in enumerate(zip(groups, theirs, strict=True)):
        if len(group["params"]) != len(loaded["params"]):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group: "
                f"group {number} has {len(loaded['params'])} parameters there, {len(group['params'])} here"
            )
    new_groups = [_group(group, loaded) for group, loaded in zip(groups, theirs, strict=True)]
    indices = chain.from_iterable(group["params"] for group in theirs)
    owners = [(p, group, k) for group in new_groups for k, p in enumerate(group["params"])]
    by_index = dict(zip(indices, owners, strict=True))
    state: defaultdict[Any, Entry] = defaultdict(dict)
    for index, entry in state_dict["state"].items():
        if index not in by_index:
            if isinstance(index, int):
                raise ValueError(f"the state dict has state for parameter {index}, which none of its groups has")
            state[index] = entry  # not a parameter's, and not ours
            continue
        p, group, k = by_index[index]
        state[p] = _entry(entry, p, group, f"parameter {group.get('param_names', {k: index})[k]!r}")
    return new_groups, state


def _group(group: Mapping[str, Any], loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Return a group with the options of a loaded one, checked."""
    new = {**group, **deepcopy({key: value for key, value in loaded.items() if key != "params"})}
    if _TIMM in new:
        new["weight_decay_form"] = "decoupled_lr" if new.pop(_TIMM) else "coupled"
    check_extras(new)
    check_lr(new["lr"])
    rule_of(new)
    return new


def _entry(saved: Any, p: Tensor, group: Mapping[str, Any], what: str) -> Entry:
    """Return the state of one parameter, checked."""
    return _read(
        saved,
        p,
        rule_of(group),
        averaged=group["ema_decay"] is not None,
        capturable=counts_on_device(p, group),
        propagate=group["on_nonfinite"] == "propagate",
        what=what,
    )

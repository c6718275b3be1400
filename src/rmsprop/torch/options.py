"""What a param group says, in PyTorch's words, and the `Rule` that it means.

A group holds plain values only, so that a state dict can be read with `weights_only=True` and by `torch.optim.RMSprop`.
"""

import math
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

import torch

from rmsprop.dialects import dialect as _dialect
from rmsprop.inherited import told
from rmsprop.rule import AXES, Rule, checked, learning_rate

# Axes of the rule as they are called in a group, in the order of AXES; only one has another name in PyTorch.
KEYS = {axis: "alpha" if axis == "decay" else axis for axis in AXES}
_values: Callable[[Mapping[str, Any]], tuple[Any, ...]] = itemgetter(*KEYS.values())

# Further options of a group, with what they are where nothing is said.
EXTRAS: dict[str, Any] = {
    "capturable": False,
    "foreach": None,
    "differentiable": False,
    "sparse": "error",
    "on_nonfinite": "propagate",
    "max_norm": None,
    "ema_decay": None,
    "stochastic_rounding": False,
    "fused": None,
    "approximate": False,
}
CHOICES = {"sparse": ("error", "lazy", "dense"), "on_nonfinite": ("raise", "skip", "propagate")}
_SWITCHES = ("capturable", "differentiable", "stochastic_rounding", "approximate")
_MAYBE = ("foreach", "fused")
# How PyTorch begins its complaints.
_PHRASES = {"eps": "epsilon", "lr": "learning rate"}


def given(**arguments: Any) -> dict[str, Any]:
    """Return the arguments that were not left out, by axis; a decay of weights is told by its switch."""
    return {next((axis for axis, key in KEYS.items() if key == name), name): value for name, value in told(arguments).items()}


def weight_decay_form(decoupled: Any) -> str | None:
    """Return the axis that `decoupled_weight_decay` sets: lr·weight_decay·p comes off p, as in AdamW, or is added to g."""
    if decoupled is None:
        return None
    if not isinstance(decoupled, bool):
        raise TypeError(f"decoupled_weight_decay must be True, False or None, got {decoupled!r}")
    return "decoupled_lr" if decoupled else "coupled"


def rule_for(dialect: str | Rule, axes: Mapping[str, Any]) -> Rule:
    """Return the rule of a dialect with some axes given, or refuse them in PyTorch's words.

    Args:
        dialect: a name or a `Rule`.
        axes: axes of `Rule` with their values.

    Raises:
        ValueError: a value is not allowed.
        TypeError: a value is of the wrong type.
    """
    for axis, value in axes.items():
        if axis in ("decay", "eps", "square_init", "momentum", "weight_decay"):
            try:
                checked(axis, value, called=KEYS[axis])
            except ValueError as error:
                raise ValueError(f"Invalid {_PHRASES.get(axis, KEYS[axis])} value: {value}; {error}") from None
    return _dialect(dialect, **axes)


def spread(rule: Rule) -> dict[str, Any]:
    """Return a rule as entries of a group."""
    return {"dialect": rule.name} | {key: getattr(rule, axis) for axis, key in KEYS.items()}


def rule_of(group: Mapping[str, Any]) -> Rule:
    """Return the rule that a group's entries mean now, or refuse them.

    Args:
        group: a param group.

    Raises:
        ValueError: a value is not allowed.

    Example:
        >>> from rmsprop.torch import RMSprop
        >>> optimizer = RMSprop([torch.zeros(3)], alpha=0.9, dialect="timm")
        >>> rule_of(optimizer.param_groups[0]).eps_place
        'inside'
    """
    return rule_for(Rule(name=str(group["dialect"])), dict(zip(AXES, _values(group), strict=True)))


def check_lr(lr: Any) -> None:
    """Refuse what is not a learning rate. A tensor on a device is not looked into: that would wait for the device.

    Raises:
        TypeError: it is not a number or a tensor.
        ValueError: it is negative, infinite or NaN, or a tensor of several elements.
    """
    if isinstance(lr, torch.Tensor):
        if lr.numel() != 1:
            raise ValueError(f"Tensor lr must be 1-element, got shape {tuple(lr.shape)}; pass torch.tensor(0.01)")
        if lr.device.type != "cpu" or type(lr) not in (torch.Tensor, torch.nn.Parameter):
            return
        lr = lr.item()
    try:
        learning_rate(lr)
    except ValueError as error:
        raise ValueError(f"Invalid learning rate: {lr}; {error}") from None


def check_extras(group: Mapping[str, Any]) -> None:
    """Refuse what is not allowed among a group's further options.

    Raises:
        TypeError: a switch is neither True nor False.
        ValueError: a value is not allowed, or two contradict each other.
    """
    for name, allowed in CHOICES.items():
        if group[name] not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {group[name]!r}")
    for name in (*_SWITCHES, *_MAYBE):
        if not (isinstance(group[name], bool) or (name in _MAYBE and group[name] is None)):
            raise TypeError(f"{name} must be True{', False or None' if name in _MAYBE else ' or False'}, got {group[name]!r}")
    norm, keep = group["max_norm"], group["ema_decay"]
    if norm is not None and not (_is_number(norm) and 0 < norm < math.inf):
        raise ValueError(f"max_norm must be greater than 0 and finite, or None for no clipping, got {norm!r}")
    if keep is not None and not (_is_number(keep) and 0 <= keep < 1):
        raise ValueError(f"ema_decay must be in [0, 1), or None for no average, got {keep!r}; 0.999 averages over 1,000 steps")
    if group["fused"] and (group["differentiable"] or group["foreach"]):
        other = "differentiable" if group["differentiable"] else "foreach"
        raise ValueError(f"fused=True and {other}=True exclude each other; leave fused at None, which takes whichever can")


def _is_number(value: Any) -> bool:
    """Return whether a value is a real number."""
    return isinstance(value, int | float) and not isinstance(value, bool)

"""What a user asks for, in Keras's words, and the `Rule` that it means."""

from collections.abc import Mapping
from typing import Any

from rmsprop.dialects import dialect as _dialect
from rmsprop.inherited import Inherited, told
from rmsprop.rule import AXES, Rule, checked, learning_rate

# Axes of the rule as the optimizer's arguments and attributes are called, in the order of AXES.
KEYS = {axis: {"decay": "rho", "eps": "epsilon"}.get(axis, axis) for axis in AXES}
_NUMBERS = ("decay", "eps", "square_init", "momentum", "weight_decay")


def meant(dialect: str | Rule, arguments: Mapping[str, Any]) -> Rule:
    """Return the rule of a dialect with some of Keras's arguments given, or refuse them in Keras's words.

    Args:
        dialect: a name or a `Rule`.
        arguments: by their names in KEYS; those that were left out leave an axis as it is in the dialect.

    Raises:
        TypeError: a value is of the wrong type.
        ValueError: a value is not allowed.

    Example:
        >>> meant("keras", {"rho": 0.5, "epsilon": None}).decay
        0.5
    """
    found = told(arguments)
    axes = {axis: found[key] for axis, key in KEYS.items() if key in found}
    for axis in _NUMBERS:
        if axis in axes:
            axes[axis] = checked(axis, axes[axis], called=KEYS[axis])
    return _dialect(dialect, **axes)


def rate(rule: Rule, given: Any) -> Any:
    """Return a learning rate as Keras takes it, checked: a number as a float; schedules and callables are left alone."""
    if isinstance(given, Inherited) or given is None:
        if rule.lr is None:
            raise ValueError(f"dialect {rule.name!r} has no default learning rate; pass learning_rate, such as learning_rate=0.001")
        return rule.lr
    return given if callable(given) else learning_rate(given, called="learning_rate")


def spread(rule: Rule) -> dict[str, Any]:
    """Return a rule as the optimizer's attributes, plain values; Keras says None for no weight decay."""
    return {key: getattr(rule, axis) for axis, key in KEYS.items()} | {"weight_decay": rule.weight_decay or None}

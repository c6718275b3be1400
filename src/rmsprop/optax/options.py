"""What a user asks for, in the rule's words or in optax's: checked, and parted into a rule and the numbers that may change."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from rmsprop.dialects import dialect as _dialect
from rmsprop.kernels.xla import Numbers
from rmsprop.rule import AXES, Rule, learning_rate

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _same(value: Any) -> Any:
    return value


def _place(eps_in_sqrt: Any) -> str:
    """Return eps_place as optax puts it, as a switch."""
    if not isinstance(eps_in_sqrt, bool):
        raise TypeError(f"eps_in_sqrt must be True or False, got {eps_in_sqrt!r}")
    return "inside" if eps_in_sqrt else "outside"


# What optax calls two of the axes, and how it puts them.
_RENAMED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "initial_scale": ("square_init", _same),
    "eps_in_sqrt": ("eps_place", _place),
}
# The axes that may be arrays, whose values cannot be known when the branches of the rule are chosen: an array for momentum or
# weight_decay takes the branches of these.
_NUMBERS: dict[str, float | None] = {"decay": None, "eps": None, "square_init": None, "momentum": 0.5, "weight_decay": 1.0}


def spelled(function: _Function) -> _Function:
    """Name each axis in a function's signature, where `optax.inject_hyperparams` looks for what it may inject."""
    signature = inspect.signature(function)
    kept = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    axes = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in (*AXES, *_RENAMED)]
    function.__signature__ = signature.replace(parameters=[*kept, *axes])  # type: ignore[attr-defined]  # as inspect documents
    return function


class Meant(NamedTuple):
    """What was asked for."""

    rule: Rule  # whose branches are taken
    numbers: Numbers  # its hyper-parameters, each a number or an array
    first: Any  # v before the first step


def meant(dialect: str | Rule, axes: dict[str, Any]) -> Meant:
    """Return what the axes make of a dialect; None leaves an axis as it is there."""
    told: dict[str, Any] = {}
    for name, value in axes.items():
        if name not in AXES and name not in _RENAMED:
            raise TypeError(f"unknown keyword {name!r}; a rule has {', '.join(AXES)}, and optax's {', '.join(_RENAMED)}")
        if value is None:
            continue
        axis, convert = _RENAMED.get(name, (name, _same))
        if axis in told:
            raise TypeError(f"{axis} was given twice, by its own name and by optax's; pass one of them")
        told[axis] = convert(value)
    arrays = {name: _scalar(name, told.pop(name)) for name in _NUMBERS if isinstance(told.get(name), jax.Array)}
    branches = {name: number for name, number in _NUMBERS.items() if name in arrays and number is not None}
    rule = _dialect(dialect, **told, **branches)
    if rule.bias_correction and "square_init" in arrays:
        raise ValueError(
            f"bias_correction=True needs square_init=0, got the array {arrays['square_init']!r}, whose value may change; "
            "leave it out, or name it in static_args of inject_hyperparams"
        )
    numbers = Numbers(*(arrays.get(name, getattr(rule, name)) for name in Numbers._fields))
    return Meant(rule, numbers, arrays.get("square_init", rule.square_init))


def rate(rule: Rule, given: Any) -> Any:
    """Return a learning rate or a schedule, checked as far as it can be."""
    if given is None and rule.lr is None:
        raise ValueError(f"dialect {rule.name!r} has no default learning rate; pass learning_rate, such as learning_rate=0.001")
    if given is None:
        return rule.lr
    if callable(given):
        return given
    return _scalar("learning_rate", given) if isinstance(given, jax.Array) else learning_rate(given)


def _scalar(name: str, array: Any) -> Any:
    """Return an array of no dimension, or refuse it."""
    if jnp.ndim(array):
        raise ValueError(f"{name} must have no dimension, got shape {jnp.shape(array)}; use optax.partition for values that differ")
    return array

"""Defaults that give way to a dialect: how an argument that was left out is told from one that was given."""

from collections.abc import Mapping
from typing import Any


class Inherited(float):
    """A default of the optimizer whose signature a host takes over: what an argument is there. In another dialect, the dialect's
    own value counts.

    Its type tells an argument that was left out from one that was given, even where a framework passes the signature's defaults on.

    Args:
        value: the default.
    """

    def __init__(self, value: float | bool) -> None:
        """Keep the value as it is written."""
        self.value = value

    def __repr__(self) -> str:
        """Return the value as a signature shows it."""
        return repr(self.value)

    def __reduce__(self) -> Any:
        """Return what a copy is made of."""
        return type(self), (self.value,)


def inherited(value: float | bool) -> Any:
    """Return the default of an argument that gives way to the dialect.

    Example:
        >>> default = inherited(False)
        >>> default, isinstance(default, Inherited)
        (False, True)
    """
    return Inherited(value)


def told(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that were not left out.

    Args:
        arguments: by name; None and inherited defaults stand for those that were.

    Example:
        >>> told({"alpha": 0.9, "eps": inherited(1e-8), "nesterov": None})
        {'alpha': 0.9}
    """
    return {name: value for name, value in arguments.items() if value is not None and not isinstance(value, Inherited)}

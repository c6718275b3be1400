"""Axes of a rule as text."""

from __future__ import annotations

from typing import Any

from rmsprop.errors import UsageError
from rmsprop.rule import AXES


def parse_axes(text: str | None, option: str = "--set", such: str = "decay=0.9,momentum=0.9", between: str = ",") -> dict[str, Any]:
    """Return axes of a rule from text.

    Args:
        text: None for none.
        option: that the text is of, for the errors.
        such: what it might be.
        between: what stands between two axes.

    Raises:
        UsageError: it is no such text.

    Example:
        >>> parse_axes("decay=0.9, centered=true, eps_place=inside")
        {'decay': 0.9, 'centered': True, 'eps_place': 'inside'}
    """
    axes: dict[str, Any] = {}
    for part in text.split(between) if text else []:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (equals and value) or name not in AXES:
            raise UsageError(f"{option} must be such as {such}, with axes among {', '.join(AXES)}; got {part.strip()[:60]!r}")
        if name in axes:
            raise UsageError(f"{option} gives {name} twice")
        axes[name] = _value(value)
    return axes


def _value(text: str) -> Any:
    """Return a switch, a number or a word."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        return text

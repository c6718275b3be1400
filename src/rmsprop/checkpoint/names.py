r"""The table that renames parameters: what a name looks like, what it becomes, and in what order its axes go.

An entry is a regular expression that matches whole names, "=", and the new name, in which \1 is what the first pair of
parentheses matched. "@1,0" behind it puts the second axis first: a Dense kernel of Keras is (in, out), a Linear weight of PyTorch
(out, in), and a convolution's kernel goes by "@3,2,0,1". The first entry that matches counts; names that none matches stay.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rmsprop.checkpoint.canonical import Parameter, State
from rmsprop.checkpoint.errors import ConversionError, UsageError


class Entry(NamedTuple):
    """One line of the table."""

    pattern: re.Pattern[str]
    name: str
    axes: tuple[int, ...] | None


def parse(text: str) -> tuple[str, str]:
    r"""Return an entry's expression and new name from text.

    >>> parse(r"(.+)/kernel=\1.weight@1,0")
    ('(.+)/kernel', '\\1.weight@1,0')
    """
    pattern, equals, name = text.rpartition("=")
    if not (equals and pattern and name):
        raise UsageError(rf"an entry of the map must be such as '(.+)/kernel=\1.weight', got {text[:80]!r}")
    return pattern, name


def renamed(state: State, table: Any) -> State:
    """Return a state under other names; see `State.renamed`."""
    pairs: Iterable[tuple[str, str]] = table.items() if isinstance(table, Mapping) else table
    entries = [_entry(pattern, name) for pattern, name in pairs]
    used: set[int] = set()
    groups = tuple(replace(group, parameters=tuple(_renamed(p, entries, used) for p in group.parameters)) for group in state.groups)
    idle = [entry for k, entry in enumerate(entries) if k not in used]
    if idle:
        names = state.names
        shown = ", ".join(map(repr, names[:8])) + (" and more" if len(names) > 8 else "")
        raise UsageError(f"{idle[0].pattern.pattern!r} of the map matches no name that is left for it; the names are {shown}")
    return state.replace(groups=groups)


def _entry(pattern: str, name: str) -> Entry:
    """Return a line of the table, or refuse it."""
    name, at, order = name.partition("@")
    try:
        axes = tuple(int(axis) for axis in order.split(",")) if at else None
        return Entry(re.compile(pattern), name, axes)
    except re.error as error:
        raise UsageError(f"{pattern!r} is no regular expression: {error}") from None
    except ValueError:
        raise UsageError(f"the order of axes behind {name!r} must be such as @1,0, got {order!r}") from None


def _renamed(p: Parameter, entries: Sequence[Entry], used: set[int]) -> Parameter:
    """Return a parameter under its new name."""
    for k, entry in enumerate(entries):
        found = entry.pattern.fullmatch(p.name)
        if found is None:
            continue
        used.add(k)
        try:
            name = found.expand(entry.name)
        except (re.error, IndexError) as error:
            raise UsageError(f"{entry.name!r} cannot be made of {p.name!r} and {entry.pattern.pattern!r}: {error}") from None
        if entry.axes is None or not p.slots:
            return replace(p, name=name)
        if sorted(entry.axes) != list(range(len(p.shape or ()))):
            raise ConversionError(f"{p.name!r} of shape {p.shape} cannot have its axes in the order {entry.axes}")
        return replace(p, name=name, slots={slot: np.transpose(a, entry.axes) for slot, a in p.slots.items()})
    return p

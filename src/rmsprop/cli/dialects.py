"""`rmsprop dialects`: the table, and one dialect with its formula."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import fields
from textwrap import fill

from rmsprop.cli.text import columns, shown
from rmsprop.rule import Rule

_COLUMNS = ("name", "lr", "decay", "eps", "place", "v₀", "other axes")
# Axes with a column of their own, or none; the others are listed where they differ from the rule's default.
_SHOWN = {"name", "source", "lr", "decay", "eps", "eps_place", "square_init"}


def table(rules: Sequence[Rule]) -> str:
    """Return the dialects, two lines each: the axes, and the source."""
    lines = columns([_COLUMNS, *(_row(rule) for rule in rules)])
    with_sources = [lines[0]]
    for line, rule in zip(lines[1:], rules, strict=True):
        with_sources += [line, f"    {rule.source}"]
    return "\n".join([*with_sources, "", "`rmsprop dialects NAME` shows one with its formula."])


def describe(rule: Rule) -> str:
    """Return one dialect: its axes, its source, and its formula as text and as LaTeX."""
    from rmsprop.errors import missing_extra

    try:
        from rmsprop.formula import latex, pretty

        formulas = [pretty(rule), "", "LaTeX:", latex(rule)]
    except ImportError:
        raise missing_extra("SymPy") from None
    width = max(len(field.name) for field in fields(rule))
    axes = [f"{f.name:<{width}}  {shown(getattr(rule, f.name))}" for f in fields(rule) if f.name not in ("name", "source")]
    room = min(shutil.get_terminal_size().columns, 120)
    source = fill(rule.source, room, break_long_words=False, break_on_hyphens=False)
    return "\n".join([rule.name, source, "", *axes, "", *formulas])


def _row(rule: Rule) -> tuple[str, ...]:
    other = [
        f.name if value is True else f"{f.name}={shown(value)}"
        for f in fields(rule)
        if f.name not in _SHOWN and (value := getattr(rule, f.name)) != f.default
    ]
    axes = (shown(rule.lr), shown(rule.decay), shown(rule.eps), rule.eps_place, shown(rule.square_init))
    return (rule.name, *axes, ", ".join(other) or "-")

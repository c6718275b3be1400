"""Columns' labels as names that a formula can hold."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Sequence


def usable_names(labels: Sequence[str]) -> list[str]:
    """Return labels as names that a formula can hold, each once.

    >>> usable_names(["x", "Temp (°C)", "2019", "x", ""])
    ['x', 'Temp_C', 'c2019', 'x_2', 'column5']
    """
    names: list[str] = []
    for place, label in enumerate(labels, 1):
        name = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", label)).strip("_") or f"column{place}"
        if label.isidentifier() and not label.startswith("__") and "·" not in label:
            name = unicodedata.normalize("NFKC", label)
        if not name.isidentifier():
            name = f"c{name}" if f"c{name}".isidentifier() else f"column{place}"
        if keyword.iskeyword(name):
            name += "_"
        base, count = name, 1
        while name in names or (name != base and name in labels):
            count += 1
            name = f"{base}_{count}"
        names.append(name)
    return names

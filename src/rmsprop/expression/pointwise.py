"""Running a tape on arrays that broadcast against each other: many points at once, each on all rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmsprop.expression.primitives import PRIMITIVES
from rmsprop.expression.tape import Builder


class Pointwise:
    """Some nodes of a tape as a function of its leaves' values.

    Args:
        builder: the tape.
        roots: nodes to hand out.

    Example:
        >>> b = Builder()
        >>> f = Pointwise(b, [b.op("mul", b.parameter("a"), b.column("x"))])
        >>> f({"a": np.array([[1.0], [2.0]]), "x": np.array([3.0, 4.0])})[0].tolist()
        [[3.0, 4.0], [6.0, 8.0]]
    """

    def __init__(self, builder: Builder, roots: Sequence[int]) -> None:
        wanted: set[int] = set()
        todo = list(roots)
        while todo:
            index = todo.pop()
            if index not in wanted:
                wanted.add(index)
                todo.extend(builder.nodes[index].arguments)
        self._constants: list[Any] = [None] * len(builder.nodes)
        self._leaves: list[tuple[int, str]] = []
        self._calls: list[tuple[Any, int, int, int]] = []  # (ufunc, argument, second argument or -1, result)
        # Arguments come before the operations on them.
        for index in sorted(wanted):
            node = builder.nodes[index]
            if node.kind == "number":
                self._constants[index] = np.float64(node.value)
            elif node.arguments:
                first, second = (*node.arguments, -1)[:2]
                self._calls.append((PRIMITIVES[node.kind].ufunc, first, second, index))
            else:
                self._leaves.append((index, str(node.value)))
        self._roots = list(roots)

    def __call__(self, leaves: Mapping[str, Any]) -> list[Any]:
        """Return the roots' values.

        Args:
            leaves: arrays or numbers by the names of parameters and columns.

        Returns:
            One value for each root; that of a root without leaves is a number.
        """
        values = self._constants.copy()
        for index, name in self._leaves:
            values[index] = leaves[name]
        with np.errstate(all="ignore"):
            for ufunc, first, second, result in self._calls:
                values[result] = ufunc(values[first]) if second < 0 else ufunc(values[first], values[second])
        return [values[index] for index in self._roots]

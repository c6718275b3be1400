"""A formula, its loss and its derivatives as one tape of NumPy operations over rows.

The tape is a graph without repeats: equal operations on equal arguments are one node. Every node depends on nothing (a number),
on parameters alone (one value per epoch), on columns alone (the same in every epoch), or on both (one value per row and epoch).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np

from rmsprop.errors import ExpressionError
from rmsprop.expression.language import Binary, Call, Expression, Name, Negative, Number
from rmsprop.expression.primitives import PRIMITIVES

_BINARY = {"+": "add", "-": "sub", "*": "mul", "/": "div"}
# Whole powers up to this one are products of squares: some ulp from pow, and several times as fast.
_LARGEST_PRODUCT_POWER = 16


class Depends(IntFlag):
    """What a node's value depends on."""

    NOTHING = 0
    PARAMETERS = 1
    COLUMNS = 2
    ROWS = 3


@dataclass(frozen=True, slots=True)
class Node:
    """An operation, or one of its leaves."""

    kind: str  # "number", "parameter", "column" or the name of a primitive
    arguments: tuple[int, ...] = ()
    value: float | str | None = None  # the number, or the name of the parameter or column
    depends: Depends = Depends.NOTHING


class Builder:
    """Grows a tape; every method returns the index of a node.

    >>> b = Builder()
    >>> x, a = b.column("x"), b.parameter("a")
    >>> y = b.op("mul", a, b.op("square", x))
    >>> b.op("mul", a, b.op("square", x)) == y
    True
    >>> b.nodes[b.gradient(y, b.number(1.0))[a]].kind
    'square'
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._known: dict[tuple[str, tuple[int, ...], object], int] = {}

    def _add(self, node: Node) -> int:
        # repr tells -0.0 from 0.0 and finds nan equal to itself.
        key = (node.kind, node.arguments, repr(node.value))
        if key not in self._known:
            self._known[key] = len(self.nodes)
            self.nodes.append(node)
        return self._known[key]

    def number(self, value: float) -> int:
        """Add a number."""
        return self._add(Node("number", (), float(value)))

    def parameter(self, name: str) -> int:
        """Add a parameter."""
        return self._add(Node("parameter", (), name, Depends.PARAMETERS))

    def column(self, name: str) -> int:
        """Add a column."""
        return self._add(Node("column", (), name, Depends.COLUMNS))

    def op(self, kind: str, *arguments: int) -> int:
        """Add an operation, folded where its arguments are numbers or leave it without effect."""
        values = [self.nodes[i].value if self.nodes[i].kind == "number" else None for i in arguments]
        if all(value is not None for value in values):
            with np.errstate(all="ignore"):
                return self.number(float(PRIMITIVES[kind].ufunc(*[np.float64(value) for value in values])))
        match kind, values:
            case "mul", [1.0, None]:
                return arguments[1]
            case (("mul" | "div"), [None, 1.0]):
                return arguments[0]
            case "mul", [-1.0, None]:
                return self.op("neg", arguments[1])
            case "neg", [None] if self.nodes[arguments[0]].kind == "neg":
                return self.nodes[arguments[0]].arguments[0]
        depends = Depends.NOTHING
        for i in arguments:
            depends |= self.nodes[i].depends
        return self._add(Node(kind, arguments, None, depends))

    def power(self, base: int, exponent: int) -> int:
        """Add base ** exponent, by the cheapest way to the same number."""
        value = self.nodes[exponent].value if self.nodes[exponent].kind == "number" else None
        if isinstance(value, float):
            if value == 0.5:
                return self.op("sqrt", base)
            if value == int(value) if abs(value) <= _LARGEST_PRODUCT_POWER else False:
                product = self._whole_power(base, abs(int(value)))
                return product if value >= 0 else self.op("div", self.number(1.0), product)
        return self.op("pow", base, exponent)

    def _whole_power(self, base: int, exponent: int) -> int:
        if exponent == 0:
            return self.number(1.0)
        if exponent == 1:
            return base
        half = self._whole_power(base, exponent // 2)
        square = self.op("square", half)
        return self.op("mul", square, base) if exponent % 2 else square

    def expression(self, tree: Expression, columns: frozenset[str], constants: dict[str, float]) -> int:
        """Add a formula in the user's own order of operations.

        Args:
            tree: the formula.
            columns: names that are columns.
            constants: names that are numbers; every other name is a parameter.

        Raises:
            ExpressionError: a part without names is not finite, such as 9**9**9.
        """
        match tree:
            case Number(value):
                node = self.number(value)
            case Name(name):
                if name in columns:
                    return self.column(name)
                return self.number(constants[name]) if name in constants else self.parameter(name)
            case Negative(argument):
                node = self.op("neg", self.expression(argument, columns, constants))
            case Call(function, argument):
                node = self.op(function, self.expression(argument, columns, constants))
            case Binary("**", left, right):
                base = self.expression(left, columns, constants)
                node = self.power(base, self.expression(right, columns, constants))
            case Binary(operator, left, right):
                first = self.expression(left, columns, constants)
                node = self.op(_BINARY[operator], first, self.expression(right, columns, constants))
        result = self.nodes[node].value
        if isinstance(result, float) and not np.isfinite(result):
            raise ExpressionError(f"formula has a part without names that comes to {result}; powers are in floating point")
        return node

    def gradient(self, root: int, seed: int, stop: frozenset[int] = frozenset()) -> dict[int, int]:
        """Add the reverse sweep from a node.

        Args:
            root: the node to differentiate.
            seed: its adjoint.
            stop: nodes to treat as leaves beside the parameters.

        Returns:
            The adjoint of every leaf that the root depends on.
        """
        adjoint = {root: seed}
        # Arguments always come before the operations on them, so that falling indices are a reverse topological order.
        wanted = self._reaches(root, stop)
        leaves: dict[int, int] = {}
        for index in sorted(wanted, reverse=True):
            if index not in adjoint:
                continue
            node = self.nodes[index]
            if node.kind == "parameter" or index in stop:
                leaves[index] = adjoint[index]
                continue
            pullback = PRIMITIVES[node.kind].pullback
            assert pullback is not None, node.kind
            for argument, share in zip(node.arguments, pullback(self, index, node.arguments, adjoint[index]), strict=True):
                if argument in wanted:
                    adjoint[argument] = self.op("add", adjoint[argument], share) if argument in adjoint else share
        return leaves

    def _reaches(self, root: int, stop: frozenset[int]) -> set[int]:
        """Return the nodes between the root and the leaves, both ends with them."""
        wanted: set[int] = set()
        todo = [root]
        while todo:
            index = todo.pop()
            if index in wanted or not self.nodes[index].depends & Depends.PARAMETERS:
                continue
            wanted.add(index)
            if index not in stop:
                todo.extend(self.nodes[index].arguments)
        return wanted

    def scalars_of(self, root: int) -> frozenset[int]:
        """Return the parameter-only nodes that rows read: where a gradient can be summed over rows before it goes on."""
        found: set[int] = set()
        seen: set[int] = set()
        todo = [root]
        while todo:
            index = todo.pop()
            if index in seen:
                continue
            seen.add(index)
            node = self.nodes[index]
            if node.depends == Depends.PARAMETERS:
                found.add(index)
            elif node.depends == Depends.ROWS:
                todo.extend(node.arguments)
        return frozenset(found)

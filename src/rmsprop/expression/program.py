"""Some nodes of a tape as a list of NumPy calls into registers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.aligned import aligned
from rmsprop.expression.primitives import PRIMITIVES
from rmsprop.expression.tape import Builder, Depends

Array = NDArray[np.float64]

#: Terms of a dot product: too few for a BLAS to share out among threads of its own.
PIECE = 8_192
# A dot product with ones takes half the time of a sum.
_ONES = aligned(np.ones(PIECE))


class Program:
    """Some nodes of a tape as a list of calls into registers.

    Args:
        builder: the tape.
        sums: nodes to sum over the rows of each block.
        arrays: nodes whose values are handed out, row by row.
        stored: column-only nodes that are read from memory instead of being computed.
        dots: take the sum of a product as a dot product; without, the product is rounded before it is summed, as by np.sum.

    Attributes:
        registers: how many registers a block needs.
        costly: whether an operation takes long enough for threads to be worth waking.
    """

    def __init__(
        self, builder: Builder, sums: Sequence[int], arrays: Sequence[int], stored: Sequence[int] = (), *, dots: bool = False
    ) -> None:
        self._nodes = builder.nodes
        self._dots = dots
        self.sums, self.arrays = list(sums), list(arrays)
        self.stored = frozenset(stored)
        self.columns: list[int] = []  # nodes read from memory: columns and stored results
        self.scalars: list[int] = []  # parameter-only nodes, arguments first
        self._dot_sums: set[int] = set()
        order = self._order([*self.sums, *self.arrays])
        self.costly = any(output < 0 and not PRIMITIVES[self._nodes[index].kind].cheap for index, output in order)
        self._allocate(order)

    def _order(self, roots: Sequence[int]) -> list[tuple[int, int]]:
        """List (node, sum) in order of execution: a node to compute, and which sum to take right after it (-1: none)."""
        done: set[int] = set()
        order: list[tuple[int, int]] = []

        def visit(root: int) -> None:
            todo = [(root, False)]
            while todo:
                index, ready = todo.pop()
                if index in done:
                    continue
                node = self._nodes[index]
                if node.depends in (Depends.NOTHING, Depends.PARAMETERS):
                    done.add(index)
                    self._scalar(index)
                elif node.kind == "column" or index in self.stored:
                    done.add(index)
                    self.columns.append(index)
                elif ready:
                    done.add(index)
                    order.append((index, -1))
                else:
                    todo.append((index, True))
                    todo.extend((argument, False) for argument in reversed(node.arguments))

        for k, root in enumerate(roots):
            # The factors are what a dot product needs, unless the product is there anyway.
            factors = self._factors(root) if k < len(self.sums) and root not in done else ()
            for needed in factors or (root,):
                visit(needed)
            if factors:
                self._dot_sums.add(k)
            order.append((root, k))
        return order

    def _factors(self, root: int) -> tuple[int, ...]:
        node = self._nodes[root]
        if not self._dots or node.depends != Depends.ROWS or node.kind not in ("mul", "square") or root in self.stored:
            return ()
        factors = node.arguments if len(node.arguments) == 2 else node.arguments * 2
        by_row = all(self._nodes[factor].depends & Depends.COLUMNS for factor in factors)
        return factors if by_row else ()

    def _reads(self, index: int, output: int) -> tuple[int, ...]:
        if output < 0:
            return self._nodes[index].arguments
        return self._factors(index) if output in self._dot_sums else (index,)

    def _scalar(self, index: int) -> None:
        if index not in self.scalars:
            for argument in self._nodes[index].arguments:
                self._scalar(argument)
            self.scalars.append(index)

    def _allocate(self, order: Sequence[tuple[int, int]]) -> None:
        """Give every row-valued node a register for as long as it is read."""
        last: dict[int, int] = {}
        for time, (index, output) in enumerate(order):
            for read in self._reads(index, output):
                last[read] = time
        slot = {index: k for k, index in enumerate([*self.scalars, *self.columns])}
        self.first_register = len(slot)
        free: list[int] = []
        self.registers = 0
        self.calls: list[tuple[Any, int, int, int]] = []  # (ufunc or None, input, second input or -1, output or sum)
        for time, (index, output) in enumerate(order):
            reads = self._reads(index, output)
            inputs = [slot[read] for read in reads]
            if output >= 0:
                self.calls.append((None, inputs[0], inputs[1] if len(inputs) > 1 else -1, output))
            for read in dict.fromkeys(reads):
                if last[read] == time and slot[read] >= self.first_register:
                    free.append(slot[read])
            if output < 0:
                if free:
                    slot[index] = free.pop()
                else:
                    slot[index] = self.first_register + self.registers
                    self.registers += 1
                ufunc = PRIMITIVES[self._nodes[index].kind].ufunc
                self.calls.append((ufunc, inputs[0], inputs[1] if len(inputs) > 1 else -1, slot[index]))
                if index not in last:
                    free.append(slot[index])

    def scalar_values(self, parameters: Mapping[str, float]) -> list[np.float64]:
        """Compute the parameter-only nodes."""
        return scalar_values(self._nodes, self.scalars, parameters)

    def run(self, values: list[Any], totals: Array, outputs: Sequence[Array] = ()) -> None:
        """Run one block.

        Args:
            values: scalars, slices of the columns, and registers, in the order of the slots; with dots the latter two have
                shape (pieces, up to PIECE), else (rows,).
            totals: (sums, pieces) receives the sums of each piece of the block; without dots only the first of them is used.
            outputs: an array for each handed-out node, of the same shape.
        """
        sums = len(self.sums)
        reduce, dot = np.add.reduce, np.vecdot
        for ufunc, first, second, out in self.calls:
            if ufunc is None:
                value = values[first]
                if out >= sums:
                    outputs[out - sums][...] = value
                elif not isinstance(value, np.ndarray):
                    # A node without rows, as in the loss of y = a at a constant y, counts once for every row.
                    totals[out, 0] = value * values[-1].size
                elif self._dots:
                    dot(value, values[second] if second >= 0 else _ONES[: value.shape[1]], out=totals[out, : len(value)])
                else:
                    totals[out, 0] = reduce(value)
            elif second < 0:
                ufunc(values[first], out=values[out])
            else:
                ufunc(values[first], values[second], out=values[out])


def scalar_values(nodes: Sequence[Any], order: Sequence[int], parameters: Mapping[str, float]) -> list[np.float64]:
    """Compute parameter-only nodes, arguments first."""
    done: dict[int, np.float64] = {}
    for index in order:
        node = nodes[index]
        if node.kind == "number":
            done[index] = np.float64(node.value)
        elif node.kind == "parameter":
            done[index] = np.float64(parameters[node.value])
        else:
            done[index] = PRIMITIVES[node.kind].ufunc(*[done[i] for i in node.arguments])
    return [done[index] for index in order]

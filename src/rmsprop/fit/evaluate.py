"""Running a tape over blocks of rows: no array of the data's length, fixed order of sums, the same bits for every thread count."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.fit import memory
from rmsprop.fit.model import DELTA, Model
from rmsprop.fit.primitives import PRIMITIVES
from rmsprop.fit.tape import Builder, Depends

Array = NDArray[np.float64]

#: Rows of a block: its buffers stay in the second-level cache. The order of sums, and so the last bits, depend on it.
BLOCK = 32_768
DOT = 8_192
# A dot product with ones takes half the time of a sum.
_ONES = memory.aligned(np.ones(DOT))
#: Stored results of column-only parts, such as exp(x), may take this much memory.
CACHE_BYTES = 1 << 30


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="rmsprop-fit")


class Program:
    """Some nodes of a tape as a list of calls into registers.

    Args:
        builder: the tape.
        sums: nodes to sum over the rows of each block.
        arrays: nodes whose values are handed out, row by row.
        stored: column-only nodes that are read from memory instead of being computed.
        dots: take the sum of a product as a dot product; without, the product is rounded before it is summed, as by np.sum.
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
            values: scalars, slices of the columns, and registers, in the order of the slots.
            totals: (sums,) receives the sums of the block.
            outputs: one (rows,) array for each handed-out node.
        """
        sums = len(self.sums)
        reduce = np.add.reduce
        for ufunc, first, second, out in self.calls:
            if ufunc is None:
                value = values[first]
                if second >= 0:
                    totals[out] = _dot(value, values[second])
                elif out >= sums:
                    outputs[out - sums][...] = value
                elif isinstance(value, np.ndarray):
                    totals[out] = _dot(value, _ONES) if self._dots else reduce(value)
                else:
                    # A node without rows, as in the loss of y = a at a constant y, counts once for every row.
                    totals[out] = value * len(values[-1])
            elif second < 0:
                ufunc(values[first], out=values[out])
            else:
                ufunc(values[first], values[second], out=values[out])


def _dot(a: Array, b: Array) -> float:
    """Return Σ ab, or Σ a for b = _ONES, in pieces that are too short for a BLAS to share out among threads of its own."""
    whole = len(a) // DOT * DOT
    others = b if b is _ONES else b[:whole].reshape(-1, DOT)
    total = float(np.add.reduce(np.vecdot(a[:whole].reshape(-1, DOT), others)))
    rest = b[: len(a) - whole] if b is _ONES else b[whole:]
    return total + float(np.vecdot(a[whole:], rest)) if whole < len(a) else total


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


class Evaluator:
    """A model on the rows of a data set.

    Args:
        model: the model.
        columns: name → (n,) float64, contiguous.
        store: keep the costly column-only parts, so that they are computed once and not in every epoch.
        threads: how many threads share the blocks; the result has the same bits for every number.
    """

    def __init__(self, model: Model, columns: Mapping[str, Array], *, store: bool = True, threads: int = 1) -> None:
        self.model = model
        self.threads = threads
        self._memory: dict[int, Array] = {}
        self.rebind(columns)
        self._store = store
        self._programs: dict[str, Program] = {}
        self._buffers: dict[int, list[Array]] = {}
        self.delta = 1.0  # of Huber's loss, in units of the residual

    def rebind(self, columns: Mapping[str, Array]) -> None:
        """Go over to other rows; only without stored parts."""
        self.n = len(columns[self.model.used_columns[0]])
        for name in self.model.used_columns:
            self._memory[self.model.builder.column(name)] = columns[name]

    def columns(self) -> dict[str, Array]:
        """Return the rows that it is on."""
        return {name: self._memory[self.model.builder.column(name)] for name in self.model.used_columns}

    def residuals(self, theta: Array) -> Array:
        """(n,) prediction minus left side, over sigma where there is one."""
        out = np.empty(self.n)
        self._run("residual", [], [self.model.residual], theta, [out])
        return out

    def predictions(self, theta: Array) -> Array:
        """(n,) values of the right side."""
        out = np.empty(self.n)
        self._run("prediction", [], [self.model.prediction], theta, [out])
        return out

    def responses(self) -> Array:
        """(n,) values of the left side."""
        out = np.empty(self.n)
        self._run("response", [], [self.model.response], np.zeros(len(self.model.parameters)), [out])
        return out

    def jacobian(self, theta: Array) -> Array:
        """(n, p) derivatives of the residuals, in Fortran order."""
        out = np.empty((self.n, len(theta)), order="F")
        self._run("jacobian", [], self.model.jacobian, theta, list(out.T))
        return out

    def loss(self, theta: Array) -> float:
        """Mean loss of a row."""
        return float(self._run("loss", [self.model.loss_terms[0]], [], theta)[0] / self.n)

    def loss_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Mean loss of a row, and its (p,) gradient: (1/n) Σ ψ(r) dr/dθ with ψ(r) = r for mse, as in article B."""
        model = self.model
        summed, chain = model.gradient_sums
        totals = self._run("gradient", [model.loss_terms[0], *summed], [], theta)
        values = self._named(theta)
        for k, total in enumerate(totals[1:]):
            values[f"sum {k}"] = total
        order = self._chain_order(chain)
        done = dict(zip(order, scalar_values(model.builder.nodes, order, values), strict=True))
        gradient = np.array([done[index] for index in chain])
        return float(totals[0] / self.n), (1 / self.n) * gradient

    def _chain_order(self, chain: Sequence[int]) -> list[int]:
        if not hasattr(self, "_order"):
            seen: set[int] = set()
            todo = list(chain)
            while todo:
                index = todo.pop()
                if index not in seen:
                    seen.add(index)
                    todo.extend(self.model.builder.nodes[index].arguments)
            self._order = sorted(seen)
        return self._order

    def _named(self, theta: Array) -> dict[str, float]:
        values: dict[str, float] = dict(zip(self.model.parameters, theta, strict=True))
        values[DELTA] = self.delta
        return values

    def _run(self, name: str, sums: Sequence[int], arrays: Sequence[int], theta: Array, outputs: Sequence[Array] = ()) -> Array:
        """Run a program over all blocks and return its sums, added in the order of the blocks."""
        program = self._programs.get(name)
        if program is None:
            program = self._programs[name] = Program(
                self.model.builder, sums, arrays, self._stored([*sums, *arrays]), dots=self.n > BLOCK
            )
        with np.errstate(all="ignore"):
            scalars = program.scalar_values(self._named(theta))
            blocks = range(0, max(self.n, 1), BLOCK)
            totals = np.zeros((len(blocks), len(sums)))

            def work(first: int, step: int) -> None:
                registers = self._registers(first, program.registers)
                held = [self._memory[index] for index in program.columns]
                with np.errstate(all="ignore"):
                    for k in range(first, len(blocks), step):
                        rows = slice(blocks[k], min(blocks[k] + BLOCK, self.n))
                        size = rows.stop - rows.start
                        values = [*scalars, *(column[rows] for column in held)]
                        values += registers if size == len(registers[0]) else [r[:size] for r in registers]
                        program.run(values, totals[k], [out[rows] for out in outputs])

            threads = min(self.threads, len(blocks))
            if threads <= 1:
                work(0, 1)
            else:
                pool = _pool(threads - 1)
                others = [pool.submit(work, first, threads) for first in range(1, threads)]
                work(0, threads)
                for other in others:
                    other.result()
        summed: Array = np.add.reduce(totals, axis=0)
        return totals[0] if len(blocks) == 1 else summed

    def _registers(self, worker: int, count: int) -> list[Array]:
        size = min(self.n, BLOCK)
        known = self._buffers.setdefault(worker, [])
        if known and len(known[0]) < size:
            known.clear()
        while len(known) < max(count, 1):
            known.append(memory.empty(len(known[0]) if known else size))
        return known[: max(count, 1)]

    def _stored(self, roots: Sequence[int]) -> list[int]:
        """Compute and keep the column-only nodes that rows read and that cost more to compute than to load."""
        if not self._store:
            return []
        nodes = self.model.builder.nodes
        found: list[int] = []
        seen: set[int] = set()
        todo = list(roots)
        while todo:
            index = todo.pop()
            if index in seen:
                continue
            seen.add(index)
            node = nodes[index]
            if node.depends == Depends.ROWS:
                todo.extend(node.arguments)
            elif node.depends == Depends.COLUMNS and node.kind != "column" and self._worth_storing(index):
                found.append(index)
        for index in found:
            if index not in self._memory:
                out = memory.empty(self.n)
                program = Program(self.model.builder, [], [index])
                self._programs[f"store {index}"] = program
                self._run(f"store {index}", [], [index], np.zeros(len(self.model.parameters)), [out])
                self._memory[index] = out
        return found

    def _worth_storing(self, index: int) -> bool:
        if index in self._memory or self.n <= BLOCK:
            return True
        stored = 8 * self.n * (1 + sum(1 for k in self._memory if self.model.builder.nodes[k].kind != "column"))
        return stored <= CACHE_BYTES and self._costly(index)

    def _costly(self, index: int) -> bool:
        """Return whether a column-only node rests on an operation that is not cheap; each node is looked at once."""
        nodes = self.model.builder.nodes
        seen: set[int] = set()
        todo = [index]
        while todo:
            at = todo.pop()
            if at in seen or nodes[at].kind in ("column", "number"):
                continue
            seen.add(at)
            if not PRIMITIVES[nodes[at].kind].cheap:
                return True
            todo.extend(nodes[at].arguments)
        return False

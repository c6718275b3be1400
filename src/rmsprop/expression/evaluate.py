"""Running a tape over blocks of rows: no array of the data's length, fixed order of sums, the same bits for every thread count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rmsprop.aligned import empty
from rmsprop.expression.model import DELTA, Model
from rmsprop.expression.primitives import PRIMITIVES
from rmsprop.expression.program import PIECE, Program, scalar_values
from rmsprop.expression.tape import Depends
from rmsprop.kernels.threads import share

Array = NDArray[np.float64]

#: Rows of a block, in pieces: its buffers stay in the second-level cache. The order of sums, and so the last bits, depend on it.
PIECES = 4
BLOCK = PIECES * PIECE
#: Stored results of column-only parts, such as exp(x), may take this much memory.
CACHE_BYTES = 1 << 30
# What `share` calls elements are blocks here; it cuts at multiples of 64 elements.
_SHARED_BY = 64


class Evaluator:
    """A model on the rows of a data set.

    Args:
        model: the model.
        columns: name → (n,) float64, contiguous.
        store: keep the costly column-only parts, so that they are computed once and not in every epoch.
        parallel: whether threads may share the blocks; the result has the same bits for every number of them.
    """

    def __init__(self, model: Model, columns: Mapping[str, Array], *, store: bool = True, parallel: bool = False) -> None:
        self.model = model
        self._parallel = parallel
        self._memory: dict[int, Array] = {}
        self.rebind(columns)
        self._store = store
        self._programs: dict[tuple[str, bool], Program] = {}
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
        # Rows may change their number from run to run, and with it the shape of the blocks.
        dots = self.n > BLOCK
        program = self._programs.get((name, dots))
        if program is None:
            program = Program(self.model.builder, sums, arrays, self._stored([*sums, *arrays]), dots=dots)
            self._programs[name, dots] = program
        blocks = _blocks(self.n)
        totals = np.zeros((len(blocks), len(sums), PIECES))
        held = [self._memory[index] for index in program.columns]
        with np.errstate(all="ignore"):
            scalars = program.scalar_values(self._named(theta))

        def work(first: int, last: int) -> None:
            mine = range(first // _SHARED_BY, last // _SHARED_BY)
            registers = self._registers(mine.start, program.registers)
            with np.errstate(all="ignore"):
                for k in mine:
                    rows, shape = blocks[k]
                    size = rows.stop - rows.start
                    values = [*scalars, *(column[rows].reshape(shape) for column in held)]
                    values += [register[:size].reshape(shape) for register in registers]
                    program.run(values, totals[k], [out[rows].reshape(shape) for out in outputs])

        every = len(blocks) * _SHARED_BY
        # Cheap operations are over before another thread has woken up: sharing them out would take longer.
        if self._parallel and program.costly:
            share(work, every, _SHARED_BY)
        else:
            work(0, every)
        summed: Array = np.add.reduce(totals, axis=(0, 2)) if len(blocks) > 1 else totals[0, :, 0]
        return summed

    def _registers(self, worker: int, count: int) -> list[Array]:
        size = min(self.n, BLOCK)
        known = self._buffers.setdefault(worker, [])
        if known and len(known[0]) < size:
            known.clear()
        while len(known) < max(count, 1):
            known.append(empty(len(known[0]) if known else size))
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
                out = empty(self.n)
                self._programs[f"store {index}", self.n > BLOCK] = Program(self.model.builder, [], [index], dots=self.n > BLOCK)
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


def _blocks(n: int) -> list[tuple[slice, tuple[int, ...]]]:
    """Return the rows of each block, and its shape: (pieces, PIECE), but for what is left over; one row of n where n is small."""
    if n <= BLOCK:
        return [(slice(0, n), (n,))]
    ends = [*range(0, n, BLOCK), n // PIECE * PIECE, n]
    cuts = sorted(set(ends))
    return [(slice(first, last), (-(-(last - first) // PIECE), min(last - first, PIECE))) for first, last in pairwise(cuts)]

"""What a run asks of the data: losses and gradients over all rows in memory, over mini-batches, or over a file in pieces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rmsprop.expression.evaluate import Evaluator
from rmsprop.expression.model import Model
from rmsprop.fit.stream import Pieces

Array = NDArray[np.float64]

#: Rows from which coordinates, start values and Huber's delta are estimated.
SAMPLE = 65_536
# 1.4826 median(|r|) estimates the standard deviation of normal residuals; 1.345 of them keep 95 % efficiency (Huber 1981).
_MAD, _TUNING = 1.4826, 1.345


def sample(columns: Mapping[str, Array], rows: int) -> dict[str, Array]:
    """Return at most that many rows, evenly spread."""
    n = len(next(iter(columns.values())))
    step = max(1, -(-n // rows))
    return {name: np.ascontiguousarray(column[::step]) for name, column in columns.items()}


class _Sampled(ABC):
    """The parts of a problem that a sample of rows answers."""

    def __init__(self, model: Model, columns: Mapping[str, Array], delta: float | None) -> None:
        self.sampled = Evaluator(model, sample(columns, SAMPLE))
        self._adapts = model.loss == "huber" and delta is None
        self.delta = 1.0 if delta is None else delta

    def triangle(self, theta: Array) -> Array:
        """Return the R factor of [J r] over the sample."""
        return triangle(self.sampled.jacobian(theta), self.sampled.residuals(theta))

    def adapt(self, theta: Array) -> bool:
        """Re-estimate Huber's delta where it is not given."""
        if not self._adapts:
            return False
        with np.errstate(all="ignore"):
            spread = _TUNING * _MAD * float(np.median(np.abs(self.sampled.residuals(theta))))
        if not (np.isfinite(spread) and spread > 0) or spread == self.delta:
            return False
        self.delta = spread
        self._spread(spread)
        return True

    @abstractmethod
    def _spread(self, delta: float) -> None:
        """Take a new delta for Huber's loss wherever residuals are weighed."""


class InMemory(_Sampled):
    """All rows in memory.

    Args:
        model: the model.
        columns: name → (n,) float64.
        batch_size: rows of a mini-batch; None for all rows in every step.
        seed: of the order of the rows.
        delta: of Huber's loss; None to estimate it from the residuals.
    """

    def __init__(
        self,
        model: Model,
        columns: Mapping[str, Array],
        *,
        batch_size: int | None = None,
        seed: int = 0,
        delta: float | None = None,
    ) -> None:
        super().__init__(model, columns, delta)
        self.columns = columns
        self.whole = Evaluator(model, columns, parallel=True)
        self.n = self.whole.n
        self._batch = batch_size if batch_size is not None and batch_size < self.n else None
        self._part = Evaluator(model, columns, store=False)
        self._seed = seed
        self.steps_per_epoch = 1 if self._batch is None else -(-self.n // self._batch)
        self._spread(self.delta)

    def full(self, theta: Array) -> tuple[float, Array]:
        """Return mean loss and gradient over all rows."""
        return self.whole.loss_and_gradient(theta)

    def measure(self, theta: Array) -> float | None:
        """Return the mean loss over all rows."""
        return self.whole.loss(theta)

    def batches(self, epoch: int) -> Iterator[Callable[[Array], tuple[float, Array]]] | None:
        """Return the mini-batches of an epoch."""
        if self._batch is None:
            return None
        return _batches(self._part, self.columns, self._batch, np.random.default_rng([self._seed, epoch]))

    def _spread(self, delta: float) -> None:
        for evaluator in (self.whole, self._part, self.sampled):
            evaluator.delta = delta


class Streamed(_Sampled):
    """A file in pieces, each read, shuffled and cut into mini-batches in turn.

    Args:
        model: the model.
        pieces: the file.
        batch_size: rows of a mini-batch.
        seed: of the order of the pieces and of the rows in each.
        delta: of Huber's loss; None to estimate it from the residuals of the first piece.
    """

    def __init__(self, model: Model, pieces: Pieces, *, batch_size: int, seed: int = 0, delta: float | None = None) -> None:
        first = pieces.read(0)
        super().__init__(model, first, delta)
        self._pieces = pieces
        self._batch = batch_size
        self._seed = seed
        self.n = pieces.n
        self._part = Evaluator(model, first, store=False)
        self.steps_per_epoch = sum(-(-rows // batch_size) for rows in pieces.sizes)
        self._spread(self.delta)

    def full(self, theta: Array) -> tuple[float, Array]:
        """Answer from the first piece: it only begins a run."""
        return self.sampled.loss_and_gradient(theta)

    def measure(self, theta: Array) -> float | None:
        """Return None: it would read the file once more."""
        return None

    def batches(self, epoch: int) -> Iterator[Callable[[Array], tuple[float, Array]]]:
        """Yield the mini-batches of an epoch, a piece after another in random order."""
        rng = np.random.default_rng([self._seed, epoch])
        for piece in rng.permutation(len(self._pieces.sizes)):
            yield from _batches(self._part, self._pieces.read(int(piece)), self._batch, rng)

    def _spread(self, delta: float) -> None:
        for evaluator in (self._part, self.sampled):
            evaluator.delta = delta

    def totals(self, theta: Array, visit: Callable[[Evaluator], None]) -> None:
        """Show every piece to a visitor, in the order of the file."""
        for piece in range(len(self._pieces.sizes)):
            self._part.rebind(self._pieces.read(piece))
            visit(self._part)


def _batches(
    part: Evaluator, columns: Mapping[str, Array], size: int, rng: np.random.Generator
) -> Iterator[Callable[[Array], tuple[float, Array]]]:
    n = len(next(iter(columns.values())))
    order = rng.permutation(n)
    for first in range(0, n, size):
        rows = order[first : first + size]
        part.rebind({name: column[rows] for name, column in columns.items()})
        yield part.loss_and_gradient


def triangle(jacobian: Array, residuals: Array) -> Array:
    """Return the (p+1, p+1) R factor of [J r], with rows of zeros where there are fewer rows than that."""
    stacked = np.column_stack([jacobian, residuals])
    if not np.isfinite(stacked).all():
        return np.full((stacked.shape[1], stacked.shape[1]), np.nan)
    r: Array = np.asarray(np.linalg.qr(stacked, mode="r"))
    missing = stacked.shape[1] - r.shape[0]
    return r if missing <= 0 else np.vstack([r, np.zeros((missing, stacked.shape[1]))])


def merge(triangles: Sequence[Array]) -> Array:
    """Return the R factor of blocks of rows from their own R factors."""
    return np.asarray(np.linalg.qr(np.vstack(triangles), mode="r"))

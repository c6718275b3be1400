"""A workload as a value: what is trained, how its loss is measured, and what it has to reach."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rmsprop.errors import UsageError

#: From a model's parameters to the optimizer that trains them.
Make = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class Training(Protocol):
    """One model on its way."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """What takes the steps."""

    def advance(self, steps: int) -> None:
        """Take so many steps."""

    def measure(self) -> tuple[float, float]:
        """Return the loss and the metric as they are now, either of them NaN where the model is broken."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What a race trains with PyTorch.

    Args:
        name: what it is called.
        title: model and data.
        story: what it shows, in a sentence.
        metric: what is measured beside the loss, on data that the model is not trained on.
        higher: whether more of it is better.
        begin: from a seed and what makes the optimizer to a fresh model; called with the seed's random numbers in place.
        steps: of a run, where nothing else is asked for.
        ends: of the first grid of learning rates, powers of ten.
        budget: how many of them are tried, where nothing else is asked for.
        judges: seeds that a learning rate is judged by.
        target: the loss that counts as arrived.
        lowest: the lowest loss there can be.
    """

    name: str
    title: str
    story: str
    metric: str
    higher: bool
    begin: Callable[[int, Make], Training]
    steps: int
    ends: tuple[float, float] = (-4.0, 1.0)
    budget: int = 11
    judges: int = 2
    target: float
    lowest: float = 0.0

    def reaching(self, target: float | None) -> Workload:
        """Return the same workload with another target.

        Raises:
            UsageError: it is not a loss that can be reached.
        """
        if target is None:
            return self
        if not (np.isfinite(target) and target > self.lowest):
            raise UsageError(f"target must be a loss above {self.lowest:g} for {self.name}, got {target!r}")
        return replace(self, target=target)


class Supervised:
    """A model that learns from batches.

    Args:
        model: what is trained.
        make: makes its optimizer.
        batch_loss: returns the loss of the next batch.
        measured: returns loss and metric.
    """

    def __init__(
        self, model: nn.Module, make: Make, batch_loss: Callable[[], Tensor], measured: Callable[[], tuple[float, float]]
    ) -> None:
        self.model = model
        self.optimizer = make(model.parameters())
        self._batch_loss, self._measured = batch_loss, measured

    def advance(self, steps: int) -> None:
        """Take so many steps."""
        for _ in range(steps):
            self.optimizer.zero_grad()
            self._batch_loss().backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()

    @torch.no_grad()
    def measure(self) -> tuple[float, float]:
        """Return the loss and the metric."""
        self.model.eval()
        told = self._measured()
        self.model.train()
        return told


def batches(count: int, size: int) -> Iterator[Tensor]:
    """Yield places of a batch's rows without end: every row once before any comes again, in an order by chance.

    Args:
        count: rows.
        size: of a batch.

    Example:
        >>> found = batches(5, 2)
        >>> sorted(torch.cat([next(found) for _ in range(2)]).tolist()) != [next(found).tolist()]
        True
    """
    while True:
        order = torch.randperm(count)
        yield from (order[k : k + size] for k in range(0, count - size + 1, size))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Give a run its own random numbers and one thread; what was before comes back after it.

    Args:
        seed: from 0 to 2³² - 1.
    """
    # Stable-Baselines3 seeds Python's and NumPy's generators too.
    threads, kept, numpy_kept = torch.get_num_threads(), random.getstate(), np.random.get_state()  # noqa: NPY002
    # These models are too small to share, and a run repeats itself to the last bit on one thread.
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
        random.setstate(kept)
        np.random.set_state(numpy_kept)  # noqa: NPY002

"""RMSprop over a fit's parameters: coordinates, schedule, restarts, mini-batches, and what is kept when it is stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rmsprop.fit import scaling
from rmsprop.optimizer import RMSprop
from rmsprop.schedules import schedule, schedule_names

Array = NDArray[np.float64]
Progress = Callable[[int, int, float], None]

SCHEDULES = ("restarts", *schedule_names())

# Of `restarts`: epochs between two, and by how much the learning rate falls within one.
_CYCLE = 50
_TOOTH = 0.02
# A cycle that lowers the loss by this share may walk faster, any other must walk slower.
_GAIN, _UP, _DOWN = 0.01, 1.5, 0.3
# After a cycle without any gain, faster: the last one ended below a tenth of its learning rate anyway.
_NOTHING, _DOWN_AT_REST = 1e-12, 0.1
# A step this small, in coordinates in which 1 matters, ends a run: float64 holds no more.
_SMALLEST = 1e-8
_SAMPLES = 400
# A run that ends this many times worse than it began has diverged; one that only circles the optimum has not.
_ROSE = 10


class Problem(Protocol):
    """What a run asks of the data."""

    def full(self, theta: Array) -> tuple[float, Array]:
        """Return mean loss and gradient over all rows."""

    def batches(self, epoch: int) -> Iterator[Callable[[Array], tuple[float, Array]]] | None:
        """Return the epoch's mini-batches in their order, each as θ → (loss, gradient); None to use all rows at once."""

    def measure(self, theta: Array) -> float | None:
        """Return the mean loss over all rows; None where that would read a file once more."""

    def triangle(self, theta: Array) -> Array:
        """Return the (p+1, p+1) R factor of [J r] over all rows or a fair sample."""

    def adapt(self, theta: Array) -> bool:
        """Re-estimate what the loss itself takes from the residuals; return whether it changed."""

    steps_per_epoch: int


@dataclass(frozen=True)
class Settings:
    """How a run goes; see `rmsprop.fit.fit`."""

    epochs: int
    lr: float
    dialect: str = "article"
    axes: Mapping[str, Any] = field(default_factory=dict)
    schedule: str = "restarts"
    scale: str = "curvature"


@dataclass
class Run:
    """What a run leaves behind.

    Attributes:
        best: (p,) parameters of the lowest loss seen.
        end: (p,) parameters at the end.
        losses: mean loss at the start and after each epoch.
        effective: epochs, each with the (p,) effective learning rates after it, in each parameter's own unit. A pair is one entry,
            so that Ctrl-C cannot part it.
        diverged: epoch at which the loss or gradient last left the finite numbers, or None.
        interrupted: whether the user stopped it.
        restarts: how often the coordinates were measured again.
    """

    best: Array
    best_loss: float
    end: Array
    losses: list[float]
    effective: list[tuple[int, Array]] = field(default_factory=list)
    diverged: int | None = None
    interrupted: bool = False
    restarts: int = 0

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return len(self.losses) - 1


def train(problem: Problem, theta: Array, settings: Settings, progress: Progress | None = None) -> Run:
    """Run RMSprop from a start; Ctrl-C ends it and keeps the best so far.

    Args:
        problem: loss and gradient.
        theta: (p,) start, where both are finite.
        settings: how to run.
        progress: called with (epoch, epochs, loss) now and then.
    """
    loss, gradient = problem.full(theta)
    run = Run(theta.copy(), loss, theta.copy(), [loss])
    try:
        if settings.schedule == "restarts":
            _restarts(problem, theta, gradient, settings, run, progress)
        else:
            _once(problem, theta, settings, run, progress)
    except KeyboardInterrupt:
        run.interrupted = True
    return run


class _Walk:
    """Coordinates and an optimizer in them."""

    def __init__(
        self, problem: Problem, theta: Array, loss: float, floor: Array, settings: Settings, lr: Callable[[int], float]
    ) -> None:
        self.base = theta.copy()
        self.map: Array | None = None
        self.weight = 1.0
        if settings.scale != "none":
            size = scaling.sizes(theta, floor)
            curved = settings.scale == "curvature"
            self.map = scaling.by_curvature(problem.triangle(theta), size) if curved else scaling.by_size(size)
            # A loss measured in its own size makes eps a relative number, and tiny data no special case.
            self.weight = 1 / loss if loss > 0 and math.isfinite(1 / loss) else 1.0
        self.u = theta.copy() if self.map is None else np.zeros_like(theta)
        self.optimizer = RMSprop(self.u, lr, settings.dialect, **settings.axes)

    def step(self, gradient: Array) -> Array:
        """Walk one step down a gradient by θ and return the new θ."""
        # What leaves the finite numbers here ends the walk, so that NumPy need not warn of it too.
        with np.errstate(all="ignore"):
            self.optimizer.step(gradient if self.map is None else self.weight * (gradient @ self.map))
            return self.u.copy() if self.map is None else self.base + self.map @ self.u

    def effective(self) -> Array:
        """Return how far each parameter moves for a unit of its own gradient now."""
        rate = np.asarray(self.optimizer.effective_lr())
        return rate if self.map is None else self.weight * (np.square(self.map) @ rate)


def _floor(theta: Array) -> Array:
    """Return the least size of each parameter: a thousandth of its start, or 1 where that is 0."""
    return np.where(theta != 0, np.abs(theta) * 1e-3, 1.0)


def _restarts(problem: Problem, theta: Array, gradient: Array, settings: Settings, run: Run, progress: Progress | None) -> None:
    """Walk in cycles; each starts at the best point, measures the coordinates there, and steps as far as the last one earned."""
    floor = _floor(theta)
    lr = settings.lr
    best_gradient = gradient
    while run.epochs < settings.epochs and lr >= _SMALLEST * settings.lr:
        if problem.adapt(run.best):
            run.best_loss, best_gradient = problem.full(run.best)
        before = run.best_loss
        theta, gradient = run.best.copy(), best_gradient
        walk = _Walk(problem, theta, before, floor, settings, _tooth(lr))
        run.restarts += 1
        for _ in range(min(_CYCLE, settings.epochs - run.epochs)):
            try:
                theta = walk.step(gradient)
            except FloatingPointError:
                run.diverged = run.epochs + 1
                break
            loss, gradient = problem.full(theta)
            if not (math.isfinite(loss) and np.isfinite(gradient).all()):
                run.diverged = run.epochs + 1
                break
            _record(run, loss, walk, settings, progress)
            run.end = theta
            if loss < run.best_loss:
                run.best, run.best_loss, best_gradient = theta, loss, gradient
        if run.diverged is not None and run.epochs == 0 and lr < settings.lr * 1e-3:
            return
        gain = 1 - run.best_loss / before if before > 0 else 0.0
        lr = min(lr * _UP, settings.lr) if gain > _GAIN else lr * (_DOWN if gain > _NOTHING else _DOWN_AT_REST)


def _tooth(top: float) -> Callable[[int], float]:
    """Return the learning rate by step of one cycle."""
    return lambda step: float(top * _TOOTH ** (step / _CYCLE))


def _once(problem: Problem, theta: Array, settings: Settings, run: Run, progress: Progress | None) -> None:
    """Walk through all epochs in the coordinates of the start, by one schedule."""
    problem.adapt(theta)
    total = settings.epochs * problem.steps_per_epoch
    walk = _Walk(problem, theta, run.losses[0], _floor(theta), settings, schedule(settings.schedule, settings.lr, total))
    loss, gradient = run.losses[0], None
    for epoch in range(settings.epochs):
        batches = problem.batches(epoch)
        try:
            if batches is None:
                theta = walk.step(problem.full(theta)[1] if gradient is None else gradient)
                loss, gradient = problem.full(theta)
                finite = math.isfinite(loss) and bool(np.isfinite(gradient).all())
            else:
                seen: list[float] = []
                for batch in batches:
                    part, slope = batch(theta)
                    seen.append(part)
                    theta = walk.step(slope)
                exact = problem.measure(theta)
                loss = float(np.mean(seen)) if exact is None else exact
                finite = math.isfinite(loss)
        except FloatingPointError:
            finite = False
        if not finite:
            run.diverged = epoch + 1
            return
        _record(run, loss, walk, settings, progress)
        run.end = theta
        if loss < run.best_loss:
            run.best, run.best_loss = theta, loss


def _record(run: Run, loss: float, walk: _Walk, settings: Settings, progress: Progress | None) -> None:
    run.losses.append(loss)
    every = max(1, settings.epochs // _SAMPLES)
    if run.epochs % every == 0:
        run.effective.append((run.epochs, walk.effective()))
        if progress is not None:
            progress(run.epochs, settings.epochs, run.best_loss)


def trouble_of(run: Run, settings: Settings) -> str | None:
    """Say at which epoch a run diverged, and what to change."""
    began, ended = run.losses[0], run.losses[-1]
    epoch = run.diverged
    if settings.schedule == "restarts":
        # Restarts go on from the best point with shorter steps, so that only a run that gained nothing has diverged.
        epoch = epoch if run.best_loss >= began else None
    elif epoch is None and ended > _ROSE * began:
        epoch = next(k for k, loss in enumerate(run.losses) if loss > _ROSE * began)
    if epoch is None:
        return None
    what = "its loss is no finite number" if run.diverged else f"its loss rose from {began:.4g} to {ended:.4g}"
    return f"RMSprop diverged at epoch {epoch}: {what}; lower lr (now {settings.lr:g}), or give a start nearer to the data"

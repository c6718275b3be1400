"""What an optimizer does to its parameters, seen from outside: the same measure for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray


class Seen(NamedTuple):
    """What was seen over some steps, of the parameters that had a gradient and moved; NaN where there were none.

    Attributes:
        rate: the median over the parameters of √(Σ Δp² / Σ g²): the effective learning rate.
        slope: how √(Σ Δp²) goes with √(Σ g²) from parameter to parameter, as a power: 1 where steps are proportional to gradients,
            0 where steep directions and flat ones take steps alike.
        norm: the median over the steps of the gradient's norm.
        peak: its maximum.
    """

    rate: float
    slope: float
    norm: float
    peak: float


class Probe:
    """Sets the learning rate of each step, and watches the steps.

    Args:
        optimizer: whose steps.
        rate: learning rate from the number of steps already taken.
        watch: whether to watch, or only to set rates.

    Example:
        >>> p = torch.nn.Parameter(torch.tensor([1.0, 10.0]))
        >>> optimizer = torch.optim.SGD([p], lr=1.0)
        >>> probe = Probe(optimizer, lambda step: 0.25, watch=True)
        >>> p.square().sum().backward()
        >>> optimizer.step()
        >>> seen = probe.read()
        >>> round(seen.rate, 6), round(seen.slope, 6)
        (0.25, 1.0)
    """

    def __init__(self, optimizer: torch.optim.Optimizer, rate: Callable[[int], float], watch: bool) -> None:
        self.count = 0
        self._rate = rate
        self._params = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.register_step_pre_hook(self._before)
        if watch:
            optimizer.register_step_post_hook(self._after)
        self._watch = watch
        self._start()

    def _start(self) -> None:
        self._squares = [torch.zeros_like(p, dtype=torch.float64) for p in self._params] if self._watch else []
        self._moves = [torch.zeros_like(p, dtype=torch.float64) for p in self._params] if self._watch else []
        self._norms: list[float] = []

    @torch.no_grad()
    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for group in optimizer.param_groups:
            group["lr"] = self._rate(self.count)
        self.count += 1
        if self._watch:
            self._old = [p.detach().clone() for p in self._params]
            grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._params]
            for square, g in zip(self._squares, grads, strict=True):
                square.addcmul_(g, g)
            self._norms.append(float(torch.stack([g.norm() for g in grads]).norm()))

    @torch.no_grad()
    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for move, p, old in zip(self._moves, self._params, self._old, strict=True):
            old.sub_(p)
            move.addcmul_(old, old)

    def read(self) -> Seen:
        """Return what was seen since the last call."""
        squares, moves = (torch.cat([part.flatten() for part in parts]).numpy() for parts in (self._squares, self._moves))
        norms = np.array(self._norms)
        self._start()
        with np.errstate(all="ignore"):
            told = (squares > 0) & (moves > 0) & np.isfinite(squares) & np.isfinite(moves)
            if not told.any():
                return Seen(np.nan, np.nan, np.nan, np.nan)
            g, step = np.sqrt(squares[told]), np.sqrt(moves[told])
            return Seen(float(np.median(step / g)), _slope(np.log(g), np.log(step)), float(np.median(norms)), float(norms.max()))


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the slope of the straight line through points, by least squares; NaN where all x are the same."""
    away = x - x.mean()
    return float(away @ y / (away @ away)) if away.any() else float("nan")

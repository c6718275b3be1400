"""Gradients that a rule finds hard: the same shapes for every upstream, a million elements at a time.

Runs beside each upstream and needs NumPy alone; the gradients travel with the upstream's results and need not be drawn twice.
"""

from collections.abc import Callable, Iterator

import numpy as np

Rows = np.ndarray  # (n,)


def start(n: int, dtype: str, seed: int = 0) -> Rows:
    """Return parameters: most near 1, some over eight decades, some exactly 0."""
    draw = np.random.default_rng(seed)
    p = draw.standard_normal(n)
    p[1::7] *= 10.0 ** draw.uniform(-6, 2, len(p[1::7]))
    p[2::11] = 0.0
    return p.astype(dtype)


def rates(steps: int) -> tuple[float, ...]:
    """Return a learning rate for each step, all of them float32: constant, jumping, decaying over three decades, and once 0."""
    lr = np.full(steps, 0.01)
    lr[steps // 5 : steps // 2] = np.resize([0.02, 0.001, 0.05, 0.003, 0.03], steps // 2 - steps // 5)
    lr[steps // 2 :] = np.geomspace(0.05, 5e-5, steps - steps // 2)
    lr[3 * steps // 4] = 0.0
    return tuple(map(float, lr.astype(np.float32)))


def hostile(n: int, steps: int, dtype: str, seed: int = 1) -> Iterator[Rows]:
    """Yield the gradient of each step; every kind below has its own stretch of the elements."""
    draw = np.random.default_rng(seed)
    edges = np.linspace(0, n, len(KINDS) + 1).astype(int)
    made = [kind(int(size), draw) for kind, size in zip(KINDS, np.diff(edges), strict=True)]
    for t in range(steps):
        yield np.concatenate([rows(t) for rows in made]).astype(dtype)


Kind = Callable[[int, np.random.Generator], Callable[[int], Rows]]


def _wide(draw: np.random.Generator, n: int, low: float, high: float) -> Rows:
    """Return numbers of either sign, even in the logarithm."""
    return np.copysign(10.0 ** draw.uniform(low, high, n), draw.uniform(-1, 1, n))


def random(n: int, draw: np.random.Generator) -> Callable[[int], Rows]:
    return lambda t: draw.standard_normal(n)


def constant(n: int, draw: np.random.Generator) -> Callable[[int], Rows]:
    once = _wide(draw, n, -6, 6)
    return lambda t: once


def nearly_constant(n: int, draw: np.random.Generator) -> Callable[[int], Rows]:
    """One part in 10 to 10⁶ of noise: v - m² cancels that much."""
    once, noise = _wide(draw, n, -2, 2), 10.0 ** draw.uniform(-6, -1, n)
    return lambda t: once * (1 + noise * draw.standard_normal(n))


def flips(n: int, draw: np.random.Generator) -> Callable[[int], Rows]:
    once = _wide(draw, n, -6, 6)
    return lambda t: once if t % 2 else -once


def repeats(n: int, draw: np.random.Generator) -> Callable[[int], Rows]:
    """Each value ten times over."""
    held = [draw.standard_normal(n)]

    def rows(t: int) -> Rows:
        if t % 10 == 0:
            held[0] = _wide(draw, n, -3, 3)
        return held[0]

    return rows


def pulses(n: int, draw: np.random.Generator) -> Callable[[int], Rows]:
    """Zeros, and one value in twenty."""
    return lambda t: np.where(draw.random(n) < 0.05, draw.standard_normal(n), 0.0)


def spread(n: int, draw: np.random.Generator) -> Callable[[int], Rows]:
    """Twelve decades at every step."""
    return lambda t: _wide(draw, n, -6, 6)


def tiny(n: int, draw: np.random.Generator) -> Callable[[int], Rows]:
    """Squares around the smallest normal float32, and below."""
    return lambda t: _wide(draw, n, -24, -14)


def zero(n: int, draw: np.random.Generator) -> Callable[[int], Rows]:
    return lambda t: np.zeros(n)


def spikes(n: int, draw: np.random.Generator) -> Callable[[int], Rows]:
    """One in a hundred is up to fifteen decades above the rest; its square still fits float32."""
    return lambda t: np.where(draw.random(n) < 0.01, _wide(draw, n, 3, 15), draw.standard_normal(n))


KINDS: tuple[Kind, ...] = (random, constant, nearly_constant, flips, repeats, pulses, spread, tiny, zero, spikes)

"""Learning rates that change over a run of known length."""

import math
from collections.abc import Callable

from rmsprop.rule import learning_rate

# From the share of the run that is over, in [0, 1), to the share of the learning rate that is left.
_SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "linear": lambda done: 1 - done,
    "exponential": lambda done: 1e-4**done,
    "step": lambda done: 0.1 ** int(3 * done),
}


def schedule_names() -> tuple[str, ...]:
    """Return the names that `schedule` knows.

    Example:
        >>> schedule_names()
        ('constant', 'cosine', 'linear', 'exponential', 'step')
    """
    return tuple(_SHAPES)


def schedule(name: str, lr: float, total: int) -> Callable[[int], float]:
    """Return a learning rate as a function of the steps already taken, as `RMSprop` accepts for lr.

    cosine: lr·(1 + cos(π·t/total))/2;  linear: lr·(1 - t/total);  exponential: lr·10^(-4·t/total);  step: lr/10 after each third

    Args:
        name: one of `schedule_names()`.
        lr: learning rate of the first step, ≥ 0.
        total: steps of the run, ≥ 1; beyond them the rate stays at its last value.

    Returns:
        A function of the number of steps already taken, 0 at the first.

    Raises:
        ValueError: the name is unknown, or a number is out of range.

    Example:
        >>> rate = schedule("cosine", 0.1, total=100)
        >>> rate(0), round(rate(50), 6)
        (0.1, 0.05)

    Source: the cosine is that of Loshchilov and Hutter, SGDR, https://arxiv.org/abs/1608.03983, without restarts.
    """
    if name not in _SHAPES:
        raise ValueError(f"schedule must be one of {', '.join(map(repr, _SHAPES))}, got {name!r}")
    if total < 1:
        raise ValueError(f"a schedule needs a total of at least 1 step, got {total!r}")
    shape, first = _SHAPES[name], learning_rate(lr)
    return lambda step: first * shape(min(step, total - 1) / total)

"""What an arithmetic's precision and range allow."""

from collections.abc import Callable
from typing import Any

import numpy as np

from rmsprop.rule import Rule

# The real numbers that complex ones are made of; other dtypes are their own.
REAL = {"complex64": "float32", "complex128": "float64"}


def floor(real: str) -> float:
    """Return the magnitude below which state is 0: twice the smallest normal number.

    Arithmetic that meets subnormal numbers is several times slower. State that is at least twice the smallest normal number stays
    normal when it is multiplied by any decay of at least a half; what lies below weighs nothing beside any eps.
    """
    return 2 * float(np.finfo(real).smallest_normal)


def check_precision(rule: Rule, computed: str, lr: float, *, flushed: bool = False) -> None:
    """Refuse hyper-parameters that lose their meaning in an arithmetic's precision.

    Args:
        rule: the dialect.
        computed: dtype name of the arithmetic.
        lr: learning rate; 0 where it is not known yet.
        flushed: whether the arithmetic takes subnormal numbers for 0, as that of XLA and TensorFlow does.

    Raises:
        ValueError: eps rounds to 0, decay or momentum round to 1, or a number or lr / eps overflows.
    """
    real = np.dtype(REAL.get(computed, computed))
    info = np.finfo(real)
    if flushed and rule.eps < float(info.smallest_normal):
        raise ValueError(
            f"eps={rule.eps!r} is 0 in {real} as this backend computes it, and a zero gradient would give 0/0; "
            f"use at least {float(info.smallest_normal):.3g}"
        )
    if real.type(rule.eps) == 0:
        raise ValueError(
            f"eps={rule.eps!r} rounds to 0 in {real}, where a zero gradient gives 0/0; "
            f"use at least {float(info.smallest_subnormal):.3g}"
        )
    numbers = {name: getattr(rule, name) for name in ("eps", "square_init", "weight_decay")} | {"lr": lr}
    if rule.weight_decay_form == "decoupled_lr":
        numbers["lr·weight_decay"] = lr * rule.weight_decay
    for name, value in numbers.items():
        if value > float(info.max):
            raise ValueError(f"{name}={value!r} overflows {real}, whose largest number is {float(info.max):.3g}; use a smaller one")
    for name in ("decay", "momentum"):
        if real.type(getattr(rule, name)) == 1:
            raise ValueError(
                f"{name}={getattr(rule, name)!r} rounds to 1 in {real}; "
                f"use at most {1 - float(info.epsneg):.17g}, or wider parameters"
            )
    floor = float(real.type(rule.eps))
    if rule.eps_place == "inside":
        floor = floor**0.5
    rate = max(lr, 1.0) if rule.momentum and not rule.lr_in_momentum else lr
    if rate >= floor * float(info.max):
        raise ValueError(f"lr={lr!r} over eps={rule.eps!r} overflows {real}; use a larger eps")


def biases(decay: float, steps: Any, where: Callable[..., Any]) -> tuple[Any, Any, Any]:
    """Return what a start at 0 leaves to the means: before a step, after it, and before it as a divisor, 1 where there is none.

    Args:
        decay: weight of the past.
        steps: taken so far, in double precision, as the difference from 1 cancels.
        where: the backend's choice between two numbers.

    Example:
        >>> biases(0.75, np.array([0.0, 1.0]), np.where)
        (array([0.  , 0.25]), array([0.25  , 0.4375]), array([1.  , 0.25]))
    """
    past = decay**steps
    prior, correction = 1 - past, 1 - past * decay
    return prior, correction, where(prior == 0, 1.0, prior)


def largest_gradient(rule: Rule, real: str) -> float:
    """Return the largest magnitude of a gradient whose square, with whatever the rule adds to it, stays finite."""
    # A millionth less than the root: the two weights of a mean may add up to a little more than 1.
    limit: float = float(np.finfo(real).max) ** 0.5 * (1 - 1e-6)
    # (g - m)², |g|² of two parts, (g + weight_decay·p)²: sums of two.
    sums = sum((rule.centered, rule.complex_form == "modulus", rule.switches["COUPLED"]))
    return limit / float(2**sums)

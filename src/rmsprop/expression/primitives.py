"""The primitive operations of formulas: one NumPy ufunc and one vector-Jacobian product each.

A vector-Jacobian product is itself written in primitives, so that derivatives become part of the same tape and share its
common subexpressions. `SOURCES`: any table of derivatives, such as NIST's DLMF, chapter 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rmsprop.expression.tape import Builder

#: Given the builder, the node, its arguments and the adjoint of the node, the adjoint's share of each argument.
Pullback = Callable[["Builder", int, tuple[int, ...], int], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Primitive:
    """An operation of the tape."""

    name: str
    ufunc: Callable[..., Any]
    pullback: Pullback | None  # None: only used inside derivatives and losses
    cheap: bool = False  # recomputing it costs less than reading a stored result from memory


def _erf(*arguments: Any, **options: Any) -> Any:
    """Call SciPy's erf, which loads when a formula first uses it."""
    try:
        from scipy.special import erf
    except ImportError:
        from rmsprop.errors import missing_extra

        raise missing_extra("SciPy") from None
    return erf(*arguments, **options)


def _power(b: Builder, y: int, args: tuple[int, ...], g: int) -> tuple[int, ...]:
    base, exponent = args
    slope = b.op("mul", exponent, b.power(base, b.op("sub", exponent, b.number(1.0))))
    # At base 0 the derivative by the exponent is 0 (for exponents above 0), where log alone would give 0·(-inf) = nan.
    logarithm = b.op("log", b.op("max", b.op("abs", base), b.number(1e-300)))
    return b.op("mul", g, slope), b.op("mul", g, b.op("mul", y, logarithm))


def _divide(b: Builder, y: int, args: tuple[int, ...], g: int) -> tuple[int, ...]:
    share = b.op("div", g, args[1])
    return share, b.op("neg", b.op("mul", share, y))


def _by(slope: Callable[[Builder, int, int], int]) -> Pullback:
    """Pull back through a function of one argument whose slope at (argument x, result y) is given."""
    return lambda b, y, args, g: (b.op("mul", g, slope(b, args[0], y)),)


def _over(divisor: Callable[[Builder, int, int], int]) -> Pullback:
    """Pull back through a function of one argument whose slope is 1 / divisor(x, y)."""
    return lambda b, y, args, g: (b.op("div", g, divisor(b, args[0], y)),)


def _one_plus_square(b: Builder, x: int) -> int:
    return b.op("add", b.number(1.0), b.op("square", x))


def _one_minus_square(b: Builder, x: int) -> int:
    return b.op("sub", b.number(1.0), b.op("square", x))


_TABLE = (
    Primitive("add", np.add, lambda b, y, a, g: (g, g), cheap=True),
    Primitive("sub", np.subtract, lambda b, y, a, g: (g, b.op("neg", g)), cheap=True),
    Primitive("mul", np.multiply, lambda b, y, a, g: (b.op("mul", g, a[1]), b.op("mul", g, a[0])), cheap=True),
    Primitive("div", np.divide, _divide, cheap=True),
    Primitive("neg", np.negative, lambda b, y, a, g: (b.op("neg", g),), cheap=True),
    Primitive("square", np.square, _by(lambda b, x, y: b.op("mul", b.number(2.0), x)), cheap=True),
    Primitive("pow", np.power, _power),
    Primitive("sqrt", np.sqrt, _by(lambda b, x, y: b.op("div", b.number(0.5), y))),
    Primitive("abs", np.absolute, _by(lambda b, x, y: b.op("sign", x)), cheap=True),
    Primitive("exp", np.exp, _by(lambda b, x, y: y)),
    Primitive("expm1", np.expm1, _by(lambda b, x, y: b.op("exp", x))),
    Primitive("log", np.log, _over(lambda b, x, y: x)),
    Primitive("log1p", np.log1p, _over(lambda b, x, y: b.op("add", b.number(1.0), x))),
    Primitive("log10", np.log10, _over(lambda b, x, y: b.op("mul", b.number(math.log(10.0)), x))),
    Primitive("log2", np.log2, _over(lambda b, x, y: b.op("mul", b.number(math.log(2.0)), x))),
    Primitive("sin", np.sin, _by(lambda b, x, y: b.op("cos", x))),
    Primitive("cos", np.cos, _by(lambda b, x, y: b.op("neg", b.op("sin", x)))),
    Primitive("tan", np.tan, _by(lambda b, x, y: _one_plus_square(b, y))),
    Primitive("asin", np.arcsin, _over(lambda b, x, y: b.op("sqrt", _one_minus_square(b, x)))),
    Primitive("acos", np.arccos, _over(lambda b, x, y: b.op("neg", b.op("sqrt", _one_minus_square(b, x))))),
    Primitive("atan", np.arctan, _over(lambda b, x, y: _one_plus_square(b, x))),
    Primitive("sinh", np.sinh, _by(lambda b, x, y: b.op("cosh", x))),
    Primitive("cosh", np.cosh, _by(lambda b, x, y: b.op("sinh", x))),
    Primitive("tanh", np.tanh, _by(lambda b, x, y: _one_minus_square(b, y))),
    Primitive("asinh", np.arcsinh, _over(lambda b, x, y: b.op("sqrt", _one_plus_square(b, x)))),
    # (x-1)(x+1) keeps the digits that x²-1 loses near 1.
    Primitive(
        "acosh",
        np.arccosh,
        _over(lambda b, x, y: b.op("sqrt", b.op("mul", b.op("sub", x, b.number(1.0)), b.op("add", x, b.number(1.0))))),
    ),
    Primitive("atanh", np.arctanh, _over(lambda b, x, y: _one_minus_square(b, x))),
    Primitive(
        "erf",
        _erf,
        _by(lambda b, x, y: b.op("mul", b.number(2.0 / math.sqrt(math.pi)), b.op("exp", b.op("neg", b.op("square", x))))),
    ),
    Primitive("sign", np.sign, None, cheap=True),
    Primitive("max", np.maximum, None, cheap=True),
    Primitive("min", np.minimum, None, cheap=True),
)

PRIMITIVES = {primitive.name: primitive for primitive in _TABLE}

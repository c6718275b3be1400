"""What the rule's functions call, in Triton's words: each a function of its own, as Triton's builtins cannot be handed around."""

from typing import Any

# What these functions read besides their arguments; `build` gives it to copies of them.
tl: Any = None  # triton.language
modulus_square: Any = None
TILE = 0
LEAST = 0.0  # the smallest number that state may have beside 0


def sqrt(x: Any) -> Any:
    """Return the root of float32 numbers, rounded to nearest."""
    return tl.sqrt_rn(x)


def divide(a: Any, b: Any) -> Any:
    """Return the quotient of float32 numbers, rounded to nearest."""
    return tl.div_rn(a, b)


def wide_sqrt(x: Any) -> Any:
    """Return the root: rounded to nearest in float64, an approximation in float32."""
    return tl.sqrt(x)


def wide_divide(a: Any, b: Any) -> Any:
    """Return the quotient: rounded to nearest in float64, an approximation in float32."""
    return a / b


def flush(z: Any) -> Any:
    """Return numbers with 0 in the place of those below LEAST, as every backend has it."""
    return tl.where(tl.abs(z) < LEAST, 0.0, z)


def real(z: Any) -> Any:
    """Return the real part of each complex number: the first of each pair of neighbours."""
    part, _ = tl.split(tl.reshape(z, [TILE // 2, 2]))
    return part


def imag(z: Any) -> Any:
    """Return the imaginary part of each complex number: the second of each pair."""
    _, part = tl.split(tl.reshape(z, [TILE // 2, 2]))
    return part


def joint_square(z: Any) -> Any:
    """Return |z|² of each complex number, for both of its parts."""
    s = modulus_square(z)
    return tl.reshape(tl.join(s, s), [TILE])


def bits(x: Any) -> Any:
    """Return the bits of float32 numbers as integers."""
    return x.to(tl.int32, bitcast=True)


def number(x: Any) -> Any:
    """Return the float32 numbers with the bits of the lower halves of integers."""
    return x.to(tl.int32).to(tl.float32, bitcast=True)


def wide(x: Any) -> Any:
    """Return numbers in double precision."""
    return x.to(tl.float64)


def where(condition: Any, one: Any, other: Any) -> Any:
    """Return one where the condition holds, and other elsewhere."""
    return tl.where(condition, one, other)


def floor(x: Any) -> Any:
    """Return the largest whole numbers that are not above."""
    return tl.floor(x)


def absolute(x: Any) -> Any:
    """Return magnitudes."""
    return tl.abs(x)

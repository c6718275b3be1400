"""The rule traced by JAX: what a step adds to one array, and that array's new state."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rmsprop.kernels.operands import Moved
from rmsprop.kernels.precision import floor
from rmsprop.rule import Rule, bind

Array = Any  # of JAX, or what it traces


class Numbers(NamedTuple):
    """Hyper-parameters as numbers, or as arrays that change between steps."""

    decay: Any
    eps: Any
    momentum: Any
    weight_decay: Any


@jax.custom_jvp
def _sqrt(z: Array) -> Array:
    """Return √z, with derivative 0 at 0.

    Where a mean of squares is 0 so is the gradient that the root divides, and lr·g / (√v + eps) has the derivative lr / eps there;
    the infinite derivative of √ would make it NaN.
    """
    return jnp.sqrt(z)


@_sqrt.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (z,), (change,) = primals, tangents
    root = _sqrt(z)
    still = z == 0
    return root, jnp.where(still, 0, change / (2 * jnp.where(still, 1, root)))


def _flush(least: float, z: Array) -> Array:
    """Return z with the numbers below `least` replaced by 0, each part of a complex one by itself."""
    if jnp.iscomplexobj(z):
        return lax.complex(_flush(least, z.real), _flush(least, z.imag))
    return jnp.where(jnp.abs(z) < least, jnp.zeros_like(z), z)


@cache
def _update_for(rule: Rule, real: str) -> Callable[..., tuple[Any, Array, Array, Array]]:
    """Return the rule bound to JAX."""
    bound: Callable[..., Any] = bind(rule, sqrt=_sqrt, flush=partial(_flush, floor(real)))
    return bound


def scalars_for(rule: Rule, lr: Any, numbers: Numbers, steps: Array, real: Any) -> tuple[Array, ...]:
    """Return the scalar arguments of `update` for the step that follows.

    Args:
        rule: whose branches are taken.
        lr: learning rate of this step, a number or an array of no dimension.
        numbers: the other hyper-parameters; differences of numbers are taken in double precision, those of arrays in theirs.
        steps: () steps taken so far.
        real: dtype of the arithmetic.
    """
    lr, *others = (value.astype(real) if isinstance(value, jax.Array) else value for value in (lr, *numbers))
    decay, eps, momentum, weight_decay = others
    prior: Any = 1.0
    correction: Any = 1.0
    divisor: Any = 1.0
    if rule.bias_correction:
        prior, correction = gathered(decay, steps, real), gathered(decay, steps + 1, real)
        divisor = jnp.where(prior == 0, jnp.ones_like(prior), prior)
    arranged = rule.arranged(lr, decay, 1 - decay, eps, momentum, weight_decay, correction, prior, divisor, 1.0)
    return tuple(jnp.asarray(value, real) for value in arranged)


def gathered(decay: Any, steps: Array, real: Any) -> Array:
    """Return 1 - decay^steps, the weight that a mean has gathered, within two ulp.

    The difference itself would cancel in single precision. As 1 - decay^(s + t) = q + (1 - q)·r, with q and r those of s and t, the
    weight is a sum of positive numbers over the binary digits of steps.
    """
    total: Array = jnp.zeros((), real)
    power = 1 - decay  # 1 - decay^(2^k)
    for k in range(31):
        if isinstance(power, float) and power == 1:
            return jnp.where(steps >> k > 0, jnp.ones_like(total), total)
        total = total + (1 - total) * jnp.where((steps >> k) & 1, jnp.asarray(power, real), jnp.zeros_like(total))
        power = power * (2 - power)
    return total


def advance(
    rule: Rule, g: Array, p: Array | None, state: tuple[Array, ...], scalars: tuple[Array, ...]
) -> tuple[Array, tuple[Array, ...]]:
    """Take one step with one array.

    Args:
        rule: whose branches to take.
        g: gradient, any shape, in the arithmetic's dtype.
        p: parameter, the same; None where the rule has no weight decay.
        state: the arrays of the rule's slots, in their order.
        scalars: in the arithmetic's real dtype.

    Returns:
        What the step adds to p, and the new state.
    """
    if jnp.iscomplexobj(g) and rule.complex_form == "parts":
        halves = [
            advance(rule, part(g), None if p is None else part(p), tuple(map(part, state)), scalars)
            for part in (jnp.real, jnp.imag)
        ]
        (real, reals), (imag, imags) = halves
        return lax.complex(real, imag), tuple(map(lax.complex, reals, imags))
    held = dict(zip((slot.argument for slot in rule.slots), state, strict=True))
    update = _update_for(rule.branches, np.dtype(scalars[0].dtype).name)
    moved, *new = update(Moved(p), g, held["v"], held.get("m"), held.get("b"), *scalars)
    return -moved.off, tuple(array for name, array in zip("vmb", new, strict=True) if name in held)

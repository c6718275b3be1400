"""The two functions that make gradient transformations."""

from typing import Any

import jax
import optax

from rmsprop.optax.options import meant, rate, spelled
from rmsprop.optax.transform import OnNonfinite, transformation
from rmsprop.rule import Rule


@spelled
def scale_by_rule(
    dialect: str | Rule = "optax", *, on_nonfinite: OnNonfinite = "propagate", **axes: Any
) -> optax.GradientTransformationExtraArgs:
    """Divide gradients by the root of their mean square, the learning rate being left to a later transformation.

    v ← decay·v + (1 - decay)·g²,  b ← momentum·b + g / (√v + eps),  update = b

    It is `rmsprop` at the learning rate 1 and with the sign of the gradient, to be followed by `optax.scale_by_learning_rate`.
    Rules that mean something else then are refused: a momentum buffer that gathers lr·g/denominator, and weight decay that does not
    depend on the learning rate.

    Args:
        dialect: as for `rmsprop`; its default learning rate is not used.
        on_nonfinite: as for `rmsprop`.
        axes: as for `rmsprop`.

    Returns:
        `optax.GradientTransformationExtraArgs` with a `ScaleByRuleState`.

    Raises:
        TypeError: a keyword is unknown, or has the wrong type.
        ValueError: a value is not allowed, or the rule needs the learning rate inside; init and update raise as those of `rmsprop`.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> scaled = scale_by_rule("pytorch", momentum=0.9, decay=0.75)
        >>> optimizer = optax.chain(optax.clip_by_global_norm(1.0), scaled, optax.scale_by_learning_rate(0.1))
        >>> w = jnp.array([1.0, -2.0])
        >>> updates, state = optimizer.update(w, optimizer.init(w))
        >>> [round(x, 4) for x in optax.apply_updates(w, updates).tolist()]
        [0.8, -1.8]

    Source: Tieleman and Hinton, Lecture 6e of "Neural Networks for Machine Learning" (2012).
    """
    asked = meant(dialect, axes)
    rule = asked.rule
    if rule.momentum and rule.lr_in_momentum:
        raise ValueError(
            "scale_by_rule cannot gather lr·g/denominator in the momentum buffer, as the learning rate comes after it; "
            "pass lr_in_momentum=False, or use rmsprop(learning_rate, ...)"
        )
    if rule.switches["DECOUPLED"] and rule.weight_decay_form == "decoupled":
        raise ValueError(
            "scale_by_rule cannot take weight_decay·p off p whatever the learning rate, which scales all that it returns; "
            "pass weight_decay_form='decoupled_lr', or use rmsprop(learning_rate, ...)"
        )
    return transformation(asked, 1.0, 1, on_nonfinite)


@spelled
def rmsprop(
    learning_rate: float | jax.Array | optax.Schedule | None = None,
    dialect: str | Rule = "optax",
    *,
    on_nonfinite: OnNonfinite = "propagate",
    **axes: Any,
) -> optax.GradientTransformationExtraArgs:
    """Optimize with RMSprop in any dialect.

    v ← decay·v + (1 - decay)·g²,  b ← momentum·b + lr·g / (√v + eps),  update = -b

    State and arithmetic have the precision of the parameters, and float32 for 16-bit ones; updates have the dtype of the gradients.
    Gradients of complex parameters are those that descend: the conjugates of what `jax.grad` returns.

    Args:
        learning_rate: in units of the parameters, ≥ 0: a number, an array of no dimension, or a schedule, which is given the number
            of steps already taken; by default the dialect's.
        dialect: name or `Rule`; "optax" steps as `optax.rmsprop` does.
        on_nonfinite: what to do about a gradient that is NaN or infinite, or whose square is: "propagate" steps with it; "skip"
            returns zeros, changes no state and counts it in `skipped`, at the cost of reading the gradients twice.
        axes: axes of `Rule`, with optax's names initial_scale for square_init, and eps_in_sqrt=True or False for eps_place; None is
            the dialect's. decay, eps, square_init, momentum and weight_decay may be arrays of no dimension, as
            `optax.inject_hyperparams` makes them, which are not checked.

    Returns:
        `optax.GradientTransformationExtraArgs` with a `ScaleByRuleState`. Its update needs the parameters for weight decay alone.

    Raises:
        TypeError: a keyword is unknown, or has the wrong type; from init and update: an array does too.
        ValueError: a value is not allowed; from init: or rounds to 0 or 1 in the arithmetic of the parameters; from update: the
            trees or shapes differ, or weight decay lacks the parameters.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> optimizer = rmsprop(optax.cosine_decay_schedule(0.1, 100), dialect="tf1", momentum=0.9)
        >>> w = jnp.array([1.0, -2.0])
        >>> state = optimizer.init(w)
        >>> @jax.jit
        ... def step(w, state):
        ...     updates, state = optimizer.update(jax.grad(lambda w: (w**2).sum())(w), state, w)
        ...     return optax.apply_updates(w, updates), state
        >>> for _ in range(100):
        ...     w, state = step(w, state)
        >>> bool(jnp.all(abs(w) < 0.05)), int(optax.tree_utils.tree_get(state, "count"))
        (True, 100)

    Source: Tieleman and Hinton, Lecture 6e of "Neural Networks for Machine Learning" (2012); the dialects' own in `Rule.source`.
    """
    asked = meant(dialect, axes)
    return transformation(asked, rate(asked.rule, learning_rate), -1, on_nonfinite)

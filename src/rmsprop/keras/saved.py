"""The state in a file: as Keras writes it, with a mark where it is not what Keras's optimizer takes it for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.rule import Rule, mean_square, rebound, square, variance

# Beside the variables, which are numbered: those named "velocity" elsewhere hold the variance of the gradient. As it is one entry
# more than keras.optimizers.RMSprop has variables, that optimizer leaves such a state alone.
MARK = "variance"

# The rule's own two functions, on real arrays.
_variance: Any = rebound(variance, {"modulus_square": square})
_mean_square: Any = rebound(mean_square, {"modulus_square": square})


def mark(store: Any, rule: Rule) -> None:
    """Mark a state as one that holds variances, if it does.

    Args:
        store: where the state was written to.
        rule: the optimizer's.
    """
    if rule.switches["VARIANCE"]:
        store[MARK] = np.ones(1, np.int32)


def read(store: Any, optimizer: Any) -> list[NDArray[Any]]:
    """Return the values of an optimizer's variables, in their order, or refuse a state that is none of them.

    Args:
        store: a mapping of names to arrays.
        optimizer: an `RMSprop` that was built.

    Raises:
        ValueError: their number or a shape differs.
    """
    rule, variables = optimizer.rule, optimizer.variables
    keys = set(store.keys())
    marked = MARK in keys
    wanted = {str(i) for i in range(len(variables))}
    if keys - {MARK} != wanted:
        raise ValueError(
            f"optimizer {optimizer.name!r} keeps {len(variables)} variables ({_listed(variables)}), and the saved state has "
            f"{len(keys - {MARK})}: it is of another model, or of an optimizer with other options (momentum, centered, use_ema, "
            "gradient_accumulation_steps, a schedule for learning_rate); nothing was loaded"
        )
    if marked and not rule.centered:
        raise ValueError(
            f"the saved state is that of a centered optimizer, and {optimizer.name!r} is not; make it with centered=True; "
            "nothing was loaded"
        )
    values = [np.asarray(store[str(i)]) for i in range(len(variables))]
    for variable, value in zip(variables, values, strict=True):
        if value.shape != tuple(variable.shape):
            raise ValueError(
                f"{variable.path!r} of optimizer {optimizer.name!r} has shape {tuple(variable.shape)}, and the saved state has "
                f"{value.shape}: it is of another model; nothing was loaded"
            )
    if rule.centered and marked != rule.switches["VARIANCE"]:
        index = {id(variable): i for i, variable in enumerate(variables)}
        steps = int(values[0]) // (optimizer.gradient_accumulation_steps or 1)
        correction = rule.scalars(0.0, max(steps, 1)).correction
        change = _mean_square if marked else _variance
        for i in range(len(optimizer._velocities)):
            state = optimizer.state_of(i)
            if state["v"] is not None:
                v, m = (values[index[id(state[argument])]] for argument in "vm")
                # v - m² is rounded, and may be negative where it is next to nothing.
                values[index[id(state["v"])]] = np.maximum(change(v, m, v.dtype.type(correction)), v.dtype.type(0))
    return values


def _listed(variables: Any) -> str:
    """Return the names of some variables, for a message."""
    names = [variable.name for variable in variables]
    return ", ".join(names if len(names) <= 6 else [*names[:5], "..."])

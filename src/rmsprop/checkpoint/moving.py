"""State carried from what one optimizer keeps to what another one does."""

from dataclasses import replace
from operator import is_

import numpy as np

from rmsprop.checkpoint.canonical import AVERAGE, Array, Group, Parameter, State
from rmsprop.checkpoint.errors import ConversionError
from rmsprop.checkpoint.kinds import Kind, expressed
from rmsprop.kernels.group import new_state
from rmsprop.rule import Rule
from rmsprop.state import adapted


def moved(state: State, kind: Kind) -> State:
    """Return a state as an optimizer of some kind keeps it, or refuse it.

    Args:
        state: the state.
        kind: where it is to go.

    Raises:
        ConversionError: nothing exact exists there.
    """
    groups = []
    for group in state.groups:
        begun = all(p.step for p in group.parameters)
        groups.append(carried(group, expressed(group.rule, kind, complex=group.complex, begun=begun)))
    # A state that stays as it is need not be checked again.
    return state if all(map(is_, groups, state.groups)) else state.replace(groups=tuple(groups))


def carried(group: Group, rule: Rule) -> Group:
    """Return a group as another rule keeps its state.

    A momentum buffer of g/denominator becomes one of lr·g/denominator, and the other way round; means of g² become variances, and
    the other way round.

    Args:
        group: the group.
        rule: the rule that goes on.

    Raises:
        ConversionError: nothing exact exists.
    """
    if rule == group.rule:
        return group
    return replace(group, rule=rule, parameters=tuple(_carried(p, group, rule) for p in group.parameters))


def _carried(p: Parameter, group: Group, rule: Rule) -> Parameter:
    """Return the state of one parameter as another rule keeps it."""
    if not p.slots:
        return p
    old, held = group.rule, dict(p.slots)
    if old.momentum and rule.momentum and old.lr_in_momentum != rule.lr_in_momentum:
        held["momentum_buffer"] = _scaled(held["momentum_buffer"], group.lr, rule, p.name)
        old = old.replace(lr_in_momentum=rule.lr_in_momentum)
    # The mean of squares may be real where the parameter is complex; the other arrays are not.
    like = next(held[name] for name in ("momentum_buffer", "grad_avg", *held) if name in held)
    fresh = new_state(rule, like, like.dtype.name)
    try:
        new = adapted({name: [array] for name, array in held.items()}, old, rule, p.step, [fresh], p.complex)
    except ValueError as error:
        raise ConversionError(f"{p.name!r}: {error}") from None
    average = {AVERAGE: held[AVERAGE]} if AVERAGE in held else {}
    return replace(p, slots={name: arrays[0] for name, arrays in new.items()} | average)


def _scaled(buffer: Array, lr: float | None, rule: Rule, name: str) -> Array:
    """Return a momentum buffer with the learning rate brought in, or taken out."""
    if lr is None:
        raise ConversionError("the momentum buffer has to be scaled by the learning rate, and none is known; pass lr, or --lr")
    if lr == 0:
        raise ConversionError(
            f"the momentum buffer of {name!r} cannot move at lr = 0, where lr·g/denominator and g/denominator do not give each "
            "other; move it while lr > 0"
        )
    wide = buffer.astype(np.result_type(buffer.dtype, np.float64))
    with np.errstate(all="ignore"):
        scaled: Array = (wide * lr if rule.lr_in_momentum else wide / lr).astype(buffer.dtype)
    if np.isfinite(buffer).all() and not np.isfinite(scaled).all():
        raise ConversionError(f"the momentum buffer of {name!r} over lr={lr!r} overflows {buffer.dtype}; lr is too small for it")
    return scaled

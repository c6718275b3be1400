"""From a state to new leaves for a tree of optax's states."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rmsprop.checkpoint.canonical import Group, State
from rmsprop.checkpoint.errors import ConversionError
from rmsprop.checkpoint.kinds import expressed
from rmsprop.checkpoint.moving import carried
from rmsprop.checkpoint.optax.chain import Found
from rmsprop.checkpoint.optax.trees import fetched, like, named, number

_ADVICE = "construct the optimizer with rmsprop.checkpoint.optax.arguments(state)"


def placed(found: Sequence[Found], leaves: Sequence[Any], state: State) -> dict[int, Any]:
    """Return what takes the place of a target's leaves, by their numbers.

    Args:
        found: the target's states of RMSprop, of numbers instead of leaves.
        leaves: the target's leaves.
        state: what goes there.

    Raises:
        ConversionError: the two do not fit.
    """
    trees = [{slot: named(tree) for slot, tree in one.slots.items()} for one in found]
    names = [list(next(iter(slots.values()))) for slots in trees]
    shapes = {name: np.shape(leaves[i]) for slots in trees for leaf in slots.values() for name, i in leaf.items()}
    news: dict[int, Any] = {}
    for one, slots, group in zip(found, trees, state.arranged(names, shapes).groups, strict=True):
        if any(number(fetched(leaves[i]), "mini_step") for i in one.around.waiting):
            raise ConversionError(
                "the target has gathered gradients for a step of optax.MultiSteps; restore into what its init returns"
            )
        if not group.parameters:
            continue
        group = _fitted(one, group)
        for p in group.parameters:
            for slot, numbers in slots.items():
                array = p.slots["momentum_buffer" if slot == "trace" else slot]
                if slot == "trace" and one.inside:
                    array = -array
                leaf = leaves[numbers[p.name]]
                if np.iscomplexobj(leaf) and not np.iscomplexobj(array) and (slot != "square_avg" or one.kind.name != "optax"):
                    raise ConversionError(f"{slot!r} of {p.name!r} is real, and the target's is complex; the parameters differ")
                news[numbers[p.name]] = like(leaf, array, f"{slot!r} of {p.name!r}")
        for axis, i in one.around.numbers.items():
            value = group.lr if axis == "lr" else getattr(group.rule, axis)
            if value is not None:
                news[i] = like(leaves[i], np.asarray(value), axis, rounding=True)
        counts = [(i, common_step(group)) for i in one.around.counts] + [(i, state.skipped) for i in one.around.skipped]
        for i, count in counts:
            news[i] = like(leaves[i], np.asarray(count), "the count of steps")
    return news


def _fitted(one: Found, group: Group) -> Group:
    """Return a group as a target keeps it, or refuse it."""
    bare = next((p.name for p in group.parameters if not p.slots), None)
    if bare is not None:
        raise ConversionError(f"the state has no arrays for {bare!r}, which no step has reached yet; leave it out on both sides")
    rule = expressed(group.rule, one.kind, complex=group.complex, begun=all(p.step for p in group.parameters))
    if one.kind.name != "optax":
        rule = rule.replace(centered_form="variance" if "variance" in one.slots else "difference") if rule.centered else rule
    elif rule.momentum and one.buffered:
        if one.inside is None:
            raise ConversionError(
                "the order of the target's chain does not show whether the learning rate comes before the trace; let them follow "
                "the RMSprop state one after the other, as in optax.rmsprop"
            )
        rule = rule.replace(lr_in_momentum=one.inside)
    _same("centered", rule.centered, one.centered)
    _same("bias_correction", rule.bias_correction, rule.bias_correction if one.bias_correction is None else one.bias_correction)
    if bool(rule.momentum) != one.buffered:
        raise ConversionError(
            f"the state's rule has momentum={rule.momentum:g}, and the target keeps "
            f"{'a' if one.buffered else 'no'} momentum buffer; {_ADVICE}"
        )
    return carried(group, rule)


def _same(axis: str, mine: Any, theirs: Any) -> None:
    """Refuse a target that was constructed otherwise."""
    if mine != theirs:
        raise ConversionError(f"the state's rule has {axis}={mine!r}, and the target {axis}={theirs!r}; {_ADVICE}")


def common_step(group: Group) -> int:
    """Return how many steps all parameters of a group have taken."""
    steps = {p.step for p in group.parameters}
    if len(steps) > 1:
        raise ConversionError(
            f"optax counts steps once for all parameters, and this state has taken {min(steps)} to {max(steps)} with them; use "
            "rmsprop.torch, which counts each"
        )
    return steps.pop()

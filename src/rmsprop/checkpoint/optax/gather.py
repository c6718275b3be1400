"""From what a tree of optax's states holds, and what was said of it, to a state."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rmsprop.checkpoint.canonical import Array, Group, Parameter, State
from rmsprop.checkpoint.errors import ConversionError, UsageError
from rmsprop.checkpoint.kinds import Kind, Told
from rmsprop.checkpoint.optax.chain import Found
from rmsprop.checkpoint.optax.trees import WIDER, named, number
from rmsprop.rule import Rule

Fetch = Callable[[Any], Array]


def gathered(found: Sequence[Found], fetch: Fetch, kind: Kind | None, told: Told, what: str) -> State:
    """Return the state of an optimizer from its parts, each a group.

    Args:
        found: the parts.
        fetch: makes an array of a leaf.
        kind: what it was said to be.
        told: what was said of it.
        what: what messages call it.

    Raises:
        UsageError: something has to be said, is said twice, or contradicts the state.
        ConversionError: arrays are missing or hold what no step could have left behind.
    """
    used: set[str] = set()
    groups, skipped = [], 0
    for one in found:
        if kind is not None and kind != one.kind:
            raise UsageError(f"{what} is of {one.kind.optimizer}, and was said to be of {kind.optimizer}; leave that out")
        for leaf in one.around.waiting:
            if number(fetch(leaf), "mini_step"):
                raise ConversionError(
                    "optax.MultiSteps has gathered gradients that it has not stepped with yet, which would be lost; capture the "
                    "state after a whole step, where its mini_step is 0"
                )
        groups.append(_group(one, fetch, told, used, what))
        skipped = max([skipped, *(int(number(fetch(leaf), "the count of skipped steps")) for leaf in one.around.skipped)])
    idle = [
        name for name in (*told.axes, "lr", "step") if name not in used and (name in told.axes or getattr(told, name) is not None)
    ]
    if idle:
        raise UsageError(f"{what} holds {idle[0]} itself; leave it out, and change it after the move")
    if told.names is not None:
        groups = _renamed(groups, told.names, what)
    return State(tuple(groups), skipped, found[0].kind.optimizer, told.allow_nan)


def _group(one: Found, fetch: Fetch, told: Told, used: set[str], what: str) -> Group:
    """Return one part as a group, and note what was used of what was said."""
    numbers = {axis: number(fetch(leaf), f"the injected {axis}") for axis, leaf in one.around.numbers.items()}
    lr = numbers.pop("lr", None)
    if lr is None:
        used.add("lr")
        lr = told.rate(one.kind)
    if one.around.counts:
        step = int(number(fetch(one.around.counts[0]), "the count of steps"))
    else:
        used.add("step")
        step = told.count(one.kind)
    axes = {axis: value for axis, value in told.axes.items() if axis not in numbers}
    used.update(axes)
    rule = _rule(one, replace(told, axes=axes), numbers, what)
    options = {"label": one.around.label} if one.around.label else {}
    if one.skips:
        options["on_nonfinite"] = "skip"
    return Group(rule, lr, _parameters(one, rule, step, fetch), options)


def _rule(one: Found, told: Told, numbers: Mapping[str, float], what: str) -> Rule:
    """Return the rule of a part: what it shows, what is injected into it, and for the rest what was said."""
    axes = {**told.axes, **numbers}
    base = replace(told, axes=axes).rule(one.kind)
    shown: dict[str, Any] = {"centered": one.centered}
    if one.kind.name == "optax":
        shown |= {"bias_correction": one.bias_correction, "centered_form": "difference", "complex_form": "modulus"}
    elif one.centered:
        shown["centered_form"] = "variance" if "variance" in one.slots else "difference"
    if one.unsure and not (base.centered and base.bias_correction):
        raise UsageError(
            f"{what} keeps count, mu and nu, as optax.rmsprop(centered=True, bias_correction=True) does, and optax.adam too; "
            "if it is the former, say centered=True and bias_correction=True"
        )
    if one.buffered and not base.momentum and "momentum" not in axes:
        axes["momentum"] = _asked(
            told, "momentum", 0.9, f"{what} keeps a momentum buffer; say its momentum, as momentum=0.9 or --set momentum=0.9"
        )
    elif base.momentum and not one.buffered:
        raise UsageError(f"momentum is {base.momentum!r}, and {what} keeps no momentum buffer; say what its constructor was given")
    if one.buffered and axes.get("momentum", base.momentum) and one.kind.name == "optax":
        if one.inside is not None:
            shown["lr_in_momentum"] = one.inside
        elif "lr_in_momentum" not in axes:
            axes["lr_in_momentum"] = _asked(
                told,
                "lr_in_momentum",
                True,
                f"the order of {what}'s chain does not show whether the learning rate comes before the trace; say "
                "lr_in_momentum=True if it does, as in optax.rmsprop, or lr_in_momentum=False",
            )
    said = {axis: getattr(told.dialect, axis) for axis in ("centered", "bias_correction")} if isinstance(told.dialect, Rule) else {}
    for axis, value in {**said, **told.axes}.items():
        if axis in shown and shown[axis] != value:
            raise UsageError(f"{axis} was said to be {value!r}, and {what} is that of {axis}={shown[axis]!r}; leave it out")
    return replace(told, axes={**axes, **shown}).rule(one.kind)


def _asked(told: Told, axis: str, seen: Any, question: str) -> Any:
    """Ask for an axis, or take any value for a mere look at a state."""
    if told.unsaid is None:
        raise UsageError(question)
    told.unsaid.append(axis)
    return seen


def _parameters(one: Found, rule: Rule, step: int, fetch: Fetch) -> tuple[Parameter, ...]:
    """Return the state of each parameter."""
    names = {"trace": "momentum_buffer"}
    trees = {names.get(slot, slot): named(tree) for slot, tree in one.slots.items()}
    if not rule.momentum:
        trees.pop("momentum_buffer", None)  # a buffer that is weighed by 0
    first = next(iter(trees.values()))
    for slot, leaves in trees.items():
        if leaves.keys() != first.keys():
            differ = sorted(leaves.keys() ^ first.keys())
            raise ConversionError(
                f"{differ[0]!r} is not in all trees of the state: {slot} and the others have different parameters"
            )
    sign = -1 if one.kind.name == "optax" and rule.lr_in_momentum else 1  # scale_by_learning_rate turns updates before the trace
    parameters = []
    for name in first:
        arrays = {slot: _wide(fetch(leaves[name]), f"{slot!r} of {name!r}") for slot, leaves in trees.items()}
        if one.kind.name == "optax":
            arrays["square_avg"] = _real(arrays["square_avg"], name)
            if "momentum_buffer" in arrays and sign < 0:
                arrays["momentum_buffer"] = -arrays["momentum_buffer"]
        # One precision for all: optax.trace can be told another one, and a change of rule computes with all of them. The cast
        # copies, where the leaf is JAX's own memory.
        real = np.result_type(*(array.real.dtype for array in arrays.values()))
        parameters.append(Parameter(name, step, {slot: array.astype(_of(array, real)) for slot, array in arrays.items()}))
    return tuple(parameters)


def _of(array: Array, real: Any) -> Any:
    """Return an array's dtype in a real precision."""
    return np.result_type(real, np.complex64) if np.iscomplexobj(array) else real


def _wide(array: Array, what: str) -> Array:
    """Return an array in at least single precision, which holds all of its numbers, or refuse it."""
    if array.dtype.name in WIDER:
        return array.astype(WIDER[array.dtype.name])
    if array.dtype.kind not in "fc":
        raise ConversionError(f"{what} must be an array of real or complex numbers, got {array.dtype}")
    return array


def _real(v: Array, name: str) -> Array:
    """Return a mean of |g|², which optax keeps as a complex array where the parameter is complex."""
    if not np.iscomplexobj(v):
        return v
    if v.imag.any():
        raise ConversionError(
            f"the mean of |g|² of {name!r} has an imaginary part, which no step leaves behind; the state was changed"
        )
    return v.real.copy()


def _renamed(groups: Sequence[Group], names: Sequence[str], what: str) -> list[Group]:
    """Return groups whose parameters, mere indices so far, have names."""
    mine = [p.name for group in groups for p in group.parameters]
    if sorted(mine) != sorted(str(i) for i in range(len(mine))):
        raise UsageError(f"{what} has names itself, such as {mine[0]!r}; leave names out, and rename them as with --map")
    if len(names) != len(mine):
        raise UsageError(f"{what} has {len(mine)} parameters, and names has {len(names)}")
    return [
        replace(group, parameters=tuple(replace(p, name=str(names[int(p.name)])) for p in group.parameters)) for group in groups
    ]

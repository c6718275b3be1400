"""State as a value: written out, checked when it comes back, and carried from one rule to another."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rmsprop.dialects import dialect, dialect_names
from rmsprop.kernels.reference import flushed, update_for
from rmsprop.rule import AXES, Rule, learning_rate, mean_square, variance

Array = NDArray[Any]
Slots = dict[str, dict[Any, Array]]

FORMAT = "rmsprop"
VERSION = 1


class Loaded(NamedTuple):
    """A state dict that has the right form."""

    rule: Rule
    lr: float | None
    steps: int
    skipped: int
    slots: Slots


def dump(rule: Rule, lr: float | None, steps: int, skipped: int, slots: Slots) -> dict[str, Any]:
    """Return the state as a dict of plain values and copied arrays."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "rule": axes_of(rule),
        "lr": lr,
        "steps": steps,
        "skipped": skipped,
        "state": {slot: {name: array.copy() for name, array in arrays.items()} for slot, arrays in slots.items()},
    }


def load(saved: Any) -> Loaded:
    """Return a state dict's parts, or refuse it.

    Args:
        saved: what `dump` returned.

    Raises:
        TypeError: a part has the wrong type.
        ValueError: it was written by something else, or is incomplete.
    """
    if not isinstance(saved, Mapping):
        raise TypeError(f"the state must be a dict as state_dict() returns it, got a {type(saved).__name__}")
    if saved.get("format") != FORMAT:
        keys = ", ".join(map(repr, list(saved)[:5]))
        raise ValueError(f"this is not a state of rmsprop.RMSprop: it lacks format={FORMAT!r} and has the keys {keys or 'none'}")
    if saved.get("version") != VERSION:
        raise ValueError(
            f"the state's version must be {VERSION}, got {saved.get('version')!r}; a newer rmsprop may have written it"
        )
    missing = [key for key in ("rule", "lr", "steps", "skipped", "state") if key not in saved]
    if missing:
        raise ValueError(f"the state lacks {missing[0]!r}; it was cut short or changed")
    axes, slots = saved["rule"], saved["state"]
    for key in ("rule", "state"):
        if not isinstance(saved[key], Mapping):
            raise TypeError(f"the state's {key!r} must be a dict, got a {type(saved[key]).__name__}")
    rule = rule_from(axes)
    for slot, arrays in slots.items():
        if not isinstance(arrays, Mapping):
            raise TypeError(f"the state's {slot!r} must be a dict of arrays, got a {type(arrays).__name__}")
    steps, skipped = (_count(key, saved[key]) for key in ("steps", "skipped"))
    lr = None if saved["lr"] is None else learning_rate(saved["lr"])
    return Loaded(rule, lr, steps, skipped, {slot: dict(arrays) for slot, arrays in slots.items()})


def axes_of(rule: Rule) -> dict[str, Any]:
    """Return what `rule_from` makes the rule of again: its name and all of its axes."""
    return {"name": rule.name, **{axis: getattr(rule, axis) for axis in AXES}}


def rule_from(axes: Mapping[str, Any]) -> Rule:
    """Return the rule whose axes were written out, with its dialect's default learning rate and source if it is still a dialect.

    Args:
        axes: "name", and every axis of `Rule`.

    Raises:
        TypeError: a value has the wrong type.
        ValueError: an axis is missing, unknown, or has a value that is not allowed.
    """
    _same_keys("the state's 'rule'", axes, dict.fromkeys(("name", *AXES)))
    rule = Rule(name=str(axes["name"])).replace(**{axis: axes[axis] for axis in AXES})
    known = dialect(rule.name) if rule.name in dialect_names() else rule
    return known if known.replace(lr=None) == rule else rule


def _count(key: str, value: Any) -> int:
    """Return a number of steps, or refuse it."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= value < 2**63:
        return int(value)
    raise ValueError(f"the state's {key!r} must be an integer of at least 0, got {value!r}")


def templates(rule: Rule, names: Sequence[Any], fresh: Sequence[Mapping[str, Array]]) -> Slots:
    """Return the arrays that a rule's state must look like, by slot and parameter name."""
    return {slot.name: {name: one[slot.name] for name, one in zip(names, fresh, strict=True)} for slot in rule.slots}


def check(slots: Slots, template: Slots, *, allow_nan: bool) -> None:
    """Refuse state that differs in slots, parameters, shapes or dtypes, or that no rule could have left behind.

    Args:
        slots: the state.
        template: from `templates`.
        allow_nan: whether NaN and infinity may be there.

    Raises:
        TypeError: an entry is not an array.
        ValueError: anything else differs; the message names it.
    """
    _same_keys("the state", slots, template)
    for slot, arrays in template.items():
        _same_keys(f"the state's {slot!r}", slots[slot], arrays)
        for name, like in arrays.items():
            array = slots[slot][name]
            what = f"{slot!r} of parameter {name!r}"
            if not isinstance(array, np.ndarray):
                raise TypeError(f"{what} must be a NumPy array, got a {type(array).__name__}")
            if array.shape != like.shape or array.dtype != like.dtype:
                raise ValueError(
                    f"{what} must be {like.dtype} of shape {like.shape}, got {array.dtype} of shape {array.shape}; "
                    "it belongs to another parameter"
                )
            check_values(what, slot, array, allow_nan=allow_nan)


def check_values(what: str, slot: str, array: Array, *, allow_nan: bool, otherwise: str = "pass on_nonfinite='propagate'") -> None:
    """Refuse numbers that no step could have left behind.

    Args:
        what: what a message calls the array.
        slot: name of the state array.
        array: its numbers.
        allow_nan: whether NaN and infinity may be there.
        otherwise: how a message says that they may be.

    Raises:
        ValueError: there is NaN, infinity, or a mean of squares below 0.
    """
    if not array.size:
        return
    parts = (array.real, array.imag) if np.iscomplexobj(array) else (array,)
    lows = [part.min() for part in parts]
    if not allow_nan and not np.isfinite([*lows, *(part.max() for part in parts)]).all():
        raise ValueError(f"{what} is not finite; go back to an earlier state, or {otherwise}")
    if slot in ("square_avg", "variance") and min(lows) < 0:
        raise ValueError(f"{what} has negative values, which a mean of squares cannot have; the state was changed")


def _same_keys(what: str, got: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> None:
    """Refuse a dict whose keys differ from those wanted."""
    if got.keys() != wanted.keys():
        raise ValueError(f"{what} must have {', '.join(map(repr, wanted))}, got {', '.join(map(repr, got)) or 'nothing'}")


def adapted(
    held: Mapping[str, Sequence[Array]],
    old: Rule,
    new: Rule,
    steps: int,
    fresh: Sequence[Mapping[str, Array]],
    complex_: bool,
) -> dict[str, list[Array]]:
    """Return copies of the state that `old` left behind, as `new` reads it, without subnormal numbers.

    Args:
        held: state by slot, one array for each parameter.
        old: the rule that made it.
        new: the rule that goes on.
        steps: steps taken so far.
        fresh: for each parameter, what `new` starts from; its memory order is kept.
        complex_: whether a parameter is complex.

    Raises:
        ValueError: the two rules mean different things by an array, and nothing exact connects them.
    """
    if steps == 0 and old != new:  # nothing has begun, so the new rule begins as it would by itself
        old, held = new, {slot.name: [one[slot.name] for one in fresh] for slot in new.slots}
    if complex_ and old.complex_form != new.complex_form:
        raise ValueError("complex_form cannot change in mid-course: means of parts and of the modulus do not give each other")
    if old.momentum and new.momentum and old.lr_in_momentum != new.lr_in_momentum:
        raise ValueError(
            "lr_in_momentum cannot change while the momentum buffer is in use: it gathers lr·g/denominator or g/denominator; "
            "set momentum=0 first, which drops the buffer"
        )
    if new.bias_correction and old.square_init and steps:
        raise ValueError(
            f"bias_correction cannot start in a run whose v began at {old.square_init!r}: it divides out the weight of a start at 0"
        )
    if new.square_init != old.square_init:
        raise ValueError(f"square_init cannot change in mid-course: the run began at {old.square_init!r}, got {new.square_init!r}")
    result: dict[str, list[Array]] = {}
    for slot in new.slots:
        result[slot.name] = []
        for i, one in enumerate(fresh):
            if slot.argument == "v":
                array = _means(held, i, old, new, steps)
            else:
                array = held[slot.name][i] if slot.name in held else one[slot.name]
            kept = np.empty_like(one[slot.name])
            np.copyto(kept, flushed(array))
            result[slot.name].append(kept)
    return result


def _means(held: Mapping[str, Sequence[Array]], i: int, old: Rule, new: Rule, steps: int) -> Array:
    """Return v of one parameter as the new rule keeps it: the mean of g², or the variance of g."""
    v = held[old.slots[0].name][i]
    corrections = [rule.scalars(0.0, max(steps, 1)).correction if rule.switches["VARIANCE"] else None for rule in (old, new)]
    if corrections[0] == corrections[1] or not old.centered:
        return v  # it means the same; without centering the mean of g starts at 0, where the variance is the mean of g²

    def carried(v: Array, m: Array) -> Array:
        was, becomes = corrections
        square = v if was is None else mean_square(v, m, was)
        return np.asarray(square if becomes is None else np.maximum(variance(square, m, becomes), 0), v.dtype)

    return _by_parts(carried, v, held["grad_avg"][i])


def effective_lr(rule: Rule, lr: float, steps: int, slots: Mapping[str, Sequence[Array]]) -> list[Array]:
    """Return lr / denominator for each parameter, as the rule has it now.

    The rule takes a step from p = 0 with g = 1, its means held still by decay = 1, without momentum: what it subtracts is wanted.
    """
    still = rule.scalars(lr, max(steps, 1))._replace(decay=1.0, fresh=0.0, momentum=0.0, weight_decay=0.0)

    def length(v: Array, m: Array) -> Array:
        one, zero = np.ones_like(v), np.zeros_like(v)
        with np.errstate(all="ignore"):
            p, *_ = update_for(rule, v.dtype.name)(zero, one, v, m, zero, *np.array(still, v.dtype))
        return np.abs(p)

    means = slots["grad_avg"] if rule.centered else slots[rule.slots[0].name]
    return [_by_parts(length, v, m) for v, m in zip(slots[rule.slots[0].name], means, strict=True)]


def _by_parts(function: Callable[[Array, Array], Array], v: Array, m: Array) -> Array:
    """Return function(v, m), taken part by part where v is complex: then it holds the means of both parts."""
    if not np.iscomplexobj(v):
        return function(v, m)
    return (function(v.real, m.real) + 1j * function(v.imag, m.imag)).astype(v.dtype)

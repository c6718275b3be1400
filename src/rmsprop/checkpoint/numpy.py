"""`rmsprop.RMSprop` over NumPy arrays, whose files are the project's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmsprop.checkpoint import safe
from rmsprop.checkpoint.canonical import Group, Parameter, State
from rmsprop.checkpoint.errors import ConversionError
from rmsprop.checkpoint.kinds import KINDS, Kind, Told
from rmsprop.checkpoint.moving import moved
from rmsprop.optimizer import RMSprop
from rmsprop.state import axes_of, load

_OURS = KINDS["rmsprop"]


def capture(source: RMSprop | Mapping[str, Any], kind: Kind | None, told: Told) -> State:
    """Return the state of an optimizer, or of its state_dict.

    Args:
        source: either of them.
        kind: ignored, there being one.
        told: nothing is needed.
    """
    told.refuse_rule("rmsprop.RMSprop")
    loaded = load(source.state_dict() if isinstance(source, RMSprop) else source)
    names = dict.fromkeys(name for arrays in loaded.slots.values() for name in arrays)
    parameters = tuple(
        Parameter(str(name), loaded.steps, {slot: arrays[name] for slot, arrays in loaded.slots.items() if name in arrays})
        for name in names
    )
    group = Group(loaded.rule, loaded.lr, parameters)
    return State((group,), loaded.skipped, _OURS.optimizer, told.allow_nan)


def restore(target: RMSprop, state: State) -> RMSprop:
    """Put a state into an optimizer, which takes its rule and, unless it has a schedule, its learning rate.

    Args:
        target: the optimizer.
        state: a state of the same parameters, of one rule and one count of steps.

    Raises:
        ConversionError: it is not, or has an array that this optimizer does not keep.
    """
    fresh = target.state_dict()
    names = {str(name): name for name in next(iter(fresh["state"].values()))}
    shapes = {str(name): array.shape for name, array in next(iter(fresh["state"].values())).items()}
    group = moved(state, _OURS).arranged([list(names)], shapes).groups[0]
    steps = {p.step for p in group.parameters}
    if len(steps) > 1:
        raise ConversionError(
            f"rmsprop.RMSprop counts steps once for all parameters, and this state has taken {min(steps)} to {max(steps)} with "
            "them; use rmsprop.torch, which counts each"
        )
    bare = next((p.name for p in group.parameters if not p.slots), None)
    if bare is not None:
        raise ConversionError(f"the state has no arrays for {bare!r}, which no step has reached yet; leave it out on both sides")
    saved = fresh | {
        "rule": axes_of(group.rule),
        "lr": group.lr,
        "steps": steps.pop() if steps else 0,
        "skipped": state.skipped,
        "state": {slot.name: {names[p.name]: p.slots[slot.name] for p in group.parameters} for slot in group.rule.slots},
    }
    try:
        target.load_state_dict(saved)
    except (TypeError, ValueError) as error:
        raise ConversionError(str(error)) from error
    return target


def read(path: Path, kind: Kind | None, told: Told) -> State:
    """Return the state in one of the project's own files."""
    told.refuse_rule(str(path))
    return safe.read(path, allow_nan=told.allow_nan)


def write(path: Path, state: State, kind: Kind) -> None:
    """Write one of the project's own files."""
    safe.write(path, state)

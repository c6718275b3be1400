"""The four functions of a host, for optimizers of PyTorch's world."""

from collections.abc import Mapping
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch

from rmsprop.checkpoint.canonical import AVERAGE, Parameter, State
from rmsprop.checkpoint.errors import ConversionError, FileError, UsageError, unwritten
from rmsprop.checkpoint.kinds import KINDS, Kind, Told
from rmsprop.checkpoint.moving import moved
from rmsprop.checkpoint.torch.files import chosen, load, states_in
from rmsprop.checkpoint.torch.kinds import LAYOUTS, MACHINE, check_config, group_of, kind_of_class, refuse_complex
from rmsprop.checkpoint.torch.states import state_of
from rmsprop.checkpoint.torch.tensors import entry_of, fitted, plain
from rmsprop.files import Draft, replace
from rmsprop.rule import Rule

_KIN = {KINDS[name].optimizer for name in LAYOUTS}


def capture(source: Any, kind: Kind | None, told: Told) -> State:
    """Return the state of an optimizer, of its state_dict, or of that in a training checkpoint.

    Args:
        source: any of them; a state_dict by index, by name, or flattened.
        kind: what it is, where keys do not tell.
        told: nothing but names is needed.

    Raises:
        UsageError: the kind or the names have to be said, or something is said that the state holds.
        ConversionError: it is incomplete, or of something else.
    """
    if isinstance(source, torch.optim.Optimizer):
        found = kind_of_class(source)
        if found is None and kind is None:
            raise UsageError(f"{_called(source)} is none of {', '.join(sorted(_KIN))}; if it is one by another name, pass kind")
        if found is not None and kind is not None and found != kind:
            raise UsageError(f"this is {found.optimizer}, and not {kind.optimizer}")
        kind = found or kind
        if kind is not None and kind.name == "bitsandbytes":
            check_config(source)
        return state_of(source.state_dict(), kind, told, skipped=int(getattr(source, "skipped", 0)), live=True)
    states = states_in(source)
    if not states:
        raise UsageError("there is no optimizer state in this dict; pass what optimizer.state_dict() returned")
    return state_of(chosen(states, told.key, ", by passing that part of the dict"), kind, told)


def read(path: Path, kind: Kind | None, told: Told) -> State:
    """Return the state in a file of `torch.save` or of Stable-Baselines3.

    Args:
        path: a `.pt` or `.pth` file of an optimizer's state_dict or of a training checkpoint that has one, or a model's `.zip`.
        kind: what wrote it, where keys do not tell.
        told: which state, and names.

    Raises:
        FileError: it is damaged, or needs code to be loaded.
        UsageError, ConversionError: as for `capture`.
    """
    found, key = load(path, told.key)
    states = states_in(found)
    if not states:
        has = ", ".join(map(repr, list(found)[:8])) if isinstance(found, Mapping) else f"a {type(found).__name__}"
        raise FileError(f"{path} holds no optimizer state but {has}; write one by torch.save(optimizer.state_dict(), path)")
    try:
        return state_of(chosen(states, key, ", as key= or --key"), kind, told)
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from None
    except (AttributeError, KeyError, IndexError, TypeError, RecursionError, RuntimeError) as error:
        raise FileError(f"{path} is damaged: its optimizer state is malformed ({error})") from error


def restore(target: Any, state: State) -> Any:
    """Put a state into an optimizer, by its own load_state_dict.

    Args:
        target: the optimizer.
        state: a state of the same parameters.

    Raises:
        ConversionError: the optimizer cannot step by the state's rule, or the parameters differ, or a dtype would round the state.
    """
    kind = kind_of_class(target)
    if kind is None:
        raise UsageError(f"a state can be put into {', '.join(sorted(_KIN))}, and not into {_called(target)}")
    names, params = _parameters(target)
    ready = moved(state, kind).arranged(names, {name: tuple(p.shape) for name, p in params.items()})
    refuse_complex(kind, any(p.is_complex() for p in params.values()))
    _refuse_average(ready, kind)
    index = count()
    groups: list[dict[str, Any]] = []
    entries: dict[int, dict[str, Any]] = {}
    for own, group in zip(target.param_groups, ready.groups, strict=True):
        said = group_of(group, kind, kin=state.origin in _KIN, defaults=False)
        kept = {key: value for key, value in own.items() if key != "params"}
        new = {**kept, **{key: value for key, value in said.items() if key not in MACHINE}}
        if isinstance(own["lr"], torch.Tensor) and group.lr is not None:
            new["lr"] = _like(own["lr"], group.lr)
        if any(AVERAGE in p.slots for p in group.parameters) and new.get("ema_decay") is None:
            raise ConversionError("the state has averages of the parameters and not their ema_decay; set it in the target's groups")
        indices = list(islice(index, len(group.parameters)))
        held = {at: _entry(p, params[p.name], group.rule, kind) for at, p in zip(indices, group.parameters, strict=True)}
        entries |= {at: entry for at, entry in held.items() if entry}
        groups.append({**new, "params": indices})
    try:
        target.load_state_dict({"state": entries, "param_groups": groups})
    except (TypeError, ValueError) as error:
        raise ConversionError(str(error)) from error
    return target


def write(path: Path, state: State, kind: Kind) -> None:
    """Write a state_dict as `torch.save` does, so that the file is either the old one or the new one, whole.

    Args:
        path: the file.
        state: a state that has been carried to the kind.
        kind: whose it is to be.

    Raises:
        ConversionError: the optimizer has no place for something, or the learning rate is not known.
        SaveError: it cannot be written; what was there is unchanged.
    """
    saved = _state_dict(state, kind)
    try:
        with Draft(path) as draft:
            with open(draft.path, "wb") as file:
                torch.save(saved, file)
            replace([draft])
    except (OSError, RuntimeError) as error:
        raise unwritten(path, error) from error


def _state_dict(state: State, kind: Kind) -> dict[str, Any]:
    """Return a state as an optimizer's state_dict."""
    if not state.ordered:
        raise ConversionError(
            f"{kind.optimizer} knows parameters by their order, and the state's file keeps none; say like= or --like"
        )
    refuse_complex(kind, any(p.complex for p in state.parameters))
    _refuse_average(state, kind)
    indexed = list(state.names) == [str(k) for k in range(len(state.names))]
    index = count()
    groups: list[dict[str, Any]] = []
    entries: dict[int, dict[str, Any]] = {}
    for group in state.groups:
        if group.lr is None:
            raise ConversionError(
                f"a state_dict of {kind.optimizer} holds a learning rate, and none is known; say lr, as --lr 0.01"
            )
        said = group_of(group, kind, kin=state.origin in _KIN, defaults=True)
        if any(AVERAGE in p.slots for p in group.parameters) and said.get("ema_decay") is None:
            raise ConversionError("the state has averages of the parameters and not their ema_decay, which a state_dict holds")
        indices = list(islice(index, len(group.parameters)))
        named = {} if indexed else {"param_names": [p.name for p in group.parameters]}
        groups.append({**said, **named, "params": indices})
        steps = LAYOUTS[kind.name].tensor_steps
        entries |= {
            at: entry_of(p, group.rule, kind, steps=steps) for at, p in zip(indices, group.parameters, strict=True) if p.slots
        }
    return {"state": entries, "param_groups": groups}


def _refuse_average(state: State, kind: Kind) -> None:
    """Refuse averages of the parameters where there is no place for them."""
    if kind.name != "rmsprop.torch" and any(AVERAGE in p.slots for p in state.parameters):
        raise ConversionError(
            f"{kind.optimizer} keeps no average of the parameters, and this state has one; 'rmsprop.torch' does, or set "
            "ema_decay=None in the source's groups before"
        )


def _called(thing: Any) -> str:
    """Return what a message calls an object."""
    return f"a {type(thing).__module__}.{type(thing).__qualname__}"


def _parameters(target: Any) -> tuple[list[list[str]], dict[str, Any]]:
    """Return the names of an optimizer's parameters, group by group, and its parameters by name."""
    index = count()
    names: list[list[str]] = []
    params: dict[str, Any] = {}
    for group in target.param_groups:
        indices = [str(at) for at in islice(index, len(group["params"]))]
        names.append(list(group.get("param_names") or indices))
        params |= dict(zip(names[-1], group["params"], strict=True))
    for name, p in params.items():
        if hasattr(p, "placements"):
            raise ConversionError(
                f"parameter {name!r} is a shard; write the state to a file, and hand that to "
                "torch.distributed.checkpoint.state_dict.set_optimizer_state_dict with StateDictOptions(full_state_dict=True)"
            )
        plain(p, f"parameter {name!r}")
    return names, params


def _like(lr: Any, value: float) -> Any:
    """Return a learning rate as a tensor like another one, in double precision where that one would round it."""
    own = torch.full_like(lr, value, requires_grad=False)
    return own if own.item() == value else torch.full_like(lr, value, dtype=torch.float64, requires_grad=False)


def _entry(p: Parameter, tensor: Any, rule: Rule, kind: Kind) -> dict[str, Any]:
    """Return what an optimizer is to keep of one parameter, in its dtype."""
    entry = entry_of(p, rule, kind, steps=LAYOUTS[kind.name].tensor_steps)
    return {
        key: value if key == "step" else fitted(value, tensor, key, rule, kind, f"{key!r} of parameter {p.name!r}")
        for key, value in entry.items()
    }

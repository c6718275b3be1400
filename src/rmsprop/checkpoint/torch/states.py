"""State dicts of PyTorch's world, read: by index, by name or flattened, of any of the optimizers that `kinds` knows."""

from collections.abc import Mapping
from typing import Any

import torch

from rmsprop.checkpoint.canonical import AVERAGE, Group, Parameter, State
from rmsprop.checkpoint.errors import ConversionError, UsageError
from rmsprop.checkpoint.kinds import Kind, Told
from rmsprop.checkpoint.torch.kinds import kind_of_keys, options_of, refuse_complex, rule_of, unwrapped
from rmsprop.checkpoint.torch.tensors import Memory, array_of, count_of, means, number
from rmsprop.rule import Rule


def state_of(saved: Mapping[str, Any], kind: Kind | None, told: Told, *, skipped: int = 0, live: bool = False) -> State:
    """Return the state that a state_dict holds.

    Args:
        saved: the state_dict.
        kind: what it is said or known to be.
        told: names.
        skipped: steps left out.
        live: whether it comes from an optimizer whose kind is known.

    Raises:
        UsageError: the kind or the names have to be said, or something is said that the state holds.
        ConversionError: it is incomplete, or of something else.
    """
    groups, entries = _parts(saved)
    if not live:
        kind = kind_of_keys(groups, entries.values(), kind)
    assert kind is not None
    told.refuse_rule(f"a state of {kind.optimizer}")
    named = _named(groups, told)
    left = set(entries) - {key for members in named for key, _ in members}
    if left:
        raise ConversionError(f"there is state for parameter {min(map(str, left))!r}, which no group has; the state was changed")
    memory = Memory()
    made = []
    for at, (group, members) in enumerate(zip(groups, named, strict=True)):
        where = f"group {at}"
        rule = rule_of(group, kind, where)
        lr = number(group.get("lr"), f"'lr' of {where}")
        also = _besides(group, kind, live=live)
        parameters = tuple(_parameter(name, entries.get(key), rule, kind, also, memory) for key, name in members)
        made.append(Group(rule, lr, parameters, options_of(group, kind, where)))
    refuse_complex(kind, any(group.complex for group in made))
    return State(tuple(made), skipped, kind.optimizer, told.allow_nan)


def _besides(group: Mapping[str, Any], kind: Kind, *, live: bool) -> tuple[str, ...]:
    """Return what an entry of a group may hold besides what its rule keeps; a live optimizer's variance is never of old."""
    if kind.name != "rmsprop.torch":
        return ()
    return (*(() if live else ("square_avg", "variance")), *(() if group.get("ema_decay") is None else (AVERAGE,)))


def _parameter(name: str, entry: Any, rule: Rule, kind: Kind, also: tuple[str, ...], memory: Memory) -> Parameter:
    """Return the state of one parameter."""
    if not entry:
        return Parameter(name, 0, {})
    what = f"the state of parameter {name!r}"
    if not isinstance(entry, Mapping):
        raise ConversionError(f"{what} must be a dict, got a {type(entry).__name__}")
    entry = unwrapped(entry)
    if "step" not in entry:
        raise ConversionError(f"{what} lacks 'step'; it was cut short or changed")
    step = count_of(entry["step"], f"'step' of parameter {name!r}")
    slots = [slot.name for slot in rule.slots]
    held = {}
    for slot in dict.fromkeys((*slots, *also)):
        key = "state1" if kind.name == "bitsandbytes" else slot
        if key in entry:
            if key == "state1" and ({"qmap1", "absmax1"} & entry.keys() or getattr(entry[key], "dtype", None) == torch.uint8):
                raise ConversionError(
                    f"{what} is 8-bit, in codes of bitsandbytes' own; train with optim_bits=32, or dequantize it there "
                    "(bitsandbytes.functional.dequantize_blockwise) and keep the result as 'state1', without qmap1 and absmax1"
                )
            held[slot] = array_of(entry[key], f"{slot!r} of parameter {name!r}", memory)
    held = means(name, step, held, rule) if "variance" in also else held
    if not held:
        raise ConversionError(f"{what} has {', '.join(map(str, entry))} and none of {', '.join(slots)}: it is of another optimizer")
    return Parameter(name, step, {slot: held[slot] for slot in (*slots, AVERAGE) if slot in held})


def _parts(saved: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], Mapping[Any, Any]]:
    """Return the groups and the entries of a state_dict, or refuse what has not its form."""
    groups, entries = (saved.get("param_groups"), saved.get("state")) if "param_groups" in saved else _unflattened(saved)
    if not isinstance(groups, list | tuple) or not groups or not isinstance(entries, Mapping):
        raise ConversionError("a state_dict must have 'param_groups', a list that is not empty, and 'state', a dict")
    for at, group in enumerate(groups):
        if not isinstance(group, Mapping) or not isinstance(group.get("params"), list | tuple):
            raise ConversionError(f"group {at} must be a dict with 'params', a list of indices or names")
    if len({id(group) for group in groups}) != len(groups):
        raise ConversionError("a group stands twice in 'param_groups'")
    return list(groups), entries


def _unflattened(saved: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return the groups and entries of what `get_optimizer_state_dict` flattened; parameters with equal options are a group."""
    entries: dict[str, dict[str, Any]] = {}
    options: dict[str, dict[str, Any]] = {}
    for key, value in saved.items():
        kind, _, rest = str(key).partition(".")
        name, _, last = rest.rpartition(".")
        if kind not in ("state", "param_groups") or not name:
            raise ConversionError(f"{str(key)[:80]!r} stands in no flattened state_dict, whose keys are such as state.weight.step")
        (entries if kind == "state" else options).setdefault(name, {})[last] = value
    groups: list[dict[str, Any]] = []
    newest: dict[str, Any] | None = None
    for name, said in options.items():
        if said == newest:
            groups[-1]["params"].append(name)
        else:
            groups.append({**said, "params": [name]})
            newest = said
    return groups, entries


def _named(groups: list[Mapping[str, Any]], told: Told) -> list[list[tuple[Any, str]]]:
    """Return for each group its parameters' keys in a state_dict and their names."""
    if told.names is not None:
        total = sum(len(group["params"]) for group in groups)
        if any("param_names" in group or any(isinstance(key, str) for key in group["params"]) for group in groups):
            raise UsageError("the state has names itself; leave names out, and rename with State.renamed or --map")
        if len(told.names) != total:
            raise UsageError(f"names must be {total}, one for each parameter, got {len(told.names)}")
    said = iter(told.names or ())
    seen: set[Any] = set()
    found = []
    for at, group in enumerate(groups):
        keys = group["params"]
        for key in keys:
            if not isinstance(key, int | str) or isinstance(key, bool) or key in seen:
                raise ConversionError(f"'params' of group {at} must be indices or names, each of which stands once")
            seen.add(key)
        names = group.get("param_names", keys) if told.names is None else [next(said) for _ in keys]
        if not isinstance(names, list | tuple) or len(names) != len(keys) or not all(isinstance(n, int | str) for n in names):
            raise ConversionError(f"'param_names' of group {at} must be {len(keys)} words, one for each parameter")
        found.append([(key, str(name)) for key, name in zip(keys, names, strict=True)])
    return found

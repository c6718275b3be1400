"""The order of parameters, taken from a file of the optimizer or the model that goes on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rmsprop.checkpoint.canonical import UNORDERED, Group, State, listed
from rmsprop.checkpoint.errors import ConversionError, FileError

Shapes = dict[str, tuple[int, ...] | None]


def ordered(state: State, wanted: Shapes, what: str) -> State:
    """Return a state with the parameters of each group in the order of some names, which may have more.

    Args:
        state: the state.
        wanted: names in order, with the shapes of those whose shapes are known.
        what: where they come from, for messages.

    Raises:
        ConversionError: a name of the state is not there, or has another shape there.
    """
    missing = [name for name in state.names if name not in wanted]
    if missing:
        raise ConversionError(f"{what} lacks {listed(missing)}; it has {listed(list(wanted))}; map the names, as with --map")
    for p in state.parameters:
        shape = wanted[p.name]
        if None not in (shape, p.shape) and shape != p.shape:
            raise ConversionError(
                f"{p.name!r} has shape {p.shape}, and {shape} in {what}; if its axes go in another order, say so in the map, as in "
                r"'(.+)/kernel=\1.weight@1,0'"
            )
    place = {name: k for k, name in enumerate(wanted)}

    def put(group: Group) -> Group:
        options = {key: value for key, value in group.options.items() if key != UNORDERED}
        return replace(group, parameters=tuple(sorted(group.parameters, key=lambda p: place[p.name])), options=options)

    return state.replace(groups=tuple(map(put, state.groups)))


def names_in(path: Path) -> Shapes:
    """Return the names of a model's parameters and buffers, in order, with their shapes.

    Args:
        path: what `torch.save(model.state_dict(), path)` wrote. Files of safetensors do not keep the order.

    Raises:
        FileError: it is something else, or cannot be read.
        MissingExtraError: PyTorch is not installed.
    """
    from rmsprop.checkpoint.torch import load_file

    try:
        found: Any = load_file(path)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from None
    for key in ("model", "state_dict", "model_state_dict"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(hasattr(value, "shape") for value in found.values()):
        raise FileError(f"{path} holds no model's state_dict; write one by torch.save(model.state_dict(), path)")
    return {str(name): tuple(value.shape) for name, value in found.items()}

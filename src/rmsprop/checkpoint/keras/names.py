"""The names of a model's trainable variables, in their order, from the config that Keras saves: its files number them only.

A name is what Keras calls the variable, without the name of the model: "dense/kernel". A layer that is not in the table leaves all
of a model without names, since nothing else tells which of its variables are trained.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Shapes = Mapping[str, tuple[int, ...]]


class _Layer(NamedTuple):
    """What a layer trains: name of each variable to the option that leaves it out, and what follows them that is not trained."""

    trained: Mapping[str, str | None]
    rest: int = 0
    inner: str = ""  # the layer within that has them


_KERNEL = _Layer({"kernel": None, "bias": "use_bias"})
_NORM = _Layer({"gamma": "scale", "beta": "center"})
_RECURRENT = _Layer({"kernel": None, "recurrent_kernel": None, "bias": "use_bias"}, inner="cell")
_SEPARABLE = _Layer({"depthwise_kernel": None, "pointwise_kernel": None, "bias": "use_bias"})
_LAYERS: dict[str, _Layer] = {
    **dict.fromkeys(("Dense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"), _KERNEL),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _KERNEL),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _SEPARABLE),
    **dict.fromkeys(("LayerNormalization", "GroupNormalization"), _NORM),
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN"), _RECURRENT),
    "BatchNormalization": _NORM._replace(rest=2),
    "EinsumDense": _Layer({"kernel": None, "bias": "bias_axes"}),
    "Embedding": _Layer({"embeddings": None}),
    "PReLU": _Layer({"alpha": None}),
}


class _UnknownError(Exception):
    """A layer whose variables cannot be named."""


def trainable(config: Any, shapes: Shapes, notes: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[int, ...]] | None:
    """Return the names of a model's trainable variables, in their order, with their shapes; None where they cannot be told.

    Args:
        config: of the model, as Keras serializes it.
        shapes: path of every array in the file to its shape.
        notes: attributes of the file's groups.
    """
    try:
        found = list(_model(config, "", "", shapes, notes, True))
    except (_UnknownError, AttributeError, KeyError, TypeError, RecursionError):
        return None
    named = dict(found)
    return named if len(named) == len(found) else None


def _model(
    config: Any, place: str, prefix: str, shapes: Shapes, notes: Mapping[str, Any], trained: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the trainable variables of a model whose layers stand under a place of the file."""
    if config["class_name"] not in ("Sequential", "Functional", "Model"):
        raise _UnknownError
    used: dict[str, int] = {}
    for layer in config["config"]["layers"]:
        short = _snake(layer["class_name"])
        number = used[short] = used.get(short, -1) + 1
        there = f"{place}layers/{short}_{number}/" if number else f"{place}layers/{short}/"
        yield from _layer(layer, there, f"{prefix}{layer['config']['name']}/", shapes, notes, trained)


def _layer(
    config: Any, place: str, prefix: str, shapes: Shapes, notes: Mapping[str, Any], trained: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the trainable variables of a layer."""
    # The state of a random generator is no parameter.
    here = [path for path in shapes if path.startswith(place) and "/seed_generator/" not in path]
    if not here:
        return
    trained = trained and config["config"].get("trainable", True) is True
    if config["class_name"] in ("Sequential", "Functional", "Model"):
        yield from _model(config, place, prefix, shapes, notes, trained)
        return
    if config["class_name"] == "Bidirectional":
        for way in ("forward_layer", "backward_layer"):
            inner = dict(config["config"]["layer"])
            name = notes[f"{place}{way}/vars/"]["name"]
            yield from _layer(inner, f"{place}{way}/", f"{prefix}{name}/", shapes, notes, trained)
        return
    layer = _LAYERS.get(config["class_name"])
    if layer is None:
        raise _UnknownError
    if layer.inner:
        place = f"{place}{layer.inner}/"
        prefix = f"{prefix}{notes[f'{place}vars/']['name']}/"
    names = [name for name, option in layer.trained.items() if option is None or config["config"].get(option, True)]
    wanted = [f"{place}vars/{k}" for k in range(len(names) + layer.rest)]
    if sorted(wanted) != sorted(here):
        raise _UnknownError
    if trained:
        yield from ((f"{prefix}{name}", shapes[path]) for name, path in zip(names, wanted, strict=False))


def _snake(name: str) -> str:
    """Return what Keras makes of a class's name for a group of the file.

    >>> [_snake(name) for name in ("Dense", "BatchNormalization", "Conv2DTranspose", "LSTM", "PReLU")]
    ['dense', 'batch_normalization', 'conv2d_transpose', 'lstm', 'p_re_lu']
    """
    return re.sub("(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", name).lower()


_BLOCKS = "velocity|variance|momentum|average_gradient|average|gradient_accumulator"
_BEFORE = re.compile(rf"[^/]+/(?:{_BLOCKS})/(.+?)(?::0)?")  # tf_keras: RMSprop/velocity/dense/kernel:0
_BEHIND = re.compile(r"[^/]+/(.+)/(?:rms|momentum|mg)(?::0)?")  # its legacy optimizer: RMSprop/dense/kernel/rms:0
_FLAT = re.compile(rf"[^/]+/(.+?)_(?:{_BLOCKS})")  # Keras 3: rm_sprop/sequential_dense_kernel_velocity


def of_state(listed: Sequence[str], own: Sequence[str]) -> list[str] | None:
    """Return the parameters' names out of those of their state, or None where one of them cannot be told.

    Args:
        listed: of all variables of an optimizer.
        own: of the model's variables.

    Example:
        >>> of_state(["rm_sprop/iteration", "rm_sprop/a_kernel_velocity"], ["a/kernel", "a/bias"])
        ['a/kernel']
    """
    flat: dict[str, list[str]] = {}
    for name in own:
        flat.setdefault(name.replace("/", "_"), []).append(name)
    found = []
    for name in listed:
        if match := _BEFORE.fullmatch(name) or _BEHIND.fullmatch(name):
            found.append(match[1])
        elif match := _FLAT.fullmatch(name):
            if len(flat.get(match[1], ())) != 1:
                return None
            found.append(flat[match[1]][0])
    return found


def texts(notes: Mapping[str, Any], name: str) -> list[str]:
    """Return a list of texts that may be kept in several attributes, as one of HDF5 holds 64 KiB.

    >>> texts({"weight_names0": ["a"], "weight_names1": ["b"]}, "weight_names")
    ['a', 'b']
    """
    if name in notes:
        return list(notes[name])
    found: list[str] = []
    k = 0
    while f"{name}{k}" in notes:
        found.extend(notes[f"{name}{k}"])
        k += 1
    return found

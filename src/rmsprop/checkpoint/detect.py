"""Which module reads an object or a file, found out by looking at it; no framework is loaded for that."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rmsprop.checkpoint.errors import FileError, UsageError

# Where the classes of each host's optimizers and states are defined: the first of an object's classes that is there tells.
_ROOTS = {
    "rmsprop.optimizer": "numpy",
    "torch.optim": "torch",
    "keras": "keras",
    "rmsprop.keras": "keras",
    "tf_keras": "tensorflow",
    "tensorflow": "tensorflow",
    "optax": "optax",
    "rmsprop.optax": "optax",
}


# What lies in a directory of Orbax's, or in those of its items or steps.
_ORBAX = ("_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt")


def host_of(source: Any) -> str:
    """Return the module that takes the state of an optimizer, or of what it calls its state.

    Example:
        >>> host_of({"state": {}, "param_groups": []})
        'torch'
    """
    if isinstance(source, Mapping):
        if source.get("format") == "rmsprop":
            return "numpy"
        if _grouped(source):
            return "torch"
    for kind in _classes(source):
        parts = kind.__module__.split(".")
        for n in (2, 1):
            if ".".join(parts[:n]) in _ROOTS:
                return _ROOTS[".".join(parts[:n])]
    raise UsageError(
        f"a {type(source).__name__} is no optimizer whose state can be read; pass an optimizer of rmsprop, PyTorch or Keras, a "
        "state_dict, or a state of optax"
    )


def _grouped(source: Any, depth: int = 2) -> bool:
    """Return whether a dict is a state_dict of PyTorch's, perhaps flattened, or a training checkpoint that has one in it."""
    if isinstance(source, Mapping):
        if any(isinstance(key, str) and (key == "param_groups" or key.startswith("param_groups.")) for key in source):
            return True
        source = list(source.values())
    return isinstance(source, list | tuple) and depth > 0 and any(_grouped(inner, depth - 1) for inner in source)


def _classes(source: Any) -> Iterator[type]:
    """Yield an object's classes, and those of what tuples and dicts hold: a state of optax is tuples within tuples."""
    yield from type(source).__mro__
    if isinstance(source, tuple | Mapping):
        for inner in source.values() if isinstance(source, Mapping) else source:
            if isinstance(inner, tuple) or hasattr(inner, "inner_state"):
                yield from _classes(inner)


def format_of(path: Path) -> str:
    """Return the module that reads a file, a directory, or the files that begin with a name.

    Args:
        path: what was given.

    Raises:
        FileError: it does not exist, or nothing here reads it.
    """
    if of_tensorflow(path):
        return "tensorflow"
    if path.is_dir():
        if any((folder / name).is_file() for folder in (path, *path.glob("*/")) for name in _ORBAX):
            return "optax"
        raise FileError(f"{path} is a directory, and neither a TensorFlow nor an Orbax checkpoint; name a file in it")
    try:
        with open(path, "rb") as file:
            start = file.read(9)
    except FileNotFoundError:
        raise FileError(f"{path} does not exist") from None
    # Ahead of the others, which all have another ninth byte: the length of a header may begin with their first ones.
    if start[8:] == b"{":
        return "numpy"
    if start.startswith(b"PK"):
        return _zipped(path)
    if start.startswith(b"\x89HDF"):
        return "keras"
    if start.startswith(b"\x80"):  # a pickle, as old releases of PyTorch wrote them
        return "torch"
    raise FileError(
        f"{path} is of no known format; known are rmsprop's own (.safetensors), PyTorch's (.pt, .pth), Stable-Baselines3's (.zip), "
        "Keras's (.keras, .weights.h5), TensorFlow's (the name before .index) and Orbax's (a directory)"
    )


def of_tensorflow(path: Path) -> bool:
    """Return whether there is a checkpoint of TensorFlow: files that begin with a name, or a directory that names the newest."""
    return Path(f"{path}.index").is_file() or (path.suffix == ".index" and path.is_file()) or (path / "checkpoint").is_file()


def _zipped(path: Path) -> str:
    """Return the module that reads a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise FileError(f"{path} is damaged: it begins as a zip archive and is none ({error})") from None
    return "keras" if "model.weights.h5" in names else "torch"

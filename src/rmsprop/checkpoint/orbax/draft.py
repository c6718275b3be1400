"""Writing an Orbax directory: beside its place first, and there when it is whole."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rmsprop.checkpoint.canonical import Array
from rmsprop.checkpoint.errors import ConversionError, SaveError, missing_extra, unwritten
from rmsprop.checkpoint.orbax.directory import short
from rmsprop.files import sync


def write(path: Path, tree: Any) -> None:
    """Write a tree of NumPy arrays as Orbax's StandardCheckpointer does, so that it is there whole or not at all.

    Args:
        path: the directory, which must not exist.
        tree: dicts, lists, None and arrays.

    Raises:
        SaveError: it exists, or cannot be written; nothing is left behind.
        ConversionError: Orbax cannot hold an array.
    """
    _check_writable(tree)
    checkpointing = _orbax()
    target = Path(os.path.abspath(path))
    if target.exists() or target.is_symlink():
        raise SaveError(f"{path} exists, and Orbax's directories are not replaced; write to another one, or remove it first")
    try:
        draft = Path(tempfile.mkdtemp(".draft", f".{target.name[:100]}.", target.parent))
    except OSError as error:
        raise unwritten(path, error) from error
    try:
        with checkpointing.StandardCheckpointer() as checkpointer:
            checkpointer.save(draft / "whole", tree)
        for folder, _, files in os.walk(draft / "whole"):
            for name in ("", *files):
                sync(Path(folder, name))
        os.rename(draft / "whole", target)
        sync(target.parent)
    except Exception as error:  # Orbax raises what it likes
        raise SaveError(f"cannot write {path}: {short(error)}; nothing was left behind") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _check_writable(tree: Any) -> None:
    """Refuse arrays that Orbax would refuse only after it has begun, or would write over each other."""
    seen: set[str] = set()
    for name, array in _flat(tree):
        if not array.size:
            raise ConversionError(f"Orbax holds no arrays without elements, and {name!r} has shape {array.shape}; leave it out")
        if name in seen:
            raise ConversionError(f"two arrays would be called {name!r} in Orbax's directory, where '.' joins keys; rename one")
        seen.add(name)


def _flat(tree: Any, above: str = "") -> Iterator[tuple[str, Array]]:
    """Yield a tree's arrays with the names that Orbax gives them."""
    if tree is None:
        return
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else None
    if pairs is None:
        yield above, tree
        return
    for key, part in pairs:
        yield from _flat(part, f"{above}.{key}" if above else str(key))


def _orbax() -> Any:
    """Return Orbax, or say how to get it."""
    try:
        import orbax.checkpoint
    except ImportError as error:
        raise missing_extra("Orbax", "orbax-checkpoint") from error
    return orbax.checkpoint

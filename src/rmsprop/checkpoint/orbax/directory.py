"""Orbax directories: a tree of arrays, described in `_METADATA` (JSON), the arrays themselves as TensorStore's zarr.

    step/                        written by a CheckpointManager: _CHECKPOINT_METADATA and a directory for each item
        default/                 an item, as a checkpointer writes it
            _METADATA            "tree_metadata": for each leaf its keys, and what it was
            manifest.ocdbt, d/   all arrays, by their keys joined with "."; without manifest.ocdbt each in a directory of that name

Arrays are opened only when they are asked for. Before one is read its declared shape and chunks are held against the bytes on the
disk: TensorStore ends the process where memory for a chunk cannot be had. Orbax keeps checksums of its index, none of the arrays.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np

from rmsprop.checkpoint.canonical import Array, listed
from rmsprop.checkpoint.errors import CheckpointError, FileError, UsageError, missing_extra

# How much memory arrays may take: what zstd makes of trained state is a few times smaller, and of zeros thousands of times.
LEAST_ROOM, ROOM_PER_BYTE = 1 << 28, 1024
_DEEPEST = 64
_DTYPES = {"float16", "bfloat16", "float32", "float64", "complex64", "complex128", "bool"}
_DTYPES |= {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
# The same in the words of zarr's second format.
_CODES = re.compile(r"[<>|](b1|[iu][1248]|f[248]|c8|c16)|bfloat16")
_CODECS = ("zstd", "gzip", "zlib", "bytes", "transpose", "crc32c", "sharding_indexed")
_EMPTY: dict[str, Any] = {"None": None, "NamedTuple": None, "Dict": {}, "List": [], "Tuple": []}
_SEQUENCE = 1  # Orbax's number for a key that is an index


class Place:
    """A leaf of a tree: an array that has not been read."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Directory:
    """An Orbax directory that is open for reading.

    Args:
        path: an item's directory, or that of a step with one item.
        key: where the wanted tree is: the item's name, where there are several, and the keys that lead to it, joined by "/".

    Raises:
        FileError: it is damaged, or no Orbax directory.
        UsageError: the key is not there, or is needed.
    """

    def __init__(self, path: Path, key: str | None = None) -> None:
        """Read what the directory says of its arrays."""
        self.path, keys = _item(path, [part for part in (key or "").split("/") if part])
        size = sum(_sizes(self.path))
        self._bytes = size
        self._room = LEAST_ROOM + ROOM_PER_BYTE * size
        described = _described(self.path / "_METADATA")
        self._zarr3 = described.get("use_zarr3") is True
        # Older releases left out what is all zeros.
        self._fills = described.get("store_array_data_equal_to_fill_value") is not True
        self.tree = _at(_tree(described.get("tree_metadata"), self.path), keys, self.path)
        self._context: Any = None

    def fetch(self, leaf: Any) -> Array:
        """Return an array, or refuse it.

        Args:
            leaf: of the tree.

        Raises:
            FileError: it is not there, is damaged, or declares more than the directory can hold.
        """
        if not isinstance(leaf, Place):
            raise FileError(f"{self.path} has no array where one is expected")
        try:
            store = self._opened(leaf.name)
            self._check(leaf.name, store)
            return np.array(store.read().result())
        except CheckpointError:
            raise
        except Exception as error:  # TensorStore raises what it likes
            raise FileError(f"{self.path} is damaged: the array {leaf.name!r} cannot be read ({short(error)})") from None

    def _opened(self, name: str) -> Any:
        """Return an array that TensorStore has opened."""
        ts = _tensorstore()
        if self._context is None:
            self._context = ts.Context({"cache_pool": {"total_bytes_limit": 1 << 26}})
        if ".." in name.split("/") or name.startswith("/"):
            raise FileError(f"{self.path} is damaged: the array {name!r} would lie outside of it")
        base = {"driver": "file", "path": f"{self.path.resolve()}/"}
        if (self.path / "manifest.ocdbt").exists():
            store = {"driver": "ocdbt", "base": base, "path": f"{name}/"}
        else:
            store = {"driver": "file", "path": f"{base['path']}{name}/"}
        file = "zarr.json" if self._zarr3 else ".zarray"
        self._check_metadata(name, json.loads(ts.KvStore.open(store, context=self._context).result().read(file).result().value))
        spec = {"driver": "zarr3" if self._zarr3 else "zarr", "kvstore": store, "fill_missing_data_reads": self._fills}
        return ts.open(spec, context=self._context, open=True, read=True).result()

    def _check_metadata(self, name: str, metadata: Any) -> None:
        """Refuse an array that takes memory when it is opened, or whose compression may ask for any.

        A dtype may be a record of any size, of which TensorStore makes one; Blosc believes the size that a chunk states.
        """
        kind, packed = metadata.get("data_type" if self._zarr3 else "dtype"), metadata.get("compressor") or {"id": "zstd"}
        if not isinstance(kind, str) or not (kind in _DTYPES or _CODES.fullmatch(kind)):
            raise FileError(f"{self.path}: the array {name!r} is of {str(kind)[:80]!r}, and no optimizer's")
        codecs = [packed.get("id")] if not self._zarr3 else _codecs(metadata.get("codecs", []))
        strange = [str(codec)[:80] for codec in codecs if codec not in _CODECS]
        if strange:
            raise FileError(f"{self.path}: the array {name!r} is packed by {strange[0]!r}; Orbax takes zstd")

    def _check(self, name: str, store: Any) -> None:
        """Refuse an array that declares more than the directory can hold, before anything is allocated."""
        layout, item = store.chunk_layout, np.dtype(store.dtype.numpy_dtype).itemsize
        read, write = (chunk.shape or () for chunk in (layout.read_chunk, layout.write_chunk))  # None for a single number
        most = item * max(prod(store.shape), prod(read), prod(write))
        chunks = max(prod(-(-n // part) for n, part in zip(whole, read, strict=True)) for whole in (store.shape, write))
        if most > self._room or chunks > max(self._bytes, 1):
            raise FileError(
                f"{self.path} is damaged: the array {name!r} declares {most} bytes in {chunks} chunks, and the directory has "
                f"{self._bytes} bytes, in which at most {LEAST_ROOM + ROOM_PER_BYTE * self._bytes} are looked for"
            )
        self._room -= most


def _item(path: Path, keys: list[str]) -> tuple[Path, list[str]]:
    """Return the directory of the wanted item, and the keys that are left."""
    if path.name.endswith(".orbax-checkpoint-tmp") or ".orbax-checkpoint-tmp-" in path.name:
        raise FileError(f"{path} was not finished: Orbax renames it when all is written; use an earlier checkpoint")
    if (path / "_METADATA").exists():
        return path, keys
    try:
        below = sorted((entry.name for entry in path.iterdir()), key=lambda name: (len(name), name))
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from None
    items = [name for name in below if (path / name / "_METADATA").exists()]
    if keys and keys[0] in items:
        return path / keys[0], keys[1:]
    if len(items) == 1:
        return path / items[0], keys
    if items:
        raise UsageError(f"{path} holds {listed(items)}; say which, as key={items[0]!r} or --key {items[0]}")
    steps = [name for name in below if (path / name / "_CHECKPOINT_METADATA").exists()]
    if steps:
        raise FileError(f"{path} holds the steps {listed(steps)}; name one of them, as {path / steps[-1]}")
    raise FileError(f"{path} is no directory of Orbax, or damaged: it lacks _METADATA, as do those in it")


def _sizes(path: Path) -> Iterator[int]:
    """Yield the sizes of all files below a directory, none of which may be a pipe or a device."""
    try:
        for folder, _, files in os.walk(path):
            for name in files:
                found = os.stat(os.path.join(folder, name))
                if not S_ISREG(found.st_mode):
                    raise FileError(f"{os.path.join(folder, name)} is no regular file, and none of Orbax's")
                yield found.st_size
    except OSError as error:
        raise FileError(f"cannot read {path}: {error}") from None


def _described(path: Path) -> dict[str, Any]:
    """Return what `_METADATA` says."""
    try:
        described = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"{path} is damaged: {short(error)}") from None
    if not isinstance(described, dict):
        raise FileError(f"{path} is damaged: it is no JSON object")
    return described


def _tree(entries: Any, path: Path) -> Any:
    """Return the tree that is described: dicts, lists, None, and places of arrays."""
    root: dict[Any, Any] = {}
    try:
        for entry in entries.values():
            keys = [(int(key["key_type"]) == _SEQUENCE, str(key["key"])) for key in entry["key_metadata"]]
            if not 0 < len(keys) <= _DEEPEST:
                raise ValueError(f"an array lies {len(keys)} keys deep")
            node = root
            for key in keys[:-1]:
                node = node.setdefault(key, {})
            if keys[-1] in node:
                raise ValueError(f"{keys[-1][1]!r} stands twice")
            kind = entry["value_metadata"]["value_type"]
            node[keys[-1]] = (_EMPTY[kind],) if kind in _EMPTY else Place(".".join(key for _, key in keys))
        return _shaped(root)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path / '_METADATA'} is damaged: its tree of arrays is malformed ({short(error)})") from None


def _shaped(node: Any) -> Any:
    """Return a node with dicts and lists for what is below it."""
    if isinstance(node, tuple):
        return node[0]
    if isinstance(node, Place):
        return node
    kinds = {sequence for sequence, _ in node}
    below = {key: _shaped(value) for (_, key), value in node.items()}
    if kinds == {False}:
        return below
    if kinds != {True} or {int(key) for key in below} != set(range(len(below))):
        raise ValueError("a list lacks an index")
    return [below[str(i)] for i in range(len(below))]


def _codecs(steps: Any) -> Iterator[Any]:
    """Yield the names of all codecs, those within another one among them."""
    for step in steps:
        yield step["name"]
        inner = step.get("configuration") or {}
        yield from _codecs([*inner.get("codecs", []), *inner.get("index_codecs", [])])


def _at(tree: Any, keys: list[str], path: Path) -> Any:
    """Return the part of a tree to which keys lead."""
    for key in keys:
        below = tree if isinstance(tree, Mapping) else dict(enumerate(tree)) if isinstance(tree, list) else {}
        found = {str(name): part for name, part in below.items()}
        if key not in found:
            raise UsageError(f"{path} has no {key!r} in that place; there are {listed(list(found))}")
        tree = found[key]
    return tree


def _tensorstore() -> Any:
    """Return TensorStore, or say how to get it."""
    try:
        import tensorstore
    except ImportError as error:
        raise missing_extra("TensorStore, which reads Orbax's arrays,", "orbax-checkpoint") from error
    return tensorstore


def short(error: BaseException) -> str:
    """Return the beginning of what an error says."""
    return " ".join(str(error).split())[:200] or type(error).__name__

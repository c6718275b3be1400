"""A checkpoint of TensorFlow as a table of named arrays, read by TensorFlow's own reader, sizes checked before anything is read."""

import importlib.util
import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from rmsprop.checkpoint.canonical import Array
from rmsprop.checkpoint.errors import FileError, missing_extra

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


class Bundle:
    """A checkpoint that was opened.

    Args:
        path: the name before ".index", with or without it, or a directory, of which the newest checkpoint is meant.

    Raises:
        FileError: it is incomplete or damaged.
        MissingExtraError: TensorFlow is not installed.
    """

    def __init__(self, path: Path) -> None:
        """Read the index."""
        self.path = _prefix(path)
        files = sorted(self.path.parent.glob(f"{_literal(self.path.name)}.data-*-of-*"))
        if not files:
            raise FileError(f"{self.path} is incomplete: there is no {self.path.name}.data-00000-of-00001 beside its index")
        self._size = sum(os.path.getsize(file) for file in files)
        train = tensorflow().train
        self._reader = self._try(train.load_checkpoint, str(self.path))
        self.shapes: dict[str, tuple[int, ...]] = {
            name: tuple(shape) for name, shape in self._try(self._reader.get_variable_to_shape_map).items()
        }
        self._kinds = self._try(self._reader.get_variable_to_dtype_map)
        for name, shape in self.shapes.items():
            kind = self._kinds[name]
            if prod(shape) * max(kind.size or 1, 1) > self._size:
                raise FileError(f"{self.path} is damaged: {name!r} of shape {shape} is larger than its {self._size} bytes of data")

    def array(self, name: str) -> Array:
        """Return an array of numbers; those of 16 bits as float32, which holds them all.

        Args:
            name: its name in the checkpoint.

        Raises:
            FileError: it is not there, holds something else, or is damaged.
        """
        if name not in self.shapes:
            raise FileError(f"{self.path} is damaged: it lacks {name!r}")
        kind = self._kinds[name].name
        if not kind.startswith(("float", "bfloat16", "complex", "int", "uint")):
            raise FileError(f"{name!r} of {self.path} must hold numbers, got {kind}")
        array = np.array(self._try(self._reader.get_tensor, name))
        return array.astype(np.float32) if kind in ("float16", "bfloat16") else array

    def graph(self) -> Any:
        """Return the graph of objects that was saved, or None where variables go by name alone."""
        if GRAPH not in self.shapes:
            return None
        from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

        graph = TrackableObjectGraph()
        raw = self._try(self._reader.get_tensor, GRAPH)
        self._try(graph.ParseFromString, raw)
        return graph

    def _try(self, call: Any, *arguments: Any) -> Any:
        """Call TensorFlow, and say what is wrong with the file in an error of this package."""
        try:
            return call(*arguments)
        except Exception as error:  # OpError, IndexError, DecodeError and whatever else it raises at damaged files
            raise FileError(f"{self.path} is damaged: {str(error)[:300]}") from None


def tensorflow() -> Any:
    """Return TensorFlow, or say how to get it."""
    if importlib.util.find_spec("tensorflow") is None:
        raise missing_extra("TensorFlow", "tensorflow")
    import tensorflow as tf

    return tf


def _prefix(path: Path) -> Path:
    """Return the name that the files of a checkpoint begin with."""
    if path.is_dir():
        try:
            newest = tensorflow().train.latest_checkpoint(str(path))
        except Exception as error:
            raise FileError(f"{path / 'checkpoint'} is damaged: {str(error)[:300]}") from None
        if newest is None:
            raise FileError(f"{path} names no checkpoint that is there; pass the name before .index")
        return Path(newest)
    prefix = path.with_name(path.name.removesuffix(".index"))
    if not prefix.with_name(f"{prefix.name}.index").is_file():
        raise FileError(f"{path} is no checkpoint of TensorFlow: there is no {prefix.name}.index")
    return prefix


def _literal(name: str) -> str:
    """Return a name as a pattern that matches it alone."""
    from glob import escape

    return escape(name)

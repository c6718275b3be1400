"""HDF5 files, plain or in Keras's archive, taken apart without Keras and without running anything that they hold."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from rmsprop.checkpoint.canonical import Array
from rmsprop.checkpoint.errors import FileError, missing_extra

CHILD = Path(__file__).with_name("hdf5_child.py")
WEIGHTS, CONFIG, METADATA = "model.weights.h5", "config.json", "metadata.json"
# What a file of any size may take; SECONDS + 1 for every 10 MB.
SECONDS = 30
LONGEST_JSON = 256 << 20
MOST_SHRUNK, SLACK = 100, 1 << 20  # as in the child


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Args:
        config: config.json of an archive; None where there is none.
        version: version of Keras that wrote it, as far as it says.
        notes: path of a group, ending in "/", or of an array, to its attributes.
        shapes: path of an array to its shape.
        arrays: path of an array whose numbers are wanted to them; a 16-bit number is widened to float32.
    """

    config: dict[str, Any] | None
    version: str
    notes: Mapping[str, Mapping[str, Any]]
    shapes: Mapping[str, tuple[int, ...]]
    arrays: Mapping[str, Array]


def contents(path: Path) -> Contents:
    """Return what an HDF5 file or an archive of Keras holds.

    Args:
        path: the file.

    Raises:
        FileError: it is damaged, declares more than it holds, or refers to other files.
        MissingExtraError: h5py is not installed.
        OSError: it cannot be opened.
    """
    if importlib.util.find_spec("h5py") is None:
        raise missing_extra("h5py", "'rmsprop[checkpoint]'")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        archive = file.read(2) == b"PK"
    config, version, member = None, "", ""
    if archive:
        config, version, size = _archived(path)
        member = WEIGHTS
    told, arrays = _taken_apart(path, member, size)
    return Contents(
        config,
        str(told["notes"].get("", {}).get("keras_version", version)),
        told["notes"],
        {place: tuple(shape) for place, (_, shape, _) in told["arrays"].items()},
        arrays,
    )


def plain(text: Any, what: str) -> dict[str, Any]:
    """Return a JSON object, or refuse it."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError, TypeError) as error:
        raise FileError(f"{what} is damaged: it is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise FileError(f"{what} is damaged: it is no JSON object")
    return value


def _archived(path: Path) -> tuple[dict[str, Any], str, int]:
    """Return the config in an archive, the version of Keras that wrote it, and the size of its weights."""
    with opened(path) as archive:
        for name in (CONFIG, WEIGHTS):
            if name not in archive.namelist():
                raise FileError(f"{path} is no archive of Keras: it lacks {name}")
        config = plain(archive.read(CONFIG), f"{CONFIG} of {path}")
        version = ""
        if METADATA in archive.namelist():
            version = str(plain(archive.read(METADATA), f"{METADATA} of {path}").get("keras_version", ""))
        return config, version, archive.getinfo(WEIGHTS).file_size


@contextmanager
def opened(path: Path) -> Any:
    """Open an archive whose sizes were checked against the file, and say what is wrong with it in an error of this package."""
    try:
        with zipfile.ZipFile(path) as archive:
            size, names = os.path.getsize(path), archive.namelist()
            if len(set(names)) != len(names):
                raise FileError(f"{path} is damaged: it has two members of one name")
            if sum(info.compress_size for info in archive.infolist()) > size:
                raise FileError(f"{path} is damaged: its members have more bytes than the file")
            for info in archive.infolist():
                if info.file_size > MOST_SHRUNK * info.compress_size + SLACK:
                    raise FileError(
                        f"{info.filename!r} of {path} declares {info.file_size} bytes, and {info.compress_size} are there; no "
                        "model shrinks that much"
                    )
                if info.filename.endswith(".json") and info.file_size > LONGEST_JSON:
                    raise FileError(f"{info.filename!r} of {path} has {info.file_size} bytes, and {LONGEST_JSON} is the most")
            yield archive
    except (zipfile.BadZipFile, zipfile.LargeZipFile, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path} is damaged: {error}") from None
    except Exception as error:
        if type(error).__module__ != "zlib":
            raise
        raise FileError(f"{path} is damaged: {error}") from None


def _taken_apart(path: Path, member: str, size: int) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return what the child says of a file."""
    seconds = SECONDS + size // 10_000_000
    # -P keeps the directory of the child, where modules are named after frameworks, off its path.
    command = [sys.executable, "-P", "-W", "ignore", str(CHILD), str(path), member, str(size), str(seconds)]
    there = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=there)
    clock = threading.Timer(seconds + 30, child.kill)
    clock.start()
    try:
        assert child.stdout is not None
        told = _answer(child.stdout, path)
        arrays = {
            place: _array(child.stdout, kind, shape, told["notes"].get(place, {}), f"{place!r} of {path}", size)
            for place, (kind, shape, wanted) in told["arrays"].items()
            if wanted
        }
    finally:
        clock.cancel()
        child.kill()
        child.communicate()
    return told, arrays


def _answer(out: IO[bytes], path: Path) -> dict[str, Any]:
    """Return the JSON text that the child wrote."""
    length = int.from_bytes(out.read(8), "little")
    text = out.read(min(length, LONGEST_JSON))
    if not length or len(text) < length:
        raise FileError(f"{path} is damaged: the HDF5 library could not get through it, nor say why")
    told = plain(text, f"what was read of {path}")
    if "error" in told:
        raise FileError(f"{path} cannot be read: {told['error']}")
    return told


def _array(out: IO[bytes], kind: str, shape: list[int], notes: Mapping[str, Any], what: str, size: int) -> Array:
    """Return one array that the child wrote."""
    dtype = np.dtype(kind)
    wanted = prod(shape) * dtype.itemsize
    if wanted > MOST_SHRUNK * size + SLACK:
        raise FileError(f"{what} declares {wanted} bytes, and the file has {size}")
    raw = out.read(wanted)
    if len(raw) < wanted:
        raise FileError(f"{what} is damaged: the HDF5 library could not get through it, nor say why")
    array = np.ndarray(tuple(shape), dtype, raw)
    if kind.endswith("V2"):
        if notes.get("dtype") != "bfloat16":
            raise FileError(f"{what} must hold numbers, got {kind}")
        return (array.view("<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype.kind == "f" and dtype.itemsize == 2:
        return array.astype(np.float32)
    return array.astype(dtype.newbyteorder("="))

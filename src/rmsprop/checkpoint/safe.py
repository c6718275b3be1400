"""The project's own file: safetensors, with everything that is not an array as JSON in its header, and a checksum over all of it.

    8 bytes          length of the header
    header           JSON: of each array its dtype, shape and place, and under "__metadata__" the strings
                     format "rmsprop", version, state (JSON: groups, rules, names, counts), sha256
    arrays           named SLOT/PARAMETER; a complex one has a last axis of 2 for its parts

The checksum is that of the file with 64 zeros in its own place. Any reader of safetensors opens such a file. It is written here and
not by safetensors so that the checksum is made on the way, and that a writer that is killed leaves no file that nobody removes.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rmsprop.checkpoint.canonical import Array, Group, Parameter, State
from rmsprop.checkpoint.errors import ConversionError, FileError, missing_extra, unwritten
from rmsprop.files import Draft, replace
from rmsprop.state import axes_of, rule_from

FORMAT, VERSION = "rmsprop", "1"
# What safetensors itself takes for the longest header.
LONGEST_HEADER = 100_000_000
_BLANK = "0" * 64
_PIECE = 1 << 20
_NAMES = {"float32": "F32", "float64": "F64"}


def previous(path: Path) -> Path:
    """Return where the checkpoint is kept that one of this name replaced."""
    return path.with_name(f"{path.name}.previous")


def write(path: Path, state: State) -> None:
    """Write a state so that the file is either the old one or the new one, whole; the old one is kept under `previous(path)`.

    Args:
        path: the file.
        state: what it is to hold.

    Raises:
        SaveError: it cannot be written; the file is as it was.
    """
    arrays = _arrays(state)
    start = _start(state, arrays)
    pieces: list[bytes | memoryview] = [start, *(array.reshape(-1).view(np.uint8).data for array in arrays.values())]
    found = hashlib.sha256()
    try:
        with Draft(path) as draft:
            with open(draft.path, "wb") as file:
                with ThreadPoolExecutor(1) as other:  # the checksum takes as long as the writing, and both leave Python's lock
                    for piece in pieces:
                        other.submit(found.update, piece)
                        file.write(piece)
                file.seek(start.index(_BLANK.encode()))
                file.write(found.hexdigest().encode())
            replace([draft], keep=previous(draft.target))
    except OSError as error:
        raise unwritten(path, error) from error


def read(path: Path, *, allow_nan: bool = False) -> State:
    """Return the state that a file holds, or refuse it.

    Args:
        path: what `write` wrote.
        allow_nan: whether arrays may hold NaN and infinity.

    Raises:
        FileError: it is damaged, incomplete, or of something else; the message names the previous checkpoint where there is one.
        OSError: it cannot be opened.
    """
    try:
        with open(path, "rb") as file, ThreadPoolExecutor(1) as other:
            header, place = _header(file)
            digest = other.submit(_digest, file, place)
            with _safetensors().safe_open(path, framework="np") as arrays:
                found = {name: arrays.get_tensor(name) for name in arrays.keys()}  # noqa: SIM118  # it is no dict
            if digest.result() != header["__metadata__"]["sha256"]:
                raise FileError(f"{path} is damaged: its checksum does not fit its content")
            return _state(header["__metadata__"], found, allow_nan)
    except _safetensors().SafetensorError as error:
        raise FileError(f"{path} is damaged: {error}{_older(path)}") from error
    except ConversionError as error:
        raise FileError(f"{path}: {error}{_older(path)}") from error
    except FileError as error:
        raise FileError(f"{error}{_older(path)}") from None


def _older(path: Path) -> str:
    """Return what a message says of the checkpoint before this one."""
    kept = previous(path)
    return f"; the one before it is {kept}" if kept.exists() else ""


def _safetensors() -> Any:
    """Return the library, or say how to get it."""
    try:
        import safetensors
    except ImportError as error:
        raise missing_extra("safetensors", "'rmsprop[checkpoint]'") from error
    return safetensors


def _arrays(state: State) -> dict[str, Array]:
    """Return a state's arrays by their names in the file, as they lie there: the widest numbers first, so that all are aligned."""
    found = {}
    for p in state.parameters:
        for slot, array in p.slots.items():
            whole = np.stack((array.real, array.imag), -1) if np.iscomplexobj(array) else array
            little = whole.astype(whole.dtype.newbyteorder("<"), copy=False)
            found[f"{slot}/{p.name}"] = np.ascontiguousarray(little).reshape(whole.shape)  # the former makes 0-d arrays 1-d
    return dict(sorted(found.items(), key=lambda item: -item[1].itemsize))


def _start(state: State, arrays: Mapping[str, Array]) -> bytes:
    """Return what stands in a file before its arrays: the length of the header, and the header."""
    header: dict[str, Any] = {"__metadata__": _metadata(state)}
    at = 0
    for name, array in arrays.items():
        header[name] = {"dtype": _NAMES[array.dtype.name], "shape": array.shape, "data_offsets": (at, at + array.nbytes)}
        at += array.nbytes
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    return len(raw).to_bytes(8, "little") + raw


def _metadata(state: State) -> dict[str, str]:
    """Return the strings of the header."""
    groups = [
        {
            "rule": axes_of(group.rule),
            "lr": group.lr,
            "options": dict(group.options),
            "parameters": [
                {"name": p.name, "step": p.step, "slots": {slot: array.dtype.name for slot, array in p.slots.items()}}
                for p in group.parameters
            ],
        }
        for group in state.groups
    ]
    whole = {"origin": state.origin, "skipped": state.skipped, "groups": groups}
    return {"format": FORMAT, "version": VERSION, "sha256": _BLANK, "state": json.dumps(whole, allow_nan=False)}


def _header(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file that is a checkpoint of ours, and where its checksum stands; or refuse it.

    Nothing is taken into memory that the file does not hold.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or not 2 <= length <= min(size - 8, LONGEST_HEADER):
        raise FileError(f"{file.name} is no checkpoint of rmsprop, or was cut short: {size} bytes, with a header of {length}")
    raw = file.read(length)
    header = _json(raw, file.name)
    strings = header.get("__metadata__")
    if not isinstance(strings, dict) or strings.get("format") != FORMAT:
        raise FileError(f"{file.name} holds tensors, but no optimizer state that rmsprop wrote: its header lacks format={FORMAT!r}")
    if strings.get("version") != VERSION:
        raise FileError(
            f"{file.name} has version {strings.get('version')!r}, and this release reads {VERSION!r}; a newer rmsprop wrote it"
        )
    digest = strings.get("sha256")
    if not isinstance(digest, str) or len(digest) != 64 or raw.count(digest.encode()) != 1:
        raise FileError(f"{file.name} is damaged: its checksum is missing")
    return header, 8 + raw.index(digest.encode())


def _digest(file: BinaryIO, place: int) -> str:
    """Return the checksum of a file with zeros in the place of its checksum."""
    found = hashlib.sha256()
    file.seek(0)
    found.update(file.read(place))
    found.update(_BLANK.encode())
    file.seek(place + 64)
    while piece := file.read(_PIECE):
        found.update(piece)
    return found.hexdigest()


def _json(raw: bytes | str, what: str) -> dict[str, Any]:
    """Return a JSON object without repeated keys, NaN or infinity, or refuse it."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands twice")
        return found

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no number")

    try:
        value = json.loads(raw, object_pairs_hook=once, parse_constant=refuse)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is one too
        raise FileError(f"{what} is damaged: its header is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise FileError(f"{what} is damaged: its header is no JSON object")
    return value


def _state(strings: Mapping[str, str], arrays: Mapping[str, Array], allow_nan: bool) -> State:
    """Return the state that the header describes, with its arrays; every array must be one that it names."""
    whole = _json(strings.get("state", ""), "the description of the state")
    unread = set(arrays)

    def array(slot: str, name: str, kind: str) -> Array:
        key = f"{slot}/{name}"
        if key not in unread:
            raise FileError(f"it lacks the array {key!r}, or names it twice")
        unread.remove(key)
        found = arrays[key]
        if not kind.startswith("complex"):
            return found
        if found.shape[-1:] != (2,) or found.dtype.kind != "f":
            raise FileError(f"{key!r} is called complex, and has no pairs of numbers")
        return found.view(np.result_type(found.dtype, np.complex64)).reshape(found.shape[:-1])

    try:
        groups = tuple(
            Group(
                rule_from(group["rule"]),
                None if group["lr"] is None else float(group["lr"]),
                tuple(
                    Parameter(p["name"], p["step"], {slot: array(slot, p["name"], kind) for slot, kind in p["slots"].items()})
                    for p in group["parameters"]
                ),
                dict(group["options"]),
            )
            for group in whole["groups"]
        )
        state = State(groups, int(whole["skipped"]), str(whole["origin"]), allow_nan)
    except FileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ConversionError):
            raise
        raise FileError(f"its description of the state is malformed: {error!r}") from error
    if unread:
        raise FileError(f"it has the array {min(unread)!r}, which its description does not name")
    return state

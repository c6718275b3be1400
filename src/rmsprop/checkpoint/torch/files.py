"""Files of PyTorch's and of Stable-Baselines3's: opened, measured against themselves, loaded, and searched for optimizer state."""

import io
import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from rmsprop.checkpoint.errors import FileError, UsageError
from rmsprop.checkpoint.torch.opcodes import ALONE, LONGEST, Storage, follow

_PIECE = 1 << 20
# A file of releases before 1.6 begins with five pickles, of which one holds the state, and ends with the tensors' memory.
_LEGACY = ("the format's version", "the machine's properties", "the content", "the keys")
_MARK = pickle.dumps(0x1950A86A20F9469CFC6C, 2)  # the pickle before them, by which they are known


def load_file(path: Path) -> Any:
    """Return what `torch.save` wrote to a file, or refuse it; see `load`."""
    return load(path, None)[0]


def load(path: Path, key: str | None) -> tuple[Any, str | None]:
    """Return what `torch.save` wrote to a file, or refuse it.

    No code of the file's is run, and nothing is taken into memory that the file does not hold.

    Args:
        path: what `torch.save` wrote, or a model of Stable-Baselines3's, of which the optimizer's state is loaded.
        key: which of several optimizers.

    Returns:
        The content; and the key, or None where it has served to find the optimizer in the model.

    Raises:
        FileError: it is damaged, or holds what is no number, tensor or container.
        UsageError: a model has several optimizers, and key names none of them.
        OSError: it cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            return _loaded(file, key)
        except FileError as error:
            raise FileError(f"{path}: {error}") from None


def states_in(found: Any) -> dict[str, Mapping[str, Any]]:
    """Return the optimizer states in what was loaded, by where they stand, as in "optimizer" or "optimizer_states.0".

    Args:
        found: a state_dict, or a training checkpoint that has some, at most two levels down.
    """
    return dict(_states(found, "", 3, set()))


def chosen(states: Mapping[str, Mapping[str, Any]], key: str | None, remedy: str) -> Mapping[str, Any]:
    """Return the one state that is meant, or ask which.

    Args:
        states: from `states_in`; there is at least one.
        key: which of them.
        remedy: how a message says to name one.

    Raises:
        UsageError: there are several, or none of that name.
    """
    if key is None and len(states) == 1:
        return next(iter(states.values()))
    if key is None or key not in states:
        if list(states) == [""]:
            raise UsageError(f"there is no optimizer state under {key!r}, but one alone; leave the key out")
        what = "are states of several optimizers" if key is None else f"is no optimizer state under {key!r}"
        raise UsageError(f"there {what}; name one of {', '.join(map(repr, states))}{remedy}")
    return states[key]


def _states(found: Any, place: str, depth: int, seen: set[int]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield optimizer states with their places; no container is looked into twice."""
    if id(found) in seen or not isinstance(found, Mapping | list | tuple):
        return
    seen.add(id(found))
    if isinstance(found, Mapping) and _is_state(found):
        yield place, found
        return
    inner = found.items() if isinstance(found, Mapping) else enumerate(found)
    if depth > 0:
        for key, value in inner:
            yield from _states(value, f"{place}.{key}" if place else str(key), depth - 1, seen)


def _is_state(found: Mapping[Any, Any]) -> bool:
    """Return whether a dict is a state_dict of an optimizer, perhaps flattened."""
    return {"state", "param_groups"} <= found.keys() or any(isinstance(k, str) and k.startswith("param_groups.") for k in found)


def _loaded(file: BinaryIO, key: str | None) -> tuple[Any, str | None]:
    """Return what a file holds, and the key where it is still to be looked up."""
    start = file.read(2)
    file.seek(0)
    if start == b"PK":
        with _archive(file) as archive:
            _check_entries(archive, os.fstat(file.fileno()).st_size)
            inner = _optimizers(archive)
            if inner:
                name = inner[_only(list(inner), key)]
                with io.BytesIO(archive.read(name)) as part, _archive(part) as nested:
                    _check_entries(nested, len(part.getbuffer()))
                    return _torch_zip(part, nested), None
            return _torch_zip(file, archive), key
    if start.startswith(b"\x80"):
        return _torch_legacy(file), key
    raise FileError("it is no file of PyTorch's: torch.save writes zip archives, and wrote pickles before release 1.6")


def _archive(file: BinaryIO | io.BytesIO) -> zipfile.ZipFile:
    """Return a zip archive, whose directory must be the only one that a reader could find."""
    try:
        archive = zipfile.ZipFile(file)
        # PyTorch takes the directory's place from the record at the end, Python from the directory's length.
        file.seek(-22, os.SEEK_END)
        if file.read(4) != b"PK\x05\x06" or archive.start_dir != _directory(file):
            raise FileError("it is damaged: its directory is not where its end says")
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, MemoryError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"it is damaged: it begins as a zip archive and is none ({error})") from None
    return archive


def _directory(file: BinaryIO | io.BytesIO) -> int:
    """Return where an archive's end says that its directory begins."""
    end = file.seek(-22, os.SEEK_END)
    place = int.from_bytes(file.read(22)[16:20], "little")
    if end >= 76:
        file.seek(end - 20)
        if file.read(4) == b"PK\x06\x07":  # an archive of the kind for files beyond 4 GiB has a longer record before it
            file.seek(end - 76)
            record = file.read(56)
            if record[:4] != b"PK\x06\x06":
                return -1
            return int.from_bytes(record[48:56], "little")
    return place


def _check_entries(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse an archive that is damaged, or whose entries take more memory than it does."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    # PyTorch finds names whatever their case, and knows no encodings.
    if len({name.lower() for name in names}) != len(names) or not all(map(str.isascii, names)):
        raise FileError("it has two entries of one name, or a name that is not ASCII")
    for entry in entries:
        if entry.external_attr & 0x10 or entry.is_dir():  # of which PyTorch would take what happens to lie in memory
            raise FileError(f"it is damaged: its entry {entry.filename!r} is called a directory")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise FileError(
                f"its entry {entry.filename!r} is compressed, from {entry.compress_size} bytes to {entry.file_size}, and neither "
                "PyTorch nor Stable-Baselines3 compresses; unpack it and pack it without"
            )
    if (total := sum(entry.file_size for entry in entries)) > size:
        raise FileError(f"it is damaged: its entries have {total} bytes and the file has {size}")
    for entry in entries:
        try:
            with archive.open(entry) as part:  # reading an entry to its end checks its sum, which PyTorch does not do
                while part.read(_PIECE):
                    pass
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
            raise FileError(
                f"it is damaged at {entry.filename!r} ({error}); a file that was written under "
                "torch.serialization.set_crc32_options(False) has no sums, and must be written again without"
            ) from None


def _optimizers(archive: zipfile.ZipFile) -> dict[str, str]:
    """Return the entries with an optimizer's state of a model of Stable-Baselines3's, by their names without suffix."""
    return {name.removesuffix(".pth"): name for name in archive.namelist() if name.endswith("optimizer.pth") and "/" not in name}


def _only(names: list[str], key: str | None) -> str:
    """Return the one of several names that is meant, or ask which."""
    if key is None and len(names) == 1:
        return names[0]
    if key is None or key.removesuffix(".pth") not in names:
        what = "several optimizers" if key is None else f"no {key!r}"
        raise UsageError(f"there are {what}; name one of {', '.join(map(repr, names))}, as key= or --key")
    return key.removesuffix(".pth")


def _torch_zip(file: BinaryIO | io.BytesIO, archive: zipfile.ZipFile) -> Any:
    """Return what is in an archive that `torch.save` wrote."""
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    pickles = [name for name in sizes if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise FileError("it is a zip archive, and neither one of torch.save nor a model of Stable-Baselines3's with an optimizer")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in sizes:
        raise FileError(f"it is a program of TorchScript's; {ALONE}")
    if sizes[pickles[0]] > LONGEST:
        raise FileError(f"its list of content has {sizes[pickles[0]]} bytes, and {LONGEST} are read at most; {ALONE}")

    def held(key: str) -> int:
        if f"{folder}data/{key}" not in sizes:
            raise FileError(f"it is damaged: it lacks the tensor memory {key!r}")
        return sizes[f"{folder}data/{key}"]

    follow(io.BytesIO(archive.read(pickles[0])), held)
    return _torch_load(file)


def _torch_legacy(file: BinaryIO) -> Any:
    """Return what is in a file that `torch.save` wrote in its format of old."""
    size = os.fstat(file.fileno()).st_size
    head = io.BytesIO(file.read(LONGEST))
    if head.read(len(_MARK)) != _MARK:
        raise FileError(
            "it is a pickle, and none of torch.save's; pickles run what they hold, and no other is read; write one by "
            "rmsprop.checkpoint.save(path, optimizer)"
        )
    storages: dict[str, Storage] = {}
    for part in _LEGACY:
        try:
            storages |= follow(head, lambda key: size)
        except FileError as error:
            raise FileError(f"{part}: {error}") from None
    needed = sum(8 + storage.nbytes for storage in storages.values())
    if head.tell() + needed > size:
        raise FileError(f"it declares {needed} bytes of tensors, and has {size - head.tell()}; it was cut short or changed")
    return _torch_load(file)


def _torch_load(file: BinaryIO | io.BytesIO) -> Any:
    """Return what a file holds that was followed beforehand."""
    file.seek(0)
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=False)
    except Exception as error:  # what a damaged file makes PyTorch raise is of no one kind
        raise FileError(f"PyTorch cannot read it: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from None

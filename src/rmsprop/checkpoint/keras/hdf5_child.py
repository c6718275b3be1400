"""What looks into an HDF5 file, in a process of its own: damaged data brings down or hangs the library that reads it.

Run as a script with the file, the archive's member that is to be read ("" where it is no archive), the most bytes that its
arrays may have, and the seconds it may take. It writes the length of a JSON text in 8 bytes, the text, and the arrays that it names
one after the other. Only NumPy and h5py are needed.
"""

import io
import json
import sys
import zipfile
from typing import Any, BinaryIO

import h5py
import numpy as np

# Of these groups the numbers are wanted, of others only names and shapes.
WANTED = ("optimizer/", "optimizer_weights/")
NOTES = ("name", "dtype", "backend", "keras_version", "model_config", "training_config", "layer_names", "weight_names")
# Keras nests layers in layers; nobody has a model of this many arrays or levels.
MOST_OBJECTS, DEEPEST, MOST_PARTS = 200_000, 64, 1000
# A filter may shrink an array this much: zeros under gzip shrink a thousandfold, trained numbers by a third.
MOST_SHRUNK, SLACK = 100, 1 << 20
_MEMORY = 2 << 30


class RefusedError(ValueError):
    """A file that is not read; the message says why."""


def look(file: BinaryIO, size: int) -> tuple[dict[str, Any], list[Any]]:
    """Return what a file holds: attributes of groups, dtypes and shapes of arrays, and those arrays whose numbers are wanted.

    Args:
        file: an HDF5 file.
        size: how many bytes it has.

    Raises:
        RefusedError: it has links, virtual or external arrays, or declares more than it holds.
        Exception: of whatever kind h5py raises; it is damaged.
    """
    notes: dict[str, dict[str, Any]] = {}
    shapes: dict[str, Any] = {}
    arrays: list[Any] = []
    seen: set[Any] = set()
    stored = unpacked = 0

    def note(path: str, item: Any) -> None:
        kept = {name: _text(item.attrs, name) for name in item.attrs if name.rstrip("0123456789") in NOTES}
        if kept:
            notes[path] = kept

    def visit(group: Any, path: str, depth: int) -> None:
        nonlocal stored, unpacked
        note(path, group)
        for name in group:
            place = f"{path}{name}"
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise RefusedError(f"{place!r} is a {type(link).__name__}, which is not followed")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise RefusedError(f"{place!r} stands under two names")
            seen.add(address)
            if len(seen) > MOST_OBJECTS or depth > DEEPEST:
                raise RefusedError(f"it has more than {MOST_OBJECTS} objects, or more than {DEEPEST} levels")
            if isinstance(item, h5py.Group):
                visit(item, f"{place}/", depth + 1)
            elif isinstance(item, h5py.Dataset):
                stored, unpacked = stored + _stored(item, place, size), unpacked + item.nbytes
                if stored > size or unpacked > MOST_SHRUNK * size + SLACK:
                    raise RefusedError(f"up to {place!r} it declares {unpacked} bytes, and the file has {size}")
                note(place, item)
                shapes[place] = [item.dtype.str, list(item.shape), place.startswith(WANTED)]
                if place.startswith(WANTED):
                    arrays.append(np.ascontiguousarray(item[()]))
            else:
                raise RefusedError(f"{place!r} is neither a group nor an array")

    with h5py.File(file, "r") as root:
        visit(root, "", 0)
    return {"notes": notes, "arrays": shapes}, arrays


def _stored(item: Any, place: str, size: int) -> int:
    """Return the bytes that an array has in the file, or refuse what they become."""
    if item.is_virtual or item.external:
        raise RefusedError(f"{place!r} keeps its numbers in other files")
    # V2 is what bfloat16 is kept as.
    if (item.dtype.kind not in "biufc" and item.dtype != np.dtype("V2")) or item.shape is None:
        raise RefusedError(f"{place!r} must hold numbers, got {item.dtype}")
    there = int(item.id.get_storage_size())
    packed = item.id.get_create_plist().get_nfilters() > 0
    most = MOST_SHRUNK * there + SLACK if packed else there
    if item.nbytes > most or there > size:
        raise RefusedError(
            f"{place!r} declares {item.nbytes} bytes, and {there} are there"
            + ("; pack it less, as with h5repack -f NONE" if packed else "")
        )
    return there


def _text(attributes: Any, name: str) -> Any:
    """Return an attribute that is text, or a list of texts."""
    value = attributes[name]
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return value
    if (
        isinstance(value, np.ndarray)
        and value.ndim == 1
        and value.dtype.kind in "SOUf"
        and (value.dtype.kind != "f" or not value.size)
    ):
        return [part.decode() if isinstance(part, bytes) else str(part) for part in value.tolist()]
    raise RefusedError(f"the attribute {name!r} must be text, got {type(value).__name__}")


def answer(file: BinaryIO, size: int) -> tuple[dict[str, Any], list[Any]]:
    """Return what `look` does; what is wrong with the file stands under "error"."""
    try:
        return look(file, size)
    except RefusedError as error:
        return {"error": str(error)}, []
    except MemoryError:
        return {"error": "it needs more memory than a file of its size may"}, []
    except Exception as error:
        return {"error": f"it is damaged: {error}"}, []


def limit(size: int, seconds: int) -> None:
    """Bound the memory and the time of this process."""
    try:
        import resource
    except ImportError:  # not on Windows, where the caller's clock alone holds
        return
    memory = _MEMORY + 4 * size
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(path: str, member: str, most: str, seconds: str) -> None:
    """Write what a file holds to the standard output."""
    limit(int(most), int(seconds))
    with open(path, "rb") as file:
        if not member:
            told, arrays = answer(file, file.seek(0, io.SEEK_END))
        else:
            with zipfile.ZipFile(file) as archive, archive.open(member) as inner:
                content = inner.read(int(most) + 1)
            told, arrays = answer(io.BytesIO(content), len(content))
    text = json.dumps(told).encode()
    out = sys.stdout.buffer
    out.write(len(text).to_bytes(8, "little") + text)
    for array in arrays:
        out.write(array.tobytes())
    out.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Files of PyTorch's made to take memory or time, or to mean two things: each an error that says why."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rmsprop.checkpoint import ConversionError, FileError, load
from rmsprop.checkpoint.torch import load_file
from tests.checkpoint.torches import saved, trained


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.pt"


def archive(*entries: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as made:
        for name, content in entries:
            made.writestr(name, content)
    return stream.getvalue()


def repacked(change: Callable[[bytes], bytes] = lambda content: content, content: Any = None, **options: Any) -> bytes:
    """Return a file whose pickle was changed, with the right sums."""
    with zipfile.ZipFile(io.BytesIO(saved(content))) as made:
        entries = [(name, made.read(name)) for name in made.namelist()]
    return archive(*((name, change(raw) if name.endswith("data.pkl") else raw) for name, raw in entries), **options)


def swapped(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(raw: bytes) -> bytes:
        assert old in raw
        return raw.replace(old, new, 1)

    return change


class Made:
    """Is pickled as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def pickled(*opcodes: bytes) -> bytes:
    """Return a file with a pickle of opcodes."""
    return repacked(lambda raw: b"\x80\x02" + b"".join(opcodes) + b".")


ONE = {"x": torch.ones(3)}
# The 3 elements of the memory, and the size and stride of the tensor, in opcodes.
NUMEL, SIZE, STRIDE = b"K\x03tq\x07Q", b"K\x03\x85q\x08", b"K\x01\x85q\x09"


def nested(times: int) -> bytes:
    """Return opcodes for a tuple in a tuple ... each twice: 2ⁿ values in n bytes."""
    return b")" + b"".join(b"q%ch%c\x86" % (k, k) for k in range(times))


def other_directory() -> bytes:
    """Return an archive in which the end names another directory than the one before it."""
    good, bad = saved(ONE), repacked(content={"y": Made(bytearray, 2**40)})
    return bad + good


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "memory of petabytes": (
        lambda: repacked(swapped(NUMEL, b"\x8a\x08" + (2**50).to_bytes(8, "little") + NUMEL[2:]), ONE),
        r"declares 4503599627370496 bytes for tensor memory '0' and holds 12",
    ),
    "a little too much memory": (lambda: repacked(swapped(NUMEL, b"K\x04" + NUMEL[2:]), ONE), "declares 16 bytes .* and holds 12"),
    "memory that is not there": (
        lambda: repacked(swapped(b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x007"), ONE),
        "lacks the tensor memory '7'",
    ),
    "a tensor of petabytes": (
        lambda: repacked(swapped(SIZE, b"\x8a\x08" + (2**50).to_bytes(8, "little") + SIZE[2:]), ONE),
        r"declares a tensor of size \(1125899906842624,\), with strides \(1,\), in a memory of 3 elements",
    ),
    "a stride of petabytes": (
        lambda: repacked(swapped(STRIDE, b"\x8a\x08" + (2**50).to_bytes(8, "little") + STRIDE[2:]), ONE),
        "with strides .* in a memory of 3 elements",
    ),
    "an offset": (lambda: repacked(swapped(b"QK\x00", b"QK\x01"), ONE), "in a memory of 3 elements"),
    "a size below 0": (lambda: repacked(swapped(SIZE, b"J\xff\xff\xff\xff" + SIZE[2:]), ONE), "malformed"),
    "bytes": (lambda: saved({"x": Made(bytearray, 2**45)}), r"holds builtins\.bytearray"),
    "a tensor of numbers": (lambda: saved({"x": Made(torch.FloatTensor, 2**40)}), r"holds torch\.FloatTensor"),
    "a call of a dtype": (
        lambda: repacked(swapped(b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n"), ONE),
        "calls torch.FloatS",
    ),
    "sparse": (lambda: saved({"x": torch.eye(3).to_sparse()}), r"holds torch\._utils\._rebuild_sparse_tensor"),
    "meta": (lambda: saved({"x": torch.ones(3, device="meta")}), r"holds torch\._utils\._rebuild_meta_tensor_no_storage"),
    "an object": (lambda: saved({"x": torch.nn.Linear(1, 1)}), r"holds torch\.nn\.modules\.linear\.Linear"),
    "a number of NumPy's": (lambda: saved({"x": __import__("numpy").float64(1.0)}), r"holds numpy\._core\.multiarray\.scalar"),
    "shards": (
        lambda: repacked(swapped(b"ccollections\nOrderedDict\n", b"ctorch.distributed.tensor\nDTensor\n"), ONE),
        "shards of a distributed run; .*full_state_dict=True",
    ),
    "a set": (lambda: saved({"x": {1, 2}}), r"holds builtins\.set"),
    "codecs": (
        lambda: saved({"x": Made(__import__("codecs").encode, "a" * 9, "utf-32")}),
        r"calls _codecs\.encode with \('utf-32',\)",
    ),
    "attributes": (lambda: saved(with_attribute()), "it sets attributes of an object"),
    "keys that are deep": (lambda: pickled(b"}", nested(40), b"Ns"), "keys other than words and numbers"),
    "keys over and over": (
        lambda: pickled(b"}q\xff(", b"K\x01" * 20000, b"tq\xfe", b"Ns" + b"h\xfeNs" * 2000),
        "repeats itself without end",
    ),
    "keys that collide": (
        lambda: pickled(b"}\x8a\x08" + (2**61 - 1).to_bytes(8, "little"), b"Ns"),
        "has the key 2305843009213693951",
    ),
    "keys that are lists": (lambda: pickled(b"}]Ns"), "keys other than words"),
    "another protocol": (lambda: repacked(lambda raw: b"\x80\x04" + raw[2:]), "has PROTO 4, which torch.save does not write"),
    "an opcode of old": (lambda: pickled(b"I1\n"), "has INT"),
    "no end": (lambda: repacked(lambda raw: raw[:-1]), "malformed or cut short"),
    "nothing to pop": (lambda: pickled(b"\x85"), "malformed"),
    "an unknown place": (lambda: pickled(b"h\x07"), "malformed"),
    "compressed": (lambda: repacked(compression=zipfile.ZIP_DEFLATED), "is compressed, from .* and neither"),
    "numbers that are called a directory": (lambda: called_directory(), "'archive/data/1' is called a directory"),
    "one name twice": (lambda: archive(("a/data.pkl", b"x"), ("a/DATA.pkl", b"y")), "two entries of one name"),
    "a name beyond ASCII": (lambda: archive(("a/data.pkl", b"x"), ("a/ü", b"y")), "a name that is not ASCII"),
    "two directories": (other_directory, "directory is not where its end says"),
    "a comment": (lambda: commented(), "directory is not where its end says"),
    "another archive": (lambda: archive(("a.txt", b"x")), "neither one of torch.save nor a model"),
    "a program": (lambda: archive(("a/data.pkl", b"x"), ("a/constants.pkl", b"y")), "is a program of TorchScript's"),
    "entries that overlap": (lambda: overlapping(), "is damaged"),
    "changed numbers": (lambda: flipped(), "is damaged at 'archive/data/1' .*set_crc32_options"),
    "no zip": (lambda: b"PK\x03\x04" + b"\x00" * 40, "begins as a zip archive and is none"),
    "memory of petabytes, of old": (
        lambda: saved(ONE, zipped=False).replace(b"K\x03N", b"\x8a\x06\x00\x00\x00\x00\x00\x40N", 1),
        r"declares .* bytes for tensor memory|declares .* bytes of tensors",
    ),
    "memory twice, of old": (lambda: saved(ONE, zipped=False)[:-12], "declares 20 bytes of tensors, and has 8"),
    "some other pickle": (
        lambda: pickle.dumps({"state": 1}, 2),
        "it is a pickle, and none of torch.save's; pickles run what they hold, and no other is read",
    ),
}


def with_attribute() -> Any:
    found = OrderedDict(a=1)
    found.mine = 3  # type: ignore[attr-defined]
    return found


def called_directory() -> bytes:
    """Return an archive whose directory gives a tensor's memory the attribute of a directory, of which PyTorch reads nothing."""
    raw = bytearray(saved())
    raw[raw.rindex(b"archive/data/1") - 8] |= 0x10
    return bytes(raw)


def commented() -> bytes:
    stream = io.BytesIO(saved(ONE))
    with zipfile.ZipFile(stream, "a") as made:
        made.comment = b"PK\x05\x06" + b"\x00" * 18
    return stream.getvalue()


def overlapping() -> bytes:
    """Return an archive whose directory names one entry many times."""
    raw = archive(*((f"a/data/{k}", b"x" * 1000) for k in range(1, 3)))
    at = raw.rindex(b"PK\x01\x02")
    first = raw.index(b"PK\x01\x02")
    entry = bytearray(raw[first:at])
    entries = b"".join(bytes(entry).replace(b"a/data/1", b"a/data/%c" % (65 + k)) for k in range(20))
    start = raw[:first]
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 20, 20, len(entries), len(start), 0)
    return start + entries + end


def flipped() -> bytes:
    raw = bytearray(saved())
    with zipfile.ZipFile(io.BytesIO(bytes(raw))) as made:
        at = made.getinfo("archive/data/1")
        content = made.read(at)
    raw[raw.index(content)] ^= 1
    return bytes(raw)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(name: str, path: Path) -> None:
    make, message = HOSTILE[name]
    path.write_bytes(make())
    with pytest.raises(FileError, match=message) as caught:
        load(path, kind="pytorch")
    assert str(caught.value).startswith(str(path))


def test_a_call_of_what_is_copied_over_and_over_is_refused(path: Path) -> None:
    large = b"}(" + b"".join(b"M" + struct.pack("<H", k) + b"N" for k in range(20000)) + b"u\x85"
    call = b"ccollections\nCounter\n"
    path.write_bytes(pickled(b"](", call, large, b"q\xfeR", (call + b"h\xfeR") * 2000, b"e"))
    with pytest.raises(FileError, match="repeats itself without end"):
        load_file(path)


def test_one_tensor_for_many_parameters_is_refused(path: Path) -> None:
    content = trained("pytorch")[1].state_dict()
    one = torch.ones(1000)
    content["state"] = {k: {"step": 1, "square_avg": one} for k in range(1000)}
    content["param_groups"][0]["params"] = list(range(1000))
    path.write_bytes(saved(content))
    with pytest.raises(ConversionError, match=r"fewer numbers in memory than its shape \(1000,\) has, or shares them"):
        load(path)
    content["state"] = {0: {"step": 1, "square_avg": torch.ones(1).expand(2**50)}}
    path.write_bytes(saved(content))
    with pytest.raises(ConversionError, match="fewer numbers in memory"):
        load(path)


def test_values_that_hold_themselves_over_and_over_are_refused(path: Path) -> None:
    content = trained("pytorch")[1].state_dict()
    deep: Any = []
    for _ in range(60):
        deep = [deep, deep]
    wide: Any = [[0] * 100] * 100
    wide = [wide] * 100
    for value in (deep, wide):
        content["param_groups"][0]["mine"] = value
        path.write_bytes(saved(content))
        with pytest.raises(ConversionError, match=r"'mine' of group 0 is a .* that is no plain value"):
            load(path)
        content["param_groups"][0]["mine"] = None
        path.write_bytes(saved({"optimizer": content, "mine": value}))
        load(path)
        content["param_groups"][0]["alpha"] = value
        path.write_bytes(saved(content))
        with pytest.raises(ConversionError, match="'alpha' of group 0 must be a number, got a list"):
            load(path)
        content["param_groups"][0]["alpha"] = 0.9


def test_a_container_is_looked_into_once(path: Path) -> None:
    # Else this would be gone through 10¹² times.
    wide: Any = [[[1] * 2] * 10**4] * 10**4
    path.write_bytes(saved({"many": dict.fromkeys(range(10**4), wide), "optimizer": trained("pytorch")[1].state_dict()}))
    assert load(path).names == ("0", "1", "2")


def test_pytorch_itself_is_told_to_run_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    whole = torch.load
    monkeypatch.setattr(torch, "load", lambda file, **said: (told.update(said), whole(file, **said))[1])
    path.write_bytes(saved())
    load(path)
    assert told == {"map_location": "cpu", "weights_only": True, "mmap": False}


def test_what_is_no_file_of_pytorchs_says_so(path: Path) -> None:
    for content, message in (
        (torch.ones(3), "holds no optimizer state but a Tensor"),
        ({"model": 1}, "no optimizer state but 'model'"),
    ):
        path.write_bytes(saved(content))
        with pytest.raises(FileError, match=message):
            load(path)
    path.write_bytes(b"text")
    with pytest.raises(FileError, match=r"torch\.save writes zip archives"):
        load(path, kind="pytorch")
    with pytest.raises(FileError, match="cannot read"):
        load(path.parent, kind="pytorch")

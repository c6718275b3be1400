"""The project's own file: what comes back, and what a damaged or hostile file gets."""

import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import rmsprop
from rmsprop.checkpoint import FileError, Group, Parameter, State, capture, load, restore, save
from rmsprop.checkpoint.safe import previous
from tests.cases import RULES
from tests.checkpoint.harness import assert_same, trained


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.safetensors"


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "complex64", "complex128"])
@pytest.mark.parametrize("name", RULES)
def test_comes_back_to_the_last_bit(path: Path, name: str, dtype: str) -> None:
    optimizer = trained(RULES[name], dtype)
    save(path, optimizer)
    assert_same(load(path), capture(optimizer))
    assert load(path).groups[0].rule.name == RULES[name].name


@pytest.mark.parametrize("name", ["tf1", "everything"])
def test_goes_on_to_the_last_bit(path: Path, name: str) -> None:
    first, second = trained(RULES[name]), trained(RULES["article"], steps=0, lr=0.5)
    save(path, first)
    restore(second, load(path))
    p, q = (list(one._parameters.arrays) for one in (first, second))
    for a, b in zip(p, q, strict=True):
        b[...] = a
    for _ in range(5):
        first.step({name: np.cos(a) for name, a in zip(("matrix", "scalar", "empty", "one"), p, strict=True)})
        second.step({name: np.cos(a) for name, a in zip(("matrix", "scalar", "empty", "one"), q, strict=True)})
    assert all(a.tobytes() == b.tobytes() for a, b in zip(p, q, strict=True))
    assert_same(capture(first), capture(second))


def test_any_reader_of_safetensors_opens_it(path: Path) -> None:
    optimizer = trained(RULES["centered, momentum"])
    save(path, optimizer)
    found = safetensors.numpy.load_file(path)
    assert sorted(found) == sorted(f"{slot}/{name}" for slot, arrays in optimizer.state.items() for name in arrays)
    assert (found["grad_avg/matrix"] == optimizer.state["grad_avg"]["matrix"]).all()


def test_keeps_layouts_and_views(path: Path) -> None:
    v = np.asfortranarray(np.arange(12.0).reshape(3, 4))[::2, ::-1]
    state = State(
        (Group(rmsprop.Rule(), 0.1, (Parameter("a/b c.ü", 2, {"square_avg": v, "ema": -v}),), {"max_norm": 1.0}),), 3, "x"
    )
    save(path, state)
    assert_same(load(path), state)


def test_keeps_the_one_before(path: Path) -> None:
    optimizer = trained(RULES["article"])
    save(path, optimizer)
    first = path.read_bytes()
    assert not previous(path).exists()
    optimizer.step({name: None if name == "one" else a for name, a in optimizer.state["square_avg"].items()})
    save(path, optimizer)
    assert previous(path).read_bytes() == first != path.read_bytes()
    save(path, optimizer)
    assert load(previous(path)).groups[0].parameters[0].step == 4
    assert sorted(one.name for one in path.parent.iterdir()) == [path.name, previous(path).name]


def test_names_the_one_before_when_it_is_damaged(path: Path) -> None:
    save(path, trained(RULES["article"]))
    save(path, trained(RULES["article"]))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"damaged: its checksum.*the one before it is .*run\.safetensors\.previous"):
        load(path)


def test_follows_a_link(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "real")
    save(path, trained(RULES["article"]))
    assert path.is_symlink()
    assert_same(load(tmp_path / "real"), load(path))


def test_not_a_number_is_neither_written_nor_read(path: Path) -> None:
    optimizer = trained(RULES["article"])
    save(path, optimizer)
    before = path.read_bytes()
    optimizer.step({name: np.full_like(a, np.nan) for name, a in optimizer.state["square_avg"].items()})
    with pytest.raises(
        rmsprop.checkpoint.ConversionError, match=r"'square_avg' of parameter 'matrix' is not finite.*allow_nan=True"
    ):
        save(path, optimizer)
    assert path.read_bytes() == before
    save(path, optimizer, allow_nan=True)
    with pytest.raises(FileError, match="not finite"):
        load(path)
    assert np.isnan(next(load(path, allow_nan=True).parameters).slots["square_avg"]).all()


# From here on: files that nobody wrote. `forged` gives each a right checksum, so that only the reader's own checks are left.


def forged(path: Path, header: Any, data: bytes = b"") -> None:
    """Write a safetensors file with a header of one's own, and the checksum that it should have."""
    from rmsprop.checkpoint.safe import _digest

    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    blank = b"0" * 64
    if blank in raw:
        with open(path, "rb") as file:
            digest = _digest(file, 8 + raw.index(blank)).encode()
        path.write_bytes(path.read_bytes().replace(blank, digest))


def described(**changes: Any) -> dict[str, str]:
    """Return the strings of a header for one parameter "w" of two numbers, with changes to the description."""
    p = {"name": "w", "step": 1, "slots": {"square_avg": "float32"}}
    group = {"rule": rmsprop.state.axes_of(rmsprop.Rule()), "lr": 0.1, "options": {}, "parameters": [p]}
    for key, value in changes.items():
        (p if key in p else group)[key] = value
    whole = {"origin": "test", "skipped": 0, "groups": [group]}
    return {"format": "rmsprop", "version": "1", "sha256": "0" * 64, "state": json.dumps(whole)}


V = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
ONES = np.ones(2, np.float32).tobytes()


def test_a_forged_file_without_a_fault_is_read(path: Path) -> None:
    forged(path, {"__metadata__": described(), "square_avg/w": V}, ONES)
    assert load(path).names == ("w",)


NAN = np.array([np.nan, 1], np.float32).tobytes()
MANY = {"dtype": "F32", "shape": [2**50], "data_offsets": [0, 2**52]}
HOSTILE: dict[str, tuple[Any, bytes, str]] = {
    "a petabyte": ({"__metadata__": described(), "square_avg/w": MANY}, ONES, "damaged"),
    "a petabyte of nothing": ({"__metadata__": described(), "square_avg/w": {**V, "shape": [2**50, 0, 2]}}, ONES, "damaged"),
    "a shape that overflows": ({"__metadata__": described(), "square_avg/w": {**V, "shape": [2**33, 2**33]}}, ONES, "damaged"),
    "a negative shape": ({"__metadata__": described(), "square_avg/w": {**V, "shape": [-2]}}, ONES, "damaged"),
    "a negative offset": ({"__metadata__": described(), "square_avg/w": {**V, "data_offsets": [-8, 8]}}, ONES, "damaged"),
    "overlapping arrays": ({"__metadata__": described(), "square_avg/w": V, "ema/w": V}, ONES, "damaged"),
    "a gap": ({"__metadata__": described(), "square_avg/w": {**V, "data_offsets": [8, 16]}}, ONES * 2, "damaged"),
    "bytes behind the end": ({"__metadata__": described(), "square_avg/w": V}, ONES + b"more", "damaged"),
    "too few bytes": ({"__metadata__": described(), "square_avg/w": V}, ONES[:-1], "damaged"),
    "an unknown dtype": ({"__metadata__": described(), "square_avg/w": {**V, "dtype": "PICKLE"}}, ONES, "damaged"),
    "integers": ({"__metadata__": described(), "square_avg/w": {**V, "dtype": "I32"}}, ONES, "must be one of float32"),
    "sixteen bits": (
        {"__metadata__": described(), "square_avg/w": {**V, "dtype": "F16", "shape": [4]}},
        ONES,
        "must be one of float32",
    ),
    "NaN": ({"__metadata__": described(), "square_avg/w": V}, NAN, "not finite"),
    "a negative mean of squares": (
        {"__metadata__": described(), "square_avg/w": V},
        (-np.ones(2, np.float32)).tobytes(),
        "negative",
    ),
    "an array that is not named": (
        {"__metadata__": described(), "square_avg/w": V, "x": {**V, "data_offsets": [8, 16]}},
        ONES * 2,
        "'x'",
    ),
    "an array that is not there": ({"__metadata__": described()}, b"", "lacks the array 'square_avg/w'"),
    "an array named twice": (
        {
            "__metadata__": described(parameters=[{"name": "w", "step": 1, "slots": {"square_avg": "float32"}}] * 2),
            "square_avg/w": V,
        },
        ONES,
        "twice",
    ),
    "a slot of another optimizer": (
        {"__metadata__": described(slots={"exp_avg": "float32"}), "exp_avg/w": V},
        ONES,
        "must have square_avg",
    ),
    "a slot that is missing": (
        {"__metadata__": described(rule={**rmsprop.state.axes_of(rmsprop.Rule()), "momentum": 0.9}), "square_avg/w": V},
        ONES,
        "must have square_avg, momentum_buffer",
    ),
    "a decay of 2": (
        {"__metadata__": described(rule={**rmsprop.state.axes_of(rmsprop.Rule()), "decay": 2.0}), "square_avg/w": V},
        ONES,
        "decay must be in",
    ),
    "no rule": ({"__metadata__": described(rule={}), "square_avg/w": V}, ONES, "malformed"),
    "a count of -1": ({"__metadata__": described(step=-1), "square_avg/w": V}, ONES, "at least 0"),
    "a count that is none": ({"__metadata__": described(step="7"), "square_avg/w": V}, ONES, "at least 0"),
    "a learning rate that is none": ({"__metadata__": described(lr="x"), "square_avg/w": V}, ONES, "malformed"),
    "a negative learning rate": ({"__metadata__": described(lr=-1.0), "square_avg/w": V}, ONES, "lr must be in"),
    "a name that is none": ({"__metadata__": described(name=[]), "square_avg/w": V}, ONES, "malformed|lacks"),
    "no description": ({"__metadata__": {**described(), "state": "[]"}, "square_avg/w": V}, ONES, "no JSON object"),
    "a newer version": ({"__metadata__": {**described(), "version": "2"}, "square_avg/w": V}, ONES, "newer rmsprop"),
    "somebody else's tensors": ({"square_avg/w": V}, ONES, "no optimizer state that rmsprop wrote"),
    "no checksum": ({"__metadata__": {**described(), "sha256": ""}, "square_avg/w": V}, ONES, "checksum is missing"),
    "a header of brackets": (b'{"a":' + b"[" * 200_000, b"", "not JSON"),
    "a header that is no text": (b'{"\xff\xfe": 1}', b"", "not JSON"),
    "a number of a million digits": (b'{"a": ' + b"9" * 1_000_000 + b"}", b"", "not JSON"),
    "infinity": (b'{"a": Infinity}', b"", "not JSON"),
    "a key twice": (b'{"a": 1, "a": 1}', b"", "not JSON.*twice"),
    "a list": (b"{}[]", b"", "not JSON"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused(path: Path, name: str) -> None:
    header, data, message = HOSTILE[name]
    forged(path, header, data)
    tracemalloc.start()
    with pytest.raises(FileError, match=message):
        load(path, kind="rmsprop")
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**62, 2**64 - 1])
def test_a_header_length_that_the_file_does_not_have_is_refused(path: Path, length: int) -> None:
    path.write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(FileError, match="cut short"):
        load(path)


def test_every_truncation_is_refused(path: Path) -> None:
    save(path, trained(RULES["momentum"]))
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(FileError):
            load(path, kind="rmsprop")


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    save(path, trained(RULES["momentum"]))
    content = path.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(changed)
        with pytest.raises(FileError):
            load(path, kind="rmsprop")


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with some bytes changed, taken out, put in or repeated."""
    out = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at, length = int(rng.integers(0, len(out) + 1)), int(rng.integers(1, 17))
        match rng.integers(0, 4):
            case 0:
                out[at : at + length] = rng.bytes(len(out[at : at + length]))
            case 1:
                del out[at : at + length]
            case 2:
                out[at:at] = rng.bytes(length)
            case _:
                out[at:at] = out[at : at + length]
    return bytes(out)


def mutations(path: Path, count: int, seed: int) -> None:
    """Read a file in many damaged forms; half of them with a checksum made right, so that what is behind it is reached."""
    optimizer = trained(RULES["momentum"])
    save(path, optimizer)
    whole, before = capture(optimizer), path.read_bytes()
    blank = before.replace(
        json.loads(before[8 : 8 + int.from_bytes(before[:8], "little")])["__metadata__"]["sha256"].encode(), b"0" * 64
    )
    rng = np.random.default_rng(seed)
    target, read = trained(RULES["article"], steps=1), 0
    untouched = capture(target)
    for k in range(count):
        if k % 2:
            path.write_bytes(mutate(before, rng))
        else:
            changed = mutate(blank, rng)
            length = int.from_bytes(changed[:8], "little")
            forged(path, changed[8 : 8 + length] if length < len(changed) else changed[8:], changed[8 + length :])
        try:
            found = load(path, kind="rmsprop")
        except FileError:
            continue
        read += 1
        if k % 2:
            assert_same(found, whole)  # what was changed was put back
        else:
            with_values = [np.isfinite(a).all() for p in found.parameters for a in p.slots.values()]
            assert all(with_values)
    assert_same(capture(target), untouched)
    assert read < count


def test_mutations_are_refused(path: Path) -> None:
    mutations(path, 4_000, 1)


@pytest.mark.slow
def test_a_hundred_thousand_mutations_are_refused(path: Path) -> None:
    mutations(path, 100_000, 2)

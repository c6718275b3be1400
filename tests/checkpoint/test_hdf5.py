"""Hostile and damaged files of Keras: what they declare, where they point, and bytes that bring down the HDF5 library."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import rmsprop
from rmsprop.checkpoint import ConversionError, FileError, State, UsageError, capture, load, save
from rmsprop.checkpoint.errors import CheckpointError
from tests.checkpoint.harness import assert_bits, assert_same

V = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)


def weights(change: Callable[[Any], None] | None = None) -> bytes:
    """Return a .weights.h5 file of one layer and its optimizer, with a change."""
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        layer = file.create_group("layers/dense/vars")
        layer.attrs["name"] = "dense"
        layer["0"], layer["1"] = V, V[0]
        optimizer = file.create_group("optimizer/vars")
        optimizer.attrs["name"] = "rm_sprop"
        for k, value in enumerate((np.int32(7), np.float32(0.5), V, V[0])):
            optimizer[str(k)] = value
        if change is not None:
            change(file)
    return out.getvalue()


def archived(content: bytes, config: bytes | None = None, **options: Any) -> bytes:
    """Return a .keras file."""
    told = {
        "class_name": "Sequential",
        "config": {"name": "s", "layers": []},
        "compile_config": {
            "optimizer": {
                "module": "keras.optimizers",
                "class_name": "RMSprop",
                "config": {
                    "name": "rm_sprop",
                    "learning_rate": 0.5,
                    "rho": 0.9,
                    "momentum": 0.0,
                    "epsilon": 1e-7,
                    "centered": False,
                },
                "registered_name": "RMSprop",
            }
        },
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps(told).encode() if config is None else config)
        archive.writestr("model.weights.h5", content)
    return out.getvalue()


def read(path: Path) -> State:
    return load(path) if path.suffix == ".keras" else load(path, kind="keras")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.weights.h5"


def test_a_file_without_a_fault_is_read(path: Path, tmp_path: Path) -> None:
    path.write_bytes(weights())
    state = read(path)
    assert ({p.step for p in state.parameters}, state.groups[0].lr) == ({7}, 0.5)
    (tmp_path / "m.keras").write_bytes(archived(weights()))
    assert [p.shape for p in read(tmp_path / "m.keras").parameters] == [(3, 4), (4,)]


def replaced(name: str, **options: Any) -> Callable[[Any], None]:
    """Return a change that puts another array in the place of one."""

    def change(file: Any) -> None:
        del file[name]
        file.create_dataset(name, **options)

    return change


def linked(link: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file["optimizer/vars/2"]
        file["optimizer/vars/2"] = link

    return change


def nested(file: Any) -> None:
    file.create_group("layers/" + "/".join("x" * 100))


HUGE = (2**40, 2**10)
HOSTILE: dict[str, tuple[Callable[[Any], None], str]] = {
    "a petabyte of nothing": (replaced("optimizer/vars/2", shape=HUGE, dtype="f4", chunks=(1024, 1024)), "declares"),
    "a petabyte beside the optimizer": (replaced("layers/dense/vars/0", shape=HUGE, dtype="f4", chunks=(1024, 1024)), "declares"),
    "zeros that inflate": (
        replaced("optimizer/vars/2", data=np.zeros((4096, 4096), "f4"), chunks=(4096, 4096), compression="gzip"),
        "declares",
    ),
    "numbers in another file": (
        replaced("optimizer/vars/2", shape=(4,), dtype="f4", external=[("else", 0, 16)]),
        "other files",
    ),
    "a soft link": (linked(h5py.SoftLink("/layers/dense/vars/0")), "SoftLink"),
    "a link to another file": (linked(h5py.ExternalLink("else", "/x")), "ExternalLink"),
    "one array under two names": (lambda file: file.__setitem__("optimizer/vars/4", file["optimizer/vars/2"]), "two names"),
    "a hundred levels": (nested, "levels"),
    "text": (replaced("optimizer/vars/2", data=np.array([b"abc"])), "must hold numbers"),
    "a reference": (replaced("optimizer/vars/2", shape=(1,), dtype=h5py.ref_dtype), "must hold numbers"),
    "a count that is none": (replaced("optimizer/vars/0", data=np.float32(0.5)), "count|shapes|step"),
    "a negative count": (replaced("optimizer/vars/0", data=np.int32(-3)), "at least 0|count|step"),
    "a variable that is missing": (lambda file: file["optimizer/vars"].pop("1"), "optimizer"),
    "a variable in the middle that is missing": (lambda file: file["optimizer/vars"].pop("2"), "optimizer"),
    "NaN": (replaced("optimizer/vars/2", data=V * np.nan), "not finite"),
    "a negative mean of squares": (replaced("optimizer/vars/2", data=-V - 1), "negative"),
    "no optimizer": (lambda file: file.pop("optimizer"), "no optimizer state"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused(path: Path, name: str) -> None:
    change, message = HOSTILE[name]
    path.write_bytes(weights(change))
    with pytest.raises(CheckpointError, match=message):
        read(path)


CONFIGS = {
    "no JSON": (b"{", "not JSON"),
    "brackets": (b"[" * 100_000, "not JSON"),
    "another class": (b'{"compile_config": {"optimizer": {"class_name": "Adam", "config": {}}}}', "Adam"),
    "code": (b'{"compile_config": {"optimizer": {"module": "os", "class_name": "system", "config": {"command": "id"}}}}', "system"),
    "no compiled model": (b"{}", "without an optimizer"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_hostile_config_is_refused(tmp_path: Path, name: str) -> None:
    config, message = CONFIGS[name]
    (tmp_path / "m.keras").write_bytes(archived(weights(), config))
    with pytest.raises(CheckpointError, match=message):
        read(tmp_path / "m.keras")


def test_an_archive_that_inflates_is_refused(tmp_path: Path) -> None:
    bomb = archived(weights() + bytes(200_000_000), compression=zipfile.ZIP_DEFLATED)
    (tmp_path / "m.keras").write_bytes(bomb)
    with pytest.raises(FileError, match="no model shrinks that much"):
        read(tmp_path / "m.keras")


def test_an_optimizer_alone_of_which_two_things_may_be_meant_is_asked_about(path: Path) -> None:
    def write(momentum: float) -> State:
        params = {name: np.ones(shape, np.float32) for name, shape in (("w", (3, 4)), ("b", (4,)))}
        optimizer = rmsprop.RMSprop(params, 0.01, "keras", momentum=momentum)
        optimizer.step(params)
        save(path, optimizer, to="keras")
        return capture(optimizer)

    live = write(0.9)
    unsure: list[dict[str, Any]] = [{}, {"momentum": 0.9}]
    for said in unsure:  # with a momentum buffer each, or twice as many
        with pytest.raises(UsageError, match="whose 4 arrays may be of 4 or 2 parameters, depending on momentum and centered; say"):
            load(path, **said)
    sure: list[dict[str, Any]] = [{"momentum": 0.9, "centered": False}, {"dialect": rmsprop.dialect("keras", momentum=0.9)}]
    for said in sure:
        for p, q in zip(load(path, **said).parameters, live.parameters, strict=True):
            assert_bits(p.slots["momentum_buffer"], q.slots["momentum_buffer"])
    write(0.0)
    assert len(load(path).names) == 2  # there is no other way to read it


def damaged(path: Path, content: bytes, count: int, seed: int) -> None:
    """Read a file in many damaged forms: each is refused, or what was damaged is not read."""
    path.write_bytes(content)
    whole, rng, same = read(path), np.random.default_rng(seed), 0
    for k in range(count):
        changed = bytearray(content)
        if k % 4 == 0:
            del changed[int(rng.integers(0, len(content))) :]
        else:
            at = int(rng.integers(0, len(content) if k % 2 else min(2048, len(content))))
            changed[at : at + int(rng.integers(1, 9))] = rng.bytes(len(changed[at : at + 4]))
        path.write_bytes(changed)
        try:
            found = read(path)
        except (FileError, ConversionError, UsageError):
            continue
        # Numbers have no checksum in HDF5; names, shapes and rules that are read are those of the file.
        same += [p.shape for p in found.parameters] == [p.shape for p in whole.parameters]
    path.write_bytes(content)
    assert_same(read(path), whole)
    assert same < count


def test_damaged_weights_are_refused(path: Path) -> None:
    damaged(path, weights(), 16, 1)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    damaged(tmp_path / "m.keras", archived(weights()), 16, 2)


@pytest.mark.slow
def test_a_thousand_damaged_files_are_refused(path: Path, tmp_path: Path) -> None:
    damaged(path, weights(), 700, 3)
    damaged(tmp_path / "m.keras", archived(weights()), 300, 4)

"""Checkpoints of TensorFlow 1, read, carried on and written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import rmsprop
from rmsprop.checkpoint import CheckpointError, ConversionError, FileError, UsageError, capture, load, restore, save
from tests.checkpoint.harness import assert_bits, assert_same
from tests.tolerances import TOLERANCES

v1 = tf.compat.v1
SHAPES = {"dense/kernel": (3, 4), "dense/bias": (4,)}
SLOTS = {"rms": "square_avg", "mg": "grad_avg", "momentum": "momentum_buffer"}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "centered": {"centered": True},
    "both": {"momentum": 0.9, "centered": True, "decay": 0.95, "eps": 1e-3},
}
BEFORE, AFTER = 5, 20
LR = 0.01


class Run:
    """TF1's optimizer over two variables, fed with gradients."""

    def __init__(self, axes: dict[str, Any], name: str = "RMSProp") -> None:
        told = {{"eps": "epsilon"}.get(axis, axis): value for axis, value in axes.items()}
        rng = np.random.default_rng(3)
        self.graph = v1.Graph()
        with self.graph.as_default():
            self.values = {
                n: v1.get_variable(n, initializer=rng.standard_normal(shape).astype("f4")) for n, shape in SHAPES.items()
            }
            self.fed = {n: v1.placeholder(tf.float32, shape) for n, shape in SHAPES.items()}
            self.optimizer = v1.train.RMSPropOptimizer(LR, name=name, **told)
            steps = v1.train.get_or_create_global_step()
            self.train = self.optimizer.apply_gradients([(self.fed[n], self.values[n]) for n in SHAPES], global_step=steps)
            self.saver = v1.train.Saver()
            self.session = v1.Session()
            self.session.run(v1.global_variables_initializer())

    def step(self, grads: dict[str, np.ndarray]) -> None:
        self.session.run(self.train, {self.fed[n]: g for n, g in grads.items()})

    def numbers(self) -> dict[str, np.ndarray]:
        return {n: self.session.run(value) for n, value in self.values.items()}

    def slots(self) -> dict[str, dict[str, np.ndarray]]:
        there = [name for name in self.optimizer.get_slot_names() if name in SLOTS]
        return {SLOTS[s]: {n: self.session.run(self.optimizer.get_slot(v, s)) for n, v in self.values.items()} for s in there}

    def saved(self, folder: Path) -> Path:
        with self.graph.as_default():
            self.saver.save(self.session, str(folder / "model.ckpt"), global_step=BEFORE)
        return folder / f"model.ckpt-{BEFORE}"


def gradients() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(4)
    return [{n: rng.standard_normal(shape).astype("f4") for n, shape in SHAPES.items()} for _ in range(BEFORE + AFTER)]


def begun(axes: dict[str, Any], **options: Any) -> Run:
    run = Run(axes, **options)
    for g in gradients()[:BEFORE]:
        run.step(g)
    return run


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_goes_on_as_tensorflow_would_have(variant: str, tmp_path: Path) -> None:
    axes = VARIANTS[variant]
    stays = begun(axes)
    state = load(stays.saved(tmp_path), lr=LR, **axes)
    group = state.groups[0]
    assert (group.rule.name, group.lr, {p.step for p in group.parameters}) == ("tf1", LR, {BEFORE})
    assert sorted(state.names) == sorted(SHAPES)
    for slot, arrays in stays.slots().items():
        if slot != "momentum_buffer" or axes.get("momentum"):
            for p in group.parameters:
                assert_bits(p.slots[slot], arrays[p.name])
    params = stays.numbers()
    ours = rmsprop.RMSprop(params, 0.5, "tf1")
    restore(ours, state)
    ours.rule = ours.rule.replace(centered_form="variance")  # as it is by itself
    largest = {n: np.abs(p) for n, p in params.items()}
    for g in gradients()[BEFORE:]:
        stays.step(g)
        ours.step(g)
        for n, p in stays.numbers().items():
            largest[n] = np.maximum(largest[n], np.abs(p))
            far = np.max(np.abs(params[n] - p) / np.spacing(largest[n]))
            assert far <= TOLERANCES["pair tensorflow"].parameter, TOLERANCES["pair tensorflow"].reason


@pytest.mark.parametrize("form", ["prefix", "index", "directory"])
def test_is_found_by_its_name_its_index_or_its_directory(form: str, tmp_path: Path) -> None:
    prefix = begun({}).saved(tmp_path)
    path = {"prefix": prefix, "index": Path(f"{prefix}.index"), "directory": tmp_path}[form]
    kind = "tf1" if form == "index" else None
    assert_same(load(path, lr=LR, kind=kind), load(prefix, lr=LR))


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_written_tensorflow_restores(variant: str, tmp_path: Path) -> None:
    axes = VARIANTS[variant]
    source = begun(axes)
    (tmp_path / "a").mkdir()
    state = load(source.saved(tmp_path / "a"), lr=LR, **axes)
    save(tmp_path / "out.ckpt", state, to="tf1")
    fresh = Run(axes)
    with fresh.graph.as_default():
        slots = [v for v in v1.global_variables() if "RMSProp" in v.name]
        kept = {n for n, _ in tf.train.list_variables(str(tmp_path / "out.ckpt"))}
        v1.train.Saver([v for v in slots if v.op.name in kept]).restore(fresh.session, str(tmp_path / "out.ckpt"))
    for slot, arrays in fresh.slots().items():
        if slot != "momentum_buffer" or axes.get("momentum"):
            for name, array in arrays.items():
                assert_bits(array, source.slots()[slot][name])


def test_an_optimizer_of_another_name_is_chosen_by_key(tmp_path: Path) -> None:
    prefix = begun({}, name="Mine").saved(tmp_path)
    assert sorted(load(prefix, lr=LR, key="Mine").names) == sorted(SHAPES)


def test_what_it_does_not_hold_is_asked_for(tmp_path: Path) -> None:
    prefix = begun({"momentum": 0.9}).saved(tmp_path)
    with pytest.raises(UsageError, match=r"holds no learning rate.*--lr 0\.01"):
        load(prefix)
    with pytest.raises(UsageError, match="centered"):
        load(prefix, lr=LR, centered=True)
    with pytest.raises((FileError, UsageError), match="Nobody"):
        load(prefix, lr=LR, key="Nobody")
    with pytest.raises(FileError, match="does not exist"):
        load(tmp_path / "nowhere", lr=LR)


def test_another_optimizer_is_refused(tmp_path: Path) -> None:
    graph = v1.Graph()
    with graph.as_default(), v1.Session() as session:
        w = v1.get_variable("w", initializer=np.ones(3, "f4"))
        train = v1.train.AdamOptimizer().minimize(tf.reduce_sum(w**2))
        session.run(v1.global_variables_initializer())
        session.run(train)
        v1.train.Saver().save(session, str(tmp_path / "adam.ckpt"))
    with pytest.raises((FileError, ConversionError, UsageError), match=r"RMSProp|Adam"):
        load(tmp_path / "adam.ckpt", lr=LR)


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
def test_damage_is_refused(part: str, tmp_path: Path) -> None:
    prefix = begun({"momentum": 0.9}).saved(tmp_path)
    whole, file = load(prefix, lr=LR, momentum=0.9), Path(f"{prefix}.{part}")
    content, rng = file.read_bytes(), np.random.default_rng(6)
    for k in range(60):
        changed = bytearray(content)
        if k % 3 == 0:
            del changed[int(rng.integers(0, len(content))) :]
        else:
            changed[int(rng.integers(0, len(content)))] ^= 1 << int(rng.integers(0, 8))
        file.write_bytes(changed)
        try:
            found = load(prefix, lr=LR, momentum=0.9)
        except CheckpointError:
            continue
        assert_same(found, whole)  # what was changed is not read
    file.unlink()
    with pytest.raises(CheckpointError):
        load(prefix, lr=LR, momentum=0.9)


def test_a_state_that_it_cannot_say_is_not_written(tmp_path: Path) -> None:
    state = capture(rmsprop.RMSprop({"w": np.ones(3, "f4")}, 0.1, "pytorch"))
    with pytest.raises(ConversionError, match="eps_place='inside' and no option"):
        save(tmp_path / "out.ckpt", state, to="tf1")
    assert not list(tmp_path.iterdir())

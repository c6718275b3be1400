"""Optimizers, checkpoints and files of tf_keras, the new optimizer and the legacy one, and those of Keras 3 under TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import rmsprop
from rmsprop.checkpoint import CheckpointError, ConversionError, State, capture, load, restore, save
from tests.checkpoint.harness import assert_bits
from tests.tolerances import TOLERANCES

# What tf_keras says of its own age when it saves in its old format.
pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model:UserWarning")

CLASSES = {"tf-keras": tf_keras.optimizers.RMSprop, "keras-legacy": tf_keras.optimizers.legacy.RMSprop}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "centered": {"centered": True},
    "both": {"momentum": 0.9, "centered": True, "rho": 0.95, "epsilon": 1e-3},
}
BEFORE, AFTER = 5, 20
AXES = {"rho": "decay", "epsilon": "eps"}


def model(optimizer: Any) -> Any:
    tf_keras.utils.set_random_seed(0)
    made = tf_keras.Sequential([tf_keras.layers.Input((3,)), tf_keras.layers.Dense(4, name="d1")])
    made.compile(optimizer, "mse", run_eagerly=True)  # nothing here depends on a graph, which takes long to make
    return made


def fitted(optimizer: Any) -> Any:
    made = model(optimizer)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((8 * BEFORE, 3)), rng.standard_normal((8 * BEFORE, 4))
    made.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    return made


def told(variant: str) -> dict[str, Any]:
    return {AXES.get(key, key): value for key, value in VARIANTS[variant].items()}


def same_arrays(one: State, other: State) -> None:
    for p, q in zip(one.parameters, other.parameters, strict=True):
        assert (p.step, sorted(p.slots)) == (q.step, sorted(q.slots))
        for slot, array in p.slots.items():
            assert_bits(q.slots[slot], array)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", CLASSES)
def test_a_run_goes_on_in_numpy(kind: str, variant: str) -> None:
    made = fitted(CLASSES[kind](0.01, **VARIANTS[variant]))
    state = capture(made.optimizer)
    group = state.groups[0]
    assert {p.step for p in state.parameters} == {BEFORE}
    said = told(variant)
    if kind == "keras-legacy":  # it keeps its hyper-parameters in float32
        said = {"decay": 0.9, **said}
        said |= {axis: float(np.float32(said[axis])) for axis in ("decay", "momentum") if axis in said}
    form = {"centered_form": "difference"} if group.rule.centered else {}
    wanted = rmsprop.dialect({"tf-keras": "keras"}.get(kind, kind), **form, **said)
    assert group.rule.replace(lr=None) == wanted.replace(lr=None)
    params = {name: value.numpy().copy() for name, value in zip(state.names, made.trainable_variables, strict=True)}
    ours = rmsprop.RMSprop(params, 0.5, group.rule)
    restore(ours, state)
    rng = np.random.default_rng(4)
    largest = {n: np.abs(p) for n, p in params.items()}
    for _ in range(AFTER):
        grads = {n: rng.standard_normal(p.shape).astype("f4") for n, p in params.items()}
        made.optimizer.apply_gradients(zip(map(tf.constant, grads.values()), made.trainable_variables, strict=True))
        ours.step(grads)
        for n, v in zip(params, made.trainable_variables, strict=True):
            largest[n] = np.maximum(largest[n], np.abs(v.numpy()))
            far = np.max(np.abs(params[n] - v.numpy()) / np.spacing(largest[n]))
            assert far <= TOLERANCES["pair tensorflow"].parameter, TOLERANCES["pair tensorflow"].reason


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", CLASSES)
def test_goes_back_into_an_optimizer(kind: str, variant: str) -> None:
    made = fitted(CLASSES[kind](0.01, **VARIANTS[variant]))
    state, fresh = capture(made.optimizer), fitted(CLASSES[kind](0.5, **VARIANTS[variant]))
    fresh.optimizer.apply_gradients([(v + 1, v) for v in fresh.trainable_variables])
    restore(fresh.optimizer, state)
    same_arrays(capture(fresh.optimizer), state)
    assert capture(fresh.optimizer).groups[0].lr == pytest.approx(0.01, rel=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", CLASSES)
def test_a_checkpoint_holds_what_the_optimizer_does(kind: str, variant: str, tmp_path: Path) -> None:
    made = fitted(CLASSES[kind](0.01, **VARIANTS[variant]))
    live = capture(made.optimizer)
    prefix = tf.train.Checkpoint(model=made, optimizer=made.optimizer).save(str(tmp_path / "c"))
    said = told(variant)
    if kind == "keras-legacy":  # it holds all but epsilon, and whether it is centered shows
        said = {key: value for key, value in said.items() if key in ("eps", "centered")}
    found = load(prefix, kind=kind, **said)
    same_arrays(found, live)
    assert found.groups[0].lr == pytest.approx(0.01, rel=1e-6)
    assert found.groups[0].rule.momentum == pytest.approx(told(variant).get("momentum", 0), rel=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", CLASSES)
def test_a_file_holds_what_the_optimizer_does(kind: str, variant: str, tmp_path: Path) -> None:
    made = fitted(CLASSES[kind](0.01, **VARIANTS[variant]))
    made.save(tmp_path / "m.h5")
    found, live = load(tmp_path / "m.h5"), capture(made.optimizer)
    order = dict(zip(live.names, live.parameters, strict=True))
    assert sorted(found.names) == sorted(name.replace(":0", "") for name in order)
    for p in found.parameters:
        for slot, array in order[p.name].slots.items():
            assert_bits(p.slots[slot], array)
    assert found.groups[0].rule.momentum == pytest.approx(told(variant).get("momentum", 0), rel=1e-6)


def test_no_file_of_it_is_written(tmp_path: Path) -> None:
    state = capture(fitted(tf_keras.optimizers.RMSprop(0.01)).optimizer)
    with pytest.raises(ConversionError, match=r"tf\.train\.Checkpoint"):
        save(tmp_path / "x", state, to="tf-keras")
    assert not list(tmp_path.iterdir())


def test_another_optimizer_is_refused(tmp_path: Path) -> None:
    made = fitted(tf_keras.optimizers.Adam(0.01))
    with pytest.raises(CheckpointError, match="Adam"):
        capture(made.optimizer)
    made.save(tmp_path / "adam.h5")
    with pytest.raises(CheckpointError, match="Adam"):
        load(tmp_path / "adam.h5")

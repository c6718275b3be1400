"""Optimizers and files of Keras 3, on the backend that KERAS_BACKEND names."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import rmsprop
import rmsprop.keras
from rmsprop.checkpoint import ConversionError, FileError, State, UsageError, capture, load, restore, save
from rmsprop.checkpoint.keras import arguments
from rmsprop.keras import RMSprop
from tests.checkpoint.harness import assert_bits, assert_same
from tests.tolerances import RELATIVE

# keras.Variable has not followed NumPy 2 in this.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "centered": {"centered": True},
    "both": {"momentum": 0.9, "centered": True},
    "decayed": {"momentum": 0.9, "weight_decay": 0.01},
}
LRS = (0.01,) * 6 + (0.003,) * 6
# Files do not depend on the backend but for what its variables give: all on one, and the one with the most in it on the others.
FILED = list(VARIANTS) if keras.backend.backend() == "torch" else ["both"]
CLASSES = {"keras": keras.optimizers.RMSprop, "rmsprop.keras": RMSprop}


def model(optimizer: Any = None, seed: int = 0) -> Any:
    """Return a small model, compiled."""
    keras.utils.set_random_seed(seed)
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="first"), keras.layers.Dense(2, name="second")])
    if optimizer is not None:
        made.compile(optimizer, "mse", run_eagerly=keras.backend.backend() == "tensorflow")  # its graphs take long to make
    return made


def fitted(optimizer: Any, steps: int = 3) -> Any:
    """Return a model that has been fitted for some steps."""
    made = model(optimizer)
    rng = np.random.default_rng(1)
    made.fit(rng.standard_normal((8 * steps, 3)), rng.standard_normal((8 * steps, 2)), batch_size=8, shuffle=False, verbose=0)
    return made


def numbers(thing: Any) -> list[np.ndarray]:
    """Return the values of an optimizer's or a model's variables."""
    return [keras.ops.convert_to_numpy(v).copy() for v in thing.variables]


def gradients() -> list[list[np.ndarray]]:
    rng = np.random.default_rng(2)
    return [[rng.standard_normal(shape).astype("f4") for shape in ((3, 4), (4,), (4, 2), (2,))] for _ in LRS]


def step(optimizer: Any, variables: Any, t: int) -> None:
    optimizer.learning_rate = LRS[t]
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients()[t]], variables)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("there", CLASSES)
@pytest.mark.parametrize("here", CLASSES)
def test_goes_on_in_another_optimizer(here: str, there: str, variant: str, tmp_path: Path) -> None:
    stays, moves = model(), model()
    first, second = (CLASSES[name](LRS[0], **VARIANTS[variant]) for name in (here, there))
    first.build(stays.trainable_variables)
    for t in range(6):
        step(first, stays.trainable_variables, t)
    save(tmp_path / "run", first)
    state = load(tmp_path / "run")
    assert state.names == tuple(v.path for v in stays.trainable_variables)
    assert {p.step for p in state.parameters} == {6}
    moves.set_weights(stays.get_weights())
    second.build(moves.trainable_variables)
    restore(second, state.renamed([(r"sequential(_\d+)?/(.+)", r"\2")]).renamed([(r"(.+)", rf"{moves.name}/\1")]))
    for t in range(6, 12):
        step(first, stays.trainable_variables, t)
        step(second, moves.trainable_variables, t)
    for one, other in zip(stays.get_weights(), moves.get_weights(), strict=True):
        if here == there:
            assert_bits(one, other)
        else:
            assert np.max(np.abs(other - one)) <= RELATIVE["keras, carried"].share * np.max(np.abs(one)), RELATIVE[
                "keras, moved"
            ].reason


@pytest.mark.parametrize("variant", FILED)
@pytest.mark.parametrize("kind", CLASSES)
def test_a_model_s_file_holds_what_its_optimizer_does(kind: str, variant: str, tmp_path: Path) -> None:
    made = fitted(CLASSES[kind](0.01, **VARIANTS[variant]))
    made.save(tmp_path / "m.keras")
    live = capture(made.optimizer)
    found = load(tmp_path / "m.keras")
    assert found.names == ("first/kernel", "first/bias", "second/kernel", "second/bias")
    assert found.origin == live.origin
    assert_same(found.renamed([("(.+)", r"sequential/\1")]), live.renamed([(r".+/(.+/.+)", r"sequential/\1")]))


@pytest.mark.parametrize("variant", FILED)
@pytest.mark.parametrize("kind", CLASSES)
def test_weights_hold_the_arrays_and_need_to_be_told_the_rest(kind: str, variant: str, tmp_path: Path) -> None:
    made = fitted(CLASSES[kind](0.01, **VARIANTS[variant]))
    made.save_weights(tmp_path / "m.weights.h5")
    live = capture(made.optimizer)
    found = load(tmp_path / "m.weights.h5", kind=kind, **VARIANTS[variant])
    assert [p.step for p in found.parameters] == [3] * 4
    for p, q in zip(found.parameters, live.parameters, strict=True):
        for slot, array in q.slots.items():
            assert_bits(p.slots[slot], array)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_written_file_is_what_keras_loads(kind: str, tmp_path: Path) -> None:
    made = fitted(CLASSES[kind](0.01, momentum=0.9, centered=True))
    state = capture(made.optimizer).renamed([(r".+/(.+/.+)", r"\1")])
    fresh = fitted(CLASSES[kind](0.5, momentum=0.9, centered=True), steps=1)
    fresh.save(tmp_path / "m.keras")
    weights = numbers(fresh)[:4]
    save(tmp_path / "m.keras", state, to=kind)
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert isinstance(again.optimizer, CLASSES[kind])
    for one, other in zip(numbers(again.optimizer), numbers(made.optimizer), strict=True):
        assert_bits(one, other)
    for one, other in zip(weights, again.get_weights(), strict=True):
        assert_bits(one, other)


def test_a_file_of_the_optimizer_alone_is_what_keras_loads(tmp_path: Path) -> None:
    made = fitted(keras.optimizers.RMSprop(0.01, momentum=0.9))
    save(tmp_path / "m.weights.h5", capture(made.optimizer), to="keras")
    again = model(keras.optimizers.RMSprop(0.5, momentum=0.9), seed=9)
    again.optimizer.build(again.trainable_variables)
    before = again.get_weights()
    with pytest.warns(UserWarning, match="could not be loaded|Skipping|skip"):
        again.load_weights(tmp_path / "m.weights.h5", skip_mismatch=True)
    for one, other in zip(numbers(again.optimizer), numbers(made.optimizer), strict=True):
        assert_bits(one, other)
    for one, other in zip(before, again.get_weights(), strict=True):
        assert_bits(one, other)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="checkpoints of TensorFlow")
@pytest.mark.parametrize("variant", ["plain", "both"])
@pytest.mark.parametrize("kind", CLASSES)
def test_a_checkpoint_of_tensorflow_holds_what_the_optimizer_does(kind: str, variant: str, tmp_path: Path) -> None:
    import tensorflow as tf

    made = fitted(CLASSES[kind](0.01, **VARIANTS[variant]))
    live = capture(made.optimizer)
    prefix = tf.train.Checkpoint(model=made, optimizer=made.optimizer).save(str(tmp_path / "c"))
    for path in (prefix, tmp_path):
        found = load(path, kind=kind, **VARIANTS[variant])
        assert (found.names, found.origin, found.groups[0].lr) == (live.names, live.origin, live.groups[0].lr)
        for p, q in zip(found.parameters, live.parameters, strict=True):
            assert (p.step, sorted(p.slots)) == (q.step, sorted(q.slots))
            for slot, array in q.slots.items():
                assert_bits(p.slots[slot], array)


def test_arguments_make_an_optimizer_that_goes_on() -> None:
    state = capture(fitted(keras.optimizers.RMSprop(0.25, rho=0.8, momentum=0.5, epsilon=1e-3, weight_decay=0.25)).optimizer)
    for kind, made in CLASSES.items():
        optimizer = made(**arguments(state, kind))
        variables = [keras.Variable(np.ones(p.shape, "f4"), name=f"v{k}") for k, p in enumerate(state.parameters)]
        optimizer.build(variables)
        assert restore(optimizer, state.renamed([(name, f"v{k}") for k, name in enumerate(state.names)])) is optimizer
        assert int(optimizer.iterations.numpy() if hasattr(optimizer.iterations, "numpy") else optimizer.iterations) == 3


def test_parameters_without_weight_decay_are_a_group_of_their_own() -> None:
    made = model()
    optimizer = keras.optimizers.RMSprop(0.01, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build(made.trainable_variables)
    state = capture(optimizer)
    assert [(g.rule.weight_decay, len(g.parameters)) for g in state.groups] == [(0.1, 2), (0.0, 2)]
    restore(optimizer, state)
    plain = keras.optimizers.RMSprop(0.01, weight_decay=0.1)
    plain.build(made.trainable_variables)
    with pytest.raises(ConversionError, match=r"exclude_from_weight_decay|parameters of several rules"):
        restore(plain, state)


def test_a_schedule_tells_its_last_rate_and_stays() -> None:
    made = fitted(keras.optimizers.RMSprop(keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)))
    state = capture(made.optimizer)
    assert state.groups[0].lr == pytest.approx(0.025, rel=1e-6)  # 0.1·0.5², in Keras's float32
    rate = made.optimizer._learning_rate
    restore(made.optimizer, state)
    assert made.optimizer._learning_rate is rate


def test_averages_and_accumulated_steps_go_along() -> None:
    made = fitted(keras.optimizers.RMSprop(0.01, use_ema=True, gradient_accumulation_steps=2), steps=4)
    state = capture(made.optimizer)
    assert {p.step for p in state.parameters} == {2}
    assert all("ema" in p.slots for p in state.parameters)
    before = numbers(made.optimizer)
    restore(made.optimizer, state)
    for one, other in zip(before, numbers(made.optimizer), strict=True):
        np.testing.assert_array_equal(one, other)  # gradients that were gathered and spent are 0 or -0
    pending = fitted(keras.optimizers.RMSprop(0.01, gradient_accumulation_steps=2), steps=3)
    with pytest.raises(ConversionError, match="gathered"):
        capture(pending.optimizer)


OTHER = {"learning_rate": 0.5, "momentum": 0.9, "centered": True}
REFUSED: dict[str, tuple[Any, str]] = {
    "another momentum": (
        lambda: keras.optimizers.RMSprop(**OTHER | {"momentum": 0.5}),
        r"momentum=0\.5 and not 0\.9.*make it as",
    ),
    "no momentum": (
        lambda: keras.optimizers.RMSprop(**OTHER | {"momentum": 0.0}),
        r"make it as keras.optimizers.RMSprop\(.*momentum=0\.9",
    ),
    "another epsilon": (
        lambda: keras.optimizers.RMSprop(**OTHER | {"epsilon": 1e-3}),
        r"epsilon=0\.001 and not 1e-07",
    ),
    "another optimizer": (lambda: keras.optimizers.Adam(), "a Adam is none of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_optimizer_that_would_step_otherwise_is_refused_and_stays(name: str) -> None:
    state = capture(fitted(keras.optimizers.RMSprop(0.01, momentum=0.9, centered=True)).optimizer)
    make, message = REFUSED[name]
    made = fitted(make(), steps=1)
    before = numbers(made.optimizer)
    with pytest.raises((ConversionError, UsageError), match=message):
        restore(made.optimizer, state.renamed([(r".+/(.+/.+)", rf"{made.name}/\1")]))
    for one, other in zip(before, numbers(made.optimizer), strict=True):
        assert_bits(one, other)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"optimizer\.build\(model\.trainable_variables\)"):
        capture(keras.optimizers.RMSprop(0.1))
    with pytest.raises(UsageError, match="Adam"):
        capture(fitted(keras.optimizers.Adam(), steps=1).optimizer)
    made = fitted(keras.optimizers.RMSprop(0.01), steps=1)
    with pytest.raises(UsageError, match="holds lr itself"):
        capture(made.optimizer, lr=0.1)
    model().save(tmp_path / "bare.keras")
    with pytest.raises(FileError, match="without an optimizer: it was not compiled"):
        load(tmp_path / "bare.keras")
    fitted(keras.optimizers.Adam(), steps=1).save(tmp_path / "adam.keras")
    with pytest.raises((FileError, UsageError), match="Adam"):
        load(tmp_path / "adam.keras")
    with pytest.raises(UsageError, match=r"NAME\.weights\.h5 or NAME\.keras, got 'x'"):
        save(tmp_path / "x", capture(made.optimizer), to="keras")
    with pytest.raises(UsageError, match=r"is not there, and a \.keras file is a model's"):
        save(tmp_path / "x.keras", capture(made.optimizer), to="keras")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adam.keras", "bare.keras"]


def test_a_state_of_another_framework_needs_its_rule_to_be_sayable(tmp_path: Path) -> None:
    state: State = capture(rmsprop.RMSprop({"v": np.ones(3, np.float32)}, 0.1, "pytorch"))
    with pytest.raises(ConversionError, match="eps_place='inside' and no option"):
        save(tmp_path / "a.weights.h5", state, to="keras")
    save(tmp_path / "a.weights.h5", state, to="rmsprop.keras")
    assert load(tmp_path / "a.weights.h5", kind="rmsprop.keras", dialect="pytorch").groups[0].rule.eps_place == "outside"

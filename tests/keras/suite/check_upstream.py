"""dialect="keras" against keras.optimizers.RMSprop itself, free-running, over all of its options; and TF1 against its own."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import rmsprop.keras
from tests.keras.suite.harness import BACKEND, history, made, numpy, problem, worst
from tests.tolerances import TOLERANCES

LRS = (0.01, 0.003, 0.02)
MATRIX = [
    {**momentum, **centered, **decay}
    for momentum, centered, decay in itertools.product(
        # 0.125 is exact in float32, through which Keras takes weight decay on TensorFlow.
        ({}, {"momentum": 0.9}),
        ({}, {"centered": True, "epsilon": 1e-3}),
        ({}, {"weight_decay": 0.125}),
    )
]
# Each number and each of the base class's options, away from its default.
OPTIONS = [
    {"rho": 0.5},
    {"rho": 0.99, "epsilon": 0.3, "momentum": 0.5},
    {"clipnorm": 1.0},
    {"clipvalue": 0.5},
    {"global_clipnorm": 1.0},
    {"use_ema": True, "ema_momentum": 0.9},
    {"use_ema": True, "ema_overwrite_frequency": 2},
    {"loss_scale_factor": 8.0},
    {"gradient_accumulation_steps": 2, "weight_decay": 0.1},
    {"gradient_accumulation_steps": 3, "use_ema": True, "ema_overwrite_frequency": 1},
]


@pytest.fixture(autouse=True)
def _restored():
    yield
    keras.config.set_floatx("float32")


def pair(options, dtype="float32", lrs=(), steps=6, rate=0.01, **ours):
    keras.config.set_floatx(dtype)  # the dtype in which Keras holds lr
    arrays, grads = problem(dtype=dtype, steps=steps)
    kinds = (rmsprop.keras.RMSprop, ours), (keras.optimizers.RMSprop, {})
    return [history(kind(rate, **options, **more), made(arrays, dtype), grads, lrs) for kind, more in kinds]


def held(far, dtype="float32"):
    tolerance = TOLERANCES[f"keras live {BACKEND} {dtype}"]
    assert far["state"] <= tolerance.state, tolerance.reason
    assert far["p"] <= tolerance.parameter, tolerance.reason


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["variance", "difference"])
@pytest.mark.parametrize("options", MATRIX, ids=str)
def test_matrix(options, form, dtype):
    if form == "difference" and "centered" not in options:
        pytest.skip("there is one form where nothing is centered")
    ours, theirs = pair(options, dtype, LRS, centered_form=form)
    held(worst(ours, theirs, variance="centered" in options and form == "variance"), dtype)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(options):
    ours, theirs = pair(options)
    held(worst(ours, theirs))
    assert any((a != b).any() for a, b in zip(ours[0]["p"], ours[-1]["p"], strict=True))


@pytest.mark.parametrize(
    "wrong", [{"rho": 0.901}, {"epsilon": 0.31}, {"weight_decay": 0.11}, {"momentum": 0.501}, {"eps_place": "outside"}]
)
def test_a_wrong_value_would_show(wrong):
    """The comparison notices each."""
    right = {"rho": 0.9, "epsilon": 0.3, "weight_decay": 0.1, "momentum": 0.5}
    arrays, grads = problem()
    ours = history(rmsprop.keras.RMSprop(0.01, **(right | wrong)), made(arrays), grads)
    theirs = history(keras.optimizers.RMSprop(0.01, **right), made(arrays), grads)
    far = worst(ours, theirs)
    assert far["p"] > 10 * TOLERANCES[f"keras live {BACKEND} float32"].parameter


@pytest.mark.parametrize("gradient_accumulation_steps", [None, 2])
def test_schedules(gradient_accumulation_steps):
    rates = [lambda: keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5), lambda: lambda: 0.02]
    for rate in rates:
        options = {"gradient_accumulation_steps": gradient_accumulation_steps, "momentum": 0.9}
        held(worst(*pair(options, rate=rate())))


def test_defaults_are_theirs():
    mine, theirs = rmsprop.keras.RMSprop().get_config(), keras.optimizers.RMSprop().get_config()
    assert {key: mine[key] for key in theirs if key != "name"} == {key: value for key, value in theirs.items() if key != "name"}


def test_exclusion_from_weight_decay():
    arrays, grads = problem()
    found = []
    for kind in (rmsprop.keras.RMSprop, keras.optimizers.RMSprop):
        variables = [keras.Variable(array, name=f"{name}_{k}") for k, (name, array) in enumerate(zip("wbwb", arrays, strict=True))]
        optimizer = kind(0.01, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(var_list=[variables[0]], var_names=["b_1"])
        found.append(history(optimizer, variables, grads))
    held(worst(*found))
    everywhere = history(rmsprop.keras.RMSprop(0.01, weight_decay=0.5), made(arrays), grads)
    changed = [bool((a != b).any()) for a, b in zip(everywhere[-1]["p"], found[0][-1]["p"], strict=True)]
    assert changed == [True, True, False, False]


def test_a_variable_without_a_gradient_stays():
    arrays, (g, *_) = problem()
    for kind in (rmsprop.keras.RMSprop, keras.optimizers.RMSprop):
        variables = made(arrays)
        optimizer = kind(0.01, weight_decay=0.1)
        optimizer.build(variables)
        optimizer.apply([ops.convert_to_tensor(a) for a in g])  # with all of them first
        before = numpy(variables[1])
        with pytest.warns(UserWarning, match="Gradients do not exist"):
            optimizer.apply([ops.convert_to_tensor(a) if k != 1 else None for k, a in enumerate(g)])
        assert numpy(variables[1]) == before
        optimizer.apply([ops.convert_to_tensor(a) for a in g])
        assert numpy(variables[1]) != before


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow 1's optimizer needs TensorFlow")
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"centered": True, "epsilon": 1e-3}], ids=str)
def test_tf1(options):
    import tensorflow as tf

    arrays, grads = problem(shapes=((3, 4), (7,)))
    ours = history(rmsprop.keras.RMSprop(0.01, dialect="tf1", **options), made(arrays), grads)
    theirs = tf.compat.v1.train.RMSPropOptimizer(0.01, **options)
    variables = [tf.Variable(array) for array in arrays]
    slots = {"v": "rms", "b": "momentum", "m": "mg"}
    slots = {name: slot for name, slot in slots.items() if name in ours[0]}
    found = []
    for g in grads:
        theirs.apply_gradients(zip(map(tf.constant, g), variables, strict=True))
        kept = {name: [theirs.get_slot(v, slot).numpy() for v in variables] for name, slot in slots.items()}
        found.append({"p": [v.numpy() for v in variables]} | kept)
    far = worst(ours[1:], found, variance="centered" in options)
    tolerance = TOLERANCES["keras live, TF1"]
    assert far["state"] <= tolerance.state, tolerance.reason
    assert far["p"] <= tolerance.parameter, tolerance.reason


def test_their_float16_fault_is_not_ours():
    zero = np.zeros(2, np.float16)
    kinds = (rmsprop.keras.RMSprop, keras.optimizers.RMSprop)
    ours, theirs = (history(kind(0.1, epsilon=1e-8), made([zero], "float16"), [[zero]]) for kind in kinds)
    assert np.isnan(theirs[-1]["p"][0]).all()  # epsilon is 0 in float16
    assert (ours[-1]["p"][0] == 0).all()

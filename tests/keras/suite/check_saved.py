"""What is written and read: whole models, and state to and from keras.optimizers.RMSprop."""

import json

import keras
import numpy as np
import pytest
from keras import ops

import rmsprop
import rmsprop.keras
from tests.cases import RULES
from tests.keras.suite.harness import made, numpy, problem
from tests.tolerances import RELATIVE

THEIRS, OURS = keras.optimizers.RMSprop, rmsprop.keras.RMSprop
FORMS = [{}, {"momentum": 0.9}, {"centered": True, "epsilon": 1e-3}, {"centered": True, "epsilon": 1e-3, "momentum": 0.9}]


def tensors(g):
    return [ops.convert_to_tensor(a) for a in g]


def trained(optimizer, steps=4):
    """Return variables that an optimizer has moved."""
    arrays, grads = problem(steps=steps)
    variables = made(arrays)
    optimizer.build(variables)
    for g in grads:
        optimizer.apply(tensors(g))
    return variables


def moved(store, source, target):
    """Return the variables of a trained optimizer and of another that went on from its state, two steps later."""
    before = [numpy(v) for v in source[1]]
    after = made(before)
    target.build(after)
    target.load_own_variables(store)
    for g in problem(seed=1, steps=2)[1]:
        source[0].apply(tensors(g))
        target.apply(tensors(g))
    return [numpy(v) for v in source[1]], [numpy(v) for v in after]


def written(optimizer):
    store = {}
    optimizer.save_own_variables(store)
    return store


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_state_is_interchangeable_where_means_of_squares_are_kept(options):
    for one, other, form in ((THEIRS, OURS, 1), (OURS, THEIRS, 0)):
        kinds = [(one, {}), (other, {})]
        kinds[form][1].update(centered_form="difference")
        first, second = (kind(0.01, **options, **more) for kind, more in kinds)
        variables = trained(first)
        store = written(first)
        assert sorted(store, key=int) == [str(i) for i in range(len(first.variables))]
        for a, b in zip(*moved(store, (first, variables), second), strict=True):
            np.testing.assert_allclose(a, b, rtol=RELATIVE["keras, moved"].share, atol=RELATIVE["keras, moved"].share)
        assert int(second.iterations) == 6


@pytest.mark.parametrize("options", FORMS[2:], ids=str)
def test_their_centered_state_becomes_a_variance_and_back(options):
    first = THEIRS(0.01, **options)
    variables = trained(first)
    store = written(first)
    second = OURS(0.01, **options)
    share = RELATIVE["keras, moved"].share
    for a, b in zip(*moved(store, (first, variables), second), strict=True):
        np.testing.assert_allclose(a, b, rtol=share, atol=share)
    third = OURS(0.01, centered_form="difference", **options)
    variables = trained(second_ := OURS(0.01, **options))
    for a, b in zip(*moved(written(second_), (second_, variables), third), strict=True):
        np.testing.assert_allclose(a, b, rtol=share, atol=share)


def test_a_variance_that_rounding_made_negative_is_0():
    optimizer = OURS(0.01, centered=True)
    (variable,) = made([np.ones(3, np.float32)])
    optimizer.build([variable])
    optimizer.load_own_variables(
        {"0": np.int32(5), "1": np.float32(0.01), "2": np.float32([1, 1, 2]), "3": np.float32([1.1, 1, 1])}
    )
    assert numpy(optimizer._velocities[0]).tolist() == [0, 0, 1]


def test_theirs_leaves_a_variance_alone():
    store = written_store = written(_built(OURS(0.01, centered=True)))
    assert "variance" in written_store
    theirs = _built(THEIRS(0.01, centered=True))
    before = [numpy(v) for v in theirs.variables]
    with pytest.warns(UserWarning, match="Skipping variable loading"):
        theirs.load_own_variables(store)
    for a, b in zip(before, theirs.variables, strict=True):
        np.testing.assert_array_equal(a, numpy(b))


def _built(optimizer):
    trained(optimizer)
    return optimizer


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda: THEIRS(0.01, momentum=0.9), r"keeps 6 variables \(iteration, .*\), and the saved state has 10: it is of another"),
        (lambda: OURS(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)), "a schedule for learning_rate"),
        (lambda: OURS(0.01, centered=True), "nothing was loaded"),
    ],
)
def test_another_number_of_variables_is_refused(source, message):
    refused(written(_built(source())), OURS(0.01), message)


def test_another_model_is_refused():
    store = written(_built(OURS(0.01)))
    refused(
        {**store, "2": np.ones((4, 3), np.float32)}, OURS(0.01), r"velocity.* has shape \(3, 4\), and the saved state has \(4, 3\)"
    )


def test_a_variance_is_not_taken_for_something_else():
    """As many variables, but momentum where the mean of g is."""
    refused(written(_built(OURS(0.01, centered=True))), OURS(0.01, momentum=0.9), "centered")


def refused(store, optimizer, message):
    _built(optimizer)
    before = [numpy(v) for v in optimizer.variables]
    with pytest.raises(ValueError, match=message):
        optimizer.load_own_variables(store)
    for a, b in zip(before, optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, numpy(b))


def test_before_it_is_built_it_warns():
    store = written(_built(OURS(0.01)))
    with pytest.warns(UserWarning, match=r"was not loaded, as it is not built; call optimizer\.build"):
        OURS(0.01).load_own_variables(store)


@pytest.mark.parametrize("name", RULES)
def test_config(name):
    rule = RULES[name]
    optimizer = OURS(0.02, dialect=rule, clipnorm=1.0, use_ema=True, ema_momentum=0.5, gradient_accumulation_steps=2, name="mine")
    config = optimizer.get_config()
    assert json.loads(json.dumps(config)) == config
    for again in (
        OURS.from_config(json.loads(json.dumps(config))),
        keras.optimizers.deserialize(keras.optimizers.serialize(optimizer)),
    ):
        assert type(again) is OURS
        assert again.rule == rule.replace(lr=again.rule.lr)
        assert again.rule.name == rule.name
        assert again.get_config() == config


def test_config_of_a_rule_of_ones_own():
    rule = rmsprop.Rule(name="mine", decay=0.75, eps=0.01, momentum=0.5, nesterov=True, lr_in_momentum=False)
    again = OURS.from_config(json.loads(json.dumps(OURS(0.1, dialect=rule).get_config())))
    assert (again.rule, again.rule.name) == (rule, "mine")


def test_config_of_a_schedule_and_of_a_few_arguments():
    optimizer = OURS(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5), dialect="tf1")
    again = OURS.from_config(json.loads(json.dumps(optimizer.get_config())))
    assert float(again.learning_rate) == pytest.approx(0.1)
    assert OURS.from_config({"dialect": "tf1", "learning_rate": 0.5}).rule == rmsprop.dialect("tf1")
    with pytest.raises(ValueError, match="did you mean 'tf1'"):
        OURS.from_config({"dialect": "tf_1", "learning_rate": 0.5})


def model(optimizer, seed=0):
    keras.utils.set_random_seed(seed)
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1)])
    made.compile(optimizer, loss="mse")
    return made


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((16, 3)).astype(np.float32), rng.standard_normal((16, 1)).astype(np.float32)


def fit(one, epochs=2):
    one.fit(*data(), epochs=epochs, batch_size=8, shuffle=False, verbose=0)


@pytest.mark.parametrize("name", ["keras", "tf1", "everything", "bias correction, centered"])
def test_a_saved_model_goes_on(name, tmp_path):
    first = model(OURS(0.01, dialect=RULES[name]))
    fit(first)
    first.save(tmp_path / "model.keras")
    first.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is OURS
    assert loaded.optimizer.rule == first.optimizer.rule
    read = model(OURS(0.01, dialect=RULES[name]), seed=5)
    read.optimizer.build(read.trainable_variables)
    read.load_weights(tmp_path / "model.weights.h5")
    for other in (loaded, read):
        for a, b in zip(first.optimizer.variables, other.optimizer.variables, strict=True):
            np.testing.assert_array_equal(numpy(a), numpy(b))
    for one in (first, loaded, read):
        fit(one)
    for other in (loaded, read):
        for a, b in zip(first.weights, other.weights, strict=True):
            np.testing.assert_array_equal(numpy(a), numpy(b))
    assert int(loaded.optimizer.iterations) == 8


def test_weights_of_another_optimizer_are_refused_aloud(tmp_path):
    first = model(THEIRS(0.01, momentum=0.9))
    fit(first)
    first.save_weights(tmp_path / "model.weights.h5")
    other = model(OURS(0.01))
    fit(other)
    with pytest.raises(ValueError, match="and the saved state has 10: it is of another model"):
        other.load_weights(tmp_path / "model.weights.h5")


def test_their_saved_model_goes_on_as_ours(tmp_path):
    first = model(THEIRS(0.01, momentum=0.9))
    fit(first)
    first.save_weights(tmp_path / "model.weights.h5")
    other = model(OURS(0.01, momentum=0.9), seed=5)
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "model.weights.h5")
    for one in (first, other):
        fit(one)
    for a, b in zip(first.weights, other.weights, strict=True):
        np.testing.assert_allclose(numpy(a), numpy(b), rtol=1e-5, atol=1e-6)

"""What is refused, and what the message says to do."""

import keras
import numpy as np
import pytest
from keras import ops

import rmsprop
import rmsprop.keras
from tests.keras.suite.harness import BACKEND, made, numpy

FLUSHED = BACKEND != "torch"


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"rho": 1.5}, ValueError, r"rho must be in \[0, 1\), got 1\.5; 1 - rho weighs the new gradient"),
        ({"rho": "fast"}, TypeError, r"rho must be a number in \[0, 1\), got 'fast'"),
        ({"epsilon": 0}, ValueError, r"epsilon must be greater than 0, got 0; .* try 1e-8"),
        ({"epsilon": -1e-7}, ValueError, r"epsilon must be in \[0, inf\), got -1e-07"),
        ({"momentum": 1.0}, ValueError, r"momentum must be in \[0, 1\), got 1\.0; .* try 0\.9"),
        ({"weight_decay": -0.1}, ValueError, r"weight_decay must be in \[0, inf\), got -0\.1"),
        ({"centered": "yes"}, TypeError, "centered must be True or False, got 'yes'"),
        ({"nesterov": True}, ValueError, "nesterov=True needs momentum > 0"),
        ({"bias_correction": True, "square_init": 1.0}, ValueError, "bias_correction=True needs square_init=0"),
        ({"eps_place": "within"}, ValueError, "eps_place must be one of 'outside', 'inside', got 'within'"),
        ({"weight_decay_form": "adamw"}, ValueError, "weight_decay_form must be one of 'coupled', 'decoupled', 'decoupled_lr'"),
        ({"centered_form": "std"}, ValueError, "centered_form must be one of 'variance', 'difference'"),
        ({"learning_rate": -0.1}, ValueError, r"learning_rate must be in \[0, inf\), got -0\.1; use maximize=True"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate must be a number"),
        ({"dialect": "pytroch"}, ValueError, "unknown dialect 'pytroch'; did you mean 'pytorch'"),
        ({"dialect": 0.9}, TypeError, r"dialect must be a name or a Rule, got 0\.9"),
        ({"dialect": "tf1"}, ValueError, "dialect 'tf1' has no default learning rate; pass learning_rate"),
        ({"decay": 0.9}, TypeError, "unexpected keyword argument 'decay'"),
        ({"clipnorm": 1.0, "clipvalue": 1.0}, ValueError, "Only one of"),  # Keras's own
    ],
)
def test_arguments(options, kind, message):
    with pytest.raises(kind, match=message):
        rmsprop.keras.RMSprop(**options)


def test_a_whole_number_is_a_learning_rate():
    assert float(rmsprop.keras.RMSprop(1).learning_rate) == 1.0


@pytest.mark.parametrize(
    ("options", "dtype", "message"),
    [
        ({"epsilon": 1e-50}, "float32", "eps=1e-50 (rounds to|is) 0 in float32"),
        ({"rho": 1 - 1e-9}, "bfloat16", "rounds to 1 in float32"),
        ({"square_init": 1e39}, "float32", "overflows float32"),
        ({"learning_rate": 1e30, "epsilon": 1e-20, "eps_place": "outside"}, "float32", "over eps=1e-20 overflows float32"),
    ],
)
def test_numbers_that_the_arithmetic_cannot_hold(options, dtype, message):
    optimizer = rmsprop.keras.RMSprop(**options)
    before = len(optimizer.variables)
    with pytest.raises(ValueError, match=message):
        optimizer.build(made([np.ones(2)], dtype))
    assert len(optimizer.variables) == before
    assert not optimizer.built


def test_a_subnormal_epsilon():
    optimizer = rmsprop.keras.RMSprop(epsilon=1e-40, learning_rate=1e-10)
    variables = made([np.ones(2, np.float32)])
    if FLUSHED:
        with pytest.raises(ValueError, match=r"eps=1e-40 is 0 in float32 as this backend computes it, .* use at least 1\.18e-38"):
            optimizer.build(variables)
    else:
        optimizer.build(variables)
        optimizer.apply([ops.zeros(2)])
        assert numpy(variables[0]).tolist() == [1, 1]


@pytest.mark.parametrize("dtype", ["int32", "complex64"])
def test_variables_of_other_dtypes(dtype):
    variable = keras.Variable(np.ones(2), dtype=dtype, trainable=False, name="odd")
    with pytest.raises(TypeError, match=f"variable 'odd' must be one of float16, .*, got {dtype}; train the parts"):
        rmsprop.keras.RMSprop().build([variable])


@pytest.mark.parametrize("shape", [(1,), (), (3,), (2, 2)])
def test_gradients_of_other_shapes_change_nothing(shape):
    variables = made([np.ones(2, np.float32)])
    optimizer = rmsprop.keras.RMSprop(momentum=0.9)
    optimizer.build(variables)
    with pytest.raises(ValueError, match=r"a gradient must have its variable's shape \(2,\), got \("):
        optimizer.apply([ops.ones(shape)])
    assert numpy(variables[0]).tolist() == [1, 1]
    assert all((numpy(v) == 0).all() for v in optimizer._velocities + optimizer._momentums)


def test_attributes_that_change_between_steps():
    variables = made([np.ones(2, np.float32)])
    optimizer = rmsprop.keras.RMSprop(0.1)
    optimizer.build(variables)
    optimizer.rho, optimizer.epsilon, optimizer.weight_decay = 0.5, 0.25, 0.125
    assert (optimizer.rule.decay, optimizer.rule.eps, optimizer.rule.weight_decay) == (0.5, 0.25, 0.125)
    optimizer.apply([ops.ones(2)])
    assert numpy(optimizer._velocities[0]).tolist() == [0.5, 0.5]
    np.testing.assert_allclose(numpy(variables[0]), 1 - 0.1 * 0.125 - 0.1 / np.sqrt(0.75), rtol=1e-6)
    optimizer.weight_decay = None
    assert optimizer.rule == rmsprop.dialect("keras", decay=0.5, eps=0.25)
    optimizer.rho = 2.0
    with pytest.raises(ValueError, match=r"rho must be in \[0, 1\), got 2\.0"):
        optimizer.apply([ops.ones(2)])
    optimizer.rho, optimizer.momentum = 0.5, 0.9
    with pytest.raises(ValueError, match=r"keeps square_avg of .*, and its attributes now need square_avg, momentum_buffer"):
        optimizer.apply([ops.ones(2)])
    optimizer.momentum = 0.0
    optimizer.apply([ops.ones(2)])

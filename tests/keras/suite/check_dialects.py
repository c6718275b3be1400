"""Every dialect and every axis against the NumPy optimizer, and the precision of 16-bit variables."""

import keras
import numpy as np
import pytest
from keras import ops

import rmsprop
import rmsprop.keras
from tests.cases import RULES
from tests.keras.suite.harness import BACKEND, history, made, numpy, problem, worst
from tests.tolerances import TOLERANCES

LRS = (0.01, 0.01, 0.003, 0.02)


def reference(rule, arrays, grads, lrs=LRS):
    """Step the NumPy optimizer, and return what `history` does."""
    arrays = [array.copy() for array in arrays]
    optimizer = rmsprop.RMSprop(arrays, lr=lambda t: float(np.float32(lrs[t % len(lrs)])), dialect=rule)

    def now():
        state = {slot.argument: [a.copy() for a in optimizer.state[slot.name]] for slot in rule.slots}
        return {"p": [p.copy() for p in arrays]} | state

    found = [now()]
    for g in grads:
        optimizer.step([a.copy() for a in g])
        found.append(now())
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RULES)
def test_every_rule(name, dtype):
    rule = RULES[name]
    arrays, grads = problem(dtype=dtype)
    ours = history(rmsprop.keras.RMSprop(0.01, dialect=rule), made(arrays, dtype), grads, LRS)
    far = worst(ours, reference(rule, arrays, grads))
    tolerance = TOLERANCES.get(f"keras, NumPy, {name}", TOLERANCES[f"keras, NumPy {dtype}"])
    assert far["state"] <= tolerance.state, tolerance.reason
    assert far["p"] <= tolerance.parameter, tolerance.reason


@pytest.mark.parametrize("name", rmsprop.dialect_names())
def test_a_name_brings_the_dialects_own_values(name):
    rule = rmsprop.dialect(name)
    optimizer = rmsprop.keras.RMSprop(**({} if rule.lr is not None else {"learning_rate": 0.1}), dialect=name)
    assert optimizer.rule == rule
    assert optimizer.rule.name == name
    assert float(optimizer.learning_rate) == np.float32(0.1 if rule.lr is None else rule.lr)
    assert (optimizer.rho, optimizer.epsilon, optimizer.momentum) == (rule.decay, rule.eps, rule.momentum)


def test_what_is_given_counts_even_where_it_is_the_default_of_keras():
    assert rmsprop.keras.RMSprop(0.1, rho=0.9, dialect="pytorch").rule.decay == 0.9
    assert rmsprop.keras.RMSprop(0.1, dialect="pytorch").rule.decay == 0.99
    assert rmsprop.keras.RMSprop(0.1, momentum=0.9, dialect="keras-legacy").rule.eps_place == "inside"
    assert rmsprop.keras.RMSprop(0.1, centered=True, dialect="mxnet").rule.momentum == 0.9


@pytest.mark.parametrize("form", ["coupled", "decoupled", "decoupled_lr"])
def test_weight_decay_is_taken_once(form):
    (p,), _ = problem(shapes=((5,),))
    optimizer = rmsprop.keras.RMSprop(0.5, weight_decay=0.25, weight_decay_form=form)
    after = history(optimizer, made([p]), [[np.zeros_like(p)]])[-1]["p"][0]
    share = {"decoupled": 0.25, "decoupled_lr": 0.125}
    if form == "coupled":
        assert (np.sign(p - after) == np.sign(p)).all()
        assert abs(p - after).std() < 1e-3  # as far whatever p is: it is divided by its own root mean square
    else:
        np.testing.assert_allclose(after, (1 - share[form]) * p, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["keras", "everything"])
def test_16_bit_variables_are_computed_in_float32(dtype, name):
    # TensorFlow's bfloat16 tensors without dimensions do not become arrays.
    arrays, grads = problem(dtype=dtype, shapes=((3, 4), (7,)))
    rule = RULES[name]
    ours = history(rmsprop.keras.RMSprop(0.01, dialect=rule), made(arrays, dtype), grads)
    assert {str(a.dtype) for slot in "vmb" for a in ours[-1].get(slot, [])} == {"float32"}
    assert {keras.backend.standardize_dtype(str(p.dtype)) for p in ours[-1]["p"]} == {dtype}
    # What is not rounded away: the state, where weight decay does not bring in p.
    bare = rule.replace(weight_decay=0.0)
    narrow = history(rmsprop.keras.RMSprop(0.01, dialect=bare), made(arrays, dtype), grads)
    widened = [[a.astype(np.float32) for a in many] for many in (arrays, *grads)]
    wide = history(rmsprop.keras.RMSprop(0.01, dialect=bare), made(widened[0]), widened[1:])
    for slot in "vmb":
        for a, b in zip(narrow[-1].get(slot, []), wide[-1].get(slot, []), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    # One step from the same p is the float32 step, rounded once.
    for a, b in zip(narrow[1]["p"], wide[1]["p"], strict=True):
        np.testing.assert_array_equal(a, numpy(ops.cast(ops.convert_to_tensor(b), dtype)))


def test_bfloat16_state_does_not_stall():
    variable = keras.Variable(np.zeros(()), dtype="bfloat16")
    optimizer = rmsprop.keras.RMSprop(1e-3, rho=0.99)
    optimizer.build([variable])
    g = ops.ones((), "bfloat16")
    step = (lambda: optimizer.apply([g])) if BACKEND != "jax" else compiled(optimizer, [variable], [g])
    for _ in range(1200):
        step()
    assert float(optimizer._velocities[0]) == pytest.approx(1, abs=1e-4)  # in bfloat16 it stops at .98


def compiled(optimizer, variables, grads):
    import jax

    apply = jax.jit(optimizer.stateless_apply)

    def step():
        moved, state = apply([v.value for v in optimizer.variables], grads, [v.value for v in variables])
        for held, values in ((variables, moved), (optimizer.variables, state)):
            for variable, value in zip(held, values, strict=True):
                variable.assign(value)

    return step


@pytest.mark.parametrize("together", [True, False])
def test_state_of_zero_gradients_reaches_zero(together, monkeypatch):
    """A state of subnormal numbers would slow the steps down for good."""
    if BACKEND == "torch" and not together:
        from rmsprop.keras import plan

        monkeypatch.setattr(plan, "_way", lambda kept, rule: None)
    variable = keras.Variable(np.ones(3, np.float32))
    optimizer = rmsprop.keras.RMSprop(0.1)
    optimizer.build([variable])
    optimizer._velocities[0].assign(np.float32([1.0, 1.2e-38, 1e-37]))
    optimizer.apply([ops.zeros(3)])
    assert [float(v) > 0 for v in numpy(optimizer._velocities[0])] == [True, False, True]


def test_bias_correction_counts_steps_not_gradients():
    arrays, grads = problem(steps=6)
    rule = RULES["bias correction, centered"]
    twice = [[(a + b) / 2 for a, b in zip(*pair, strict=True)] for pair in zip(grads[::2], grads[1::2], strict=True)]
    slow = rmsprop.keras.RMSprop(0.01, dialect=rule, gradient_accumulation_steps=2)
    fast = rmsprop.keras.RMSprop(0.01, dialect=rule)
    ours, wanted = history(slow, made(arrays), grads), history(fast, made(arrays), twice)
    for a, b in zip(ours[-1]["p"], wanted[-1]["p"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    assert (ours[1]["p"][0] == ours[0]["p"][0]).all()


@pytest.mark.skipif(BACKEND != "torch", reason="only PyTorch takes variables together")
@pytest.mark.parametrize("name", RULES)
def test_one_by_one_and_in_lists_as_in_one_pass(name, monkeypatch):
    import torch

    from rmsprop.keras import plan

    rule = RULES[name]
    arrays, grads = problem()
    swept = history(rmsprop.keras.RMSprop(0.01, dialect=rule), made(arrays), grads, LRS)
    ways = [lambda kept, rule: None]
    if not rule.bias_correction:
        ways.append(lambda kept, rule: plan.Stacked)
    for way in ways:
        monkeypatch.setattr(plan, "_way", way)
        far = worst(history(rmsprop.keras.RMSprop(0.01, dialect=rule), made(arrays), grads, LRS), swept)
        tolerance = TOLERANCES["keras, NumPy float32"]
        assert far["state"] <= tolerance.state
        assert far["p"] <= tolerance.parameter
    assert torch.is_grad_enabled()

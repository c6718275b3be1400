"""Runs of optax.rmsprop that go on where they were: in optax itself, in rmsprop.optax, and back."""

import functools
from typing import Any

import jax
import numpy as np
import optax
import pytest

import rmsprop.optax
from rmsprop import checkpoint
from rmsprop.checkpoint.optax import arguments
from tests.cases import RULES, ulps
from tests.checkpoint.optaxes import CASES, NAMES, draw, gradients, run, same, schedule
from tests.tolerances import TOLERANCES

DTYPES = ("float32", "float64", "complex64", "bfloat16")
BEFORE, AFTER = 7, 20


@functools.cache
def begun(name: str, dtype: str) -> tuple[Any, Any, Any, checkpoint.State]:
    """Return an optimizer, its parameters and state after some steps, and what was captured of it."""
    case = CASES[name]
    optimizer, p = case.make(), draw(0, dtype)
    p, live = run(optimizer, p, optimizer.init(p), gradients(dtype, BEFORE))
    told = dict(case.told) if case.counted else {**case.told, "step": BEFORE}
    return optimizer, p, live, checkpoint.capture(live, **told)


def ours(name: str, state: checkpoint.State) -> Any:
    """Return the optimizer of rmsprop.optax that goes on; schedules are the caller's."""
    rate = {"learning_rate": schedule} if "schedule" in name else {}
    return rmsprop.optax.rmsprop(**{**arguments(state), **rate})


def apart(ours: Any, theirs: Any, start: Any) -> float:
    """Return the largest difference between parameters, in ulp of the larger of each before and after."""
    worst = 0.0
    for a, b, p in zip(*map(jax.tree.leaves, (ours, theirs, start)), strict=True):
        one, other, first = (np.asarray(x).reshape(-1) for x in (a, b, p))
        worst = max(worst, ulps(one, other, np.maximum(abs(other), abs(first))))
    return worst


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_a_run_goes_on_in_optax_bit_for_bit(name: str, dtype: str, tmp_path: Any) -> None:
    with jax.enable_x64(dtype == "float64"):
        optimizer, p, live, state = begun(name, dtype)
        assert state.names == NAMES
        checkpoint.save(tmp_path / "run.safetensors", state)
        again = checkpoint.restore(optimizer.init(p), checkpoint.load(tmp_path / "run.safetensors"))
        assert same(again, live)
        grads = gradients(dtype, AFTER, seed=2)
        assert same(run(optimizer, p, again, grads), run(optimizer, p, live, grads))


@pytest.mark.parametrize("dtype", DTYPES[:3])
@pytest.mark.parametrize("name", CASES)
def test_a_run_of_optax_goes_on_in_ours(name: str, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        optimizer, p, live, state = begun(name, dtype)
        target = ours(name, state)
        moved = checkpoint.restore(target.init(p), state)
        assert int(moved.count) == BEFORE
        grads = gradients(dtype, AFTER, seed=2)
        theirs, _ = run(optimizer, p, live, grads)
        mine, _ = run(target, p, moved, grads)
        row = TOLERANCES[f"optax moved {'float64' if dtype == 'float64' else 'float32'}"]
        assert apart(mine, theirs, p) <= row.parameter, row.reason


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("name", ["momentum", "nesterov", "bias correction", "eps outside", "momentum, centered"])
def test_a_run_of_ours_goes_on_in_optax(name: str, dtype: str) -> None:
    rate = CASES[name].told["lr"]
    optimizer = ours(name, begun(name, dtype)[3])
    p = draw(0, dtype)
    p, live = run(optimizer, p, optimizer.init(p), gradients(dtype, BEFORE))
    state = checkpoint.capture(live, dialect=begun(name, dtype)[3].groups[0].rule.replace(centered_form="variance"), lr=rate)
    target = optax.rmsprop(**arguments(state, to="optax"))
    moved = checkpoint.restore(target.init(p), state)
    grads = gradients(dtype, AFTER, seed=2)
    mine, theirs = run(optimizer, p, live, grads)[0], run(target, p, moved, grads)[0]
    row = TOLERANCES["optax moved float32"]
    assert apart(mine, theirs, p) <= row.parameter, row.reason


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("everything", "complex64"), ("modulus, everything", "complex64"), ("pytorch", "bfloat16"), ("tf1", "float32")],
)
def test_a_run_of_ours_goes_on_bit_for_bit(name: str, dtype: str, tmp_path: Any) -> None:
    optimizer, p = rmsprop.optax.rmsprop(0.01, RULES[name], on_nonfinite="skip"), draw(0, dtype)
    p, live = run(optimizer, p, optimizer.init(p), gradients(dtype, BEFORE))
    live = optimizer.update(jax.tree.map(lambda g: g * np.nan, p), live, p)[1]
    state = checkpoint.capture(live, lr=0.01, dialect=RULES[name])
    assert state.skipped == 1
    checkpoint.save(tmp_path / "run.safetensors", state)
    again = rmsprop.optax.rmsprop(**arguments(checkpoint.load(tmp_path / "run.safetensors")))
    moved = checkpoint.restore(again.init(p), state)
    assert same(moved, live)
    grads = gradients(dtype, 3, seed=2)
    assert same(run(again, p, moved, grads), run(optimizer, p, live, grads))


def test_16_bit_state_is_widened_exactly_and_not_narrowed() -> None:
    _, p, live, state = begun("momentum, centered", "bfloat16")
    held = {q.name: q.slots for q in state.parameters}
    for name, theirs in (("grad_avg", live[0].mu), ("square_avg", live[0].nu)):
        assert held["dense/kernel"][name].dtype == np.float32
        np.testing.assert_array_equal(held["dense/kernel"][name], np.asarray(theirs["dense"]["kernel"], np.float32))
    target = ours("momentum, centered", state)
    wide, _ = run(target, p, checkpoint.restore(target.init(p), state), gradients("bfloat16", 1, seed=2))
    assert jax.tree.leaves(wide)[0].dtype == p["dense"]["bias"].dtype
    moved = run(target, p, checkpoint.restore(target.init(p), state), gradients("bfloat16", 1, seed=2))[1]
    finer = checkpoint.capture(moved, dialect=state.groups[0].rule.replace(centered_form="variance"), lr=0.01)
    with pytest.raises(
        checkpoint.ConversionError, match=r"would be rounded from float32 to bfloat16; .* use rmsprop\.optax, whose"
    ):
        checkpoint.restore(CASES["momentum, centered"].make().init(p), finer)


def test_a_state_of_another_host_goes_to_optax_and_renamed() -> None:
    w = {"dense.weight": np.ones((4, 3), np.float32), "dense.bias": np.zeros(4, np.float32)}
    numpy = rmsprop.RMSprop(w, lr=0.1, dialect="optax", momentum=0.9)
    numpy.step({name: np.full_like(array, 2.0) for name, array in w.items()})
    state = checkpoint.capture(numpy).renamed({r"(.+)\.weight": r"\1/kernel@1,0", r"(.+)\.bias": r"\1/bias"})
    target = optax.rmsprop(**arguments(state, to="optax"))
    fresh = target.init({"dense": {"kernel": np.ones((3, 4), np.float32), "bias": np.zeros(4, np.float32)}})
    moved = checkpoint.restore(fresh, state)
    held = numpy.state["momentum_buffer"]
    np.testing.assert_array_equal(moved[2].trace["dense"]["kernel"], -held["dense.weight"].T)
    np.testing.assert_array_equal(moved[0].nu["dense"]["bias"], numpy.state["square_avg"]["dense.bias"])

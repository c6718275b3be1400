"""dialect="optax" against optax.rmsprop itself, over all of its options."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rmsprop.optax
from tests.cases import ulps
from tests.optax.harness import Trace
from tests.tolerances import RELATIVE, TOLERANCES

LRS = (0.01, 0.01, 0.003, 0.02, 0.005, 0.001)
SWITCHES = [
    {"centered": centered, "eps_in_sqrt": inside, **momentum, **start}
    for centered, inside, momentum, start in itertools.product(
        (False, True),
        (True, False),
        ({}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}),
        ({}, {"initial_scale": 1.0}, {"bias_correction": True}),
    )
]
# Centered and corrected, v - m² is 0 at the first step, and optax's rounding of it decides the step.
PLAIN = [s for s in SWITCHES if not (s["centered"] and "bias_correction" in s)]
CORRECTED = [s for s in SWITCHES if s["centered"] and "bias_correction" in s]


def trace(optimizer: Any, p: Any, grads: list[Any], slots: dict[str, Any], jit: bool) -> Trace:
    update = jax.jit(optimizer.update) if jit else optimizer.update
    state = optimizer.init(p)
    found = [{"p": np.asarray(p)}]
    for g in grads:
        updates, state = update(g, state, p)
        p = optax.apply_updates(p, updates)
        found.append({"p": np.asarray(p)} | {name: np.asarray(read(state)) for name, read in slots.items()})
    return found


def both(options: dict[str, Any], dtype: str, lrs: Any, jit: bool = False) -> tuple[Trace, Trace]:
    """Return p and after each step p, v (where centered v - m²), m and b, of ours and of theirs."""
    rng = np.random.default_rng(3)

    def draw() -> Any:
        array = rng.standard_normal(50)
        return jnp.asarray(array + 1j * rng.standard_normal(50) if dtype.startswith("complex") else array, dtype)

    p, grads = draw(), [3 * draw() for _ in LRS]
    centered, momentum = options["centered"], "momentum" in options
    ours = {"v": lambda state: state.variance if centered else state.square_avg}
    theirs = {"v": lambda state: state[0].nu.real}
    if centered:
        ours["m"], theirs["m"] = lambda state: state.grad_avg, lambda state: state[0].mu
    if momentum:
        ours["b"], theirs["b"] = lambda state: state.momentum_buffer, lambda state: -state[2].trace
    return (
        trace(rmsprop.optax.rmsprop(lrs, **options), p, grads, ours, jit),
        trace(optax.rmsprop(lrs, **options), p, grads, theirs, jit),
    )


def table(dtype: str) -> Any:
    values = jnp.asarray(LRS, jnp.finfo(dtype).dtype)
    return lambda count: values[count]


@pytest.mark.parametrize(("dtype", "jit"), [("float32", False), ("float32", True), ("float64", False), ("complex64", False)])
def test_all_options(dtype, jit):
    tolerance = TOLERANCES[f"optax live {jnp.finfo(dtype).dtype}"]
    for options in PLAIN:
        worst = errors(*both(options, dtype, table(dtype), jit), options)
        assert worst["state"] <= tolerance.state, options
        assert worst["p"] <= tolerance.parameter, options


def errors(ours: Trace, theirs: Trace, options: dict[str, Any]) -> dict[str, float]:
    """Return the largest differences in ulp of v itself, by which v - m² is uncertain, and of the largest p, m and b so far."""
    worst, largest = {"p": 0.0, "state": 0.0}, {}
    for got, wanted in zip(ours, theirs, strict=True):  # the first is p before any step
        for name, array in got.items():
            exact = wanted[name]
            largest[name] = abs(exact) if name == "v" else np.maximum(largest.get(name, 0), abs(exact))
            if name == "v" and options["centered"]:
                exact = exact - abs(wanted["m"]) ** 2
            kind = "p" if name == "p" else "state"
            worst[kind] = max(worst[kind], ulps(array, exact, largest[name]))
    return worst


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_centered_and_corrected(dtype):
    share = RELATIVE["optax, centered and corrected"].share
    for options in CORRECTED:
        ours, theirs = both({**options, "eps": 0.1}, dtype, table(dtype))
        assert all(np.isfinite(array).all() for step in ours for array in step.values())
        finite = np.isfinite(theirs[-1]["p"])  # where rounding made v - m² negative, theirs is NaN for good
        assert finite.mean() > 0.3
        for got, wanted in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(got["p"][finite], wanted["p"][finite], rtol=share, atol=share)


def test_defaults_and_numbers():
    """The same defaults, and each number reaches its place."""
    tolerance = TOLERANCES["optax live float32"]
    for numbers in ({}, {"decay": 0.5}, {"eps": 0.3}, {"initial_scale": 2.5}, {"decay": 0.99, "momentum": 0.5, "eps": 1e-3}):
        options = {"centered": False, **numbers}
        worst = errors(*both(options, "float32", 0.01), options)
        assert worst["state"] <= tolerance.state, options
        assert worst["p"] <= tolerance.parameter, options


def test_an_array_is_a_learning_rate_too():
    options = {"centered": False, "momentum": 0.9}
    worst = errors(*both(options, "float32", jnp.float32(0.01)), options)
    assert worst["p"] <= TOLERANCES["optax live float32"].parameter


def test_optax_faults_are_refused():
    with pytest.raises(ValueError, match=r"bias_correction=True needs square_init=0, got 1\.0"):
        rmsprop.optax.rmsprop(0.1, bias_correction=True, initial_scale=1.0)
    with pytest.raises(ValueError, match="nesterov=True needs momentum"):
        rmsprop.optax.rmsprop(0.1, nesterov=True)
    zero = jnp.zeros(2, jnp.float16)
    theirs = optax.rmsprop(0.1)
    assert np.isnan(theirs.update(zero, theirs.init(zero), zero)[0]).all()  # eps = 1e-8 is 0 in float16
    ours = rmsprop.optax.rmsprop(0.1)
    assert (ours.update(zero, ours.init(zero), zero)[0] == 0).all()

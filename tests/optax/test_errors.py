"""What is refused, and what the message says to do."""

import subprocess
import sys

import jax.numpy as jnp
import optax
import pytest

import rmsprop
import rmsprop.optax
from rmsprop.optax import scale_by_rule
from tests.optax import harness  # noqa: F401  # double precision


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "message"),
    [
        ((), {}, ValueError, "dialect 'optax' has no default learning rate; pass learning_rate"),
        ((0.1, 0.9), {}, TypeError, "dialect must be a name or a Rule, got 0.9"),
        ((0.1, "pytroch"), {}, ValueError, "did you mean 'pytorch'"),
        ((-0.1,), {}, ValueError, r"lr must be in \[0, inf\), got -0\.1; use maximize=True"),
        (("fast",), {}, TypeError, "lr must be a number"),
        ((jnp.ones(2),), {}, ValueError, r"learning_rate must have no dimension, got shape \(2,\); use optax.partition"),
        ((0.1,), {"decay": 1.5}, ValueError, r"decay must be in \[0, 1\), got 1\.5; 1 - decay weighs the new gradient"),
        ((0.1,), {"decay": jnp.ones(2)}, ValueError, "decay must have no dimension"),
        (
            (0.1,),
            {"alpha": 0.9},
            TypeError,
            "unknown keyword 'alpha'; a rule has decay, eps, .* and optax's initial_scale, eps_in_sqrt",
        ),
        ((0.1,), {"eps_in_sqrt": "yes"}, TypeError, "eps_in_sqrt must be True or False, got 'yes'"),
        ((0.1,), {"eps_in_sqrt": True, "eps_place": "inside"}, TypeError, "eps_place was given twice"),
        ((0.1,), {"initial_scale": 1.0, "square_init": 1.0}, TypeError, "square_init was given twice, by its own name and by"),
        ((0.1,), {"initial_scale": -1.0}, ValueError, "square_init must be in"),
        ((0.1,), {"on_nonfinite": "raise"}, ValueError, "on_nonfinite must be 'propagate' or 'skip', got 'raise'; a traced step"),
        (
            (0.1,),
            {"initial_scale": jnp.float32(0), "bias_correction": True},
            ValueError,
            "name it in static_args of inject_hyperparams",
        ),
    ],
)
def test_arguments(arguments, options, kind, message):
    with pytest.raises(kind, match=message):
        rmsprop.optax.rmsprop(*arguments, **options)


@pytest.mark.parametrize(
    ("axes", "dtype", "message"),
    [
        ({"eps": 1e-40}, "float32", "eps=1e-40 is 0 in float32 as this backend computes it, .* use at least 1.18e-38"),
        ({"eps": 1e-40}, "bfloat16", "eps=1e-40 is 0 in float32"),
        ({"eps": 1e-320}, "float64", "eps=1e-320 is 0 in float64"),
        ({"decay": 1 - 1e-9}, "float32", "rounds to 1 in float32"),
        ({"eps": 1e-38}, "float32", "is 0 in float32"),
        ({"initial_scale": 1e39}, "complex64", "overflows float32"),
    ],
)
def test_numbers_that_the_arithmetic_cannot_hold(axes, dtype, message):
    with pytest.raises(ValueError, match=message):
        rmsprop.optax.rmsprop(0.1, **axes).init({"w": jnp.ones(2, dtype)})


def test_they_are_held_by_a_wider_one():
    rmsprop.optax.rmsprop(0.1, eps=1e-40, decay=1 - 1e-9).init(jnp.ones(2, "float64"))


def test_parameters_and_gradients():
    optimizer = rmsprop.optax.rmsprop(0.1, "pytorch", momentum=0.9)
    with pytest.raises(
        TypeError, match=r"parameter \['n'\] must be one of bfloat16, float16, .*, got int32; leave it out with optax"
    ):
        optimizer.init({"w": jnp.ones(2), "n": jnp.arange(2, dtype=jnp.int32)})
    state = optimizer.init({"w": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"the gradient of \['w'\] must have shape \(2,\), got \(\)"):
        optimizer.update({"w": jnp.ones(())}, state)
    with pytest.raises(TypeError, match=r"the gradient of \['w'\] must be of a floating or complex dtype, got int"):
        optimizer.update({"w": jnp.arange(2)}, state)
    with pytest.raises(TypeError, match=r"the gradient of \['w'\] must be real as the parameter is, got complex128"):
        optimizer.update({"w": jnp.ones(2) * 1j}, state)
    with pytest.raises(TypeError, match="must be complex as the parameter is, got float64"):
        optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2) * 1j))
    for other in ({"v": jnp.ones(2)}, [jnp.ones(2)], {"w": jnp.ones(2), "v": jnp.ones(2)}):
        with pytest.raises(ValueError, match="updates must have the structure of the parameters that init was given"):
            optimizer.update(other, state)


def test_a_rule_is_taken_as_it_is():
    rule = rmsprop.dialect("pytorch", decay=0.5)
    assert rmsprop.optax.rmsprop(dialect=rule).init(jnp.ones(1)).square_avg.tolist() == [0]
    assert scale_by_rule(rule, decay=None).init(jnp.ones(1)).square_avg.tolist() == [0]
    assert isinstance(scale_by_rule(), optax.GradientTransformationExtraArgs)


@pytest.mark.parametrize("missing", ["jax", "optax"])
def test_a_missing_framework_names_the_extra(missing):
    code = f"""
import sys
sys.modules[{missing!r}] = None
import rmsprop
try:
    rmsprop.optax
except ImportError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told == "rmsprop.optax needs JAX and optax; install them with: pip install 'rmsprop[jax]'\n"


def test_importing_rmsprop_loads_neither():
    code = "import sys, rmsprop; print({'jax', 'optax'} & set(sys.modules), 'optax' in dir(rmsprop))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set() True\n"

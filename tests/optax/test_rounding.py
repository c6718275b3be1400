"""What is added to the parameters has all of its digits, and 16-bit parameters lose none that they can hold."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rmsprop.optax
from rmsprop.kernels.xla import gathered
from tests.cases import RULES, truth, ulps
from tests.optax.harness import run

ROUNDED = ("pytorch", "momentum", "decoupled decay", "decoupled decay by lr", "coupled decay")


@pytest.mark.parametrize("name", ROUNDED)
def test_an_update_far_below_the_parameter_keeps_its_digits(name):
    """p_new - p would be 0 or a few ulp of p here."""
    rng = np.random.default_rng(0)
    p, g = (rng.standard_normal(40).astype(np.float32) for _ in "pg")
    rule = RULES[name].replace(weight_decay=1e-9) if "decoupled" in name else RULES[name]
    (update,) = run(rmsprop.optax.rmsprop(1e-9, rule), jnp.asarray(p), [jnp.asarray(g)])[1]
    exact = truth(rule, p, [g], [1e-9])[0]["p"] - p.astype(float)
    assert update.dtype == jnp.float32
    assert ulps(np.asarray(update), exact, exact.astype(float)) <= 6
    assert (p + np.asarray(update) == p).mean() > 0.5


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_parameters_have_float32_state(dtype):
    optimizer = rmsprop.optax.rmsprop(1e-3, "pytorch", centered=True, momentum=0.9)
    p = jnp.ones(8, dtype)
    grads = [jnp.full(8, 0.1 * (t % 7), dtype) for t in range(50)]
    moved, updates, state = run(optimizer, p, grads)
    assert moved.dtype == updates[0].dtype == dtype
    assert {a.dtype for a in jax.tree.leaves(state) if a.ndim} == {jnp.dtype("float32")}
    _, _, wide = run(optimizer, p.astype(jnp.float32), [g.astype(jnp.float32) for g in grads])
    for slot in ("variance", "grad_avg", "momentum_buffer"):
        np.testing.assert_array_equal(getattr(state, slot), getattr(wide, slot))


def test_bfloat16_state_would_have_stalled():
    """A mean of 5,000 unit gradients is 1; kept in bfloat16 it stops at .98, as optax's own does."""
    p, g = jnp.zeros((), jnp.bfloat16), jnp.ones((), jnp.bfloat16)

    def mean(optimizer, read):
        return float(
            read(jax.jit(lambda s: jax.lax.fori_loop(0, 5000, lambda _, s: optimizer.update(g, s, p)[1], s))(optimizer.init(p)))
        )

    assert mean(rmsprop.optax.rmsprop(1e-3, decay=0.99), lambda s: s.square_avg) == pytest.approx(1, abs=1e-4)
    assert mean(optax.rmsprop(1e-3, decay=0.99), lambda s: s[0].nu) < 0.99


def test_wide_gradients_round_16_bit_parameters_once():
    rng = np.random.default_rng(0)
    p = jnp.asarray(rng.standard_normal(1000), jnp.bfloat16)
    g = jnp.asarray(rng.standard_normal(1000), jnp.bfloat16).astype(jnp.float32)
    optimizer = rmsprop.optax.rmsprop(0.3, "pytorch", momentum=0.9)
    moved, (update,), _ = run(optimizer, p, [g])
    wide, _, _ = run(optimizer, p.astype(jnp.float32), [g])
    assert update.dtype == jnp.float32
    np.testing.assert_array_equal(moved, wide.astype(jnp.bfloat16))


def test_complex_parts_are_two_real_parameters():
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((4, 2, 30))
    p, *grads = (jnp.asarray(real + 1j * imag) for real, imag in parts)
    axes = {"centered": True, "momentum": 0.9, "weight_decay": 0.1}
    whole = run(rmsprop.optax.rmsprop(0.01, "pytorch", **axes), p, grads, jit=False)[0]
    for part in (jnp.real, jnp.imag):
        alone = run(rmsprop.optax.rmsprop(0.01, "pytorch", **axes), part(p), [part(g) for g in grads], jit=False)[0]
        np.testing.assert_array_equal(part(whole), alone)
    turned = run(rmsprop.optax.rmsprop(0.01, "optax"), p * 1j, [g * 1j for g in grads])[0]  # |g|² does not turn
    np.testing.assert_allclose(turned, 1j * run(rmsprop.optax.rmsprop(0.01, "optax"), p, grads)[0], rtol=1e-13)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999, 0.9999])
def test_the_weightgathered_so_far_is_exact_in_single_precision(decay):
    steps = np.array([0, 1, 2, 3, 5, 8, 100, 777, 4096, 31337, 2**20 + 1, 2**31 - 1])
    exact = -np.expm1(np.log(decay) * steps) if decay else np.minimum(steps, 1).astype(float)
    for given in (decay, jnp.float32(decay)):
        wanted = exact if given is decay else -np.expm1(np.log(float(given)) * steps) if decay else exact
        got = np.asarray(jax.jit(lambda t, given=given: gathered(given, t, jnp.float32))(jnp.asarray(steps, jnp.int32)))
        assert got.dtype == np.float32
        assert ulps(got, wanted, wanted) <= 3

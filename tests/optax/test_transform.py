"""The transformation under what JAX and optax do to it."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rmsprop.optax
from rmsprop.optax import ScaleByRuleState, scale_by_rule
from tests.cases import RULES
from tests.optax.harness import run, same, tree

EVERYTHING = RULES["everything"]
LR = 0.01


def make(rule=EVERYTHING, lr=LR, **axes):
    return rmsprop.optax.rmsprop(lr, rule, **axes)


def gradients(seed=1, steps=4, **kinds):
    rng = np.random.default_rng(seed)
    return [tree(rng, **kinds) for _ in range(steps)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("name", ["everything", "pytorch", "modulus, everything"])
def test_a_tree_steps_as_its_arrays_do(name, dtype):
    p, grads = tree(np.random.default_rng(0), dtype), gradients(dtype=dtype)
    whole, _, state = run(make(RULES[name]), p, grads)
    leaves = [jax.tree.leaves(g) for g in grads]
    parts = [run(make(RULES[name]), leaf, [g[i] for g in leaves])[0] for i, leaf in enumerate(jax.tree.leaves(p))]
    assert same(jax.tree.leaves(whole), parts)
    assert int(state.count) == len(grads)


def test_state_names_what_the_rule_keeps():
    state = make("pytorch", centered=True).init(jnp.zeros(3))
    assert state.square_avg is None
    assert state.momentum_buffer is None
    assert state.skipped is None
    assert state.variance.shape == state.grad_avg.shape == (3,)
    assert make("tf1").init(jnp.zeros(3)).square_avg.tolist() == [1, 1, 1]
    assert make("tf1").init(jnp.zeros(1, complex)).square_avg.tolist() == [1 + 1j]
    assert make("tf1", complex_form="modulus").init(jnp.zeros(1, complex)).square_avg.dtype == jnp.float64


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "bfloat16"])
def test_jit_compiles_once_and_keeps_dtypes(dtype):
    p, grads = tree(np.random.default_rng(0), dtype), gradients(dtype=dtype)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), make())
    update = jax.jit(optimizer.update)
    state = first = optimizer.init(p)
    for g in grads:
        updates, state = update(g, state, p)
        assert [x.aval for x in jax.tree.leaves(state)] == [x.aval for x in jax.tree.leaves(first)]  # weak types too
        assert [x.aval for x in jax.tree.leaves(updates)] == [x.aval for x in jax.tree.leaves(p)]
    assert update._cache_size() == 1


def test_donated_buffers_are_used():
    p = {"w": jnp.ones((64, 64)), "b": jnp.ones(64)}
    optimizer = make("pytorch", momentum=0.9)
    state = optimizer.init(p)
    step = jax.jit(lambda g, state, p: optimizer.update(g, state, p), donate_argnums=(0, 1))
    compiled = step.lower(p, state, p).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 64 * 64 * 4
    given = jax.tree.map(jnp.copy, p)
    step(given, state, p)
    assert all(array.is_deleted() for array in jax.tree.leaves((given, state)))


def test_scan_equals_a_loop():
    p, grads = tree(np.random.default_rng(0)), gradients(steps=5)
    optimizer = make()
    looped = run(optimizer, p, grads)

    def body(carry, g):
        p, state = carry
        updates, state = optimizer.update(g, state, p)
        return (optax.apply_updates(p, updates), state), updates

    stacked = jax.tree.map(lambda *x: jnp.stack(x), *grads)
    (p, state), _ = jax.jit(lambda c, g: jax.lax.scan(body, c, g))((p, optimizer.init(p)), stacked)
    near((p, state), (looped[0], looped[2]))


def near(one, other, ulp=8):
    """Hold two trees together: compiled as part of something else, a sum may be fused otherwise."""
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        share = ulp * jnp.finfo(a.dtype).eps if jnp.issubdtype(a.dtype, jnp.inexact) else 0
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=share, atol=share)


def test_vmap_trains_many_models_at_once():
    rng = np.random.default_rng(0)
    p, grads = jnp.asarray(rng.standard_normal((6, 5))), [jnp.asarray(rng.standard_normal((6, 5))) for _ in range(3)]
    optimizer = make()
    each = [run(optimizer, p[i], [g[i] for g in grads])[0] for i in range(6)]
    state = jax.vmap(optimizer.init)(p)
    update = jax.jit(jax.vmap(optimizer.update))
    for g in grads:
        updates, state = update(g, state, p)
        p = optax.apply_updates(p, updates)
    near(p, jnp.stack(each))
    assert state.count.tolist() == [3] * 6


def test_vmap_over_the_learning_rate():
    p, g = jnp.ones(3), jnp.array([1.0, -2.0, 3.0])
    rates = jnp.array([0.1, 0.2])
    moved = jax.vmap(lambda lr: run(make("pytorch", lr), p, [g], jit=False)[0])(rates)
    near(moved, jnp.stack([run(make("pytorch", float(lr)), p, [g])[0] for lr in rates]))


@pytest.mark.parametrize("name", ["everything", "pytorch", "centered", "nesterov", "decoupled decay by lr", "bias correction"])
def test_gradient_through_steps(name):
    """Against central differences, and by both modes."""
    grads = jnp.array([[1.0, -2.0, 0.5], [0.3, 0.1, -0.2]])

    @jax.jit
    def end(x):
        optimizer = make(RULES[name], x[0])
        p, state = x[1:4], optimizer.init(x[1:4])
        for g in grads:
            updates, state = optimizer.update(g * p + x[4], state, p)
            p = optax.apply_updates(p, updates)
        return (p**2).sum()

    x = jnp.array([0.1, 1.0, -0.5, 2.0, 0.3])
    reverse, forward = jax.jit(jax.grad(end))(x), jax.jit(jax.jacfwd(end))(x)
    differences = [(end(x.at[i].add(1e-6)) - end(x.at[i].add(-1e-6))) / 2e-6 for i in range(5)]
    np.testing.assert_allclose(reverse, differences, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(forward, reverse, rtol=1e-12)


def test_gradient_through_a_step_from_zero():
    """The root of a mean of squares that is 0 has no derivative; the step has: -lr / eps."""
    optimizer = make("pytorch", 0.1, eps=0.5)

    def step(g):
        return optimizer.update(g, optimizer.init(g))[0].sum()

    for derivative in (jax.grad, jax.jacfwd):
        assert jax.jit(derivative(step))(jnp.zeros(2)).tolist() == [-0.2, -0.2]
    assert jnp.isfinite(jax.jit(jax.hessian(step))(jnp.zeros(2))).all()


def test_inject_hyperparams():
    p, grads = tree(np.random.default_rng(0)), gradients(steps=6)
    numbers = {"decay": 0.95, "eps": 1e-3, "momentum": 0.5, "weight_decay": 0.1}
    injected = optax.inject_hyperparams(rmsprop.optax.rmsprop)(LR, "pytorch", centered=True, **numbers)
    state = injected.init(p)
    assert set(state.hyperparams) == {"learning_rate", *numbers}
    update = jax.jit(injected.update)
    moving, first = p, None
    for t, g in enumerate(grads):
        if t == 3:
            first = moving, state
            state.hyperparams["learning_rate"] = jnp.asarray(0.1 * LR)
        updates, state = update(g, state, moving)
        moving = optax.apply_updates(moving, updates)
    assert update._cache_size() <= 2  # the count's weak type is optax's
    steady = make("pytorch", centered=True, **numbers)
    near(first[0], run(steady, p, grads[:3])[0])
    slower = make("pytorch", lambda count: jnp.where(count < 3, LR, 0.1 * LR), centered=True, **numbers)
    near(moving, run(slower, p, grads)[0])


def test_inject_a_schedule_and_bias_correction():
    p, grads = tree(np.random.default_rng(0)), gradients(steps=6)
    schedule = optax.exponential_decay(0.1, 2, 0.5)
    injected = optax.inject_hyperparams(rmsprop.optax.rmsprop)(schedule, decay=0.9, bias_correction=True, eps_in_sqrt=False)
    near(run(injected, p, grads)[0], run(make("optax", schedule, decay=0.9, bias_correction=True, eps_in_sqrt=False), p, grads)[0])


def test_a_schedule_is_given_the_steps_taken():
    p = jnp.zeros(1)
    grads = [jnp.ones(1)] * 3
    _, updates, _ = run(make("pytorch", lambda count: jnp.where(count == 1, 0.0, 1.0), decay=0.0), p, grads)
    assert [float(u[0]) for u in updates] == [pytest.approx(-1), 0, pytest.approx(-1)]


def test_masked_leaves_the_rest_alone():
    p, grads = tree(np.random.default_rng(0)), gradients()
    masked = optax.masked(make(), {"w": True, "rest": [False, True, True]})
    moved, updates, state = run(masked, p, grads)
    assert same(updates[-1]["rest"][0], grads[-1]["rest"][0])
    near(moved["w"], run(make(), p["w"], [g["w"] for g in grads])[0])
    assert len(jax.tree.leaves(optax.tree_utils.tree_get(state, "variance"))) == 3


def test_partition_gives_each_group_its_rule():
    p, grads = tree(np.random.default_rng(0)), gradients()
    labels = {"w": "a", "rest": ["b", "b", "a"]}
    moved, *_ = run(optax.partition({"a": make("tf1", momentum=0.9), "b": make("pytorch")}, labels), p, grads)
    near(moved["w"], run(make("tf1", momentum=0.9), p["w"], [g["w"] for g in grads])[0])
    near(moved["rest"][0], run(make("pytorch"), p["rest"][0], [g["rest"][0] for g in grads])[0])


def test_apply_if_finite_and_multi_steps():
    p, grads = tree(np.random.default_rng(0), "bfloat16"), gradients(dtype="bfloat16")
    bad = jax.tree.map(lambda g: g * jnp.nan, grads[0])
    guarded = optax.apply_if_finite(make("pytorch"), 3)
    moved, _, state = run(guarded, p, [grads[0], bad, grads[1]])
    near(moved, run(make("pytorch"), p, grads[:2])[0])
    assert int(state.total_notfinite) == 1
    run(optax.MultiSteps(make("pytorch"), 2), p, grads)


def test_none_gradients_and_none_parameters():
    p = {"a": jnp.ones(2), "b": None, "c": jnp.ones(3)}
    optimizer = make("pytorch", momentum=0.9)
    state = optimizer.init(p)
    updates, after = optimizer.update({"a": None, "b": None, "c": jnp.ones(3)}, state, p)
    assert updates["a"] is None
    assert updates["b"] is None
    assert same(after.square_avg["a"], state.square_avg["a"])
    assert (updates["c"] < 0).all()


def test_a_tree_of_nothing():
    optimizer = make("pytorch", on_nonfinite="skip")
    for nothing in ({}, None, []):
        updates, state = optimizer.update(nothing, optimizer.init(nothing))
        assert updates == nothing
        assert int(state.count) == 1


def test_parameters_are_needed_for_weight_decay_alone():
    g = jnp.ones(2)
    for axes in ({}, {"momentum": 0.9, "nesterov": True}, {"centered": True, "bias_correction": True}):
        optimizer = make("optax", **axes)
        state = optimizer.init(g)
        assert same(optimizer.update(g, state)[0], optimizer.update(g, state, 3 * g)[0])
    with pytest.raises(ValueError, match=r"weight decay needs the parameters: call update\(updates, state, params\)"):
        make().update(g, make().init(g))


def test_extra_arguments_are_taken():
    optimizer = make("pytorch")
    assert isinstance(optimizer, optax.GradientTransformationExtraArgs)
    optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)), value=1.0)


def test_tree_utils_find_the_state():
    p = tree(np.random.default_rng(0))
    optimizer = optax.chain(optax.clip(1.0), make())
    state = optimizer.init(p)
    assert optax.tree_utils.tree_get(state, "momentum_buffer")["w"].shape == (3, 4)
    state = optax.tree_utils.tree_set(state, count=jnp.asarray(7, jnp.int32))
    assert int(optax.tree_utils.tree_get(state, "count")) == 7
    tripled = optax.tree_utils.tree_map_params(optimizer, lambda array: array + 3, state)
    assert isinstance(tripled[1], ScaleByRuleState)
    assert float(tripled[1].variance["w"][0, 0]) == 3
    assert int(tripled[1].count) == 7
    assert same(pickle.loads(pickle.dumps(state)), state)


def test_skip_changes_nothing_and_counts():
    p, grads = tree(np.random.default_rng(0)), gradients()
    optimizer = make("pytorch", momentum=0.9, on_nonfinite="skip")
    _, _, state = run(optimizer, p, grads)
    for bad in (jnp.nan, -jnp.inf, 2e19):  # whose square overflows
        broken = {**grads[0], "w": grads[0]["w"].at[1, 2].set(bad)}
        updates, after = jax.jit(optimizer.update)(broken, state, p)
        assert not any(u.any() for u in jax.tree.leaves(updates))
        assert same(after._replace(skipped=state.skipped), state)
        assert int(after.skipped) == int(state.skipped) + 1
    near(run(optimizer, p, grads)[1], run(make("pytorch", momentum=0.9), p, grads)[1])


def test_state_of_zero_gradients_reaches_zero():
    optimizer = make("pytorch")
    state = optimizer.init(jnp.ones(4, jnp.float32))
    state = state._replace(square_avg=jnp.float32([3e-38, 2.36e-38, 1e-38, 1e-45]))
    after = optimizer.update(jnp.zeros(4, jnp.float32), state)[1].square_avg
    assert [float(v) > 0 for v in after] == [True, False, False, False]


OUTSIDE = (
    "pytorch",
    "tf1",
    "optimisers-jl",
    "nesterov, lr outside",
    "centered",
    "bias correction, centered",
    "coupled decay, maximize",
    "decoupled decay by lr",
)


@pytest.mark.parametrize("name", OUTSIDE)
def test_scale_by_rule_and_a_learning_rate_make_the_alias(name):
    rule, p, grads = RULES[name], tree(np.random.default_rng(0)), gradients()
    chained = optax.chain(scale_by_rule(rule), optax.scale_by_learning_rate(LR))
    near(run(chained, p, grads)[0], run(make(rule), p, grads)[0], ulp=16)


@pytest.mark.parametrize("name", ["momentum", "everything", "decoupled decay"])
def test_scale_by_rule_refuses_what_the_learning_rate_enters(name):
    with pytest.raises(ValueError, match=r"use rmsprop\(learning_rate, \.\.\.\)"):
        scale_by_rule(RULES[name])
    assert scale_by_rule(RULES[name], lr_in_momentum=False, weight_decay_form="decoupled_lr")

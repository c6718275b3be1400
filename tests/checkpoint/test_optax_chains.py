"""States of chains and wrappers around RMSprop: what is found in them, and that a run goes on."""

import os
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rmsprop.optax
from rmsprop import checkpoint
from rmsprop.checkpoint import ConversionError, UsageError
from rmsprop.checkpoint.optax import arguments
from tests.checkpoint.optaxes import draw, gradients, run, same, schedule

LABELS = {"dense": {"kernel": "fast", "bias": "slow"}, "scales": ["slow", "fast"]}
MASK = {"dense": {"kernel": True, "bias": False}, "scales": [True, False]}
SAID = {"lr": 0.01, "momentum": 0.9}


def theirs(**options: Any) -> Any:
    return optax.rmsprop(0.01, momentum=0.9, **options)


def mine(**options: Any) -> Any:
    return rmsprop.optax.rmsprop(0.01, momentum=0.9, **options)


# What is made, what its state does not hold, the names of each group, and the axes that are seen.
SHAPES: dict[str, tuple[Any, dict[str, Any], list[set[str]], dict[str, Any]]] = {
    "clipped": (lambda: optax.chain(optax.clip_by_global_norm(1.0), theirs()), {**SAID, "step": 5}, [{"all"}], {}),
    "ours, clipped": (lambda: optax.chain(optax.clip(1.0), mine()), SAID, [{"all"}], {}),
    "chains in chains": (lambda: optax.chain(optax.chain(theirs()), optax.identity()), {**SAID, "step": 5}, [{"all"}], {}),
    "named chain": (lambda: optax.named_chain(("clip", optax.clip(1.0)), ("rms", theirs())), {**SAID, "step": 5}, [{"all"}], {}),
    "masked": (
        lambda: optax.masked(theirs(centered=True), MASK),
        {**SAID, "step": 5},
        [{"dense/kernel", "scales/0"}],
        {"centered": True},
    ),
    "multi_transform": (
        lambda: optax.multi_transform({"fast": theirs(), "slow": mine(dialect="tf1")}, LABELS),
        {**SAID, "step": 5},
        [{"dense/kernel", "scales/1"}, {"dense/bias", "scales/0"}],
        {},
    ),
    "finite": (lambda: optax.apply_if_finite(theirs(), 3), {**SAID, "step": 5}, [{"all"}], {}),
    "many steps": (lambda: optax.MultiSteps(theirs(), 1), SAID, [{"all"}], {}),
    "injected in a chain": (
        lambda: optax.chain(optax.zero_nans(), optax.inject_hyperparams(optax.rmsprop)(schedule, momentum=0.9)),
        {},
        [{"all"}],
        {"momentum": float(np.float32(0.9))},
    ),
    "ours, injected": (
        lambda: optax.inject_hyperparams(rmsprop.optax.rmsprop)(schedule, "pytorch", decay=0.75, weight_decay=0.5, momentum=0.5),
        {"dialect": "pytorch"},
        [{"all"}],
        {"decay": 0.75, "weight_decay": 0.5, "momentum": 0.5, "lr_in_momentum": False},
    ),
    "lr after the trace": (
        lambda: optax.chain(optax.scale_by_rms(), optax.trace(0.9), optax.scale_by_learning_rate(0.01)),
        {**SAID, "step": 5},
        [{"all"}],
        {"lr_in_momentum": False},
    ),
    "schedule after the trace": (
        lambda: optax.chain(optax.scale_by_stddev(eps=1e-3), optax.trace(0.9), optax.scale_by_learning_rate(schedule)),
        {**SAID, "eps": 1e-3},
        [{"all"}],
        {"lr_in_momentum": False, "centered": True},
    ),
    "clipped before the trace": (
        lambda: optax.chain(optax.scale_by_rms(), optax.clip(9.0), optax.trace(0.9), optax.scale_by_learning_rate(0.01)),
        {**SAID, "step": 5, "lr_in_momentum": False},
        [{"all"}],
        {"lr_in_momentum": False},
    ),
    "scaled by a schedule around parts": (
        lambda: optax.chain(optax.masked(optax.scale_by_rms(), MASK), optax.scale_by_schedule(lambda count: -schedule(count))),
        {"lr": 0.01},
        [{"dense/kernel", "scales/0"}],
        {},
    ),
    "a rule by itself": (
        lambda: optax.chain(rmsprop.optax.scale_by_rule("pytorch", momentum=0.9), optax.scale_by_learning_rate(0.01)),
        {**SAID, "dialect": "pytorch"},
        [{"all"}],
        {"lr_in_momentum": False},
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_state_is_found_and_goes_back(name: str) -> None:
    make, told, names, axes = SHAPES[name]
    optimizer, p = make(), draw(0, "float32")
    p, live = run(optimizer, p, optimizer.init(p), gradients("float32", 5))
    state = checkpoint.capture(live, **told)
    everything = {"dense/bias", "dense/kernel", "scales/0", "scales/1"}
    assert [{q.name for q in group.parameters} for group in state.groups] == [everything if "all" in n else n for n in names]
    assert {q.step for q in state.parameters} == {5}
    assert {axis: getattr(state.groups[0].rule, axis) for axis in axes} == axes
    if name in ("clipped before the trace",):  # the target has no one to ask
        with pytest.raises(ConversionError, match="the order of the target's chain does not show whether the learning rate comes"):
            checkpoint.restore(optimizer.init(p), state)
        return
    again = checkpoint.restore(optimizer.init(p), state)
    if name == "many steps":  # of its gathered gradients, which are 0, some are -0
        again, live = (jax.tree.map(lambda x: x + 0, tree) for tree in (again, live))
    assert same(again, live)
    assert same(run(optimizer, p, again, gradients("float32", 2, seed=2)), run(optimizer, p, live, gradients("float32", 2, seed=2)))


def buffer(**told: Any) -> tuple[Any, checkpoint.State]:
    """Return the momentum buffer of ours after the same steps as the state that is returned with it."""
    p, grads = draw(0, "float32"), gradients("float32", 4)
    ours = rmsprop.optax.rmsprop(0.5, **told, momentum=0.9)
    live = run(ours, p, ours.init(p), grads)[1]
    if told:
        chain = optax.chain(optax.scale_by_rms(), optax.trace(0.9), optax.scale_by_learning_rate(0.5))
    else:
        chain = optax.rmsprop(0.5, momentum=0.9)
    state = checkpoint.capture(run(chain, p, chain.init(p), grads)[1], lr=0.5, step=4, momentum=0.9)
    return live.momentum_buffer["dense"]["kernel"], state


@pytest.mark.parametrize("told", [{}, {"lr_in_momentum": False}])
def test_the_buffer_has_our_sign_and_scale(told: dict[str, Any]) -> None:
    wanted, state = buffer(**told)
    found = {q.name: q.slots["momentum_buffer"] for q in state.parameters}["dense/kernel"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert state.groups[0].rule.lr_in_momentum is not bool(told)


def test_a_buffer_is_scaled_on_its_way_between_the_two_orders() -> None:
    state = buffer(lr_in_momentum=False)[1]
    target = optax.rmsprop(**arguments(state, to="optax"))
    moved = checkpoint.restore(target.init(draw(0, "float32")), state)
    held = {q.name: q.slots["momentum_buffer"] for q in state.parameters}["dense/kernel"]
    np.testing.assert_array_equal(moved[2].trace["dense"]["kernel"], -0.5 * held)


def test_parts_that_differ_are_captured_one_by_one() -> None:
    parts = {"fast": optax.rmsprop(0.1, momentum=0.9), "slow": optax.rmsprop(0.001, eps_in_sqrt=False)}
    optimizer, p = optax.partition(parts, LABELS), draw(0, "float32")
    p, live = run(optimizer, p, optimizer.init(p), gradients("float32", 3))
    fast = checkpoint.capture(live.inner_states["fast"], lr=0.1, step=3, momentum=0.9)
    slow = checkpoint.capture(live.inner_states["slow"], lr=0.001, step=3, eps_place="outside")
    state = checkpoint.State(fast.groups + slow.groups)
    assert same(checkpoint.restore(optimizer.init(p), state), live)
    with pytest.raises(UsageError, match=r"2 groups; make an optimizer of each, arguments\(group\) for group in state\.groups"):
        arguments(state)
    again = optax.partition({"fast": rmsprop.optax.rmsprop(**arguments(state.groups[0])), "slow": parts["slow"]}, LABELS)
    moved = checkpoint.restore(again.init(p), state)
    assert same(moved.inner_states["slow"], live.inner_states["slow"])
    with pytest.raises(ConversionError, match="would have parameters of several rules, learning rates or options; part it"):
        checkpoint.restore(theirs().init(p), state)


def test_skipped_steps_are_counted() -> None:
    optimizer, p = optax.apply_if_finite(theirs(), 3), draw(0, "float32")
    broken = jax.tree.map(lambda x: x * jnp.nan, p)
    _, live = run(optimizer, p, optimizer.init(p), [p, broken, p])
    state = checkpoint.capture(live, step=2, **SAID)
    assert state.skipped == 1
    assert int(checkpoint.restore(optimizer.init(p), state).total_notfinite) == 1
    assert checkpoint.restore(mine(on_nonfinite="skip").init(p), state).skipped == 1


def test_a_captured_state_is_a_copy() -> None:
    p = {"w": jnp.ones(1000)}
    optimizer = theirs()
    live = optimizer.init(p)
    state = checkpoint.capture(live, step=0, **SAID)
    assert all(a.flags.owndata for q in state.parameters for a in q.slots.values())
    jax.jit(lambda s: jax.tree.map(lambda x: x + 7, s), donate_argnums=0)(live)
    assert {float(a.sum()) for q in state.parameters for a in q.slots.values()} == {0.0}
    with pytest.raises(UsageError, match="was donated to a compiled function, and is gone; pass the state that it returned"):
        checkpoint.capture(live, step=0, **SAID)
    again = checkpoint.restore(live, state)  # shapes and dtypes are enough of a target
    assert again[0].nu["w"].shape == (1000,)


def test_names_are_given_to_a_list_of_arrays() -> None:
    optimizer = optax.partition({"a": theirs(), "b": theirs()}, ["a", "b", "a"])
    p = [jnp.ones(2), jnp.ones(3), jnp.ones(4)]
    state = checkpoint.capture(optimizer.init(p), step=0, names=["x", "y", "z"], **SAID)
    assert state.names == ("x", "z", "y")
    assert checkpoint.capture(theirs().init(p[0]), step=0, **SAID).names == ("0",)
    with pytest.raises(UsageError, match="has 3 parameters, and names has 2"):
        checkpoint.capture(optimizer.init(p), step=0, names=["x", "y"], **SAID)
    with pytest.raises(UsageError, match="has names itself, such as 'w'; leave names out"):
        checkpoint.capture(theirs().init({"w": p[0]}), step=0, names=["x"], **SAID)


def test_weak_types_and_python_numbers_stay() -> None:
    optimizer, p = optax.inject_hyperparams(optax.rmsprop)(0.1, momentum=0.5), draw(0, "float32")
    live = optimizer.init(p)
    live.hyperparams.update(learning_rate=jnp.asarray(0.25), decay=0.5)
    assert live.hyperparams["learning_rate"].weak_type
    again = checkpoint.restore(live, checkpoint.capture(live))
    assert again.hyperparams["decay"] == 0.5
    assert isinstance(again.hyperparams["decay"], float)
    assert again.hyperparams["learning_rate"].aval == live.hyperparams["learning_rate"].aval


def test_a_trace_of_another_precision() -> None:
    with jax.enable_x64(True):
        links = optax.scale_by_rms(), optax.scale_by_learning_rate(0.01), optax.trace(0.9, accumulator_dtype=jnp.bfloat16)
        optimizer, p = optax.chain(*links), draw(0, "float64")
        p, live = run(optimizer, p, optimizer.init(p), gradients("float64", 3))
        state = checkpoint.capture(live, step=3, **SAID)
        assert {array.dtype.name for q in state.parameters for array in q.slots.values()} == {"float64"}
        assert same(checkpoint.restore(optimizer.init(p), state), live)


MESH = """
import jax, jax.numpy as jnp, numpy as np, optax
from jax.sharding import NamedSharding, PartitionSpec as P
from rmsprop import checkpoint
mesh = jax.make_mesh((8,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
p = {"w": jax.device_put(jnp.arange(16.0), NamedSharding(mesh, P("a"))), "b": jax.device_put(jnp.ones(3), NamedSharding(mesh, P()))}
for optimizer in (optax.inject_hyperparams(optax.rmsprop)(0.5, momentum=0.5), ):
    update = jax.jit(optimizer.update)
    live = optimizer.init(p)
    for _ in range(3):
        live = update(p, live, p)[1]
    state = checkpoint.capture(live)
    again = checkpoint.restore(live, state)
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(live), strict=True):
        assert one.sharding == other.sharding and one.dtype == other.dtype, (one.sharding, other.sharding)
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
    before = update._cache_size()
    update(p, again, p)
    assert update._cache_size() == before
    fresh = checkpoint.restore(optimizer.init(p), state)
    assert fresh.inner_state[0].nu["w"].sharding.is_equivalent_to(p["w"].sharding, 1)
    update(p, fresh, p)
print("restored")
"""


def test_arrays_on_eight_devices() -> None:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", MESH],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert told.stdout == "restored\n", told.stderr


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [(theirs(), {**SAID, "step": 2}), (mine(), SAID), (optax.inject_hyperparams(optax.rmsprop)(schedule, momentum=0.5), {})],
)
def test_a_restored_state_compiles_nothing_anew(optimizer: Any, told: dict[str, Any]) -> None:
    p = draw(0, "float32")
    update = jax.jit(optimizer.update)
    live = update(p, update(p, optimizer.init(p), p)[1], p)[1]
    before, state = update._cache_size(), checkpoint.capture(live, **told)
    for target in (live, optimizer.init(p)):
        update(p, checkpoint.restore(target, state), p)
    assert update._cache_size() == before

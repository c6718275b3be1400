"""Arrays sharded over a mesh of eight devices, in a process that has them."""

import os
import subprocess
import sys

import pytest

MESH = """
import jax, jax.numpy as jnp, numpy as np, optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
import rmsprop.optax

assert len(jax.devices()) == 8
mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.{kind},) * 2)
rng = np.random.default_rng(0)
shapes, specs = {{"w": (8, 6), "b": (6,), "s": ()}}, {{"w": P("a", "b"), "b": P("b"), "s": P()}}
draw = lambda dtype: {{name: jnp.asarray(rng.standard_normal(shape), dtype) for name, shape in shapes.items()}}
for dtype in ("float32", "bfloat16"):
    optimizer = rmsprop.optax.rmsprop(
        0.01, "optax", centered=True, momentum=0.9, nesterov=True, bias_correction=True, weight_decay=0.1, on_nonfinite="skip"
    )
    p, *grads = (draw(dtype) for _ in range(4))
    place = lambda tree: {{name: jax.device_put(array, NamedSharding(mesh, specs[name])) for name, array in tree.items()}}
    step = lambda g, state, p: (lambda u, s: (optax.apply_updates(p, u), s))(*optimizer.update(g, state, p))
    ends = []
    for put in (lambda tree: tree, place):
        moving = put(p)
        state = optimizer.init(moving)
        if put is place:
            assert all(state.variance[name].sharding == moving[name].sharding for name in specs)
        once = jax.jit(step, donate_argnums=(1,))
        for g in grads:
            moving, state = once(put(g), state, moving)
        ends.append((moving, state))
    (alone, alone_state), (moving, state) = ends
    for name, spec in specs.items():
        for array in (moving[name], state.variance[name], state.grad_avg[name], state.momentum_buffer[name]):
            assert array.sharding.is_equivalent_to(NamedSharding(mesh, spec), array.ndim), (name, array.sharding)
    for one, other in zip(jax.tree.leaves(ends[0]), jax.tree.leaves(ends[1]), strict=True):
        np.testing.assert_allclose(np.asarray(one, float), np.asarray(other, float), rtol=1e-6, atol=1e-6)
    compiled = jax.jit(step).lower(place(grads[0]), state, moving).compile().as_text()
    assert "all-gather" not in compiled and "all-to-all" not in compiled
    assert int(state.count) == 3
    broken = {{**grads[0], "w": grads[0]["w"].at[7, 5].set(jnp.nan)}}  # one device sees it, all skip
    after = jax.jit(step)(place(broken), state, moving)
    assert int(after[1].skipped) == 1
    for one, other in zip(jax.tree.leaves(after[0]), jax.tree.leaves(moving), strict=True):
        assert (np.asarray(one) == np.asarray(other)).all()
print("sharded")
"""


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_eight_devices(kind):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", MESH.format(kind=kind)],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert told.stdout == "sharded\n", told.stderr

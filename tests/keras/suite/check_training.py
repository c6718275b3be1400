"""The optimizer under what Keras and its backends do to it."""

import keras
import numpy as np
import pytest
from keras import ops

import rmsprop.keras
from tests.cases import RULES
from tests.keras.suite.harness import BACKEND, history, made, numpy, problem

OURS, THEIRS = rmsprop.keras.RMSprop, keras.optimizers.RMSprop
EVERYTHING = RULES["everything"].replace(maximize=False, eps=0.1)  # so that it trains


def near(one, other, share=2e-5):
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(numpy(a).astype(float), numpy(b).astype(float), rtol=share, atol=share)


def data(n=32):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 3)).astype(np.float32)
    return x, x @ np.float32([[1], [-2], [0.5]])


def fitted(optimizer, epochs=3, **compiling):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1)])
    model.compile(optimizer, loss="mse", **compiling)
    x, y = data()
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=epochs, batch_size=8, shuffle=False, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before
    return model


WAYS = {"torch": [{}, {"jit_compile": True}], "jax": [{}, {"run_eagerly": True}, {"jit_compile": False}]}
WAYS["tensorflow"] = [{}, {"run_eagerly": True}, {"jit_compile": True}, {"jit_compile": False}]


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "weight_decay": 0.1}, {"gradient_accumulation_steps": 2}], ids=str)
@pytest.mark.parametrize("way", WAYS[BACKEND], ids=str)
def test_fit_as_with_theirs(way, options):
    if way and options:
        pytest.skip("compiling takes long: all options in Keras's own way, one in the others")
    near(fitted(OURS(0.01, **options), **way).weights, fitted(THEIRS(0.01, **options)).weights)


@pytest.mark.parametrize("way", WAYS[BACKEND][:1] if BACKEND == "torch" else WAYS[BACKEND], ids=str)
def test_fit_is_the_same_in_every_way(way):
    near(fitted(OURS(0.01, dialect=EVERYTHING), **way).weights, fitted(OURS(0.01, dialect=EVERYTHING), **WAYS[BACKEND][1]).weights)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
def test_policies(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = fitted(OURS(0.01, momentum=0.9), epochs=6)
    finally:
        keras.config.set_dtype_policy("float32")
    inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (policy == "mixed_float16")
    assert type(inner) is OURS
    assert 20 <= int(inner.iterations) <= 24  # the first losses may be scaled too much
    assert {v.dtype for v in inner._velocities + inner._momentums} == {"float32"}
    assert {v.dtype for v in model.trainable_variables} == {"bfloat16" if policy == "bfloat16" else "float32"}


@pytest.mark.skipif(BACKEND == "jax", reason="Keras's own leaks tracers outside of stateless_apply; test_policies has it there")
def test_a_loss_scale_that_overflows_skips_the_step():
    variables = made([np.ones(3, np.float32)])
    inner = OURS(0.1, bias_correction=True)
    outer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=4.0)
    outer.build(variables)
    outer.apply([ops.convert_to_tensor(np.float32([4, np.inf, 4]))])
    assert numpy(variables[0]).tolist() == [1, 1, 1]
    assert (int(inner.iterations), float(outer.dynamic_scale)) == (0, 2.0)
    outer.apply([ops.convert_to_tensor(np.float32([2, 2, 2]))])
    np.testing.assert_allclose(numpy(variables[0]), 0.9, rtol=1e-5)


def test_the_learning_rate_may_be_set():
    variables = made([np.zeros(1, np.float32)])
    optimizer = OURS(1.0, rho=0.0)
    optimizer.build(variables)
    for rate in (1.0, 0.5, 0.25):
        optimizer.learning_rate = rate
        optimizer.apply([ops.ones(1)])
    assert float(numpy(variables[0])[0]) == pytest.approx(-1.75, rel=1e-6)


def test_a_constraint_holds():
    variable = keras.Variable(np.ones(2, np.float32))
    variable.constraint = keras.constraints.NonNeg()
    optimizer = OURS(5.0)
    optimizer.build([variable])
    optimizer.apply([ops.ones(2)])
    assert numpy(variable).tolist() == [0, 0]


def test_a_gradient_that_is_the_variable_itself():
    """It must not change under the step, nor while other variables are stepped."""
    arrays, _ = problem(shapes=((4,), (4,)))
    found = []
    for copied in (False, True):
        variables = made(arrays)
        optimizer = OURS(0.5)
        optimizer.build(variables)
        values = [ops.convert_to_tensor(v) for v in reversed(variables)]
        optimizer.apply([ops.copy(v) for v in values] if copied else values)
        found.append([numpy(v) for v in variables])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="Keras has no stateless_apply there")
@pytest.mark.parametrize("name", ["keras", "tf1", "everything", "bias correction, centered"])
def test_stateless_apply_changes_nothing_in_place(name):
    arrays, grads = problem(steps=1)
    optimizer, variables = OURS(0.01, dialect=RULES[name]), made(arrays)
    optimizer.build(variables)
    held = [ops.copy(v.value) for v in variables], [ops.copy(v.value) for v in optimizer.variables]
    copies = [[numpy(a) for a in arrays] for arrays in held]
    g = [ops.convert_to_tensor(a) for a in grads[0]]
    moved, state = optimizer.stateless_apply(held[1], g, held[0])
    for values, before in zip(held, copies, strict=True):
        for a, b in zip(values, before, strict=True):
            np.testing.assert_array_equal(numpy(a), b)
    for a, b in zip([*variables, *optimizer.variables], [*copies[0], *copies[1]], strict=True):
        np.testing.assert_array_equal(numpy(a), b)
    optimizer.apply(g)
    near(moved, variables, 1e-6)
    near(state, optimizer.variables, 1e-6)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="Keras's variables there are TensorFlow's own")
def test_a_stateless_scope_keeps_the_variables():
    arrays, grads = problem(steps=2)
    optimizer, variables = OURS(0.01, momentum=0.9), made(arrays)
    optimizer.build(variables)
    first, second = ([ops.convert_to_tensor(a) for a in g] for g in grads)
    optimizer.apply(first)  # what was prepared for the variables themselves must not be used in the scope
    held = [*variables, *optimizer.variables]
    before = [numpy(v) for v in held]
    with keras.StatelessScope([(v, ops.copy(v.value)) for v in held]) as scope:
        optimizer.apply(second)
    inside = [numpy(scope.get_current_value(v)) for v in held]
    for v, value in zip(held, before, strict=True):
        np.testing.assert_array_equal(numpy(v), value)
    optimizer.apply(second)
    near(inside, held, 1e-6)


@pytest.mark.skipif(BACKEND != "jax", reason="of JAX")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["keras", "everything"])
def test_jax_compiles_once_and_keeps_dtypes(name, dtype):
    import jax

    arrays, grads = problem(dtype=dtype, steps=4)
    optimizer, variables = OURS(0.01, dialect=RULES[name]), made(arrays, dtype)
    optimizer.build(variables)
    step = jax.jit(optimizer.stateless_apply, donate_argnums=(0, 2))
    state, p = [jax.numpy.copy(v.value) for v in optimizer.variables], [jax.numpy.copy(v.value) for v in variables]
    kinds = [a.dtype for a in (*p, *state)]
    for g in grads:
        given = p, state
        p, state = step(state, [jax.numpy.asarray(a) for a in g], p)
        assert all(a.is_deleted() for a in jax.tree.leaves(given))  # the buffers were taken over
        assert [a.dtype for a in (*p, *state)] == kinds
    assert step._cache_size() == 1
    near(p, history(OURS(0.01, dialect=RULES[name]), made(arrays, dtype), grads)[-1]["p"], 1e-6 if dtype == "float32" else 1e-2)


@pytest.mark.skipif(BACKEND != "jax", reason="of JAX")
def test_sparse_arrays_of_jax():
    import jax.numpy as jnp
    from jax.experimental import sparse

    dense = np.zeros((5, 2), np.float32)
    dense[1], dense[4] = [4, 6], [1, 1]
    g = sparse.BCOO((jnp.float32([[1, 2], [3, 4], [1, 1]]), jnp.array([[1], [1], [4]])), shape=(5, 2))
    for options in ({}, {"momentum": 0.9, "weight_decay": 0.1}):
        found = []
        # Theirs does not take sparse ones beside double precision.
        for kind, gradient in ((OURS, g), (OURS, jnp.asarray(dense)), (THEIRS, jnp.asarray(dense))):
            variables = made([np.ones((5, 2), np.float32)])
            optimizer = kind(0.1, **options)
            optimizer.build(variables)
            for _ in range(3):
                optimizer.apply([gradient])
            found.append([*variables, *optimizer._velocities])
        near(found[0], found[1], 1e-7)
        near(found[0], found[2], 1e-6)


if BACKEND == "tensorflow":
    import tensorflow as tf

    @pytest.mark.parametrize("jit", [None, False, True])
    @pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"centered": True, "epsilon": 0.1}, {"weight_decay": 0.1}], ids=str)
    def test_indexed_slices(options, jit):
        slices = tf.IndexedSlices(tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([3, 1]), tf.constant([5, 2]))
        found = []
        for kind in (OURS, THEIRS):
            variables = made([np.ones((5, 2), np.float32)])
            optimizer = kind(0.1, **options)
            optimizer.build(variables)

            def step(optimizer=optimizer):
                optimizer.apply([slices])

            step = step if jit is None else tf.function(step, jit_compile=jit)
            for _ in range(3):
                step()
            found.append([*variables, *([] if options.get("centered") else optimizer._velocities)])
        near(*found, 1e-6)

    def test_rows_that_occur_twice_are_summed():
        """Keras itself adds up their squares there, and differs from Keras on the other backends."""
        twice = tf.IndexedSlices(tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([1, 1]), tf.constant([3, 2]))
        found = []
        for g in (twice, tf.constant([[0.0, 0.0], [4.0, 6.0], [0.0, 0.0]])):
            variables = made([np.ones((3, 2), np.float32)])
            optimizer = OURS(0.1)
            optimizer.build(variables)
            optimizer.apply([g])
            found.append([*variables, *optimizer._velocities])
        near(*found, 1e-7)
        theirs = THEIRS(0.1)
        theirs.build(made([np.ones((3, 2), np.float32)]))
        theirs.apply([twice])
        np.testing.assert_allclose(numpy(theirs._velocities[0])[1], [1.0, 2.0], rtol=1e-6)  # not 1.6 and 3.6

    def test_an_embedding_learns():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Embedding(10, 4), keras.layers.Flatten(), keras.layers.Dense(1)])
        model.compile(OURS(0.01), loss="mse")
        x, y = np.arange(8).reshape(4, 2), np.float32([[1], [2], [3], [4]])
        first = model.evaluate(x, y, verbose=0)
        model.fit(x, y, epochs=20, verbose=0)
        assert model.evaluate(x, y, verbose=0) < 0.7 * first

    def test_a_graph_is_traced_once():
        arrays, grads = problem(steps=3)
        optimizer, variables = OURS(0.01, dialect=EVERYTHING), made(arrays)
        optimizer.build(variables)
        step = tf.function(optimizer.apply)
        for t, g in enumerate(grads):
            optimizer.learning_rate = 0.01 / (t + 1)
            step([tf.constant(a) for a in g])
        assert step.experimental_get_tracing_count() == 1
        lrs = [0.01 / (t + 1) for t in range(3)]
        near(variables, history(OURS(0.01, dialect=EVERYTHING), made(arrays), grads, lrs)[-1]["p"])

    def test_replicas():
        """Two devices, each with half of the gradient: as one device with all of it."""
        import subprocess
        import sys

        told = subprocess.run([sys.executable, "-c", REPLICAS], capture_output=True, text=True)
        assert told.stdout == "same\n", told.stderr

    REPLICAS = """
import numpy as np, keras, tensorflow as tf
import rmsprop.keras
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
rng = np.random.default_rng(0)
x = rng.standard_normal((32, 3)).astype("f"); y = x.sum(1, keepdims=True)
def train(optimizer):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer, loss="mse", jit_compile=False)
    model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(8), epochs=2, verbose=0)
    return [w.numpy() for w in model.weights] + [np.asarray(v) for v in model.optimizer._velocities]
options = dict(learning_rate=0.01, momentum=0.9, weight_decay=0.1)
with strategy.scope():
    both = train(rmsprop.keras.RMSprop(**options)), train(keras.optimizers.RMSprop(**options))
for pair in (both, (both[0], train(rmsprop.keras.RMSprop(**options)))):
    for a, b in zip(*pair):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
print("same")
"""


@pytest.mark.skipif(BACKEND != "jax", reason="keras.distribution is JAX's")
def test_state_has_the_layout_of_its_variable():
    import os
    import subprocess
    import sys

    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    told = subprocess.run([sys.executable, "-c", LAYOUT], capture_output=True, text=True, env={**os.environ, "XLA_FLAGS": flags})
    assert told.stdout == "same\n", told.stderr


LAYOUT = """
import jax, keras, numpy as np
import rmsprop.keras
from keras.distribution import DeviceMesh, LayoutMap, ModelParallel
def train():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dense(1)])
    model.compile(rmsprop.keras.RMSprop(0.01, dialect="tf1", centered=True, momentum=0.9), loss="mse")
    x = np.random.default_rng(0).standard_normal((16, 3)).astype("f")
    model.fit(x, x.sum(1, keepdims=True), batch_size=8, epochs=2, shuffle=False, verbose=0)
    return model
alone = [np.asarray(w) for w in train().weights]
keras.backend.clear_session()
layout = LayoutMap(DeviceMesh((1, 4), ("batch", "model"), jax.devices()))
layout[".*dense/kernel"] = (None, "model")
layout[".*dense_1/kernel"] = ("model", None)
keras.distribution.set_distribution(ModelParallel(layout_map=layout, batch_dim_name="batch"))
model = train()
optimizer = model.optimizer
for slots in (optimizer._velocities, optimizer._momentums, optimizer._average_gradients):
    for variable, slot in zip(model.trainable_variables, slots):
        assert slot.value.sharding.is_equivalent_to(variable.value.sharding, slot.ndim), (variable.path, slot.value.sharding)
assert not model.trainable_variables[0].value.sharding.is_fully_replicated
for a, b in zip(alone, model.weights):
    np.testing.assert_allclose(a, np.asarray(b), rtol=2e-5, atol=2e-5)
print("same")
"""


@pytest.mark.skipif(BACKEND != "torch", reason="of PyTorch")
def test_autograd_sees_that_a_variable_was_changed():
    variable = keras.Variable(np.ones(3, np.float32))
    optimizer = OURS(0.1)
    optimizer.build([variable])
    loss = (variable.value**2).sum()
    optimizer.apply([ops.ones(3)])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.skipif(BACKEND != "torch", reason="of PyTorch")
def test_memory_that_moves_is_followed():
    arrays, grads = problem(steps=4)
    found = []
    for moves in ("nothing", "variables", "state"):
        variables, optimizer = made(arrays), OURS(0.01, momentum=0.9)
        optimizer.build(variables)
        for t, g in enumerate(grads):
            if t == 2:
                for v in {"nothing": [], "variables": variables, "state": optimizer.variables}[moves]:
                    v.value.data = v.value.data.clone()
            optimizer.apply([ops.convert_to_tensor(a) for a in g])
        found.append([numpy(v) for v in [*variables, *optimizer.variables]])
    for a, *others in zip(*found, strict=True):
        for b in others:
            np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(BACKEND != "torch", reason="of PyTorch")
def test_layouts_and_dtypes_of_gradients():
    import torch

    p = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    g = torch.randn(3, 4).t()
    found = []
    for gradient in (g.contiguous(), g, g.double(), g[:, :], torch.cat([g, g])[::2][:4] * 0 + g):
        variables = made([p])
        optimizer = OURS(0.01)
        optimizer.build(variables)
        optimizer.apply([gradient])
        found.append(numpy(variables[0]))
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)

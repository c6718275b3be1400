"""Make optax.json from optax.rmsprop.

pip install optax==0.2.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6     # CPU
python tests/golden/make_optax.py
"""

import inspect
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from cases import CHANGING, CONSTANT, Case, case, matrix, save

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")
ARGUMENTS = {"square_init": "initial_scale"}


def run(one: Case, p0: np.ndarray, grads: list[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Step optax.rmsprop through a case."""
    told: dict[str, Any] = {ARGUMENTS.get(key, key): value for key, value in one.axes.items()} | one.told
    if "eps_place" in told:
        told["eps_in_sqrt"] = told.pop("eps_place") == "inside"
    table = jnp.asarray(one.lr, one.real_dtype)
    optimizer = optax.rmsprop(one.lr[0] if len(set(one.lr)) == 1 else lambda count: table[count], **told)
    p = jnp.asarray(p0)
    state = optimizer.init(p)
    for g in grads:
        updates, state = optimizer.update(jnp.asarray(g), state, p)
        p = optax.apply_updates(p, updates)
        found = {"p": p, "v": state[0].nu}
        if one.axes.get("centered"):
            found["m"] = state[0].mu
        if one.axes.get("momentum"):
            found["b"] = state[2].trace
        yield {key: np.asarray(value) for key, value in found.items()}


made = matrix("optax", decays=({}, {"eps_place": "outside"}))
made += [
    case("optax", {**axes, **more}, lr=lr, dtype=dtype)
    for dtype, lr in (("float32", CONSTANT), ("float32", CHANGING), ("float64", CHANGING))
    for axes in ({}, {"centered": True})
    for more in ({"momentum": 0.9, "nesterov": True}, {"square_init": 1.0})
]
made += [
    case("optax", {"bias_correction": True}, lr=lr, dtype=dtype) for dtype in ("float32", "float64") for lr in (CONSTANT, CHANGING)
]
# Centered and corrected, the variance at the first step is 0 but for rounding, whose sign decides between NaN and a huge step; an
# eps well above that rounding makes the trace a statement about the rule.
made += [
    case("optax", {"centered": True, "bias_correction": True, "eps": 0.1, **more}, problem="moderate", dtype=dtype, lr=CHANGING)
    for dtype in ("float32", "float64")
    for more in ({}, {"momentum": 0.9, "nesterov": True})
]
made += [
    case("optax", {"decay": 0.5, "eps": 0.03}),
    case("optax", {"decay": 0.99, "bias_correction": True}),
    case("optax", {"centered": True}, problem="constant"),
]
made += [
    case("optax", axes, dtype=dtype, lr=CHANGING)
    for dtype in ("complex64", "complex128")
    for axes in ({}, {"momentum": 0.9}, {"momentum": 0.9, "centered": True}, {"eps_place": "outside", "bias_correction": True})
]
found = inspect.signature(optax.rmsprop).parameters
save(
    "optax",
    made,
    run,
    upstream="optax.rmsprop",
    packages=("optax", "jax", "jaxlib", "numpy"),
    defaults={
        "lr": None,
        "decay": found["decay"].default,
        "eps": found["eps"].default,
        "eps_place": "inside" if found["eps_in_sqrt"].default else "outside",
        "square_init": found["initial_scale"].default,
        "momentum": found["momentum"].default or 0.0,
        "centered": found["centered"].default,
        "nesterov": found["nesterov"].default,
        "bias_correction": found["bias_correction"].default,
    },
    slots={"v": "nu", "m": "mu", "b": "trace"},
    sign=-1,
    note="trace gathers -lr·u; complex parameters: |g|² in nu, whose imaginary part is 0; run op by op, without jit",
)

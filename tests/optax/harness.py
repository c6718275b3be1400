"""What the tests of rmsprop.optax share."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

jax.config.update("jax_enable_x64", True)  # as the contract has it

Trace = list[dict[str, Any]]


def run(optimizer: Any, p: Any, grads: Sequence[Any], *, jit: bool = True) -> tuple[Any, list[Any], Any]:
    """Return the parameters after the last step, the updates of each, and the state."""
    update = jax.jit(optimizer.update) if jit else optimizer.update
    state, found = optimizer.init(p), []
    for g in grads:
        updates, state = update(g, state, p)
        p = optax.apply_updates(p, updates)
        found.append(updates)
    return p, found, state


def same(one: Any, other: Any) -> bool:
    """Return whether two trees have the same structure, dtypes and bits."""
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a.dtype == b.dtype and np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def tree(
    rng: np.random.Generator, dtype: str = "float32", shapes: Sequence[tuple[int, ...]] = ((3, 4), (), (0,), (7,))
) -> dict[str, Any]:
    """Return a tree with a matrix, a number, nothing, and a vector."""
    made = [rng.standard_normal(shape) for shape in shapes]
    if np.dtype(dtype).kind == "c":
        made = [a + 1j * rng.standard_normal(a.shape) for a in made]
    w, *rest = (jnp.asarray(a, dtype) for a in made)
    return {"w": w, "rest": rest}

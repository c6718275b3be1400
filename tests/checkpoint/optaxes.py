"""What the tests of optax's states share: optimizers, runs and comparisons."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

SHAPES = {"dense": {"kernel": (3, 4), "bias": (4,)}, "scales": [(2,), ()]}
NAMES = ("dense/bias", "dense/kernel", "scales/0", "scales/1")


class Case(NamedTuple):
    """An optimizer of optax: how it is made, and what of that its state does not hold."""

    make: Callable[[], Any]
    told: dict[str, Any]
    counted: bool = False  # whether its state counts steps


def schedule(count: Any) -> Any:
    return 0.02 / (1 + count)


def rms(told: dict[str, Any] | None = None, counted: bool = False, **options: Any) -> Case:
    """Return optax.rmsprop with some options, which are said as they are but for what a state shows."""
    shown = ("centered", "bias_correction", "eps_in_sqrt", "initial_scale")
    said = {name: value for name, value in options.items() if name not in shown}
    if "eps_in_sqrt" in options:
        said["eps_place"] = "inside" if options["eps_in_sqrt"] else "outside"
    if "initial_scale" in options:
        said["square_init"] = options["initial_scale"]
    return Case(lambda: optax.rmsprop(0.01, **options), {"lr": 0.01, **said, **(told or {})}, counted)


INJECTED = {"decay": 0.75, "eps": 2**-10, "momentum": 0.5}  # exact in any precision
CASES = {
    "plain": rms(),
    "momentum": rms(momentum=0.9),
    "nesterov": rms(momentum=0.9, nesterov=True),
    "centered": rms(centered=True),
    "bias correction": rms(bias_correction=True, counted=True),
    "eps outside": rms(eps_in_sqrt=False, eps=1e-3, decay=0.99),
    "initial scale": rms(initial_scale=1.0),
    "momentum, centered": rms(momentum=0.9, centered=True, eps=1e-3),
    "schedule": Case(lambda: optax.rmsprop(schedule, momentum=0.9), {"lr": schedule(6), "momentum": 0.9}, True),
    "injected": Case(lambda: optax.inject_hyperparams(optax.rmsprop)(2**-6, **INJECTED, nesterov=True), {"nesterov": True}, True),
    "injected schedule": Case(lambda: optax.inject_hyperparams(optax.rmsprop)(schedule, **INJECTED, centered=True), {}, True),
}


def draw(seed: int, dtype: str, shapes: Any = SHAPES) -> Any:
    """Return a tree of normal numbers."""
    rng = np.random.default_rng(seed)

    def one(shape: tuple[int, ...]) -> Any:
        array = rng.standard_normal(shape)
        return jnp.asarray(array + 1j * rng.standard_normal(shape) if dtype.startswith("complex") else array, dtype)

    return jax.tree.map(one, shapes, is_leaf=lambda shape: isinstance(shape, tuple))


def gradients(dtype: str, steps: int, seed: int = 1, shapes: Any = SHAPES) -> list[Any]:
    return [draw(seed * 1000 + t, dtype, shapes) for t in range(steps)]


@functools.cache
def compiled(optimizer: Any) -> Any:
    """Return an optimizer's update, compiled once."""
    return jax.jit(optimizer.update)


def run(optimizer: Any, p: Any, state: Any, grads: Sequence[Any]) -> tuple[Any, Any]:
    """Return the parameters and the state after some compiled steps."""
    for g in grads:
        updates, state = compiled(optimizer)(g, state, p)
        p = optax.apply_updates(p, updates)
    return p, state


def same(one: Any, other: Any) -> bool:
    """Return whether two trees have the same structure, dtypes, weak types, shardings and bits."""
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a.aval == b.aval and np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)

"""Leaves of JAX's trees: what they are called, how they come out as NumPy arrays, and how new ones are made like them."""

from typing import Any

import numpy as np

from rmsprop.checkpoint.canonical import Array
from rmsprop.checkpoint.errors import ConversionError, UsageError, missing_extra

# The precision in which a number of 16 bits is kept here, which holds it exactly.
WIDER = {"bfloat16": np.float32, "float16": np.float32}


def jax() -> Any:
    """Return JAX, or say how to get it."""
    try:
        import jax
    except ImportError as error:
        raise missing_extra("JAX", "'rmsprop[jax]'") from error
    return jax


def named(tree: Any) -> dict[str, Any]:
    """Return a tree's leaves by their paths, the steps joined by "/"; "0" where the tree is a leaf itself.

    Example:
        >>> named({"dense": {"kernel": 1.0, "bias": None}, "scales": [2.0]})
        {'dense/kernel': 1.0, 'scales/0': 2.0}
    """
    found = {}
    for path, leaf in jax().tree_util.tree_flatten_with_path(tree)[0]:
        name = "/".join(str(next(getattr(key, part) for part in ("key", "idx", "name") if hasattr(key, part))) for key in path)
        if name in found:
            raise ConversionError(f"two arrays are called {name!r}: a key holds '/'; give one of them another name")
        found[name or "0"] = leaf
    return found


def fetched(leaf: Any) -> Array:
    """Return a leaf as a NumPy array, which may share its memory, or refuse it."""
    if isinstance(leaf, jax().core.Tracer):
        raise UsageError("a state cannot be captured while it is traced; call capture outside of jit, scan, vmap and grad")
    if isinstance(leaf, jax().Array):
        if leaf.is_deleted():
            raise UsageError(
                "an array of the state was donated to a compiled function, and is gone; pass the state that it returned"
            )
        if not leaf.is_fully_addressable:
            raise UsageError(
                "an array of the state lies in part on other processes; gather it first with "
                "jax.experimental.multihost_utils.process_allgather(state, tiled=True)"
            )
    try:
        return np.asarray(leaf)
    except (TypeError, ValueError) as error:
        raise ConversionError(f"a {type(leaf).__name__} in the state is no array: {error}") from None


def number(array: Array, what: str) -> float:
    """Return a number that a state keeps beside its arrays, or refuse it."""
    if not array.ndim and array.dtype.kind == "c" and not array.imag:
        array = array.real  # inject_hyperparams gives numbers the dtype of complex parameters
    if array.ndim or array.dtype.kind not in "biufV":
        raise ConversionError(
            f"{what} must be one real number, got {array.dtype} of shape {array.shape}; of a batch of states, as jax.vmap makes "
            "them, capture one at a time: jax.tree.map(lambda x: x[0], state)"
        )
    return float(array)


def like(leaf: Any, value: Array, what: str, *, rounding: bool = False) -> Any:
    """Return a leaf like another one, of the same type, dtype, sharding and weakness, with other numbers.

    Args:
        leaf: an array, or a Python number.
        value: of the leaf's shape.
        what: what a message calls it.
        rounding: whether single precision is enough for it, as for a hyper-parameter; otherwise every bit must be kept.

    Raises:
        ConversionError: the leaf's dtype cannot hold the value, or its shape differs.
    """
    if isinstance(leaf, (bool, int, float)):
        return type(leaf)(value)
    if np.shape(leaf) != value.shape:
        raise ConversionError(f"{what} has shape {value.shape}, and the target's has {np.shape(leaf)}")
    kind = np.dtype(leaf.dtype)
    if np.iscomplexobj(value) and kind.kind != "c":
        raise ConversionError(f"{what} is complex, and the target's is {kind}; call init with the parameters of the run")
    with np.errstate(all="ignore"):
        cast = np.asarray(value).astype(kind)
        back = cast if np.iscomplexobj(value) else cast.real
        same = np.array_equal(back.astype(value.dtype), value, equal_nan=value.dtype.kind in "fc")
    if not same and kind.kind in "iu":
        raise ConversionError(f"{what} is {value}, and the target's {kind} ends at {np.iinfo(kind).max}")
    if not same and not (rounding and kind.name in ("float32", "float64")):
        wider = np.result_type(value.dtype, WIDER.get(kind.name, kind))
        raise ConversionError(
            f"{what} would be rounded from {value.dtype} to {kind}; call init with parameters of {wider}"
            + (", or use rmsprop.optax, whose state is float32 for 16-bit parameters" if kind.name in WIDER else "")
        )
    if not isinstance(leaf, jax().Array):
        return cast
    numpy = jax().numpy
    if leaf.weak_type and not leaf.ndim:
        new = numpy.asarray(cast.item())  # of a Python number
    elif getattr(leaf, "committed", True):
        new = jax().device_put(cast, leaf.sharding)
    else:
        new = numpy.asarray(cast)
    if new.dtype != leaf.dtype:
        raise ConversionError(f"{what} is {leaf.dtype}, which JAX makes only under jax.enable_x64(); restore the state under it")
    return new

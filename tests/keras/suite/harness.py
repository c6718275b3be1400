"""What the suite's files share."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tests.cases import ulps

BACKEND = keras.backend.backend()
SHAPES = ((3, 4), (), (7,), (0,))
SLOTS = {"v": "_velocities", "m": "_average_gradients", "b": "_momentums"}

if BACKEND == "jax":
    import jax

    jax.config.update("jax_enable_x64", True)  # for variables of float64; Keras's defaults stay float32


def numpy(x: Any) -> np.ndarray:
    """Return a copy, which the next step does not change."""
    return np.array(ops.convert_to_numpy(x))


def problem(seed: int = 0, steps: int = 6, dtype: str = "float32", shapes: Sequence[tuple[int, ...]] = SHAPES) -> Any:
    """Return some arrays and the gradients of some steps."""
    rng = np.random.default_rng(seed)
    draw = lambda size: [np.asarray(size * rng.standard_normal(shape)).astype(np.float32) for shape in shapes]  # noqa: E731
    rounded = lambda arrays: [numpy(ops.cast(array, dtype)) for array in arrays]  # noqa: E731  # NumPy knows no bfloat16 by name
    return rounded(draw(1.0)), [rounded(draw(3.0)) for _ in range(steps)]


def made(arrays: Sequence[np.ndarray], dtype: str = "float32") -> list[Any]:
    return [keras.Variable(array, dtype=dtype) for array in arrays]


def history(optimizer: Any, variables: list[Any], grads: Sequence[Sequence[np.ndarray]], lrs: Sequence[float] = ()) -> list[Any]:
    """Return copies of p, and of v, m and b as far as they are kept, before the first step and after each."""
    optimizer.build(variables)

    def now() -> dict[str, list[np.ndarray]]:
        kept = {name: getattr(optimizer, slots) for name, slots in SLOTS.items() if getattr(optimizer, slots)}
        return {"p": [numpy(p) for p in variables]} | {name: [numpy(a) for a in arrays] for name, arrays in kept.items()}

    found = [now()]
    for t, g in enumerate(grads):
        if lrs:
            optimizer.learning_rate = lrs[t % len(lrs)]
        optimizer.apply([ops.convert_to_tensor(a) for a in g])
        found.append(now())
    return found


def worst(ours: list[Any], theirs: list[Any], variance: bool = False) -> dict[str, float]:
    """Return the largest differences: v in ulp of itself, by which v - m² is uncertain, others in ulp of their largest so far."""
    far, largest = {"p": 0.0, "state": 0.0}, {}
    assert len(ours) == len(theirs) > 1
    for got, wanted in zip(ours, theirs, strict=True):
        assert got.keys() == wanted.keys()
        for name, arrays in got.items():
            for k, array in enumerate(arrays):
                exact = wanted[name][k].astype(float)
                size = abs(exact)
                if name == "v":
                    largest[name, k] = size
                else:
                    largest[name, k] = np.maximum(largest.get((name, k), 0), size)
                if name == "v" and variance:
                    exact = exact - wanted["m"][k].astype(float) ** 2
                kind = "p" if name == "p" else "state"
                far[kind] = max(far[kind], ulps(*map(np.atleast_1d, (array, exact, largest[name, k]))))
    return far

"""Make tensorflow.json from tf.compat.v1.train.RMSPropOptimizer, run eagerly.

pip install tensorflow==2.21.0 numpy==2.4.6     # CPU
python tests/golden/make_tensorflow.py
"""

import inspect
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from cases import CHANGING, Case, case, matrix, save, through

SLOTS = {"v": "rms", "m": "mg", "b": "momentum"}
make = tf.compat.v1.train.RMSPropOptimizer
FOUND = inspect.signature(make).parameters
ARGUMENTS = {"eps": "epsilon"}


def run(one: Case, p0: np.ndarray, grads: list[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Step RMSPropOptimizer through a case."""
    now: list[float] = []
    told = {ARGUMENTS.get(key, key): value for key, value in one.axes.items()}
    optimizer = make(lambda: now[-1], **told)
    p = tf.Variable(p0)
    for t, g in enumerate(grads):
        now.append(one.lr[t % len(one.lr)])
        optimizer.apply_gradients([(tf.constant(g), p)])
        found = {ours: optimizer.get_slot(p, theirs) for ours, theirs in SLOTS.items()}
        if "momentum" not in one.axes:
            del found["b"]  # kept there with momentum 0 too: it is then the step itself
        yield {"p": p.numpy().copy()} | {key: value.numpy().copy() for key, value in found.items() if value is not None}


def seen(one: Case) -> Case:
    """Return a case with its numbers as TensorFlow holds them: tensors of float32, cast to the variable's dtype afterwards."""
    if one.dtype == "float32":
        return one
    rounded = {key: FOUND[ARGUMENTS.get(key, key)].default for key in ("decay", "eps")} | one.axes
    return case(one.dialect, through("float32", rounded), dtype=one.dtype, lr=through("float32", one.lr))


made = [seen(one) for one in matrix("tf1")]
made += [
    case("tf1", {"decay": 0.5, "eps": 0.03}),
    case("tf1", {"decay": 0.99, "eps": 0.1, "momentum": 0.5, "centered": True}, lr=CHANGING),
    case("tf1", {"eps": 1.0, "momentum": 0.9}, lr=CHANGING),  # the recipe of Inception and MobileNet
]
save(
    "tensorflow",
    made,
    run,
    upstream="tf.compat.v1.train.RMSPropOptimizer",
    packages=("tensorflow", "numpy"),
    defaults={
        "lr": None,
        "decay": FOUND["decay"].default,
        "eps": FOUND["epsilon"].default,
        "momentum": FOUND["momentum"].default,
        "centered": FOUND["centered"].default,
    },
    slots=SLOTS,
    note="float64 cases carry decay, eps, momentum and lr rounded to float32, as the optimizer makes float32 tensors of them first",
)

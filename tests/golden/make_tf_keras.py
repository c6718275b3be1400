"""Make tf-keras.json and tf-keras-legacy.json from tf_keras.optimizers.RMSprop and tf_keras.optimizers.legacy.RMSprop.

pip install tf_keras==2.21.0 tensorflow==2.21.0 numpy==2.4.6     # CPU
python tests/golden/make_tf_keras.py
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from cases import CHANGING, Case, Run, case, matrix, save, through

ARGUMENTS = {"decay": "rho", "eps": "epsilon"}
LEGACY = {"v": "rms", "m": "mg", "b": "momentum"}
PRESENT = {"v": "_velocities", "m": "_average_gradients", "b": "_momentums"}


def runner(make: Callable[..., Any], slots: Callable[[Any, tf.Variable], dict[str, tf.Variable]]) -> Run:
    """Return a function that steps an optimizer of tf_keras through a case."""

    def run(one: Case, p0: np.ndarray, grads: list[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        tf_keras.backend.set_floatx(one.dtype)  # the dtype in which tf_keras holds lr and weight_decay
        told = {ARGUMENTS.get(key, key): value for key, value in one.axes.items()}
        optimizer = make(learning_rate=one.lr[0], **told)
        p = tf.Variable(p0)
        for t, g in enumerate(grads):
            optimizer.learning_rate = one.lr[t % len(one.lr)]
            optimizer.apply_gradients([(tf.constant(g), p)])
            yield {"p": p.numpy().copy()} | {key: slot.numpy().copy() for key, slot in slots(optimizer, p).items()}

    return run


def present_slots(optimizer: Any, p: tf.Variable) -> dict[str, tf.Variable]:
    """Return the state of the optimizer that came with TensorFlow 2.11."""
    found = {key: getattr(optimizer, name) for key, name in PRESENT.items()}
    return {key: slot[0] for key, slot in found.items() if slot}


def legacy_slots(optimizer: Any, p: tf.Variable) -> dict[str, tf.Variable]:
    """Return the state of the optimizer before TensorFlow 2.11."""
    return {key: optimizer.get_slot(p, name) for key, name in LEGACY.items() if name in optimizer.get_slot_names()}


def seen(one: Case, *names: str, lr: bool) -> Case:
    """Return a float64 case with the axes so named, and lr if so said, as the optimizer holds them: in float32."""
    if one.dtype == "float32":
        return one
    held = {key: one.axes.get(key, DEFAULTS.get(key)) for key in names if key in one.axes or key == "decay"}
    return case(one.dialect, one.axes | through("float32", held), dtype=one.dtype, lr=through("float32", one.lr) if lr else one.lr)


def arguments(make: Callable[..., Any]) -> dict[str, Any]:
    """Return the default arguments of one of the two, by our names."""
    found = inspect.signature(make).parameters
    names = {"lr": "learning_rate", "decay": "rho", "eps": "epsilon", "momentum": "momentum", "centered": "centered"}
    return {ours: found[theirs].default for ours, theirs in names.items()}


packages = ("tf_keras", "tensorflow", "numpy")
DEFAULTS = arguments(tf_keras.optimizers.RMSprop)
made = [seen(one, "weight_decay", lr=False) for one in matrix("keras", decays=({}, {"weight_decay": 0.1}))]
made += [
    case("keras", {"decay": 0.5, "eps": 0.03}),
    case("keras", {"decay": 0.99, "eps": 0.001, "momentum": 0.5, "centered": True}, lr=CHANGING),
]
save(
    "tf-keras",
    made,
    runner(tf_keras.optimizers.RMSprop, present_slots),
    upstream="tf_keras.optimizers.RMSprop",
    packages=packages,
    defaults=DEFAULTS,
    slots={"v": "velocity", "m": "average_gradient", "b": "momentum"},
    note="with floatx set to the dtype of the parameter, since tf_keras holds lr in floatx; it casts weight_decay through float32",
)

DEFAULTS = arguments(tf_keras.optimizers.legacy.RMSprop)
made = [seen(one, "decay", "momentum", lr=True) for one in matrix("keras-legacy")]
made += [
    case("keras-legacy", {"decay": 0.5, "eps": 0.03}),
    case("keras-legacy", {"decay": 0.99, "eps": 0.001, "momentum": 0.5, "centered": True}, lr=CHANGING),
]
save(
    "tf-keras-legacy",
    made,
    runner(tf_keras.optimizers.legacy.RMSprop, legacy_slots),
    upstream="tf_keras.optimizers.legacy.RMSprop",
    packages=packages,
    defaults=DEFAULTS,
    slots=LEGACY,
    note="float64 cases carry lr, decay and momentum rounded to float32, as the optimizer holds them; eps is not",
)

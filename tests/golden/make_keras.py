"""Make keras-jax.json, keras-tensorflow.json or keras-torch.json from keras.optimizers.RMSprop, one for each backend.

pip install keras==3.15.1 jax==0.10.2 numpy==2.4.6              # or tensorflow==2.21.0, or torch==2.13.0; CPU
KERAS_BACKEND=jax python tests/golden/make_keras.py             # or tensorflow, or torch
"""

import inspect
from collections.abc import Iterator

import keras
import numpy as np
from cases import CHANGING, Case, case, matrix, save, through

ARGUMENTS = {"decay": "rho", "eps": "epsilon"}
SLOTS = {"v": "_velocities", "m": "_average_gradients", "b": "_momentums"}
BACKEND = keras.backend.backend()


def run(one: Case, p0: np.ndarray, grads: list[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Step keras.optimizers.RMSprop through a case."""
    keras.backend.set_floatx(one.dtype)  # the dtype in which Keras holds lr and weight_decay
    told = {ARGUMENTS.get(key, key): value for key, value in one.axes.items()}
    optimizer = keras.optimizers.RMSprop(learning_rate=one.lr[0], **told)
    p = keras.Variable(p0, dtype=one.dtype)
    optimizer.build([p])
    for t, g in enumerate(grads):
        optimizer.learning_rate = one.lr[t % len(one.lr)]
        optimizer.apply([keras.ops.convert_to_tensor(g, dtype=one.dtype)])
        found = {key: getattr(optimizer, name) for key, name in SLOTS.items()}
        arrays = {"p": p} | {key: slot[0] for key, slot in found.items() if slot}
        yield {key: keras.ops.convert_to_numpy(value).copy() for key, value in arrays.items()}


def seen(one: Case) -> Case:
    """Return a case with the weight decay as TensorFlow's backend casts it: through a tensor of float32."""
    through_float32 = BACKEND == "tensorflow" and one.dtype == "float64" and "weight_decay" in one.axes
    late = {"weight_decay": through("float32", one.axes["weight_decay"])} if through_float32 else {}
    return case(one.dialect, one.axes | late, dtype=one.dtype, lr=one.lr)


if BACKEND == "jax":
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_platforms", "cpu")
made = [seen(one) for one in matrix("keras", decays=({}, {"weight_decay": 0.1}))]
made += [
    case("keras", {"decay": 0.5, "eps": 0.03}),
    case("keras", {"decay": 0.99, "eps": 0.001, "momentum": 0.5, "centered": True}, lr=CHANGING),
]
found = inspect.signature(keras.optimizers.RMSprop).parameters
save(
    f"keras-{BACKEND}",
    made,
    run,
    upstream=f"keras.optimizers.RMSprop on {BACKEND}",
    packages=("keras", BACKEND, "numpy"),
    defaults={
        "lr": found["learning_rate"].default,
        "decay": found["rho"].default,
        "eps": found["epsilon"].default,
        "momentum": found["momentum"].default,
        "centered": found["centered"].default,
        "weight_decay": found["weight_decay"].default or 0.0,
    },
    slots={"v": "velocity", "m": "average_gradient", "b": "momentum"},
    note="with floatx set to the dtype of the parameter, since Keras holds lr in floatx, float32 by default",
)

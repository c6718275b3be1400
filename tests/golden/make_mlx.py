"""Make mlx.json from mlx.optimizers.RMSprop, on the CPU.

pip install "mlx[cpu]==0.32.4" numpy==2.4.6
python tests/golden/make_mlx.py
"""

import inspect
from collections.abc import Iterator

import mlx.core as mx
import numpy as np
from cases import CHANGING, CONSTANT, Case, case, save
from mlx.optimizers import RMSprop

mx.set_default_device(mx.cpu)
FOUND = inspect.signature(RMSprop).parameters


def run(one: Case, p0: np.ndarray, grads: list[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Step RMSprop through a case."""
    told = {{"decay": "alpha"}.get(key, key): value for key, value in one.axes.items()}
    optimizer = RMSprop(one.lr[0], **told)
    held = {"p": mx.array(p0)}
    optimizer.init(held)
    for t, g in enumerate(grads):
        optimizer.learning_rate = one.lr[t % len(one.lr)]
        held = optimizer.apply_gradients({"p": mx.array(g)}, held)
        yield {"p": np.array(held["p"]), "v": np.array(optimizer.state["p"]["v"])}


save(
    "mlx",
    [
        case("mlx", axes, lr=lr)
        for axes in ({}, {"decay": 0.9, "eps": 1e-3}, {"decay": 0.5, "eps": 0.03})
        for lr in (CONSTANT, CHANGING)
    ],
    run,
    upstream="mlx.optimizers.RMSprop",
    packages=("mlx", "numpy"),
    defaults={"lr": None, "decay": FOUND["alpha"].default, "eps": FOUND["eps"].default},
    slots={"v": "v"},
    note="float32 only; it has neither momentum nor centering",
)

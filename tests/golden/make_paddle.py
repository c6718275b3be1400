"""Make paddle.json from paddle.optimizer.RMSProp, run eagerly.

pip install paddlepaddle==3.3.1 numpy==2.4.6     # CPU
python tests/golden/make_paddle.py
"""

import inspect
from collections.abc import Iterator

import numpy as np
import paddle
from cases import CHANGING, Case, case, matrix, save, through

ARGUMENTS = {"decay": "rho", "eps": "epsilon"}
SLOTS = {"v": "mean_square", "m": "mean_grad", "b": "momentum"}
FOUND = inspect.signature(paddle.optimizer.RMSProp.__init__).parameters
paddle.set_device("cpu")


def run(one: Case, p0: np.ndarray, grads: list[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Step RMSProp through a case."""
    p = paddle.base.framework.EagerParamBase.from_tensor(paddle.to_tensor(p0))
    told = {ARGUMENTS.get(key, key): value for key, value in one.axes.items()}
    optimizer = paddle.optimizer.RMSProp(learning_rate=one.lr[0], parameters=[p], **told)
    kept = {"p", "v", *(slot for slot, axis in (("m", "centered"), ("b", "momentum")) if one.axes.get(axis))}
    for t, g in enumerate(grads):
        optimizer.set_lr(one.lr[t % len(one.lr)])
        p.grad = paddle.to_tensor(g)
        optimizer.step()
        slots = {ours: optimizer._get_accumulator(theirs, p) for ours, theirs in SLOTS.items()}
        yield {key: value.numpy().copy() for key, value in ({"p": p} | slots).items() if key in kept}


def seen(one: Case) -> Case:
    """Return a case with its numbers as the kernel takes them: attributes of float32, cast to the parameter's dtype afterwards."""
    if one.dtype == "float32":
        return one
    rounded = {key: FOUND[ARGUMENTS[key]].default for key in ("decay", "eps")} | one.axes
    return case(one.dialect, through("float32", rounded), dtype=one.dtype, lr=one.lr)


made = [seen(one) for one in matrix("paddle", decays=({}, {"weight_decay": 0.1}))]
made += [
    case("paddle", {"decay": 0.5, "eps": 0.03}),
    case("paddle", {"decay": 0.99, "eps": 0.001, "momentum": 0.5, "centered": True}, lr=CHANGING),
]
save(
    "paddle",
    made,
    run,
    upstream="paddle.optimizer.RMSProp",
    packages=("paddlepaddle", "numpy"),
    defaults={
        "lr": None,
        "decay": FOUND["rho"].default,
        "eps": FOUND["epsilon"].default,
        "momentum": FOUND["momentum"].default,
        "centered": FOUND["centered"].default,
        "weight_decay": FOUND["weight_decay"].default or 0.0,
    },
    slots=SLOTS,
    note="float64 cases carry decay, eps, momentum and weight_decay rounded to float32, as the kernels take them",
)

"""Make mindspore.json from mindspore.nn.RMSProp, on the CPU.

pip install mindspore==2.10.0 numpy==2.4.6
python tests/golden/make_mindspore.py
"""

from collections.abc import Iterator

import numpy as np
from cases import CHANGING, Case, case, matrix, save
from mindspore import Parameter, Tensor, nn

ARGUMENTS = {"eps": "epsilon"}
SLOTS = {"v": "ms", "m": "mg", "b": "moment"}


def run(one: Case, p0: np.ndarray, grads: list[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Step RMSProp through a case; a list of learning rates is its schedule."""
    told = {ARGUMENTS.get(key, key): value for key, value in one.axes.items()}
    p = Parameter(Tensor(p0), name="weight")
    optimizer = nn.RMSProp([p], learning_rate=list(one.lr), **told)
    kept = {"v", *(slot for slot, axis in (("m", "centered"), ("b", "momentum")) if one.axes.get(axis))}
    for g in grads:
        optimizer((Tensor(g),))
        yield {"p": p.asnumpy().copy()} | {ours: getattr(optimizer, SLOTS[ours])[0].asnumpy().copy() for ours in sorted(kept)}


made = matrix("mindspore", decays=({}, {"weight_decay": 0.1}), dtypes=("float32",))
# Only centered ones tell where eps is: without centering the CPU kernel takes √v + eps for groups of eight elements and √(v + eps),
# which is what the documentation says, for the rest, and cuts the groups differently from call to call. At eps = 1e-10 beside v
# near 1 the two are the same float32.
made += [
    case("mindspore", {"decay": 0.95, "eps": 0.03, "centered": True}),
    case("mindspore", {"decay": 0.99, "eps": 0.1, "momentum": 0.5, "centered": True}, lr=CHANGING),
]
plain = nn.RMSProp([Parameter(Tensor(np.ones(1, "float32")), name="weight")])  # its signature is hidden by a decorator
save(
    "mindspore",
    made,
    run,
    upstream="mindspore.nn.RMSProp",
    packages=("mindspore", "numpy"),
    defaults={
        "lr": float(str(plain.get_lr().asnumpy())),  # held in float32
        "decay": plain.decay,
        "eps": plain.epsilon,
        "square_init": float(plain.ms[0].asnumpy()[0]),
        "momentum": plain.momentum,
        "centered": plain.centered,
        "weight_decay": float(plain.weight_decay),
    },
    slots={"v": "mean_square", "m": "mean_grad", "b": "moment"},
    note="float32 only",
)

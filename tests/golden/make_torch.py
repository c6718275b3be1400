"""Make torch.json from torch.optim.RMSprop.

pip install torch==2.13.0 numpy==2.4.6     # any CPU build
python tests/golden/make_torch.py
"""

import torch
from cases import CHANGING, case, matrix, save
from torch_like import SLOTS, defaults, runner

made = matrix("pytorch", decays=({}, {"weight_decay": 0.1}))
made += [
    case("pytorch", {"maximize": True}),
    case("pytorch", {"maximize": True, "momentum": 0.9, "weight_decay": 0.1}, lr=CHANGING),
    case("pytorch", {"decay": 0.5, "eps": 0.03}),
    case("pytorch", {"decay": 0.9, "eps": 1e-3, "momentum": 0.5, "centered": True}, lr=CHANGING),
    case("pytorch", {"decay": 0.9, "centered": True}, problem="constant"),
    case("pytorch", {"decay": 0.9, "centered": True}, problem="constant", dtype="float64"),
]
made += [
    case("pytorch", axes, dtype=dtype, lr=CHANGING)
    for dtype in ("complex64", "complex128")
    for axes in ({}, {"momentum": 0.9, "weight_decay": 0.1}, {"momentum": 0.9, "centered": True})
]
save(
    "torch",
    made,
    runner(torch.optim.RMSprop),
    upstream="torch.optim.RMSprop",
    packages=("torch", "numpy"),
    defaults=defaults(torch.optim.RMSprop, lr="lr", decay="alpha", eps="eps", momentum="momentum", weight_decay="weight_decay"),
    slots=SLOTS,
    note="complex parameters: real and imaginary parts apart, in p and in every slot",
)

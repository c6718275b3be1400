"""Make bitsandbytes.json from bitsandbytes' RMSprop with 32-bit state, on the CPU.

    pip install bitsandbytes==0.50.2 torch==2.13.0 numpy==2.4.6     # any CPU build
    python tests/golden/make_bitsandbytes.py

The CPU path is PyTorch code in bitsandbytes/backends/cpu/ops.py; its CUDA kernel is another one and is not traced here.
"""

import bitsandbytes as bnb
from cases import CHANGING, CONSTANT, case, save
from torch_like import defaults, runner

made = [
    case("bitsandbytes", axes, lr=lr)
    for axes in ({}, {"weight_decay": 0.1}, {"decay": 0.9, "eps": 1e-3})
    for lr in (CONSTANT, CHANGING)
]
# It takes a momentum and does not use it: the same trace as without.
made += [case("bitsandbytes", {}, lr=CHANGING, told={"momentum": 0.9})]
save(
    "bitsandbytes",
    made,
    runner(bnb.optim.RMSprop32bit, slots={"v": "state1"}),
    upstream="bitsandbytes.optim.RMSprop32bit, CPU",
    packages=("bitsandbytes", "torch", "numpy"),
    defaults=defaults(bnb.optim.RMSprop32bit, lr="lr", decay="alpha", eps="eps", momentum="momentum", weight_decay="weight_decay"),
    slots={"v": "state1"},
    note="float32 only; centered is refused; momentum is accepted and ignored",
)

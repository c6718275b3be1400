"""Make timm.json from timm's RMSpropTF.

pip install timm==1.0.31 torch==2.13.0 numpy==2.4.6     # any CPU build
python tests/golden/make_timm.py
"""

import importlib.util
import sys
import types
from pathlib import Path

from cases import CHANGING, case, matrix, save
from torch_like import SLOTS, defaults, runner

# timm's own __init__ loads its models, which need a torchvision that matches torch's build; the optimizer needs torch alone, so
# the two packages above it are entered without running theirs.
spec = importlib.util.find_spec("timm")
assert spec is not None
assert spec.submodule_search_locations is not None
for package, folder in (("timm", ""), ("timm.optim", "optim")):
    sys.modules[package] = types.ModuleType(package)
    sys.modules[package].__path__ = [str(Path(spec.submodule_search_locations[0], folder))]
RMSpropTF = importlib.import_module("timm.optim.rmsprop_tf").RMSpropTF

LATE = {"weight_decay": 0.1, "weight_decay_form": "decoupled_lr"}
made = [
    case(
        one.dialect, one.axes, dtype=one.dtype, lr=one.lr, told={"decoupled_decay": True} if "weight_decay_form" in one.axes else {}
    )
    for one in matrix("timm", decays=({}, {"weight_decay": 0.1}, LATE))
]
made += [
    case("timm", {"momentum": 0.9, "lr_in_momentum": False}, lr=CHANGING),
    case("timm", {"decay": 0.95, "eps": 1e-3, "momentum": 0.5, "centered": True}, lr=CHANGING),
    case("timm", {"decay": 0.95, "eps": 0.03}),
]
save(
    "timm",
    made,
    runner(RMSpropTF),
    upstream="timm.optim.RMSpropTF",
    packages=("timm", "torch", "numpy"),
    defaults=defaults(
        RMSpropTF,
        lr="lr",
        decay="alpha",
        eps="eps",
        momentum="momentum",
        weight_decay="weight_decay",
        lr_in_momentum="lr_in_momentum",
    ),
    slots=SLOTS,
)

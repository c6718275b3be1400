"""Make sb3.json from Stable-Baselines3's RMSpropTFLike.

pip install stable-baselines3==2.9.2 torch==2.13.0 numpy==2.4.6     # any CPU build
python tests/golden/make_sb3.py
"""

from cases import CHANGING, case, matrix, save
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch_like import SLOTS, defaults, runner

made = matrix("sb3", decays=({}, {"weight_decay": 0.1}))
made += [
    case("sb3", {"eps": 1e-5}),  # what A2C passes
    case("sb3", {"decay": 0.9, "eps": 1e-3, "momentum": 0.5, "centered": True}, lr=CHANGING),
]
save(
    "sb3",
    made,
    runner(RMSpropTFLike),
    upstream="stable_baselines3.common.sb2_compat.rmsprop_tf_like.RMSpropTFLike",
    packages=("stable-baselines3", "torch", "numpy"),
    defaults=defaults(RMSpropTFLike, lr="lr", decay="alpha", eps="eps", momentum="momentum", weight_decay="weight_decay"),
    slots=SLOTS,
)

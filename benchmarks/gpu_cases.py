"""What the benchmark on GPUs runs over, and the figures that are asked of it."""

from dataclasses import dataclass, replace
from typing import Literal

import torch

from shapes import elements
from torch_cases import GPT2, RESNET, Case

WITH_DECAY = {"weight_decay": 0.01}
MODELS = {
    "10⁹ parameters": [(1_000_000_000,)],
    "GPT-2, 124 M": GPT2.shapes,
    "ResNet-50, 25.6 M": RESNET.shapes,
    "2,000 tensors of 1,000": [(1_000,)] * 2_000,
}
VARIANTS = {
    "float32": ({}, torch.float32),
    "float32, weight decay": (WITH_DECAY, torch.float32),
    "float32, momentum and centered": ({"momentum": 0.9, "centered": True}, torch.float32),
    "bfloat16": ({}, torch.bfloat16),
}
CASES = {
    f"{model}, {variant}": Case(f"{model}, {variant}", shapes, options, kind)
    for model, shapes in MODELS.items()
    for variant, (options, kind) in VARIANTS.items()
}
# Where a step is compiled: of 2,000 tensors that would take longer than all else.
COMPILED = [f"{model}, float32" for model in list(MODELS)[:3]]


@dataclass(frozen=True)
class Target:
    """A figure that is asked: how many times as fast as a rival, or how many seconds.

    Args:
        case: title of the case.
        rival: what the step is compared with; None where seconds are asked.
        of: which time.
        asked: a ratio that is to be reached, or seconds that are not to be exceeded.
    """

    case: str
    rival: str | None
    of: Literal["device", "host", "wall"]
    asked: float


LARGE = list(MODELS)[:2]
TARGETS = [
    *(Target(f"{model}, float32", "ruler", "device", 0.95) for model in LARGE),
    *(Target(f"{model}, float32", "foreach", "device", 2.5) for model in LARGE),
    *(Target(f"{model}, float32, weight decay", "foreach", "device", 3.0) for model in LARGE),
    *(Target(f"{model}, float32", "compiled", "device", 1.0) for model in LARGE),
    *(Target(title, "compiled", "host", 3.0) for title in COMPILED),
    Target("2,000 tensors of 1,000, float32", "foreach", "wall", 10.0),
    Target("ResNet-50, 25.6 M, float32", None, "host", 60e-6),
]


def tiny(case: Case) -> Case:
    """Return a case of a few small tensors, for rehearsals without a GPU."""
    shapes = [(min(shape[0], 5_000),) if len(shape) == 1 else tuple(min(n, 12) for n in shape) for shape in case.shapes[:4]]
    return replace(case, shapes=shapes)


def need(case: Case) -> int:
    """Return the bytes that a case needs at once: ours, a rival with its temporaries, the ruler, two sets of gradients."""
    wide = 4  # bytes of a number in state, and in what PyTorch's operations make on the way
    state = 2 + sum(name in case.options for name in ("momentum", "centered"))  # Adam keeps two
    each = 4 * case.kind.itemsize + 2 * state * wide + 2 * wide
    ruler = (2 / 3) * (3 * case.kind.itemsize + 2 * state * wide)
    return int(elements(case.shapes) * (each + ruler))

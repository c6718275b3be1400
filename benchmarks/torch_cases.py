"""What the benchmark of PyTorch optimizers runs over, and the tensors of each case."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from shapes import Shape, elements, gpt2, mlp, resnet50

LR = 1e-3
TURN = 20e-3  # seconds of one rival's steps, then of another's
EVERYTHING = {"momentum": 0.9, "centered": True, "weight_decay": 0.01}


@dataclass(frozen=True)
class Case:
    """A model, how it is stepped, and how fast that is to be.

    Args:
        title: what is printed.
        shapes: of the parameters.
        options: what both optimizers are given.
        kind: dtype of parameters and gradients.
        least: how many times as fast as torch's default the step is to be; None where nothing is asked.
        ruler: the share of the ruler's speed that is asked.
        compiled: how many times as fast as a compiled step it is to be; None: no step is compiled.
    """

    title: str
    shapes: list[Shape]
    options: dict[str, Any] = field(default_factory=dict)
    kind: torch.dtype = torch.float32
    least: float | None = None
    ruler: float | None = None
    compiled: float | None = None

    def parameters(self, device: Any = "cpu") -> list[torch.Tensor]:
        """Return new parameters, the same values at every call."""
        block = self._block(0).to(device)
        return [torch.nn.Parameter(fill(block, shape)) for shape in self.shapes]

    def gradients(self, device: Any = "cpu") -> list[torch.Tensor]:
        """Return new gradients, the same values at every call."""
        block = self._block(1).to(device)
        return [fill(block, shape) for shape in self.shapes]

    def block(self) -> "Case":
        """Return the case of the values alone that the tensors of this one repeat: one tensor, in which each of them begins."""
        return replace(self, shapes=[(self._length(),)])

    def _length(self) -> int:
        """Return how many values are drawn before they repeat."""
        return min(2**20, elements(self.shapes))

    def _block(self, seed: int) -> torch.Tensor:
        """Return the values that all tensors repeat."""
        return torch.randn(self._length(), generator=torch.Generator().manual_seed(seed)).to(self.kind)


ONE_LARGE = Case("one tensor of 50 M", [(50_000_000,)], least=4.5, ruler=0.95, compiled=1.0)
RESNET = Case("ResNet-50, 161 tensors, 25.6 M", resnet50(), least=2.5)
GPT2 = Case("GPT-2, 148 tensors, 124 M", gpt2(), least=3.2)
SMALL = Case("500 tensors of 100", [(100,)] * 500, least=35)
CARTPOLE = Case("CartPole MLP, 6 tensors", mlp(4, 64, 64, 2), least=8)
CASES = [
    ONE_LARGE,
    Case("the same in bfloat16", ONE_LARGE.shapes, kind=torch.bfloat16, least=3.5),
    RESNET,
    Case("ResNet-50, everything on", RESNET.shapes, EVERYTHING, least=4.5),
    GPT2,
    Case("GPT-2, everything on", GPT2.shapes, EVERYTHING, least=4.5),
    Case("2,000 tensors of 1,000", [(1_000,)] * 2_000, least=25),
    Case("500 tensors of 1,000", [(1_000,)] * 500, compiled=5.0),
    SMALL,
    CARTPOLE,
    Case("one tensor of 1,000", [(1_000,)]),
]


def fill(block: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Return a new tensor of a shape that repeats the values of a block."""
    count = math.prod(shape)
    tensor = torch.empty(count, dtype=block.dtype, device=block.device)
    for first in range(0, count, len(block)):
        tensor[first : first + len(block)] = block[: count - first]
    return tensor.view(shape)


def moved(optimizer: torch.optim.Optimizer) -> int:
    """Return the bytes that one pass over an optimizer's gradients, parameters and state has to read and write."""
    held = [p for group in optimizer.param_groups for p in group["params"]]
    state = [x for kept in optimizer.state.values() for name, x in kept.items() if torch.is_tensor(x) and name != "step"]
    return sum(p.grad.nbytes for p in held) + 2 * sum(x.nbytes for x in [*held, *state])

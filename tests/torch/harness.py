"""What the tests of the PyTorch optimizer share: twins of parameters, gradients, distances, scripts in their own process."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from tests.tolerances import TOLERANCES

ROOT = Path(__file__).parents[2]
SHAPES = [(), (0,), (1,), (7,), (3, 5), (2, 0, 3), (2, 3, 4), (65,), (1000,)]

# What torch.optim.RMSprop can do, alone and in company.
OPTIONS = {
    "plain": {},
    "weight_decay": {"weight_decay": 0.1},
    "centered": {"centered": True},
    "momentum": {"momentum": 0.9},
    "maximize": {"maximize": True},
    "everything": {"weight_decay": 0.1, "centered": True, "momentum": 0.9, "maximize": True, "alpha": 0.9, "eps": 1e-3},
}


def parameters(
    shapes: Iterable[Sequence[int]] = ((3, 5), (7,)), dtype: torch.dtype = torch.float32, seed: int = 0
) -> list[Parameter]:
    """Return parameters of the order of 1."""
    source = torch.Generator().manual_seed(seed)
    return [Parameter(torch.randn(tuple(shape), generator=source, dtype=dtype)) for shape in shapes]


def twins(params: Iterable[Tensor]) -> list[Parameter]:
    """Return equal parameters in memory of their own, with the same strides."""
    return [Parameter(p.detach().clone(), p.requires_grad) for p in params]


def gradients(params: Sequence[Tensor], steps: int, seed: int = 1) -> list[list[Tensor]]:
    """Return a gradient for each parameter at each step: of many magnitudes, with zeros among them."""
    source = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(steps):
        grads = []
        for p in params:
            size = 10.0 ** torch.randint(-3, 4, p.shape, generator=source)
            g = torch.randn(p.shape, generator=source, dtype=p.dtype) * size
            grads.append(torch.where(torch.rand(p.shape, generator=source) < 0.1, 0, g).to(p.dtype))
        found.append(grads)
    return found


def feed(optimizer: torch.optim.Optimizer, params: Sequence[Tensor], grads: Sequence[Tensor | None]) -> None:
    """Take a step with the given gradients."""
    for p, g in zip(params, grads, strict=True):
        p.grad = None if g is None else g.clone()
    optimizer.step()


def real(x: Tensor) -> Tensor:
    """Return the numbers of a tensor in double precision, a complex one as two."""
    x = x.detach()
    return (torch.view_as_real(x) if x.is_complex() else x).double()


def ulps(got: Tensor, wanted: Tensor, scale: Tensor, dtype: torch.dtype) -> float:
    """Return the largest distance in ulp of `scale` in `dtype`; NaN and infinity must be the same in both."""
    got, wanted = real(got), real(wanted)
    torch.testing.assert_close(got.isfinite(), wanted.isfinite())
    if got.numel() == 0:
        return 0.0
    unit = np.spacing(scale.clamp_min(torch.finfo(dtype).smallest_normal).to(dtype).numpy())
    return ((got - wanted).abs() / torch.as_tensor(unit).double()).nan_to_num(0.0).max().item()


def turn(g: Tensor, way: Tensor) -> Tensor:
    """Return g with the signs of another tensor, part by part."""
    way = way.detach()
    if not g.is_complex():
        return g.abs().copysign(way)
    return torch.view_as_complex(torch.view_as_real(g).abs().copysign(torch.view_as_real(way)))


class Race:
    """Two optimizers over equal parameters, fed the same gradients: how far they come apart, in ulp.

    The ulp of a parameter, of the momentum buffer and of the mean gradient is that of the largest magnitude so far; that of the
    mean square is its own.
    """

    def __init__(self, ours: torch.optim.Optimizer, theirs: torch.optim.Optimizer) -> None:
        self.ours, self.theirs = ours, theirs
        self.state = self.parameter = 0.0
        self._largest: dict[tuple[int, str], Tensor] = {}
        self._measure_parameters()

    @staticmethod
    def _params(optimizer: torch.optim.Optimizer) -> list[Tensor]:
        return [p for group in optimizer.param_groups for p in group["params"]]

    def _scale(self, key: tuple[int, str], x: Tensor) -> Tensor:
        self._largest[key] = torch.maximum(real(x).abs(), self._largest.get(key, torch.zeros((), dtype=torch.float64)))
        return self._largest[key]

    def _measure_parameters(self) -> None:
        for i, (p, q) in enumerate(zip(self._params(self.ours), self._params(self.theirs), strict=True)):
            assert p.dtype == q.dtype
            assert p.shape == q.shape
            scale = self._scale((i, "p"), q)
            self.parameter = max(self.parameter, ulps(p, q, scale, p.dtype.to_real()))

    def measure(self) -> None:
        """Compare the parameters and what the state dicts hold, under torch's names."""
        self._measure_parameters()
        params, ours, theirs = self._params(self.ours), self.ours.state_dict()["state"], self.theirs.state_dict()["state"]
        assert ours.keys() == theirs.keys()
        for i in theirs:
            assert theirs[i].keys() <= ours[i].keys()
            for name, wanted in theirs[i].items():
                if name == "step":
                    assert ours[i]["step"] == wanted
                    continue
                scale = real(wanted).abs() if name == "square_avg" else self._scale((i, name), wanted)
                self.state = max(self.state, ulps(ours[i][name], wanted, scale, params[i].dtype.to_real()))

    def step(self, grads: Sequence[Tensor | None]) -> None:
        """Take a step with both and compare.

        Where weight decay is added to the gradient, the gradient is turned its way: a sum that cancels is nothing but rounding.
        """
        groups = [group for group in self.theirs.param_groups for _ in group["params"]]
        turned = [
            None if g is None else turn(g, -p if group.get("maximize") else p) if group.get("weight_decay") else g
            for g, p, group in zip(grads, self._params(self.theirs), groups, strict=True)
        ]
        feed(self.ours, self._params(self.ours), turned)
        feed(self.theirs, self._params(self.theirs), turned)
        self.measure()

    def check(self, row: str) -> None:
        """Hold what was measured to a row of the tolerances."""
        allowed = TOLERANCES[row]
        assert self.state <= allowed.state, f"{row}: state {self.state} ulp"
        assert self.parameter <= allowed.parameter, f"{row}: parameter {self.parameter} ulp"


def bits(params: Iterable[Tensor]) -> list[bytes]:
    """Return the memory of tensors, to be compared bit by bit."""
    return [torch.view_as_real(p.detach()).numpy().tobytes() if p.is_complex() else _plain(p.detach()) for p in params]


def _plain(x: Tensor) -> bytes:
    return (x.contiguous().view(torch.int16) if x.dtype == torch.bfloat16 else x).numpy().tobytes()


def snapshot(optimizer: torch.optim.Optimizer) -> list[bytes]:
    """Return the memory of all parameters and of all state of an optimizer, in order."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    state = [s for p in params if p in optimizer.state for _, s in sorted(optimizer.state[p].items())]
    return bits(params) + bits(s for s in state if isinstance(s, Tensor))


class Regression:
    """A linear model with a bias whose squared output is the loss: what goes down when an optimizer works."""

    def __init__(self, dtype: torch.dtype = torch.float32, *, contiguous: bool = True, seed: int = 0) -> None:
        shapes = [(10, 5), (10,)] if contiguous else [(10, 5, 2), (10, 2)]
        weight, bias = (p.detach() for p in parameters(shapes, dtype, seed))
        self.weight, self.bias = (Parameter(p if contiguous else p[..., 0]) for p in (weight, bias))
        self.input = parameters([(5,)], dtype, seed + 1)[0].detach()

    @property
    def params(self) -> list[Parameter]:
        return [self.weight, self.bias]

    def loss(self) -> Tensor:
        value = (self.weight.mv(self.input) + self.bias).pow(2).sum()
        return value.abs() if value.is_complex() else value

    def closure(self, optimizer: torch.optim.Optimizer) -> Callable[[], Tensor]:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self.loss()
            loss.backward()
            return loss

        return closure

    def train(self, optimizer: torch.optim.Optimizer, steps: int = 1) -> None:
        for _ in range(steps):
            optimizer.step(self.closure(optimizer))


def run_script(source: str, *arguments: str, timeout: float = 120) -> str:
    """Run Python source in a process of its own and return what it prints; an abort, an error or a hang fails the test.

    Args:
        source: the program; warnings are errors there too.
        arguments: what it finds in `sys.argv[1:]`.
        timeout: seconds after which it counts as hung.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])}
    found = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert found.returncode == 0, f"ended with {found.returncode}\n{found.stdout[-2000:]}\n{found.stderr[-4000:]}"
    return found.stdout

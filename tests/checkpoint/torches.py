"""Optimizers of PyTorch's world, live, and runs of them."""

import functools
import importlib
import importlib.util
import io
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rmsprop.torch
from tests.checkpoint.harness import assert_bits

NAMES = ("weight", "bias", "scale")
SHAPES = ((3, 5), (5,), ())
LR = 0.01


def _alone(package: str, module: str) -> Any:
    """Return a module of a package that is installed, without running the package, which may need others that are not."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip(f"{package} is not installed")
    around = [module.rsplit(".", k)[0] for k in range(module.count("."), 0, -1)]
    kept = {name: found for name, found in sys.modules.items() if name == package or name.startswith(f"{package}.")}
    for name in kept:
        del sys.modules[name]
    try:
        for name in around:
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = [str(Path(spec.submodule_search_locations[0], *name.split(".")[1:]))]
        return importlib.import_module(module)
    finally:
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            del sys.modules[name]
        sys.modules.update(kept)


def upstream(kind: str | rmsprop.Rule) -> Callable[..., torch.optim.Optimizer]:
    """Return what makes the optimizer of a kind, or ours with a rule."""
    if isinstance(kind, rmsprop.Rule):
        return functools.partial(rmsprop.torch.RMSprop, dialect=kind)
    return _upstream(kind)


@functools.cache
def _upstream(kind: str) -> Callable[..., torch.optim.Optimizer]:
    if kind == "pytorch":
        return torch.optim.RMSprop
    if kind == "timm":
        return _alone("timm", "timm.optim.rmsprop_tf").RMSpropTF
    if kind == "sb3":
        return _alone("stable_baselines3", "stable_baselines3.common.sb2_compat.rmsprop_tf_like").RMSpropTFLike
    if kind == "bitsandbytes":
        return pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed").optim.RMSprop32bit
    return rmsprop.torch.RMSprop


def parameters(dtype: torch.dtype = torch.float32, shapes: Iterable[tuple[int, ...]] = SHAPES, seed: int = 0) -> list[Any]:
    """Return parameters of the order of 1."""
    generator = torch.Generator().manual_seed(seed)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    return [torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=wide).to(dtype)) for shape in shapes]


def gradients(steps: int, dtype: torch.dtype = torch.float32, shapes: Iterable[tuple[int, ...]] = SHAPES) -> list[list[Any]]:
    """Return gradients with a mean that is not 0, for each step and parameter."""
    drawn = [[p.detach() * 3 + 1 for p in parameters(dtype, shapes, seed=100 + t)] for t in range(steps)]
    return [[g.to(dtype) for g in each] for each in drawn]


def train(
    params: Sequence[Any], optimizer: torch.optim.Optimizer, grads: Sequence[Sequence[Any]], lrs: Sequence[float] | None = None
) -> None:
    """Step an optimizer, at a learning rate that may change; the groups' ratios of learning rates stay."""
    for t, each in enumerate(grads):
        for p, g in zip(params, each, strict=True):
            p.grad = g.clone()
        if lrs is not None:
            for group in optimizer.param_groups:
                group["lr"] = lrs[t]
        optimizer.step()


def copied(params: Sequence[Any]) -> list[Any]:
    """Return parameters of the same values."""
    return [torch.nn.Parameter(p.detach().clone()) for p in params]


def trained(kind: str | rmsprop.Rule, dtype: torch.dtype = torch.float32, steps: int = 5, **options: Any) -> tuple[list[Any], Any]:
    """Return parameters and an optimizer of theirs after some steps."""
    params = parameters(dtype)
    optimizer = upstream(kind)(params, **{"lr": LR, **options})
    train(params, optimizer, gradients(steps, dtype))
    return params, optimizer


def flat(value: Any) -> Any:
    """Return what is in a state_dict as plain values that can be compared, tensors by their dtype, shape and bits."""
    if isinstance(value, torch.Tensor):
        numbers = value.detach().cpu().contiguous().reshape(-1)
        return str(value.dtype), tuple(value.shape), numbers.view(torch.uint8).numpy().tobytes() if numbers.numel() else b""
    if isinstance(value, dict):
        return {key: flat(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [flat(one) for one in value]
    return value


def assert_same_tensors(one: Iterable[Any], other: Iterable[Any]) -> None:
    """Assert that tensors are equal to the last bit."""
    for a, b in zip(one, other, strict=True):
        assert flat(a) == flat(b)


def assert_state(optimizer: Any, state: Any) -> None:
    """Assert that an optimizer holds the arrays of a state, in the order of its parameters."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for p, held in zip(params, state.parameters, strict=True):
        for slot, array in held.slots.items():
            assert_bits(optimizer.state[p][slot].numpy(), array)


def ulps(ours: Any, theirs: Any, size: np.ndarray) -> float:
    """Return the largest difference of two tensors in ulp of some magnitudes; a complex one counts by its parts."""
    a, b = (torch.view_as_real(t.detach()) if t.is_complex() else t.detach() for t in (ours, theirs))
    difference = np.abs(a.double().numpy() - b.double().numpy())
    return float(np.nan_to_num(difference / np.spacing(size), nan=np.inf).max())


def magnitude(p: Any) -> np.ndarray:
    """Return the magnitudes of a parameter's parts, in its precision."""
    return np.abs((torch.view_as_real(p.detach()) if p.is_complex() else p.detach()).numpy())


def saved(content: Any = None, *, zipped: bool = True) -> bytes:
    """Return a file of torch.save."""
    stream = io.BytesIO()
    if content is None:
        content = trained("pytorch", momentum=0.9)[1].state_dict()
    torch.save(content, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()

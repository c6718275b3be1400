"""Each optimizer of PyTorch's world against itself and ours: a run that moves beside one that stays.

Into the same optimizer a run moves to the last bit, whatever the file; into ours and out of it within a few ulp, as both compute.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rmsprop.torch
from rmsprop.checkpoint import State, capture, convert, load, restore, save
from tests.checkpoint.torches import (
    LR,
    assert_same_tensors,
    copied,
    flat,
    gradients,
    magnitude,
    parameters,
    train,
    trained,
    ulps,
    upstream,
)
from tests.tolerances import TOLERANCES

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"alpha": 0.95},
    "momentum": {"momentum": 0.9},
    "centered": {"centered": True, "eps": 1e-3},
    "both": {"momentum": 0.5, "centered": True, "eps": 1e-3},
    "decay": {"weight_decay": 0.1, "momentum": 0.9},
    "decay alone": {"weight_decay": 0.1},
    "maximize": {"maximize": True},
    "decoupled": {"weight_decay": 0.1, "decoupled_decay": True, "momentum": 0.9},
    "lr outside": {"momentum": 0.9, "lr_in_momentum": False},
}
SHARED = ("plain", "momentum", "centered", "both", "decay")
OFFERED = {
    "pytorch": (*SHARED, "maximize"),
    "timm": (*SHARED, "decoupled", "lr outside"),
    "sb3": SHARED,
    "bitsandbytes": ("plain", "decay alone"),
}
DTYPES = {
    "pytorch": (torch.float32, torch.float64, torch.complex64, torch.bfloat16),
    "timm": (torch.float32, torch.float64, torch.bfloat16),
    "sb3": (torch.float32, torch.float64, torch.bfloat16),
    "bitsandbytes": (torch.float32, torch.bfloat16),
}
CASES = [(kind, variant, dtype) for kind in OFFERED for variant in OFFERED[kind] for dtype in DTYPES[kind]]
# Ours computes 16-bit parameters in float32, and they in 16 bits.
WHOLE = [case for case in CASES if case[2] != torch.bfloat16]
BEFORE, AFTER = 10, 20
LRS = (0.003,) * 10 + (0.02,) * 10


@pytest.mark.parametrize("way", ["object", "theirs", "ours", "twice"])
@pytest.mark.parametrize(("kind", "variant", "dtype"), CASES, ids=str)
def test_into_the_same_optimizer_a_run_moves_to_the_last_bit(
    kind: str, variant: str, dtype: torch.dtype, way: str, tmp_path: Path
) -> None:
    params, stays = trained(kind, dtype, BEFORE, **VARIANTS[variant])
    moved = copied(params)
    moves = upstream(kind)(moved, lr=0.5)
    if way == "object":
        restore(moves, capture(stays))
    elif way == "theirs":
        save(tmp_path / "run.pt", stays, to=kind)
        moves.load_state_dict(torch.load(tmp_path / "run.pt", weights_only=True))
    else:
        save(tmp_path / "run.safetensors", stays)
        if way == "twice":
            convert(tmp_path / "run.safetensors", tmp_path / "run.pt", kind)
            restore(moves, load(tmp_path / "run.pt", kind=kind))
        else:
            restore(moves, load(tmp_path / "run.safetensors"))
    grads = gradients(BEFORE + AFTER, dtype)[BEFORE:]
    train(params, stays, grads, LRS)
    train(moved, moves, grads, LRS)
    assert_same_tensors(params, moved)
    assert flat(stays.state_dict()["state"]) == flat(moves.state_dict()["state"])


def beside(here: list[Any], stays: Any, there: list[Any], moves: Any, row: str, lrs: Sequence[float] = LRS) -> None:
    """Train two runs side by side and assert that they stay together."""
    dtype = here[0].dtype
    largest = [magnitude(p) for p in here]
    for g, lr in zip(gradients(BEFORE + AFTER, dtype)[BEFORE:], lrs, strict=True):
        train(here, stays, [g], [lr])
        train(there, moves, [g], [lr])
        for k, (p, q) in enumerate(zip(here, there, strict=True)):
            largest[k] = np.maximum(largest[k], magnitude(p))
            assert ulps(q, p, largest[k]) <= TOLERANCES[row].parameter, TOLERANCES[row].reason


def row(dtype: torch.dtype) -> str:
    return "torch moved float64" if dtype == torch.float64 else "torch moved float32"


@pytest.mark.parametrize(("kind", "variant", "dtype"), WHOLE, ids=str)
def test_ours_goes_on_from_theirs(kind: str, variant: str, dtype: torch.dtype) -> None:
    params, stays = trained(kind, dtype, BEFORE, **VARIANTS[variant])
    moved = copied(params)
    moves = rmsprop.torch.RMSprop(moved, lr=0.5)
    restore(moves, capture(stays))
    assert moves.param_groups[0]["lr"] == LR
    beside(params, stays, moved, moves, row(dtype))


@pytest.mark.parametrize("form", ["difference", "variance"])
@pytest.mark.parametrize(("kind", "variant", "dtype"), WHOLE, ids=str)
def test_theirs_goes_on_from_ours(kind: str, variant: str, dtype: torch.dtype, form: str) -> None:
    # An upstream says what the rule is.
    rule = capture(upstream(kind)(parameters(dtype), **VARIANTS[variant])).groups[0].rule.replace(centered_form=form)
    params, stays = trained(rule, dtype, BEFORE)
    moved = copied(params)
    moves = upstream(kind)(moved, lr=0.5)
    restore(moves, capture(stays))
    beside(params, stays, moved, moves, row(dtype))


@pytest.mark.parametrize(
    ("here", "there", "momentum"),
    [
        ("sb3", "timm", 0.0),
        ("sb3", "timm", 0.9),
        ("timm", "sb3", 0.9),
        ("timm", "sb3", 0.0),
        ("pytorch", "bitsandbytes", 0.0),
        ("bitsandbytes", "pytorch", 0.0),
    ],
)
def test_from_one_to_another(here: str, there: str, momentum: float) -> None:
    params, stays = trained(here, steps=BEFORE, alpha=0.9, eps=1e-6, momentum=momentum)
    moved = copied(params)
    moves = upstream(there)(moved, lr=0.5)
    restore(moves, capture(stays))
    # A buffer that holds the learning rate keeps the old one when it changes, so that the two stay together as long as it does not;
    # timm has an option for either.
    lrs = [LR] * AFTER if momentum and there == "sb3" else LRS
    beside(params, stays, moved, moves, "torch moved float32", lrs)


def test_a_state_of_16_bits_is_widened_and_comes_back() -> None:
    params, theirs = trained("pytorch", torch.bfloat16, momentum=0.9)
    state: State = capture(theirs)
    for p, held in zip(params, state.parameters, strict=True):
        for slot, array in held.slots.items():
            assert array.dtype == np.float32
            assert (array == theirs.state[p][slot].float().numpy()).all()
    ours = rmsprop.torch.RMSprop(copied(params), lr=0.5)
    restore(ours, state)
    assert {entry["square_avg"].dtype for entry in ours.state.values()} == {torch.float32}

"""Restores and writes that are refused with the reason, and that nothing has changed then."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import rmsprop
from rmsprop.checkpoint import ConversionError, Group, Parameter, State, capture, restore, save
from tests.checkpoint.torches import copied, flat, parameters, trained


def ours(rule: rmsprop.Rule, dtype: torch.dtype = torch.float32, **options: Any) -> State:
    return capture(trained(rule, dtype, **options)[1])


def of_keras(state: State) -> State:
    return state.replace(
        groups=tuple(replace(g, options={"clipnorm": 1.0}) for g in state.groups), origin="keras.optimizers.RMSprop"
    )


PYTORCH, TIMM = rmsprop.dialect("pytorch"), rmsprop.dialect("timm")
F32, F64, BF16, C64 = torch.float32, torch.float64, torch.bfloat16, torch.complex64
RESTORES: dict[str, tuple[str, torch.dtype, Callable[[], State], str]] = {
    "eps_place": ("pytorch", F32, lambda: ours(TIMM), "has eps_place='outside' and no option for it"),
    "nesterov": ("pytorch", F32, lambda: ours(PYTORCH.replace(momentum=0.9, nesterov=True)), "has nesterov=False"),
    "momentum": ("bitsandbytes", F32, lambda: ours(PYTORCH.replace(momentum=0.9)), r"has momentum=0\.0 and no option"),
    "lr 0": ("sb3", F32, lambda: capture(trained("timm", momentum=0.9, lr=0.0)[1]), "cannot move at lr = 0"),
    "shape": ("pytorch", F32, lambda: transposed(ours(PYTORCH)), r"has shape \(5, 3\) and '0' has \(3, 5\)"),
    "fewer": ("pytorch", F32, lambda: fewer(ours(PYTORCH)), "the state lacks '2'"),
    "others": (
        "pytorch",
        F32,
        lambda: fewer(ours(PYTORCH).renamed({"(.)": r"w\1"})),
        "the state has 2 parameters .* and here are 3",
    ),
    "rules": ("pytorch", F32, lambda: parted(ours(PYTORCH)), "parameters of several rules, learning rates or options"),
    "16 bits": (
        "pytorch",
        BF16,
        lambda: ours(PYTORCH),
        r"is torch\.float32 and would be rounded: .*bfloat16; 'rmsprop\.torch' keeps",
    ),
    "32 bits": (
        "rmsprop.torch",
        F32,
        lambda: ours(PYTORCH, F64),
        r"is torch\.float64 and would be rounded: .* as wide as the state",
    ),
    "32 bits only": (
        "bitsandbytes",
        F64,
        lambda: ours(PYTORCH, F64),
        r"would be rounded: bitsandbytes.* keeps it in torch\.float32",
    ),
    "complex": ("pytorch", F32, lambda: ours(PYTORCH, C64), "belongs to another parameter"),
    "real": ("rmsprop.torch", C64, lambda: ours(PYTORCH), "belongs to another parameter"),
    "complex squares": ("timm", C64, lambda: ours(TIMM, C64), "neither by their parts nor by their modulus"),
    "modulus": (
        "pytorch",
        C64,
        lambda: ours(PYTORCH.replace(complex_form="modulus"), C64),
        "one mean for both parts of complex numbers",
    ),
    "average": ("pytorch", F32, lambda: ours(PYTORCH, ema_decay=0.9), "keeps no average of the parameters"),
    "max_norm": (
        "pytorch",
        F32,
        lambda: ours(PYTORCH, max_norm=2.0),
        r"has no max_norm, .* stepped with max_norm=2\.0; set it to None",
    ),
    "skip": (
        "sb3",
        F32,
        lambda: ours(rmsprop.dialect("sb3"), on_nonfinite="skip"),
        "has no on_nonfinite, .*; set it to 'propagate'",
    ),
    "clipnorm": ("rmsprop.torch", F32, lambda: of_keras(ours(PYTORCH)), r"has no clipnorm, and .* clipnorm=1\.0"),
    "average of another": ("rmsprop.torch", F32, lambda: averaged(ours(PYTORCH)), "and not their ema_decay"),
    "raise": ("rmsprop.torch raise", F32, lambda: infinite(), "is not finite"),
}


def transposed(state: State) -> State:
    return state.renamed({"0": "0@1,0"})


def fewer(state: State) -> State:
    group = state.groups[0]
    return state.replace(groups=(replace(group, parameters=group.parameters[:2]),))


def parted(state: State) -> State:
    group = state.groups[0]
    return state.replace(groups=tuple(replace(group, lr=0.1 * k, parameters=(p,)) for k, p in enumerate(group.parameters)))


def averaged(state: State) -> State:
    group = state.groups[0]
    with_average = tuple(replace(p, slots={**p.slots, "ema": p.slots["square_avg"]}) for p in group.parameters)
    return state.replace(groups=(Group(group.rule, group.lr, with_average),))


def infinite() -> State:
    array = {name: np.full(p.shape, np.inf, np.float32) for name, p in zip("012", parameters(), strict=True)}
    return State((Group(PYTORCH, 0.1, tuple(Parameter(n, 1, {"square_avg": a}) for n, a in array.items())),), allow_nan=True)


@pytest.mark.parametrize("name", RESTORES)
def test_a_restore_that_is_refused_changes_nothing(name: str) -> None:
    kind, dtype, make, message = RESTORES[name]
    made = make()
    options = {"on_nonfinite": "raise"} if kind.endswith("raise") else {}
    params, target = trained(kind.removesuffix(" raise"), dtype, 2, **options)
    before, weights, groups = flat(target.state_dict()), flat(copied(params)), list(target.param_groups)
    with pytest.raises(ConversionError, match=message):
        restore(target, made)
    assert flat(target.state_dict()) == before
    assert flat(params) == weights
    assert all(one is other for one, other in zip(target.param_groups, groups, strict=True))


def test_a_parameter_without_memory_is_refused() -> None:
    target = torch.optim.RMSprop([torch.nn.Parameter(p.detach().to("meta")) for p in parameters()])
    with pytest.raises(ConversionError, match="parameter '0' is a meta tensor"):
        restore(target, ours(PYTORCH))


@pytest.mark.parametrize(
    ("kind", "make", "message"),
    [
        ("pytorch", lambda: replaced(ours(PYTORCH), lr=None), "holds a learning rate, and none is known; say lr"),
        ("pytorch", lambda: replaced(ours(PYTORCH), options={"unordered": True}), "knows parameters by their order"),
        ("rmsprop.torch", lambda: averaged(ours(PYTORCH)), "not their ema_decay"),
        ("timm", lambda: ours(TIMM, C64), "neither by their parts"),
        ("sb3", lambda: ours(rmsprop.dialect("sb3"), max_norm=1.0), "has no max_norm"),
        ("pytorch", lambda: ours(PYTORCH, ema_decay=0.5), "keeps no average"),
    ],
)
def test_a_write_that_is_refused_leaves_no_file(kind: str, make: Callable[[], State], message: str, tmp_path: Any) -> None:
    with pytest.raises(ConversionError, match=message):
        save(tmp_path / "run.pt", make(), to=kind)
    assert not list(tmp_path.iterdir())


def replaced(state: State, **fields: Any) -> State:
    return state.replace(groups=tuple(replace(group, **fields) for group in state.groups))

"""What is read from a live optimizer and from state dicts in all their forms, and what is put back."""

import inspect
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

import rmsprop
import rmsprop.torch
from rmsprop.checkpoint import Group, State, capture, load, restore, save
from rmsprop.checkpoint.kinds import KINDS
from rmsprop.checkpoint.torch.kinds import LAYOUTS, kind_of_class
from rmsprop.rule import AXES
from rmsprop.state import axes_of
from tests.cases import RULES
from tests.checkpoint.harness import assert_same
from tests.checkpoint.torches import (
    NAMES,
    assert_same_tensors,
    copied,
    flat,
    gradients,
    parameters,
    train,
    trained,
    upstream,
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("way", ["object", "file", "safe"])
def test_ours_comes_back_to_the_last_bit(name: str, dtype: torch.dtype, way: str, tmp_path: Any) -> None:
    params, stays = trained(RULES[name], dtype, 3, on_nonfinite="skip")
    moved = copied(params)
    moves = rmsprop.torch.RMSprop(moved, lr=0.5)
    if way == "object":
        state = capture(stays)
    else:
        save(tmp_path / "run", stays, to="rmsprop.torch" if way == "file" else "rmsprop")
        state = load(tmp_path / "run")
    assert axes_of(state.groups[0].rule) == axes_of(RULES[name])
    restore(moves, state)
    grads = gradients(6, dtype)[3:]
    train(params, stays, grads)
    train(moved, moves, grads)
    assert_same_tensors(params, moved)
    assert flat(stays.state_dict()) == flat(moves.state_dict())


def test_the_table_of_kinds_is_that_of_the_classes() -> None:
    p = parameters()
    for kind, layout in LAYOUTS.items():
        made = upstream(kind)(p)
        assert kind_of_class(made) == KINDS[kind]
        group = dict(made.param_groups[0])
        known = {*layout.axes.values(), *layout.options, "lr", "params"}
        own = {
            "rmsprop.torch": {"dialect"},
            "timm": {"decoupled_decay", "caution", "corrected_weight_decay", "max_lr_snapshot"},
            "bitsandbytes": {"betas"},
        }
        assert set(group) == known | own.get(kind, set())
        assert {key: group[key] for key in layout.options} == dict(layout.options)
        assert capture(made).groups[0].rule == rmsprop.dialect(KINDS[kind].dialect)
        assert capture(made).groups[0].lr == rmsprop.dialect(KINDS[kind].dialect).lr


@pytest.mark.parametrize("kind", [kind for kind in LAYOUTS if kind != "rmsprop.torch"])
def test_what_each_can_say_is_what_its_constructor_takes(kind: str) -> None:
    called = {"alpha": "decay", "decoupled_decay": "weight_decay_form"}
    taken = {called.get(name, name) for name in inspect.signature(upstream(kind)).parameters} & set(AXES)
    if kind == "bitsandbytes":
        taken -= {"momentum", "centered"}  # which it takes, and does not use or refuses
    assert set(KINDS[kind].said) == taken | {"centered_form"}


def forms(optimizer: Any) -> dict[str, Any]:
    saved = optimizer.state_dict()
    return {
        "alone": saved,
        "in a training checkpoint": {"model": {"weight": torch.ones(2)}, "optimizer": saved, "epoch": 3},
        "two levels down": {"run": {"optim": saved}, "args": [1, 2]},
        "in a list": {"optimizer_states": [saved], "lr_schedulers": []},
        "ordered": OrderedDict(saved),
    }


@pytest.mark.parametrize("form", forms(torch.optim.RMSprop(parameters())))
def test_finds_the_state_dict(form: str) -> None:
    _, optimizer = trained("pytorch", momentum=0.9)
    assert_same(capture(forms(optimizer)[form]), capture(optimizer))


@pytest.mark.parametrize("flat_", [False, True])
def test_takes_the_names_of_distributed_checkpoints(flat_: bool) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    groups = [{"params": list(model[0].parameters())}, {"params": list(model[1].parameters()), "lr": 0.3}]
    optimizer = torch.optim.RMSprop(groups, momentum=0.9, lr=0.1)
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    saved = get_optimizer_state_dict(model, optimizer, options=StateDictOptions(flatten_optimizer_state_dict=flat_))
    state = capture(saved)
    assert state.names == ("0.weight", "0.bias", "1.weight", "1.bias")
    assert [(group.lr, len(group.parameters)) for group in state.groups] == [(0.1, 2), (0.3, 2)]
    other = torch.optim.RMSprop(
        [{"params": list(model[k].named_parameters(prefix=f"{k}")), "lr": 1.0} for k in (0, 1)], momentum=0.9
    )
    restore(other, state)
    assert flat(other.state_dict()["state"]) == flat(optimizer.state_dict()["state"])


def test_names_come_from_the_groups_or_from_what_is_said() -> None:
    _, optimizer = trained("pytorch")
    assert capture(optimizer).names == ("0", "1", "2")
    assert capture(optimizer, names=NAMES).names == NAMES
    params = parameters()
    named = torch.optim.RMSprop(zip(NAMES, params, strict=True))
    assert capture(named).names == NAMES
    restore(named, capture(optimizer, names=NAMES))
    assert flat(named.state_dict()["state"]) == flat(optimizer.state_dict()["state"])


def test_parameters_match_by_name_and_under_other_names() -> None:
    params, optimizer = trained("pytorch")
    state = capture(optimizer, names=NAMES)
    backwards = torch.optim.RMSprop(list(zip(NAMES, params, strict=True))[::-1])
    restore(backwards, state)
    for p in params:
        assert_same_tensors(backwards.state[p].values(), optimizer.state[p].values())
    other = torch.optim.RMSprop([(f"net.{name}", p) for name, p in zip(NAMES, params, strict=True)][::-1])
    restore(other, state.renamed({r"(.+)": r"net.\1"}))
    for p in params:
        assert_same_tensors(other.state[p].values(), optimizer.state[p].values())


@pytest.mark.parametrize("ours", [False, True])
def test_groups_keep_their_rules_rates_and_options(ours: bool, tmp_path: Any) -> None:
    params = parameters()
    groups = [
        {"params": [params[0]], "lr": 0.1, "momentum": 0.9, "owner": {"name": "core", "at": [1, 2.5, None]}},
        {"params": [params[1]], "alpha": 0.5, "weight_decay": 0.1},
        {"params": [params[2]], "centered": True, "lr": torch.tensor(0.25)},
    ]
    optimizer = torch.optim.RMSprop(groups, lr=0.01)
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    train(params, optimizer, gradients(3))
    del params[1].grad
    optimizer.state.pop(params[1])  # no step has reached it
    save(tmp_path / "run.safetensors", optimizer)
    state = load(tmp_path / "run.safetensors")
    assert [group.options["initial_lr"] for group in state.groups] == [0.1, 0.01, 0.25]
    assert [p.step for p in state.parameters] == [3, 0, 3]
    moved = copied(params)
    make = rmsprop.torch.RMSprop if ours else torch.optim.RMSprop
    fresh = make([{"params": [p]} for p in moved], **({"max_norm": 2.0} if ours else {}), foreach=True)
    fresh.param_groups[2]["lr"] = torch.tensor(1.0)
    restore(fresh, state)
    for mine, theirs in zip(fresh.param_groups, optimizer.param_groups, strict=True):
        assert {key: mine[key] for key in theirs if key not in ("params", "foreach")} == {
            key: theirs[key] for key in theirs if key not in ("params", "foreach")
        }
        assert mine["foreach"] is True
        assert mine.get("max_norm") == (2.0 if ours else None)
    assert type(fresh.param_groups[2]["lr"]) is torch.Tensor
    assert sorted(fresh.state_dict()["state"]) == [0, 2]


def test_a_rate_in_a_tensor_is_not_rounded() -> None:
    _, optimizer = trained("pytorch", lr=0.1)
    fresh = torch.optim.RMSprop(parameters(), lr=torch.tensor(1.0))
    restore(fresh, capture(optimizer))
    lr = fresh.param_groups[0]["lr"]
    assert (type(lr), lr.dtype, lr.item()) == (torch.Tensor, torch.float64, 0.1)


def test_options_go_from_ours_to_ours_and_what_is_computed_stays() -> None:
    params, optimizer = trained(
        rmsprop.dialect("timm"), steps=2, max_norm=1.0, ema_decay=0.9, sparse="lazy", on_nonfinite="skip", fused=True
    )
    params[0].grad[0, 0] = np.nan
    optimizer.step()
    state = capture(optimizer)
    assert state.skipped == 1
    assert "ema" in next(state.parameters).slots
    fresh = rmsprop.torch.RMSprop(copied(params), lr=1.0, fused=False)
    restore(fresh, state)
    told = fresh.param_groups[0]
    assert [told[key] for key in ("max_norm", "ema_decay", "sparse", "on_nonfinite", "fused")] == [1.0, 0.9, "lazy", "skip", False]
    assert flat(fresh.state_dict()["state"]) == flat(optimizer.state_dict()["state"])


@pytest.mark.parametrize(
    "count", [7, 7.0, torch.tensor(7), torch.tensor([7.0]), np.int64(7), np.float32(7), torch.tensor(7.0).double()]
)
def test_counts_of_steps_may_be_anything_whole(count: Any) -> None:
    _, optimizer = trained("pytorch")
    saved = optimizer.state_dict()
    saved["state"][1] = {**saved["state"][1], "step": count}
    assert [p.step for p in capture(saved).parameters] == [5, 7, 5]


def test_a_long_run_is_counted_exactly(tmp_path: Any) -> None:
    state = capture(trained("pytorch")[1])
    group = state.groups[0]
    long = tuple(type(p)(p.name, 2**24 + 1, p.slots) for p in group.parameters)
    state = state.replace(groups=(Group(group.rule, group.lr, long, group.options),))
    for kind in ("pytorch", "rmsprop.torch"):
        save(tmp_path / "run.pt", state, to=kind)
        assert_same(load(tmp_path / "run.pt"), load(tmp_path / "run.pt"))
        assert {p.step for p in load(tmp_path / "run.pt").parameters} == {2**24 + 1}


def test_what_pytorch_did_with_our_state_counts() -> None:
    # PyTorch's optimizer keeps what it does not know: groups that look like ours, and a variance of old beside square_avg.
    params, ours = trained(rmsprop.dialect("pytorch", centered=True, eps=1e-3))
    theirs = torch.optim.RMSprop(params, centered=True)
    theirs.load_state_dict(ours.state_dict())
    train(params, theirs, gradients(2))
    saved = theirs.state_dict()
    assert "variance" in saved["state"][0]
    read, kept = capture(saved), capture(ours)
    assert read.groups[0].rule == kept.groups[0].rule
    wanted = rmsprop.torch.RMSprop(params, centered=True)
    wanted.load_state_dict(saved)
    for p, held, old in zip(params, read.parameters, kept.parameters, strict=True):
        assert (held.slots["variance"] == wanted.state[p]["variance"].numpy()).all()
        assert (held.slots["variance"] != old.slots["variance"]).all()
    # A live one is what its class says.
    live = capture(theirs)
    assert live.groups[0].rule.centered_form == "difference"
    assert (next(live.parameters).slots["square_avg"] == saved["state"][0]["square_avg"].numpy()).all()


def test_an_untouched_variance_is_kept_to_the_last_bit() -> None:
    for rule in (RULES["centered"], RULES["bias correction, centered"], RULES["modulus, everything"]):
        for dtype in (torch.float32, torch.complex64):
            _, optimizer = trained(rule, dtype)
            assert_same(capture(optimizer.state_dict()), capture(optimizer))


def test_what_a_rule_does_not_read_is_left_out() -> None:
    _, optimizer = trained("pytorch", momentum=0.9)
    optimizer.param_groups[0]["momentum"] = 0.0
    assert list(next(capture(optimizer).parameters).slots) == ["square_avg"]


def test_a_capture_and_a_restore_copy() -> None:
    params, optimizer = trained("pytorch")
    state = capture(optimizer)
    before = [array.copy() for p in state.parameters for array in p.slots.values()]
    fresh = torch.optim.RMSprop(params)
    restore(fresh, state)
    train(params, optimizer, gradients(2))
    train(params, fresh, gradients(2))
    for p, held in zip(state.parameters, before, strict=True):
        assert (p.slots["square_avg"] == held).all()


def test_views_that_are_conjugate_or_negative_are_read() -> None:
    saved = trained("pytorch", torch.complex64, momentum=0.9)[1].state_dict()
    buffer = saved["state"][0]["momentum_buffer"]
    saved["state"][0]["momentum_buffer"] = buffer.clone().conj()
    assert (next(capture(saved).parameters).slots["momentum_buffer"] == buffer.numpy().conj()).all()
    real = trained("pytorch", momentum=0.9)[1].state_dict()
    real["state"][0]["momentum_buffer"] = buffer.clone().conj().imag
    assert real["state"][0]["momentum_buffer"].is_neg()
    assert (next(capture(real).parameters).slots["momentum_buffer"] == -buffer.imag.numpy()).all()


def test_layouts_in_memory_come_back() -> None:
    p = torch.nn.Parameter(torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last))
    optimizer = torch.optim.RMSprop([p])
    p.grad = torch.randn_like(p)
    optimizer.step()
    fresh = torch.optim.RMSprop([p])
    restore(fresh, capture(optimizer))
    assert fresh.state[p]["square_avg"].stride() == optimizer.state[p]["square_avg"].stride() == p.stride()


def test_a_state_of_numpy_goes_on_in_torch() -> None:
    arrays = {name: p.detach().numpy().copy() for name, p in zip(NAMES, parameters(), strict=True)}
    here = rmsprop.RMSprop(arrays, 0.1, "pytorch", momentum=0.9)
    here.step({name: np.ones_like(a) for name, a in arrays.items()})
    there = torch.optim.RMSprop([(name, torch.nn.Parameter(torch.from_numpy(a.copy()))) for name, a in arrays.items()])
    state: State = capture(here)
    restore(there, state)
    assert_same(capture(there).replace(groups=tuple(Group(g.rule, g.lr, g.parameters) for g in capture(there).groups)), state)

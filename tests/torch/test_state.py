"""State that moves: to torch.optim.RMSprop and back, from rule to rule, through copies and files; and what is refused."""

import copy
import io
import pickle

import pytest
import torch

import rmsprop
from rmsprop.torch import RMSprop
from tests.tolerances import RELATIVE

SHAPES = ((4, 3), (3,), (), (0, 2))
# Every option that PyTorch's optimizer has a state for.
OPTIONS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "centered": {"centered": True},
    "everything": {"momentum": 0.9, "centered": True, "weight_decay": 0.1},
    "maximize": {"maximize": True, "weight_decay": 0.01},
}


def parameters(dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in SHAPES]


def copied(params):
    return [p.detach().clone().requires_grad_() for p in params]


def train(optimizer, steps, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)
        optimizer.step()


def same(one, other, share=0.0):
    for a, b in zip(one, other, strict=True):
        if share:
            torch.testing.assert_close(a, b, rtol=share, atol=share)
        else:
            assert torch.equal(a, b)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
@pytest.mark.parametrize("makers", [(RMSprop, torch.optim.RMSprop), (torch.optim.RMSprop, RMSprop)], ids=["to torch", "from torch"])
def test_a_run_goes_on_in_the_other_optimizer(name, dtype, makers):
    first, second = makers
    staying = parameters(dtype)
    there = first(staying, lr=1e-3, **OPTIONS[name])
    train(there, 20)
    moving = copied(staying)
    here = second(moving, lr=1.0)
    here.load_state_dict(copy.deepcopy(there.state_dict()))
    train(there, 50, seed=2)
    train(here, 50, seed=2)
    same(staying, moving, RELATIVE["torch, moved double" if dtype == torch.float64 else "torch, moved"].share)
    assert [float(here.state[p]["step"]) for p in moving] == [70.0] * len(moving)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_state_dict_goes_on_bit_for_bit(name):
    staying = parameters()
    there = RMSprop(staying, lr=1e-3, ema_decay=0.9, **OPTIONS[name])
    train(there, 5)
    moving = copied(staying)
    file = io.BytesIO()
    torch.save(there.state_dict(), file)
    file.seek(0)
    here = RMSprop(moving)
    here.load_state_dict(torch.load(file, weights_only=True))
    train(there, 5, seed=2)
    train(here, 5, seed=2)
    same(staying, moving)
    for p, q in zip(staying, moving, strict=True):
        assert there.state[p].keys() == here.state[q].keys()
        same(there.state[p].values(), here.state[q].values())


def test_variance_is_not_taken_from_a_dict_that_torch_went_on_with():
    """Torch keeps the entry that it does not know, so that it stands beside a square_avg that has moved on."""
    params = parameters()
    ours = RMSprop(params, lr=1e-3, centered=True)
    train(ours, 5)
    theirs = torch.optim.RMSprop(params, lr=1e-3)
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    train(theirs, 20, seed=2)
    back = RMSprop(params)
    back.load_state_dict(theirs.state_dict())
    state, wanted = back.state[params[0]], theirs.state[params[0]]
    spread = wanted["square_avg"] - wanted["grad_avg"] ** 2
    torch.testing.assert_close(state["variance"], spread, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(state["variance"], wanted["variance"])


def test_loaded_state_is_a_copy():
    params = parameters()
    first = RMSprop(params)
    train(first, 2)
    saved = first.state_dict()
    second = RMSprop(copied(params))
    second.load_state_dict(saved)
    before = copy.deepcopy(saved)
    train(second, 2)
    for key, entry in before["state"].items():
        same(entry.values(), saved["state"][key].values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_state_of_16_bit_parameters_is_float32_and_stays_it(dtype):
    params = parameters(dtype)
    first = RMSprop(params, momentum=0.9)
    train(first, 3)
    second = RMSprop(copied(params))
    second.load_state_dict(first.state_dict())
    for p, q in zip(params, second.param_groups[0]["params"], strict=True):
        for key, value in first.state[p].items():
            assert second.state[q][key].dtype == torch.float32
            assert torch.equal(second.state[q][key], value)


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["deepcopy", "pickle"])
def test_copies_go_on_bit_for_bit_and_apart(copier):
    params = parameters()
    first = RMSprop(params, lr=1e-3, dialect="timm", momentum=0.9)
    train(first, 3)
    others, second = copier((params, first))
    train(first, 3, seed=2)
    before = copied(others)
    train(second, 3, seed=2)
    same(params, others)
    assert not torch.equal(before[0], others[0])
    assert second.state[others[0]]["step"] == 6
    second.add_param_group({"params": [torch.zeros(2, requires_grad=True)]})
    assert second.param_groups[1]["eps_place"] == "inside"  # it knows its dialect


def test_old_integer_steps_load():
    params = parameters()
    theirs = torch.optim.RMSprop(params, momentum=0.5)
    train(theirs, 3)
    saved = theirs.state_dict()
    for entry in saved["state"].values():
        entry["step"] = 3
    ours = RMSprop(params)
    ours.load_state_dict(saved)
    train(ours, 1)
    assert ours.state[params[0]]["step"] == 4


@pytest.mark.parametrize("fused", [None, False])
def test_axes_may_be_switched_between_steps(fused):
    """Momentum and centering make what they need; the variance begins as the mean of g², which it is while the mean of g is 0."""
    params = [torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)]
    optimizer = RMSprop(params, lr=0.1, alpha=0.5, fused=fused)
    group, p = optimizer.param_groups[0], params[0]
    twin = rmsprop.RMSprop(p.detach().numpy().copy(), 0.1, "pytorch", decay=0.5)
    for change in ({}, {"momentum": 0.9}, {"centered": True}, {"maximize": True}, {"centered": False}, {"momentum": 0.0}):
        group.update(change)
        twin.rule = twin.rule.replace(**change)
        for g in ([1.0, 2.0], [3.0, -1.0]):
            p.grad = torch.tensor(g, dtype=torch.float64)
            optimizer.step()
            twin.step(p.grad.numpy())
        torch.testing.assert_close(p.detach(), torch.from_numpy(twin._parameters.arrays[0]), rtol=1e-14, atol=1e-14)
    assert optimizer.state[p]["step"] == 12


def wrong(edit):
    """Return a state dict with one thing changed."""
    params = parameters()
    optimizer = torch.optim.RMSprop(params, momentum=0.9, centered=True)
    train(optimizer, 2)
    saved = copy.deepcopy(optimizer.state_dict())
    edit(saved)
    return saved


REFUSED = {
    "another optimizer's": (lambda d: d["state"][0].update(exp_avg=torch.zeros(4, 3)), ValueError, "'exp_avg': it is of another"),
    "no square_avg": (lambda d: d["state"][1].pop("square_avg"), ValueError, "lacks 'square_avg'"),
    "no momentum_buffer": (lambda d: d["state"][1].pop("momentum_buffer"), ValueError, "lacks 'momentum_buffer'"),
    "no grad_avg": (lambda d: d["state"][0].pop("grad_avg"), ValueError, "lacks 'grad_avg'"),
    "no step": (lambda d: d["state"][0].pop("step"), ValueError, "lacks 'step'"),
    "half a step": (lambda d: d["state"][0].update(step=1.5), ValueError, "'step'.*whole number"),
    "another shape": (lambda d: d["state"][0].update(square_avg=torch.ones(3, 4)), ValueError, r"shape \(4, 3\), got \(3, 4\)"),
    "integers": (lambda d: d["state"][0].update(square_avg=torch.ones(4, 3, dtype=torch.int64)), ValueError, "float32.*int64"),
    "complex": (lambda d: d["state"][0].update(square_avg=torch.ones(4, 3, dtype=torch.complex64)), ValueError, "complex64"),
    "a list": (lambda d: d["state"][0].update(square_avg=[1.0]), TypeError, "must be a tensor, got a list"),
    "no dict": (lambda d: d["state"].update({0: 3}), TypeError, "must be a dict, got a int"),
    "negative": (lambda d: d["state"][0]["square_avg"].neg_(), ValueError, "negative"),
    "a stranger": (lambda d: d["state"].update({9: d["state"][0]}), ValueError, "parameter 9"),
    "bad alpha": (lambda d: d["param_groups"][0].update(alpha=1.5), ValueError, "Invalid alpha value: 1.5"),
    "bad lr": (lambda d: d["param_groups"][0].update(lr=-1.0), ValueError, "Invalid learning rate: -1.0"),
    "more groups": (lambda d: d["param_groups"].append(d["param_groups"][0]), ValueError, "different number of parameter groups"),
    "fewer parameters": (lambda d: d["param_groups"][0]["params"].pop(), ValueError, "doesn't match the size"),
    "no groups": (lambda d: d.pop("param_groups"), ValueError, "lacks 'param_groups'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_state_is_refused_and_nothing_changes(name):
    edit, kind, message = REFUSED[name]
    params = parameters()
    optimizer = RMSprop(params, lr=0.5, momentum=0.3)
    train(optimizer, 2)
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(kind, match=message):
        optimizer.load_state_dict(wrong(edit))
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for key, entry in before["state"].items():
        assert entry.keys() == after["state"][key].keys()
        same(entry.values(), after["state"][key].values())


def test_nan_in_state_is_refused_where_gradients_are_watched():
    saved = wrong(lambda d: d["state"][0]["grad_avg"].fill_(float("nan")))
    saved["param_groups"][0]["on_nonfinite"] = "skip"
    with pytest.raises(ValueError, match="'grad_avg' of parameter 0 is not finite"):
        RMSprop(parameters()).load_state_dict(saved)
    saved["param_groups"][0]["on_nonfinite"] = "propagate"
    RMSprop(parameters()).load_state_dict(saved)


def test_dicts_of_timm_keep_their_form_of_decay():
    params = parameters()
    saved = torch.optim.RMSprop(params).state_dict()
    saved["param_groups"][0] |= {"lr_in_momentum": True, "decoupled_decay": True, "weight_decay": 0.1}
    optimizer = RMSprop(params, dialect="timm")
    optimizer.load_state_dict(saved)
    group = optimizer.param_groups[0]
    assert (group["weight_decay_form"], group["eps_place"], group["alpha"]) == ("decoupled_lr", "inside", 0.99)

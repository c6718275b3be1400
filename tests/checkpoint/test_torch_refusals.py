"""State dicts and optimizers whose state is not read, and why."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, distribute_tensor

from rmsprop.checkpoint import ConversionError, UsageError, capture, restore
from tests.checkpoint.torches import NAMES, parameters, trained, upstream

OTHERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], str]] = {
    "Adam": (torch.optim.Adam, "Adam, by its 'exp_avg_sq'"),
    "Adamax": (torch.optim.Adamax, "Adamax, by its 'exp_inf'"),
    "NAdam": (torch.optim.NAdam, "NAdam, by its 'mu_product'"),
    "Adadelta": (torch.optim.Adadelta, "Adadelta, by its 'acc_delta'"),
    "Adagrad": (torch.optim.Adagrad, "Adagrad, by its 'sum'"),
    "Rprop": (torch.optim.Rprop, "Rprop, by its 'step_size'"),
    "ASGD": (torch.optim.ASGD, "ASGD, by its 'ax'"),
    "SGD": (lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9), "SGD, by its 'dampening'"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_optimizers_are_refused_by_name(name: str) -> None:
    make, message = OTHERS[name]
    params = parameters()
    optimizer = make(params, lr=0.1)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    with pytest.raises(ConversionError, match=f"this is the state of {message}; RMSprop cannot go on from it"):
        capture(optimizer.state_dict())
    with pytest.raises(UsageError, match=rf"a torch\.optim\.\w+\.{name} is none of .*RMSpropTFLike, bitsandbytes.*pass kind"):
        capture(optimizer)
    with pytest.raises(UsageError, match=rf"can be put into .* and not into a torch\.optim\.\w+\.{name}"):
        restore(optimizer, capture(trained("pytorch")[1]))


def changed(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return what sets an item of a state_dict, or takes it away."""

    def change(saved: dict[str, Any]) -> None:
        *way, last = (int(word) if word.isdigit() else word for word in path.split("/"))
        at: Any = saved
        for word in way:
            at = at[word]
        if value is ...:
            del at[last]
        else:
            at[last] = value

    return change


LIKE = torch.ones(3, 5)
WRONG: dict[str, tuple[str, Any, str]] = {
    "no groups": ("param_groups", [], "'param_groups', a list that is not empty"),
    "group": ("param_groups/0", 3, "group 0 must be a dict with 'params'"),
    "state": ("state", [1], "'state', a dict"),
    "entry": ("state/0", [1], "state of parameter '0' must be a dict, got a list"),
    "entry of no parameter": ("state/7", {"step": 1}, "state for parameter '7', which no group has"),
    "params twice": ("param_groups/0/params", [0, 1, 1], "each of which stands once"),
    "no eps": ("param_groups/0/eps", ..., "group 0 lacks 'eps'"),
    "no alpha": ("param_groups/0/alpha", ..., "this is no state of RMSprop: its groups have capturable, centered"),
    "alpha": ("param_groups/0/alpha", 1.0, r"group 0: decay must be in \[0, 1\), got 1\.0"),
    "alpha a list": ("param_groups/0/alpha", [1.0], "'alpha' of group 0 must be a number, got a list"),
    "eps": ("param_groups/0/eps", 0.0, "group 0: eps must be greater than 0"),
    "centered": ("param_groups/0/centered", 1, "group 0: centered must be True or False, got 1"),
    "lr": ("param_groups/0/lr", torch.ones(2), r"'lr' of group 0 must have one element, got a tensor of shape \(2,\)"),
    "no lr": ("param_groups/0/lr", ..., "'lr' of group 0 must be a number, got a NoneType"),
    "lr below 0": ("param_groups/0/lr", -1.0, r"lr must be in \[0, inf\), got -1\.0"),
    "option": ("param_groups/0/mine", {1, 2}, "'mine' of group 0 is a set that is no plain value"),
    "option not finite": ("param_groups/0/mine", [np.nan], "'mine' of group 0 is a float that is no plain value"),
    "names": ("param_groups/0/param_names", ["a"], "'param_names' of group 0 must be 3 words"),
    "one name twice": ("param_groups/0/param_names", ["a", "a", "b"], "two parameters are called 'a'"),
    "no step": ("state/0/step", ..., "state of parameter '0' lacks 'step'"),
    "half a step": ("state/0/step", 1.5, r"'step' of parameter '0' must be a whole number of at least 0, got 1\.5"),
    "step not a number": ("state/0/step", torch.tensor(np.nan), "'step' of parameter '0' must be a whole number"),
    "step below 0": ("state/0/step", -1, "must be a whole number of at least 0, got -1"),
    "slot missing": ("state/0/momentum_buffer", ..., "must have square_avg, momentum_buffer under its rule"),
    "no slot": ("state/0", {"step": 1, "mine": 2}, "has step, mine and none of square_avg, momentum_buffer"),
    "slot a list": ("state/0/square_avg", [1.0], "'square_avg' of parameter '0' must be a tensor, got a list"),
    "shape": ("state/0/square_avg", torch.ones(15), r"must have shape \(15,\) as its other arrays|must have shape"),
    "integers": ("state/0/square_avg", LIKE.int(), "floating-point or complex numbers of 16 bits or more, got torch.int32"),
    "sparse": ("state/0/square_avg", LIKE.to_sparse(), "is a sparse tensor"),
    "meta": ("state/0/square_avg", LIKE.to("meta"), "is a meta tensor"),
    "quantized": (
        "state/0/square_avg",
        lambda: torch.quantize_per_tensor(LIKE, 0.1, 0, torch.qint8),
        "is a quantized tensor",
    ),
    "spread out": ("state/0/square_avg", torch.ones(1).expand(3, 5), "has fewer numbers in memory than its shape"),
    "below 0": ("state/0/square_avg", -LIKE, "has negative values"),
    "not finite": ("state/0/square_avg", LIKE * np.inf, "is not finite; .* pass allow_nan=True"),
}


@pytest.mark.filterwarnings("ignore:.*quantiz.*")
@pytest.mark.parametrize("name", WRONG)
def test_a_state_dict_that_is_wrong_is_refused(name: str) -> None:
    path, value, message = WRONG[name]
    saved = copy.deepcopy(trained("pytorch", momentum=0.9)[1].state_dict())
    changed(path, value() if callable(value) and value is not ... else value)(saved)
    with pytest.raises(ConversionError, match=message):
        capture(saved)


def test_arrays_that_share_memory_are_refused() -> None:
    saved = trained("pytorch", momentum=0.9)[1].state_dict()
    saved["state"][0]["momentum_buffer"] = saved["state"][0]["square_avg"]
    with pytest.raises(ConversionError, match=r"'momentum_buffer' of parameter '0' has fewer numbers in memory .* or shares them"):
        capture(saved)


def test_a_group_stands_once() -> None:
    saved = trained("pytorch")[1].state_dict()
    saved["param_groups"] += [{**saved["param_groups"][0], "params": []}] * 2
    with pytest.raises(ConversionError, match="a group stands twice"):
        capture(saved)


def test_nan_may_be_allowed() -> None:
    _, optimizer = trained("pytorch")
    optimizer.state[optimizer.param_groups[0]["params"][0]]["square_avg"][0, 0] = np.nan
    assert np.isnan(next(capture(optimizer, allow_nan=True).parameters).slots["square_avg"][0, 0])


def test_what_is_said_must_be_needed_and_fit() -> None:
    _, optimizer = trained("pytorch")
    with pytest.raises(UsageError, match="names must be 3, one for each parameter, got 2"):
        capture(optimizer, names=["a", "b"])
    named = torch.optim.RMSprop(zip(NAMES, parameters(), strict=True))
    with pytest.raises(UsageError, match="the state has names itself"):
        capture(named, names=NAMES)
    for said in ({"lr": 0.1}, {"step": 3}, {"dialect": "timm"}, {"decay": 0.5}):
        with pytest.raises(UsageError, match=rf"a state of torch\.optim\.RMSprop holds {next(iter(said))} itself"):
            capture(optimizer, **said)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"this is torch\.optim\.RMSprop, and not timm\.optim\.RMSpropTF"):
        capture(optimizer, kind="timm")
    with pytest.raises(UsageError, match=r"a state of torch\.optim\.RMSprop by its keys, and not of timm"):
        capture(optimizer.state_dict(), kind="timm")


def test_one_of_several_states_must_be_named() -> None:
    saved = trained("pytorch")[1].state_dict()
    with pytest.raises(UsageError, match=r"several optimizers; name one of 'a', 'b\.0', by passing that part"):
        capture({"a": saved, "b": [dict(saved)]})
    with pytest.raises(UsageError, match="no optimizer state in this dict"):
        capture({"param_groups": {}})


@pytest.fixture
def sharded() -> Any:
    if not torch.distributed.is_available():  # pragma: no cover
        pytest.skip("this build of PyTorch has no torch.distributed")
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    mesh = init_device_mesh("cpu", (1,))
    yield lambda tensor: distribute_tensor(tensor, mesh, [Replicate()])
    torch.distributed.destroy_process_group()


def test_shards_are_refused(sharded: Callable[[Any], Any]) -> None:
    saved = trained("pytorch")[1].state_dict()
    saved["state"][0] = {**saved["state"][0], "square_avg": sharded(torch.ones(3, 5))}
    with pytest.raises(ConversionError, match=r"is a DTensor, of which .*get_optimizer_state_dict.*full_state_dict=True"):
        capture(saved)
    target = torch.optim.RMSprop([torch.nn.Parameter(sharded(p.detach())) for p in parameters()])
    with pytest.raises(ConversionError, match=r"parameter '0' is a shard; .*set_optimizer_state_dict"):
        restore(target, capture(trained("pytorch")[1]))


@pytest.mark.parametrize("said", [{"caution": True, "momentum": 0.9}, {"corrected_weight_decay": True, "weight_decay": 0.1}])
def test_steps_of_timm_that_no_rule_takes_are_refused(said: dict[str, Any]) -> None:
    decoupled = {"decoupled_decay": True} if "weight_decay" in said else {}
    with pytest.raises(ConversionError, match=f"group 0 has {next(iter(said))}=True"):
        capture(trained("timm", **said, **decoupled)[1])
    capture(trained("timm", **{next(iter(said)): True})[1])  # without momentum and decay it does nothing


def test_complex_parameters_of_sb3_are_refused() -> None:
    with pytest.raises(ConversionError, match=r"neither by their parts nor by their modulus; use 'rmsprop\.torch'"):
        capture(trained("sb3", torch.complex64)[1])


def test_the_classes_are_those_of_the_packages() -> None:
    assert upstream("timm").__module__ == "timm.optim.rmsprop_tf"
    assert upstream("sb3").__module__ == "stable_baselines3.common.sb2_compat.rmsprop_tf_like"

"""What is refused with the reason, and that nothing has changed then."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, distribute_tensor

import rmsprop
import rmsprop.torch
from rmsprop.checkpoint import ConversionError, Group, Parameter, State, UsageError, capture, restore, save
from tests.checkpoint.torches import NAMES, copied, flat, parameters, trained, upstream

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


@pytest.mark.parametrize("said", [{"caution": True, "momentum": 0.9}, {"corrected_weight_decay": True, "weight_decay": 0.1}])
def test_steps_of_timm_that_no_rule_takes_are_refused(said: dict[str, Any]) -> None:
    decoupled = {"decoupled_decay": True} if "weight_decay" in said else {}
    with pytest.raises(ConversionError, match=f"group 0 has {next(iter(said))}=True"):
        capture(trained("timm", **said, **decoupled)[1])
    capture(trained("timm", **{next(iter(said)): True})[1])  # without momentum and decay it does nothing


def test_complex_parameters_of_sb3_are_refused() -> None:
    with pytest.raises(ConversionError, match=r"neither by their parts nor by their modulus; use 'rmsprop\.torch'"):
        capture(trained("sb3", C64)[1])


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


def test_the_classes_are_those_of_the_packages() -> None:
    assert upstream("timm").__module__ == "timm.optim.rmsprop_tf"
    assert upstream("sb3").__module__ == "stable_baselines3.common.sb2_compat.rmsprop_tf_like"

"""Reports: what they say against the rule elsewhere and against what was measured, for every kind of layer, at bounded cost."""

import copy
import json
import math

import mpmath
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rmsprop import Rule, dialect, dialect_names
from rmsprop.rule import bind
from rmsprop.state import effective_lr
from rmsprop.torch import RMSprop, measure
from rmsprop.torch.measure import PIECE, SAMPLE
from rmsprop.torch.options import rule_of
from rmsprop.torch.report import QUANTILES, log, report
from tests.tolerances import RELATIVE

EXACT = RELATIVE["report"].share
ROUNDED = RELATIVE["report, float32"].share
SAMPLED = RELATIVE["report, sampled"].share


def trained(shape=(7, 5), *, steps=4, dtype=torch.float64, start=None, gradient=torch.randn_like, rates=(0.02, 0.03), **options):
    """Return a parameter after some steps at changing learning rates, its optimizer, and the parameter before the last step.

    A report does not depend on the way in which steps are computed: PyTorch's operations need not be compiled for each rule.
    """
    torch.manual_seed(5)
    p = (torch.randn(shape, dtype=dtype) if start is None else start).requires_grad_()
    optimizer = RMSprop([("w", p)], lr=rates[0], **{"fused": False, **options})
    before = p.detach().clone()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rates[step % len(rates)]
        p.grad = gradient(p)
        before = p.detach().clone()
        optimizer.step()
    return p, optimizer, before


def only(optimizer):
    """Return the report on the only layer."""
    (group,) = report(optimizer)["groups"]
    (layer,) = group["layers"].values()
    return layer


def quantiles(values):
    return dict(zip(QUANTILES, np.quantile(values, list(QUANTILES.values())), strict=True))


def measured_ratio(p, before):
    p = p.detach()
    return float((p - before).norm() / p.norm())


CHANGES = (
    {},
    {"momentum": 0.9},
    {"momentum": 0.5, "centered": True},
    {"momentum": 0.9, "nesterov": True},
    {"centered": True},
    {"weight_decay": 0.1},
)


@pytest.mark.parametrize("changes", [*CHANGES, {"bias_correction": True, "square_init": 0.0}], ids=str)
@pytest.mark.parametrize("name", dialect_names())
def test_effective_lr_is_the_rules_own(name, changes):
    rule = dialect(name).replace(**changes)
    p, optimizer, _ = trained(dialect=rule)
    state = optimizer.state[p]
    rule = rule_of(optimizer.param_groups[0])
    slots = {slot.name: [state[slot.name].numpy()] for slot in rule.slots}
    (rates,) = effective_lr(rule, optimizer.param_groups[0]["lr"], 4, slots)
    assert only(optimizer)["effective_lr"] == pytest.approx(quantiles(rates), rel=EXACT)


@pytest.mark.parametrize("name", ["pytorch", "tf1", "optax"])
def test_effective_lr_of_known_means(name):
    p, optimizer, _ = trained((6,), steps=1, dialect=dialect(name, lr=0.1))
    means = [0.0, 1e-20, 1e-6, 0.25, 4.0, 9.0]
    optimizer.state[p]["square_avg"].copy_(torch.tensor(means))
    means = optimizer.state[p]["square_avg"].tolist()
    rule = rule_of(optimizer.param_groups[0])
    with mpmath.workdps(40):
        still = rule.scalars(0.02, 1)._replace(decay=1.0, fresh=0.0)
        step = bind(rule, sqrt=mpmath.sqrt)
        rates = sorted(float(-step(mpmath.mpf(0), 1, mpmath.mpf(v), 0, 0, *still)[0]) for v in means)
    found = only(optimizer)["effective_lr"]
    assert found == pytest.approx(quantiles(rates), rel=EXACT)
    assert found["min"] == pytest.approx(0.02 / 3.0, rel=1e-6)


RULES = {
    "plain": {"dialect": "pytorch"},
    "maximize": {"dialect": "pytorch", "maximize": True},
    "coupled": {"dialect": "pytorch", "weight_decay": 0.3},
    "coupled, maximize": {"dialect": "pytorch", "weight_decay": 0.3, "maximize": True},
    "decoupled": {"dialect": dialect("keras").replace(weight_decay=0.3, weight_decay_form="decoupled")},
    "decoupled, times lr": {"dialect": dialect("keras").replace(weight_decay=0.3, weight_decay_form="decoupled_lr")},
    "momentum, lr after it": {"dialect": "pytorch", "momentum": 0.9},
    "momentum, lr before it": {"dialect": "tf1", "momentum": 0.9},
    "momentum, coupled": {"dialect": "timm", "momentum": 0.9, "weight_decay": 0.3},
    "momentum, decoupled": {"dialect": dialect("keras").replace(momentum=0.9, weight_decay=0.3, weight_decay_form="decoupled")},
    "nesterov, lr after it": {"dialect": "pytorch", "momentum": 0.9, "nesterov": True},
    "nesterov, lr before it": {"dialect": "tf1", "momentum": 0.01, "nesterov": True},
    "nesterov, coupled": {"dialect": "pytorch", "momentum": 0.9, "nesterov": True, "weight_decay": 0.3, "maximize": True},
    "nesterov, decoupled": {
        "dialect": dialect("tf1").replace(momentum=0.9, nesterov=True, weight_decay=0.3, weight_decay_form="decoupled_lr")
    },
    "centered": {"dialect": "keras", "centered": True},
    "centered by difference": {"dialect": Rule(centered=True, centered_form="difference", eps=1e-3)},
    "bias correction": {"dialect": Rule(bias_correction=True, momentum=0.9, nesterov=True, centered=True, weight_decay=0.1)},
}


@pytest.mark.parametrize("options", RULES.values(), ids=RULES)
def test_ratio_is_that_of_the_step_just_taken(options):
    p, optimizer, before = trained(**options)
    assert only(optimizer)["update_to_weight"] == pytest.approx(measured_ratio(p, before), rel=EXACT)


@pytest.mark.parametrize("options", RULES.values(), ids=RULES)
def test_ratio_after_zero_grad(options):
    p, optimizer, before = trained(**options)
    optimizer.zero_grad()
    rule = rule_of(optimizer.param_groups[0])
    if rule.momentum and not rule.nesterov:
        assert only(optimizer)["update_to_weight"] == pytest.approx(measured_ratio(p, before), rel=EXACT)
    else:
        assert only(optimizer)["update_to_weight"] is None


@pytest.mark.parametrize("limit", [None, 0.5, 1e6])
@pytest.mark.parametrize("scale", [None, 1024.0])
def test_ratio_where_the_step_scaled_gradients(limit, scale):
    torch.manual_seed(0)
    p, q = (torch.randn(6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer = RMSprop([{"params": [p]}, {"params": [q], "max_norm": None}], weight_decay=0.1, max_norm=limit)
    for _ in range(3):
        before = [one.detach().clone() for one in (p, q)]
        for one in (p, q):
            one.grad = torch.randn_like(one) * (scale or 1.0)
        if scale is not None:  # as torch.amp.GradScaler hands them over
            optimizer.grad_scale, optimizer.found_inf = torch.tensor(scale), torch.tensor(0.0)
        optimizer.step()
    groups = optimizer.report()["groups"]
    for group, one, was in zip(groups, (p, q), before, strict=True):
        assert group["update_to_weight"] == pytest.approx(measured_ratio(one, was), rel=EXACT)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}], ids=str)
def test_ratio_in_float32(options):
    p, optimizer, before = trained((300,), dtype=torch.float32, **options)
    assert only(optimizer)["update_to_weight"] == pytest.approx(measured_ratio(p, before), rel=ROUNDED)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bit_parameters_tell_the_step_before_rounding(dtype):
    start = torch.randn(300, generator=torch.Generator().manual_seed(2)).to(dtype)
    seen = []

    def gradient(p):
        seen.append(torch.randn_like(p))
        return seen[-1]

    _, optimizer, _ = trained(start=start.clone(), steps=1, gradient=gradient)
    wide, peer, before = trained(start=start.float(), steps=1, gradient=lambda p: seen[0].float())
    found, like = only(optimizer), only(peer)
    assert found["effective_lr"] == pytest.approx(like["effective_lr"], rel=ROUNDED)
    assert found["update_to_weight"] == pytest.approx(measured_ratio(wide, before), rel=2 * torch.finfo(dtype).eps)
    assert found["state_bytes"] == like["state_bytes"]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_parts_of_complex_parameters_are_real_parameters(changes):
    start = torch.randn(6, 3, dtype=torch.complex128, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(0)
    gradients = torch.randn(4, 6, 3, dtype=torch.complex128)
    fed, again = iter(gradients), iter(torch.view_as_real(gradients))
    p, optimizer, before = trained(start=start.clone(), gradient=lambda p: next(fed).clone(), **changes)
    _, peer, _ = trained(start=torch.view_as_real(start).clone(), gradient=lambda p: next(again).clone(), **changes)
    found, like = only(optimizer), only(peer)
    assert (found["elements"], found["sampled"]) == (18, 18)
    assert found["effective_lr"] == pytest.approx(like["effective_lr"], rel=EXACT)
    assert found["update_to_weight"] == pytest.approx(measured_ratio(p, before), rel=EXACT)
    assert found["dead"] == like["dead"] == 0.0


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_one_mean_of_a_complex_modulus(changes):
    rule = dialect("optax").replace(complex_form="modulus", **changes)
    p, optimizer, before = trained((6, 3), dtype=torch.complex128, dialect=rule)
    layer = only(optimizer)
    assert layer["update_to_weight"] == pytest.approx(measured_ratio(p, before), rel=EXACT)
    slots = {slot.name: [optimizer.state[p][slot.name].numpy()] for slot in rule.slots}
    (rates,) = effective_lr(rule, 0.03, 4, slots)
    assert layer["effective_lr"] == pytest.approx(quantiles(rates), rel=EXACT)


def test_shares_of_dead_and_broken_entries():
    p, optimizer, _ = trained((4, 5), gradient=lambda p: torch.ones_like(p).index_fill_(1, torch.tensor([1, 3]), 0.0), momentum=0.9)
    layer = only(optimizer)
    assert (layer["dead"], layer["nonfinite_parameter"], layer["nonfinite_state"]) == (0.4, 0.0, 0.0)
    with torch.no_grad():
        p[0, 0], p[2, 1] = math.inf, -math.inf
        optimizer.state[p]["square_avg"][0] = math.nan
    layer = only(optimizer)
    assert layer["dead"] == 0.3
    assert layer["nonfinite_parameter"] == 0.1
    assert layer["nonfinite_state"] == 5 / 40
    assert layer["update_to_weight"] is None
    assert layer["effective_lr"]["min"] == pytest.approx(report(optimizer)["groups"][0]["effective_lr"]["min"])
    (group,) = report(optimizer)["groups"]
    assert [group[share] for share in ("dead", "nonfinite_parameter", "nonfinite_state")] == [0.3, 0.1, 0.125]


def test_finite_entries_whose_sum_overflows_are_not_broken():
    p, optimizer, _ = trained(start=torch.full((300,), 60000.0, dtype=torch.float16), steps=1)
    assert not torch.isfinite(p.sum())
    assert only(optimizer)["nonfinite_parameter"] == 0.0


def test_a_constant_gradient_is_not_dead_if_centered():
    p, optimizer, _ = trained((4,), centered=True)
    optimizer.state[p]["variance"].copy_(torch.tensor([0.0, 0.0, 3.0, 0.0]))
    optimizer.state[p]["grad_avg"].copy_(torch.tensor([0.0, 2.0, 3.0, 0.0]))
    assert only(optimizer)["dead"] == 0.5


def test_a_start_at_one_is_not_dead():
    _, optimizer, _ = trained((4,), gradient=torch.zeros_like, dialect="tf1")
    assert only(optimizer)["dead"] == 0.0


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (2, 3, 4)])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "nesterov": True, "centered": True}], ids=["plain", "all"])
def test_odd_shapes(shape, options):
    p, optimizer, before = trained(shape, **options)
    layer = only(optimizer)
    assert layer["shape"] == list(shape)
    assert layer["elements"] == layer["sampled"] == p.numel()
    if p.numel():
        assert layer["update_to_weight"] == pytest.approx(measured_ratio(p, before), rel=EXACT)
    else:
        assert layer["effective_lr"] is layer["update_to_weight"] is layer["dead"] is layer["nonfinite_parameter"] is None


LAYOUTS = {
    "channels last": lambda t: t.to(memory_format=torch.channels_last),
    "transposed": lambda t: t.transpose(0, 3).contiguous().transpose(0, 3),
    "every other": lambda t: torch.stack([t, t], -1)[..., 0],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layout_changes_nothing(layout):
    start = torch.randn(4, 3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    torch.manual_seed(0)
    gradients = list(torch.randn(4, 4, 3, 5, 6, dtype=torch.float64))
    fed, again = iter(gradients), iter(gradients)
    _, optimizer, _ = trained(start=layout(start.clone()), gradient=lambda p: layout(next(fed)), momentum=0.9, nesterov=True)
    _, plain, _ = trained(start=start.clone(), gradient=lambda p: next(again), momentum=0.9, nesterov=True)
    assert only(optimizer) == only(plain)


def embedding(sparse, rows=50, width=4, **options):
    """Return an embedding after three sparse steps over a few rows, with rows that occur twice, and its table before the last."""
    torch.manual_seed(6)
    table = torch.nn.Embedding(rows, width, sparse=True, dtype=torch.float64)
    optimizer = RMSprop(table.named_parameters(), lr=0.01, sparse=sparse, **options)
    for chosen in ([1, 5, 5, rows - 1], [2, 5, 7], [3, 5, 5, rows - 2]):
        optimizer.zero_grad()
        (table(torch.tensor(chosen)) ** 2).sum().backward()
        before = table.weight.detach().clone()
        optimizer.step()
    return table.weight, optimizer, before


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}], ids=str)
@pytest.mark.parametrize("sparse", ["lazy", "dense"])
def test_sparse_gradients(sparse, options):
    p, optimizer, before = embedding(sparse, **options)
    assert only(optimizer)["update_to_weight"] == pytest.approx(measured_ratio(p, before), rel=EXACT)
    assert only(optimizer)["dead"] == (0.86 if sparse == "lazy" or not options.get("weight_decay") else 0.0)
    optimizer.zero_grad()
    assert (only(optimizer)["update_to_weight"] is None) == (sparse == "lazy" or options != {"momentum": 0.9})


def test_a_few_rows_of_a_large_embedding():
    p, optimizer, before = embedding("lazy", rows=40_000, width=16)
    layer = only(optimizer)
    assert layer["sampled"] < SAMPLE < layer["elements"]
    assert layer["update_to_weight"] == pytest.approx(measured_ratio(p, before), rel=SAMPLED)


def test_no_rows_at_all():
    p, optimizer, _ = embedding("lazy")
    for policy in ("lazy", "dense"):
        optimizer.param_groups[0]["sparse"] = policy
        p.grad = torch.sparse_coo_tensor(torch.empty(1, 0), torch.empty(0, 4), p.shape, dtype=p.dtype, check_invariants=True)
        assert only(optimizer)["update_to_weight"] == 0.0


def large(shape=(1000, 1000), **options):
    """Return a large layer whose columns have gradients of sizes of their own."""
    return trained(
        shape,
        dtype=torch.float32,
        steps=2,
        gradient=lambda p: torch.randn_like(p) * torch.logspace(-3, 3, p.shape[-1]).expand_as(p),
        **options,
    )


@pytest.mark.parametrize("shape", [(1000, 1000), (1 << 14, 1 << 6), (1_000_003,)], ids=str)
def test_a_sample_stands_for_a_large_layer(shape):
    p, optimizer, before = large(shape)
    layer = only(optimizer)
    assert layer == only(optimizer)
    assert SAMPLE / 2 < layer["sampled"] <= SAMPLE
    state = optimizer.state[p]["square_avg"].double().numpy()
    (rates,) = effective_lr(rule_of(optimizer.param_groups[0]), 0.03, 2, {"square_avg": [state]})
    exact = quantiles(rates)
    for name in ("p5", "p25", "median", "p75", "p95"):
        assert layer["effective_lr"][name] == pytest.approx(exact[name], rel=5 * SAMPLED)
    assert exact["min"] <= layer["effective_lr"]["min"] <= layer["effective_lr"]["max"] <= exact["max"]
    assert layer["update_to_weight"] == pytest.approx(measured_ratio(p, before), rel=SAMPLED)


class Largest(TorchDispatchMode):
    """Notes how many bytes the largest storage has that an operation makes."""

    nbytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = {leaf.untyped_storage().data_ptr() for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.untyped_storage().data_ptr() not in given:
                self.nbytes = max(self.nbytes, leaf.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("broken", [False, True], ids=["sound", "broken"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64], ids=str)
@pytest.mark.parametrize("layout", [None, *LAYOUTS.values()], ids=["contiguous", *LAYOUTS])
def test_no_temporary_has_the_size_of_a_layer(layout, dtype, broken, monkeypatch):
    monkeypatch.setattr(measure, "SAMPLE", SAMPLE // 16)
    monkeypatch.setattr(measure, "PIECE", PIECE // 16)
    start = torch.ones(64, 8, 16, 32, dtype=dtype)
    p, optimizer, _ = trained(start=start if layout is None else layout(start), steps=1, momentum=0.9, centered=True)
    if broken:
        with torch.no_grad():
            p[0, 0, 0, 0] = math.nan
            optimizer.state[p]["momentum_buffer"][-1, -1, -1, -1] = math.inf
    with Largest() as largest:
        layer = only(optimizer)
    assert layer["nonfinite_parameter"] == broken / p.numel()
    assert layer["nonfinite_state"] == broken / (3 * p.numel())
    assert 0 < largest.nbytes <= p.numel() * p.element_size() / 3


def test_before_the_first_step():
    frozen = torch.ones(2, 3)
    free = torch.ones(4, requires_grad=True)
    optimizer = RMSprop([("frozen", frozen), ("free", free)], lr=0.1)
    (group,) = report(optimizer)["groups"]
    assert not optimizer.state
    for layer in group["layers"].values():
        assert layer["effective_lr"] is layer["update_to_weight"] is layer["dead"] is layer["nonfinite_state"] is None
        assert (layer["steps"], layer["state_bytes"], layer["nonfinite_parameter"]) == (0, 0, 0.0)
    assert (group["elements"], group["state_bytes"], group["effective_lr"], group["update_to_weight"]) == (10, 0, None, None)


def test_a_layer_without_a_step_leaves_its_groups_ratio_alone():
    p, optimizer, before = trained(fused=False)
    frozen = torch.ones(100, dtype=p.dtype)
    optimizer.param_groups[0]["params"].append(frozen)
    optimizer.param_groups[0]["param_names"].append("frozen")
    (group,) = report(optimizer)["groups"]
    assert group["layers"]["frozen"]["update_to_weight"] is None
    assert group["update_to_weight"] == pytest.approx(measured_ratio(p, before), rel=EXACT)
    assert group["elements"] == p.numel() + 100


def test_momentum_switched_on_has_no_buffer_yet():
    _, optimizer, _ = trained()
    optimizer.param_groups[0]["momentum"] = 0.9
    assert only(optimizer)["update_to_weight"] is None


def test_groups_of_different_dialects():
    torch.manual_seed(8)
    a, b, c = (torch.randn(n, dtype=torch.float64, requires_grad=True) for n in (4, 9, 5))
    optimizer = RMSprop([{"params": [a, b]}, {"params": [c], "dialect": "tf1", "lr": 0.5}], lr=torch.tensor(0.25))
    before = [p.detach().clone() for p in (a, b, c)]
    for p in (a, b, c):
        p.grad = torch.randn_like(p)
    b.grad[3:] = 0.0
    optimizer.step()
    first, second = report(optimizer)["groups"]
    assert [(group["dialect"], group["lr"]) for group in (first, second)] == [("pytorch", 0.25), ("tf1", 0.5)]
    assert [*first["layers"], *second["layers"]] == ["group0.param0", "group0.param1", "group1.param0"]
    assert (first["elements"], first["sampled"]) == (13, 13)
    rule = rule_of(optimizer.param_groups[0])
    rates = effective_lr(rule, 0.25, 1, {"square_avg": [optimizer.state[p]["square_avg"].numpy() for p in (a, b)]})
    assert first["effective_lr"] == pytest.approx(quantiles(np.concatenate(rates)), rel=EXACT)
    together = torch.cat([a, b]), torch.cat(before[:2])
    assert first["update_to_weight"] == pytest.approx(measured_ratio(*together), rel=EXACT)
    assert second["update_to_weight"] == second["layers"]["group1.param0"]["update_to_weight"]
    assert first["dead"] == pytest.approx(6 / 13)
    assert first["state_bytes"] == sum(layer["state_bytes"] for layer in first["layers"].values()) == 13 * 8 + 2 * 4


def test_large_and_small_layers_count_by_their_elements():
    torch.manual_seed(9)
    sizes = [*[200_000] * 5, 60_000]  # the last is read whole, of the others one element in four or more
    layers = [torch.ones(size, requires_grad=True) for size in sizes]
    optimizer = RMSprop(layers, lr=0.01, fused=False)
    for p in layers:
        p.grad = torch.rand(len(p)) * (1e-3 if p is layers[-1] else 1.0) + 1e-4
    optimizer.step()
    (group,) = optimizer.report()["groups"]
    parts = group["layers"].values()
    assert group["sampled"] == sum(layer["sampled"] for layer in parts) > SAMPLE
    means = [optimizer.state[p]["square_avg"].double().numpy() for p in layers]
    rates = effective_lr(rule_of(optimizer.param_groups[0]), 0.01, 1, {"square_avg": means})
    exact = quantiles(np.concatenate(rates))
    for name in ("p25", "median", "p75"):
        assert group["effective_lr"][name] == pytest.approx(exact[name], rel=2 * SAMPLED)
    assert group["effective_lr"]["min"] == min(layer["effective_lr"]["min"] for layer in parts)
    assert group["effective_lr"]["max"] == max(layer["effective_lr"]["max"] for layer in parts)


def test_names():
    x, y, z = (torch.ones(1, requires_grad=True) for _ in range(3))
    optimizer = RMSprop([{"params": [("weight", x), ("bias", y)]}, {"params": [("weight", z)]}], lr=0.1)
    assert [list(group["layers"]) for group in report(optimizer)["groups"]] == [["group0.weight", "bias"], ["group1.weight"]]


def test_nothing_is_changed():
    p, optimizer, _ = trained(momentum=0.9, centered=True)
    held = copy.deepcopy(optimizer.state_dict()), p.detach().clone(), p.grad.clone()
    report(optimizer)
    after = optimizer.state_dict(), p.detach(), p.grad
    assert str(held) == str(after)
    assert all(torch.equal(one, other) for one, other in zip(held[1:], after[1:], strict=True))


def test_it_is_strict_json():
    p, optimizer, _ = trained((4,), momentum=0.9)
    with torch.no_grad():
        p[0] = math.nan
        optimizer.state[p]["square_avg"].fill_(math.inf)
    found = report(optimizer)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


class Scalars(dict):
    """A writer that keeps what it is given."""

    def add_scalar(self, tag, value, step):
        assert tag not in self
        assert type(value) in (int, float)
        self[tag] = value, step


def test_log_writes_what_the_report_says():
    _, optimizer, _ = trained()
    frozen = torch.ones(2)
    optimizer.add_param_group({"params": [("frozen", frozen)]})
    written = Scalars()
    optimizer.log(written, 7, prefix="optimizer")
    group = optimizer.report()["groups"][0]
    layer = group["layers"]["w"]
    expected = {f"effective_lr/{name}": value for name, value in layer["effective_lr"].items()}
    expected |= {key: layer[key] for key in ("update_to_weight", "dead", "nonfinite_parameter", "nonfinite_state", "state_bytes")}
    assert {tag.removeprefix("optimizer/w/"): value for tag, value in written.items() if tag.startswith("optimizer/w/")} == {
        tag: (value, 7) for tag, value in expected.items()
    }
    assert written["optimizer/group0/lr"] == (0.03, 7)
    assert written["optimizer/group0/effective_lr/median"] == (group["effective_lr"]["median"], 7)
    assert [tag for tag in written if "frozen" in tag] == ["optimizer/frozen/nonfinite_parameter", "optimizer/frozen/state_bytes"]
    log(optimizer, written, 8)
    assert written["rmsprop/w/dead"] == (0.0, 8)


def test_log_writes_to_tensorboard(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    _, optimizer, _ = trained()
    with SummaryWriter(str(tmp_path)) as writer:
        optimizer.log(writer, 3)
    events = EventAccumulator(str(tmp_path)).Reload()
    (event,) = events.Scalars("rmsprop/w/effective_lr/median")
    assert (event.step, event.value) == (3, pytest.approx(only(optimizer)["effective_lr"]["median"], rel=ROUNDED))


@pytest.fixture
def mesh():
    """Yield a mesh of this process alone."""
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh

    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def test_distributed_tensors_are_read_where_they_lie(mesh):
    from torch.distributed.tensor import Shard, distribute_tensor

    torch.manual_seed(5)
    start = torch.randn(6, 3, dtype=torch.float64)
    torch.manual_seed(1)
    gradients = list(torch.randn(4, 6, 3, dtype=torch.float64))
    fed, again = iter(gradients), iter(gradients)
    p = torch.nn.Parameter(distribute_tensor(start.clone(), mesh, [Shard(0)]))
    _, optimizer, _ = trained(start=p, gradient=lambda p: distribute_tensor(next(fed), mesh, [Shard(0)]), momentum=0.9)
    _, plain, _ = trained(start=start.clone(), gradient=lambda p: next(again), momentum=0.9)
    assert only(optimizer) == only(plain)

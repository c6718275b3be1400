"""The GPU's batches, in Triton's interpreter on the CPU's memory: the compiled pass's bits, and what they spare the device."""

import sys
import warnings
import weakref
from array import array

import numpy as np
import pytest
import torch
from torch.nn import Parameter

import rmsprop
from rmsprop.kernels.gpu import build, launch
from rmsprop.torch import RMSprop, launched, uploads
from rmsprop.torch.fused import Fused
from rmsprop.torch.launched import Launched
from rmsprop.torch.tensors import Tensors
from tests.torch.harness import feed, gradients, parameters, twins

pytest.importorskip("triton", reason="Triton is not installed; it exists for Linux only")

BIASED = rmsprop.dialect("optax", bias_correction=True).replace(lr=0.01)
SHAPES = [(5, 7), (3,), (0,), ()]
EVERYTHING = {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "maximize": True, "max_norm": 1.0, "ema_decay": 0.9}


@pytest.fixture
def interpreted(monkeypatch):
    """Send parameters on the CPU through the GPU's kernels, with tiles so small that tensors have several."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(build, "TILE", 16)

    def switch(on: bool) -> None:
        monkeypatch.setenv("RMSPROP_INTERPRET", "1" if on else "0")

    switch(True)
    return switch


def batches(optimizer):
    return [batch for section in optimizer._plan.sections for batch in section.batches]


def tensor_lr(lr):
    """Return a learning rate that stays a tensor: one on the host that asks for no gradient is read at once."""
    return torch.tensor(lr, dtype=torch.float64, requires_grad=True)


def equal(ours, theirs):
    """Compare parameters and state bit by bit."""
    for one, other in zip(ours.param_groups, theirs.param_groups, strict=True):
        for p, q in zip(one["params"], other["params"], strict=True):
            torch.testing.assert_close(p, q, rtol=0, atol=0)
            mine, its = ours.state[p], theirs.state[q]
            assert mine.keys() == its.keys()
            for key in mine:
                torch.testing.assert_close(mine[key], its[key], rtol=0, atol=0, msg=key)


CASES = {
    "plain": {},
    "learning rate on the device": {"lr": tensor_lr(0.01)},
    "learning rate on the device, decoupled decay": {"lr": tensor_lr(0.01), "weight_decay": 0.1, "decoupled_weight_decay": True},
    "learning rate on the device, in front of the gradient": {"lr": tensor_lr(0.01), "dialect": "tf1", "momentum": 0.9},
    "bias correction": {"dialect": BIASED.replace(centered=True)},
    "bias correction on the device": {
        "lr": tensor_lr(0.01),
        "dialect": BIASED.replace(centered=True),
    },
    "clipped, averaged, and so on": EVERYTHING,
}


@pytest.mark.parametrize("name", CASES)
def test_a_step_has_the_bits_of_the_compiled_pass(interpreted, name):
    params = parameters(SHAPES)
    ours, theirs = RMSprop(twins(params), fused=True, **CASES[name]), RMSprop(params, fused=True, **CASES[name])
    for grads in gradients(params, 2):
        interpreted(True)
        feed(ours, ours.param_groups[0]["params"], grads)
        interpreted(False)
        feed(theirs, params, grads)
    assert [type(batch) for batch in batches(ours) + batches(theirs)] == [Launched, Fused]
    equal(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("decided", [False, True])
def test_rounding_by_chance_has_the_bits_of_the_compiled_pass(interpreted, dtype, decided):
    params = parameters([(5, 7), (3,)], dtype)
    options = {"stochastic_rounding": True, "ema_decay": 0.5, "lr": tensor_lr(1e-3) if decided else 1e-3}
    ours, theirs = RMSprop(twins(params), **options), RMSprop(params, **options)
    for grads in gradients(params, 2):
        interpreted(True)
        feed(ours, ours.param_groups[0]["params"], grads)
        interpreted(False)
        feed(theirs, params, grads)
    equal(ours, theirs)


@pytest.mark.parametrize("options", [{}, {**EVERYTHING, "dialect": BIASED}])
def test_a_step_that_found_infinity_or_nan_is_skipped_on_the_device(interpreted, options):
    params = parameters(SHAPES)
    options = {**options, "on_nonfinite": "skip"}
    ours, theirs = RMSprop(twins(params), **options), RMSprop(params, **options)
    for t, grads in enumerate(gradients(params, 4)):
        for optimizer in (ours, theirs):
            optimizer.grad_scale, optimizer.found_inf = torch.tensor(4.0), torch.tensor(float(t == 1))
        if t == 2:
            grads[0][2, 3] = float("nan")
        scaled = [4 * g for g in grads]
        interpreted(True)
        feed(ours, ours.param_groups[0]["params"], scaled)
        interpreted(False)
        feed(theirs, params, scaled)
    assert ours.skipped == theirs.skipped == 1
    assert [int(entry["step"]) for entry in ours.state.values()] == [2] * len(SHAPES)
    equal(ours, theirs)


def test_nothing_that_is_decided_on_the_device_is_read_by_the_host(interpreted, monkeypatch):
    params = parameters(SHAPES)
    optimizer = RMSprop(params, lr=tensor_lr(0.01), on_nonfinite="skip", max_norm=1.0, ema_decay=0.9)
    steps = gradients(params, 2)
    feed(optimizer, params, steps[0])
    for p, g in zip(params, steps[1], strict=True):
        p.grad = g

    def refuse(self):
        raise AssertionError("the host waits for the device")

    for method in ("item", "__bool__", "__float__", "__int__", "tolist"):
        monkeypatch.setattr(torch.Tensor, method, refuse)
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(1.0), torch.tensor(0.0)
    optimizer.step()


def test_tables_are_uploaded_only_when_pointers_change(interpreted, monkeypatch):
    params = parameters(SHAPES)
    optimizer = RMSprop(params)
    steps = gradients(params, 4)
    for p, g in zip(params, steps[0], strict=True):
        p.grad = g
    sent = []
    staged = uploads.staged
    monkeypatch.setattr(uploads, "staged", lambda words, device: sent.append(words.shape) or staged(words, device))
    optimizer.step()
    assert sorted(sent) == [(4,), (5, 2), (7, 4)]  # gradients, tiles, and the table
    sent.clear()
    optimizer.step()
    optimizer.step()
    assert sent == []
    params[0].grad = steps[1][0]
    optimizer.step()
    assert sent == [(4,)]
    sent.clear()
    params[0].data = params[0].data.clone()
    optimizer.step()
    assert (7, 4) in sent


def test_gradients_are_not_kept(interpreted):
    params = parameters(SHAPES)
    optimizer = RMSprop(params, max_norm=1.0)
    feed(optimizer, params, gradients(params, 1)[0])
    held = [weakref.ref(p.grad) for p in params]
    optimizer.zero_grad()
    assert [one() for one in held] == [None] * len(params)


def test_a_new_plan_leaves_counts_on_the_device(interpreted, monkeypatch):
    params = parameters(SHAPES)
    optimizer = RMSprop(params, lr=tensor_lr(0.01))
    feed(optimizer, params, gradients(params, 1)[0])
    assert batches(optimizer)[0].decided
    asked = []
    joined = launched.Batch._join
    monkeypatch.setattr(launched.Batch, "_join", lambda self, device: asked.append(device) or joined(self, device))
    monkeypatch.setattr(launched, "counts_on_device", lambda p, group: True)
    optimizer.param_groups[0]["momentum"] = 0.9
    feed(optimizer, params, gradients(params, 1)[0])
    assert asked == [params[0].device]
    assert [int(entry["step"]) for entry in optimizer.state.values()] == [2] * len(SHAPES)


def test_other_numbers_build_no_other_kernel(interpreted):
    params = parameters(SHAPES)
    optimizer = RMSprop(params, lr=0.1, momentum=0.9)
    feed(optimizer, params, gradients(params, 1)[0])
    built = build._sweep_for.cache_info().misses
    for group in optimizer.param_groups:
        group |= {"lr": 0.05, "momentum": 0.8, "alpha": 0.7}
    feed(optimizer, params, gradients(params, 1)[0])
    feed(optimizer, params, gradients(params, 1)[0])
    assert build._sweep_for.cache_info().misses == built


def test_each_parameter_may_have_taken_another_number_of_steps(interpreted):
    rule = BIASED
    params = parameters([(5,), (3,), (17,)])
    ours, theirs = RMSprop(twins(params), dialect=rule), RMSprop(params, dialect=rule)
    for t, grads in enumerate(gradients(params, 4)):
        grads = [None if (k == 1 and t < 2) or (k == 2 and t == 3) else g for k, g in enumerate(grads)]
        interpreted(True)
        feed(ours, ours.param_groups[0]["params"], grads)
        interpreted(False)
        feed(theirs, params, grads)
    assert isinstance(batches(ours)[0], Launched)
    equal(ours, theirs)


def test_gaps_and_other_orders_in_memory_and_sparse_rows(interpreted):
    def model():
        source = torch.Generator().manual_seed(0)
        wide, turned, table = (torch.randn(shape, generator=source) for shape in ((4, 12), (6, 5), (9, 4)))
        return [Parameter(wide[:, ::2]), Parameter(turned.t()), Parameter(table)]

    ours, theirs = (RMSprop(model(), sparse="lazy", momentum=0.9, ema_decay=0.9) for _ in range(2))
    rows = torch.sparse_coo_tensor(torch.tensor([[1, 7, 1]]), torch.ones(3, 4), (9, 4), check_invariants=True)
    for on, optimizer in ((True, ours), (False, theirs)):
        interpreted(on)
        params = optimizer.param_groups[0]["params"]
        for grads in gradients(params[:2], 2):
            feed(optimizer, params, [*grads, rows])
    assert {type(batch) for batch in batches(ours)} == {Launched}
    assert {batch.loose for batch in batches(ours)} == {True, False}
    equal(ours, theirs)


def test_state_moves_between_all_ways_of_stepping(interpreted):
    params = parameters([(5, 7), (3,)])
    straight, moved = RMSprop(twins(params), momentum=0.9), RMSprop(params, momentum=0.9)
    kinds = []
    for t, grads in enumerate(gradients(params, 4)):
        interpreted(False)
        feed(straight, straight.param_groups[0]["params"], grads)
        interpreted(t % 2 == 0)
        fresh = RMSprop(params, momentum=0.9)
        fresh.load_state_dict(moved.state_dict())
        moved = fresh
        feed(moved, params, grads)
        kinds.append(type(batches(moved)[0]))
    assert kinds == [Launched, Fused, Launched, Fused]
    equal(moved, straight)
    assert torch.optim.RMSprop(params, momentum=0.9).load_state_dict(moved.state_dict()) is None
    moved.param_groups[0]["fused"] = False
    feed(moved, params, gradients(params, 1)[0])
    assert isinstance(batches(moved)[0], Tensors)


@pytest.fixture
def recording(monkeypatch):
    """Take a step as if it were put into a graph."""
    monkeypatch.setattr(launched, "counts_on_device", lambda p, group: group["capturable"])

    def record(optimizer) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for module in (uploads, launched):
                patch.setattr(module, "capturing", lambda device: True)
            optimizer.step()

    return record


def test_a_captured_step_keeps_what_it_reads(interpreted, recording):
    params = parameters([(5,), (3,)])
    optimizer = RMSprop(params, capturable=True, max_norm=1.0)
    first, captured, later = gradients(params, 3)
    feed(optimizer, params, first)
    for p, g in zip(params, captured, strict=True):
        p.grad = g.clone()
    held = [p.grad for p in params]
    recording(optimizer)
    table = batches(optimizer)[0]._table_of(None)
    (_, row, kept), _ = table.captured
    assert row.tolist() == [g.data_ptr() for g in held]
    feed(optimizer, params, later)  # a step outside of the graph
    assert row.tolist() == [g.data_ptr() for g in held]
    assert [g.data_ptr() for g in kept] == row.tolist()
    optimizer.param_groups[0]["momentum"] = 0.9  # other batches
    feed(optimizer, params, later)
    assert batches(optimizer)[0]._table_of(None) is not table
    assert any(table in found[1].values() for found in optimizer._plan.captured())


def test_a_capture_without_a_step_before_it_is_refused(interpreted, recording):
    params = parameters([(5,), (3,)])
    optimizer = RMSprop(params, capturable=True)
    for p, g in zip(params, gradients(params, 1)[0], strict=True):
        p.grad = g
    before = [p.detach().clone() for p in params]
    with pytest.raises(RuntimeError, match="only where steps outside of it went before"):
        recording(optimizer)
    params[1].grad = None
    optimizer.step()
    before[0] = params[0].detach().clone()
    params[1].grad = torch.ones(3)
    with pytest.raises(RuntimeError, match="gradients of the same parameters"):
        recording(optimizer)
    for p, q in zip(params, before, strict=True):
        torch.testing.assert_close(p.detach(), q, rtol=0, atol=0)


def test_a_capture_of_copies_is_refused(interpreted, recording):
    p = Parameter(torch.ones(4, 6)[:, ::2])
    optimizer = RMSprop([p], capturable=True)
    feed(optimizer, [p], [torch.ones(4, 3)])
    with pytest.raises(RuntimeError, match=r"shape \(4, 3\) that has gaps in memory"):
        recording(optimizer)


@pytest.mark.parametrize("version", [None, "2.1.0"])
def test_without_a_triton_that_will_do_there_is_one_warning_and_the_tensor_path(interpreted, monkeypatch, version):
    if version is None:
        monkeypatch.setitem(sys.modules, "triton", None)
        remedy = "Triton is not installed; pip install triton"
    else:
        monkeypatch.setattr("triton.__version__", version)
        remedy = r"Triton 2\.1\.0 is too old; pip install 'triton>=3\.4'"
    monkeypatch.setattr(launched, "_warned", set())
    params = parameters([(5,), (3,)])
    optimizer = RMSprop(params)
    with pytest.warns(RuntimeWarning, match=remedy) as told:
        feed(optimizer, params, gradients(params, 1)[0])
    assert len(told) == 1
    assert isinstance(batches(optimizer)[0], Tensors)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = parameters([(5,)])
        feed(RMSprop(other), other, gradients(other, 1)[0])
    with pytest.raises(ValueError, match=rf"fused=True is not possible .*{remedy}"):
        feed(RMSprop(params, fused=True), params, gradients(params, 1)[0])
    feed(RMSprop(params, fused=False), params, gradients(params, 1)[0])


def test_the_interpreter_is_given_no_address_of_a_gpu(interpreted):
    class Elsewhere:
        device = torch.device("cuda:0")

    assert launched.launchable(Elsewhere, {"fused": None}) == "it is on cuda:0"


def test_a_compiler_that_fails_is_named():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU to compile for")
    launch.broken.cache_clear()
    assert "Triton cannot compile for this cuda device" in launch.broken("cuda")
    launch.broken.cache_clear()


def test_a_gradient_of_another_device_is_refused(interpreted):
    params = parameters([(5,), (3,)])
    optimizer = RMSprop(params)
    feed(optimizer, params, gradients(params, 1)[0])
    places = batches(optimizer)[0].places
    places._device = torch.device("cuda:1")
    assert places._compared([p.grad for p in params], array("q", [0, 0])) == -2  # CHANGED: they are not where they were


def test_whole_powers_are_those_of_the_host(interpreted):
    """The device's powers of decay are Python's to a few units in the last place of double precision."""
    params = parameters([(1,)], torch.float64)
    rule = BIASED.replace(decay=0.999)
    optimizer = RMSprop(params, dialect=rule, lr=tensor_lr(0.0))
    for count in (0, 1, 2, 77, 1000, 123456):
        feed(optimizer, params, [torch.ones(1, dtype=torch.float64)])
        batch = batches(optimizer)[0]
        batch.counts.fill_(count)
        feed(optimizer, params, [torch.ones(1, dtype=torch.float64)])
        scalars = rule.scalars(0.0, count + 1)
        got = batch._table_of(None).numbers[-3:].numpy()
        wanted = np.array([scalars.correction, scalars.unbias, scalars.carried])
        np.testing.assert_array_max_ulp(got, wanted, maxulp=64)

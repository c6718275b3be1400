"""What PyTorch tests of its own optimizers, held against this one: directions, groups, no-ops, state dicts, hooks, errors."""

import copy
import io
import itertools
import pickle
import re

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.nn import Parameter
from torch.optim import lr_scheduler as schedulers
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from rmsprop.torch import RMSprop
from tests.torch.harness import OPTIONS, Race, Regression, bits, feed, gradients, parameters, snapshot, twins

TORCH = torch.optim.RMSprop
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
both_lrs = pytest.mark.parametrize("tensor_lr", [False, True], ids=["float lr", "tensor lr"])


def trained(options, steps=3, cls=RMSprop):
    """Return an optimizer after some steps, with its parameters."""
    params = parameters()
    optimizer = cls(params, **options)
    for grads in gradients(params, steps):
        feed(optimizer, params, grads)
    return optimizer, params


def equal_dicts(one, other):
    """Compare two state dicts, bit by bit where they hold tensors."""
    assert one.keys() == other.keys()
    assert one["param_groups"] == other["param_groups"]
    assert one["state"].keys() == other["state"].keys()
    for key, state in one["state"].items():
        assert state.keys() == other["state"][key].keys()
        for name, value in state.items():
            got = other["state"][key][name]
            assert type(value) is type(got)
            assert value.dtype == got.dtype
            torch.testing.assert_close(got, value, rtol=0, atol=0, equal_nan=True)


class TestDirection:
    @each_option
    @both_lrs
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.bfloat16], ids=lambda d: str(d)[6:])
    @pytest.mark.parametrize("contiguous", [True, False], ids=["contiguous", "strided"])
    def test_the_loss_goes_the_right_way(self, options, tensor_lr, dtype, contiguous):
        model = Regression(dtype, contiguous=contiguous)
        optimizer = RMSprop(model.params, lr=torch.tensor(1e-3) if tensor_lr else 1e-3, **options)
        before = model.loss().item()
        model.train(optimizer, 20)
        assert model.loss().item() > before if options.get("maximize") else model.loss().item() < before

    @pytest.mark.parametrize("start", [(-1.2, 1.0), (0.0, 0.0), (1.5, 1.5)], ids=repr)
    def test_finds_the_minimum_of_rosenbrocks_valley(self, start):
        p = Parameter(torch.tensor(start, dtype=torch.float64))
        optimizer = RMSprop([p], lr=0.02, momentum=0.9)
        scheduler = schedulers.CosineAnnealingLR(optimizer, 1000)
        for _ in range(1000):
            x, y = p
            optimizer.zero_grad()
            ((1 - x) ** 2 + 100 * (y - x**2) ** 2).backward()
            optimizer.step()
            scheduler.step()
        assert (p - 1).norm() < 0.1


class TestTensorLr:
    @each_option
    @pytest.mark.parametrize("shape", [(), (1,)], ids=["0-d", "1-d"])
    def test_does_not_part_from_a_float(self, options, shape):
        params = parameters()
        copies = twins(params)
        ours, other = RMSprop(params, lr=torch.full(shape, 2**-7), **options), RMSprop(copies, lr=2**-7, **options)
        for grads in gradients(params, 5):
            feed(ours, params, grads)
            feed(other, copies, grads)
            assert snapshot(ours) == snapshot(other)

    def test_stays_the_callers_tensor_and_is_read_at_each_step(self):
        lr = torch.tensor(0.5)
        p = Parameter(torch.ones(3, dtype=torch.float64))
        optimizer = RMSprop([p], lr=lr)
        assert optimizer.param_groups[0]["lr"] is lr
        p.grad = torch.ones_like(p)
        optimizer.step()
        moved = 1 - p.detach().clone()
        lr.fill_(0.0)
        before = p.detach().clone()
        optimizer.step()
        assert (moved > 1).all()  # lr / (√.01 + ε)
        assert torch.equal(p, before)

    def test_of_float64_is_not_rounded(self):
        p, q = parameters([(5,)], torch.float64), parameters([(5,)], torch.float64)
        ours, other = RMSprop(p, lr=torch.tensor(0.1, dtype=torch.float64)), RMSprop(q, lr=0.1)
        for grads in gradients(p, 3):
            feed(ours, p, grads)
            feed(other, q, grads)
        assert bits(p) == bits(q)


class TestGroups:
    @each_option
    def test_is_several_optimizers(self, options):
        settings = [
            {"lr": 0.1},
            {"lr": torch.tensor(0.05), "weight_decay": 0.0},
            {"weight_decay": 0.3, "momentum": 0.5},
            {
                "alpha": 0.5,
                "eps": 0.1,
                "centered": not options.get("centered", False),
                "maximize": not options.get("maximize", False),
            },
        ]
        params = parameters([(4, 3)] * len(settings))
        alone = twins(params)
        together = RMSprop([{"params": [p], **s} for p, s in zip(params, settings, strict=True)], lr=1e-3, **options)
        separate = [RMSprop([p], **{"lr": 1e-3, **options, **s}) for p, s in zip(alone, settings, strict=True)]
        for grads in gradients(params, 5):
            feed(together, params, grads)
            for optimizer, p, g in zip(separate, alone, grads, strict=True):
                feed(optimizer, [p], [g])
        assert bits(params) == bits(alone)

    @each_option
    def test_equals_torch_with_the_same_groups(self, options):
        params = parameters([(4, 3), (5,), (2, 2)])
        copies = twins(params)

        def groups(of):
            return [{"params": of[:2], "lr": 0.1}, {"params": of[2:], "weight_decay": 0.5, "momentum": 0.3}]

        race = Race(RMSprop(groups(params), lr=1e-3, **options), TORCH(groups(copies), lr=1e-3, **options))
        for grads in gradients(params, 12):
            race.step(grads)
        race.check("torch's inputs float32")

    def test_a_group_of_a_tiny_rate_stays_where_it_is(self):
        moving, still = parameters([(3,), (3,)])
        optimizer = RMSprop([{"params": [moving], "lr": 0.1}, {"params": [still]}], lr=1e-28)
        before = bits([moving]), bits([still])
        for _ in range(3):
            feed(optimizer, [moving, still], [torch.ones(3), torch.ones(3)])
        assert bits([moving]) != before[0]
        assert bits([still]) == before[1]

    def test_what_a_group_leaves_out_is_the_default(self):
        p, q = parameters([(3,), (3,)])
        optimizer = RMSprop([{"params": [p]}, {"params": [q], "alpha": 0.5}], lr=0.3, alpha=0.8, momentum=0.2)
        theirs = TORCH([{"params": [p]}, {"params": [q], "alpha": 0.5}], lr=0.3, alpha=0.8, momentum=0.2)
        for got, wanted in zip(optimizer.param_groups, theirs.param_groups, strict=True):
            assert {k: got[k] for k in wanted} == wanted
        assert {k: optimizer.defaults[k] for k in theirs.defaults} == theirs.defaults

    def test_options_changed_between_steps_are_used(self):
        params = parameters()
        copies = twins(params)
        race = Race(RMSprop(params), TORCH(copies))
        for change, grads in zip(
            [{}, {"lr": 0.1}, {"alpha": 0.5}, {"eps": 0.1}, {"weight_decay": 0.2}, {"maximize": True}, {"lr": torch.tensor(0.2)}],
            gradients(params, 7),
            strict=True,
        ):
            for optimizer in (race.ours, race.theirs):
                optimizer.param_groups[0].update(change)
            race.step(grads)
        race.check("torch's inputs float32")


class TestComplex:
    @each_option
    @pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=lambda d: str(d)[6:])
    def test_is_its_view_as_real(self, options, dtype):
        mixed = [*parameters([(10, 5), (10,), ()], dtype), *parameters([(10, 5)], dtype.to_real())]
        reals = [Parameter(torch.view_as_real(p.detach()).clone() if p.is_complex() else p.detach().clone()) for p in mixed]
        ours, other = RMSprop(mixed, **options), RMSprop(reals, **options)
        for grads in gradients(mixed, 5):
            feed(ours, mixed, grads)
            feed(other, reals, [torch.view_as_real(g) if g.is_complex() else g for g in grads])
            assert bits(mixed) == bits(reals)

    @each_option
    def test_is_its_two_parts_through_autograd(self, options):
        whole = parameters([(2, 3)], torch.complex128)[0]
        parts = [Parameter(whole.detach().real.clone()), Parameter(whole.detach().imag.clone())]
        ours, other = RMSprop([whole], **options), RMSprop(parts, **options)
        for _ in range(5):
            for optimizer, z in ((ours, whole), (other, torch.complex(*parts))):
                optimizer.zero_grad()
                x, y = z.T[:2]
                ((1 - x) ** 2 + 100 * (y - x**2) ** 2).abs().sum().backward()
            ours.step()
            other.step()
            assert torch.equal(whole.real, parts[0])
            assert torch.equal(whole.imag, parts[1])

    def test_views_with_conjugate_and_negative_bits(self):
        p, q = parameters([(6,)], torch.complex64), parameters([(6,)], torch.complex64)
        g = gradients(p, 1)[0][0]
        ours, other = RMSprop(p), RMSprop(q)
        p[0].grad, q[0].grad = g.conj(), g.conj().resolve_conj()
        ours.step()
        other.step()
        assert bits(p) == bits(q)
        real, plain = parameters([(6,)]), parameters([(6,)])
        ours, other = RMSprop(real), RMSprop(plain)
        real[0].grad, plain[0].grad = g.conj().imag, g.conj().imag.resolve_neg()
        assert real[0].grad.is_neg()
        ours.step()
        other.step()
        assert bits(real) == bits(plain)


DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64, torch.complex128]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


class TestMixed:
    @each_option
    def test_dtypes_and_devices_are_updated_as_if_alone(self, options):
        together = [Parameter(p.detach().to(d)) for k in DTYPES for p in parameters([(3, 5), (0,), ()], k) for d in DEVICES]
        alone = [Parameter(p.detach().clone()) for p in together]
        whole, single = RMSprop(together, **options), [RMSprop([p], **options) for p in alone]
        for grads in gradients([p.cpu() for p in together], 3):
            moved = [g.to(p.device) for g, p in zip(grads, together, strict=True)]
            feed(whole, together, moved)
            for optimizer, p, g in zip(single, alone, moved, strict=True):
                feed(optimizer, [p], [g])
        assert bits(p.cpu() for p in together) == bits(p.cpu() for p in alone)

    def test_a_default_dtype_does_not_reach_the_state(self):
        params = parameters(dtype=torch.float32)
        torch.set_default_dtype(torch.float64)
        try:
            optimizer = RMSprop(params, momentum=0.9)
            for grads in gradients(params, 2):
                feed(optimizer, params, grads)
        finally:
            torch.set_default_dtype(torch.float32)
        assert all(s["square_avg"].dtype == s["momentum_buffer"].dtype == torch.float32 for s in optimizer.state.values())
        assert all(p.dtype == torch.float32 for p in params)

    def test_a_default_device_does_not_reach_the_state(self):
        params = parameters()
        grads = gradients(params, 2)
        with torch.device("meta"):
            optimizer = RMSprop(params, momentum=0.9)
            for g in grads:
                feed(optimizer, params, g)
        assert all(s.device.type == "cpu" for state in optimizer.state.values() for s in state.values())
        copies = parameters()
        other = RMSprop(copies, momentum=0.9)
        for g in grads:
            feed(other, copies, g)
        assert bits(params) == bits(copies)


SCHEDULERS = {
    "LambdaLR": lambda o: schedulers.LambdaLR(o, lambda t: 1 / (1 + t)),
    "MultiplicativeLR": lambda o: schedulers.MultiplicativeLR(o, lambda t: 0.9),
    "StepLR": lambda o: schedulers.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda o: schedulers.MultiStepLR(o, [2, 5]),
    "ConstantLR": lambda o: schedulers.ConstantLR(o, 0.5, 4),
    "LinearLR": lambda o: schedulers.LinearLR(o, 0.1, 1.0, 6),
    "ExponentialLR": lambda o: schedulers.ExponentialLR(o, 0.8),
    "PolynomialLR": lambda o: schedulers.PolynomialLR(o, 10, 2.0),
    "CosineAnnealingLR": lambda o: schedulers.CosineAnnealingLR(o, 8),
    "CosineAnnealingWarmRestarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 4),
    "CyclicLR": lambda o: schedulers.CyclicLR(o, 0.001, 0.1, 3, cycle_momentum=False),
    "CyclicLR, momentum": lambda o: schedulers.CyclicLR(o, 0.001, 0.1, 3, base_momentum=0.5, max_momentum=0.95),
    "OneCycleLR": lambda o: schedulers.OneCycleLR(o, 0.1, 20, cycle_momentum=False),
    "OneCycleLR, momentum": lambda o: schedulers.OneCycleLR(o, 0.1, 20),
    "ReduceLROnPlateau": lambda o: schedulers.ReduceLROnPlateau(o, patience=1),
    "ChainedScheduler": lambda o: schedulers.ChainedScheduler([schedulers.ConstantLR(o, 0.1, 3), schedulers.ExponentialLR(o, 0.9)]),
    "SequentialLR": lambda o: schedulers.SequentialLR(
        o, [schedulers.LinearLR(o, 0.1, 1.0, 3), schedulers.CosineAnnealingLR(o, 8)], milestones=[3]
    ),
}


class TestSchedulers:
    def test_every_one_of_torch_is_here(self):
        names = {name.split(",")[0] for name in SCHEDULERS}
        assert names == {*schedulers.__all__} - {"LRScheduler"}

    @both_lrs
    @pytest.mark.parametrize("make", SCHEDULERS.values(), ids=SCHEDULERS.keys())
    def test_equals_torch_on_the_same_schedule(self, make, tensor_lr):
        params = parameters([(3, 5), (7,)])
        copies = twins(params)

        def build(cls, of):
            rates = [torch.tensor(0.01), torch.tensor(0.05)] if tensor_lr else [0.01, 0.05]
            optimizer = cls([{"params": [p], "lr": lr} for p, lr in zip(of, rates, strict=True)], momentum=0.8)
            return optimizer, make(optimizer)

        ours, our_scheduler = build(RMSprop, params)
        theirs, their_scheduler = build(TORCH, copies)
        race, seen = Race(ours, theirs), []
        for t, grads in enumerate(gradients(params, 12)):
            race.step(grads)
            for s in (our_scheduler, their_scheduler):
                s.step(*([1.0 + (t == 0)] if isinstance(s, schedulers.ReduceLROnPlateau) else []))
            for ours_group, theirs_group in zip(ours.param_groups, theirs.param_groups, strict=True):
                assert isinstance(ours_group["lr"], Tensor) == tensor_lr
                assert (ours_group["lr"], ours_group["momentum"]) == (theirs_group["lr"], theirs_group["momentum"])
            seen.append((float(ours.param_groups[0]["lr"]), ours.param_groups[0]["momentum"]))
        assert len(set(seen)) > 1
        race.check("torch's inputs float32")

    def test_the_momentum_of_a_cycle_may_reach_0(self):
        params = parameters()
        copies = twins(params)
        race = Race(RMSprop(params, momentum=0.9), TORCH(copies, momentum=0.9))
        for momentum, grads in zip([0.9, 0.0, 0.0, 0.9, 0.5], gradients(params, 5), strict=True):
            race.ours.param_groups[0]["momentum"] = race.theirs.param_groups[0]["momentum"] = momentum
            race.step(grads)
        race.check("torch's inputs float32")

    def test_warns_as_torch_when_a_schedule_runs_ahead_of_the_first_step(self):
        optimizer = RMSprop(parameters())
        scheduler = schedulers.StepLR(optimizer, 1)
        with pytest.warns(UserWarning, match=r"call .*optimizer.step\(\).* before"):
            scheduler.step()


class TestNoOps:
    @each_option
    def test_without_gradients(self, options):
        params = parameters()
        optimizer = RMSprop(params, **options)
        before = bits(params)
        optimizer.step()
        assert bits(params) == before
        assert not optimizer.state
        for grads in gradients(params, 2):
            feed(optimizer, params, grads)
        held = snapshot(optimizer)
        optimizer.zero_grad()
        optimizer.step()
        assert snapshot(optimizer) == held

    def test_parameters_that_require_no_gradient(self):
        params = [p.requires_grad_(False) for p in parameters()]
        optimizer = RMSprop(params)
        before = bits(params)
        assert optimizer.step(lambda: torch.ones(1)) == 1
        assert bits(params) == before
        assert not optimizer.state

    @each_option
    def test_zero_gradients_move_nothing_at_first(self, options):
        params = parameters()
        optimizer = RMSprop(params, **{**options, "weight_decay": 0.0})
        before = bits(params)
        for _ in range(3):
            feed(optimizer, params, [torch.zeros_like(p) for p in params])
        assert bits(params) == before
        assert all(state["step"] == 3 for state in optimizer.state.values())

    @each_option
    @pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 2, 4)], ids=repr)
    def test_empty_parameters_are_stepped_and_change_nothing_else(self, options, shape):
        full, alone = parameters([(4,)]), parameters([(4,)])
        empty = Parameter(torch.empty(shape))
        ours, other = RMSprop([empty, *full], **options), RMSprop(alone, **options)
        for grads in gradients(full, 3):
            feed(ours, [empty, *full], [torch.empty(shape), *grads])
            feed(other, alone, grads)
        assert bits(full) == bits(alone)
        assert ours.state[empty]["step"] == 3
        assert ours.state[empty]["square_avg" if "square_avg" in ours.state[empty] else "variance"].shape == shape
        copy_of = RMSprop([Parameter(torch.empty(shape)), *twins(full)], **options)
        copy_of.load_state_dict(ours.state_dict())
        equal_dicts(copy_of.state_dict(), ours.state_dict())

    def test_only_empty_parameters(self):
        p = Parameter(torch.empty(0))
        optimizer = RMSprop([p], momentum=0.9, centered=True)
        for _ in range(2):
            feed(optimizer, [p], [torch.empty(0)])
        assert optimizer.state[p]["step"] == 2

    @each_option
    def test_a_frozen_parameter_with_a_gradient_left_goes_on_as_with_torch(self, options):
        params = parameters()
        copies = twins(params)
        race = Race(RMSprop(params, **options), TORCH(copies, **options))
        for t, grads in enumerate(gradients(params, 4)):
            if t == 2:
                params[0].requires_grad_(False)
                copies[0].requires_grad_(False)
            race.step(grads)
        race.check("torch's inputs float32")

    def test_parameters_without_gradient_keep_their_own_count(self):
        params = parameters([(3,), (3,)])
        optimizer = RMSprop(params)
        feed(optimizer, params, [torch.ones(3), None])
        feed(optimizer, params, [torch.ones(3), torch.ones(3)])
        assert [optimizer.state[p]["step"] for p in params] == [2, 1]


def named(params, names):
    return [(f"layer.{i}", p) for i, p in enumerate(params)] if names else params


class TestStateDict:
    @each_option
    @pytest.mark.parametrize(("first", "second"), [*itertools.product([False, True], repeat=2)])
    def test_a_copy_goes_on_bit_by_bit(self, options, first, second):
        params = parameters(dtype=torch.float32)
        ours = RMSprop(named(params, first), **options)
        grads = gradients(params, 10)
        for g in grads[:5]:
            feed(ours, params, g)
        saved = copy.deepcopy(ours.state_dict())
        copies = twins(params)
        other = RMSprop(named(copies, second), **options)
        handed = copy.deepcopy(saved)
        other.load_state_dict(handed)
        equal_dicts(handed, saved)
        for g in grads[5:]:
            feed(ours, params, g)
            feed(other, copies, g)
            assert bits(params) == bits(copies)
        one, two = ours.state_dict(), other.state_dict()
        for found in (one, two):
            for group in found["param_groups"]:
                group.pop("param_names", None)
        equal_dicts(one, two)

    def test_a_parameter_that_two_groups_hold_has_one_number(self):
        optimizer, _ = trained({})
        wanted = optimizer.state_dict()["param_groups"][-1]
        optimizer.param_groups.extend(optimizer.param_groups)
        assert optimizer.state_dict()["param_groups"][-1] == wanted

    @each_option
    @pytest.mark.parametrize("cls", [RMSprop, TORCH], ids=["ours", "torch's"])
    def test_an_older_one_loads_and_goes_on(self, options, cls):
        saved_by, params = trained(options, cls=cls)
        old = copy.deepcopy(saved_by.state_dict())
        for group in old["param_groups"]:
            for key in set(group) - {"params", "lr", "alpha", "eps", "weight_decay", "momentum", "centered", "maximize"}:
                del group[key]
            if not options.get("maximize"):
                del group["maximize"]
        for state in old["state"].values():
            state["step"] = int(state["step"])
        copies = twins(params)
        ours = RMSprop(copies)
        ours.load_state_dict(old)
        assert all(
            isinstance(s["step"], Tensor) and s["step"] == 3 and s["step"].dtype == torch.float32 for s in ours.state.values()
        )
        race = Race(ours, saved_by)
        for grads in gradients(params, 5, seed=9):
            race.step(grads)
        race.check("torch's inputs float32")

    @each_option
    def test_what_unpickles_from_an_older_release_goes_on(self, options):
        optimizer, params = trained(options)
        copies = twins(params)
        other = RMSprop(copies, **options)
        state = {"state": {q: dict(optimizer.state[p]) for p, q in zip(params, copies, strict=True)}}
        for held in state["state"].values():
            held.update({name: value.clone() for name, value in held.items()}, step=float(held["step"]))
        keep = {"params", "lr", "alpha", "eps", "weight_decay", "momentum", "centered", "maximize"}
        state["param_groups"] = [{k: v for k, v in g.items() if k in keep} | {"params": copies} for g in optimizer.param_groups]
        other.__setstate__(state)
        for grads in gradients(params, 3, seed=9):
            feed(optimizer, params, grads)
            feed(other, copies, grads)
        assert bits(params) == bits(copies)

    @pytest.mark.parametrize(("first", "second"), [*itertools.product([False, True], repeat=2)])
    def test_names_are_kept_where_either_side_has_them(self, first, second):
        params = parameters()
        ours = RMSprop(named(params, first))
        feed(ours, params, gradients(params, 1)[0])
        other = RMSprop(named(twins(params), second))
        other.load_state_dict(ours.state_dict())
        names = ["layer.0", "layer.1"] if first or second else None
        assert other.param_groups[0].get("param_names") == names
        assert other.state_dict()["param_groups"][0].get("param_names") == names

    @each_option
    @both_lrs
    @pytest.mark.parametrize("names", [False, True], ids=["plain", "named"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64], ids=lambda d: str(d)[6:])
    def test_survives_a_file_read_with_weights_only(self, options, tensor_lr, names, dtype):
        params = parameters(dtype=dtype)
        optimizer = RMSprop(named(params, names), lr=torch.tensor(0.01) if tensor_lr else 0.01, **options)
        for grads in gradients(params, 3):
            feed(optimizer, params, grads)
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        equal_dicts(torch.load(file, weights_only=True), optimizer.state_dict())

    def test_wrong_ones_are_refused_in_torchs_words_and_nothing_changes(self):
        optimizer, _ = trained({"momentum": 0.9})
        before, saved = snapshot(optimizer), optimizer.state_dict()
        groups = copy.deepcopy(saved["param_groups"])
        for bad, words in [
            ({**saved, "param_groups": groups * 2}, "different number of parameter groups"),
            ({**saved, "param_groups": [{**groups[0], "params": [0]}]}, "doesn't match the size of optimizer's group"),
        ]:
            with pytest.raises(ValueError, match=words):
                optimizer.load_state_dict(bad)
            assert snapshot(optimizer) == before

    def test_parameters_of_another_dtype_take_it(self):
        optimizer, params = trained({"momentum": 0.9})
        copies = [Parameter(p.detach().double()) for p in params]
        other = RMSprop(copies, momentum=0.9)
        other.load_state_dict(optimizer.state_dict())
        for p, q in zip(params, copies, strict=True):
            assert other.state[q]["square_avg"].dtype == torch.float64
            assert torch.equal(other.state[q]["square_avg"].float(), optimizer.state[p]["square_avg"])
        for grads in gradients(params, 3, seed=9):
            feed(optimizer, params, grads)
            feed(other, copies, [g.double() for g in grads])
        torch.testing.assert_close([q.detach().float() for q in copies], [p.detach() for p in params])


class TestCopies:
    @each_option
    def test_deepcopy_with_its_model_goes_on_alone(self, options):
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        optimizer = RMSprop(model.parameters(), **options)
        params = list(model.parameters())
        for grads in gradients(params, 3):
            feed(optimizer, params, grads)
        model_copy, optimizer_copy = copy.deepcopy((model, optimizer))
        copies = list(model_copy.parameters())
        assert optimizer_copy.param_groups[0]["params"][0] is copies[0]
        public = [{k for k in vars(o) if not k.startswith("_")} for o in (optimizer, optimizer_copy)]
        assert public[0] == public[1]
        held = snapshot(optimizer)
        later = gradients(params, 3, seed=9)
        for grads in later:
            feed(optimizer_copy, copies, grads)
        assert snapshot(optimizer) == held
        for grads in later:
            feed(optimizer, params, grads)
        assert snapshot(optimizer) == snapshot(optimizer_copy)

    @each_option
    def test_pickle_goes_on(self, options):
        optimizer, params = trained(options)
        other = pickle.loads(pickle.dumps(optimizer))
        copies = other.param_groups[0]["params"]
        for grads in gradients(params, 3, seed=9):
            feed(optimizer, params, grads)
            feed(other, copies, grads)
        assert snapshot(optimizer) == snapshot(other)
        assert optimizer.state_dict()["param_groups"] == other.state_dict()["param_groups"]
        assert repr(optimizer) == repr(other)

    def test_a_copy_counts_what_it_skips_by_itself(self):
        p = Parameter(torch.ones(3))
        optimizer = RMSprop([p], on_nonfinite="skip")
        feed(optimizer, [p], [torch.full((3,), torch.nan)])
        assert optimizer.skipped == 1
        for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
            q = other.param_groups[0]["params"][0]
            feed(other, [q], [torch.full((3,), torch.inf)])
            assert other.skipped >= 1
            assert torch.equal(q, torch.ones(3))
        assert optimizer.skipped == 1


class TestHooks:
    def test_run_around_a_step_global_ones_outside(self):
        params = parameters()
        ours, other = RMSprop(params), torch.optim.SGD(parameters())
        calls = []

        def note(word):
            return lambda optimizer, args, kwargs: calls.append((word, optimizer, bits(params)))

        handles = [
            register_optimizer_step_pre_hook(note("global pre")),
            register_optimizer_step_post_hook(note("global post")),
            ours.register_step_pre_hook(note("pre")),
            ours.register_step_post_hook(note("post")),
        ]
        try:
            before = bits(params)
            feed(ours, params, [torch.ones_like(p) for p in params])
            after = bits(params)
            assert [word for word, *_ in calls] == ["global pre", "pre", "post", "global post"]
            assert all(optimizer is ours for _, optimizer, _ in calls)
            assert [held for *_, held in calls] == [before, before, after, after]
            assert before != after
            other.step()
            assert [word for word, *_ in calls[4:]] == ["global pre", "global post"]
        finally:
            for handle in handles:
                handle.remove()
        ours.step()
        assert len(calls) == 6

    def test_a_pre_hook_may_exchange_the_arguments(self):
        optimizer = RMSprop(parameters())
        optimizer.register_step_pre_hook(lambda o, args, kwargs: ((args[0], lambda: 7.0), {}))
        assert optimizer.step() == 7.0

    def test_a_pre_hook_may_change_gradients_and_groups(self):
        p, q = parameters([(4,)]), parameters([(4,)])
        ours, other = RMSprop(p), RMSprop(q, lr=0.5)

        def hook(optimizer, args, kwargs):
            optimizer.param_groups[0]["lr"] = 0.5
            p[0].grad.clamp_(-1, 1)

        ours.register_step_pre_hook(hook)
        feed(ours, p, [torch.full((4,), 9.0)])
        feed(other, q, [torch.ones(4)])
        assert bits(p) == bits(q)

    def test_of_state_dict(self):
        optimizer, _ = trained({})
        calls = []
        optimizer.register_state_dict_pre_hook(lambda o: calls.append("second"))
        optimizer.register_state_dict_pre_hook(lambda o: calls.append("first"), prepend=True)
        optimizer.register_state_dict_post_hook(lambda o, found: {**found, "calls": [*calls], "wrapped": 1})
        optimizer.register_state_dict_post_hook(lambda o, found: found.update(early="wrapped" not in found), prepend=True)
        found = optimizer.state_dict()
        assert (found["calls"], found["wrapped"], found["early"]) == (["first", "second"], 1, True)
        assert {"state", "param_groups"} < found.keys()

    def test_a_state_dict_hook_sees_and_may_add_state(self):
        optimizer, params = trained({})
        optimizer.register_state_dict_pre_hook(lambda o: o.state[params[0]].update(mine=torch.ones(2)))
        assert torch.equal(optimizer.state_dict()["state"][0]["mine"], torch.ones(2))

        def drop(o, found):
            del found["state"][0]["mine"]

        optimizer.register_state_dict_post_hook(drop)
        assert "mine" not in optimizer.state_dict()["state"][0]

    def test_of_load_state_dict(self):
        optimizer, _ = trained({})
        saved, seen = optimizer.state_dict(), []

        def in_place(o, found):
            found["param_groups"][0]["lr"] = 0.002

        def exchange(o, found):
            found = copy.deepcopy(found)
            found["param_groups"][0]["lr"] = 0.003
            return found

        optimizer.register_load_state_dict_pre_hook(in_place)
        optimizer.load_state_dict(copy.deepcopy(saved))
        assert optimizer.param_groups[0]["lr"] == 0.002
        first = optimizer.register_load_state_dict_pre_hook(exchange, prepend=True)
        optimizer.load_state_dict(copy.deepcopy(saved))
        assert optimizer.param_groups[0]["lr"] == 0.002
        first.remove()
        optimizer.register_load_state_dict_pre_hook(exchange)
        optimizer.register_load_state_dict_post_hook(lambda o: seen.append(("last", o.param_groups[0]["lr"])))
        optimizer.register_load_state_dict_post_hook(lambda o: seen.append(("first", o.param_groups[0]["lr"])), prepend=True)
        optimizer.load_state_dict(copy.deepcopy(saved))
        assert seen == [("first", 0.003), ("last", 0.003)]

    def test_a_load_hook_may_rename_another_optimizers_state(self):
        optimizer, params = trained({}, cls=TORCH)
        foreign = copy.deepcopy(optimizer.state_dict())
        for state in foreign["state"].values():
            state["sq"] = state.pop("square_avg")
        copies = twins(params)
        other = RMSprop(copies)

        def rename(o, found):
            for state in found["state"].values():
                state["square_avg"] = state.pop("sq")

        other.register_load_state_dict_pre_hook(rename)
        other.load_state_dict(foreign)
        assert torch.equal(other.state[copies[0]]["square_avg"], optimizer.state[params[0]]["square_avg"])


class TestErrors:
    def test_a_tensor_that_is_no_leaf(self):
        p = parameters([(3,)])[0]
        with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
            RMSprop([p * 2])

    def test_no_parameters(self):
        with pytest.raises(ValueError, match="optimizer got an empty parameter list"):
            RMSprop([])

    def test_what_is_no_tensor(self):
        with pytest.raises(TypeError, match=r"optimizer can only optimize Tensors, but one of the params is .*int"):
            RMSprop([1])

    def test_a_set_of_parameters(self):
        with pytest.raises(TypeError, match="ordered collections"):
            RMSprop([{"params": set(parameters())}])

    @pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "dense"])
    def test_a_sparse_gradient_unless_it_is_asked_for(self, sparse):
        p = parameters([(4, 2)])[0]
        optimizer = RMSprop([p])
        before = bits([p])
        p.grad = torch.ones(4, 2).to_sparse() if sparse else torch.ones(4, 2)
        if sparse:
            with pytest.raises(RuntimeError, match="RMSprop does not support sparse gradients"):
                optimizer.step()
        else:
            optimizer.step()
        assert (bits([p]) == before) is sparse

    def test_add_param_group_refuses_and_changes_nothing(self):
        p, q = parameters([(3,), (3,)])
        optimizer = RMSprop([p])
        for group, error, words in [
            ([q], TypeError, "param_group must be a dict"),
            ({"params": {q}}, TypeError, "ordered collections"),
            ({"params": [3]}, TypeError, "can only optimize Tensors"),
            ({"params": [q * 2]}, ValueError, "can't optimize a non-leaf Tensor"),
            ({"params": [p]}, ValueError, "some parameters appear in more than one parameter group"),
            ({"params": [("name", q)]}, ValueError, "with/without names"),
            ({"params": [q], "lr": -1.0}, ValueError, "Invalid learning rate: -1.0"),
            ({"params": [q], "momentum": 2.0}, ValueError, r"Invalid momentum value: 2.0"),
            ({"params": [q], "lr": torch.ones(2)}, ValueError, "Tensor lr must be 1-element"),
        ]:
            with pytest.raises(error, match=words):
                optimizer.add_param_group(group)
            assert len(optimizer.param_groups) == 1
        optimizer.add_param_group({"params": q})
        assert optimizer.param_groups[1]["params"] == [q]


class TestStep:
    def test_calls_the_closure_once_with_gradients_on(self):
        model = Regression()
        optimizer = RMSprop(model.params)
        seen = []

        def closure():
            seen.append(torch.is_grad_enabled())
            return model.closure(optimizer)()

        for outside in (torch.no_grad, torch.enable_grad):
            with outside():
                loss = optimizer.step(closure)
            assert isinstance(loss, Tensor)
            assert loss.requires_grad
        assert seen == [True, True]
        assert optimizer.step() is None
        assert optimizer.step(closure=lambda: 3.5) == 3.5

    def test_leaves_whether_gradients_are_on_as_it_was(self):
        params = parameters()
        optimizer = RMSprop(params)
        for switch in (torch.no_grad, torch.enable_grad):
            with switch():
                before = torch.is_grad_enabled()
                feed(optimizer, params, [torch.ones_like(p) for p in params])
                assert torch.is_grad_enabled() == before
                with pytest.raises(ZeroDivisionError):
                    optimizer.step(lambda: 1 / 0)
                assert torch.is_grad_enabled() == before

    def test_leaves_parameters_leaves_and_gradients_as_they_were(self):
        params = parameters([(3, 5), (7,)])
        optimizer = RMSprop(params, momentum=0.9, weight_decay=0.1, maximize=True, centered=True)
        grads = gradients(params, 1)[0]
        held = bits(grads)
        for p, g in zip(params, grads, strict=True):
            p.grad = g
        optimizer.step()
        assert bits(grads) == held
        assert all(p.grad is g for p, g in zip(params, grads, strict=True))
        assert all(p.is_leaf and p.requires_grad and p.grad_fn is None for p in params)
        assert not any(s.requires_grad for state in optimizer.state.values() for s in state.values())

    def test_works_in_inference_mode_on_parameters_made_there(self):
        wanted = parameters()
        other = RMSprop(wanted)
        feed(other, wanted, [torch.ones_like(p) for p in wanted])
        with torch.inference_mode():
            params = parameters()
            optimizer = RMSprop(params)
            feed(optimizer, params, [torch.ones_like(p) for p in params])
        for p, q in zip(params, wanted, strict=True):
            with torch.inference_mode():
                assert torch.equal(p, q)

    def test_zero_grad(self):
        params = parameters()
        optimizer = RMSprop(params)
        for p in params:
            p.grad = torch.ones_like(p)
        grads = [p.grad for p in params]
        optimizer.zero_grad(set_to_none=False)
        assert all(p.grad is g and not g.any() for p, g in zip(params, grads, strict=True))
        optimizer.zero_grad()
        assert all(p.grad is None for p in params)

    @each_option
    @both_lrs
    def test_repr_names_the_class_and_every_option(self, options, tensor_lr):
        text = repr(RMSprop(parameters(), lr=torch.tensor(0.01) if tensor_lr else 0.01, **options))
        assert text.startswith("RMSprop (\nParameter Group 0\n")
        for name in TORCH(parameters()).defaults:
            assert re.search(rf"^    {name}: ", text, re.MULTILINE)
        for name, value in options.items():
            assert f"    {name}: {value}\n" in text
        assert len(text) < 2000

    def test_is_recorded_by_the_profiler_under_its_name(self):
        params = parameters()
        optimizer = RMSprop(params)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            for _ in range(2):
                feed(optimizer, params, [torch.ones_like(p) for p in params])
            optimizer.zero_grad()
        counts = {e.key: e.count for e in profile.key_averages()}
        assert counts["Optimizer.step#RMSprop.step"] == 2
        assert counts["Optimizer.zero_grad#RMSprop.zero_grad"] == 1

    def test_is_torchs_to_isinstance_and_to_a_subclass(self):
        class Mine(RMSprop):
            def step(self, closure=None):
                self.called = True
                return super().step(closure)

        params = parameters()
        optimizer = Mine(params)
        assert isinstance(optimizer, torch.optim.Optimizer)
        before = bits(params)
        feed(optimizer, params, [torch.ones_like(p) for p in params])
        assert optimizer.called
        assert bits(params) != before
        assert type(copy.deepcopy(optimizer)) is Mine


class TestDifferentiable:
    """A step through which autograd sees, so that what led to a gradient can be learned."""

    @pytest.mark.parametrize("steps", [1, 2], ids=["one step", "two steps"])
    @pytest.mark.parametrize("tensor_lr", [False, True], ids=["float lr", "tensor lr"])
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"weight_decay": 0.1},
            {"centered": True},
            {"momentum": 0.9},
            {"maximize": True},
            {"weight_decay": 0.1, "centered": True, "momentum": 0.9, "maximize": True},
            {"momentum": 0.9, "nesterov": True},
            {"dialect": "tf1", "momentum": 0.9},
        ],
        ids=repr,
    )
    def test_gradcheck(self, options, tensor_lr, steps):
        source = torch.Generator().manual_seed(0)

        def draw(scale=1.0):
            return (scale * torch.rand(6, generator=source, dtype=torch.float64) + 0.1).requires_grad_()

        def train(p, *inputs):
            grads, lr = inputs[:steps], inputs[-1]
            p = p.clone()
            optimizer = RMSprop([p], lr=lr if tensor_lr else 0.9, differentiable=True, **options)
            for g in grads:
                p.grad = g.clone()
                optimizer.step()
            state = [s for name, s in sorted(optimizer.state[p].items()) if name != "step"]
            return p, *state

        lr = torch.tensor(0.9, dtype=torch.float64, requires_grad=tensor_lr)
        assert gradcheck(train, (draw(), *(draw() for _ in range(steps)), lr))

    def test_an_initial_state_may_be_learned(self):
        def train(p, g, v, b):
            p = p.clone()
            optimizer = RMSprop([p], lr=0.9, momentum=0.5, differentiable=True)
            optimizer.state[p].update(step=torch.tensor(10.0), square_avg=v.clone(), momentum_buffer=b.clone())
            p.grad = g.clone()
            optimizer.step()
            return p, optimizer.state[p]["square_avg"], optimizer.state[p]["momentum_buffer"]

        source = torch.Generator().manual_seed(0)
        inputs = [(torch.rand(5, generator=source, dtype=torch.float64) + 0.1).requires_grad_() for _ in range(4)]
        assert gradcheck(train, inputs)

    def test_gives_what_the_plain_step_gives(self):
        for options in OPTIONS.values():
            params = parameters(dtype=torch.float64)
            seen = [p.detach().clone() for p in params]
            plain, visible = RMSprop(params, **options), RMSprop(seen, differentiable=True, **options)
            race = Race(visible, plain)
            for grads in gradients(params, 5):
                race.step(grads)
            race.check("torch's inputs float64")

    def test_a_learned_learning_rate(self):
        p0 = torch.tensor([3.0, -2.0], dtype=torch.float64)
        lr = torch.tensor(0.01, dtype=torch.float64, requires_grad=True)
        p = p0.clone().requires_grad_().clone()
        optimizer = RMSprop([p], lr=lr, differentiable=True)
        p.grad = torch.autograd.grad(p.pow(2).sum(), p)[0]
        optimizer.step()
        (slope,) = torch.autograd.grad(p.pow(2).sum(), lr)
        assert slope < 0

"""PyTorch's own description of RMSprop, its inputs and its error inputs, with this optimizer in the place of its class."""

import copy

import pytest
import torch
from torch.testing._internal.common_optimizers import (
    OptimizerErrorEnum,
    OptimizerInfo,
    _get_optim_inputs_including_global_cliquey_kwargs,
    get_error_inputs_for_all_optims,
    optim_db,
)

from rmsprop.torch import RMSprop
from tests.torch.harness import SHAPES, Race, Regression, gradients, parameters, twins

THEIRS: OptimizerInfo = next(info for info in optim_db if info.optim_cls is torch.optim.RMSprop)
OURS = copy.copy(THEIRS)
OURS.optim_cls = RMSprop

STEPS = 12
INPUTS = {i.desc: i.kwargs for i in OURS.optim_inputs_func(device="cpu")}
# The same with each of the implementations that exclude each other (the loop, foreach, differentiable) asked for.
ALL_INPUTS = [i.kwargs for i in _get_optim_inputs_including_global_cliquey_kwargs("cpu", torch.float32, OURS)]
ERRORS = {e.optimizer_error_input.desc: e for e in OURS.optim_error_inputs_func("cpu", torch.float32)}


def fresh(options):
    """A tensor lr is changed in place by schedulers: every test gets its own."""
    return copy.deepcopy(options)


def test_torch_describes_what_is_tested_here():
    assert len(INPUTS) >= 8
    assert len(ALL_INPUTS) > len(INPUTS)
    assert len(ERRORS) >= 7
    assert {e.optimizer_error_input.desc for e in get_error_inputs_for_all_optims("cpu", torch.float32)} < ERRORS.keys()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128], ids=lambda d: str(d)[6:])
@pytest.mark.parametrize("options", INPUTS.values(), ids=INPUTS.keys())
class TestInputs:
    def test_equals_torch(self, options, dtype):
        params = parameters(SHAPES, dtype)
        copies = twins(params)
        race = Race(RMSprop(params, **fresh(options)), torch.optim.RMSprop(copies, **fresh(options)))
        for grads in gradients(params, STEPS):
            race.step(grads)
        assert any((p != q).any() for p, q in zip(params, parameters(SHAPES, dtype), strict=True))
        race.check(f"torch's inputs {str(dtype.to_real())[6:]}")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=lambda d: str(d)[6:])
@pytest.mark.parametrize("options", INPUTS.values(), ids=INPUTS.keys())
def test_16_bit_parameters_equal_torch_in_float32_rounded_once_a_step(options, dtype):
    params = parameters(SHAPES, dtype)
    wide = [torch.nn.Parameter(p.detach().float()) for p in params]
    ours, theirs = RMSprop(params, **fresh(options)), torch.optim.RMSprop(wide, **fresh(options))
    apart = 0.0
    for grads in gradients(params, STEPS):
        for p, w, g in zip(params, wide, grads, strict=True):
            p.grad, w.grad = g.clone(), g.float()
        ours.step()
        theirs.step()
        for p, w in zip(params, wide, strict=True):
            w.data = w.data.to(dtype).float()
            size = torch.maximum(w.detach().abs(), torch.ones_like(w))  # the parameters started at about 1
            apart = max(apart, ((p.detach().float() - w.detach()).abs() / size).max().item() if p.numel() else 0)
            assert all(s.dtype == torch.float32 for s in ours.state[p].values())
    # Where the two float32 results straddle a rounding boundary, one is an ulp off from there on.
    assert apart <= torch.finfo(dtype).eps


@pytest.mark.parametrize("layout", ["contiguous", "strided"])
@pytest.mark.parametrize("options", ALL_INPUTS, ids=repr)
def test_the_loss_goes_the_right_way_as_with_torch(options, layout):
    starts = []
    for cls in (RMSprop, torch.optim.RMSprop):
        model = Regression(contiguous=layout == "contiguous")
        with torch.no_grad():
            before = model.loss().item()
        # A leaf that requires a gradient cannot be changed in place where autograd sees it.
        params = [p.clone() for p in model.params] if options.get("differentiable") else model.params
        model.weight, model.bias = params
        optimizer = cls(params, **fresh(options))
        for _ in range(20):
            grads = torch.autograd.grad(model.loss(), params)
            for p, g in zip(params, grads, strict=True):
                p.grad = g
            optimizer.step()
        after = model.loss().item()
        assert after > before if options.get("maximize") else after < before
        starts.append([p.detach() for p in params])
    torch.testing.assert_close(*starts)


@pytest.mark.parametrize("options", ALL_INPUTS, ids=repr)
def test_state_is_never_empty_and_the_step_is_counted(options):
    model = Regression()
    params = [p.clone() for p in model.params] if options.get("differentiable") else model.params
    optimizer = RMSprop(params, **fresh(options))
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert len(optimizer.state) == len(params)
    for state in optimizer.state.values():
        assert state["step"] == 1
        assert state["step"].dtype == torch.float32
        assert state["step"].shape == ()
        assert len(state) > 1


@pytest.mark.parametrize("options", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64], ids=lambda d: str(d)[6:])
@pytest.mark.parametrize("ways", [{"foreach": True}, {"foreach": False}, {"fused": False}, {"fused": True}], ids=repr)
def test_every_way_of_computing_agrees(options, dtype, ways):
    params = parameters(SHAPES, dtype)
    race = Race(RMSprop(params, **fresh(options)), RMSprop(twins(params), **fresh(options), **ways))
    for t, grads in enumerate(gradients(params, 7)):
        if t == 3:  # a layer frozen for two steps
            params[4].requires_grad_(False)
        if t == 5:
            params[4].requires_grad_(True)
        frozen = [None if t in (3, 4) and i == 4 else g for i, g in enumerate(grads)]
        race.step([None] * len(params) if t == 2 else frozen)
    race.check(f"torch's inputs {str(dtype.to_real())[6:]}")


class TestErrors:
    @pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
    def test_is_told_in_torchs_words(self, error):
        made = error.optimizer_error_input
        params = [torch.nn.Parameter(torch.zeros(2))] if made.params is None else made.params
        if error.error_on is OptimizerErrorEnum.STEP_ERROR:
            optimizer = RMSprop(params, **made.kwargs)
            with pytest.raises(error.error_type, match=error.error_regex):
                optimizer.step()
        elif issubclass(error.error_type, Warning):
            with pytest.warns(error.error_type, match=error.error_regex):
                RMSprop(params, **made.kwargs)
        else:
            with pytest.raises(error.error_type, match=error.error_regex):
                RMSprop(params, **made.kwargs)

    def test_none_of_them_leaves_anything_behind(self):
        p = torch.nn.Parameter(torch.ones(3))
        for error in ERRORS.values():
            made = error.optimizer_error_input
            with pytest.raises((ValueError, TypeError, UserWarning)):  # warnings are errors in this suite
                RMSprop([p] if made.params is None else made.params, **made.kwargs)
        optimizer = RMSprop([p])
        p.grad = torch.ones(3)
        optimizer.step()
        assert len(optimizer.param_groups) == 1
        assert (p < 1).all()

    def test_each_way_out_of_the_range_names_the_value_in_torchs_words(self):
        p = [torch.nn.Parameter(torch.ones(3))]
        for name, word in [
            ("lr", "learning rate"),
            ("alpha", "alpha value"),
            ("eps", "epsilon value"),
            ("weight_decay", "weight_decay value"),
            ("momentum", "momentum value"),
        ]:
            for bad in (-1.0, float("nan"), float("inf")):
                with pytest.raises(ValueError, match=f"Invalid {word}: {bad}"):
                    RMSprop(p, **{name: bad})
        for name, bad in [("alpha", 1.0), ("alpha", 1.5), ("momentum", 1.0)]:
            with pytest.raises(ValueError, match=rf"Invalid {name} value: {bad}.*\[0, 1\)"):
                RMSprop(p, **{name: bad})
        with pytest.raises(ValueError, match=r"eps.* 0\.0"):
            RMSprop(p, eps=0.0)

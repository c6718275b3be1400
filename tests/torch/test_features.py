"""What the PyTorch optimizer adds: clipping, policies for bad gradients, averages, stochastic rounding, dialects and groups."""

import copy
import inspect

import numpy as np
import pytest
import torch

import rmsprop
from rmsprop.kernels import dlpack
from rmsprop.torch import RMSprop
from tests.tolerances import RELATIVE

PATHS = {"fused": {}, "tensors": {"fused": False}, "together": {"fused": False, "foreach": True}}


@pytest.fixture(params=PATHS)
def path(request):
    return PATHS[request.param]


def pair(*shapes, dtype=torch.float32, seed=0):
    """Return the same parameters twice, with the same gradients."""
    generator = torch.Generator().manual_seed(seed)
    one = [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]
    other = [p.detach().clone().requires_grad_() for p in one]
    for p, q in zip(one, other, strict=True):
        p.grad = torch.randn(p.shape, generator=generator).to(dtype)
        q.grad = p.grad.clone()
    return one, other


def close(one, other, name):
    share = RELATIVE[name].share
    for p, q in zip(one, other, strict=True):
        torch.testing.assert_close(p, q, rtol=share, atol=share)


def test_arguments_and_defaults_are_those_of_torch():
    theirs = inspect.signature(torch.optim.RMSprop).parameters
    ours = inspect.signature(RMSprop).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for name, parameter in theirs.items():
        assert ours[name].default == parameter.default
        assert repr(ours[name].default) == repr(parameter.default)
        assert ours[name].kind == parameter.kind
    p = torch.zeros(1, requires_grad=True)
    group, wanted = RMSprop([p]).param_groups[0], torch.optim.RMSprop([p]).param_groups[0]
    assert {key: group[key] for key in wanted} == wanted


@pytest.mark.parametrize("name", rmsprop.dialect_names())
def test_a_dialect_brings_its_own_values(name):
    rule = rmsprop.dialect(name)
    p = torch.zeros(3, requires_grad=True)
    if rule.lr is None:
        with pytest.raises(ValueError, match=f"dialect '{name}' has no default learning rate; pass lr"):
            RMSprop([p], dialect=name)
    group = RMSprop([p], **({} if rule.lr is not None else {"lr": 0.5}), dialect=name).param_groups[0]
    assert group["dialect"] == name
    assert group["lr"] == (0.5 if rule.lr is None else rule.lr)
    for axis in ("eps", "eps_place", "square_init", "centered", "lr_in_momentum", "complex_form"):
        assert group[axis] == getattr(rule, axis)
    assert group["alpha"] == rule.decay


def test_what_is_given_goes_before_the_dialect_also_in_a_group():
    a, b, c = (torch.zeros(1, requires_grad=True) for _ in range(3))
    groups = [{"params": [a]}, {"params": [b], "dialect": "keras-legacy", "momentum": 0.9}, {"params": [c], "alpha": 0.5}]
    first, second, third = RMSprop(groups, dialect="timm", eps=1e-3, decoupled_weight_decay=True).param_groups
    assert (first["alpha"], first["eps"], first["square_init"], first["weight_decay_form"]) == (0.9, 1e-3, 1.0, "decoupled_lr")
    assert (second["eps_place"], second["eps"], second["square_init"], second["lr"]) == ("inside", 1e-3, 0.0, 1e-3)
    assert (third["alpha"], third["square_init"]) == (0.5, 1.0)


def test_groups_step_each_by_its_own_options():
    one, other = pair((3,), (4,), (5,))
    options = [{"lr": 0.1}, {"dialect": "tf1", "lr": 0.2, "momentum": 0.5}, {"centered": True, "maximize": True, "ema_decay": 0.5}]
    together = RMSprop([{"params": [p], **each} for p, each in zip(one, options, strict=True)])
    apart = [RMSprop([q], **each) for q, each in zip(other, options, strict=True)]
    for _ in range(3):
        together.step()
        for optimizer in apart:
            optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(one, other, strict=True))


@pytest.mark.parametrize("max_norm", [0.1, 1e3])
def test_max_norm_is_clip_grad_norm(path, max_norm):
    one, other = pair((70, 300), (3,), ())
    ours, theirs = RMSprop(one, max_norm=max_norm, **path), torch.optim.RMSprop(other)
    grads = [p.grad.clone() for p in one]
    for _ in range(3):
        ours.step()
        for q, g in zip(other, grads, strict=True):
            q.grad = g.clone()
        torch.nn.utils.clip_grad_norm_(other, max_norm)
        theirs.step()
    close(one, other, "torch, clipped")
    assert all(torch.equal(p.grad, g) for p, g in zip(one, grads, strict=True))  # the gradients are left alone


def test_groups_of_one_max_norm_are_clipped_together_and_others_by_themselves(path):
    one, other = pair((30,), (40,), (50,))
    ours = RMSprop([{"params": [one[0]]}, {"params": [one[1]]}, {"params": [one[2]], "max_norm": 0.5}], max_norm=0.1, **path)
    ours.step()
    torch.nn.utils.clip_grad_norm_(other[:2], 0.1)
    torch.nn.utils.clip_grad_norm_(other[2:], 0.5)
    torch.optim.RMSprop(other).step()
    close(one, other, "torch, clipped")


def test_the_norm_has_the_same_bits_for_every_number_of_threads():
    found = set()
    before = torch.get_num_threads()
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        (p,), _ = pair((100_000,))
        RMSprop([p], max_norm=0.01).step()
        found.add(p.detach().numpy().tobytes())
    torch.set_num_threads(before)
    assert len(found) == 1


BAD = {"nan": float("nan"), "infinity": float("inf"), "square overflows": 2e19}


@pytest.mark.parametrize("policy", ["raise", "skip"])
@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_a_bad_gradient_changes_nothing(path, policy, value, max_norm):
    if max_norm and value == "square overflows":
        pytest.skip("a clipped gradient is not large")
    one, _ = pair((30, 40), (5,))
    optimizer = RMSprop(one, momentum=0.9, on_nonfinite=policy, max_norm=max_norm, **path)
    optimizer.step()
    before = copy.deepcopy((one, optimizer.state_dict()["state"]))
    one[1].grad[3] = BAD[value]
    if policy == "raise":
        with pytest.raises(FloatingPointError, match=r"(the gradient of 'group0.param1' is .* at \(3,\)|norm is not finite)"):
            optimizer.step()
    else:
        optimizer.step()
        assert optimizer.skipped == 1
    for p, q in zip(one, before[0], strict=True):
        assert torch.equal(p, q)
    for k, entry in before[1].items():
        for key, kept in entry.items():
            assert torch.equal(optimizer.state[one[k]][key], kept), key


def test_a_large_gradient_that_is_clipped_is_no_fault():
    p = torch.ones(3, requires_grad=True)
    p.grad = torch.tensor([1e20, 0.0, 0.0])
    optimizer = RMSprop([p], lr=0.1, max_norm=1.0, on_nonfinite="raise")
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.tensor([0.0, 1.0, 1.0]))


def test_policies_by_group_decide_about_the_whole_step():
    a, b = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = RMSprop([{"params": [a]}, {"params": [b], "on_nonfinite": "skip"}])
    a.grad, b.grad = torch.ones(2), torch.tensor([1.0, float("nan")])
    optimizer.step()
    assert a.tolist() == [1.0, 1.0]
    a.grad, b.grad = torch.tensor([1.0, float("nan")]), torch.ones(2)
    optimizer.step()  # group 0 propagates
    assert a[1].isnan()
    assert optimizer.skipped == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
def test_the_average_is_that_of_an_averaged_model(path, dtype):
    one, other = pair((30, 4), (5,), dtype=dtype)
    ours, theirs = RMSprop(one, lr=0.01, ema_decay=0.9, **path), RMSprop(other, lr=0.01, **path)
    wanted = [q.detach().to(torch.complex128 if dtype.is_complex else torch.float64) for q in other]
    for _ in range(4):
        ours.step()
        theirs.step()
        wanted = [0.9 * w + 0.1 * q.detach().to(w.dtype) for w, q in zip(wanted, other, strict=True)]
    assert all(torch.equal(p, q) for p, q in zip(one, other, strict=True))
    close([ours.state[p]["ema"].to(w.dtype) for p, w in zip(one, wanted, strict=True)], wanted, "torch, averaged")
    own = [p.detach().clone() for p in one]
    with ours.averaged():
        for p in one:
            assert torch.equal(p, ours.state[p]["ema"].to(dtype))
        with pytest.raises(RuntimeError, match="swapped in"):
            ours.step()
    assert all(torch.equal(p, q) for p, q in zip(one, own, strict=True))


def test_the_weights_come_back_after_an_error():
    one, _ = pair((3,))
    optimizer = RMSprop(one, ema_decay=0.9)
    optimizer.step()
    own = one[0].detach().clone()
    with pytest.raises(KeyError), optimizer.averaged():
        raise KeyError
    assert torch.equal(one[0], own)
    with pytest.raises(RuntimeError, match="pass ema_decay"), RMSprop(one).averaged():
        pass


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_stochastic_rounding_goes_to_a_neighbour_and_is_right_in_the_mean(dtype):
    n = 100_000
    p = torch.full((n,), 1.0, dtype=dtype, requires_grad=True)
    # lr·g/(√v + eps) is lr: a third of the distance down to the next number, which rounding to the nearest would lose.
    step = torch.finfo(dtype).eps / 2 / 3
    p.grad = torch.ones(n, dtype=dtype)
    optimizer = RMSprop([p], lr=step, dialect="article", alpha=0.0, eps=1e-30, stochastic_rounding=True)
    optimizer.step()
    below = 1.0 - torch.finfo(dtype).eps / 2
    assert set(p.detach().float().unique().tolist()) == {below, 1.0}
    share = (p.detach().float() == below).float().mean().item()
    assert abs(share - 1 / 3) < 6 * np.sqrt(2 / 9 / n)  # six standard deviations
    optimizer.step()
    assert len(p.detach().unique()) == 3  # other bits in each step


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_stochastic_rounding_has_the_same_bits_on_both_paths_and_for_every_number_of_threads(dtype):
    found = []
    before = torch.get_num_threads()
    for threads, fused in ((1, None), (3, None), (1, False)):
        torch.set_num_threads(threads)
        one, _ = pair((50_000,), (7,), (), dtype=dtype)
        with torch.no_grad():
            one[1].mul_(1e-6)  # below the smallest normal float16
            one[1].grad.mul_(1e-3)
        optimizer = RMSprop(one, lr=1e-4, stochastic_rounding=True, fused=fused)
        for _ in range(3):
            optimizer.step()
        found.append([p.detach().clone() for p in one])
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_stochastic_rounding_leaves_what_is_not_a_number_alone():
    p = torch.tensor([float("inf"), float("-inf"), float("nan"), 3.3e38], dtype=torch.bfloat16, requires_grad=True)
    before = p.detach().clone()
    p.grad = torch.zeros(4, dtype=torch.bfloat16)
    RMSprop([p], stochastic_rounding=True).step()
    assert torch.equal(p.detach().nan_to_num(nan=7.0), before.nan_to_num(nan=7.0))


def test_bfloat16_is_rounded_to_nearest_even_as_torch_does():
    values = torch.tensor([1.0, -1.0, 1e-39, 3.0e38, float("inf"), float("nan")]).repeat_interleave(5000)
    values = values * (1 + torch.linspace(0, 0.1, len(values)))
    p = torch.zeros(len(values), dtype=torch.bfloat16, requires_grad=True)
    # With decay 0 and a tiny eps the step is lr·sign(g): p becomes -lr for each element's own lr.
    wanted = values.to(torch.bfloat16)
    q = values.clone().requires_grad_()
    q.grad = torch.zeros_like(q)
    optimizer = RMSprop([p], lr=0.0)
    p.grad = torch.zeros_like(p)
    with torch.no_grad():
        p.copy_(wanted)
    optimizer.step()
    assert torch.equal(p.detach().nan_to_num(nan=7.0), wanted.nan_to_num(nan=7.0))
    one = torch.tensor([1.0, 1.0, 1.0, 1.0], dtype=torch.bfloat16, requires_grad=True)
    one.grad = torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.bfloat16)
    # 1 + 2⁻⁸ lies between 1 and 1 + 2⁻⁷: the even one is 1. A little more goes up.
    RMSprop([one], lr=2**-8, dialect="article", alpha=0.0, eps=1e-30).step()
    assert one.tolist() == [1.0, 1.0, 1 - 2**-8, 1 - 2**-8]


REFUSED = [
    ({"alpha": 1.0}, ValueError, r"Invalid alpha value: 1.0; alpha must be in \[0, 1\), got 1.0; 1 - alpha weighs"),
    ({"eps": 0}, ValueError, "Invalid epsilon value: 0; eps must be greater than 0"),
    ({"eps": float("inf")}, ValueError, "Invalid epsilon value: inf"),
    ({"eps": 1e-60}, ValueError, "eps=1e-60 rounds to 0 in float32"),
    ({"lr": -1.0}, ValueError, "Invalid learning rate: -1.0"),
    ({"lr": float("inf")}, ValueError, "Invalid learning rate: inf"),
    ({"lr": float("nan")}, ValueError, "Invalid learning rate: nan"),
    ({"lr": "fast"}, TypeError, "lr must be a number"),
    ({"momentum": 1.0}, ValueError, "Invalid momentum value: 1.0"),
    ({"weight_decay": -0.1}, ValueError, "Invalid weight_decay value: -0.1"),
    ({"nesterov": True}, ValueError, "nesterov=True needs momentum > 0"),
    ({"dialect": "pytroch"}, ValueError, "did you mean 'pytorch'"),
    ({"sparse": "yes"}, ValueError, "sparse must be one of 'error', 'lazy', 'dense', got 'yes'"),
    ({"on_nonfinite": "ignore"}, ValueError, "on_nonfinite must be one of"),
    ({"max_norm": 0.0}, ValueError, "max_norm must be greater than 0"),
    ({"ema_decay": 1.0}, ValueError, r"ema_decay must be in \[0, 1\)"),
    ({"fused": True, "differentiable": True}, ValueError, "exclude each other"),
    ({"fused": 1}, TypeError, "fused must be True, False or None, got 1"),
    ({"stochastic_rounding": "no"}, TypeError, "stochastic_rounding must be True or False"),
    ({"decoupled_weight_decay": "yes"}, TypeError, "decoupled_weight_decay must be True, False or None"),
]


@pytest.mark.parametrize(("options", "kind", "message"), REFUSED)
def test_bad_options_are_refused_at_construction_and_in_a_group(options, kind, message):
    p, q = (torch.zeros(2, requires_grad=True) for _ in range(2))
    with pytest.raises(kind, match=message):
        RMSprop([p], **options)
    optimizer = RMSprop([p])
    with pytest.raises(kind, match=message):
        optimizer.add_param_group({"params": [q], **options})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [({"alpha": 1.5}, "alpha"), ({"lr": -1.0}, "learning rate"), ({"sparse": "?"}, "sparse"), ({"lr": 1e300}, "overflows float32")],
)
def test_an_option_that_is_set_wrongly_later_is_refused_by_the_step(options, message):
    one, _ = pair((3,))
    optimizer = RMSprop(one)
    optimizer.step()
    before = one[0].detach().clone()
    optimizer.param_groups[0].update(options)
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    assert torch.equal(one[0], before)


def test_dtypes_that_cannot_be_optimized_are_refused():
    with pytest.raises(TypeError, match=r"a parameter must be one of torch.float16.*got torch.int64"):
        RMSprop([torch.zeros(2, dtype=torch.int64)])


def test_fused_true_says_why_it_cannot():
    p = torch.zeros(2, device="meta", requires_grad=True)
    p.grad = torch.zeros(2, device="meta")
    with pytest.raises(ValueError, match=r"fused=True is not possible.*it is on meta; pass fused=None"):
        RMSprop([p], fused=True).step()


def test_without_a_compiler_the_step_is_that_of_tensors(monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    one, other = pair((3,))
    RMSprop(one).step()
    torch.optim.RMSprop(other).step()
    close(one, other, "torch, clipped")


def test_versions_of_torch_without_the_c_interface_step_alike(monkeypatch):
    found = []
    for interface in (True, False):
        if not interface:
            monkeypatch.setattr(dlpack, "functions", lambda kind: None)
        one, _ = pair((30, 40), (), (0,), (5, 3))
        frozen = torch.ones(3, requires_grad=True)
        optimizer = RMSprop([*one, frozen], momentum=0.9)
        for step in range(5):
            if step == 2:
                one[0].data = one[0].detach().clone()  # memory that moves
            if step == 3:
                one[3].grad = one[3].grad.T.contiguous().T  # another order
                one[1].grad = None
            optimizer.step()
        found.append([p.detach().clone() for p in one])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_rows_are_rounded_by_other_chances_in_each_step():
    p = torch.ones(2000, 1, dtype=torch.bfloat16, requires_grad=True)
    p.grad = torch.sparse_coo_tensor(
        torch.arange(2000)[None], torch.ones(2000, 1, dtype=torch.bfloat16), (2000, 1), check_invariants=True
    )
    optimizer = RMSprop([p], lr=2**-9 / 2, dialect="article", alpha=0.0, eps=1e-30, sparse="lazy", stochastic_rounding=True)
    optimizer.step()
    optimizer.step()
    assert len(p.detach().unique()) == 3


@pytest.mark.parametrize("fused", [None, False])
def test_state_that_was_cleared_in_place_begins_anew(fused):
    one, other = pair((3,), (4,))
    optimizer = RMSprop(one, fused=fused)
    optimizer.step()
    for p, q in zip(one, other, strict=True):
        optimizer.state[p].clear()
        with torch.no_grad():
            p.copy_(q)
    optimizer.step()
    RMSprop(other, fused=fused).step()
    assert all(torch.equal(p, q) for p, q in zip(one, other, strict=True))


def test_an_option_that_was_refused_is_refused_again():
    one, _ = pair((3,))
    optimizer = RMSprop(one)
    optimizer.step()
    optimizer.param_groups[0]["alpha"] = 2.0
    for _ in range(2):
        with pytest.raises(ValueError, match="Invalid alpha value"):
            optimizer.step()

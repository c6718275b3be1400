"""timm's registry of optimizers."""

import pytest
import torch

from tests.examples.conftest import CLOSE, apart

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

# The warnings are those of other packages.
pytestmark = [pytest.mark.hosts, pytest.mark.filterwarnings("default")]


@pytest.fixture
def registry(torchvision, load):
    pytest.importorskip("timm", reason="timm is not installed; `make test-hosts` installs it")
    return load("timm_registry")


def test_learns_the_digits(registry, capsys):
    losses = registry.main(["--steps", "40"])
    assert sum(losses[-10:]) < sum(losses[:10]) / 2
    assert capsys.readouterr().out.count("loss") == 4


@pytest.mark.parametrize("options", [{}, {"momentum": 0.0}], ids=["momentum, as timm has it", "none"])
def test_is_timms_own_rmsproptf(registry, options):
    ours, losses = registry.train(10, **options)
    theirs, expected = registry.train(10, "rmsproptf", **options)
    assert losses == pytest.approx(expected, rel=1e-3)
    assert apart(ours, theirs) < CLOSE


@pytest.mark.parametrize("decoupled", [False, True], ids=["coupled", "decoupled"])
def test_goes_on_from_the_state_of_timms_own(registry, decoupled):
    from timm.optim import RMSpropTF

    starts = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    ours, theirs = (torch.nn.Parameter(starts.clone()) for _ in range(2))
    other = RMSpropTF([theirs], lr=0.1, momentum=0.9, weight_decay=0.1, decoupled_decay=decoupled)
    optimizer = registry.RMSprop([ours], dialect="timm")
    for step in range(10):
        theirs.grad = theirs.detach() - step
        if step == 5:
            ours.data.copy_(theirs)
            optimizer.load_state_dict(other.state_dict())
        other.step()
        if step >= 5:
            ours.grad = ours.detach() - step
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_its_groups_and_wrapper(registry):
    from timm.optim import create_optimizer_v2

    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    optimizer = create_optimizer_v2(model, "rmspropfast", lr=0.1, weight_decay=0.01)
    assert type(optimizer) is registry.RMSprop
    assert sorted(group["weight_decay"] for group in optimizer.param_groups) == [0.0, 0.01]
    assert {group["momentum"] for group in optimizer.param_groups} == {0.9}  # timm's default, not the dialect's
    wrapped = create_optimizer_v2(model, "lookahead_rmspropfast", lr=0.1)
    model(torch.ones(4, 3)).square().sum().backward()
    before = model[0].weight.detach().clone()
    wrapped.step()
    assert not torch.equal(model[0].weight, before)

"""A2C on CartPole."""

import pytest
import torch

from tests.examples.conftest import apart

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed")

# Of other packages than ours.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def cartpole(load):
    return load("sb3_cartpole")


def test_learns_to_balance(cartpole, capsys):
    reward = cartpole.main(["--frames", "40000"])
    assert reward > 75  # an untrained agent falls after some 10 to 50 frames
    assert f"{reward:.0f} of 500" in capsys.readouterr().out.splitlines()[-1]


def test_is_the_packages_own_optimizer(cartpole):
    from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

    ours = cartpole.learn(400)
    theirs = cartpole.learn(400, {"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"alpha": 0.99, "eps": 1e-5}})
    fresh = cartpole.learn(0)
    assert type(ours.policy.optimizer) is cartpole.RMSprop
    assert ours.policy.optimizer.param_groups[0]["lr"] == pytest.approx(theirs.policy.optimizer.param_groups[0]["lr"])
    # The means start at 1, which keeps the first steps small: what is left is an ulp of some weights.
    assert apart(ours.policy, theirs.policy) < 1e-7
    assert apart(ours.policy, fresh.policy) > 1e-4


@pytest.mark.parametrize("back", [False, True], ids=["from theirs to ours", "from ours to theirs"])
def test_state_goes_both_ways(cartpole, back):
    from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

    def make(ours, p, **options):
        return cartpole.RMSprop([p], dialect="sb3", **options) if ours else RMSpropTFLike([p], **options)

    options = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "centered": True}
    starts = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    changed, kept = (torch.nn.Parameter(starts.clone()) for _ in range(2))
    optimizer, other = make(back, changed, **options), make(False, kept, **options)
    for step in range(10):
        if step == 5:
            state = optimizer.state_dict()
            optimizer = make(not back, changed)
            optimizer.load_state_dict(state)
        for p, each in ((changed, optimizer), (kept, other)):
            p.grad = p.detach() - step
            each.step()
    torch.testing.assert_close(changed, kept)


def test_an_agent_saved_goes_on_with_its_optimizer(cartpole, tmp_path):
    from stable_baselines3 import A2C

    agent = cartpole.learn(400)
    agent.save(tmp_path / "agent")
    back = A2C.load(tmp_path / "agent", device="cpu")
    assert type(back.policy.optimizer) is cartpole.RMSprop
    held, loaded = (each.policy.optimizer.state_dict() for each in (agent, back))
    assert loaded["param_groups"] == held["param_groups"]
    assert held["state"]
    torch.testing.assert_close(loaded["state"], held["state"], rtol=0, atol=0)

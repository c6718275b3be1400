"""A2C on CartPole."""

import sys

import numpy as np
import pytest

from rmsprop.errors import MissingExtraError
from rmsprop.race.rivals import rival
from rmsprop.race.tournament import Settings
from rmsprop.race.workloads import workload
from rmsprop.race.workloads.optimizers import optimizer_for
from rmsprop.race.workloads.task import seeded
from rmsprop.race.workloads.train import race

# Of other packages than ours.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(autouse=True)
def _installed():
    pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed")


def begun(lr, name="rmsprop"):
    return workload("cartpole").begin(0, lambda params: optimizer_for(rival(name), params, lr))


def test_return_is_that_of_the_agent_s_own_likeliest_actions():
    with seeded(0):
        training = begun(1e-3)
        training.advance(20)
        missing, frames = training.measure()
        seen, _ = training._judge.reset(seed=0)
        up, wanted = np.ones(20, bool), np.zeros(20)
        while up.any():
            wanted += up
            actions, _ = training._agent.predict(seen, deterministic=True)
            seen, _, fallen, over, _ = training._judge.step(actions)
            up &= ~(fallen | over)
    assert frames == wanted.mean()
    assert missing == 500 - frames


def test_an_agent_that_always_pushes_one_way_falls_at_once():
    with seeded(0):
        training = begun(1e-3)
        training._agent.policy.action_net.bias.data = training._agent.policy.action_net.bias.new_tensor([-50.0, 50.0])
        _, frames = training.measure()
    assert 8 <= frames <= 11


def test_learns_with_the_optimizer_of_the_race_at_its_rate():
    with seeded(0):
        training = begun(0.25, "sgd")
        assert type(training.optimizer).__name__ == "SGD"
        before = [p.clone() for p in training._agent.policy.parameters()]
        training.advance(3)
        assert training.optimizer.param_groups[0]["lr"] == 0.25
        moved = [bool((p != old).any()) for p, old in zip(training._agent.policy.parameters(), before, strict=True)]
    assert all(moved)
    assert training._agent.num_timesteps == 3 * 8 * 5


def test_race_repeats_itself_and_broken_agents_are_counted():
    settings = Settings(steps=2, seeds=1, budget=2, lr={"": 3e-3, "sgd": 1e38})
    one, other = (race(workload("cartpole"), [rival("rmsprop"), rival("sgd")], settings) for _ in range(2))
    for a, b in zip(one.entries, other.entries, strict=True):
        np.testing.assert_array_equal(a.losses, b.losses)
    by_name = {entry.rival.name: entry for entry in one.entries}
    assert by_name["sgd"].diverged.all()
    assert not by_name["rmsprop"].diverged.any()


def test_missing_library_names_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(MissingExtraError, match=r"Stable-Baselines3 is not installed.*'rmsprop\[workloads\]'"):
        begun(1e-3)

"""A race on a workload: fair, the same each time, judged as on a landscape."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from rmsprop.errors import UsageError
from rmsprop.race.rivals import rival, rival_names
from rmsprop.race.tournament import Settings
from rmsprop.race.workloads import workload
from rmsprop.race.workloads.report import to_json
from rmsprop.race.workloads.task import Supervised
from rmsprop.race.workloads.train import _judged, race

ALL = [rival(name) for name in rival_names()]


class Line(torch.nn.Module):
    """y = w·x + b."""

    def __init__(self):
        super().__init__()
        self.w, self.b = torch.nn.Parameter(torch.randn(1)), torch.nn.Parameter(torch.zeros(1))


BEGUN = []


def begin(seed, make):
    """A straight line through points that lie on one, drawn anew in each batch: it trains in microseconds."""
    BEGUN.append(seed)
    model = Line()

    def loss(x):
        return ((model.w * x + model.b - (2 * x - 1)) ** 2).mean()

    return Supervised(model, make, lambda: loss(torch.randn(8)), lambda: (float(loss(torch.arange(-2.0, 3.0))), float(model.w)))


LINE = replace(workload("digits"), name="line", begin=begin, target=0.1, steps=50, ends=(-3.0, 1.0), budget=5)
SHORT = Settings(steps=50, seeds=3, budget=5)


@cache
def short_race():
    return race(LINE, ALL, SHORT)


@pytest.fixture(scope="module")
def done():
    return short_race()


def test_every_rival_has_the_same_tries(done):
    first = done.entries[0]
    for entry in done.entries:
        np.testing.assert_array_equal(entry.tried, first.tried)
        assert entry.lr in entry.tried
    keys = [(np.median(entry.steps), np.median(entry.final)) for entry in done.entries]
    assert keys == sorted(keys)
    assert {entry.rival.name for entry in done.entries} == set(rival_names())


def test_all_start_from_the_same_models_and_choose_by_others():
    BEGUN.clear()
    done = race(LINE, ALL[:2], Settings(steps=5, seeds=3, budget=2, lr={"sgd": 0.1}, seed=4))
    # RMSprop's rates, each by two seeds; then both rivals from the three of the race.
    tries = len(done.entries[0].tried) or len(done.entries[1].tried)
    assert BEGUN[: 2 * tries] == [9, 11] * tries
    assert BEGUN[2 * tries :] == [8, 10, 12] * 2
    np.testing.assert_array_equal(done.entries[0].losses[0], done.entries[1].losses[0])
    assert len(set(done.entries[0].losses[0])) == 3


def test_race_repeats_itself_whatever_was_drawn_before():
    settings = Settings(steps=10, seeds=2, budget=2)
    one = race(LINE, ALL, settings)
    torch.manual_seed(99)
    assert to_json(race(LINE, ALL, settings)) == to_json(one)


def test_a_run_is_that_of_a_plain_loop():
    done = race(LINE, [rival("adam")], Settings(steps=20, seeds=1, budget=2, lr={"": 0.05}, schedule="linear"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Line()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for step in range(20):
            optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 20)
            optimizer.zero_grad()
            x = torch.randn(8)
            ((model.w * x + model.b - (2 * x - 1)) ** 2).mean().backward()
            optimizer.step()
    assert done.entries[0].metrics[-1, 0] == float(model.w.detach())
    assert done.taken == 20
    assert done.entries[0].edge is None


def test_effective_rates_are_there_and_those_of_gradient_descent_are_its_own(done):
    by_name = {entry.rival.name: entry for entry in done.entries}
    sgd = by_name["sgd"]
    # Later on steps are so short that rounding the weights to float32 shows.
    np.testing.assert_allclose(sgd.rates[:8], sgd.lr, rtol=1e-4)
    for entry in done.entries:
        assert entry.rates.shape == entry.slopes.shape == entry.norms.shape == (len(done.times) - 1, 3)
        # NaN where a run is through, and no weight moves any more.
        assert not (entry.peaks < entry.norms).any()
        assert np.isfinite(entry.peaks[:5]).all()


def test_broken_runs_are_counted_and_end_early():
    done = race(LINE, [rival("sgd")], Settings(steps=1_000, seeds=2, budget=2, lr={"": 1e6}))
    (entry,) = done.entries
    assert entry.diverged.all()
    assert entry.arrived == 0
    assert done.taken < 400
    assert np.isnan(entry.metrics[-1]).all()
    assert np.isnan(entry.best(higher=False)).sum() == 0  # before the first step it was not broken


def test_grid_grows_for_all_where_one_chooses_its_end():
    done = race(replace(LINE, ends=(-6.0, -4.0)), ALL[:2], Settings(steps=50, seeds=2, budget=3))
    assert done.extended > 0
    assert {len(entry.tried) for entry in done.entries} == {3 + 2 * done.extended}


def test_only_what_stays_at_the_target_has_arrived():
    nan = np.nan
    losses = np.array(
        [
            [4.0, 0.9, 2.0, 0.8, 0.7],  # passes by, comes back for good
            [4.0, 0.9, 0.8, 0.7, 1.1],  # leaves at the end
            [0.5, 0.4, 0.3, 0.2, 0.1],  # is there from the start
            [4.0, 3.0, nan, nan, nan],  # breaks
            [4.0, 3.0, 9.0, 20.0, 40.0],  # is finite, but far above its start
            [4.0, 3.0, 2.5, 2.0, 1.0],  # arrives with the last step
            [0.5, 0.7, 2.0, 3.0, 3.0],  # begins at the target by luck, and is not there at the end
        ]
    )
    got = _judged(losses, np.array([0, 10, 20, 30, 40]), 1.0, 7)
    assert got.steps.tolist() == [30, np.inf, 0, np.inf, np.inf, 40, np.inf]
    assert got.diverged.tolist() == [False, False, False, True, True, False, False]
    assert got.taken == 7


def test_progress_ends_at_the_whole():
    seen = []
    race(LINE, ALL[:2], Settings(steps=30, seeds=2, budget=2), lambda *told: seen.append(told))
    assert {what for *_, what in seen} == {"steps, choosing learning rates", "steps, racing"}
    assert all(0 <= done <= total for done, total, _ in seen)
    assert seen[-1][0] == seen[-1][1] == 2 * 2 * 30


def test_rivals_that_cannot_race_are_refused():
    with pytest.raises(UsageError, match="adam is there twice"):
        race(LINE, [rival("adam"), rival("adam")], SHORT)
    with pytest.raises(UsageError, match="lr is given for 'sgd', which does not run"):
        race(LINE, [rival("adam")], replace(SHORT, lr={"sgd": 0.1}))


def test_a_short_race_on_digits_repeats_itself_to_the_last_bit():
    settings = Settings(steps=12, seeds=2, budget=2)
    rivals = [rival("rmsprop"), rival("adagrad")]
    one, other = (race(workload("digits"), rivals, settings) for _ in range(2))
    for a, b in zip(one.entries, other.entries, strict=True):
        np.testing.assert_array_equal(a.losses, b.losses)
        np.testing.assert_array_equal(a.rates, b.rates)

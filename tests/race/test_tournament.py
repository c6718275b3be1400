import numpy as np
import pytest

from rmsprop.errors import UsageError
from rmsprop.race.judge import best_of, quartiles
from rmsprop.race.landscapes import landscape
from rmsprop.race.noise import Draws, Noise
from rmsprop.race.play import moments_of, play
from rmsprop.race.rivals import rival, rival_names
from rmsprop.race.search import GRID
from rmsprop.race.surface import of_formula
from rmsprop.race.tournament import Settings, race

ALL = [rival(name) for name in rival_names()]
SHORT = Settings(steps=120, seeds=3, budget=7)


@pytest.mark.parametrize("name", rival_names())
@pytest.mark.parametrize("kind", ["none", "gaussian", "mask"])
def test_runs_are_those_of_a_plain_loop(name, kind):
    """Each of many runs at once, against a loop that knows of one."""
    problem, one, steps = landscape("beale"), rival(name), 300
    noise, rates = Noise(kind, 0.0 if kind == "none" else 0.3), np.array([[1e-3, 3e-2]])
    got = play(problem, [one], rates, Draws([7, 8], 0), noise, steps, moments=10_000)
    size = np.sqrt(np.mean(problem(np.array(problem.start))[1] ** 2))
    for j, lr in enumerate(rates[0]):
        for s, seed in enumerate((7, 8)):
            draws = Draws([seed], 0)
            p = np.array(problem.start) + (s > 0) * draws.starts[0] * problem.spread
            state, losses, path = one.init(p), [problem.loss(p)], [p]
            for t in range(1, steps + 1):
                normal, uniform = draws.step()
                g = noise(problem(p)[1], size, normal[0], uniform[0])
                p, state = one.step(p, g, state, lr, t)
                losses.append(problem.loss(p))
                path.append(p)
            np.testing.assert_array_equal(got.losses[:, 0, j, s], losses)
            np.testing.assert_array_equal(got.final[0, j, s], losses[-1])
            if s == 0:
                np.testing.assert_array_equal(got.paths[:, 0, j], path)
            below = np.array(losses) <= problem.target
            wanted = np.inf if not below[-1] else len(losses) - np.argmin(below[::-1]) if not below.all() else 0
            assert got.steps[0, j, s] == wanted


def test_a_moment_at_the_target_is_no_arrival():
    """A loss that falls below the target and rises again has not arrived."""
    problem = landscape("quadratic")
    got = play(problem, [rival("momentum")], np.array([[0.5]]), Draws([0], 0), Noise(), 100, moments=1000)
    losses = got.losses[:, 0, 0, 0]
    first = int(np.argmax(losses <= problem.target))
    assert (losses[first:] > problem.target).any()
    arrived = int(got.steps[0, 0, 0])
    assert arrived > first
    assert (losses[arrived:] <= problem.target).all()
    assert losses[arrived - 1] > problem.target


def test_divergence_is_counted_and_its_steps_are_not():
    problem = landscape("rosenbrock")
    got = play(problem, [rival("sgd")], np.array([[1e-3, 10.0]]), Draws([0, 1], 0), Noise(), 500)
    assert got.diverged[0].tolist() == [[False, False], [True, True]]
    assert np.isinf(got.steps[0, 1]).all()
    assert 1000 < got.taken < 1100
    assert got.losses.size == 0


def test_run_that_ends_far_above_its_start_has_diverged_though_it_is_finite():
    got = play(landscape("quadratic"), [rival("sgd")], np.array([[2.1]]), Draws([0], 0), Noise(), 50)
    assert np.isfinite(got.final).all()
    assert got.diverged.all()


def test_schedule_scales_every_rate():
    problem, steps = landscape("quadratic"), 40
    half = play(problem, ALL, np.full((7, 1), 0.02), Draws([0], 0), Noise(), steps, shape=lambda step: 0.5, moments=100)
    plain = play(problem, ALL, np.full((7, 1), 0.01), Draws([0], 0), Noise(), steps, moments=100)
    np.testing.assert_array_equal(half.paths, plain.paths)


def test_every_rival_has_the_same_budget_and_its_choice_is_told():
    done = race(landscape("rosenbrock"), ALL, SHORT)
    assert [entry.rival.name for entry in done.entries] != [one.name for one in ALL]
    assert {entry.rival.name for entry in done.entries} == set(rival_names())
    first = done.entries[0]
    for entry in done.entries:
        np.testing.assert_array_equal(entry.tried, first.tried)
        assert len(entry.tried) == len(entry.tried_steps) == len(entry.tried_final) >= SHORT.budget
        assert entry.lr in entry.tried
        assert entry.edge == {0: "lowest", len(entry.tried) - 1: "highest"}.get(int(np.searchsorted(entry.tried, entry.lr)), "")
    keys = [(quartiles(e.steps)[1], quartiles(np.where(e.diverged, np.inf, e.final))[1]) for e in done.entries]
    assert keys == sorted(keys)


def test_first_seed_begins_at_the_start_and_the_others_around_it():
    problem = landscape("rosenbrock")
    done = race(problem, [rival("adam")], Settings(steps=10, seeds=30, budget=2))
    entry = done.entries[0]
    assert tuple(entry.path[0]) == problem.start
    assert entry.losses[0, 0] == problem.loss(np.array(problem.start))
    assert len(set(entry.losses[0])) == 30


def test_spread_of_the_starts_is_the_problem_s():
    problem = landscape("saddle")
    got = play(problem, [rival("sgd")], np.array([[1e-9]]), Draws(range(500), 0), Noise(), 1, moments=5)
    assert got.losses.shape == (2, 1, 1, 500)
    starts = np.array(problem.start) + Draws(range(500), 0).starts * problem.spread
    np.testing.assert_array_equal(got.losses[0, 0, 0, 1:], problem.loss(starts)[1:])
    np.testing.assert_allclose((starts - problem.start).std(axis=0), problem.spread, rtol=0.1)


@pytest.mark.parametrize(("scale", "end"), [("1e-4", 1), ("1e6", 0)])
def test_grid_grows_for_all_where_one_chooses_its_end(scale, end):
    """A landscape so flat, or so steep, that gradient descent needs a rate beyond the first grid."""
    done = race(
        of_formula(f"{scale}*((x - 1)**2 + 2*y**2)"), [rival("sgd"), rival("rmsprop")], Settings(steps=200, seeds=3, budget=13)
    )
    assert done.extended > 0
    by_name = {entry.rival.name: entry for entry in done.entries}
    assert by_name["sgd"].edge == ""
    assert by_name["sgd"].arrived == 3
    assert len(by_name["sgd"].tried) == len(by_name["rmsprop"].tried) > 13
    assert (by_name["sgd"].lr > 10 ** GRID[1]) if end else (by_name["sgd"].lr < 10 ** GRID[0])
    np.testing.assert_allclose(np.diff(np.log10(by_name["sgd"].tried)), 0.5, rtol=1e-9)


def test_edge_that_is_left_after_all_is_told():
    done = race(of_formula("1e-12*(x**2 + y**2)"), [rival("sgd")], Settings(steps=20, seeds=1, budget=3))
    assert done.extended == 3
    assert done.entries[0].edge == "highest"


def test_no_lone_rate_is_chosen_where_neighbours_agree():
    inf = np.inf
    assert best_of([(inf, 1.0), (5.0, 0.0), (inf, 1.0), (30.0, 0.0), (20.0, 0.0), (25.0, 0.0), (inf, 1.0)]) == 4
    assert best_of([(30.0, 0.0), (20.0, 0.0), (10.0, 0.0), (inf, 1.0)]) == 2
    assert best_of([(inf, 3.0), (5.0, 0.0), (inf, 2.0), (inf, 1.0)]) == 1
    assert best_of([(inf, 3.0), (inf, 1.0), (inf, 2.0)]) == 1
    assert best_of([(4.0, 0.0), (4.0, 0.0)]) == 0


def test_given_rates_are_not_chosen():
    done = race(landscape("quadratic"), ALL, Settings(steps=50, seeds=2, budget=3, lr={"": 0.01, "adam": 0.2}))
    assert {entry.rival.name: entry.lr for entry in done.entries} == {
        name: 0.2 if name == "adam" else 0.01 for name in rival_names()
    }
    assert all(entry.edge is None and not len(entry.tried) for entry in done.entries)
    assert done.taken == 7 * 2 * 50
    mixed = race(landscape("quadratic"), ALL, Settings(steps=50, seeds=2, budget=3, lr={"adam": 0.2}))
    assert sorted(entry.rival.name for entry in mixed.entries if entry.edge is None) == ["adam"]


@pytest.mark.parametrize("noise", [Noise(), Noise("outliers", 0.1)])
def test_race_repeats_itself(noise):
    settings = Settings(steps=100, seeds=3, budget=5, noise=noise)
    one, other = (race(landscape("cliff"), ALL, settings) for _ in range(2))
    for a, b in zip(one.entries, other.entries, strict=True):
        assert (a.rival, a.lr) == (b.rival, b.lr)
        np.testing.assert_array_equal(a.losses, b.losses)
    moved = race(landscape("cliff"), ALL, Settings(steps=100, seeds=3, budget=5, noise=noise, seed=9))
    finals = {entry.rival.name: entry.final[1] for entry in moved.entries}
    assert any(entry.final[1] != finals[entry.rival.name] for entry in one.entries)


def test_a_rival_s_runs_do_not_depend_on_who_else_runs():
    settings = Settings(steps=100, seeds=3, lr={"": 0.01}, noise=Noise("gaussian", 0.1))
    alone = race(landscape("ravine"), [rival("adam")], settings).entries[0]
    among = next(e for e in race(landscape("ravine"), ALL, settings).entries if e.rival.name == "adam")
    np.testing.assert_array_equal(alone.losses, among.losses)


def test_progress_ends_at_the_whole():
    seen = []
    race(landscape("quadratic"), ALL, Settings(steps=200, seeds=2, budget=3), lambda *told: seen.append(told))
    assert {what for *_, what in seen} == {"steps, choosing learning rates", "steps, racing"}
    assert all(0 < done <= total for done, total, _ in seen)
    assert seen[-1][0] == seen[-1][1]


def test_moments_are_few_and_hold_both_ends():
    for steps in (1, 10, 1_999, 2_000, 2_001, 1_000_000):
        times = moments_of(steps, 2_000)
        assert len(times) <= 2_001
        assert (times[0], times[-1]) == (0, steps)
        assert (np.diff(times) > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number from 1 to 1,000,000, got 0"),
        ({"steps": 10**9}, "got 1000000000"),
        ({"seeds": 0}, "seeds must be"),
        ({"budget": 1}, "budget must be a whole number from 2"),
        ({"seed": -1}, "seed must be"),
        ({"lr": {"": 0.0}}, "lr must be a number above 0, got 0.0"),
        ({"lr": {"adam": float("nan")}}, "lr of adam must be"),
        ({"schedule": "cosin"}, "schedule must be one of 'constant'"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Settings(**options)


def test_rivals_that_cannot_race_are_refused():
    problem = landscape("quadratic")
    with pytest.raises(UsageError, match="needs an optimizer"):
        race(problem, [], SHORT)
    with pytest.raises(UsageError, match="adam is there twice"):
        race(problem, [rival("adam"), rival("adam")], SHORT)
    with pytest.raises(UsageError, match="lr is given for 'sgd', which does not run"):
        race(problem, [rival("adam")], Settings(lr={"sgd": 0.1}))


def test_quartiles_are_values_of_runs():
    assert quartiles(np.array([1.0, 2.0, np.inf, np.inf])) == (1.0, 2.0, np.inf)
    assert quartiles(np.array([np.nan])) == (np.inf, np.inf, np.inf)

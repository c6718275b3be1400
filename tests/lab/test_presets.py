"""The presets: each shows what its sentence says, in both languages."""

from itertools import groupby

import numpy as np
import pytest

from rmsprop.errors import UsageError
from rmsprop.lab.learn import LANGUAGES, written
from rmsprop.lab.presets import presets, setups
from rmsprop.lab.setup import LIMITS, Setup
from rmsprop.lab.trace import trace
from tests.tolerances import RELATIVE

NEARLY = RELATIVE["lab, epsilon"].share


class Traced:
    """A preset's trace, its runs by their place."""

    def __init__(self, name):
        self.setup = setups()[name]
        self.trace = trace(self.setup)
        self.losses = [np.array(run["loss"], dtype=float) for run in self.trace["runs"]]
        self.paths = [np.array(run["p"], dtype=float) for run in self.trace["runs"]]
        self.lrs = [run["lr"] for run in self.trace["runs"]]
        self.arrivals = [run["arrived_at"] for run in self.trace["runs"]]
        self.ends = [loss[-1] for loss in self.losses]

    def widths(self, last=40):
        """Return how wide each run's last steps swing, in learning rates: (runs, 2)."""
        return np.array([np.ptp(path[:, -last:], axis=1) / lr for path, lr in zip(self.paths, self.lrs, strict=True)])


def says(name, *words):
    """Assert that a sentence has these words, in both languages."""
    for lang in LANGUAGES:
        for word in words:
            assert str(word) in written(lang)["presets"][name]["sentence"], (lang, word)


def first_below(loss, level):
    return int(np.argmax(loss < level))


# All of them.


def test_each_preset_has_a_setup_and_words():
    for lang in LANGUAGES:
        assert list(written(lang)["presets"]) == list(setups())
        # Each group is there once, in one piece.
        groups = [group for group, _ in groupby(told["group"] for told in presets(lang))]
        assert groups == list(written(lang)["groups"].values())
        for told in presets(lang):
            assert set(told) == {"id", "group", "title", "sentence", "setup"}
            assert Setup.from_json(told["setup"]) == setups()[told["id"]]
            assert 3 < len(told["title"]) < 40
            assert 30 < len(told["sentence"]) < 240


def test_no_two_presets_are_the_same():
    assert len(set(setups().values())) == len(setups())
    for lang in LANGUAGES:
        assert len({told["title"] for told in presets(lang)}) == len(setups())


def test_presets_leave_room():
    """They may be changed on the page without meeting a limit."""
    for setup in setups().values():
        assert len(setup.runs) < LIMITS["runs"][1]
        assert setup.steps <= 1000


def test_other_languages_are_refused():
    with pytest.raises(UsageError, match="lang must be one of en, zh, got 'de'"):
        presets("de")


# One by one.


def test_ravine():
    shown = Traced("ravine")
    rmsprop, descent = range(2)
    assert first_below(shown.losses[rmsprop], 0.5) < first_below(shown.losses[descent], 0.5)
    assert shown.arrivals[descent]
    assert not shown.arrivals[rmsprop]
    assert shown.widths()[rmsprop].max() > 1
    says("ravine", 0.5)
    # From wall to wall: its first steps change sides again and again.
    walls = np.sign(shown.paths[descent][1] - np.sin(shown.paths[descent][0]))[:20]
    assert (walls[1:] != walls[:-1]).all()


def test_divergence():
    shown = Traced("divergence")
    start = abs(shown.paths[0][1, 0])
    settles, swings, diverges = (abs(path[1, -1]) for path in shown.paths)
    assert settles < start / 10
    assert swings == pytest.approx(start, rel=NEARLY)
    assert diverges > 10 * start
    says("divergence", *shown.lrs, 100)


def test_long_valley_straight_and_turned():
    straight, turned = Traced("ill-conditioned"), Traced("rotated")
    assert straight.lrs == turned.lrs
    assert straight.arrivals == [143, 300]
    says("ill-conditioned", 143, 300)
    assert turned.arrivals[0] is None
    # Gradient descent does not notice the turn.
    assert abs(turned.arrivals[1] - straight.arrivals[1]) < 10
    # Turned, RMSprop ends at several times the loss.
    assert turned.ends[0] > 1.5 * straight.ends[0]


def test_plateau():
    shown = Traced("plateau")
    assert shown.arrivals[0] == 165
    says("plateau", 165, 0.5, 400)
    assert shown.losses[1][400] > 0.95 * shown.losses[1][0]


def test_saddle():
    rmsprop, descent, adagrad = Traced("saddle").arrivals
    assert 2 < descent / rmsprop < 2.5
    assert adagrad is None


def test_adagrad_stalls():
    shown = Traced("adagrad-stalls")
    assert shown.arrivals[0] == 161
    assert shown.arrivals[1] is None
    assert shown.arrivals[2] < 100
    average, total = (np.array(shown.trace["memory"][name])[0] for name in ("average", "sum"))
    brink = int(np.argmax(average))
    # The average is back to what it was some seventy steps later; the sum is not.
    assert 65 < int(np.argmax(average[brink:] < average[brink - 10])) < 75
    assert total[-1] >= total[brink] > 100 * total[brink - 10]


def test_outliers():
    shown = Traced("outliers")
    rmsprop, adagrad, adam, momentum = range(4)
    assert shown.arrivals[rmsprop] == min(step for step in shown.arrivals if step)
    assert shown.arrivals[adagrad]
    assert not shown.arrivals[adam]
    assert not shown.arrivals[momentum]
    left, right, *_ = shown.trace["window"]
    assert not left <= shown.paths[momentum][0, -1] <= right


def test_sparse():
    shown = Traced("sparse")
    widths = shown.widths().max(axis=1)
    np.testing.assert_allclose(widths[:2], 3.2, rtol=0.15)
    assert widths[2] < 0.001
    assert shown.arrivals[0]
    assert shown.arrivals[1] is None
    assert shown.arrivals[2]
    g = np.array(shown.trace["memory"]["gradient"])
    assert 0.85 < (g == 0).mean() < 0.95


def test_first_step():
    shown = Traced("first-step")
    lengths = [abs(path[:, 1] - path[:, 0]) / lr for path, lr in zip(shown.paths, shown.lrs, strict=True)]
    assert [[round(x) for x in length] for length in lengths] == [[3, 3], [10, 10], [32, 32], [1, 1]]
    says("first-step", 3, 10, 32)


def test_decay():
    shown = Traced("decay")
    none, some, most = range(3)
    # Caught: it swings between the same two points, η to each side.
    np.testing.assert_allclose(shown.widths()[none], 1, rtol=NEARLY)
    assert shown.ends[none] > 3
    assert shown.ends[most] < shown.ends[some] < 0.03


def test_lr_too_large():
    shown = Traced("lr-too-large")
    assert 15 < shown.ends[1] / shown.ends[0] < 30
    assert shown.ends[2] > shown.ends[1]
    assert shown.losses[2][-100:].max() > 1
    says("lr-too-large", 0.02, 0.1, 0.5)


def test_limit_cycle():
    shown = Traced("limit-cycle")
    np.testing.assert_allclose(shown.widths(), 1, rtol=0.01)
    for loss in shown.losses:
        # It seems to converge, then wakes up.
        assert loss.min() < 1e-6 * loss[-1]


def test_settles():
    shown = Traced("settles")
    constant = Traced("ravine")
    assert shown.lrs[0] == constant.lrs[0]
    assert shown.arrivals[0]
    assert constant.arrivals[0] is None
    # At the end the steps have all but vanished.
    assert shown.widths(3).max() < 1e-2


def test_eps_matters():
    shown = Traced("eps-matters")
    assert shown.arrivals[0] < shown.arrivals[1]
    assert shown.arrivals[2] is None
    assert shown.ends[1] == 0 < shown.ends[0]
    assert shown.ends[2] > 0.99
    gradient = np.array(shown.trace["memory"]["gradient"])[:, 0]
    assert 5e-4 < np.sqrt((gradient**2).mean()) < 2e-3
    says("eps-matters", "0.001", 0.01, 0.1)


def test_eps_place():
    shown = Traced("eps-place")
    np.testing.assert_allclose(abs(shown.paths[0][:, -10:]), 0.04, rtol=NEARLY)
    assert shown.ends[1] == 0
    says("eps-place", 0.04)


def test_tiny_loss():
    shown = Traced("tiny-loss")
    assert shown.arrivals[0]
    assert shown.arrivals[1:] == [None, None]
    assert abs(shown.paths[2][:, -1] - shown.paths[2][:, 0]).max() < 0.01
    # It hits the minimum to the last digit, and so stands still without a schedule.
    assert shown.widths()[0].max() == shown.ends[0] == 0
    # It does not notice: the same formula a million times larger, the same path.
    told = setups()["tiny-loss"].to_json()
    told["land"]["text"] = told["land"]["text"].removeprefix("1e-6*")
    large = np.array(trace(Setup.from_json(told))["runs"][0]["p"])
    np.testing.assert_allclose(shown.paths[0], large, atol=0.05)


def test_centered():
    shown = Traced("centered")
    assert shown.arrivals == [94, 55]
    says("centered", 94, 55)
    np.testing.assert_allclose(shown.widths(10), 1, rtol=0.05)


def test_tf_pytorch():
    shown = Traced("tf-pytorch")
    assert shown.arrivals == [281, 398, 281]
    says("tf-pytorch", 281, 398)
    rules = [run.rival.rule for run in shown.setup.runs]
    assert len({(run.lr, run.rival.rule.decay, run.rival.rule.eps) for run in shown.setup.runs}) == 1
    assert [rule.square_init for rule in rules] == [0, 1, 0]
    # After a hundred steps most of the average is still what is left of the 1.
    assert 0.5 * np.array(shown.trace["runs"][1]["state"]["v"])[0, 100] < 0.9**100


def test_momentum():
    shown = Traced("momentum")
    assert shown.arrivals[0] is None
    assert max(shown.arrivals[1:]) <= shown.setup.steps / 4
    says("momentum", 0.005, 0.9, 600)


def test_weight_decay():
    shown = Traced("weight-decay")
    middles = [path[0, -40:].mean() for path in shown.paths]
    assert middles[0] == pytest.approx(2, abs=1e-3)
    assert f"{middles[1]:.2f}" == f"{2 / 1.1:.2f}" == "1.82"
    assert middles[2] == pytest.approx(2, abs=shown.lrs[2])
    says("weight-decay", 0.1, 1.82)


def test_four_minima():
    shown = Traced("four-minima")
    ends = [tuple(path[:, -1].round(1)) for path in shown.paths]
    assert ends[0] == ends[1] == (3.0, 2.0)
    assert ends[2] == (3.6, -1.8)
    assert all(shown.arrivals)


def test_trapped():
    shown = Traced("trapped")
    assert not any(shown.arrivals)
    rmsprop, descent, momentum, adam = (path[:, -100:] for path in shown.paths)
    for settled in (rmsprop, adam):
        assert np.ptp(settled, axis=1).max() < 0.05
        # The trap nearest to the start.
        assert (settled.mean(axis=1).round() == np.round(shown.trace["start"])).all()
    for thrown in (descent, momentum):
        assert np.ptp(thrown, axis=1).max() > 0.5


def test_logistic():
    shown = Traced("logistic")
    assert shown.arrivals == [233, None, None]
    says("logistic", 233)
    steps = abs(np.diff(shown.paths[1][0]))
    assert steps[-1] < 0.02 * steps[0]


def test_parabola():
    shown = Traced("parabola")
    data = shown.trace["data"]
    assert np.array(data["points"]).shape == (2, 20)
    first, last = (np.array(data["curves"][0][k]) for k in (0, -1))
    x, y = np.array(data["points"])
    missed = [np.mean((np.interp(x, data["grid"], curve) - y) ** 2) for curve in (first, last)]
    assert missed[1] < 0.01 * missed[0]
    assert shown.arrivals[0]


def test_parabola_s_rows_are_those_of_the_example(pytestconfig):
    rows = np.loadtxt(pytestconfig.rootpath / "examples" / "quadratic.csv", delimiter=",", skiprows=1)[::5]
    pasted = np.loadtxt(setups()["parabola"].land.csv.splitlines(), delimiter=",", skiprows=1)
    np.testing.assert_array_equal(pasted, [[float(f"{value:.4g}") for value in row] for row in rows])


def test_power_law():
    shown = Traced("power-law")
    assert shown.losses[0][400] < shown.losses[1][400] / 10
    says("power-law", 400)
    assert np.array(shown.trace["minima"][0]).round(3).tolist() == [0.769, 3.860]


def test_units():
    shown = Traced("units")
    bold, careful = range(2)
    assert f"{shown.trace['minima'][0][0]:.0f}" == "239"
    assert f"{shown.trace['minima'][0][1]:.5f}" == "0.00055"
    # Thrown off by the first step, met by a huge gradient, it stands still ever after.
    assert shown.losses[bold][1] > 1e9 * shown.losses[bold][0]
    assert abs(np.diff(shown.paths[bold][:, -100:], axis=1)).max() < 1e-6
    assert shown.ends[bold] > 100
    assert shown.ends[careful] < 1
    assert shown.paths[careful][0, -1] == pytest.approx(200, abs=0.01)
    says("units", 239, "0.00055", 0.03, 200)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_numbers_of_the_lesson_are_those_of_the_preset(lang):
    """The detailed lesson cites how long TensorFlow's and PyTorch's dialects take."""
    (section,) = [one for one in written(lang)["lessons"]["detailed"]["sections"] if one["id"] == "dialects"]
    assert all(str(step) in section["blocks"][0] for step in Traced("tf-pytorch").arrivals)

"""What a race on a workload leaves behind: the table, the JSON object, the picture and the page."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from rmsprop.errors import MissingExtraError
from rmsprop.race.report import HEADER
from rmsprop.race.rivals import rival
from rmsprop.race.style import looks
from rmsprop.race.tournament import Settings
from rmsprop.race.workloads.page import page
from rmsprop.race.workloads.plot import draw
from rmsprop.race.workloads.report import median, notes, ordered, rows, to_json
from rmsprop.race.workloads.train import race
from tests.race.test_pictures import _Loads, holds, picture
from tests.race.workloads.test_train import ALL, LINE, short_race

HARD = {
    "one step": lambda: race(LINE, ALL, Settings(steps=1, seeds=1, budget=2)),
    "all break": lambda: race(LINE, [rival("sgd"), rival("momentum")], Settings(steps=100, seeds=2, budget=2, lr={"": 1e6})),
    "given rates": lambda: race(LINE, ALL, Settings(steps=10, seeds=2, budget=2, lr={"": 0.01})),
    "less is better": lambda: race(replace(LINE, higher=False, metric="bits"), ALL[:1], Settings(steps=10, seeds=2, budget=2)),
    "there from the start": lambda: race(replace(LINE, target=1e9), ALL, Settings(steps=10, seeds=2, budget=2)),
}


@pytest.fixture(scope="module")
def done():
    return short_race()


@pytest.fixture(scope="module", params=HARD)
def hard(request):
    return HARD[request.param]()


def test_table_has_the_metric_too(done):
    table = rows(done)
    assert table[0] == (*HEADER, "accuracy", "at its best")
    assert [row[1] for row in table[1:]] == [entry.rival.name for entry in done.entries]
    assert {len(row) for row in table} == {len(HEADER) + 2}
    assert table[1][-2].startswith(f"{np.median(done.entries[0].metrics[-1]):.3g} (")


def test_notes_say_how_it_was_done(done):
    said = "\n".join(notes(done))
    for part in ("a loss of 0.1", "every 2 steps", "3 runs of 50 steps each", "the same", "`rates`", "the more the better"):
        assert part in said


def test_metrics_are_ordered_by_what_is_better():
    values = np.array([0.9, np.nan, 0.5, 0.7, 0.6])
    assert ordered(values, higher=True) == (0.5, 0.6, 0.7)
    assert ordered(values, higher=False) == (0.6, 0.7, 0.9)
    np.testing.assert_array_equal(median(np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, 1.0]])), [3.0, np.nan])


def test_json_holds_everything_and_no_nan(done, hard):
    for one in (done, hard):
        got = json.loads(to_json(one), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
        assert [entry["name"] for entry in got["optimizers"]] == [entry.rival.name for entry in one.entries]
        assert (got["workload"]["target"], got["settings"]["steps"]) == (one.problem.target, one.settings.steps)
        assert got["times"] == one.times.tolist()
        for told, entry in zip(got["optimizers"], one.entries, strict=True):
            assert told["lr"] == entry.lr
            assert len(told["metric"]["runs"]) == one.settings.seeds
            assert len(told["loss_on_the_way"]) == len(one.times) == len(told["effective_lr"]) + 1


def test_picture_shows_every_rival(done):
    image = picture(draw(done))
    assert image.shape == (720, 1300, 3)
    for look in looks(done.entries).values():
        assert holds(image, look.color, 150)


def test_hard_races_are_drawn(hard):
    assert picture(draw(hard)).std() > 5
    assert page(hard).startswith(b"<!doctype html>")


def test_page_stands_by_itself_and_holds_the_table(done):
    text = page(done).decode()
    loads = _Loads()
    loads.feed(text)
    assert loads.found == []
    for row in rows(done):
        for cell in row:
            assert cell in loads.text or not cell
    assert "Plotly.newPlot" in text


@pytest.mark.parametrize(("module", "make"), [("plotly.subplots", page), ("matplotlib.figure", draw)])
def test_missing_extra_names_the_command(done, monkeypatch, module, make):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rmsprop\[race\]'"):
        make(done)

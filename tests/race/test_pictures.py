"""What a race leaves behind: the table, the JSON object, the picture, the page and the moving picture."""

import io
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from rmsprop.errors import MissingExtraError
from rmsprop.race.animation import animate, frames
from rmsprop.race.judge import quartiles
from rmsprop.race.landscapes import landscape
from rmsprop.race.noise import Noise
from rmsprop.race.page import page
from rmsprop.race.plot import draw
from rmsprop.race.report import HEADER, notes, rows, to_json
from rmsprop.race.rivals import rival, rival_names
from rmsprop.race.style import headline, looks, shown_moments, surface
from rmsprop.race.surface import of_formula
from rmsprop.race.tournament import Settings, race

ALL = [rival(name) for name in rival_names()]
DIALECTS = [rival("rmsprop", name) for name in ("article", "tf1", "pytorch", "graves", "dqn", "keras", "a3c")]


@pytest.fixture(scope="module")
def done():
    return race(landscape("rosenbrock"), ALL, Settings(steps=400, seeds=5, budget=9))


# What is hard to draw: nothing arrives, everything diverges, undefined places, one step, no choice of rates, a huge range.
HARD = {
    "one step": lambda: race(landscape("quadratic"), ALL, Settings(steps=1, seeds=1, budget=2)),
    "all diverge": lambda: race(landscape("rosenbrock"), [rival("sgd")], Settings(steps=50, seeds=3, lr={"": 1.0})),
    "none arrives": lambda: race(landscape("rastrigin"), ALL, Settings(steps=30, seeds=2, budget=3)),
    "not finite in places": lambda: race(of_formula("x*log(x) + (y - 1)**2"), ALL, Settings(steps=50, seeds=2, budget=5)),
    "no lowest loss": lambda: race(of_formula("x**3 + y"), ALL, Settings(steps=50, seeds=2, budget=5)),
    "huge": lambda: race(of_formula("1e200*(x**2 + y**2)"), ALL, Settings(steps=50, seeds=2, budget=5)),
    "tiny": lambda: race(of_formula("1e-200*(x**2 + y**2)"), ALL, Settings(steps=50, seeds=2, budget=5)),
    "noise": lambda: race(landscape("cliff"), ALL, Settings(steps=50, seeds=3, budget=3, noise=Noise("outliers", 0.2))),
    "dialects": lambda: race(landscape("saddle"), DIALECTS, Settings(steps=50, seeds=3, budget=3)),
}


@pytest.fixture(scope="module", params=HARD)
def hard(request):
    return HARD[request.param]()


def picture(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def holds(image, color, least):
    """Whether so many pixels have about a colour."""
    wanted = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
    return int((np.abs(image - wanted).max(axis=-1) < 12).sum()) >= least


def test_table_has_a_row_for_each_in_order(done):
    table = rows(done)
    assert table[0] == HEADER
    assert [row[1] for row in table[1:]] == [entry.rival.name for entry in done.entries]
    assert all(len(row) == len(HEADER) for row in table)
    best = done.entries[0]
    low, middle, high = quartiles(best.steps)
    assert table[1][3] == f"{middle:,.0f} ({low:,.0f} to {high:,.0f})"
    assert headline(done) == f"{best.rival.name} is first, after {middle:,.0f} steps"


def test_notes_say_how_it_was_done(done):
    said = "\n".join(notes(done))
    for part in ("target 0.0242", "5 runs of 400 steps each", "from (-1.2, 1)", "the same 9 from 1e-05 to 10"):
        assert part in said
    noisy = race(landscape("cliff"), ALL[:1], Settings(steps=20, seeds=1, budget=2, noise=Noise("mask", 0.5), schedule="cosine"))
    said = "\n".join(notes(noisy))
    assert "mask=0.5" in said
    assert "schedule cosine" in said


def test_choice_at_the_edge_is_said():
    flat = race(of_formula("1e-12*(x**2 + y**2)"), [rival("sgd")], Settings(steps=20, seeds=1, budget=3))
    assert "sgd chose the highest lr of the grid" in "\n".join(notes(flat))
    assert rows(flat)[1][2].endswith("at the edge")


def test_circling_is_said_where_rmsprop_circles():
    problem = landscape("quadratic")
    circling, settled = (
        race(problem, [rival("rmsprop")], Settings(steps=600, seeds=3, lr={"": 0.05}, schedule=name))
        for name in ("constant", "cosine")
    )
    assert any("circles" in note for note in notes(circling))
    assert not any("circles" in note for note in notes(settled))
    assert settled.entries[0].final.max() < circling.entries[0].final.min()


def test_json_holds_everything_and_no_nan(done, hard):
    for one in (done, hard):
        got = json.loads(to_json(one), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
        assert [entry["name"] for entry in got["optimizers"]] == [entry.rival.name for entry in one.entries]
        assert got["landscape"]["formula"] == one.problem.title
        assert got["settings"]["steps"] == one.settings.steps
        for told, entry in zip(got["optimizers"], one.entries, strict=True):
            assert told["lr"] == entry.lr
            assert len(told["final_loss"]["runs"]) == one.settings.seeds
            assert [value is None for value in told["steps_to_target"]["runs"]] == [not np.isfinite(value) for value in entry.steps]
    assert to_json(done) == to_json(race(done.problem, ALL, done.settings))


def test_picture_shows_every_rival(done):
    image = picture(draw(done))
    assert image.shape == (720, 1300, 3)
    for look in looks(done.entries).values():
        assert holds(image, look.color, 150)


def test_hard_races_are_drawn(hard, monkeypatch):
    monkeypatch.setattr("rmsprop.race.animation._FRAMES", 8)  # each is drawn alike
    assert picture(draw(hard)).std() > 5
    with Image.open(io.BytesIO(animate(hard))) as moving:
        assert moving.n_frames >= 1
        moving.seek(moving.n_frames - 1)
        assert np.asarray(moving.convert("RGB")).std() > 5
    assert page(hard).startswith(b"<!doctype html>")


def test_no_two_rivals_look_alike():
    for one in (HARD["dialects"](), HARD["noise"]()):
        found = looks(one.entries)
        assert len({look.marker for look in found.values()}) == len(found)
        assert len({look.symbol for look in found.values()}) == len(found)
        assert len({look.color for look in found.values()}) == len(found)


def test_moving_picture_moves_and_keeps_the_colours_apart(done):
    with Image.open(io.BytesIO(animate(done))) as moving:
        assert moving.n_frames == len(shown_moments(done, 72))
        assert moving.info["loop"] == 0
        seen = []
        for k in range(moving.n_frames):
            moving.seek(k)
            seen.append(np.asarray(moving.convert("RGB")).astype(int))
    assert all((a != b).any() for a, b in pairwise(seen))
    for look in looks(done.entries).values():
        assert holds(seen[-1], look.color, 60)
    exact = np.asarray(frames(done)[-1]).astype(int)
    assert np.abs(exact - seen[-1]).mean() < 3


def test_moments_end_after_the_last_arrival(done):
    quick = race(landscape("quadratic"), [rival("sgd")], Settings(steps=2_000, seeds=3))
    assert quick.times[shown_moments(quick, 60)][-1] < 100
    never = race(landscape("rastrigin"), [rival("sgd")], Settings(steps=300, seeds=3, budget=3))
    assert never.times[shown_moments(never, 60)][-1] == 300


def test_landscape_is_lowest_at_its_minimum():
    x, y, levels = surface(landscape("rosenbrock"))
    row, column = np.unravel_index(np.argmin(levels), levels.shape)
    assert (x[column], y[row]) == pytest.approx((1, 1), abs=0.03)


class _Loads(HTMLParser):
    """Collects what a page asks for from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found, self.text, self.tags = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.found += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action") and value]

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def text(done):
    return page(done).decode()


def test_page_stands_by_itself(text):
    loads = _Loads()
    loads.feed(text)
    assert loads.found == []
    assert not {"link", "iframe", "img", "object", "embed"} & set(loads.tags)
    assert "@import" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "Plotly.newPlot" in text
    assert len(text) > 3_000_000  # Plotly's own JavaScript


def test_page_holds_the_table_and_every_frame(done, text):
    loads = _Loads()
    loads.feed(text)
    for row in rows(done):
        for cell in row:
            assert cell in loads.text or not cell
    start = text.index("Plotly.addFrames")
    frames_text = text[start : text.index(");", start)]
    assert frames_text.count('"name":"') >= len(shown_moments(done, 61))


def test_names_are_escaped(done):
    nasty = replace(done, problem=replace(done.problem, name="<b>&", title="x<script>alert(1)</script>", story="$a$ <i>"))
    text = page(nasty).decode()
    assert "<script>alert" not in text
    assert "&lt;b&gt;&amp;" in text
    assert picture(draw(nasty)).std() > 5


@pytest.mark.parametrize(
    ("module", "make"), [("plotly.subplots", page), ("matplotlib.figure", draw), ("PIL", animate), ("matplotlib.figure", animate)]
)
def test_missing_extra_names_the_command(done, monkeypatch, module, make):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rmsprop\[race\]'"):
        make(done)

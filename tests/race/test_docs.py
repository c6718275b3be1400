"""The guide of the race: its commands run, its table is what the command prints, and what it says of the results is so."""

import re
import shlex
from pathlib import Path

import pytest

from rmsprop.cli import run
from rmsprop.race.judge import quartiles
from rmsprop.race.landscapes import landscape, landscape_names
from rmsprop.race.noise import noise_kinds, parse_noise
from rmsprop.race.rivals import rival, rival_names
from rmsprop.race.tournament import Settings, race

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "race.md"
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if not kind for line in block.splitlines() if line.startswith("rmsprop race")]
SHOWN = "rmsprop race rosenbrock --dialect article,graves --against momentum,adam,sgd"
ALL = [rival(name) for name in rival_names()]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs_as_it_is_written(command, tmp_path, monkeypatch, capsys):
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "quadratic.csv").write_bytes((ROOT / "examples" / "quadratic.csv").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert run(shlex.split(command)[1:]) == 0
    out = capsys.readouterr().out
    if command == SHOWN:
        assert out in [block for _, block in BLOCKS]
    assert (tmp_path / "race" / "race.json").exists() or "--list" in command


def test_code_runs_as_it_is_written(capsys):
    (code,) = [block for kind, block in BLOCKS if kind == "python"]
    exec(compile(code, str(GUIDE), "exec"), {"__name__": "guide"})
    assert len(capsys.readouterr().out.splitlines()) >= 3


def test_everything_is_named():
    for name in (*landscape_names(), *noise_kinds()):
        assert f"`{name}`" in TEXT
    help_text = TEXT.split("## Options")[1]
    for option in ("against", "dialect", "noise", "steps", "seeds", "seed", "lr", "budget", "schedule", "start", "target", "data"):
        assert f"`--{option}" in help_text


def places(name, noise="none", **options):
    """Return the median steps of each rival, the best first."""
    done = race(landscape(name), ALL, Settings(noise=parse_noise(noise), **options))
    return {entry.rival.name: quartiles(entry.steps)[1] for entry in done.entries}


@pytest.mark.parametrize("name", ["cliff", "network"])
def test_rmsprop_is_first_where_it_forgets_outliers(name):
    assert next(iter(places(name, "outliers"))) == "rmsprop"


def test_rmsprop_gains_where_the_steep_direction_is_a_parameter_s_own():
    straight, turned = places("ill-conditioned"), places("rotated")
    assert straight["rmsprop"] < straight["sgd"]
    assert turned["rmsprop"] > turned["sgd"]


def test_rmsprop_settles_with_a_schedule():
    ends = {}
    for schedule in ("constant", "cosine"):
        done = race(landscape("ravine"), ALL, Settings(schedule=schedule))
        ends[schedule] = next(quartiles(entry.final)[1] for entry in done.entries if entry.rival.name == "rmsprop")
    assert ends["cosine"] < 1e-4 * ends["constant"]


def test_loss_where_rmsprop_ends_rises_with_the_rate():
    """It circles about lr wide, so that on a quadratic the loss at the end goes with lr²."""
    rates = [0.001, 0.002, 0.004, 0.008]
    ends = [
        race(landscape("quadratic"), ALL[:1], Settings(steps=8_000, seeds=3, lr={"": lr})).entries[0].final.max() for lr in rates
    ]
    for lr, end in zip(rates, ends, strict=True):
        # In the cycle that repeats every two steps, each parameter is lr/2 off.
        assert end == pytest.approx(2 * (lr / 2) ** 2 / 2, rel=0.2)


def test_graves_needs_fewer_steps_and_less_care():
    done = race(landscape("rosenbrock"), [rival("rmsprop"), rival("rmsprop", "graves")], Settings())
    by_name = {entry.rival.name: entry for entry in done.entries}
    plain, graves = by_name["rmsprop"], by_name["rmsprop graves"]
    assert 4 < quartiles(plain.steps)[1] / quartiles(graves.steps)[1] < 6
    works = [int((entry.tried_steps < 1e9).sum()) for entry in (plain, graves)]
    assert works[1] >= 3 * works[0]

"""The guide of the race: its commands run, its table is what the command prints, and what it says of the results is so."""

import io
import json
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from rmsprop.cli import run
from rmsprop.race.landscapes import landscape, landscape_names
from rmsprop.race.noise import noise_kinds
from rmsprop.race.rivals import rival, rival_names
from rmsprop.race.tournament import Settings, race
from rmsprop.race.workloads import workload_names

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "race.md"
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if not kind for line in block.splitlines() if line.startswith("rmsprop race")]
SHOWN = "rmsprop race rosenbrock --dialect article,graves --against momentum,adam,sgd"
ALL = [rival(name) for name in rival_names()]


# A model takes minutes to race on: its commands are tried with these options besides.
FAST = " --steps 4 --seeds 2 --budget 2"


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """Return what a command prints and what its race.json holds; each command runs once."""
    kept = {}

    def once(command):
        if command in kept:
            return kept[command]
        folder = tmp_path_factory.mktemp("typed")
        (folder / "examples").mkdir()
        (folder / "examples" / "quadratic.csv").write_bytes((ROOT / "examples" / "quadratic.csv").read_bytes())
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
            patch.chdir(folder)
            # Half of the time of a short race; test_command.py and test_pictures.py make it in earnest.
            patch.setattr("rmsprop.race.animation.animate", lambda race: b"")
            assert run(shlex.split(command + (FAST if "--workload" in command else ""))[1:]) == 0
        told = folder / "race" / "race.json"
        kept[command] = out.getvalue(), json.loads(told.read_text(encoding="utf-8")) if told.exists() else None
        return kept[command]

    return once


@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs_as_it_is_written(command, typed):
    out, told = typed(command)
    if command == SHOWN:
        assert out in [block for _, block in BLOCKS]
    assert told is not None or "--list" in command


def test_code_runs_as_it_is_written(capsys):
    (code,) = [block for kind, block in BLOCKS if kind == "python"]
    exec(compile(code, str(GUIDE), "exec"), {"__name__": "guide"})
    assert len(capsys.readouterr().out.splitlines()) >= 3


def test_everything_is_named():
    for name in (*landscape_names(), *noise_kinds(), *workload_names()):
        assert f"`{name}`" in TEXT
    help_text = TEXT.split("## Options")[1]
    for option in (
        "against",
        "dialect",
        "noise",
        "steps",
        "seeds",
        "seed",
        "lr",
        "budget",
        "schedule",
        "start",
        "target",
        "data",
        "workload",
    ):
        assert f"`--{option}" in help_text


def entries(told):
    """Return the rivals by name, the best first."""
    return {entry["name"]: entry for entry in told["optimizers"]}


def steps(told, name):
    """Return the median run's steps to the target."""
    return entries(told)[name]["steps_to_target"]["quartiles"][1]


@pytest.mark.parametrize("name", ["cliff", "network"])
def test_rmsprop_is_first_where_it_forgets_outliers(name, typed):
    _, told = typed(f"rmsprop race {name} --noise outliers")
    assert len(entries(told)) == len(ALL)
    assert next(iter(entries(told))) == "rmsprop"


def test_rmsprop_gains_where_the_steep_direction_is_a_parameter_s_own(typed):
    straight, turned = (typed(f"rmsprop race {name}")[1] for name in ("ill-conditioned", "rotated"))
    assert steps(straight, "rmsprop") < steps(straight, "sgd")
    assert steps(turned, "rmsprop") > steps(turned, "sgd")


def test_rmsprop_settles_with_a_schedule(typed):
    constant, cosine = (
        entries(typed(command)[1])["rmsprop"]["final_loss"]["quartiles"][1]
        for command in ("rmsprop race", "rmsprop race ravine --schedule cosine")
    )
    assert cosine < 1e-4 * constant


def test_loss_where_rmsprop_ends_rises_with_the_rate():
    """It circles about lr wide, so that on a quadratic the loss at the end goes with lr²."""
    rates = [0.001, 0.002, 0.004, 0.008]
    ends = [
        race(landscape("quadratic"), ALL[:1], Settings(steps=8_000, seeds=3, lr={"": lr})).entries[0].final.max() for lr in rates
    ]
    for lr, end in zip(rates, ends, strict=True):
        # In the cycle that repeats every two steps, each parameter is lr/2 off.
        assert end == pytest.approx(2 * (lr / 2) ** 2 / 2, rel=0.2)


def test_graves_needs_fewer_steps_and_less_care(typed):
    _, told = typed(SHOWN)
    plain, graves = entries(told)["rmsprop"], entries(told)["rmsprop graves"]
    assert 4 < steps(told, "rmsprop") / steps(told, "rmsprop graves") < 6
    works = [sum(one is not None for one in entry["tried"]["steps_to_target"]) for entry in (plain, graves)]
    assert works[1] >= 3 * works[0]

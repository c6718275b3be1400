"""`rmsprop race` as a user meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rmsprop.cli import run
from rmsprop.race.landscapes import landscape_names
from tests.expression.test_language import ATTACKS
from tests.terminal import drawn

ROOT = Path(__file__).parents[2]
FILES = ["race.gif", "race.html", "race.json", "race.png"]
FAST = ["--steps", "60", "--seeds", "2", "--budget", "3"]
MODEL = "y = a*x**2 + b*x + c"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    # Half of the time of a short race; `test_alone_it_races_all_and_writes_four_files` makes it in earnest.
    monkeypatch.setattr("rmsprop.race.animation.animate", lambda race: b"")
    (tmp_path / "quadratic.csv").write_bytes((ROOT / "examples" / "quadratic.csv").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(folder, *arguments, out="race"):
    assert run(["race", *arguments, *FAST, "--quiet", "--out", out]) == 0
    return json.loads((folder / out / "race.json").read_text(encoding="utf-8"))


def test_alone_it_races_all_and_writes_four_files(tmp_path, monkeypatch, capsys):
    folder = tmp_path
    monkeypatch.chdir(folder)
    assert run(["race"]) == 0
    out, err = capsys.readouterr()
    assert "ravine: x**2/2 + 50*(y - sin(x))**2" in out
    assert "momentum is first, after" in out
    assert err.startswith("rmsprop: 1,")
    assert "steps in" in err
    assert sorted(path.name for path in (folder / "race").iterdir()) == FILES
    assert (folder / "race" / "race.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "race" / "race.gif").read_bytes().startswith(b"GIF89a")
    assert (folder / "race" / "race.html").read_bytes().startswith(b"<!doctype html>")
    got = json.loads((folder / "race" / "race.json").read_text(encoding="utf-8"))
    assert len(got["optimizers"]) == 7


def test_json_is_one_object_alone_on_stdout(folder, capsys):
    assert run(["race", "beale", *FAST, "--json", "--out", "there"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out) == json.loads((folder / "there" / "race.json").read_text(encoding="utf-8"))


def test_quiet_prints_nothing(folder, capsys):
    assert run(["race", "beale", *FAST, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_every_option_is_heard(folder):
    options = ["--against", "adam,sgd", "--dialect", "pytorch,tf1", "--noise", "mask=0.3", "--lr", "0.02,adam=0.1"]
    options += ["--schedule", "linear", "--start", "y=2,x=-1", "--target", "0.5", "--seed", "4"]
    got = told(folder, "rosenbrock", *options)
    wanted = {
        "steps": 60,
        "seeds": 2,
        "seed": 4,
        "budget": 3,
        "lr": {"": 0.02, "adam": 0.1},
        "noise": "mask=0.3",
        "schedule": "linear",
    }
    assert got["settings"] == wanted
    assert {entry["name"]: entry["lr"] for entry in got["optimizers"]} == {
        "rmsprop pytorch": 0.02,
        "rmsprop tf1": 0.02,
        "sgd": 0.02,
        "adam": 0.1,
    }
    assert (got["landscape"]["start"], got["landscape"]["target"]) == ([-1, 2], 0.5)
    by_name = {entry["name"]: entry["hyper"] for entry in got["optimizers"]}
    assert (by_name["rmsprop tf1"]["name"], by_name["rmsprop tf1"]["square_init"]) == ("tf1", 1)


def test_none_but_rmsprop(folder):
    assert [entry["name"] for entry in told(folder, "beale", "--against", "none")["optimizers"]] == ["rmsprop"]


def test_formula_with_a_start(folder):
    got = told(folder, "(u - 1)**2 + 3*(v + 2)**4", "--start", "4,5")
    assert (got["landscape"]["names"], got["landscape"]["start"]) == (["u", "v"], [4, 5])
    assert got["landscape"]["minima"][0] == pytest.approx([1, -2], abs=0.02)


def test_data_and_model(folder):
    got = told(folder, "--data", "quadratic.csv", "--model", MODEL, "--over", "a,c")
    assert got["landscape"]["minima"][0] == pytest.approx([2.0719444, 3.8097105], abs=1e-5)
    assert got["landscape"]["lowest"] == pytest.approx(0.21330, abs=1e-4)


def test_parameters_that_are_not_raced_over_are_held_where_they_are_told(folder):
    x, y = np.loadtxt("quadratic.csv", delimiter=",", skiprows=1, unpack=True)
    got = told(folder, "--data", "quadratic.csv", "--model", MODEL, "--over", "a,c", "--start", "a=0,b=1,c=0")
    best, square, *_ = np.linalg.lstsq(np.stack([x**2, np.ones_like(x)], axis=1), y - x, rcond=None)
    assert got["landscape"]["minima"][0] == pytest.approx(best, abs=1e-5)
    assert got["landscape"]["lowest"] == pytest.approx(square[0] / len(x), rel=1e-9)
    assert got["landscape"]["start"] == [0, 0]


def test_a_model_of_two_parameters_needs_no_over(folder):
    got = told(folder, "--data", "quadratic.csv", "--model", "y = a*x**2 + b", "--start", "1,9")
    assert (got["landscape"]["names"], got["landscape"]["start"]) == (["a", "b"], [1, 9])


def test_list_names_every_landscape(capsys):
    assert run(["race", "--list"]) == 0
    out = capsys.readouterr().out
    for name in (*landscape_names(), "adadelta", "outliers"):
        assert name in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["rosenbrok"], 2, "did you mean rosenbrock?"),
        (["x**2"], 2, "must have two names"),
        (["(1-x)**2 + ("], 2, "is not closed"),
        (["x*y", "--start", "0,0"], 2, "has no slope at (0.0, 0.0)"),
        (["--lr", "fast"], 2, "--lr must be such as 0.01 or adam=0.1,sgd=0.01, got 'fast'"),
        (["--lr", "0"], 2, "lr must be a number above 0, got 0.0"),
        (["--lr", "adam=1,adam=2"], 2, "--lr gives adam twice"),
        (["--lr", "bob=1"], 2, "'bob', which does not run"),
        (["--against", "adm"], 2, "did you mean adam?"),
        (["--against", "adam,,sgd"], 2, "--against must be names"),
        (["--against", "adam,adam"], 2, "adam is there twice"),
        (["--dialect", "kera"], 2, "keras"),
        (["--dialect", "tf1,tf1"], 2, "rmsprop tf1 is there twice"),
        (["--noise", "snow"], 2, "noise must be one of none, gaussian"),
        (["--noise", "mask=2"], 2, "mask noise must be in [0, 0.99]"),
        (["--steps", "1000000000"], 2, "steps must be a whole number from 1 to 1,000,000"),
        (["--steps", "many"], 2, "steps"),
        (["--seeds", "0"], 2, "seeds must be"),
        (["--budget", "1"], 2, "budget must be"),
        (["--schedule", "cos"], 2, "schedule must be one of"),
        (["--start", "1"], 2, "--start must be such as 1,2 or x=1,y=2"),
        (["--start", "x=1,z=2"], 2, "--start must be such as 1,2 or x=1,y=2"),
        (["--start", "nan,1"], 2, "at the start x = nan"),
        (["--target", "nan"], 2, "target must be a finite loss"),
        (["--target", "1e9"], 2, "is at the target 1e+09 already"),
        (["--over", "a,b"], 2, "give --data and --model too"),
        (["ravine", "--data", "quadratic.csv", "--model", MODEL], 2, "not both"),
        (["--data", "quadratic.csv"], 2, "belong together"),
        (["--model", MODEL], 2, "belong together"),
        (["--data", "quadratic.csv", "--model", MODEL], 2, "over must name two of the model's parameters a, b, c, such as a,b"),
        (["--data", "quadratic.csv", "--model", MODEL, "--over", "a,q"], 2, "such as a,b; got 'a,q'"),
        (["--data", "quadratic.csv", "--model", "y = a*x.real + b"], 2, "an attribute"),
        (
            ["--data", "quadratic.csv", "--model", MODEL, "--over", "a,c", "--start", "a=1"],
            2,
            "gives a but not the other of a and c",
        ),
        (["--data", "quadratic.csv", "--model", MODEL, "--over", "a,c", "--start", "q=1"], 2, "start names 'q'"),
        (["--data", "none.csv", "--model", MODEL], 1, "none.csv does not exist"),
        (["--data", "text.csv", "--model", "y = a*x + b"], 1, "'two' is not a number"),
        (["--out", "quadratic.csv"], 2, "is a file"),
        (["--bogus"], 2, "bogus"),
    ],
)
def test_errors_are_one_plain_message_and_leave_outputs_alone(folder, capsys, arguments, code, message):
    (folder / "text.csv").write_text("x,y\n1,2\n3,two\n")
    (folder / "race").mkdir()
    for name in FILES:
        (folder / "race" / name).write_text("old")
    assert run(["race", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rmsprop: error: ")
    assert message in err
    assert "Traceback" not in err
    assert {path.name: path.read_text() for path in (folder / "race").iterdir()} == dict.fromkeys(FILES, "old")


def test_ctrl_c_leaves_outputs_alone(folder, capsys, monkeypatch):
    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("rmsprop.cli.racing.race", stopped)
    assert run(["race"]) == 130
    assert capsys.readouterr().err.strip() == "rmsprop: stopped; nothing was written"
    assert not (folder / "race").exists()


@pytest.mark.parametrize("text", ATTACKS, ids=lambda text: repr(text[:20]))
def test_attack_is_refused(folder, capsys, text):
    if text.startswith("-"):
        text = f"({text}"
    assert run(["race", text]) == 2
    assert capsys.readouterr().err.startswith("rmsprop: error: ")
    assert not (folder / "race").exists()


def test_progress_is_drawn_on_a_terminal_only(folder):
    command = [
        sys.executable,
        "-c",
        "from rmsprop.cli import main; main()",
        "race",
        "beale",
        "--steps",
        "400",
        "--budget",
        "3",
        "--against",
        "none",
    ]
    told = drawn(command, folder, {**os.environ, "PYTHONPATH": str(ROOT / "src")})
    assert b"race" in told
    assert b"pictures" in told


def test_missing_extra_is_answered_with_the_command(folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    code = "import sys; sys.modules['plotly'] = None; from rmsprop.cli import main; main()"
    command = [sys.executable, "-c", code, "race", "beale", *FAST]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "pip install 'rmsprop[race]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "race").exists()
